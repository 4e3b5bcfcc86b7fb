/* f64: a linear system of 8 unknowns by elimination with pivots. */
#include "bench.h"

enum { SIZE = 8 };
static double a[SIZE][SIZE + 1];

static double magnitude(double x) {
    return x < 0 ? -x : x;
}

uint32_t run(uint32_t n) {
    double total = 0;
    while (n--) {
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j <= SIZE; j++)
                a[i][j] = (double)((i * 13 + j * 7 + (int)n) % 11) + (i == j ? 9.5 : 0.25);
        for (int column = 0; column < SIZE; column++) {
            int best = column;
            for (int i = column + 1; i < SIZE; i++)
                if (magnitude(a[i][column]) > magnitude(a[best][column]))
                    best = i;
            for (int j = column; j <= SIZE; j++) {
                double swap = a[best][j];
                a[best][j] = a[column][j];
                a[column][j] = swap;
            }
            for (int i = 0; i < SIZE; i++)
                if (i != column) {
                    double factor = a[i][column] / a[column][column];
                    for (int j = column; j <= SIZE; j++)
                        a[i][j] -= factor * a[column][j];
                }
        }
        for (int i = 0; i < SIZE; i++)
            total += a[i][SIZE] / a[i][i];
    }
    return (uint32_t)(int32_t)(total * 65536.0);
}
