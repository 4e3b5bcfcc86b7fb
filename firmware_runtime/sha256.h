/* SHA-256, FIPS 180-4. */

#ifndef SHA256_H
#define SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

/* What hashing works on: 160 bytes, for which the caller has a better place than the C stack. */
struct sha256 {
    uint32_t state[8];
    uint32_t ring[16];
    uint8_t block[64];
};

/* The digest of `size` bytes; it lies in `work`. */
const uint8_t *sha256(struct sha256 *work, const uint8_t *bytes, size_t size);

/* The same, and on the way whether the first `prefix` bytes have the digest that is expected. */
const uint8_t *sha256_and_prefix(struct sha256 work[2], const uint8_t *bytes, size_t size, size_t prefix,
                                 const uint8_t *expected, bool *as_expected);

#endif
