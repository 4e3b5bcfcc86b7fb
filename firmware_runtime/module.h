/* The programs on the board: loading what is installed, running one beside the other, calling their functions.

   This file decides the order of a program's life, whose turn it is and how much time it gets; it refuses to know how a
   module is executed (vm.h), where its image lies (store.h) and how a request came (smp.c). A program is known by the
   number of its image. */

#ifndef MODULE_H
#define MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm.h"

enum module_state { MODULE_NONE, MODULE_LOADED, MODULE_RUNNING, MODULE_ENDED };

extern const char *const module_state_names[];

/* At the board's start: loads what is installed, so that module_step runs it. An image whose last starts all went wrong is
   not started. */
void module_start(void);

/* Lets a program run, until it ends, waits, or has had its share of time, and says on the console how one ended. When all
   wait it sleeps. False when none runs. */
bool module_step(void);

/* Loads one image afresh, alone; nothing of it has run then. NULL, or why it is refused; `detail` is a name that the
   message is about, or NULL. */
const char *module_load(uint32_t image, const uint8_t *container, uint32_t size, const char **detail);

/* What a start would say of an image, NULL when it would take it. No program is loaded then. */
const char *module_check(uint32_t image, const uint8_t *container, uint32_t size, const char **detail);

/* Give the program that was loaded last an argument or environment string, or a seed (host.h). */
bool module_add_string(bool environment, const char *text, size_t length);
void module_seed(uint64_t seed);

/* What is installed is about to change: all programs are gone. */
void module_unload(void);

/* Has a function of a loaded bundle called by module_step. The program runs then, and is afterwards what it was before; how
   it ended is its last trap. Only while it does not run. */
void module_begin_call(uint32_t image, uint32_t function);

/* Its arguments, as many bytes as the slots hold at the most, and its results, which lie there too. */
void module_set_arguments(uint32_t image, const uint8_t *bytes, uint32_t size);
const uint32_t *module_results(uint32_t image);
uint32_t module_slot_room(uint32_t image);

/* In an interrupt: the running program calls platform_poll before its next instruction. */
void module_interrupt(void);

/* Has all programs that run stopped: platform_poll gives false from then on, which ends the one that is executed. */
void module_stop(void);
bool module_must_stop(void);

/* What is installed may be started again, however often that went wrong: somebody asked for it, or it is new. */
void module_trust(void);

/* The image of the first program that is loaded. */
uint32_t module_first(void);

/* The board's: running as long as any program is. */
enum module_state module_state(void);
/* A program's. When there is none, the others give nothing; module_results and what is about calls may not be asked. */
enum module_state module_state_of(uint32_t image);
uint32_t module_exit_status(uint32_t image);
uint32_t module_last_trap(uint32_t image);
uint32_t module_stack_high_water(uint32_t image);
uint32_t module_arena_used(uint32_t image);
/* Address of a mutable global's slot, NULL when there are fewer. */
const uint32_t *module_globals(uint32_t image, uint32_t first, uint32_t count);
/* The calls in which the last trap came, innermost first (vm.h). */
struct vm_trace module_trace(uint32_t image);
bool module_next_call(uint32_t image, struct vm_trace *trace);

/* The module arena, which is free while nothing is loaded: so much of it at least. */
uint8_t *module_arena(void);
uint32_t module_arena_size(void);

#endif
