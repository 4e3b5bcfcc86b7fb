/* Offers images to the interpreter on this PC, one after the other, and calls every function of those it takes.
 *
 * Standard input: for each image its verifier (one of VERIFIERS in roads.py), the bytes of the arena, what the board
 * grants, the instructions that a call may take, the size of the image, each a word, and the image. Standard output, a
 * line for each: the number of the fault (0: none) and what it is about
 * (- for nothing); for an image that is taken, how each call ended. A sanitizer that finds something ends it all; so
 * does what a program can change that it must not.
 *
 * The surroundings are as poor as they can be: every look at the clock takes a millisecond of a time that is made up, and
 * waiting takes fuel.
 */
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "host.h"
#include "platform.h"
#include "verify.h"
#include "vm.h"

uint32_t fuel;
volatile uint32_t looked_at;

/// Services ///

struct host_program *host_program_of(struct vm *vm) {
    static char nothing[1];
    static struct host_program given = {.strings = nothing, .has_input = true};
    (void)vm;
    return &given;
}

uint32_t host_wait(struct vm *vm, uint64_t deadline) {
    (void)vm;
    if (!platform_poll()) {
        return VM_TRAP_STOPPED;
    }
    platform_wait(deadline);
    return VM_TRAP_NONE;
}

bool host_turn_is_over(void) {
    return false;
}

uint32_t host_confirm(struct vm *vm, bool *good) {
    (void)vm;
    *good = true;
    return VM_TRAP_NONE;
}

uint64_t platform_microseconds(void) {
    static uint64_t now;
    return now += 1000;
}

void platform_wait(uint64_t deadline) {
    (void)deadline;
}

bool platform_poll(void) {
    return fuel != 0 && fuel-- != 0;
}

bool platform_random(uint8_t *bytes, size_t size) {
    memset(bytes, 4, size);
    return true;
}

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    (void)pin, (void)mode;
    return true;
}

bool gpio_write(uint32_t pin, bool level) {
    (void)pin, (void)level;
    return true;
}

int gpio_read(uint32_t pin) {
    (void)pin;
    return 1;
}

bool led_set(bool on) {
    (void)on;
    return true;
}

size_t console_input(uint8_t *bytes, size_t size) {
    memset(bytes, 'x', size);
    return size;
}

bool console_input_available(void) {
    return true;
}

bool console_input_ended(void) {
    return false;
}

/* Looks at every byte, as a console does. */
bool console_write(const uint8_t *bytes, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    looked_at = sum;
    return platform_poll();
}

void console_print(const char *text) {
    console_write((const uint8_t *)text, strlen(text));
}

void console_print_number(uint32_t number) {
    (void)number;
}

/// Verifiers ///

static uint32_t verifier;

enum image_fault chosen_verifier(const struct vm *vm, uint8_t *room, size_t size, const char **detail);
enum image_fault narrow_verifier(const struct vm *vm, uint8_t *room, size_t size, const char **detail);

/* What image.c calls: none, the firmware's, or one with a narrow window. */
enum image_fault chosen_verifier(const struct vm *vm, uint8_t *room, size_t size, const char **detail) {
    if (verifier == 0) {
        return IMAGE_GOOD;
    }
    return verifier == 1 ? verify_code(vm, room, size, detail) : narrow_verifier(vm, room, size, detail);
}

/// What must not change ///

static void demand(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "a program has changed %s\n", what);
        abort();
    }
}

static void check_sandbox(const struct vm *vm, const struct vm *before) {
    demand(vm->payload == before->payload && vm->code == before->code && vm->functions == before->functions &&
               vm->sections == before->sections && vm->memories == before->memories && vm->tables == before->tables &&
               vm->globals == before->globals && vm->stack == before->stack && vm->stack_end == before->stack_end &&
               vm->exceptions == before->exceptions && vm->arena_used == before->arena_used,
           "what the loader laid out");
    for (uint32_t i = 0; i < vm->sections[IMAGE_TABLES].count; i++) {
        const struct image_table *declared = (const struct image_table *)image_section(vm, IMAGE_TABLES) + i;
        demand(vm->tables[i].declared == declared && vm->tables[i].size <= declared->capacity, "a table's record");
    }
    for (uint32_t i = 0; i < vm->sections[IMAGE_MEMORIES].count; i++) {
        const struct image_memory *declared = (const struct image_memory *)image_section(vm, IMAGE_MEMORIES) + i;
        demand(vm->memories[i].declared == declared && vm->memories[i].window_low == declared->window_low &&
                   vm->memories[i].window_size <= declared->capacity,
               "a memory's record");
    }
    demand(vm->frame >= vm_arguments((struct vm *)vm) && vm->frame <= vm->stack_end, "where its frame is");
    demand(VM_FROM_LINK(vm, vm->stack[VM_CROSS_LINK_SLOTS - 1]) == vm->code, "the link of the first frame");
    demand(vm->pc >= vm->code && vm->pc < vm->code + vm->sections[IMAGE_CODE].count, "where it goes on");
    demand(vm->trap < 21, "why it ended");
}

static void walk_back(const struct vm *vm) {
    struct vm_trace trace = {vm->pc, vm->frame, 0, 0};
    for (uint32_t calls = 0; vm_next_call(vm, &trace); calls++) {
        demand(trace.frame >= vm_arguments((struct vm *)vm) && trace.frame <= vm->stack_end && calls < 1u << 20,
               "its chain of calls");
    }
}

static void run(struct vm *vm, uint32_t allowance) {
    const struct vm before = *vm;
    const uint32_t count = vm->sections[IMAGE_FUNCTIONS].count;
    for (uint32_t i = 0; i < count && i < 40; i++) {
        fuel = allowance;
        printf(" %x", vm_call(vm, i));
        check_sandbox(vm, &before);
        walk_back(vm);
    }
}

/// Images ///

static uint8_t *copy_of(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    return memcpy(copy, bytes, size);
}

static void offer(uint8_t *image, size_t size, size_t arena_size, uint32_t grants, uint32_t allowance) {
    struct vm vm;
    const char *detail;
    uint8_t *arena = malloc(arena_size), *before = copy_of(image, size);
    memset(arena, 0xA5, arena_size);
    const enum image_fault wrong = image_load(&vm, image, size, arena, arena_size, grants, &detail);
    printf("%d", (int)wrong);
    if (wrong == IMAGE_GOOD) {
        ASAN_POISON_MEMORY_REGION(arena + vm.arena_used, arena_size - vm.arena_used);
        run(&vm, allowance);
        ASAN_UNPOISON_MEMORY_REGION(arena + vm.arena_used, arena_size - vm.arena_used);
    } else {
        printf(" %s", detail == NULL ? "-" : "");
        for (; detail != NULL && *detail != 0; detail++) {
            printf("%02x", (unsigned)(uint8_t)*detail);
        }
    }
    demand(memcmp(image, before, size) == 0, "its own image");
    printf("\n");
    fflush(stdout);
    free(before);
    free(arena);
}

int main(void) {
    uint32_t numbers[5];
    while (fread(numbers, sizeof *numbers, 5, stdin) == 5) {
        uint8_t *image = malloc(numbers[4] + (numbers[4] == 0));
        if (fread(image, 1, numbers[4], stdin) != numbers[4]) {
            return 2;
        }
        verifier = numbers[0];
        offer(image, numbers[4], numbers[1], numbers[2], numbers[3]);
        free(image);
    }
    return 0;
}
