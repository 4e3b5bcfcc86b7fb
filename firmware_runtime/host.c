/* What the imported functions do: WASI preview 1 on a console and a clock, the module `mcu`, AssemblyScript's `env`.

   Every function gets its arguments in frame slots and leaves its result there. A pointer is checked by vm_memory
   before anything happens, so a call that traps has had no effect. Numbers, structures and error codes are those of
   WASI preview 1 (wasi_snapshot_preview1.witx); its structures are read and written bytewise, since a guest may
   pass any address. */
#include "host.h"

#include <string.h>

#include "console.h"
#include "platform.h"
#include "vm.h"
#include "generated/hostapi.inc"

enum { SUCCESS = 0, EBADF = 8, EINVAL = 28, EIO = 29, ENOSYS = 52, ESPIPE = 70 };
enum { STDIN, STDOUT, STDERR, DESCRIPTORS };
enum { CLOCKS = 4 }; /* realtime, monotonic, process and thread time: one counter here */
enum { CHARACTER_DEVICE = 2, RIGHT_READ = 1 << 1, RIGHT_WRITE = 1 << 6, RIGHT_POLL = 1 << 27 };
enum { IOVEC_SIZE = 8, SUBSCRIPTION_SIZE = 48, EVENT_SIZE = 32, FDSTAT_SIZE = 24, FILESTAT_SIZE = 64 };
enum { EVENT_CLOCK, EVENT_READ, EVENT_WRITE };
enum { CLOCK_ABSOLUTE = 1 };
enum { ABORT_STATUS = 255 };

/// What a program is started with ///

static bool add_string(struct host_program *program, const char *text, size_t length, uint16_t *count,
                       uint16_t *size) {
    size_t used = (size_t)program->argument_size + program->environment_size;
    if (length >= HOST_STRINGS_SIZE - used) {
        return false;
    }
    memcpy(program->strings + used, text, length);
    program->strings[used + length] = 0;
    *size += (uint16_t)(length + 1);
    ++*count;
    return true;
}

bool host_add_argument(struct host_program *program, const char *text, size_t length) {
    return program->environment_count == 0 &&
           add_string(program, text, length, &program->argument_count, &program->argument_size);
}

bool host_add_environment(struct host_program *program, const char *text, size_t length) {
    return add_string(program, text, length, &program->environment_count, &program->environment_size);
}

void host_seed(struct host_program *program, uint64_t seed) {
    program->random_state = seed | 1;
}

/// Guest memory ///

static uint32_t load32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load64(const uint8_t *p) {
    return load32(p) | (uint64_t)load32(p + 4) << 32;
}

static void store32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> 8 * i);
    }
}

static void store64(uint8_t *p, uint64_t value) {
    store32(p, (uint32_t)value);
    store32(p + 4, (uint32_t)(value >> 32));
}

/* Backed memory of the guest, or NULL with the reason in vm->trap. An empty range may lie anywhere. */
static uint8_t *guest_memory(struct vm *vm, uint32_t address, uint32_t length) {
    static uint8_t nothing;
    if (length == 0) {
        return &nothing;
    }
    uint8_t *memory = vm_memory(vm, address, length);
    if (!memory) {
        vm->trap = vm_range_fault(vm, address, length);
    }
    return memory;
}

/* The same for what is only read, which may lie in flash. */
static const uint8_t *guest_data(struct vm *vm, uint32_t address, uint32_t length) {
    const uint8_t *data = length == 0 ? guest_memory(vm, 0, 0) : vm_readable(vm, address, length);
    if (!data) {
        vm->trap = vm_range_fault(vm, address, length);
    }
    return data;
}

static uint8_t *guest_array(struct vm *vm, uint32_t address, uint32_t count, uint32_t size) {
    return guest_memory(vm, address, count > UINT32_MAX / size ? UINT32_MAX : count * size);
}

static uint32_t finish(uint32_t *slots, uint32_t error) {
    slots[0] = error;
    return VM_TRAP_NONE;
}

/// Arguments and environment ///

static uint32_t get_strings(struct vm *vm, uint32_t *slots, const char *text, uint32_t count, uint32_t size) {
    uint8_t *pointers = guest_array(vm, slots[0], count, 4), *buffer = guest_memory(vm, slots[1], size);
    if (!pointers || !buffer) {
        return vm->trap;
    }
    memcpy(buffer, text, size);
    for (uint32_t i = 0, offset = 0; i < count; i++) {
        store32(pointers + 4 * i, slots[1] + offset);
        offset += (uint32_t)strlen(text + offset) + 1;
    }
    return finish(slots, SUCCESS);
}

static uint32_t get_sizes(struct vm *vm, uint32_t *slots, uint32_t count, uint32_t size) {
    uint8_t *count_out = guest_memory(vm, slots[0], 4), *size_out = guest_memory(vm, slots[1], 4);
    if (!count_out || !size_out) {
        return vm->trap;
    }
    store32(count_out, count);
    store32(size_out, size);
    return finish(slots, SUCCESS);
}

uint32_t wasi_args_get(struct vm *vm, uint32_t *slots) {
    const struct host_program *program = host_program_of(vm);
    return get_strings(vm, slots, program->strings, program->argument_count, program->argument_size);
}

uint32_t wasi_args_sizes_get(struct vm *vm, uint32_t *slots) {
    const struct host_program *program = host_program_of(vm);
    return get_sizes(vm, slots, program->argument_count, program->argument_size);
}

uint32_t wasi_environ_get(struct vm *vm, uint32_t *slots) {
    const struct host_program *program = host_program_of(vm);
    return get_strings(vm, slots, program->strings + program->argument_size, program->environment_count,
                       program->environment_size);
}

uint32_t wasi_environ_sizes_get(struct vm *vm, uint32_t *slots) {
    const struct host_program *program = host_program_of(vm);
    return get_sizes(vm, slots, program->environment_count, program->environment_size);
}

/// Time ///

static uint32_t clock_answer(struct vm *vm, uint32_t *slots, uint32_t address, uint64_t nanoseconds) {
    uint8_t *out = guest_memory(vm, address, 8);
    if (!out) {
        return vm->trap;
    }
    if (slots[0] >= CLOCKS) {
        return finish(slots, EINVAL);
    }
    store64(out, nanoseconds);
    return finish(slots, SUCCESS);
}

uint32_t wasi_clock_res_get(struct vm *vm, uint32_t *slots) {
    return clock_answer(vm, slots, slots[1], 1000);
}

uint32_t wasi_clock_time_get(struct vm *vm, uint32_t *slots) {
    return clock_answer(vm, slots, slots[3], platform_microseconds() * 1000);
}

/* When a call that waits was first made: it is made again after others have had their turn. */
static uint64_t begin_wait(struct host_program *program) {
    if (program->since == 0) {
        program->since = platform_microseconds();
    }
    return program->since;
}

static uint32_t end_wait(struct host_program *program, uint32_t trap) {
    if (trap != VM_TRAP_PAUSED) {
        program->since = 0;
    }
    return trap;
}

uint32_t wasi_sched_yield(struct vm *vm, uint32_t *slots) {
    struct host_program *program = host_program_of(vm);
    const bool again = program->since != 0;
    begin_wait(program);
    const uint32_t trap = end_wait(program, again ? VM_TRAP_NONE : host_wait(vm, 0));
    return trap ? trap : finish(slots, SUCCESS);
}

/// Descriptors ///

uint32_t wasi_enosys(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, ENOSYS);
}

uint32_t wasi_ebadf(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, EBADF);
}

uint32_t wasi_fd_close(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, slots[0] < DESCRIPTORS ? SUCCESS : EBADF);
}

uint32_t wasi_fd_seek(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, slots[0] < DESCRIPTORS ? ESPIPE : EBADF);
}

uint32_t wasi_fd_tell(struct vm *vm, uint32_t *slots) {
    return wasi_fd_seek(vm, slots);
}

/* fdstat: file type u8 @0, flags u16 @2, rights u64 @8, inheriting rights u64 @16. Without the right to seek,
   wasi-libc takes the descriptor for a terminal. */
uint32_t wasi_fd_fdstat_get(struct vm *vm, uint32_t *slots) {
    uint8_t *stat = guest_memory(vm, slots[1], FDSTAT_SIZE);
    if (!stat) {
        return vm->trap;
    }
    if (slots[0] >= DESCRIPTORS) {
        return finish(slots, EBADF);
    }
    memset(stat, 0, FDSTAT_SIZE);
    stat[0] = CHARACTER_DEVICE;
    store32(stat + 8, RIGHT_POLL | (slots[0] == STDIN ? RIGHT_READ : RIGHT_WRITE));
    return finish(slots, SUCCESS);
}

/* filestat: device u64 @0, inode u64 @8, file type u8 @16, links u64 @24, size u64 @32, three times u64. */
uint32_t wasi_fd_filestat_get(struct vm *vm, uint32_t *slots) {
    uint8_t *stat = guest_memory(vm, slots[1], FILESTAT_SIZE);
    if (!stat) {
        return vm->trap;
    }
    if (slots[0] >= DESCRIPTORS) {
        return finish(slots, EBADF);
    }
    memset(stat, 0, FILESTAT_SIZE);
    stat[16] = CHARACTER_DEVICE;
    return finish(slots, SUCCESS);
}

/* The buffer of one iovec to be written out, or NULL when any part of it is not backed memory. */
static const uint8_t *iovec(struct vm *vm, const uint8_t *iovecs, uint32_t index, uint32_t *length) {
    const uint8_t *entry = iovecs + IOVEC_SIZE * index;
    *length = load32(entry + 4);
    return guest_data(vm, load32(entry), *length);
}

/* The same for one to be filled. */
static uint8_t *iovec_to_fill(struct vm *vm, const uint8_t *iovecs, uint32_t index, uint32_t *length) {
    const uint8_t *entry = iovecs + IOVEC_SIZE * index;
    *length = load32(entry + 4);
    return guest_memory(vm, load32(entry), *length);
}

static const uint8_t *guest_iovecs(struct vm *vm, const uint32_t *slots) {
    return guest_data(vm, slots[1], slots[2] > UINT32_MAX / IOVEC_SIZE ? UINT32_MAX : slots[2] * IOVEC_SIZE);
}

/* Checks a whole transfer before any of it happens: the result word, the iovecs and every buffer. */
static bool transfer_is_backed(struct vm *vm, const uint32_t *slots, bool fills) {
    const uint8_t *iovecs = guest_iovecs(vm, slots);
    uint32_t length;
    if (!iovecs || !guest_memory(vm, slots[3], 4)) {
        return false;
    }
    for (uint32_t i = 0; i < slots[2]; i++) {
        if (fills ? !iovec_to_fill(vm, iovecs, i, &length) : !iovec(vm, iovecs, i, &length)) {
            return false;
        }
    }
    return true;
}

/* Text goes out in pieces, between which others may have their turn, however much a program has to say. Apart from the
   C stack, which is deep when a request is answered meanwhile. */
enum { PIECE = 256 };

static struct {
    const uint8_t *data;
    uint32_t size, index, before; /* bytes of this part, which part it is, bytes in those before it */
} text;

/* What went out in the program's turns before is passed over. */
static inline __attribute__((always_inline)) uint32_t write_text(struct host_program *program) {
    for (;;) {
        const uint32_t done = (uint32_t)program->since - text.before;
        if (done >= text.size) {
            return VM_TRAP_NONE;
        }
        const uint32_t left = text.size - done, room = PIECE - (uint32_t)program->since % PIECE;
        const uint32_t count = left < room ? left : room;
        if (!console_write(text.data + done, count)) {
            return VM_TRAP_STOPPED;
        }
        program->since += count;
        if (program->since % PIECE == 0 && host_turn_is_over()) {
            return VM_TRAP_PAUSED;
        }
    }
}

static uint32_t write_all(struct vm *vm, const uint32_t *slots) {
    uint32_t trap = VM_TRAP_NONE;
    text.before = 0;
    for (text.index = 0; text.index < slots[2] && !trap; text.index++) {
        text.data = iovec(vm, guest_iovecs(vm, slots), text.index, &text.size);
        trap = write_text(host_program_of(vm));
        text.before += text.size;
    }
    return end_wait(host_program_of(vm), trap);
}

uint32_t wasi_fd_write(struct vm *vm, uint32_t *slots) {
    if (!transfer_is_backed(vm, slots, false)) {
        return vm->trap;
    }
    if (slots[0] != STDOUT && slots[0] != STDERR) {
        return finish(slots, EBADF);
    }
    const uint32_t trap = write_all(vm, slots);
    if (trap) {
        return trap;
    }
    store32(guest_memory(vm, slots[3], 4), text.before);
    return finish(slots, SUCCESS);
}

static bool input_ended(const struct host_program *program) {
    return !program->has_input || console_input_ended();
}

static size_t take_input(const struct host_program *program, uint8_t *buffer, uint32_t room) {
    return program->has_input ? console_input(buffer, room) : 0;
}

/* Fills the first buffer that has room with what input there is: a short read is always allowed. */
uint32_t wasi_fd_read(struct vm *vm, uint32_t *slots) {
    if (!transfer_is_backed(vm, slots, true)) {
        return vm->trap;
    }
    if (slots[0] != STDIN) {
        return finish(slots, EBADF);
    }
    const struct host_program *program = host_program_of(vm);
    const uint8_t *iovecs = guest_iovecs(vm, slots);
    uint8_t *buffer = NULL;
    uint32_t room = 0, count = 0;
    for (uint32_t i = 0; i < slots[2] && room == 0; i++) {
        buffer = iovec_to_fill(vm, iovecs, i, &room);
    }
    uint32_t trap = VM_TRAP_NONE;
    while (!trap && room && (count = (uint32_t)take_input(program, buffer, room)) == 0 && !input_ended(program)) {
        trap = host_wait(vm, PLATFORM_FOREVER);
    }
    if (trap) {
        return trap;
    }
    store32(guest_memory(vm, slots[3], 4), count);
    return finish(slots, SUCCESS);
}

/// Polling ///

/* subscription: user data u64 @0, kind u8 @8; of a clock: id u32 @16, timeout u64 @24, flags u16 @40; else descriptor
   u32 @16. event: user data u64 @0, error u16 @8, kind u8 @10, bytes u64 @16, flags u16 @24. */

static bool subscription_is_known(const uint8_t *subscription) {
    uint8_t kind = subscription[8];
    return kind == EVENT_CLOCK ? load32(subscription + 16) < CLOCKS : kind <= EVENT_WRITE;
}

/* The time in microseconds at which a clock's subscription is due, rounded up. */
static uint64_t clock_due(const uint8_t *subscription, uint64_t start) {
    uint64_t nanoseconds = load64(subscription + 24);
    uint64_t microseconds = nanoseconds / 1000 + (nanoseconds % 1000 != 0);
    return subscription[40] & CLOCK_ABSOLUTE ? microseconds : start + microseconds;
}

static uint32_t descriptor_error(const uint8_t *subscription) {
    uint32_t fd = load32(subscription + 16);
    bool fits = subscription[8] == EVENT_READ ? fd == STDIN : fd == STDOUT || fd == STDERR;
    return fits ? SUCCESS : EBADF;
}

/* When a subscription is due: 0 is at once, as for output, which never waits, and for an error. */
static uint64_t due(const struct host_program *program, const uint8_t *subscription, uint64_t start) {
    if (subscription[8] == EVENT_CLOCK) {
        return clock_due(subscription, start);
    }
    if (subscription[8] == EVENT_READ && descriptor_error(subscription) == SUCCESS) {
        return input_ended(program) || console_input_available() ? 0 : PLATFORM_FOREVER;
    }
    return 0;
}

static void store_event(uint8_t *event, const uint8_t *subscription) {
    uint8_t kind = subscription[8];
    uint64_t user_data = load64(subscription);
    uint32_t error = kind == EVENT_CLOCK ? SUCCESS : descriptor_error(subscription);
    memset(event, 0, EVENT_SIZE);
    store64(event, user_data);
    event[8] = (uint8_t)error;
    event[10] = kind;
    if (kind != EVENT_CLOCK && error == SUCCESS) {
        event[16] = 1; /* at least one byte can be moved */
    }
}

/* Apart from the C stack, which is deep when a request is answered meanwhile. */
static uint64_t next_event; /* when the first is due of those that are not yet */

static const uint8_t *guest_subscriptions(struct vm *vm, const uint32_t *slots) {
    return guest_array(vm, slots[0], slots[2], SUBSCRIPTION_SIZE);
}

static uint8_t *guest_events(struct vm *vm, const uint32_t *slots) {
    return guest_array(vm, slots[1], slots[2], EVENT_SIZE);
}

static __attribute__((noinline)) bool poll_is_backed(struct vm *vm, const uint32_t *slots) {
    return guest_subscriptions(vm, slots) && guest_events(vm, slots) && guest_memory(vm, slots[3], 4);
}

static __attribute__((noinline)) bool subscriptions_are_known(const uint8_t *subscriptions, uint32_t count) {
    bool known = true;
    for (uint32_t i = 0; i < count; i++) {
        known = known && subscription_is_known(subscriptions + SUBSCRIPTION_SIZE * i);
    }
    return known;
}

/* Stores the events that are due, and says how many; of the others, when the first will be. */
static __attribute__((noinline)) uint32_t store_due(struct vm *vm, const uint32_t *slots) {
    struct host_program *program = host_program_of(vm);
    const uint8_t *subscriptions = guest_subscriptions(vm, slots);
    uint8_t *events = guest_events(vm, slots);
    uint64_t now = platform_microseconds();
    uint32_t stored = 0;
    next_event = PLATFORM_FOREVER;
    for (uint32_t i = 0; i < slots[2]; i++, subscriptions += SUBSCRIPTION_SIZE) {
        uint64_t time = due(program, subscriptions, begin_wait(program));
        if (time <= now) {
            store_event(events + EVENT_SIZE * stored++, subscriptions);
        } else if (time < next_event) {
            next_event = time;
        }
    }
    store32(guest_memory(vm, slots[3], 4), stored);
    return stored;
}

uint32_t wasi_poll_oneoff(struct vm *vm, uint32_t *slots) {
    if (!poll_is_backed(vm, slots)) {
        return vm->trap;
    }
    if (!subscriptions_are_known(guest_subscriptions(vm, slots), slots[2])) {
        return finish(slots, EINVAL);
    }
    uint32_t trap = VM_TRAP_NONE;
    while (!trap && store_due(vm, slots) == 0 && slots[2] != 0) {
        trap = host_wait(vm, next_event);
    }
    end_wait(host_program_of(vm), trap);
    return trap ? trap : finish(slots, slots[2] != 0 ? SUCCESS : EINVAL);
}

/// Processes and random numbers ///

uint32_t wasi_proc_exit(struct vm *vm, uint32_t *slots) {
    vm->exit_status = slots[0];
    return VM_TRAP_EXIT;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2014). */
static uint8_t seeded_byte(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (uint8_t)(x * 0x2545F4914F6CDD1Du >> 56);
}

uint32_t wasi_random_get(struct vm *vm, uint32_t *slots) {
    uint64_t *state = &host_program_of(vm)->random_state;
    uint8_t *buffer = guest_memory(vm, slots[0], slots[1]);
    if (!buffer) {
        return vm->trap;
    }
    if (!*state) {
        return finish(slots, platform_random(buffer, slots[1]) ? SUCCESS : ENOSYS);
    }
    for (uint32_t i = 0; i < slots[1]; i++) {
        buffer[i] = seeded_byte(state);
    }
    return finish(slots, SUCCESS);
}

/// Module mcu ///

uint32_t mcu_gpio_mode(struct vm *vm, uint32_t *slots) {
    (void)vm;
    bool done = slots[1] <= GPIO_INPUT_PULL_DOWN && gpio_configure(slots[0], (enum gpio_mode)slots[1]);
    return finish(slots, done ? SUCCESS : EINVAL);
}

uint32_t mcu_gpio_write(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, gpio_write(slots[0], slots[1] != 0) ? SUCCESS : EINVAL);
}

uint32_t mcu_gpio_read(struct vm *vm, uint32_t *slots) {
    (void)vm;
    slots[0] = (uint32_t)gpio_read(slots[0]);
    return VM_TRAP_NONE;
}

uint32_t mcu_led_set(struct vm *vm, uint32_t *slots) {
    (void)vm;
    return finish(slots, led_set(slots[0] != 0) ? SUCCESS : ENOSYS);
}

uint32_t mcu_millis(struct vm *vm, uint32_t *slots) {
    (void)vm;
    uint64_t milliseconds = platform_microseconds() / 1000;
    slots[0] = (uint32_t)milliseconds;
    slots[1] = (uint32_t)(milliseconds >> 32);
    return VM_TRAP_NONE;
}

uint32_t mcu_sleep_ms(struct vm *vm, uint32_t *slots) {
    struct host_program *program = host_program_of(vm);
    uint64_t deadline = begin_wait(program) + (uint64_t)slots[0] * 1000;
    uint32_t trap = VM_TRAP_NONE;
    while (!trap && platform_microseconds() < deadline) {
        trap = host_wait(vm, deadline);
    }
    return end_wait(program, trap);
}

uint32_t mcu_confirm(struct vm *vm, uint32_t *slots) {
    bool good = false;
    const uint32_t trap = host_confirm(vm, &good);
    return trap ? trap : finish(slots, good ? SUCCESS : EIO);
}

uint32_t mcu_uart_write(struct vm *vm, uint32_t *slots) {
    const uint8_t *data = guest_data(vm, slots[0], slots[1]);
    if (!data) {
        return vm->trap;
    }
    text.data = data;
    text.size = slots[1];
    text.before = 0;
    const uint32_t trap = end_wait(host_program_of(vm), write_text(host_program_of(vm)));
    return trap ? trap : finish(slots, SUCCESS);
}

/// Module env: AssemblyScript ///

struct utf16 {
    const uint8_t *units;
    uint32_t count;
};

/* A string object: UTF-16 units at `address`, their size in bytes in the word before it. 0 is the empty string. */
static bool guest_string(struct vm *vm, uint32_t address, struct utf16 *string) {
    *string = (struct utf16){NULL, 0};
    if (address == 0) {
        return true;
    }
    const uint8_t *size = guest_data(vm, address - 4, 4);
    if (!size) {
        return false;
    }
    string->count = load32(size) / 2;
    string->units = guest_data(vm, address, string->count * 2);
    return string->units != NULL;
}

static uint32_t utf16_unit(const struct utf16 *string, uint32_t index) {
    return string->units[2 * index] | (uint32_t)string->units[2 * index + 1] << 8;
}

/* The code point at *index, which moves past it; a lone surrogate gives U+FFFD. */
static uint32_t utf16_next(const struct utf16 *string, uint32_t *index) {
    uint32_t high = utf16_unit(string, (*index)++);
    if (high >> 11 != 0xD800 >> 11) {
        return high;
    }
    uint32_t low = *index < string->count ? utf16_unit(string, *index) : 0;
    if (high >= 0xDC00 || low >> 10 != 0xDC00 >> 10) {
        return 0xFFFD;
    }
    ++*index;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static uint32_t utf8_encode(uint32_t point, uint8_t *out) {
    uint32_t extra = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (uint32_t i = extra; i > 0; i--, point >>= 6) {
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    }
    out[0] = (uint8_t)(extra ? 0xFF00 >> (extra + 1) | point : point);
    return extra + 1;
}

static __attribute__((noinline)) uint32_t utf8_next(const struct utf16 *string, uint32_t *index, uint8_t *out) {
    return utf8_encode(utf16_next(string, index), out);
}

/* Writes a string object; nothing when it does not lie in memory. Where it stands is apart from the C stack, which is
   deep when a request is answered meanwhile. */
static bool console_write_string(struct vm *vm, uint32_t address) {
    static struct utf16 string;
    static uint32_t index;
    static uint8_t bytes[4];
    if (!guest_string(vm, address, &string)) {
        return false;
    }
    for (index = 0; index < string.count;) {
        console_write(bytes, utf8_next(&string, &index, bytes));
    }
    return true;
}

uint32_t env_console_log(struct vm *vm, uint32_t *slots) {
    if (!console_write_string(vm, slots[0])) {
        return vm->trap;
    }
    console_print("\n");
    return VM_TRAP_NONE;
}

static __attribute__((noinline)) bool is_string(struct vm *vm, uint32_t address) {
    struct utf16 string;
    return guest_string(vm, address, &string);
}

uint32_t env_abort(struct vm *vm, uint32_t *slots) {
    if (!is_string(vm, slots[0]) || !is_string(vm, slots[1])) {
        return vm->trap;
    }
    console_print("abort: ");
    console_write_string(vm, slots[0]);
    console_print(" in ");
    console_write_string(vm, slots[1]);
    console_print(":");
    console_print_number(slots[2]);
    console_print(":");
    console_print_number(slots[3]);
    console_print("\n");
    vm->exit_status = ABORT_STATUS;
    return VM_TRAP_EXIT;
}

/* A double is stored low half first, as an f64 lies in slots. */
uint32_t env_seed(struct vm *vm, uint32_t *slots) {
    (void)vm;
    double seed = (double)platform_microseconds();
    memcpy(slots, &seed, sizeof seed);
    return VM_TRAP_NONE;
}
