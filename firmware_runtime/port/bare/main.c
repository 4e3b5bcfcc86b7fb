/* The interpreter core alone, to measure what it needs: loads the image in the slot and calls its first function.
 *
 * This file gives what the core asks of its surroundings (vm.h), as little of each as there can be; it refuses to know
 * a console, a clock or a host function that does anything. `build.py --core` links it, nothing runs it.
 */
#include "board.h"
#include "cortex_m.h"
#include "vm.h"

/* From the linker template. */
extern uint8_t arena_begin[], arena_end[];

static struct vm vm;

static uint32_t do_nothing(struct vm *caller, uint32_t *slots) {
    (void)caller, (void)slots;
    return 0;
}

const struct host_function host_functions[] = {{"env", "nothing", do_nothing, 0, 0, 0}};
const uint32_t host_function_count = 1;

uint32_t vm_interrupted(struct vm *interrupted) {
    (void)interrupted;
    return 0;
}

bool vm_interrupt_waits(void) {
    return false;
}

/* Any interrupt has the running program call vm_interrupted. */
void clock_interrupt(void) {
    vm_interrupt(&vm);
}

void fault_entry(void) {
    for (;;) {
    }
}

void reset_entry(void) {
    const char *detail;
    const uint8_t *slot = (const uint8_t *)SLOT_ADDRESS;
    const size_t arena_size = (size_t)(arena_end - arena_begin);
    if (image_load(&vm, slot, SLOT_SIZE, arena_begin, arena_size, VM_ALL_GRANTS, &detail) == IMAGE_GOOD) {
        vm_call(&vm, 0);
    }
    fault_entry();
}

VECTOR_TABLE = {CORE_VECTORS};
