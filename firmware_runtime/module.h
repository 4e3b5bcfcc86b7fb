/* The installed program: loading it from the slot, running it, calling its functions.

   This file decides the order of a program's life; it refuses to know how a module is executed (vm.h) and how a
   request came (smp.c). One program at a time; calls do not nest. */

#ifndef MODULE_H
#define MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm.h"

enum module_state { MODULE_NONE, MODULE_LOADED, MODULE_RUNNING, MODULE_ENDED };

extern const char *const module_state_names[];

/* Loads the installed image with that digest afresh, without one the one that is chosen; nothing of it has run then. NULL,
   or why it is refused; `detail` is a name that the message is about, or NULL. */
const char *module_load(const uint8_t *digest, const char **detail);

/* Loads a container as a start would, and forgets it. NULL, or why it would be refused. */
const char *module_check(const uint8_t *container, uint32_t size, const char **detail);

/* The slot is about to change: the program is gone. */
void module_unload(void);

/* Loads, instantiates and runs the program to its end, and says on the console how it ended. A program whose last starts
   all went wrong is not started. */
void module_run(void);

/* Runs one function of the loaded bundle; gives the trap kind. Only while nothing runs. */
uint32_t module_call(uint32_t function);

/* Its arguments, as many bytes as the slots hold at the most, and its results, which lie there too. */
void module_set_arguments(const uint8_t *bytes, uint32_t size);
const uint32_t *module_results(void);
uint32_t module_slot_room(void);

/* In an interrupt: the running program calls platform_poll before its next instruction. */
void module_interrupt(void);

/* Has the running program stopped: platform_poll gives false from then on, which ends it. */
void module_stop(void);
bool module_must_stop(void);

/* What is in the slot may be started again, however often that went wrong: somebody asked for it, or it is new. */
void module_trust(void);

enum module_state module_state(void);
uint32_t module_exit_status(void);
uint32_t module_last_trap(void);
uint32_t module_stack_high_water(void);
uint32_t module_arena_used(void);
/* Address of a mutable global's slot, NULL when there are fewer. */
const uint32_t *module_globals(uint32_t first, uint32_t count);
/* The calls in which the last trap came, innermost first (vm.h). */
struct vm_trace module_trace(void);
bool module_next_call(struct vm_trace *trace);

/* The module arena, which is free while nothing is loaded. */
uint8_t *module_arena(void);
uint32_t module_arena_size(void);

#endif
