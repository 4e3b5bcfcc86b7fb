/* Generated code: a state machine of a traffic light with requests, timers and faults, as a tool would write it. */
#include "bench.h"

enum { RED, RED_YELLOW, GREEN, YELLOW, WALK, CLEAR, FAULT, RECOVER };
enum { TICK = 1, REQUEST = 2, BROKEN = 4, MENDED = 8 };

struct light {
    uint8_t state, timer, pending;
    uint32_t lamps, walks, faults;
};

static void enter(struct light *l, uint8_t state, uint8_t timer, uint32_t lamps) {
    l->state = state;
    l->timer = timer;
    l->lamps = l->lamps * 5 + lamps;
}

__attribute__((noinline)) static void step(struct light *l, uint32_t event) {
    if (event & REQUEST)
        l->pending = 1;
    if (event & BROKEN && l->state != FAULT) {
        l->faults++;
        enter(l, FAULT, 0, 7);
        return;
    }
    if (l->timer && event & TICK)
        l->timer--;
    switch (l->state) {
    case RED:
        if (l->timer == 0) {
            if (l->pending)
                enter(l, WALK, 6, 9);
            else
                enter(l, RED_YELLOW, 1, 3);
        }
        break;
    case RED_YELLOW:
        if (l->timer == 0)
            enter(l, GREEN, 8, 4);
        break;
    case GREEN:
        if (l->timer == 0 || (l->pending && l->timer < 3))
            enter(l, YELLOW, 2, 2);
        break;
    case YELLOW:
        if (l->timer == 0)
            enter(l, RED, 4, 1);
        break;
    case WALK:
        l->pending = 0;
        if (l->timer == 0) {
            l->walks++;
            enter(l, CLEAR, 2, 1);
        }
        break;
    case CLEAR:
        if (l->timer == 0)
            enter(l, RED_YELLOW, 1, 3);
        break;
    case FAULT:
        if (event & MENDED)
            enter(l, RECOVER, 3, 7);
        break;
    default:
        if (l->timer == 0)
            enter(l, RED, 2, 1);
    }
}

uint32_t run(uint32_t n) {
    struct light l = {RED, 4, 0, 0, 0, 0};
    uint32_t noise = 1;
    for (uint32_t i = 0; i < n * 100; i++) {
        noise = noise * 1664525u + 1013904223u;
        uint32_t event = TICK;
        if (noise >> 28 == 3)
            event |= REQUEST;
        if (noise >> 25 == 5)
            event |= BROKEN;
        if (noise >> 29 == 1)
            event |= MENDED;
        step(&l, event);
    }
    return l.lamps ^ l.walks << 8 ^ l.faults;
}
