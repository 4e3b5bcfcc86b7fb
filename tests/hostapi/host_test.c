/* host.c on the PC, against a guest memory of 512 bytes and a platform that is all pretence.
   Guest addresses 0x1000 to 0x11ff are backed. A failed check names its line and ends the program with status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "host.h"
#include "platform.h"
#include "vm.h"

enum { BASE = 0x1000, SIZE = 512, BEYOND = BASE + SIZE };
enum { SUCCESS = 0, EBADF = 8, EINVAL = 28, ENOSYS = 52, ESPIPE = 70 };

static uint8_t memory[SIZE];
static struct vm vm;
static struct host_program program;
static char strings[HOST_STRINGS_SIZE];
static char output[256];
static size_t output_size;
static const char *input;
static bool input_ended, noise, keep_running;
static uint64_t microseconds;
static unsigned waits;

#define CHECK(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static void fail(const char *condition, int line) {
    fprintf(stderr, "host_test.c:%d: %s\n", line, condition);
    exit(1);
}

/* ---- the interpreter and the platform that host.c sees ---- */

void *vm_memory(struct vm *machine, uint32_t address, uint32_t length) {
    (void)machine;
    return address >= BASE && length <= SIZE && address - BASE <= SIZE - length ? memory + (address - BASE) : NULL;
}

const void *vm_readable(struct vm *machine, uint32_t address, uint32_t length) {
    return vm_memory(machine, address, length);
}

uint32_t vm_range_fault(const struct vm *machine, uint32_t address, uint32_t length) {
    (void)machine, (void)length;
    return address >= BASE ? VM_TRAP_MEMORY_OUT_OF_BOUNDS : VM_TRAP_NOT_BACKED;
}

struct host_program *host_program_of(struct vm *machine) {
    CHECK(machine == &vm);
    return &program;
}

uint32_t host_wait(struct vm *machine, uint64_t deadline) {
    CHECK(machine == &vm);
    if (!platform_poll()) {
        return VM_TRAP_STOPPED;
    }
    if (deadline != 0) {
        platform_wait(deadline);
    }
    return VM_TRAP_NONE;
}

bool host_turn_is_over(void) {
    return false;
}

uint32_t host_confirm(struct vm *machine, bool *good) {
    *good = machine == &vm && keep_running;
    return VM_TRAP_NONE;
}

uint64_t platform_microseconds(void) { return microseconds; }
bool platform_poll(void) { return keep_running; }
bool platform_random(uint8_t *bytes, size_t size) { return noise && memset(bytes, 0xA5, size); }
bool console_input_ended(void) { return input_ended && !*input; }
bool console_input_available(void) { return *input != 0; }
bool gpio_configure(uint32_t pin, enum gpio_mode mode) { return pin < 16 && mode < 4; }
bool gpio_write(uint32_t pin, bool level) { return pin < 16 && (level || !level); }
int gpio_read(uint32_t pin) { return pin < 16 ? (int)(pin & 1) : -1; }
bool led_set(bool on) { return on || !on; }

/* An interrupt every 250 microseconds; a program that waits for ever is given input. */
void platform_wait(uint64_t deadline) {
    ++waits;
    microseconds = deadline - microseconds < 250 ? deadline : microseconds + 250;
    if (deadline == PLATFORM_FOREVER && waits > 3) {
        input = "late";
    }
}

bool console_write(const uint8_t *data, size_t size) {
    CHECK(output_size + size < sizeof output);
    memcpy(output + output_size, data, keep_running ? size : 0);
    output_size += keep_running ? size : 0;
    return keep_running;
}

void console_print(const char *text) { console_write((const uint8_t *)text, strlen(text)); }

void console_print_number(uint32_t number) {
    char text[11];
    console_write((const uint8_t *)text, (size_t)sprintf(text, "%u", (unsigned)number));
}

size_t console_input(uint8_t *data, size_t size) {
    size_t count = strlen(input) < size ? strlen(input) : size;
    memcpy(data, input, count);
    input += count;
    return count;
}

/* ---- calling a row by its name ---- */

static uint32_t slots[12];

static uint32_t call(const char *name, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t arguments[] = {a, b, c, d};
    for (uint32_t i = 0; i < host_function_count; i++)
        if (!strcmp(host_functions[i].name, name)) {
            memcpy(slots, arguments, sizeof arguments);
            return host_functions[i].function(&vm, slots);
        }
    fail(name, 0);
    return 0;
}

#define EXPECT(error, ...) (CHECK(call(__VA_ARGS__) == VM_TRAP_NONE), CHECK(slots[0] == (error)))

static void put32(uint32_t address, uint32_t value) { memcpy(memory + (address - BASE), &value, 4); }

static uint32_t get32(uint32_t address) {
    uint32_t value;
    memcpy(&value, memory + (address - BASE), 4);
    return value;
}

static uint64_t get64(uint32_t address) { return get32(address) | (uint64_t)get32(address + 4) << 32; }

static void iovec(uint32_t at, uint32_t address, uint32_t length) { put32(at, address), put32(at + 4, length); }

static void fresh(void) {
    memset(memory, 0, sizeof memory);
    memset(&vm, 0, sizeof vm);
    output_size = 0, input = "", input_ended = false, keep_running = true, noise = false;
    microseconds = 1234567, waits = 0;
    program = (struct host_program){.strings = strings, .has_input = true};
}

/* ---- the checks ---- */

static void test_write(void) {
    memcpy(memory + 256, "hello, world", 12);
    iovec(BASE, BASE + 256, 5), iovec(BASE + 8, 0, 0), iovec(BASE + 16, BASE + 261, 7);
    EXPECT(SUCCESS, "fd_write", 1, BASE, 3, BASE + 64);
    CHECK(get32(BASE + 64) == 12 && output_size == 12 && !memcmp(output, "hello, world", 12));
    EXPECT(EBADF, "fd_write", 0, BASE, 3, BASE + 64);
    EXPECT(EBADF, "fd_write", 3, BASE, 3, BASE + 64);
}

/* A bad buffer, result pointer or count traps before a byte is printed. */
static void test_write_without_partial_effect(void) {
    iovec(BASE, BASE + 256, 5), iovec(BASE + 8, BEYOND - 2, 5);
    CHECK(call("fd_write", 1, BASE, 2, BASE + 64) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
    CHECK(call("fd_write", 1, BASE, 1, BEYOND - 3) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
    CHECK(call("fd_write", 1, BASE, 0x20000001, BASE + 64) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
    CHECK(call("fd_write", 1, 8, 1, BASE + 64) == VM_TRAP_NOT_BACKED);
    CHECK(output_size == 0);
}

static void test_read(void) {
    input = "abcdef";
    iovec(BASE, BASE + 100, 0), iovec(BASE + 8, BASE + 256, 4);
    EXPECT(SUCCESS, "fd_read", 0, BASE, 2, BASE + 64);
    CHECK(get32(BASE + 64) == 4 && !memcmp(memory + 256, "abcd", 4));
    EXPECT(SUCCESS, "fd_read", 0, BASE, 2, BASE + 64);
    CHECK(get32(BASE + 64) == 2);
    input_ended = true;
    EXPECT(SUCCESS, "fd_read", 0, BASE, 2, BASE + 64);
    CHECK(get32(BASE + 64) == 0);
    EXPECT(EBADF, "fd_read", 1, BASE, 2, BASE + 64);
}

static void test_read_waits(void) {
    iovec(BASE, BASE + 256, 8);
    EXPECT(SUCCESS, "fd_read", 0, BASE, 1, BASE + 64);
    CHECK(get32(BASE + 64) == 4 && waits == 4);
}

static void test_waiting_can_be_stopped(void) {
    keep_running = false;
    iovec(BASE, BASE + 256, 8);
    CHECK(call("fd_read", 0, BASE, 1, BASE + 64) == VM_TRAP_STOPPED);
    CHECK(call("fd_write", 1, BASE, 1, BASE + 64) == VM_TRAP_STOPPED && get32(BASE + 64) == 0);
    CHECK(call("uart_write", BASE, 1, 0, 0) == VM_TRAP_STOPPED);
    CHECK(call("sleep_ms", 1, 0, 0, 0) == VM_TRAP_STOPPED);
    CHECK(call("sched_yield", 0, 0, 0, 0) == VM_TRAP_STOPPED);
    put32(BASE + 24, 1000000);
    CHECK(call("poll_oneoff", BASE, BASE + 256, 1, BASE + 248) == VM_TRAP_STOPPED);
}

static void test_strings(void) {
    CHECK(host_add_argument(&program, "prog", 4) && host_add_argument(&program, "-v", 2) && host_add_environment(&program, "A=1", 3));
    CHECK(!host_add_argument(&program, "late", 4));
    EXPECT(SUCCESS, "args_sizes_get", BASE, BASE + 4, 0, 0);
    CHECK(get32(BASE) == 2 && get32(BASE + 4) == 8);
    EXPECT(SUCCESS, "args_get", BASE + 16, BASE + 64, 0, 0);
    CHECK(get32(BASE + 20) == BASE + 69 && !strcmp((char *)memory + 69, "-v"));
    EXPECT(SUCCESS, "environ_sizes_get", BASE, BASE + 4, 0, 0);
    CHECK(get32(BASE) == 1 && get32(BASE + 4) == 4);
    EXPECT(SUCCESS, "environ_get", BASE + 16, BASE + 64, 0, 0);
    CHECK(!strcmp((char *)memory + 64, "A=1"));
    CHECK(call("args_get", BASE, BEYOND - 4, 0, 0) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
}

static void test_strings_are_bounded(void) {
    char text[300] = {0};
    CHECK(!host_add_argument(&program, text, sizeof text));
    while (host_add_argument(&program, text, 15)) {}
    CHECK(!host_add_environment(&program, text, 15));
}

static void test_clocks(void) {
    EXPECT(SUCCESS, "clock_res_get", 0, BASE, 0, 0);
    CHECK(get64(BASE) == 1000);
    EXPECT(SUCCESS, "clock_time_get", 1, 0, 0, BASE);
    CHECK(get64(BASE) == 1234567000);
    EXPECT(EINVAL, "clock_time_get", 4, 0, 0, BASE);
    CHECK(call("millis", 0, 0, 0, 0) == VM_TRAP_NONE && slots[0] == 1234 && slots[1] == 0);
    CHECK(call("sleep_ms", 3, 0, 0, 0) == VM_TRAP_NONE && microseconds == 1237567 && waits == 12);
}

static void subscribe_clock(uint32_t at, uint32_t user_data, uint32_t nanoseconds, uint16_t flags) {
    put32(at, user_data), put32(at + 16, 1), put32(at + 24, nanoseconds), put32(at + 40, flags);
}

static void test_poll(void) {
    subscribe_clock(BASE, 7, 999500, 0), subscribe_clock(BASE + 48, 8, 5000000, 0);
    EXPECT(SUCCESS, "poll_oneoff", BASE, BASE + 256, 2, BASE + 248);
    CHECK(get32(BASE + 248) == 1 && get32(BASE + 256) == 7 && waits == 4);
    subscribe_clock(BASE, 7, 1000, 1); /* an absolute time long past */
    EXPECT(SUCCESS, "poll_oneoff", BASE, BASE + 256, 1, BASE + 248);
    CHECK(waits == 4);
    waits = 0, memory[8] = 2, put32(BASE + 16, 9); /* write to an unknown descriptor */
    EXPECT(SUCCESS, "poll_oneoff", BASE, BASE + 256, 1, BASE + 248);
    CHECK(memory[256 + 8] == EBADF && memory[256 + 10] == 2);
    memory[8] = 1, put32(BASE + 16, 0), input = "x"; /* read from standard input */
    EXPECT(SUCCESS, "poll_oneoff", BASE, BASE + 256, 1, BASE + 248);
    CHECK(memory[256 + 8] == SUCCESS && memory[256 + 16] == 1);
    memory[8] = 3;
    EXPECT(EINVAL, "poll_oneoff", BASE, BASE + 256, 1, BASE + 248);
    EXPECT(EINVAL, "poll_oneoff", BASE, BASE + 256, 0, BASE + 248);
    CHECK(call("poll_oneoff", BASE, BASE + 256, 0x10000000, BASE) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
}

static void test_descriptors(void) {
    EXPECT(SUCCESS, "fd_close", 1, 0, 0, 0);
    EXPECT(EBADF, "fd_close", 3, 0, 0, 0);
    EXPECT(ESPIPE, "fd_seek", 1, 0, 0, 0);
    EXPECT(ESPIPE, "fd_tell", 0, 0, 0, 0);
    EXPECT(EBADF, "fd_seek", 3, 0, 0, 0);
    EXPECT(EBADF, "fd_prestat_get", 3, BASE, 0, 0);
    EXPECT(ENOSYS, "path_open", 3, 0, 0, 0);
    EXPECT(SUCCESS, "fd_fdstat_get", 1, BASE, 0, 0);
    CHECK(memory[0] == 2 && get64(BASE + 8) == (1u << 6 | 1u << 27));
    EXPECT(SUCCESS, "fd_filestat_get", 0, BASE, 0, 0);
    CHECK(memory[16] == 2);
    CHECK(call("fd_fdstat_get", 1, BEYOND - 23, 0, 0) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
}

static void test_random(void) {
    EXPECT(ENOSYS, "random_get", BASE, 16, 0, 0);
    noise = true;
    EXPECT(SUCCESS, "random_get", BASE, 16, 0, 0);
    CHECK(memory[15] == 0xA5 && memory[16] == 0);
    noise = false;
    host_seed(&program, 42);
    EXPECT(SUCCESS, "random_get", BASE, 16, 0, 0);
    host_seed(&program, 42);
    EXPECT(SUCCESS, "random_get", BASE + 16, 16, 0, 0);
    CHECK(!memcmp(memory, memory + 16, 16) && get32(BASE) != 0xA5A5A5A5 && get32(BASE) != get32(BASE + 4));
}

static void test_exit(void) {
    CHECK(call("proc_exit", 3, 0, 0, 0) == VM_TRAP_EXIT && vm.exit_status == 3);
}

static void test_mcu(void) {
    EXPECT(SUCCESS, "gpio_mode", 3, 1, 0, 0);
    EXPECT(EINVAL, "gpio_mode", 16, 1, 0, 0);
    EXPECT(1, "gpio_read", 3, 0, 0, 0);
    EXPECT(UINT32_MAX, "gpio_read", 99, 0, 0, 0);
    EXPECT(SUCCESS, "led_set", 1, 0, 0, 0);
    memcpy(memory, "ok", 2);
    EXPECT(SUCCESS, "uart_write", BASE, 2, 0, 0);
    CHECK(output_size == 2);
}

/* U+0041, U+00E9, U+20AC, U+1F600 and a lone high surrogate. */
static void test_assemblyscript(void) {
    static const uint16_t text[] = {0x41, 0xE9, 0x20AC, 0xD83D, 0xDE00, 0xD800};
    static const char utf8[] = "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBF\xBD";
    put32(BASE + 4, sizeof text), memcpy(memory + 8, text, sizeof text);
    CHECK(call("console.log", BASE + 8, 0, 0, 0) == VM_TRAP_NONE);
    CHECK(output_size == strlen(utf8) + 1 && !memcmp(output, utf8, strlen(utf8)));
    CHECK(call("console.log", BEYOND + 4, 0, 0, 0) == VM_TRAP_MEMORY_OUT_OF_BOUNDS);
    output_size = 0;
    CHECK(call("abort", 0, BASE + 8, 12, 305) == VM_TRAP_EXIT && vm.exit_status == 255);
    CHECK(!memcmp(output, "abort:  in A", 12) && !memcmp(output + output_size - 8, ":12:305\n", 8));
}

int main(void) {
    void (*const tests[])(void) = {
        test_write, test_write_without_partial_effect, test_read, test_read_waits, test_waiting_can_be_stopped, test_strings,
        test_strings_are_bounded, test_clocks, test_poll, test_descriptors, test_random, test_exit, test_mcu,
        test_assemblyscript,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        fresh();
        tests[i]();
    }
    return 0;
}
