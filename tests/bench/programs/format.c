/* Strings: a small printf into a buffer: decimal, hexadecimal, strings, width and filling. */
#include "bench.h"

#include <stdarg.h>

static char buffer[160];

static char *number(char *out, uint32_t value, uint32_t base, int width, char fill) {
    char digits[12];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (width-- > count)
        *out++ = fill;
    while (count)
        *out++ = digits[--count];
    return out;
}

__attribute__((noinline)) static uint32_t format(const char *text, ...) {
    char *out = buffer;
    va_list arguments;
    va_start(arguments, text);
    for (; *text; text++) {
        int width = 0;
        char fill = ' ';
        if (*text != '%') {
            *out++ = *text;
            continue;
        }
        if (*++text == '0')
            fill = '0', text++;
        while (*text >= '0' && *text <= '9')
            width = width * 10 + *text++ - '0';
        if (*text == 'd') {
            int value = va_arg(arguments, int);
            if (value < 0)
                *out++ = '-';
            out = number(out, value < 0 ? 0u - (uint32_t)value : (uint32_t)value, 10, width, fill);
        } else if (*text == 'x') {
            out = number(out, va_arg(arguments, uint32_t), 16, width, fill);
        } else if (*text == 's') {
            for (const char *s = va_arg(arguments, const char *); *s; s++)
                *out++ = *s;
        } else {
            *out++ = *text;
        }
    }
    va_end(arguments);
    *out = 0;
    return (uint32_t)(out - buffer);
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = format("%5d: %s is %d at %08x, %3d%% of %x\n", i, i % 3 ? "voltage" : "current",
                               (int)(i * 977) - 3000, i * 2654435761u, i % 101, i);
        for (uint32_t j = 0; j < size; j++)
            checksum = checksum * 33 ^ (uint8_t)buffer[j];
    }
    return checksum;
}
