/* See module.h. Lays programs into the arena, one behind the other, and gives them their turns. */

#include "module.h"

#include "board.h"
#include "console.h"
#include "host.h"
#include "platform.h"
#include "store.h"
#include "vm.h"

#include <string.h>

#define MOST_PLACES 16
#define SLICE 5000u       /* microseconds, while several programs run */
#define SHORTEST_SLICE 500u
#define LONGEST_SLICE 1000000u /* of who has fuel */
#define CALLED UINT32_MAX /* step of a program of which a request calls a function */

/* From the linker template. */
extern uint8_t arena_begin[], arena_end[];

const char *const module_state_names[] = {"none", "loaded", "running", "ended"};

static const char *const trap_texts[] = {
#include "generated/traps.inc"
};

#define TEXT(name, text) text,
static const char *const fault_texts[] = {NULL, IMAGE_FAULTS(TEXT)};

/* At the beginning of its part of the arena. What its image needs follows, then its strings. */
struct program {
    struct vm vm; /* first: host functions find the program by it */
    uint32_t function; /* that is called next, or is being called */
    struct host_program host;
    uint64_t deadline; /* of what it waits for; 0: it does not wait */
    uint64_t fuel;     /* microseconds that it may still run, or PLATFORM_FOREVER */
    uint32_t step;     /* how many functions of its start were looked at, or CALLED */
    uint8_t image;
    uint8_t last_trap;
    uint8_t state : 2, state_before : 2; /* enum module_state; before a call */
    uint8_t bad_starts : 2;              /* in a row, before this one */
    uint8_t confirm : 2;
    bool paused; /* in the middle of a call */
};

enum { CONFIRM_NOTHING, CONFIRM_WANTED, CONFIRM_FAILED, CONFIRM_DONE };

_Static_assert(sizeof(struct program) + HOST_STRINGS_SIZE <= PROGRAM_SIZE, "the chip's RAM map has less for a program");

static struct program *programs[IMAGES];
static struct program *latest; /* that was loaded, or executed */
static uint8_t turn;           /* image that was executed last */
static uint8_t waiting;        /* how many programs, one after the other, only waited */
static bool alarm_set;
static volatile bool executing; /* the latest */
static volatile bool slice_over;
static volatile bool must_stop;

/* What is called before or after a program runs keeps a stack of its own, which is not below the program's. */
#define APART __attribute__((noinline))

/// What others ask ///

static bool runs(const struct program *program) {
    return program != NULL && program->state == MODULE_RUNNING;
}

static uint32_t count_running(void) {
    uint32_t count = 0;
    for (uint32_t image = 0; image < IMAGES; image++) {
        count += runs(programs[image]);
    }
    return count;
}

static struct program *loaded(uint32_t image) {
    return image < IMAGES ? programs[image] : NULL;
}

enum module_state module_state_of(uint32_t image) {
    return loaded(image) == NULL ? MODULE_NONE : (enum module_state)programs[image]->state;
}

uint32_t module_first(void) {
    uint32_t first = 0;
    while (first < IMAGES && programs[first] == NULL) {
        first++;
    }
    return first;
}

enum module_state module_state(void) {
    enum module_state state = MODULE_NONE;
    for (uint32_t image = 0; image < IMAGES && state != MODULE_RUNNING; image++) {
        const enum module_state its = module_state_of(image);
        state = state == MODULE_NONE || its == MODULE_RUNNING ? its : state;
    }
    return state;
}

uint32_t module_exit_status(uint32_t image) {
    return loaded(image) == NULL ? 0 : programs[image]->vm.exit_status;
}

uint32_t module_last_trap(uint32_t image) {
    return loaded(image) == NULL ? VM_TRAP_NONE : programs[image]->last_trap;
}

uint32_t module_stack_high_water(uint32_t image) {
    return loaded(image) == NULL ? 0 : vm_stack_high_water(&programs[image]->vm);
}

uint32_t module_arena_used(uint32_t image) {
    return loaded(image) == NULL ? 0 : (uint32_t)programs[image]->vm.arena_used;
}

uint8_t *module_arena(void) {
    return arena_begin;
}

uint32_t module_arena_size(void) {
    return (uint32_t)(arena_end - arena_begin) - PROGRAM_SIZE;
}

const uint32_t *module_globals(uint32_t image, uint32_t first, uint32_t count) {
    if (loaded(image) == NULL) {
        return NULL;
    }
    const struct vm *vm = &programs[image]->vm;
    uint32_t all = ((const struct image_header *)vm->payload)->global_slots;
    return first <= all && count <= all - first ? vm->globals + first : NULL;
}

struct vm_trace module_trace(uint32_t image) {
    return loaded(image) == NULL ? (struct vm_trace){0}
                                 : (struct vm_trace){programs[image]->vm.pc, programs[image]->vm.frame, 0, 0};
}

/* A start makes what is walked through something else: then last_trap is none. */
bool module_next_call(uint32_t image, struct vm_trace *trace) {
    const uint32_t trap = module_last_trap(image);
    return trap != VM_TRAP_NONE && trap != VM_TRAP_EXIT && vm_next_call(&programs[image]->vm, trace);
}

const uint32_t *module_results(uint32_t image) {
    return vm_arguments(&programs[image]->vm);
}

/* They lie over the frames of a trap, so nobody walks these any more, not even who just prints them. */
void module_set_arguments(uint32_t image, const uint8_t *bytes, uint32_t size) {
    programs[image]->last_trap = VM_TRAP_NONE;
    memcpy(vm_arguments(&programs[image]->vm), bytes, size);
}

uint32_t module_slot_room(uint32_t image) {
    return vm_argument_room(&programs[image]->vm);
}

/// Interruptions ///

void module_interrupt(void) {
    if (executing) {
        vm_interrupt(&latest->vm);
        platform_switch_table();
    }
}

void platform_alarmed(void) {
    slice_over = true;
    module_interrupt();
}

uint32_t vm_interrupted(struct vm *interrupted) {
    (void)interrupted;
    if (!platform_poll()) {
        return VM_TRAP_STOPPED;
    }
    return slice_over ? VM_TRAP_PAUSED : VM_TRAP_NONE;
}

bool vm_interrupt_waits(void) {
    return slice_over || console_frame() != NULL;
}

void module_stop(void) {
    must_stop = true;
}

bool module_must_stop(void) {
    return must_stop;
}

/// What host functions ask ///

static struct program *program_of(struct vm *vm) {
    return (struct program *)vm;
}

struct host_program *host_program_of(struct vm *vm) {
    return &program_of(vm)->host;
}

/* A program that runs alone waits where it is. */
uint32_t host_wait(struct vm *vm, uint64_t deadline) {
    struct program *program = program_of(vm);
    if (!platform_poll()) {
        return VM_TRAP_STOPPED;
    }
    if (count_running() > 1 || program->fuel != PLATFORM_FOREVER) {
        program->deadline = deadline;
        return VM_TRAP_PAUSED;
    }
    if (deadline != 0) {
        platform_wait(deadline);
    }
    return VM_TRAP_NONE;
}

bool host_turn_is_over(void) {
    return slice_over;
}

/* Not here, where the C stack is deep already, but while the program pauses. */
uint32_t host_confirm(struct vm *vm, bool *good) {
    struct program *program = program_of(vm);
    if (program->confirm == CONFIRM_NOTHING) {
        program->confirm = CONFIRM_WANTED;
        return VM_TRAP_PAUSED;
    }
    *good = program->confirm == CONFIRM_DONE;
    program->confirm = CONFIRM_NOTHING;
    return VM_TRAP_NONE;
}

/// Bad starts ///

#define MOST_BAD_STARTS 3u
#define BAD_STARTS_BITS 2u    /* of the note, for each image */
#define NOTE_FAULT 0x100u /* beside them */

_Static_assert(IMAGES * BAD_STARTS_BITS <= 8, "the note has room for them");

static uint32_t noted_bad_starts(uint32_t image) {
    return platform_noted() >> BAD_STARTS_BITS * image & MOST_BAD_STARTS;
}

static void note_bad_starts(uint32_t image, uint32_t count) {
    const uint32_t others = platform_noted() & ~(MOST_BAD_STARTS << BAD_STARTS_BITS * image);
    platform_note((uint16_t)(others | count << BAD_STARTS_BITS * image));
}

void module_trust(void) {
    platform_note(0);
    if (latest != NULL) {
        latest->bad_starts = 0;
    }
}

void platform_faulted(void) {
    if (latest != NULL && latest->image < IMAGES) {
        note_bad_starts(latest->image, (latest->bad_starts + 1u) & MOST_BAD_STARTS);
    }
    platform_note(platform_noted() | NOTE_FAULT);
}

static void print_fault(void) {
    const uint16_t note = platform_noted();
    platform_note(note & (uint16_t)~NOTE_FAULT);
    if (note & NOTE_FAULT) {
        console_print("[the firmware had a fault]\r\n");
    }
}

/* A start that is cut off by a reset from outside is no bad one: the note is gone until the program goes wrong. */
static bool may_start(uint32_t image) {
    if (noted_bad_starts(image) < MOST_BAD_STARTS) {
        return true;
    }
    console_print("[program not started: its last ");
    console_print_number(MOST_BAD_STARTS);
    console_print(" starts ended in a trap or a fault; install it again, or switch the power off and on]\r\n");
    return false;
}

/// Loading ///

static void forget_all(void) {
    memset(programs, 0, sizeof programs);
    latest = NULL;
}

void module_unload(void) {
    forget_all();
    module_trust();
}

/* At a place of the arena. Whoever breaks the firmware by being loaded has had a bad start. */
APART static enum image_fault load_at(uint8_t *place, uint32_t image, const uint8_t *container, uint32_t size,
                                      const char **detail) {
    struct program *program = (struct program *)place;
    const size_t left = (size_t)(arena_end - place);
    *detail = NULL;
    if (container == NULL || left < PROGRAM_SIZE) {
        return container == NULL ? IMAGE_FAULT_ABSENT : IMAGE_FAULT_RAM;
    }
    memset(program, 0, sizeof *program);
    program->image = (uint8_t)image;
    program->state = MODULE_LOADED;
    program->fuel = PLATFORM_FOREVER;
    program->bad_starts = (uint8_t)noted_bad_starts(image);
    latest = program;
    enum image_fault wrong = image_load(&program->vm, container, size, (uint8_t *)(program + 1), left - PROGRAM_SIZE,
                                        BOARD_GRANTS & store_grants(image), detail);
    if (wrong == IMAGE_GOOD) {
        wrong = image_check_counter(container, size, store_counter(image));
    }
    if (wrong == IMAGE_GOOD) {
        program->host.strings = (char *)(program + 1) + program->vm.arena_used;
        program->host.has_input = place == arena_begin;
        programs[image] = program;
    }
    return wrong;
}

const char *module_load(uint32_t image, const uint8_t *container, uint32_t size, const char **detail) {
    forget_all();
    console_share(false);
    return fault_texts[load_at(arena_begin, image, container, size, detail)];
}

const char *module_check(uint32_t image, const uint8_t *container, uint32_t size, const char **detail) {
    const char *wrong = module_load(image, container, size, detail);
    forget_all();
    return wrong;
}

bool module_add_string(bool environment, const char *text, size_t length) {
    return (environment ? host_add_environment : host_add_argument)(&latest->host, text, length);
}

void module_seed(uint64_t seed) {
    host_seed(&latest->host, seed);
}

/* The next function of a start: every module is instantiated in the order of the bundle, then those that have a start
   function are run. */
static bool next_of_start(struct program *program) {
    const struct image_module *modules = image_section(&program->vm, IMAGE_MODULES);
    const uint32_t count = program->vm.sections[IMAGE_MODULES].count;
    while (program->step < 2 * count) {
        const uint32_t i = program->step++;
        program->function = i < count ? modules[i].instantiate : modules[i - count].start;
        if (program->function != IMAGE_NONE) {
            return true;
        }
    }
    return false;
}

void module_begin_call(uint32_t image, uint32_t function) {
    struct program *program = programs[image];
    program->state_before = program->state;
    program->state = MODULE_RUNNING;
    program->last_trap = VM_TRAP_NONE;
    program->fuel = PLATFORM_FOREVER;
    program->function = function;
    program->step = CALLED;
    slice_over = true; /* of one that had thought to be alone */
}

/// Telling ///

static void print_place(const char *before, uint32_t number, const char *between, uint32_t offset) {
    console_print(before);
    console_print_number(number);
    console_print(between);
    console_print_number(offset);
}

static void print_trap(uint32_t image, uint32_t trap) {
    struct vm_trace trace = module_trace(image);
    const bool placed = module_next_call(image, &trace);
    console_print("\r\n[trap ");
    console_print(trap_texts[trap]);
    if (placed) {
        print_place(" function=", trace.function, " pc=", trace.offset);
    }
    console_print("]\r\n");
    for (uint32_t i = 1; i < MOST_PLACES && module_next_call(image, &trace); i++) {
        print_place("[at ", trace.function, "+", trace.offset);
        console_print("]\r\n");
    }
}

APART static void print_end(const struct program *program) {
    const uint32_t trap = program->last_trap, status = program->vm.exit_status;
    console_speaker(program->image);
    if (trap != VM_TRAP_NONE && trap != VM_TRAP_EXIT) {
        print_trap(program->image, trap);
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

/// The board's start ///

/* Whether a version that nobody has confirmed was given up. */
APART static bool begin_trial(uint32_t image) {
    const bool back = store_begin(image) == STORE_ROLLED_BACK;
    if (back) {
        note_bad_starts(image, 0);
        console_speaker(image);
        console_print("[rolled back: the new program was not confirmed]\r\n");
    }
    return back;
}

/* Of those that are installed. */
APART static uint32_t begin_trials(void) {
    uint32_t size, count = 0;
    for (uint32_t image = 0; image < IMAGES; image++) {
        begin_trial(image);
        count += store_chosen(image, &size) != NULL;
    }
    return count;
}

static void make_ready(struct program *program) {
    const uint32_t milliseconds = store_fuel(program->image);
    store_settings(program->image, module_add_string);
    program->fuel = milliseconds == 0 ? PLATFORM_FOREVER : (uint64_t)milliseconds * 1000;
    note_bad_starts(program->image, 0);
    next_of_start(program); /* there is one: every module is instantiated */
    program->state = MODULE_RUNNING;
}

/* What is installed of an image goes to `place`, if there is something and nothing against its start; gives where the
   next one goes. */
APART static uint8_t *start_installed(uint32_t image, uint8_t *place) {
    const char *detail;
    uint32_t size;
    const uint8_t *container = store_chosen(image, &size);
    console_speaker(image);
    if (container == NULL || !may_start(image)) {
        return place;
    }
    const enum image_fault wrong = load_at(place, image, container, size, &detail);
    if (wrong != IMAGE_GOOD) {
        print_refusal(fault_texts[wrong], detail);
        return place;
    }
    make_ready(programs[image]);
    const struct host_program *host = &programs[image]->host;
    const size_t used = (size_t)((uint8_t *)host->strings - arena_begin) + host->argument_size + host->environment_size;
    return arena_begin + ((used + 7) & ~(size_t)7);
}

void module_start(void) {
    uint8_t *place = arena_begin;
    print_fault();
    const uint32_t count = begin_trials();
    console_share(count > 1);
    if (count == 0) {
        print_refusal(fault_texts[IMAGE_FAULT_ABSENT], NULL);
    }
    for (uint32_t image = 0; image < IMAGES; image++) {
        uint8_t *next = start_installed(image, place);
        if (loaded(image) == NULL && begin_trial(image)) { /* a refusal ends its trial at once */
            next = start_installed(image, place);
        }
        place = next;
    }
}

/// Turns ///

/* Makes the next one that runs the latest. */
static bool next_program(void) {
    for (uint32_t i = 0; i < IMAGES; i++) {
        turn = turn + 1u < IMAGES ? turn + 1 : 0;
        if (runs(programs[turn])) {
            latest = programs[turn];
            return true;
        }
    }
    return false;
}

/* When the program that runs from `now` on has to make way for others, or has used up what it may run. */
static uint64_t end_of_slice(const struct program *program, uint64_t now) {
    uint64_t end = PLATFORM_FOREVER;
    if (program->fuel != PLATFORM_FOREVER) {
        end = now + (program->fuel < LONGEST_SLICE ? program->fuel : LONGEST_SLICE);
    }
    for (uint32_t image = 0; image < IMAGES; image++) {
        const struct program *other = programs[image];
        if (other != program && runs(other)) {
            const uint64_t wanted = other->deadline != 0 ? other->deadline : now + SLICE;
            end = wanted < end ? wanted : end;
            end = now + SLICE < end ? now + SLICE : end;
        }
    }
    return end < now + SHORTEST_SLICE ? now + SHORTEST_SLICE : end;
}

static uint32_t slice_begun; /* microseconds, the lower half */

APART static bool begin_slice(void) {
    if (!next_program()) {
        return false;
    }
    struct program *program = latest;
    console_speaker(program->image);
    program->deadline = 0;
    if (!program->paused) {
        program->host.since = 0;
        program->confirm = CONFIRM_NOTHING;
    }
    const uint64_t now = platform_microseconds(), end = end_of_slice(program, now);
    slice_begun = (uint32_t)now;
    slice_over = false;
    if (end != PLATFORM_FOREVER || alarm_set) {
        alarm_set = end != PLATFORM_FOREVER;
        platform_alarm(end);
    }
    return true;
}

/* A host function that a request has called has no bytecode to go on with: it is called again. */
static uint32_t function_to_call(const struct program *program) {
    return program->paused && program->vm.pc != program->vm.code ? VM_GO_ON : program->function;
}

static bool went_wrong(uint32_t trap) {
    return trap != VM_TRAP_NONE && trap != VM_TRAP_EXIT && trap != VM_TRAP_STOPPED;
}

APART static void end_program(struct program *program, uint32_t trap) {
    program->last_trap = (uint8_t)trap;
    program->paused = false;
    waiting = 0;
    if (program->step == CALLED) {
        program->state = program->state_before;
        return;
    }
    program->state = MODULE_ENDED;
    if (went_wrong(trap)) {
        note_bad_starts(program->image, program->bad_starts + 1u);
    }
    print_end(program);
}

/* When every program that runs has only waited since the last one did more, the core sleeps. */
static void rest(void) {
    uint64_t deadline = PLATFORM_FOREVER;
    if (waiting < count_running()) {
        return;
    }
    for (uint32_t image = 0; image < IMAGES; image++) {
        if (runs(programs[image]) && programs[image]->deadline < deadline) {
            deadline = programs[image]->deadline;
        }
    }
    platform_wait(deadline);
    waiting = 0;
}

/* A request may have chosen another version since, or have started one that is not. A program vouches for itself only. */
static bool confirm_own(const struct program *program) {
    uint32_t size;
    const uint8_t *container = store_chosen(program->image, &size);
    return container != NULL && (size_t)(program->vm.payload - container) < size && store_confirm(program->image);
}

static void pause(struct program *program) {
    waiting = program->deadline != 0 ? waiting + 1 : 0;
    if (program->confirm == CONFIRM_WANTED) {
        program->confirm = confirm_own(program) ? CONFIRM_DONE : CONFIRM_FAILED;
    }
    rest();
}

APART static void end_slice(uint32_t trap) {
    struct program *program = latest;
    if (program->fuel != PLATFORM_FOREVER) {
        const uint32_t used = (uint32_t)platform_microseconds() - slice_begun;
        program->fuel = used < program->fuel ? program->fuel - used : 0;
        trap = trap == VM_TRAP_PAUSED && program->fuel == 0 ? VM_TRAP_FUEL_USED_UP : trap;
    }
    program->paused = trap == VM_TRAP_PAUSED;
    if (program->paused) {
        pause(program);
    } else if (trap != VM_TRAP_NONE || program->step == CALLED || !next_of_start(program)) {
        end_program(program, trap);
    }
}

APART static bool stop_all(void) {
    const bool stops = must_stop;
    for (uint32_t image = 0; image < IMAGES && stops; image++) {
        if (runs(programs[image])) {
            end_program(programs[image], VM_TRAP_STOPPED);
        }
    }
    must_stop = false;
    return stops;
}

bool module_step(void) {
    const bool stopped = stop_all();
    if (!begin_slice()) {
        return stopped;
    }
    executing = true;
    const uint32_t trap = vm_call(&latest->vm, function_to_call(latest));
    executing = false;
    end_slice(trap);
    stop_all();
    return true;
}
