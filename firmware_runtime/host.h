/* The functions of the board that a module may import.

   This file decides what a program is started with: arguments, environment, a seed.
   The functions themselves are reached through host_functions (vm.h) only. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm.h"

#define HOST_STRINGS_SIZE 256u /* bytes for a program's arguments and environment together, with a zero after each */

/* What host functions know of one program. */
struct host_program {
    uint64_t random_state; /* 0: no seed was given */
    uint64_t since;        /* of the call that is made again: when it began, or what it has written; 0: it is new */
    char *strings;         /* arguments, then environment strings */
    uint16_t argument_count, argument_size;
    uint16_t environment_count, environment_size;
    bool has_input; /* the console's; else its input is at its end */
};

/* Of the program that an interpreter runs; who owns the struct vm gives it. */
struct host_program *host_program_of(struct vm *vm);
/* Lets the firmware and other programs work, then sleeps until an interrupt or the deadline (0: not at all). A trap kind
   when the host function has to end with it: it is then called again, or stopped. */
uint32_t host_wait(struct vm *vm, uint64_t deadline);
/* Whether a host function that takes long has to end with VM_TRAP_PAUSED, to be called again: others wait, or the
   program has used up its fuel. */
bool host_turn_is_over(void);
/* Confirms the version that runs; the same. */
uint32_t host_confirm(struct vm *vm, bool *good);

/* Give a program that has not begun an argument or a "NAME=value"; false when the room for strings is used up.
   Arguments come before environment strings. */
bool host_add_argument(struct host_program *program, const char *text, size_t length);
bool host_add_environment(struct host_program *program, const char *text, size_t length);

/* Lets random_get answer on a chip without a noise source, always with the same numbers for the same seed. */
void host_seed(struct host_program *program, uint64_t seed);

#endif
