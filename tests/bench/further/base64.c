/* libbase64 in plain C: encodes a text in pieces and decodes it. */
#include "libbase64.h"

#include <string.h>

#include "codecs.h"
#include "work.h"

void base64_stream_encode_plain BASE64_ENC_PARAMS;
int base64_stream_decode_plain BASE64_DEC_PARAMS;

enum { SIZE = 600, PIECE = 100 };

static char text[SIZE], encoded[2 * SIZE], decoded[2 * SIZE];

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    make_text((uint8_t *)text, SIZE, n);
    while (n--) {
        struct base64_state state = {0};
        size_t filled = 0, size;
        text[n % SIZE] ^= 1;
        for (size_t used = 0; used < SIZE; used += PIECE, filled += size)
            base64_stream_encode_plain(&state, text + used, PIECE, encoded + filled, &size);
        sum = sum * 31 + filled + (uint8_t)encoded[n % SIZE];
        memset(&state, 0, sizeof state);
        sum += (uint32_t)base64_stream_decode_plain(&state, encoded, filled, decoded, &size);
        sum += size;
    }
    return mix(sum, encoded, sizeof encoded) + (memcmp(text, decoded, SIZE) == 0);
}
