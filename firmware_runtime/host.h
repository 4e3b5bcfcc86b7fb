/* The functions of the board that a module may import.

   This file decides what a program is started with: arguments, environment, a seed.
   The functions themselves are reached through host_functions (vm.h) only. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forgets the arguments, the environment and the seed of the last program. */
void host_reset(void);

/* Give the next program an argument or a "NAME=value"; false when the room for strings is used up.
   Arguments come before environment strings. */
bool host_add_argument(const char *text, size_t length);
bool host_add_environment(const char *text, size_t length);

/* Lets random_get answer on a chip without a noise source, always with the same numbers for the same seed. */
void host_seed(uint64_t seed);

#endif
