/* Compresses and restores a text with somebody else's lz4.c, and says what came out; xxhash.c gives the checksums. */
#include <string.h>
#include <unistd.h>

#include "lz4.h"
#include "xxhash.h"

enum { SIZE = 1500, ROOM = LZ4_COMPRESSBOUND(SIZE) };

static char text[SIZE], packed[ROOM], restored[SIZE];
static LZ4_stream_t state;

static void print_number(const char *name, unsigned number) {
    char line[64];
    size_t end = strlen(name), digits = 1;
    memcpy(line, name, end);
    for (unsigned rest = number; rest > 9; rest /= 10)
        digits++;
    for (size_t i = digits; i > 0; i--, number /= 10)
        line[end + i - 1] = (char)('0' + number % 10);
    line[end + digits] = '\n';
    write(STDOUT_FILENO, line, end + digits + 1);
}

static void make_text(unsigned seed) {
    static const char *const words[] = {"flash ", "sector ", "erase ", "page ", "word ", "of a ", "the ", "\n"};
    for (size_t used = 0; used < SIZE;) {
        seed = seed * 1103515245 + 12345;
        const char *word = words[seed >> 16 & 7];
        size_t length = strlen(word) < SIZE - used ? strlen(word) : SIZE - used;
        memcpy(text + used, word, length);
        used += length;
    }
}

int main(void) {
    int failures = 0;
    for (int acceleration = 1; acceleration <= 4; acceleration++) {
        make_text((unsigned)acceleration);
        memset(restored, 0, SIZE);
        int size = LZ4_compress_fast_extState(&state, text, packed, SIZE, ROOM, acceleration);
        int back = LZ4_decompress_safe(packed, restored, size, SIZE);
        print_number("packed ", (unsigned)size);
        print_number("hash ", XXH32(packed, (size_t)size, 0));
        failures += back != SIZE || memcmp(text, restored, SIZE) != 0;
        failures += LZ4_decompress_safe(packed, restored, size - 1, SIZE) >= 0;
    }
    print_number("failures ", (unsigned)failures);
    return failures;
}
