/* SHA-256 by the letter of FIPS 180-4, sections 4.1.2, 5.3.3 and 6.2; small rather than fast.
   The message schedule is kept as a ring of 16 words. Bytes are hashed where they lie; only the end is copied. */

#include "sha256.h"

#include <string.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The same of the square roots of the first 8 primes (5.3.3). */
static const uint32_t initial_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate_right(uint32_t word, unsigned count) {
    return word >> count | word << (32 - count);
}

static uint32_t load_big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_big_endian(uint8_t *bytes, uint32_t word) {
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(word >> (24 - 8 * i));
    }
}

/* W of round t; the ring holds those of rounds t - 16 to t - 1. */
static uint32_t schedule(uint32_t *ring, const uint8_t *block, unsigned t) {
    uint32_t word;
    if (t < 16) {
        word = load_big_endian(block + 4 * t);
    } else {
        uint32_t near = ring[(t - 2) % 16], far = ring[(t - 15) % 16];
        uint32_t sigma1 = rotate_right(near, 17) ^ rotate_right(near, 19) ^ near >> 10;
        uint32_t sigma0 = rotate_right(far, 7) ^ rotate_right(far, 18) ^ far >> 3;
        word = sigma1 + ring[(t - 7) % 16] + sigma0 + ring[t % 16];
    }
    return ring[t % 16] = word;
}

/* The new a and e take the places of h and d: instead of moving along, the variables change their names. */
static inline __attribute__((always_inline)) void do_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                                                           uint32_t f, uint32_t g, uint32_t *h, uint32_t addend) {
    uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t choice = (e & f) ^ (~e & g);
    uint32_t first = *h + sum1 + choice + addend;
    uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    *d += first;
    *h = first + sum0 + majority;
}

static void compress(struct sha256 *work, const uint8_t *block) {
    uint32_t *state = work->state, *ring = work->ring;
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned t = 0; t < 64; t += 8) {
        do_round(a, b, c, &d, e, f, g, &h, constants[t] + schedule(ring, block, t));
        do_round(h, a, b, &c, d, e, f, &g, constants[t + 1] + schedule(ring, block, t + 1));
        do_round(g, h, a, &b, c, d, e, &f, constants[t + 2] + schedule(ring, block, t + 2));
        do_round(f, g, h, &a, b, c, d, &e, constants[t + 3] + schedule(ring, block, t + 3));
        do_round(e, f, g, &h, a, b, c, &d, constants[t + 4] + schedule(ring, block, t + 4));
        do_round(d, e, f, &g, h, a, b, &c, constants[t + 5] + schedule(ring, block, t + 5));
        do_round(c, d, e, &f, g, h, a, &b, constants[t + 6] + schedule(ring, block, t + 6));
        do_round(b, c, d, &e, f, g, h, &a, constants[t + 7] + schedule(ring, block, t + 7));
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

/* The rest, a one bit, zeros, and the size of all in bits (5.1.1). */
static void finish(struct sha256 *work, const uint8_t *rest, size_t size) {
    const size_t left = size % sizeof work->block;
    memset(work->block, 0, sizeof work->block);
    memcpy(work->block, rest, left);
    work->block[left] = 0x80;
    if (left >= sizeof work->block - 8) {
        compress(work, work->block);
        memset(work->block, 0, sizeof work->block);
    }
    store_big_endian(work->block + 56, (uint32_t)((uint64_t)size >> 29));
    store_big_endian(work->block + 60, (uint32_t)size << 3);
    compress(work, work->block);
}

static size_t whole_blocks(const struct sha256 *work, size_t size) {
    return size - size % sizeof work->block;
}

static void absorb(struct sha256 *work, const uint8_t *bytes, const uint8_t *end) {
    for (; bytes < end; bytes += sizeof work->block) {
        compress(work, bytes);
    }
}

/* Of `size` bytes, of which `rest` has not been absorbed. */
static const uint8_t *digest(struct sha256 *work, const uint8_t *rest, size_t size) {
    finish(work, rest, size);
    for (int i = 0; i < 8; i++) {
        store_big_endian(work->block + 4 * i, work->state[i]);
    }
    return work->block;
}

const uint8_t *sha256(struct sha256 *work, const uint8_t *bytes, size_t size) {
    const uint8_t *rest = bytes + whole_blocks(work, size);
    memcpy(work->state, initial_state, sizeof initial_state);
    absorb(work, bytes, rest);
    return digest(work, rest, size);
}

const uint8_t *sha256_and_prefix(struct sha256 work[2], const uint8_t *bytes, size_t size, size_t prefix,
                                 const uint8_t *expected, bool *as_expected) {
    const uint8_t *middle = bytes + whole_blocks(work, prefix), *rest = bytes + whole_blocks(work, size);
    memcpy(work->state, initial_state, sizeof initial_state);
    absorb(work, bytes, middle);
    work[1] = work[0];
    *as_expected = memcmp(digest(work + 1, middle, prefix), expected, SHA256_SIZE) == 0;
    absorb(work, middle, rest);
    return digest(work, rest, size);
}
