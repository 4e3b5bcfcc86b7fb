/* Bytes: base64 there and back. */
#include "bench.h"

enum { SIZE = 300 };
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static uint8_t plain[SIZE], again[SIZE], values[128];
static char coded[SIZE * 2];

static uint32_t encode(void) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < SIZE; i += 3) {
        uint32_t group = (uint32_t)plain[i] << 16 | (uint32_t)plain[i + 1] << 8 | plain[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            coded[out++] = letters[group >> shift & 63];
    }
    return out;
}

static void decode(uint32_t size) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < size; i += 4) {
        uint32_t group = 0;
        for (uint32_t j = 0; j < 4; j++)
            group = group << 6 | values[(uint8_t)coded[i + j]];
        again[out++] = (uint8_t)(group >> 16);
        again[out++] = (uint8_t)(group >> 8);
        again[out++] = (uint8_t)group;
    }
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < 64; i++)
        values[(uint8_t)letters[i]] = (uint8_t)i;
    while (n--) {
        for (uint32_t i = 0; i < SIZE; i++)
            plain[i] = (uint8_t)(i * 11 + n);
        decode(encode());
        for (uint32_t i = 0; i < SIZE; i++)
            checksum = checksum * 17 + (again[i] ^ coded[i]);
    }
    return checksum;
}
