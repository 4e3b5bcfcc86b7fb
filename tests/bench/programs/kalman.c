/* f32: a Kalman filter over position and speed with small matrices in loops. */
#include "bench.h"

typedef float matrix[3][3];

static void multiply(matrix out, matrix a, matrix b) {
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            float sum = 0;
            for (int k = 0; k < 3; k++)
                sum += a[i][k] * b[k][j];
            out[i][j] = sum;
        }
}

static matrix model = {{1.0f, 0.1f, 0.005f}, {0.0f, 1.0f, 0.1f}, {0.0f, 0.0f, 1.0f}};
static matrix turned, spread, half;

uint32_t run(uint32_t n) {
    float state[3], next[3], total = 0;
    for (int i = 0; i < 3; i++) {
        state[i] = 0;
        for (int j = 0; j < 3; j++) {
            turned[i][j] = model[j][i];
            spread[i][j] = i == j ? 1.0f : 0.0f;
        }
    }
    for (uint32_t step = 0; step < n; step++) {
        for (int i = 0; i < 3; i++) {
            next[i] = 0;
            for (int j = 0; j < 3; j++)
                next[i] += model[i][j] * state[j];
        }
        multiply(half, model, spread);
        multiply(spread, half, turned);
        for (int i = 0; i < 3; i++)
            spread[i][i] += 0.01f;
        float measured = (float)(step % 50) * 0.3f, scale = 1.0f / (spread[0][0] + 0.5f);
        for (int i = 0; i < 3; i++)
            state[i] = next[i] + spread[i][0] * scale * (measured - next[0]);
        for (int i = 0; i < 3; i++)
            for (int j = 2; j >= 0; j--)
                spread[i][j] -= spread[i][0] * scale * spread[0][j];
        total += state[0];
    }
    return (uint32_t)(int32_t)(total * 4.0f);
}
