/* The arbiter: see console.h. A byte is sorted as it arrives, in the UART's interrupt, so that a request is complete in
   its buffer whatever the program does meanwhile. The framing is that of MCUmgr's SMP over console: base64 lines of at
   most 127 bytes, 06 09 before the first and 04 14 before the others, holding length, message and CRC-16/XMODEM. */

#include "console.h"

#include <string.h>

#include "board.h"
#include "platform.h"

#define FIRST_MARK_1 0x06
#define FIRST_MARK_2 0x09
#define NEXT_MARK_1 0x04
#define NEXT_MARK_2 0x14
#define TEXT_PER_LINE 124u /* 127 without marker and LF, in whole groups of four */
#define BYTES_PER_LINE (TEXT_PER_LINE / 4u * 3u)

/* A request whose rest does not come within this time is forgotten. */
#define FRAME_TIMEOUT_MICROSECONDS 300000u

_Static_assert((INPUT_SIZE & (INPUT_SIZE - 1)) == 0, "the ring's positions wrap at a power of two");

/* Shared with the interrupt. */
static struct {
    uint8_t bytes[INPUT_SIZE];
    volatile uint16_t head; /* bytes ever added and taken, modulo 65536 */
    volatile uint16_t tail;
    volatile bool ended;
} input;

static struct {
    uint8_t frame[FRAME_SIZE];
    volatile uint16_t size;
    volatile bool receiving; /* a request has begun */
    volatile bool complete;  /* it lies in frame */
    volatile uint16_t progress;
    enum { LINE_START, LINE_MARK, LINE_TEXT, LINE_SMP } line;
    uint8_t mark;
    uint8_t bits;    /* decoded bits that do not fill a byte yet */
    uint32_t digits; /* they are the lowest ones here */
} smp;

static uint8_t last_sent; /* of program output */
static struct {
    bool several;
    bool in_line;   /* something of the line was sent, by `last` */
    uint8_t speaker, last;
} speech;

/// Received ///

static inline __attribute__((always_inline)) bool add_input(uint8_t byte) {
    if ((uint16_t)(input.head - input.tail) == INPUT_SIZE) {
        return false;
    }
    input.bytes[input.head % INPUT_SIZE] = byte;
    input.head++;
    return true;
}

static inline void receive_text(uint8_t byte) {
    add_input(byte);
    smp.line = byte == '\n' || byte == '\r' ? LINE_START : LINE_TEXT;
}

static void begin_line(uint8_t mark) {
    smp.line = LINE_SMP;
    smp.bits = 0;
    if (mark == FIRST_MARK_1 && !smp.complete) {
        smp.size = 0;
        smp.receiving = true;
    }
}

static void receive_mark(uint8_t byte) {
    if ((smp.mark == FIRST_MARK_1 && byte == FIRST_MARK_2) || (smp.mark == NEXT_MARK_1 && byte == NEXT_MARK_2)) {
        begin_line(smp.mark);
    } else {
        receive_text(smp.mark);
        receive_text(byte);
    }
}

static int base64_digit(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

static void receive_digit(uint8_t byte) {
    int digit = base64_digit(byte);
    if (digit < 0) {
        smp.receiving = smp.receiving && (byte == '=' || byte == '\r');
        return;
    }
    smp.digits = smp.digits << 6 | (uint32_t)digit;
    smp.bits += 6;
    if (smp.bits >= 8) {
        smp.bits -= 8;
        if (smp.size == FRAME_SIZE) {
            smp.receiving = false;
        } else {
            smp.frame[smp.size++] = (uint8_t)(smp.digits >> smp.bits);
        }
    }
}

static void end_line(void) {
    smp.line = LINE_START;
    if (smp.receiving && smp.size >= 2 && smp.size >= 2u + (smp.frame[0] << 8 | smp.frame[1])) {
        smp.receiving = false;
        smp.complete = true;
        console_frame_came();
    }
}

/* A mark inside a line of base64: its end was lost, and another line begins. */
static void receive_smp(uint8_t byte) {
    smp.progress++;
    if (byte == '\n') {
        end_line();
    } else if (byte == FIRST_MARK_1 || byte == NEXT_MARK_1) {
        smp.receiving = false;
        smp.mark = byte;
        smp.line = LINE_MARK;
    } else if (smp.receiving) {
        receive_digit(byte);
    }
}

void console_receive(uint8_t byte) {
    switch (smp.line) {
    case LINE_START:
        if (byte == FIRST_MARK_1 || byte == NEXT_MARK_1) {
            smp.mark = byte;
            smp.line = LINE_MARK;
            return;
        }
        receive_text(byte);
        return;
    case LINE_MARK:
        receive_mark(byte);
        return;
    case LINE_TEXT:
        receive_text(byte);
        return;
    case LINE_SMP:
        receive_smp(byte);
        return;
    }
}

/// The program's side ///

bool console_input_available(void) {
    return input.head != input.tail;
}

bool console_input_ended(void) {
    return input.ended && !console_input_available();
}

size_t console_input(uint8_t *bytes, size_t size) {
    size_t count = 0;
    while (count < size && console_input_available()) {
        bytes[count++] = input.bytes[input.tail % INPUT_SIZE];
        input.tail++;
    }
    return count;
}

/* Waits for the rest of a request that has begun. */
static void let_request_end(void) {
    uint16_t progress = smp.progress;
    uint32_t since = (uint32_t)platform_microseconds();
    while (smp.receiving) {
        if (smp.progress != progress) {
            progress = smp.progress;
            since = (uint32_t)platform_microseconds();
        } else if ((uint32_t)platform_microseconds() - since > FRAME_TIMEOUT_MICROSECONDS) {
            smp.receiving = false;
        }
    }
}

void console_speaker(uint32_t image) {
    speech.speaker = (uint8_t)image;
}

void console_share(bool several) {
    speech.several = several;
}

/* What has to stand before a byte of who speaks. */
static __attribute__((noinline)) void begin_speech(uint8_t byte) {
    const uint8_t mark[] = {'[', (uint8_t)('0' + speech.speaker), ']', ' '};
    const bool ends_line = byte == '\n' || byte == '\r';
    if (speech.in_line && speech.last != speech.speaker) {
        console_write_raw((const uint8_t *)"\r\n", 2);
        speech.in_line = false;
    }
    if (!speech.in_line && !ends_line) {
        console_write_raw(mark, sizeof mark);
    }
    speech.in_line = !ends_line;
    speech.last = speech.speaker;
}

static void write_byte(uint8_t byte) {
    static const uint8_t separator = 0;
    if (speech.several) {
        begin_speech(byte);
    }
    if ((last_sent == FIRST_MARK_1 && byte == FIRST_MARK_2) || (last_sent == NEXT_MARK_1 && byte == NEXT_MARK_2)) {
        console_write_raw(&separator, 1);
    }
    console_write_raw(&byte, 1);
    last_sent = byte;
}

/* Writes until the end or until a request has come; gives how many bytes. It is apart from console_write, so that its
   stack is not below the answer to the request. */
static __attribute__((noinline)) size_t write_some(const uint8_t *bytes, size_t size) {
    size_t count = 0;
    for (; count < size; count++) {
        if (smp.receiving) {
            let_request_end();
        }
        if (smp.complete) {
            break;
        }
        write_byte(bytes[count]);
    }
    return count;
}

bool console_write(const uint8_t *bytes, size_t size) {
    for (;;) {
        const size_t count = write_some(bytes, size);
        bytes += count;
        size -= count;
        if (size == 0) {
            return true;
        }
        if (!platform_poll()) {
            return false;
        }
    }
}

void console_print(const char *text) {
    for (; *text != 0; text++) {
        write_byte((uint8_t)*text);
    }
}

char *console_decimal(char *end, uint32_t number) {
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return end;
}

void console_print_number(uint32_t number) {
    static char digits[CONSOLE_DIGITS + 1]; /* the last one stays 0; the C stack may be deep already */
    console_print(console_decimal(digits + CONSOLE_DIGITS, number));
}

/// SMP's side ///

const uint8_t *console_frame(void) {
    return smp.complete ? smp.frame : NULL;
}

void console_release_frame(void) {
    smp.complete = false;
}

uint16_t console_crc(const uint8_t *bytes, size_t size) {
    uint32_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t first = (crc >> 8 ^ bytes[i]) & 0xFF; /* the eight steps of the polynomial 1021, at once */
        first ^= first >> 4;
        crc = crc << 8 ^ first ^ first << 5 ^ first << 12;
    }
    return (uint16_t)crc;
}

/* Byte `position` of length, message, CRC. */
static uint8_t framed_byte(const uint8_t *message, size_t size, uint16_t crc, size_t position) {
    uint16_t length = (uint16_t)(size + 2);
    if (position < 2) {
        return (uint8_t)(position == 0 ? length >> 8 : length);
    }
    if (position < size + 2) {
        return message[position - 2];
    }
    return (uint8_t)(position == size + 2 ? crc >> 8 : crc);
}

static uint8_t base64_letter(uint32_t digit) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return (uint8_t)letters[digit & 63];
}

static void send_group(const uint8_t bytes[3], size_t count) {
    uint32_t group = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    uint8_t text[4] = {base64_letter(group >> 18), base64_letter(group >> 12), '=', '='};
    if (count > 1) {
        text[2] = base64_letter(group >> 6);
    }
    if (count > 2) {
        text[3] = base64_letter(group);
    }
    console_write_raw(text, sizeof text);
}

void console_send_frame(const uint8_t *message, size_t size) {
    static const uint8_t first_mark[2] = {FIRST_MARK_1, FIRST_MARK_2}, next_mark[2] = {NEXT_MARK_1, NEXT_MARK_2};
    uint16_t crc = console_crc(message, size);
    for (size_t position = 0; position < size + 4; position += 3) {
        uint8_t group[3] = {0};
        size_t left = size + 4 - position, count = left < 3 ? left : 3;
        for (size_t i = 0; i < count; i++) {
            group[i] = framed_byte(message, size, crc, position + i);
        }
        if (position % BYTES_PER_LINE == 0) {
            console_write_raw(position == 0 ? first_mark : next_mark, 2);
        }
        send_group(group, count);
        if ((position + 3) % BYTES_PER_LINE == 0 || left <= 3) {
            console_write_raw((const uint8_t *)"\n", 1);
        }
    }
}

size_t console_add_input(const uint8_t *bytes, size_t size) {
    size_t count = 0;
    platform_mask(true);
    while (count < size && add_input(bytes[count])) {
        count++;
    }
    platform_mask(false);
    return count;
}

void console_end_input(void) {
    input.ended = true;
}

void console_clear_input(void) {
    input.tail = input.head;
    input.ended = false;
}
