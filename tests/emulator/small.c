/* Vectors and start-up of the small firmwares. */
#include "small.h"

extern uint32_t stack_top, bss_start, bss_end;
int main(void);
void start(void);

/* Any handler that a test does not define ends the run with status 255. */
void finish(uint32_t status)
{
    register uint32_t operation __asm__("r0") = 0x18;
    register uint32_t argument __asm__("r1") = status;
    __asm__ volatile("bkpt 0xAB" : : "r"(operation), "r"(argument) : "memory");
    for (;;)
        ;
}

void unexpected(void) { finish(255); }

#define HANDLER(name) void name(void) __attribute__((weak, alias("unexpected")))
HANDLER(on_nmi);
HANDLER(on_hard_fault);
HANDLER(on_memory_fault);
HANDLER(on_bus_fault);
HANDLER(on_usage_fault);
HANDLER(on_supervisor_call);
HANDLER(on_pending_service);
HANDLER(on_tick);
HANDLER(on_irq0);
HANDLER(on_irq1);
HANDLER(on_irq2);
HANDLER(on_irq3);
HANDLER(on_irq20);

__attribute__((section(".vectors"), used)) static void *const vectors[64] = {
    &stack_top, start, on_nmi, on_hard_fault, on_memory_fault, on_bus_fault, on_usage_fault, 0, 0, 0, 0,
    on_supervisor_call, 0, 0, on_pending_service, on_tick, on_irq0, on_irq1, on_irq2, on_irq3, [36] = on_irq20,
};

void start(void)
{
    for (volatile uint32_t *word = &bss_start; word < &bss_end; word++)
        *word = 0;
    finish((uint32_t)main());
}
