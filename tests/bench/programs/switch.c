/* A big switch: bytes of a made-up instruction set, each with a case of its own. */
#include "bench.h"

uint32_t run(uint32_t n) {
    uint32_t a = 1, b = 2, c = 3, x = 99;
    for (uint32_t i = 0; i < n * 64; i++) {
        x = x * 1103515245u + 12345u;
        switch (x >> 16 & 31) {
        case 0: a += b; break;
        case 1: a -= c; break;
        case 2: a ^= b << 1; break;
        case 3: b += a >> 3; break;
        case 4: b ^= c; break;
        case 5: c = a + b; break;
        case 6: c -= b; break;
        case 7: a = b; break;
        case 8: b = c ^ a; break;
        case 9: c = c << 3 | c >> 29; break;
        case 10: a *= 5; break;
        case 11: b *= 3; break;
        case 12: c *= 7; break;
        case 13: a = ~a; break;
        case 14: b = 0u - b; break;
        case 15: c ^= 0x5555; break;
        case 16: a |= 1; break;
        case 17: b &= 0xffff; break;
        case 18: c += i; break;
        case 19: a += 1000; break;
        case 20: b -= 77; break;
        case 21: c ^= a & b; break;
        case 22: a ^= c | b; break;
        case 23: b += (uint8_t)c; break;
        case 24: c += (uint16_t)a; break;
        case 25: a = a > b ? a : b; break;
        case 26: b = b < c ? b : c; break;
        case 27: c = c == a ? b : c; break;
        case 28: a <<= 1; break;
        case 29: b >>= 1; break;
        case 30: c = (uint32_t)((int32_t)c >> 1); break;
        default: a ^= x;
        }
    }
    return a ^ b ^ c;
}
