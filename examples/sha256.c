/* SHA-256 (FIPS 180-4). Prints the digests of "abc" and of the 1,024 bytes 00 01 ... FF 00 ...;
   `--invoke digest_word N` gives the first word of the digest of the first N of these bytes. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64, DIGEST = 32 };

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

struct sha256 {
    uint32_t state[8];
    uint8_t block[BLOCK];
    uint32_t size; /* bytes so far; a message here is shorter than 512 MB */
};

static uint32_t rotate(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void expand(uint32_t w[64], const uint8_t *block) {
    for (int i = 0; i < 16; i++)
        w[i] = big_endian(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

static void compress(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64], s[8];
    expand(w, block);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) +
                      round_constants[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void begin(struct sha256 *h) {
    static const uint32_t initial[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(h->state, initial, sizeof initial);
    h->size = 0;
}

static void add(struct sha256 *h, uint8_t byte) {
    h->block[h->size++ % BLOCK] = byte;
    if (h->size % BLOCK == 0)
        compress(h->state, h->block);
}

static void finish(struct sha256 *h, uint8_t digest[DIGEST]) {
    uint32_t bits = h->size * 8;
    add(h, 0x80);
    while (h->size % BLOCK != BLOCK - 4)
        add(h, 0);
    for (int shift = 24; shift >= 0; shift -= 8)
        add(h, (uint8_t)(bits >> shift));
    for (int i = 0; i < DIGEST; i++)
        digest[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void digest_of_counter(uint32_t size, uint8_t digest[DIGEST]) {
    struct sha256 h;
    begin(&h);
    for (uint32_t i = 0; i < size; i++)
        add(&h, (uint8_t)i);
    finish(&h, digest);
}

__attribute__((export_name("digest_word"))) uint32_t digest_word(uint32_t size) {
    uint8_t digest[DIGEST];
    digest_of_counter(size, digest);
    return big_endian(digest);
}

static void print(const char *name, const uint8_t digest[DIGEST]) {
    char line[2 * DIGEST + 1];
    for (int i = 0; i < 2 * DIGEST; i++)
        line[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
    line[2 * DIGEST] = '\n';
    write(STDOUT_FILENO, name, strlen(name));
    write(STDOUT_FILENO, line, sizeof line);
}

int main(void) {
    uint8_t digest[DIGEST];
    struct sha256 h;
    begin(&h);
    for (const char *p = "abc"; *p; p++)
        add(&h, (uint8_t)*p);
    finish(&h, digest);
    print("SHA-256 of \"abc\": ", digest);
    digest_of_counter(1024, digest);
    print("SHA-256 of 1024 bytes: ", digest);
    return 0;
}
