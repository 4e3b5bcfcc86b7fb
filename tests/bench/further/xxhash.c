/* xxHash: the hashes of 32 and 64 bits and XXH3, of texts of several lengths. */
#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include "xxhash.h"

#include "work.h"

static uint8_t text[600];

uint32_t run(uint32_t n) {
    uint64_t sum = 0;
    make_text(text, sizeof text, n);
    while (n--)
        for (size_t size = 3; size <= sizeof text; size += size) {
            sum += XXH32(text, size, n);
            sum ^= XXH64(text, size, sum);
            sum += XXH3_64bits_withSeed(text, size, n);
        }
    return (uint32_t)(sum ^ sum >> 32);
}
