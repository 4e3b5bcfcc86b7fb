/* i64: powers modulo a number of 31 bits, and a test for primes. */
#include "bench.h"

static uint32_t power(uint32_t base, uint32_t exponent, uint32_t modulus) {
    uint64_t result = 1, factor = base % modulus;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            result = result * factor % modulus;
        factor = factor * factor % modulus;
    }
    return (uint32_t)result;
}

static int is_prime(uint32_t n) {
    uint32_t odd = n - 1, twos = 0;
    static const uint8_t bases[] = {2, 3, 5};
    for (; odd % 2 == 0; odd /= 2)
        twos++;
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t x = power(bases[i], odd, n);
        uint32_t round = 0;
        if (x == 1 || x == n - 1)
            continue;
        for (; round < twos; round++) {
            x = x * x % n;
            if (x == n - 1)
                break;
        }
        if (round >= twos)
            return 0;
    }
    return 1;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t candidate = 1000003; n; candidate += 2, n--)
        if (is_prime(candidate))
            checksum = checksum * 31 + candidate;
    return checksum;
}
