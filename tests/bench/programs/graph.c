/* Graphs: shortest ways by Dijkstra with a heap, over a grid with walls. */
#include "bench.h"

enum { WIDTH = 16, NODES = WIDTH * WIDTH };
static uint8_t cost[NODES];
static uint32_t distance[NODES];
static uint32_t heap[NODES * 4], count;

static void push(uint32_t item) {
    uint32_t i = count++;
    while (i && heap[(i - 1) / 2] > item) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = item;
}

static uint32_t pop(void) {
    uint32_t first = heap[0], item = heap[--count], i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= count)
            break;
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= item)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
    return first;
}

static void reach(uint32_t node, uint32_t way) {
    if (cost[node] && way + cost[node] < distance[node]) {
        distance[node] = way + cost[node];
        push(distance[node] << 8 | node);
    }
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        for (uint32_t i = 0; i < NODES; i++) {
            cost[i] = (uint8_t)((i * 7 + n * 3) % 11 == 0 ? 0 : 1 + (i * i + n) % 5);
            distance[i] = 0xffffff;
        }
        count = 0;
        cost[0] = 1;
        distance[0] = 0;
        push(0);
        while (count) {
            uint32_t item = pop(), node = item & 255, way = item >> 8;
            if (way != distance[node])
                continue;
            if (node % WIDTH)
                reach(node - 1, way);
            if (node % WIDTH < WIDTH - 1)
                reach(node + 1, way);
            if (node >= WIDTH)
                reach(node - WIDTH, way);
            if (node < NODES - WIDTH)
                reach(node + WIDTH, way);
        }
        for (uint32_t i = 0; i < NODES; i += 5)
            checksum = checksum * 3 + distance[i];
    }
    return checksum;
}
