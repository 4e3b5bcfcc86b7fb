/* heatshrink: compresses 1 KB of words and numbers, expands it again and compares. */
#include "heatshrink_decoder.h"
#include "heatshrink_encoder.h"

#include <string.h>

#include "work.h"

enum { SIZE = 1024 };

static uint8_t text[SIZE], packed[2 * SIZE], unpacked[2 * SIZE];
static heatshrink_encoder encoder;
static heatshrink_decoder decoder;

static size_t compress(void) {
    size_t used = 0, filled = 0, count;
    heatshrink_encoder_reset(&encoder);
    while (used < SIZE || heatshrink_encoder_finish(&encoder) == HSER_FINISH_MORE) {
        if (used < SIZE) {
            heatshrink_encoder_sink(&encoder, text + used, SIZE - used, &count);
            used += count;
        }
        while (heatshrink_encoder_poll(&encoder, packed + filled, sizeof packed - filled, &count) == HSER_POLL_MORE)
            filled += count;
        filled += count;
    }
    return filled;
}

static size_t expand(size_t size) {
    size_t used = 0, filled = 0, count;
    heatshrink_decoder_reset(&decoder);
    while (used < size || heatshrink_decoder_finish(&decoder) == HSDR_FINISH_MORE) {
        if (used < size) {
            heatshrink_decoder_sink(&decoder, packed + used, size - used, &count);
            used += count;
        }
        while (heatshrink_decoder_poll(&decoder, unpacked + filled, sizeof unpacked - filled, &count) == HSDR_POLL_MORE)
            filled += count;
        filled += count;
    }
    return filled;
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    make_text(text, SIZE, n);
    while (n--) {
        text[n % SIZE] ^= 1;
        size_t size = compress();
        sum = mix(sum, packed, size);
        sum += expand(size) == SIZE && memcmp(text, unpacked, SIZE) == 0;
    }
    return sum;
}
