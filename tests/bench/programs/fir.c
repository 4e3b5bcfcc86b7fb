/* Single-precision arithmetic: a FIR filter of 32 taps over 256 samples. The sums are not reordered, so every engine
   has the same bits. */
#include "bench.h"

enum { TAPS = 32, SAMPLES = 256 };

static float taps[TAPS], input[SAMPLES + TAPS], output[SAMPLES];

static float filter(const float *samples) {
    float sum = 0;
    for (int i = 0; i < TAPS; i++)
        sum += taps[i] * samples[i];
    return sum;
}

uint32_t run(uint32_t n) {
    for (int i = 0; i < TAPS; i++)
        taps[i] = 1.0f / (float)(i + 2);
    for (int i = 0; i < SAMPLES + TAPS; i++)
        input[i] = (float)(i * 37 % 101) - 50.0f;
    while (n--)
        for (int i = 0; i < SAMPLES; i++) {
            output[i] = filter(input + i);
            input[i] += output[i] * 0.001f;
        }
    float sum = 0;
    for (int i = 0; i < SAMPLES; i++)
        sum += output[i];
    return (uint32_t)(int32_t)(sum * 16.0f);
}
