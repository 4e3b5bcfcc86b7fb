/* What the ports of the STM32 families share: the USART as console, pins by number, the flash controller's lock.

   A port includes it after it has said what differs: addresses of RCC_CFGR, RCC_APB1ENR, RCC_APB2ENR and RCC_GPIOENR,
   offsets GPIO_IDR and GPIO_BSRR, bits FLASH_SR_BUSY, FLASH_SR_ERRORS, FLASH_CR_LOCK and FLASH_CR_PROGRAM, the type
   flash_unit that is programmed at once; and it gives start_pins, flash_erase and gpio_configure.
   Registers: RM0008 and RM0041 (F1), RM0090, RM0383 and RM0390 (F4). */

#ifndef STM32_H
#define STM32_H

#include <string.h>

#include "board.h"
#include "console.h"
#include "cortex_m.h"
#include "platform.h"

#define CR_HSION 1u

#define USART_SR (UART_BASE + 0x00)
#define USART_DR (UART_BASE + 0x04)
#define USART_BRR (UART_BASE + 0x08)
#define USART_CR1 (UART_BASE + 0x0C)
#define SR_RXNE (1u << 5)
#define SR_ORE (1u << 3)
#define SR_TC (1u << 6)
#define SR_TXE (1u << 7)
#define CR1_ENABLE 0x202Cu /* UE, RXNEIE, TE, RE */

#define FLASH_KEYR (FLASH_REGISTERS + 0x04)
#define FLASH_SR (FLASH_REGISTERS + 0x0C)
#define FLASH_CR (FLASH_REGISTERS + 0x10)
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xCDEF89ABu

/* The bit of a peripheral in the enable register of its bus is its place there, 1 KB each. */
#define PLACE_ON_BUS(address) ((address) >> 10 & 31u)
#define APB2 0x40010000u

static void change_bits(uint32_t address, uint32_t mask, uint32_t value) {
    REGISTER(address) = (REGISTER(address) & ~mask) | value;
}

/// Console ///

static void console_interrupt(void) {
    uint32_t status;
    while ((status = REGISTER(USART_SR)) & (SR_RXNE | SR_ORE)) {
        uint8_t byte = (uint8_t)REGISTER(USART_DR);
        if (status & SR_RXNE) {
            console_receive(byte);
        }
    }
    platform_wake();
}

VECTOR_TABLE = {CORE_VECTORS, [16 + UART_IRQ] = console_interrupt};

/* Gives the pins UART_TX_PIN and UART_RX_PIN to the USART. */
static void start_pins(void);

static void start_console(void) {
    start_pins();
    REGISTER(USART_BRR) = (UART_CLOCK + UART_BAUD / 2) / UART_BAUD;
    REGISTER(USART_CR1) = CR1_ENABLE;
    interrupt_enable(UART_IRQ);
}

/* After a reset the core runs from the internal oscillator; the ROM bootloader may have left it on the PLL, which that
   oscillator feeds. So it is ready in either case, and nothing waits for it. */
static void use_internal_oscillator(void) {
    REGISTER(RCC_CR) |= CR_HSION;
    REGISTER(RCC_CFGR) = 0;
}

void platform_start(void) {
    use_internal_oscillator();
    clock_start();
    REGISTER(RCC_GPIOENR) |= GPIO_PORTS << PLACE_ON_BUS(GPIO_BASE);
    REGISTER(UART_BASE < APB2 ? RCC_APB1ENR : RCC_APB2ENR) |= 1u << PLACE_ON_BUS(UART_BASE);
    start_console();
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        while (!(REGISTER(USART_SR) & SR_TXE)) {
        }
        REGISTER(USART_DR) = bytes[i];
    }
    while (!(REGISTER(USART_SR) & SR_TC)) { /* a reset may follow: it would cut off the last two bytes */
    }
}

/* Where there is a random generator, it runs from the PLL, which is off. */
bool platform_random(uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return false;
}

/// Flash ///

static void unlock(void) {
    if (REGISTER(FLASH_CR) & FLASH_CR_LOCK) {
        REGISTER(FLASH_KEYR) = FLASH_KEY1;
        REGISTER(FLASH_KEYR) = FLASH_KEY2;
    }
    REGISTER(FLASH_SR) = FLASH_SR_ERRORS;
}

/* The core stalls by itself when it fetches from busy flash. */
static bool finish(void) {
    while (REGISTER(FLASH_SR) & FLASH_SR_BUSY) {
    }
    return !(REGISTER(FLASH_SR) & FLASH_SR_ERRORS);
}

static bool lock(bool good) {
    REGISTER(FLASH_CR) = FLASH_CR_LOCK;
    return good;
}

bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    bool good = true;
    unlock();
    REGISTER(FLASH_CR) = FLASH_CR_PROGRAM;
    for (uint32_t i = 0; good && i < size; i += sizeof(flash_unit)) {
        flash_unit unit;
        memcpy(&unit, bytes + i, sizeof unit);
        *(volatile flash_unit *)(address + i) = unit;
        good = finish();
    }
    return lock(good);
}

/// Pins: 16 x port + bit ///

static bool pin_exists(uint32_t pin) {
    return pin < 16 * 16 && (GPIO_PORTS >> pin / 16 & 1) != 0;
}

static uint32_t port_of(uint32_t pin) {
    return GPIO_BASE + 0x400u * (pin / 16);
}

bool gpio_write(uint32_t pin, bool level) {
    if (!pin_exists(pin)) {
        return false;
    }
    REGISTER(port_of(pin) + GPIO_BSRR) = 1u << (pin % 16 + (level ? 0 : 16));
    return true;
}

int gpio_read(uint32_t pin) {
    if (!pin_exists(pin)) {
        return -1;
    }
    return REGISTER(port_of(pin) + GPIO_IDR) >> pin % 16 & 1;
}

#endif
