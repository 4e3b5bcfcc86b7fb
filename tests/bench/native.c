/* The smallest program around a benchmark on a bare Cortex-M: vectors, FPU on, run(N), end through semihosting. */
#include "programs/bench.h"

#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xE000ED88)

extern uint32_t stack_top[];
volatile uint32_t result;

__attribute__((noreturn)) void reset(void) {
#ifdef __ARM_FP
    COPROCESSOR_ACCESS |= 0xF << 20;
    __asm volatile("dsb\n isb");
#endif
    result = run(N);
    for (;;) {
        register uint32_t operation __asm("r0") = 0x18, status __asm("r1") = 0;
        __asm volatile("bkpt 0xAB" : : "r"(operation), "r"(status) : "memory");
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, reset};
