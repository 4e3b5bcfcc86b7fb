/* Bytes: AES-128 encryption with a computed S-box. */
#include "bench.h"

static uint8_t box[256], keys[176];

static uint8_t twice(uint8_t x) {
    return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
}

static void make_box(void) {
    uint8_t p = 1, q = 1;
    do {
        p = (uint8_t)(p ^ twice(p));
        q ^= (uint8_t)(q << 1);
        q ^= (uint8_t)(q << 2);
        q ^= (uint8_t)(q << 4);
        if (q & 0x80)
            q ^= 0x09;
        uint32_t r = q;
        r = r ^ (r << 1 | r >> 7) ^ (r << 2 | r >> 6) ^ (r << 3 | r >> 5) ^ (r << 4 | r >> 4);
        box[p] = (uint8_t)(r ^ 0x63);
    } while (p != 1);
    box[0] = 0x63;
}

static void make_keys(uint32_t seed) {
    uint8_t constant = 1;
    for (int i = 0; i < 16; i++)
        keys[i] = (uint8_t)(seed * 31 + (uint32_t)i * 17);
    for (int i = 16; i < 176; i += 4) {
        uint8_t t[4];
        for (int j = 0; j < 4; j++)
            t[j] = keys[i - 4 + j];
        if (i % 16 == 0) {
            uint8_t first = t[0];
            t[0] = box[t[1]] ^ constant;
            t[1] = box[t[2]];
            t[2] = box[t[3]];
            t[3] = box[first];
            constant = twice(constant);
        }
        for (int j = 0; j < 4; j++)
            keys[i + j] = keys[i - 16 + j] ^ t[j];
    }
}

static void encrypt(uint8_t *s) {
    uint8_t t[16];
    for (int i = 0; i < 16; i++)
        s[i] ^= keys[i];
    for (int round = 1; round <= 10; round++) {
        for (int i = 0; i < 16; i++)
            t[i] = box[s[(i + 4 * (i & 3)) & 15]];
        for (int c = 0; c < 16; c += 4) {
            uint8_t all = t[c] ^ t[c + 1] ^ t[c + 2] ^ t[c + 3];
            for (int i = 0; i < 4; i++) {
                uint8_t mixed = t[c + i];
                if (round < 10)
                    mixed ^= all ^ twice(t[c + i] ^ t[c + ((i + 1) & 3)]);
                s[c + i] = mixed ^ keys[16 * round + c + i];
            }
        }
    }
}

uint32_t run(uint32_t n) {
    uint8_t s[16];
    make_box();
    make_keys(n);
    for (int i = 0; i < 16; i++)
        s[i] = (uint8_t)i;
    while (n--)
        encrypt(s);
    return (uint32_t)s[0] << 24 | (uint32_t)s[5] << 16 | (uint32_t)s[10] << 8 | s[15];
}
