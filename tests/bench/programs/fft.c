/* f32: a complex FFT of 64 points in place, radix 2, and its inverse. */
#include "bench.h"

enum { POINTS = 64 };
static float real[POINTS], imaginary[POINTS], cosine[POINTS / 2], sine[POINTS / 2];

/* The roots of unity by rotating again and again. */
static void roots(void) {
    float c = 1.0f, s = 0.0f;
    const float dc = 0.99518472667f, ds = 0.09801714033f;
    for (int i = 0; i < POINTS / 2; i++) {
        cosine[i] = c;
        sine[i] = s;
        float next = c * dc - s * ds;
        s = s * dc + c * ds;
        c = next;
    }
}

static void transform(float direction) {
    for (int i = 1, j = 0; i < POINTS; i++) {
        int bit = POINTS >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            float r = real[i], m = imaginary[i];
            real[i] = real[j], imaginary[i] = imaginary[j];
            real[j] = r, imaginary[j] = m;
        }
    }
    for (int size = 2; size <= POINTS; size *= 2)
        for (int start = 0; start < POINTS; start += size)
            for (int k = 0; k < size / 2; k++) {
                int a = start + k, b = a + size / 2, root = k * (POINTS / size);
                float wr = cosine[root], wi = direction * sine[root];
                float tr = wr * real[b] - wi * imaginary[b], ti = wr * imaginary[b] + wi * real[b];
                real[b] = real[a] - tr, imaginary[b] = imaginary[a] - ti;
                real[a] += tr, imaginary[a] += ti;
            }
}

uint32_t run(uint32_t n) {
    float total = 0;
    roots();
    while (n--) {
        for (int i = 0; i < POINTS; i++) {
            real[i] = (float)((i * 7 + (int)n) % 16) - 8.0f;
            imaginary[i] = 0;
        }
        transform(-1.0f);
        total += real[5] * 0.25f + imaginary[9];
        transform(1.0f);
        total += real[17];
    }
    return (uint32_t)(int32_t)(total * 16.0f);
}
