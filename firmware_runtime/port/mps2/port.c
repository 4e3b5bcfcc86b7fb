/* Arm MPS2 with a Cortex-M image: CMSDK UART, FPGAIO lights and buttons, code memory that is RAM.
   Registers: Arm DDI 0479 (CMSDK), DAI 0385 (FPGAIO). */

#include <string.h>

#include "board.h"
#include "console.h"
#include "cortex_m.h"
#include "platform.h"

#define UART_DATA (UART_BASE + 0x00)
#define UART_STATE (UART_BASE + 0x04)
#define UART_CTRL (UART_BASE + 0x08)
#define UART_INTCLEAR (UART_BASE + 0x0C)
#define UART_BAUDDIV (UART_BASE + 0x10)
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CTRL_TX_RX_RXINT 0xBu
#define INT_RX 2u

#define FPGAIO_LED (GPIO_BASE + 0x00)
#define FPGAIO_BUTTON (GPIO_BASE + 0x08)
#define LEDS 2u
#define BUTTONS 2u

static void console_interrupt(void) {
    REGISTER(UART_INTCLEAR) = INT_RX;
    while (REGISTER(UART_STATE) & STATE_RX_FULL) {
        console_receive((uint8_t)REGISTER(UART_DATA));
    }
    platform_wake();
}

VECTOR_TABLE = {CORE_VECTORS, [16 + UART_IRQ] = console_interrupt};

void platform_start(void) {
    clock_start();
    REGISTER(UART_BAUDDIV) = UART_CLOCK / UART_BAUD;
    REGISTER(UART_CTRL) = CTRL_TX_RX_RXINT;
    interrupt_enable(UART_IRQ);
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        while (REGISTER(UART_STATE) & STATE_TX_FULL) {
        }
        REGISTER(UART_DATA) = bytes[i];
    }
}

bool platform_random(uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return false;
}

bool flash_erase(const struct flash_sector *sector) {
    memset((void *)sector->address, FLASH_ERASED, sector->size);
    return true;
}

bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        ((volatile uint8_t *)address)[i] = bytes[i];
    }
    return true;
}

/* Pins 0 and 1 are the lights, 2 and 3 the buttons: nothing to configure. */
bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    return mode == GPIO_OUTPUT ? pin < LEDS : pin >= LEDS && pin < LEDS + BUTTONS;
}

bool gpio_write(uint32_t pin, bool level) {
    if (pin >= LEDS) {
        return false;
    }
    uint32_t others = REGISTER(FPGAIO_LED) & ~(1u << pin);
    REGISTER(FPGAIO_LED) = others | (uint32_t)level << pin;
    return true;
}

int gpio_read(uint32_t pin) {
    if (pin >= LEDS + BUTTONS) {
        return -1;
    }
    uint32_t level = pin < LEDS ? REGISTER(FPGAIO_LED) >> pin : REGISTER(FPGAIO_BUTTON) >> (pin - LEDS);
    return level & 1;
}
