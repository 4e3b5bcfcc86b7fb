/* Generated from mcutool/hostapi.py; do not edit. Functions of the board for a WebAssembly guest.
   Those that return int32_t give 0 or a WASI error number: 28 wrong argument, 52 not on this board. */
#ifndef MCU_H
#define MCU_H

#include <stddef.h>
#include <stdint.h>

enum { MCU_INPUT, MCU_OUTPUT, MCU_INPUT_PULL_UP, MCU_INPUT_PULL_DOWN };

#define MCU_IMPORT(name) __attribute__((import_module("mcu"), import_name(name)))

/* Makes a pin an input, an output or an input with a pull resistor (MCU_INPUT ...). */
MCU_IMPORT("gpio_mode") int32_t mcu_gpio_mode(uint32_t pin, uint32_t mode);

/* Drives an output pin low (0) or high (1). */
MCU_IMPORT("gpio_write") int32_t mcu_gpio_write(uint32_t pin, uint32_t level);

/* Gives the level of a pin, 0 or 1; -1 when the board has no such pin. */
MCU_IMPORT("gpio_read") int32_t mcu_gpio_read(uint32_t pin);

/* Switches the board's LED on (1) or off (0). */
MCU_IMPORT("led_set") int32_t mcu_led_set(uint32_t on);

/* Gives the milliseconds since the board's reset. */
MCU_IMPORT("millis") uint64_t mcu_millis(void);

/* Waits; the core sleeps meanwhile. */
MCU_IMPORT("sleep_ms") void mcu_sleep_ms(uint32_t milliseconds);

/* Writes bytes to the console. */
MCU_IMPORT("uart_write") int32_t mcu_uart_write(const void *data, size_t size);

/* Confirms the version that runs: the board starts it from now on; EIO when the flash fails. */
MCU_IMPORT("confirm") int32_t mcu_confirm(void);

#endif
