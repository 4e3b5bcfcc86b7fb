/* Compression: LZ77 with a table of hashes, then decompression and a comparison. */
#include "bench.h"

enum { SIZE = 1024 };
static uint8_t plain[SIZE], packed[SIZE * 2], again[SIZE];
static uint16_t last[256];

static uint32_t compress(void) {
    uint32_t out = 0, i = 0;
    for (uint32_t h = 0; h < 256; h++)
        last[h] = 0xffff;
    while (i < SIZE) {
        uint32_t length = 0, from = 0xffff;
        if (i + 3 <= SIZE) {
            uint32_t h = (plain[i] * 33u ^ plain[i + 1] * 7u ^ plain[i + 2]) & 255;
            from = last[h];
            last[h] = (uint16_t)i;
            if (from != 0xffff && i - from < 256)
                while (length < 127 && i + length < SIZE && plain[from + length] == plain[i + length])
                    length++;
        }
        if (length >= 3) {
            packed[out++] = (uint8_t)(0x80 | length);
            packed[out++] = (uint8_t)(i - from);
            i += length;
        } else {
            packed[out++] = plain[i++] & 0x7f;
        }
    }
    return out;
}

static uint32_t expand(uint32_t size) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < size;) {
        uint32_t token = packed[i++];
        if (token & 0x80) {
            uint32_t from = out - packed[i++];
            for (uint32_t length = token & 0x7f; length; length--)
                again[out++] = again[from++];
        } else {
            again[out++] = (uint8_t)token;
        }
    }
    return out;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        uint32_t x = n + 1, size, wrong = 0;
        for (uint32_t i = 0; i < SIZE; i++) {
            x = x * 1103515245u + 12345u;
            plain[i] = i > 40 && (x >> 16) % 5 ? plain[i - 1 - (x >> 20) % 3 * 13] : (uint8_t)("etaoinshrd"[(x >> 18) % 10]);
        }
        size = compress();
        expand(size);
        for (uint32_t i = 0; i < SIZE; i++)
            wrong += again[i] != plain[i];
        checksum = checksum * 31 + size + wrong * 1000000u;
    }
    return checksum;
}
