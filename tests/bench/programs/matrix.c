/* Integer arithmetic: products of 24 by 24 matrices. */
#include "bench.h"

enum { SIZE = 24 };

static int32_t a[SIZE][SIZE], b[SIZE][SIZE], product[SIZE][SIZE];

static void fill(uint32_t seed) {
    for (int row = 0; row < SIZE; row++)
        for (int column = 0; column < SIZE; column++) {
            a[row][column] = (int32_t)(seed += 0x9E3779B9) >> 20;
            b[row][column] = (int32_t)(seed += 0x9E3779B9) >> 20;
        }
}

static void multiply(void) {
    for (int row = 0; row < SIZE; row++)
        for (int column = 0; column < SIZE; column++) {
            int32_t sum = 0;
            for (int i = 0; i < SIZE; i++)
                sum += a[row][i] * b[i][column];
            product[row][column] = sum;
        }
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        fill(checksum + n);
        multiply();
        for (int row = 0; row < SIZE; row++)
            for (int column = 0; column < SIZE; column++)
                checksum = checksum * 31 + (uint32_t)product[row][column];
    }
    return checksum;
}
