/* Recursion: how many ways n queens stand on a board of n by n. */
#include "bench.h"

static uint32_t place(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t ways = 0;
    if (columns == all)
        return 1;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t queen = free & (0u - free);
        ways += place(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
    }
    return ways;
}

uint32_t run(uint32_t n) {
    return place((1u << n) - 1, 0, 0, 0);
}
