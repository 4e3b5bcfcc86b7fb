/* See module.h. Owns the one struct vm and hands the arena to it. */

#include "module.h"

#include "board.h"
#include "console.h"
#include "host.h"
#include "platform.h"
#include "vm.h"

#define BACKTRACE_ROOM 16
#define MOST_BAD_STARTS 3
#define NOTE_FAULT 0x80u /* beside the number of bad starts */

/* From the linker template. */
extern uint8_t arena_begin[], arena_end[];

const char *const module_state_names[] = {"none", "loaded", "running", "ended"};

static const char *const trap_texts[] = {
#include "generated/traps.inc"
};

static struct vm vm;
static enum module_state state;
static uint32_t last_trap;
static volatile bool must_stop;
static uint8_t bad_starts; /* in a row, before this one */

enum module_state module_state(void) {
    return state;
}

uint32_t module_exit_status(void) {
    return vm.exit_status;
}

uint32_t module_last_trap(void) {
    return last_trap;
}

uint32_t module_stack_high_water(void) {
    return state == MODULE_NONE ? 0 : vm_stack_high_water(&vm);
}

uint32_t module_arena_used(void) {
    return state == MODULE_NONE ? 0 : (uint32_t)vm.arena_used;
}

uint32_t module_arena_size(void) {
    return (uint32_t)(arena_end - arena_begin);
}

const uint32_t *module_globals(uint32_t first, uint32_t count) {
    if (state == MODULE_NONE) {
        return NULL;
    }
    uint32_t all = ((const struct image_header *)vm.payload)->global_slots;
    return first <= all && count <= all - first ? vm.globals + first : NULL;
}

uint32_t module_backtrace(uint32_t (*places)[2], uint32_t room) {
    return last_trap == VM_TRAP_NONE || last_trap == VM_TRAP_EXIT ? 0 : vm_backtrace(&vm, places, room);
}

uint32_t *module_slots(uint32_t *room) {
    *room = vm_argument_room(&vm);
    return vm_arguments(&vm);
}

void module_interrupt(void) {
    vm_interrupt(&vm);
    platform_switch_table();
}

uint32_t vm_interrupted(struct vm *interrupted) {
    (void)interrupted;
    return platform_poll() ? VM_TRAP_NONE : VM_TRAP_STOPPED;
}

bool vm_interrupt_waits(void) {
    size_t size;
    return console_frame(&size) != NULL;
}

void module_stop(void) {
    must_stop = true;
}

bool module_must_stop(void) {
    return must_stop;
}

const char *module_load(const char **detail) {
    const uint8_t *slot = (const uint8_t *)SLOT_ADDRESS;
    const char *wrong = image_load(&vm, slot, SLOT_SIZE, arena_begin, module_arena_size(), detail);
    state = wrong == NULL ? MODULE_LOADED : MODULE_NONE;
    last_trap = VM_TRAP_NONE;
    return wrong;
}

void module_unload(void) {
    state = MODULE_NONE;
    last_trap = VM_TRAP_NONE;
    module_trust();
}

uint32_t module_call(uint32_t function) {
    enum module_state before = state;
    state = MODULE_RUNNING;
    last_trap = VM_TRAP_NONE;
    last_trap = vm_call(&vm, function);
    state = before;
    must_stop = false;
    return last_trap;
}

/// A whole program ///

static void print_trap(uint32_t trap) {
    uint32_t places[BACKTRACE_ROOM][2];
    uint32_t count = module_backtrace(places, BACKTRACE_ROOM);
    console_print("\r\n[trap ");
    console_print(trap_texts[trap]);
    if (count > 0) {
        console_print(" function=");
        console_print_number(places[0][0]);
        console_print(" pc=");
        console_print_number(places[0][1]);
    }
    console_print("]\r\n");
    for (uint32_t i = 1; i < count; i++) {
        console_print("[at ");
        console_print_number(places[i][0]);
        console_print("+");
        console_print_number(places[i][1]);
        console_print("]\r\n");
    }
}

/* A request that comes meanwhile may unload the program: what is told was fetched before. */
static void print_end(void) {
    const uint32_t trap = last_trap, status = vm.exit_status;
    if (trap != VM_TRAP_NONE && trap != VM_TRAP_EXIT) {
        print_trap(trap);
        return;
    }
    console_print("\r\n[exit ");
    console_print_number(status);
    console_print("]\r\n");
}

static void print_refusal(const char *wrong, const char *detail) {
    console_print("[no program: ");
    console_print(wrong);
    if (detail != NULL) {
        console_print(": ");
        console_print(detail);
    }
    console_print("]\r\n");
}

/* Every module is instantiated in the order of the bundle, then those that have a start function are run. */
static void run_modules(void) {
    const struct image_module *modules = image_section(&vm, IMAGE_MODULES);
    uint32_t count = vm.sections[IMAGE_MODULES].count, trap = VM_TRAP_NONE;
    for (uint32_t i = 0; i < count && trap == VM_TRAP_NONE; i++) {
        trap = module_call(modules[i].instantiate);
    }
    for (uint32_t i = 0; i < count && trap == VM_TRAP_NONE; i++) {
        if (modules[i].start != IMAGE_NONE) {
            trap = module_call(modules[i].start);
        }
    }
}

void module_trust(void) {
    bad_starts = 0;
    platform_note(0);
}

void platform_faulted(void) {
    platform_note((uint8_t)(NOTE_FAULT | (bad_starts + 1)));
}

/* A start that is cut off by a reset from outside is no bad one: the note is gone until the program goes wrong. */
static bool may_start(void) {
    uint8_t note = platform_noted();
    bad_starts = note & ~NOTE_FAULT;
    if (note & NOTE_FAULT) {
        console_print("[the firmware had a fault]\r\n");
    }
    if (bad_starts < MOST_BAD_STARTS) {
        platform_note(0);
        return true;
    }
    bad_starts = MOST_BAD_STARTS;
    platform_note(bad_starts);
    console_print("[program not started: its last ");
    console_print_number(bad_starts);
    console_print(" starts ended in a trap or a fault; install it again, or switch the power off and on]\r\n");
    return false;
}

static bool went_wrong(void) {
    return last_trap != VM_TRAP_NONE && last_trap != VM_TRAP_EXIT && last_trap != VM_TRAP_STOPPED;
}

void module_run(void) {
    const char *detail;
    if (state == MODULE_LOADED || !may_start()) { /* loaded: a request came while the banner was printed */
        return;
    }
    const char *wrong = module_load(&detail);
    if (wrong != NULL) {
        print_refusal(wrong, detail);
        return;
    }
    host_reset();
    run_modules();
    state = MODULE_ENDED;
    if (went_wrong()) {
        platform_note(bad_starts + 1);
    }
    print_end();
}
