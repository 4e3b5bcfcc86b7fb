/* The smallest program on a bare Cortex-M of native.ld: vectors, data and bss, FPU on, and an end through
   semihosting. Who includes this defines main(). */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>

#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xE000ED88)

extern uint32_t stack_top[], data_begin[], data_end[], bss_begin[], bss_end[];
extern const uint32_t data_contents[];

int main(void);

__attribute__((noreturn)) void reset(void) {
    const volatile uint32_t *from = data_contents;
#ifdef __ARM_FP
    COPROCESSOR_ACCESS |= 0xF << 20;
    __asm volatile("dsb\n isb");
#endif
    for (volatile uint32_t *to = data_begin; to < data_end;)
        *to++ = *from++;
    for (volatile uint32_t *to = bss_begin; to < bss_end;)
        *to++ = 0;
    main();
    for (;;) {
        register uint32_t operation __asm("r0") = 0x18, status __asm("r1") = 0;
        __asm volatile("bkpt 0xAB" : : "r"(operation), "r"(status) : "memory");
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, reset};

#endif
