/* Dynamic programming: the edit distance of two strings, and the longest common subsequence. */
#include "bench.h"

static const char one[] = "interpreters on small machines run from flash";
static const char other[] = "interpretation of programs in slow machines from ash";
static uint16_t row[64], before[64];

static uint32_t minimum(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        for (uint32_t j = 0; j < sizeof other; j++)
            row[j] = (uint16_t)j;
        for (uint32_t i = 1; i < sizeof one; i++) {
            uint32_t diagonal = row[0];
            row[0] = (uint16_t)i;
            for (uint32_t j = 1; j < sizeof other; j++) {
                uint32_t change = diagonal + (one[i - 1] != other[j - 1]);
                diagonal = row[j];
                row[j] = (uint16_t)minimum(change, minimum(row[j], row[j - 1]) + 1u);
            }
        }
        checksum = checksum * 31 + row[sizeof other - 1];
        for (uint32_t j = 0; j < sizeof other; j++)
            before[j] = 0;
        for (uint32_t i = 1; i < sizeof one; i++) {
            uint32_t diagonal = 0;
            for (uint32_t j = 1; j < sizeof other; j++) {
                uint32_t above = before[j];
                if (one[i - 1] == other[j - 1])
                    before[j] = (uint16_t)(diagonal + 1);
                else if (before[j - 1] > above)
                    before[j] = before[j - 1];
                diagonal = above;
            }
        }
        checksum += before[sizeof other - 1];
    }
    return checksum;
}
