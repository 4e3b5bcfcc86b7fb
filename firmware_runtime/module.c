/* See module.h. Owns the one struct vm and hands the arena to it. */

#include "module.h"

#include "board.h"
#include "console.h"
#include "host.h"
#include "platform.h"
#include "store.h"
#include "vm.h"

#include <string.h>

#define MOST_PLACES 16
#define MOST_BAD_STARTS 3
#define NOTE_FAULT 0x80u /* beside the number of bad starts */

/* From the linker template. */
extern uint8_t arena_begin[], arena_end[];

const char *const module_state_names[] = {"none", "loaded", "running", "ended"};

static const char *const trap_texts[] = {
#include "generated/traps.inc"
};

#define TEXT(name, text) text,
static const char *const fault_texts[] = {NULL, IMAGE_FAULTS(TEXT)};

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

uint8_t *module_arena(void) {
    return arena_begin;
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

struct vm_trace module_trace(void) {
    return (struct vm_trace){vm.pc, vm.frame, 0, 0};
}

/* A start makes what is walked through something else: then last_trap is none. */
bool module_next_call(struct vm_trace *trace) {
    return last_trap != VM_TRAP_NONE && last_trap != VM_TRAP_EXIT && vm_next_call(&vm, trace);
}

const uint32_t *module_results(void) {
    return vm_arguments(&vm);
}

/* They lie over the frames of a trap, so nobody walks these any more, not even who just prints them. */
void module_set_arguments(const uint8_t *bytes, uint32_t size) {
    last_trap = VM_TRAP_NONE;
    memcpy(vm_arguments(&vm), bytes, size);
}

uint32_t module_slot_room(void) {
    return vm_argument_room(&vm);
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
    return console_frame() != NULL;
}

void module_stop(void) {
    must_stop = true;
}

bool module_must_stop(void) {
    return must_stop;
}

static enum image_fault load(const uint8_t *container, uint32_t size, uint32_t image, const char **detail) {
    *detail = NULL;
    if (container == NULL) {
        return IMAGE_FAULT_ABSENT;
    }
    const enum image_fault wrong = image_load(&vm, container, size, arena_begin, module_arena_size(),
                                              BOARD_GRANTS & store_grants(image), detail);
    return wrong == IMAGE_GOOD ? image_check_counter(container, size, store_counter(image)) : wrong;
}

const char *module_check(const uint8_t *container, uint32_t size, const char **detail) {
    module_unload();
    return fault_texts[load(container, size, 0, detail)];
}

const char *module_load(const uint8_t *digest, const char **detail) {
    static uint32_t size, image;
    image = 0;
    const uint8_t *container = digest == NULL ? store_chosen(0, &size) : store_find(digest, &size, &image);
    const enum image_fault wrong = load(container, size, image, detail);
    state = wrong == IMAGE_GOOD ? MODULE_LOADED : MODULE_NONE;
    last_trap = VM_TRAP_NONE;
    return fault_texts[wrong];
}

void module_unload(void) {
    state = MODULE_NONE;
    last_trap = VM_TRAP_NONE;
    module_trust();
}

static inline uint32_t call_function(uint32_t function) {
    state = MODULE_RUNNING;
    last_trap = VM_TRAP_NONE;
    last_trap = vm_call(&vm, function);
    must_stop = false;
    return last_trap;
}

uint32_t module_call(uint32_t function) {
    static enum module_state before;
    before = state;
    call_function(function);
    state = before;
    return last_trap;
}

/// A whole program ///

/* What is called before or after a program runs keeps a stack of its own, which is not below the program's. */
#define APART __attribute__((noinline))

static void print_place(const char *before, uint32_t number, const char *between, uint32_t offset) {
    console_print(before);
    console_print_number(number);
    console_print(between);
    console_print_number(offset);
}

static void print_trap(uint32_t trap) {
    struct vm_trace trace = module_trace();
    const bool placed = module_next_call(&trace);
    console_print("\r\n[trap ");
    console_print(trap_texts[trap]);
    if (placed) {
        print_place(" function=", trace.function, " pc=", trace.offset);
    }
    console_print("]\r\n");
    for (uint32_t i = 1; i < MOST_PLACES && module_next_call(&trace); i++) {
        print_place("[at ", trace.function, "+", trace.offset);
        console_print("]\r\n");
    }
}

/* A request that comes meanwhile may unload the program: what is told was fetched before, the calls are told no longer. */
APART static void print_end(void) {
    const uint32_t trap = last_trap, status = vm.exit_status;
    if (trap != VM_TRAP_NONE && trap != VM_TRAP_EXIT) {
        print_trap(trap);
        return;
    }
    console_print("\r\n[exit ");
    console_print_number(status);
    console_print("]\r\n");
}

APART static void print_refusal(const char *wrong, const char *detail) {
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
    const uint32_t count = vm.sections[IMAGE_MODULES].count;
    uint32_t trap = VM_TRAP_NONE;
    for (uint32_t i = 0; i < 2 * count && trap == VM_TRAP_NONE; i++) {
        const uint32_t function = i < count ? modules[i].instantiate : modules[i - count].start;
        trap = function == IMAGE_NONE ? VM_TRAP_NONE : call_function(function);
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

APART static void begin_trial(void) {
    if (store_begin(0) == STORE_ROLLED_BACK) {
        console_print("[rolled back: the new program was not confirmed]\r\n");
        module_trust();
    }
}

static bool take_string(bool environment, const char *text, size_t length) {
    return environment ? host_add_environment(text, length) : host_add_argument(text, length);
}

/* Whether there is a program and nothing against its start. */
APART static bool load_installed(void) {
    const char *detail;
    if (state == MODULE_LOADED || !may_start() || state == MODULE_LOADED) { /* a request came while something was printed */
        return false;
    }
    const char *wrong = module_load(NULL, &detail);
    if (wrong != NULL) {
        print_refusal(wrong, detail);
        return false;
    }
    host_reset();
    store_settings(0, take_string);
    return true;
}

void module_run(void) {
    begin_trial();
    if (!load_installed()) {
        return;
    }
    run_modules();
    state = MODULE_ENDED;
    if (went_wrong()) {
        platform_note(bad_starts + 1);
    }
    print_end();
}
