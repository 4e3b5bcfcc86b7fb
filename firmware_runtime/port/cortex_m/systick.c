/* A microsecond clock from SysTick, without ticks: the 24-bit counter runs through its full range and interrupts once
   a period, so a program is not disturbed; only a wait makes a period shorter.
   The counter counts down from `reload` to 0 and then takes the reload register's value again. */

#include "board.h"
#include "cortex_m.h"
#include "platform.h"

#define SYST_CSR 0xE000E010u
#define SYST_RVR 0xE000E014u
#define SYST_CVR 0xE000E018u
#define SCB_ICSR 0xE000ED04u
#define CSR_RUN 7u /* core clock, interrupt, enable */
#define ICSR_PENDSTSET (1u << 26)
#define ICSR_PENDSTCLR (1u << 25)

#define FULL_PERIOD 0xFFFFFFu
#define SHORTEST_PERIOD 200u
#define CYCLES_PER_MICROSECOND (TICK_CLOCK / 1000000u)

static uint64_t elapsed; /* cycles before the present period */
static uint64_t latest;  /* the last answer: time never goes back */
static uint32_t reload;

/* Just after it was set the counter may still read 0. */
static uint32_t counted(void) {
    uint32_t value = REGISTER(SYST_CVR);
    return value == 0 ? 0 : reload - value;
}

/* Interrupts are masked. */
static uint64_t cycles(void) {
    uint64_t now = elapsed + counted();
    if (REGISTER(SCB_ICSR) & ICSR_PENDSTSET) {
        now = elapsed + reload + 1 + counted();
    }
    if (now > latest) {
        latest = now;
    }
    return latest;
}

static void begin_period(uint64_t now, uint32_t length) {
    elapsed = now;
    reload = length;
    REGISTER(SYST_RVR) = length;
    REGISTER(SYST_CVR) = 0;
    REGISTER(SCB_ICSR) = ICSR_PENDSTCLR;
}

void clock_start(void) {
    begin_period(0, FULL_PERIOD);
    REGISTER(SYST_CSR) = CSR_RUN;
}

void clock_interrupt(void) {
    elapsed += (uint64_t)reload + 1;
    if (reload != FULL_PERIOD) {
        begin_period(elapsed + counted(), FULL_PERIOD);
    }
    clock_rang();
}

void clock_wake_at(uint64_t deadline) {
    uint64_t now = cycles();
    uint64_t left = (deadline - now / CYCLES_PER_MICROSECOND) * CYCLES_PER_MICROSECOND;
    if (deadline != PLATFORM_FOREVER && left < FULL_PERIOD) {
        begin_period(now, left > SHORTEST_PERIOD ? (uint32_t)left : SHORTEST_PERIOD);
    }
}

static bool masked(void) {
    uint32_t primask;
    __asm volatile("mrs %0, primask" : "=r"(primask));
    return primask & 1;
}

uint64_t platform_microseconds(void) {
    bool was_masked = masked();
    platform_mask(true);
    uint64_t now = cycles();
    if (!was_masked) {
        platform_mask(false);
    }
    return now / CYCLES_PER_MICROSECOND;
}
