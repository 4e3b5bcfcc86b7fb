/* Reset, faults and waiting: the same on every Cortex-M. Refuses to know any peripheral outside the core. */

#include "cortex_m.h"

#include "platform.h"

#define NVIC_ISER 0xE000E100u
#define SCB_ICSR 0xE000ED04u
#define SCB_VTOR 0xE000ED08u
#define SCB_AIRCR 0xE000ED0Cu
#define SCB_CPACR 0xE000ED88u
#define ICSR_PENDSVSET (1u << 28)
#define AIRCR_RESET 0x05FA0004u
#define CPACR_FPU (0xFu << 20) /* coprocessors 10 and 11: full access */

/* From the linker template. */
extern uint32_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[];

int main(void);

static void initialise_memory(void) {
    const uint32_t *from = data_load;
    for (uint32_t *to = data_begin; to < data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bss_begin; to < bss_end;) {
        *to++ = 0;
    }
}

/* A ROM bootloader may have jumped here with its own vector table in force. */
void reset_entry(void) {
#if __ARM_ARCH >= 7
    REGISTER(SCB_VTOR) = (uint32_t)vectors;
#endif
#ifdef __ARM_FP
    REGISTER(SCB_CPACR) |= CPACR_FPU;
    __asm volatile("dsb\n\tisb");
#endif
    initialise_memory();
    __asm volatile("cpsie i");
    main();
    platform_reset();
}

_Noreturn void platform_reset(void) {
    __asm volatile("dsb");
    REGISTER(SCB_AIRCR) = AIRCR_RESET;
    for (;;) {
    }
}

/* A bug of the runtime comes here, or code that no translator of ours made. module.c says so after the reset. */
void fault_entry(void) {
    platform_faulted();
    platform_reset();
}

void platform_switch_table(void) {
    REGISTER(SCB_ICSR) = ICSR_PENDSVSET;
}

void interrupt_enable(uint32_t number) {
    REGISTER(NVIC_ISER + number / 32 * 4) = 1u << number % 32;
}

/* Survives a reset and is not cleared at start-up; the mark tells it from what the RAM held at power-on. */
#define NOTE_MARK 0x4E4F0000u
__attribute__((section(".noinit"))) static uint32_t noted;

void platform_note(uint16_t note) {
    noted = NOTE_MARK | note;
}

uint16_t platform_noted(void) {
    return (noted ^ NOTE_MARK) <= UINT16_MAX ? (uint16_t)noted : 0;
}

static volatile bool woken;

void platform_wake(void) {
    woken = true;
}

void platform_mask(bool masked) {
    if (masked) {
        __asm volatile("cpsid i" ::: "memory");
    } else {
        __asm volatile("cpsie i" ::: "memory");
    }
}

/* With interrupts masked a pending one still ends the sleep, so none slips in between the test and the sleep. */
void platform_wait(uint64_t deadline) {
    platform_mask(true);
    if (!woken && platform_microseconds() < deadline) {
        clock_wake_at(deadline);
        __asm volatile("dsb\n\twfi" ::: "memory");
    }
    platform_mask(false);
    __asm volatile("isb");
    woken = false;
}

static volatile bool alarm;

void platform_alarm(uint64_t deadline) {
    platform_mask(true);
    alarm = deadline != PLATFORM_FOREVER;
    if (alarm) {
        clock_wake_at(deadline);
    }
    platform_mask(false);
}

void clock_rang(void) {
    platform_wake();
    if (alarm) {
        alarm = false;
        platform_alarmed();
    }
}

/* The C library's sqrt sets errno through this; its own version costs a kilobyte of RAM. */
int *__errno(void) {
    static int number;
    return &number;
}
