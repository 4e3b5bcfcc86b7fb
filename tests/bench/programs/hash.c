/* Tables: a hash table with open addressing: words counted, looked up, removed. */
#include "bench.h"

enum { ROOM = 256 };
static uint32_t keys[ROOM];
static uint16_t counts[ROOM];

static uint32_t slot_of(uint32_t key) {
    uint32_t i = key * 2654435761u >> 24;
    while (keys[i] && keys[i] != key)
        i = (i + 1) % ROOM;
    return i;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0, x = 7;
    while (n--) {
        for (uint32_t i = 0; i < ROOM; i++)
            keys[i] = counts[i] = 0;
        for (uint32_t i = 0; i < 400; i++) {
            x = x * 1664525u + 1013904223u;
            uint32_t key = (x >> 20) % 150 + 1, at = slot_of(key);
            keys[at] = key;
            counts[at]++;
        }
        for (uint32_t key = 1; key < 200; key += 3)
            checksum = checksum * 7 + counts[slot_of(key)];
    }
    return checksum;
}
