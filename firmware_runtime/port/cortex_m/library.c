/* Functions of the C library and of the compiler's that are large there: memory, strings, a few of floating point.

   This file decides between size and speed: copies go in words, in blocks of four where there are many; the others are
   as short as they can be. It refuses to know who calls: the linker takes these before it looks into the libraries. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Memory and strings ///

/* What is read may lie askew where the core can read that. */
#if __ARM_FEATURE_UNALIGNED
#define ASKEW(to, from) 0u
#define SOURCE __attribute__((packed, may_alias))
#else
#define ASKEW(to, from) (((uintptr_t)(to) ^ (uintptr_t)(from)) & 3)
#define SOURCE __attribute__((may_alias))
#endif

struct word {
    uint32_t value;
} SOURCE;
struct block {
    uint32_t values[4];
} SOURCE;

static bool aligned(const void *address) {
    return ((uintptr_t)address & 3) == 0;
}

static void copy_up(uint8_t *to, const uint8_t *from, size_t size) {
    if (!ASKEW(to, from)) {
        for (; size > 0 && !aligned(to); size--) {
            *to++ = *from++;
        }
        for (; size >= sizeof(struct block); size -= sizeof(struct block)) {
            const struct block *block = (const struct block *)from;
            uint32_t a = block->values[0], b = block->values[1], c = block->values[2], d = block->values[3];
            uint32_t *words = (uint32_t *)to;
            words[0] = a, words[1] = b, words[2] = c, words[3] = d;
            to += sizeof *block;
            from += sizeof *block;
        }
        for (; size >= 4; size -= 4, to += 4, from += 4) {
            *(uint32_t *)to = ((const struct word *)from)->value;
        }
    }
    while (size-- > 0) {
        *to++ = *from++;
    }
}

/* Both point behind the last byte. */
static void copy_down(uint8_t *to, const uint8_t *from, size_t size) {
    if (!ASKEW(to, from)) {
        for (; size > 0 && !aligned(to); size--) {
            *--to = *--from;
        }
        for (; size >= 4; size -= 4) {
            to -= 4, from -= 4;
            *(uint32_t *)to = ((const struct word *)from)->value;
        }
    }
    while (size-- > 0) {
        *--to = *--from;
    }
}

void *memmove(void *to, const void *from, size_t size) {
    if ((uintptr_t)to - (uintptr_t)from >= size) {
        copy_up(to, from, size);
    } else {
        copy_down((uint8_t *)to + size, (const uint8_t *)from + size, size);
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) __attribute__((alias("memmove")));

void *memset(void *to, int value, size_t size) {
    uint8_t *next = to;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; size > 0 && !aligned(next); size--) {
        *next++ = (uint8_t)value;
    }
    for (; size >= 4; size -= 4, next += 4) {
        *(uint32_t *)next = word;
    }
    while (size-- > 0) {
        *next++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *left = a, *right = b;
    int difference = 0;
    while (size-- > 0 && difference == 0) {
        difference = *left++ - *right++;
    }
    return difference;
}

int strcmp(const char *a, const char *b) {
    while (*a != 0 && *a == *b) {
        a++, b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end != 0) {
        end++;
    }
    return (size_t)(end - text);
}

/// Division of 64 bits ///

#if __ARM_ARCH >= 7
/* A digit of 16 bits of (number, next) / divisor, guessed from the divisor's upper half and corrected downwards; leaves
   the rest in `number`. The divisor's highest bit is set. Knuth, volume 2, 4.3.1, algorithm D. */
static inline __attribute__((always_inline)) uint32_t digit(uint32_t *number, uint32_t next, uint32_t divisor) {
    const uint32_t upper = divisor >> 16, lower = divisor & 0xffff;
    uint32_t guess = *number / upper;
    uint32_t left = (*number - guess * upper) << 16 | next;
    uint32_t product = guess * lower;
    while (product > left) {
        guess--;
        left += divisor;
        if (left < divisor) {
            break;
        }
    }
    *number = left - product;
    return guess;
}

/* number / divisor, whose highest bit is set and which is above the number's upper half. */
static uint32_t divide(uint32_t high, uint32_t low, uint32_t divisor, uint32_t *rest) {
    const uint32_t upper = digit(&high, low >> 16, divisor);
    const uint32_t lower = digit(&high, low & 0xffff, divisor);
    *rest = high;
    return upper << 16 | lower;
}

/* What libgcc's divisions of 64 bits are made of. */
uint64_t __udivmoddi4(uint64_t number, uint64_t divisor, uint64_t *rest) {
    const uint32_t high = (uint32_t)(number >> 32), low = (uint32_t)number, divisor_low = (uint32_t)divisor;
    uint64_t quotient;
    uint32_t left;
    if (number < divisor) {
        *rest = number;
        return 0;
    }
    if (divisor >> 32 == 0) {
        const uint32_t zeros = (uint32_t)__builtin_clz(divisor_low), upper = high / divisor_low;
        const uint32_t below = (high - upper * divisor_low) << zeros | low >> 1 >> (31 - zeros);
        const uint32_t lower = divide(below, low << zeros, divisor_low << zeros, &left);
        *rest = left >> zeros;
        return (uint64_t)upper << 32 | lower;
    }
    const int zeros = __builtin_clz((uint32_t)(divisor >> 32));
    const uint64_t half = number >> 1; /* by the divisor's upper 32 bits: right, or one too large */
    const uint32_t guess = divide((uint32_t)(half >> 32), (uint32_t)half, (uint32_t)(divisor << zeros >> 32), &left);
    quotient = ((uint64_t)guess << zeros) >> 31;
    quotient -= quotient != 0;
    number -= quotient * divisor;
    if (number >= divisor) {
        number -= divisor;
        quotient++;
    }
    *rest = number;
    return quotient;
}
#endif

/// Floating point: bits in, bits out ///

#if defined(__ARM_FP) || __ARM_ARCH < 7
/* Integer to f32, rounded to the nearest, ties to even. For ARMv7-M libgcc's is one with the sums, which are needed only
   where there is no FPU. */
uint32_t __aeabi_ul2f(uint64_t value) {
    if (value == 0) {
        return 0;
    }
    const uint32_t high = (uint32_t)(value >> 32);
    const int zeros = high != 0 ? __builtin_clz(high) : 32 + __builtin_clz((uint32_t)value);
    value <<= zeros; /* the highest bit is set: 24 bits that count, then 40 */
    const uint32_t significand = (uint32_t)(value >> 40);
    const uint64_t rest = value << 24;
    const uint64_t half = (uint64_t)1 << 63;
    const uint32_t up = rest > half || (rest == half && (significand & 1) != 0);
    return ((uint32_t)(127 + 62 - zeros) << 23) + significand + up;
}

uint32_t __aeabi_l2f(int64_t value) {
    return value < 0 ? 1u << 31 | __aeabi_ul2f(-(uint64_t)value) : __aeabi_ul2f((uint64_t)value);
}
#endif

#if __ARM_ARCH < 7
/* libgcc has differences of their own as large as the sums. */
uint64_t __aeabi_dadd(uint64_t a, uint64_t b);
uint32_t __aeabi_fadd(uint32_t a, uint32_t b);

uint64_t __aeabi_dsub(uint64_t a, uint64_t b) {
    return __aeabi_dadd(a, b ^ (uint64_t)1 << 63);
}

uint32_t __aeabi_fsub(uint32_t a, uint32_t b) {
    return __aeabi_fadd(a, b ^ 1u << 31);
}
#endif
