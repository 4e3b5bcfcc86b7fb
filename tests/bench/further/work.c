#include "work.h"

void make_text(uint8_t *text, size_t size, uint32_t seed) {
    static const char *const words[] = {"temperature", "of", "the", "sensor", "is", "above", "limit", "at", "valve"};
    size_t filled = 0;
    while (filled < size) {
        seed = seed * 1664525 + 1013904223;
        if ((seed >> 28) == 0) {
            for (uint32_t rest = seed & 0xFFFFF; filled < size && rest; rest /= 10)
                text[filled++] = (uint8_t)('0' + rest % 10);
        } else {
            for (const char *c = words[(seed >> 16) % 9]; filled < size && *c; c++)
                text[filled++] = (uint8_t)*c;
        }
        if (filled < size)
            text[filled++] = (seed >> 24 & 7) == 0 ? '.' : ' ';
    }
}

uint32_t mix(uint32_t sum, const void *bytes, size_t size) {
    const uint8_t *byte = bytes;
    for (sum ^= 2166136261u; size--; byte++)
        sum = (sum ^ *byte) * 16777619u;
    return sum;
}
