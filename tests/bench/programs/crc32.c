/* Tables and bits: CRC-32 (ISO 3309) of 1 KB, by table, made by bits first. */
#include "bench.h"

enum { SIZE = 1024 };

static uint32_t table[256];
static uint8_t data[SIZE];

static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
        table[i] = crc;
    }
}

uint32_t run(uint32_t n) {
    uint32_t crc = 0;
    make_table();
    for (uint32_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 7 ^ i >> 3);
    while (n--) {
        crc = ~crc;
        for (uint32_t i = 0; i < SIZE; i++)
            crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xFF];
        crc = ~crc;
    }
    return crc;
}
