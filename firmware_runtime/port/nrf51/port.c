/* nRF51: UART, NVMC flash, pins, the random generator, and TIMER0 as the microsecond clock, since this chip's
   Cortex-M0 has no SysTick. Registers: nRF51 Series Reference Manual 3.0. */

#include <string.h>

#include "board.h"
#include "console.h"
#include "cortex_m.h"
#include "platform.h"

#define UART_STARTRX (UART_BASE + 0x000)
#define UART_STARTTX (UART_BASE + 0x008)
#define UART_RXDRDY (UART_BASE + 0x108)
#define UART_TXDRDY (UART_BASE + 0x11C)
#define UART_INTENSET (UART_BASE + 0x304)
#define UART_ENABLE (UART_BASE + 0x500)
#define UART_PSELTXD (UART_BASE + 0x50C)
#define UART_PSELRXD (UART_BASE + 0x514)
#define UART_RXD (UART_BASE + 0x518)
#define UART_TXD (UART_BASE + 0x51C)
#define UART_BAUDRATE (UART_BASE + 0x524)
#define UART_INT_RXDRDY (1u << 2)
#define UART_ENABLED 4u
/* The divider is baud x 2^32 / clock, of which the hardware keeps the upper 20 bits. */
#define UART_DIVIDER ((uint32_t)((((uint64_t)UART_BAUD << 32) / UART_CLOCK + 0x800u) & 0xFFFFF000u))

#define TIMER_BASE 0x40008000u
#define TIMER_IRQ 8u
#define TIMER_START (TIMER_BASE + 0x000)
#define TIMER_CAPTURE(n) (TIMER_BASE + 0x040 + 4 * (n))
#define TIMER_COMPARE(n) (TIMER_BASE + 0x140 + 4 * (n))
#define TIMER_INTENSET (TIMER_BASE + 0x304)
#define TIMER_BITMODE (TIMER_BASE + 0x508)
#define TIMER_PRESCALER (TIMER_BASE + 0x510)
#define TIMER_CC(n) (TIMER_BASE + 0x540 + 4 * (n))
#define TIMER_INT_COMPARE(n) (1u << (16 + (n)))
#define TIMER_32_BITS 3u
#define TIMER_DIVIDE_BY_16 4u
enum { NOW, WAKE, HALF, WRAP }; /* what the four capture/compare registers are for */

#define RNG_START 0x4000D000u
#define RNG_STOP 0x4000D004u
#define RNG_READY 0x4000D100u
#define RNG_VALUE 0x4000D508u

#define NVMC_READY (FLASH_REGISTERS + 0x400)
#define NVMC_CONFIG (FLASH_REGISTERS + 0x504)
#define NVMC_ERASEPAGE (FLASH_REGISTERS + 0x508)
enum { NVMC_READ_ONLY, NVMC_WRITE, NVMC_ERASE };

#define GPIO_OUTSET (GPIO_BASE + 0x508)
#define GPIO_OUTCLR (GPIO_BASE + 0x50C)
#define GPIO_IN (GPIO_BASE + 0x510)
#define GPIO_PIN_CNF(n) (GPIO_BASE + 0x700 + 4 * (n))
#define PINS 32u

/// Clock ///

static uint64_t latest;

/* The 32-bit counter is read at least twice in each of its rounds of 71 minutes, by the interrupts HALF and WRAP. */
uint64_t platform_microseconds(void) {
    uint32_t primask;
    __asm volatile("mrs %0, primask" : "=r"(primask));
    platform_mask(true);
    REGISTER(TIMER_CAPTURE(NOW)) = 1;
    uint32_t passed = REGISTER(TIMER_CC(NOW)) - (uint32_t)latest;
    latest += passed;
    uint64_t now = latest;
    if (!(primask & 1)) {
        platform_mask(false);
    }
    return now;
}

void clock_interrupt(void) {
    for (uint32_t n = WAKE; n <= WRAP; n++) {
        REGISTER(TIMER_COMPARE(n)) = 0;
    }
    platform_microseconds();
    clock_rang();
}

void clock_start(void) {
    REGISTER(TIMER_BITMODE) = TIMER_32_BITS;
    REGISTER(TIMER_PRESCALER) = TIMER_DIVIDE_BY_16;
    REGISTER(TIMER_CC(HALF)) = 0x80000000u;
    REGISTER(TIMER_CC(WRAP)) = 0;
    REGISTER(TIMER_INTENSET) = TIMER_INT_COMPARE(WAKE) | TIMER_INT_COMPARE(HALF) | TIMER_INT_COMPARE(WRAP);
    REGISTER(TIMER_START) = 1;
    interrupt_enable(TIMER_IRQ);
}

/* A deadline in a later round of the counter wakes early as well, which does no harm. */
void clock_wake_at(uint64_t deadline) {
    static const uint32_t margin = 4; /* ticks: the counter must not pass the comparison while it is set */
    uint64_t soonest = platform_microseconds() + margin;
    REGISTER(TIMER_CC(WAKE)) = (uint32_t)(deadline > soonest ? deadline : soonest);
}

/// Console ///

static void console_interrupt(void) {
    while (REGISTER(UART_RXDRDY)) {
        REGISTER(UART_RXDRDY) = 0;
        console_receive((uint8_t)REGISTER(UART_RXD));
    }
    platform_wake();
}

VECTOR_TABLE = {CORE_VECTORS, [16 + UART_IRQ] = console_interrupt, [16 + TIMER_IRQ] = clock_interrupt};

void platform_start(void) {
    clock_start();
    gpio_write(UART_TX_PIN, true);
    gpio_configure(UART_TX_PIN, GPIO_OUTPUT);
    gpio_configure(UART_RX_PIN, GPIO_INPUT);
    REGISTER(UART_PSELTXD) = UART_TX_PIN;
    REGISTER(UART_PSELRXD) = UART_RX_PIN;
    REGISTER(UART_BAUDRATE) = UART_DIVIDER;
    REGISTER(UART_ENABLE) = UART_ENABLED;
    REGISTER(UART_STARTTX) = 1;
    REGISTER(UART_STARTRX) = 1;
    REGISTER(UART_INTENSET) = UART_INT_RXDRDY;
    interrupt_enable(UART_IRQ);
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        REGISTER(UART_TXDRDY) = 0;
        REGISTER(UART_TXD) = bytes[i];
        while (!REGISTER(UART_TXDRDY)) {
        }
    }
}

bool platform_random(uint8_t *bytes, size_t size) {
    REGISTER(RNG_START) = 1;
    for (size_t i = 0; i < size; i++) {
        REGISTER(RNG_READY) = 0;
        while (!REGISTER(RNG_READY)) {
        }
        bytes[i] = (uint8_t)REGISTER(RNG_VALUE);
    }
    REGISTER(RNG_STOP) = 1;
    return true;
}

/// Flash ///

static void allow(uint32_t what) {
    REGISTER(NVMC_CONFIG) = what;
    while (!REGISTER(NVMC_READY)) {
    }
}

bool flash_erase(const struct flash_sector *sector) {
    allow(NVMC_ERASE);
    REGISTER(NVMC_ERASEPAGE) = sector->address;
    allow(NVMC_READ_ONLY);
    return true;
}

bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    allow(NVMC_WRITE);
    for (uint32_t i = 0; i < size; i += FLASH_WRITE_UNIT) {
        const uint8_t *word = bytes + i;
        REGISTER(address + i) = (uint32_t)(word[0] | word[1] << 8 | word[2] << 16) | (uint32_t)word[3] << 24;
        allow(NVMC_WRITE);
    }
    allow(NVMC_READ_ONLY);
    return true;
}

/// Pins ///

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    static const uint8_t configurations[] = {0x0, 0x3, 0xC, 0x4}; /* direction, input buffer, pull */
    if (pin >= PINS || mode > GPIO_INPUT_PULL_DOWN) {
        return false;
    }
    REGISTER(GPIO_PIN_CNF(pin)) = configurations[mode];
    return true;
}

bool gpio_write(uint32_t pin, bool level) {
    if (pin >= PINS) {
        return false;
    }
    REGISTER(level ? GPIO_OUTSET : GPIO_OUTCLR) = 1u << pin;
    return true;
}

int gpio_read(uint32_t pin) {
    if (pin >= PINS) {
        return -1;
    }
    return REGISTER(GPIO_IN) >> pin & 1;
}
