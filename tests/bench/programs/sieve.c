/* Bits: Eratosthenes' sieve, a bit a number, and a count of the ones. */
#include "bench.h"

enum { LIMIT = 4096 };
static uint32_t bits[LIMIT / 32];

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        for (uint32_t i = 0; i < LIMIT / 32; i++)
            bits[i] = 0;
        for (uint32_t i = 2; i * i < LIMIT; i++)
            if (!(bits[i / 32] >> i % 32 & 1))
                for (uint32_t j = i * i; j < LIMIT; j += i)
                    bits[j / 32] |= 1u << j % 32;
        for (uint32_t i = 0; i < LIMIT / 32; i++)
            checksum += (uint32_t)__builtin_popcount(~bits[i]) * (i + 1);
    }
    return checksum;
}
