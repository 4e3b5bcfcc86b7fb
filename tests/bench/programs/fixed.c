/* i64: Q16.16 arithmetic: a rotation, a logarithm by squaring, an integral. */
#include "bench.h"

static int32_t times(int32_t a, int32_t b) {
    return (int32_t)((int64_t)a * b >> 16);
}

static int32_t logarithm(uint32_t x) {
    int32_t result = 0;
    uint64_t y = x;
    while (y < 1 << 16)
        y <<= 1, result -= 1 << 16;
    while (y >= 2 << 16)
        y >>= 1, result += 1 << 16;
    for (int32_t bit = 1 << 15; bit; bit >>= 1) {
        y = y * y >> 16;
        if (y >= 2 << 16)
            y >>= 1, result += bit;
    }
    return result;
}

uint32_t run(uint32_t n) {
    int32_t x = 1 << 16, y = 0;
    uint32_t checksum = 0;
    int64_t sum = 0;
    for (uint32_t i = 1; i <= n; i++) {
        int32_t next = times(x, 65523) - times(y, 1310);
        y = times(y, 65523) + times(x, 1310);
        x = next;
        sum += (int64_t)x * y;
        checksum = checksum * 5 + (uint32_t)logarithm(i * 4096);
    }
    return checksum ^ (uint32_t)sum ^ (uint32_t)(sum >> 32);
}
