/* What a port gives to the portable part of the runtime, and the little that it calls back.

   This file decides the services; it refuses to know how a chip provides them. One port (port/FAMILY/) implements all
   of them. Facts of the board come from board.h, which the build writes from targets/ and boards/. */

#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Clocks, console UART and pins to their working state; interrupts are on afterwards. */
void platform_start(void);

/* Microseconds since platform_start. */
uint64_t platform_microseconds(void);

#define PLATFORM_FOREVER UINT64_MAX

/* Sleeps until an interrupt comes, or platform_microseconds() reaches the deadline. Returns at once when one came, or
   platform_wake was called, since the last call: so a condition may be tested before without a race. */
void platform_wait(uint64_t deadline);
void platform_wake(void);

/* Shuts interrupts out, or lets them in again; for the few lines that share data with console_receive. */
void platform_mask(bool masked);

/* As if the reset pin had been pulled. */
_Noreturn void platform_reset(void);

/* Has platform_alarmed called in an interrupt at the deadline, roughly: it may come early, and late after a wait.
   PLATFORM_FOREVER: not at all. */
void platform_alarm(uint64_t deadline);
void platform_alarmed(void);

/* A note that lives through a reset, not through a power cut: then it is 0. */
void platform_note(uint16_t note);
uint16_t platform_noted(void);

/* The port calls this when the firmware has broken down, just before it resets. */
void platform_faulted(void);

/* In an interrupt: has vm_switch_table (vm.h) called when no interrupt is being served any more. */
void platform_switch_table(void);

/* Random bytes from a noise source; false when the chip has none. */
bool platform_random(uint8_t *bytes, size_t size);

/* Sends bytes as they are; returns when the last is in the UART. The arbiter (console.h) alone calls it. */
void console_write_raw(const uint8_t *bytes, size_t size);

/* The port calls this from the UART's interrupt for each byte received. */
void console_receive(uint8_t byte);

/* Flash. Addresses are absolute; writes begin and end on FLASH_WRITE_UNIT and go to erased bytes. While it works the
   chip may take no interrupts. False when the controller reports an error. */
struct flash_sector {
    uint32_t number, address, size;
};

bool flash_erase(const struct flash_sector *sector);
bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size);

/* The sector that holds an address of the flash (board.c). */
struct flash_sector flash_sector_at(uint32_t address);

/* Pins. False, or -1, when the chip has no such pin. */
enum gpio_mode { GPIO_INPUT, GPIO_OUTPUT, GPIO_INPUT_PULL_UP, GPIO_INPUT_PULL_DOWN };

bool gpio_configure(uint32_t pin, enum gpio_mode mode);
bool gpio_write(uint32_t pin, bool level);
int gpio_read(uint32_t pin);

/* Switches the board's light; false when it has none (board.c). */
bool led_set(bool on);

/* Answers what came over SMP; false when the running program has to stop. Host functions call it again and again while
   they wait (main.c). */
bool platform_poll(void);

#endif
