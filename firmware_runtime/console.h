/* The arbiter of the console line: program text and SMP messages share it.

   Received: a line that begins with 06 09 or 04 14 at column 0 is SMP, everything else is the program's input. Sent:
   program output pauses from a request's first byte until it is answered, and a pair 06 09 or 04 14 in it gets a 00
   between, since clients look for the pair anywhere. This file refuses to know what an SMP message says. */

#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The program's side. */

/* Takes at most `size` bytes of program input; 0 when there is none at present. Never waits. */
size_t console_input(uint8_t *bytes, size_t size);
/* Whether the next console_input would give something. */
bool console_input_available(void);
/* Whether the input has been declared ended and everything before its end was read. */
bool console_input_ended(void);
/* Program output. Waits while an SMP request is being received, and calls platform_poll() meanwhile: when that says that
   the program has to stop, nothing more is written, and the answer is false. */
bool console_write(const uint8_t *bytes, size_t size);
/* Whose output comes next: the number of an image. While several programs share the console, each line says whose it is,
   and a line of one is ended before another's begins. */
void console_speaker(uint32_t image);
void console_share(bool several);
/* The firmware's own lines: written at once, even if a request is on its way. */
void console_print(const char *text);
void console_print_number(uint32_t number);
/* Writes a number's decimal digits before `end`; gives where they begin. There are at most CONSOLE_DIGITS. */
#define CONSOLE_DIGITS 10
char *console_decimal(char *end, uint32_t number);

/* SMP's side. */

/* The request that has been received: length (2 bytes, big-endian), message, CRC (2 bytes), of which the length tells the
   size; all of that is there. NULL when there is none. Valid until console_release_frame. */
const uint8_t *console_frame(void);
/* SMP's part, called in the interrupt when a request has come. */
void console_frame_came(void);
/* The request is answered, or needs no answer now: the next may come, and program output goes on. */
void console_release_frame(void);
/* CRC-16/XMODEM, which ends a frame. */
uint16_t console_crc(const uint8_t *bytes, size_t size);
/* Sends a message (without length and CRC, which are added here) as SMP lines. */
void console_send_frame(const uint8_t *message, size_t size);
/* Adds program input that came in a message, binary safe; gives the bytes accepted. */
size_t console_add_input(const uint8_t *bytes, size_t size);
/* After this, and when what is there has been read, the input is at its end. */
void console_end_input(void);
/* Forgets unread input and its end: a new program begins. */
void console_clear_input(void);

#endif
