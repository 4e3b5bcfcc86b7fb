/* Searching: binary search in a sorted table, and strings by Boyer, Moore and Horspool. */
#include "bench.h"

static uint32_t table[256];
static uint8_t skip[256];
static const char hay[] =
    "the quick brown fox jumps over the lazy dog while the needle hides in a haystack that is not very large, but "
    "large enough that a search which skips is worth its table; here it is: needle.";
static const char *const needles[] = {"needle.", "haystack", "lazy cat", "table;", "zebra"};

static uint32_t find(uint32_t key) {
    uint32_t low = 0, high = 256;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (table[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int32_t locate(const char *needle) {
    int32_t size = 0, length = sizeof hay - 1;
    while (needle[size])
        size++;
    for (int32_t i = 0; i < 256; i++)
        skip[i] = (uint8_t)size;
    for (int32_t i = 0; i < size - 1; i++)
        skip[(uint8_t)needle[i]] = (uint8_t)(size - 1 - i);
    for (int32_t at = 0; at + size <= length; at += skip[(uint8_t)hay[at + size - 1]]) {
        int32_t i = size - 1;
        while (i >= 0 && hay[at + i] == needle[i])
            i--;
        if (i < 0)
            return at;
    }
    return -1;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < 256; i++)
        table[i] = i * i + 3 * i;
    while (n--) {
        for (uint32_t i = 0; i < 64; i++)
            checksum += find(i * 977 + n);
        for (uint32_t i = 0; i < sizeof needles / sizeof *needles; i++)
            checksum = checksum * 3 + (uint32_t)locate(needles[i]);
    }
    return checksum;
}
