/* 64-bit integers: xorshift64* (Vigna 2014), multiplication, division, shifts by variable counts. */
#include "bench.h"

static uint64_t next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

uint32_t run(uint32_t n) {
    uint64_t state = 88172645463325252, sum = 0;
    while (n--) {
        uint64_t x = next(&state);
        sum += x >> (x & 31) ^ x << (n & 15);
        if (n % 16 == 0)
            sum += x % (sum | 1) + (uint64_t)((int64_t)sum / 1000003);
    }
    return (uint32_t)(sum ^ sum >> 32);
}
