/* The board's own library functions, renamed board_*, against the computer's: random cases; the first difference is
   told. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void *board_memmove(void *to, const void *from, size_t size);
void *board_memset(void *to, int value, size_t size);
int board_memcmp(const void *a, const void *b, size_t size);
uint64_t board___udivmoddi4(uint64_t number, uint64_t divisor, uint64_t *rest);
uint32_t board___aeabi_ul2f(uint64_t value);
uint32_t board___aeabi_l2f(int64_t value);

enum { ROUNDS = 200000, SIZE = 128 };

static uint64_t state = 88172645463325252u;

static uint64_t chosen(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Numbers of all lengths, with ones at the front or the end as often as not. */
static uint64_t number(void) {
    const uint64_t value = chosen() >> (chosen() & 63), ones = UINT64_MAX << (chosen() & 63);
    return chosen() & 1 ? value : chosen() & 1 ? value | ones : value & ones;
}

static uint32_t bits(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static int differs(const char *what, uint64_t a, uint64_t b) {
    printf("%s %" PRIx64 " %" PRIx64 "\n", what, a, b);
    return 1;
}

static int try_numbers(void) {
    const uint64_t a = number(), b = number() | (chosen() % 3 == 0);
    uint64_t rest;
    if (b != 0 && (board___udivmoddi4(a, b, &rest) != a / b || rest != a % b)) {
        return differs("division", a, b);
    }
    if (board___aeabi_ul2f(a) != bits((float)a) || board___aeabi_l2f((int64_t)a) != bits((float)(int64_t)a)) {
        return differs("conversion", a, 0);
    }
    return 0;
}

static int try_memory(void) {
    static _Alignas(8) uint8_t ours[2 * SIZE], theirs[2 * SIZE];
    const size_t to = chosen() % SIZE, from = chosen() % SIZE, size = chosen() % SIZE, shorter = chosen() % (size + 1);
    for (size_t i = 0; i < sizeof ours; i++) {
        ours[i] = theirs[i] = (uint8_t)chosen();
    }
    memmove(theirs + to, theirs + from, size);
    memset(theirs + from, (int)to, shorter);
    const bool returned = board_memmove(ours + to, ours + from, size) == ours + to &&
                          board_memset(ours + from, (int)to, shorter) == ours + from;
    if (!returned || memcmp(ours, theirs, sizeof ours) != 0) {
        return differs("memory", to << 16 | from, size);
    }
    const int expected = memcmp(ours + to, ours + from, size), found = board_memcmp(ours + to, ours + from, size);
    return (expected < 0) != (found < 0) || (expected > 0) != (found > 0) ? differs("memcmp", to, from) : 0;
}

int main(void) {
    int wrong = 0;
    for (int i = 0; i < ROUNDS && !wrong; i++) {
        wrong = try_numbers() || try_memory();
    }
    return wrong;
}
