/* The interpreter on a PC, for the sanitizers and for tests without an emulator.
 *
 *     vm IMAGE ARENA-BYTES
 *
 * It loads an image and obeys lines of standard input, all numbers hexadecimal: `call FUNCTION RESULT-SLOTS
 * ARGUMENT-SLOT...` answers `ok SLOT...` or `trap KIND STATUS`; `globals FIRST COUNT` answers `ok SLOT...`. Program output goes to standard error, so answers stay alone on standard
 * output. There is no program input. An image that is refused ends it with status 1 and the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../console.h"
#include "../../host.h"
#include "../../platform.h"
#include "../../vm.h"

enum { LINE_SIZE = 1 << 16 };

#define TEXT(name, text) text,
static const char *const fault_texts[] = {NULL, IMAGE_FAULTS(TEXT)};

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
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void platform_wait(uint64_t deadline) {
    (void)deadline;
}

bool platform_poll(void) {
    return true;
}

bool platform_random(uint8_t *bytes, size_t size) {
    (void)bytes;
    (void)size;
    return false;
}

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    (void)pin;
    (void)mode;
    return false;
}

bool gpio_write(uint32_t pin, bool level) {
    (void)pin;
    (void)level;
    return false;
}

int gpio_read(uint32_t pin) {
    (void)pin;
    return -1;
}

bool led_set(bool on) {
    (void)on;
    return false;
}

size_t console_input(uint8_t *bytes, size_t size) {
    (void)bytes;
    (void)size;
    return 0;
}

bool console_input_available(void) {
    return false;
}

bool console_input_ended(void) {
    return true;
}

bool console_write(const uint8_t *bytes, size_t size) {
    return fwrite(bytes, 1, size, stderr) == size;
}

void console_print(const char *text) {
    fputs(text, stderr);
}

void console_print_number(uint32_t number) {
    fprintf(stderr, "%u", (unsigned)number);
}

/// Commands ///

static void print_slots(const uint32_t *slots, uint32_t count) {
    printf("ok");
    for (uint32_t i = 0; i < count; i++) {
        printf(" %x", slots[i]);
    }
    printf("\n");
}

static void call(struct vm *vm, char *words) {
    const uint32_t function = (uint32_t)strtoul(words, &words, 16);
    const uint32_t results = (uint32_t)strtoul(words, &words, 16);
    uint32_t *slots = vm_arguments(vm);
    for (uint32_t i = 0; *words == ' ' && i < vm_argument_room(vm); i++) {
        slots[i] = (uint32_t)strtoul(words, &words, 16);
    }
    const uint32_t trap = vm_call(vm, function);
    if (trap != 0) {
        printf("trap %x %x\n", trap, vm->exit_status);
        return;
    }
    print_slots(slots, results);
}

static void print_globals(const struct vm *vm, char *words) {
    const uint32_t first = (uint32_t)strtoul(words, &words, 16);
    print_slots(vm->globals + first, (uint32_t)strtoul(words, NULL, 16));
}

static void obey(struct vm *vm) {
    static char line[LINE_SIZE];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "call ", 5) == 0) {
            call(vm, line + 5);
        } else if (strncmp(line, "globals ", 8) == 0) {
            print_globals(vm, line + 8);
        } else {
            printf("what?\n");
        }
        fflush(stdout);
    }
}

/* The file in memory of exactly its size, so that a sanitizer sees one byte too far. */
static uint8_t *read_file(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(name);
        exit(2);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, file) != *size) {
        perror(name);
        exit(2);
    }
    fclose(file);
    return bytes;
}

int main(int count, char **arguments) {
    struct vm vm;
    const char *detail;
    size_t size;
    if (count != 3) {
        fprintf(stderr, "usage: vm IMAGE ARENA-BYTES\n");
        return 2;
    }
    uint8_t *image = read_file(arguments[1], &size);
    const size_t arena_size = strtoul(arguments[2], NULL, 0);
    uint8_t *arena = malloc(arena_size);
    const enum image_fault wrong = image_load(&vm, image, size, arena, arena_size, VM_ALL_GRANTS, &detail);
    if (wrong != IMAGE_GOOD) {
        fprintf(stderr, "%s%s%s\n", fault_texts[wrong], detail != NULL ? ": " : "", detail != NULL ? detail : "");
    } else {
        obey(&vm);
    }
    free(arena);
    free(image);
    return wrong != IMAGE_GOOD;
}
