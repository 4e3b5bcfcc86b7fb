/* What every Cortex-M port shares: vectors, start-up, interrupts, the SysTick clock. Registers by the ARMv6-M and
   ARMv7-M Architecture Reference Manuals (B3.2, B3.3). */

#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

typedef void (*vector)(void);

/* From the linker template. */
extern uint32_t c_stack_top[];

void reset_entry(void);
void fault_entry(void);
void vm_switch_table(void);
void clock_interrupt(void);

/* The beginning of a port's table: initial stack pointer, reset, NMI, faults, PendSV, SysTick. Interrupts follow it as
   [16 + number]; the port switches on no others. All have one priority: none interrupts another. */
#define CORE_VECTORS                                                                                 \
    [0] = (vector)c_stack_top, [1] = reset_entry, [2] = fault_entry, [3] = fault_entry, [4] = fault_entry, \
    [5] = fault_entry, [6] = fault_entry, [11] = fault_entry, [14] = vm_switch_table, [15] = clock_interrupt
#define VECTOR_TABLE __attribute__((section(".vectors"), used)) const vector vectors[]

extern const vector vectors[];

/* Lets an interrupt of the chip through. Its handler calls platform_wake. */
void interrupt_enable(uint32_t number);
/* The clock behind platform_microseconds and platform_wait: systick.c, or the port's own. */
void clock_start(void);
/* Sees to it that an interrupt comes no later than the deadline, roughly. Interrupts are masked. */
void clock_wake_at(uint64_t deadline);
/* The clock's interrupts end with this. */
void clock_rang(void);

#endif
