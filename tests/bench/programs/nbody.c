/* f64: four bodies that attract each other. */
#include "bench.h"

enum { BODIES = 4 };
static double x[BODIES], y[BODIES], vx[BODIES], vy[BODIES];
static const double mass[BODIES] = {39.47, 0.037, 0.011, 0.0017};

/* Newton's square root. */
static double root(double square) {
    double guess = square > 1 ? square : 1;
    for (int i = 0; i < 12; i++)
        guess = 0.5 * (guess + square / guess);
    return guess;
}

uint32_t run(uint32_t n) {
    for (int i = 0; i < BODIES; i++) {
        x[i] = 4.5 * i;
        y[i] = 0.3 * i;
        vx[i] = 0.1 * i;
        vy[i] = i ? 2.5 / i : 0;
    }
    while (n--) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double dx = x[i] - x[j], dy = y[i] - y[j], square = dx * dx + dy * dy + 0.01;
                double strength = 0.001 / (square * root(square));
                vx[i] -= dx * mass[j] * strength;
                vy[i] -= dy * mass[j] * strength;
                vx[j] += dx * mass[i] * strength;
                vy[j] += dy * mass[i] * strength;
            }
        for (int i = 0; i < BODIES; i++) {
            x[i] += 0.001 * vx[i];
            y[i] += 0.001 * vy[i];
        }
    }
    return (uint32_t)(int32_t)(x[1] * 1e6 + y[2] * 1e5);
}
