/* f32: points of the Mandelbrot set. */
#include "bench.h"

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t row = 0; row < n; row++)
        for (uint32_t column = 0; column < 24; column++) {
            float cr = (float)column * 0.125f - 2.0f, ci = (float)row * 0.2f - 1.0f, r = 0, i = 0;
            uint32_t steps = 0;
            for (; steps < 40 && r * r + i * i < 4.0f; steps++) {
                float next = r * r - i * i + cr;
                i = 2.0f * r * i + ci;
                r = next;
            }
            checksum = checksum * 31 + steps;
        }
    return checksum;
}
