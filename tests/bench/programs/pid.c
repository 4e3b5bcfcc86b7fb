/* f32: a PID controller with saturation that holds a simulated motor at changing speeds. */
#include "bench.h"

struct controller {
    float proportional, integral, derivative, sum, last, limit;
};

static float clamp(float x, float limit) {
    return x > limit ? limit : x < -limit ? -limit : x;
}

__attribute__((noinline)) static float control(struct controller *c, float wanted, float measured) {
    float error = wanted - measured;
    c->sum = clamp(c->sum + error * 0.01f, c->limit);
    float slope = (error - c->last) * 100.0f;
    c->last = error;
    return clamp(c->proportional * error + c->integral * c->sum + c->derivative * slope, 24.0f);
}

uint32_t run(uint32_t n) {
    struct controller c = {0.8f, 2.5f, 0.002f, 0.0f, 0.0f, 12.0f};
    float speed = 0, current = 0, total = 0;
    for (uint32_t i = 0; i < n * 100; i++) {
        float wanted = i / 250 % 2 ? 40.0f : 15.0f;
        float volts = control(&c, wanted, speed);
        current += (volts - 0.35f * speed - 1.2f * current) * 0.05f;
        speed += (current * 4.0f - 0.1f * speed) * 0.02f;
        total += speed;
    }
    return (uint32_t)(int32_t)(total * 8.0f);
}
