/* Trees: Huffman codes of a text, built with two queues, then the text coded bit by bit and decoded. */
#include "bench.h"

static const char text[] = "so much depends upon a red wheel barrow glazed with rain water beside the white chickens";
static uint16_t weight[64], parent[64], child[64][2];
static uint8_t symbols[32], bits[128], length[32], order[32];
static uint32_t code[32];

static uint32_t build(void) {
    uint32_t leaves = 0, nodes, leaf = 0, inner;
    for (uint32_t c = 0; c < 32; c++)
        weight[c] = 0;
    for (uint32_t i = 0; i < sizeof text - 1; i++)
        weight[text[i] & 31]++;
    for (uint32_t c = 0; c < 32; c++)
        if (weight[c]) {
            uint32_t at = leaves++;
            for (; at && weight[order[at - 1]] > weight[c]; at--)
                order[at] = order[at - 1];
            order[at] = (uint8_t)c;
        }
    nodes = inner = 32;
    while (leaves - leaf + nodes - inner > 1) {
        uint32_t sum = 0;
        for (uint32_t side = 0; side < 2; side++) {
            uint32_t taken = inner < nodes && (leaf == leaves || weight[inner] < weight[order[leaf]]) ? inner++ : order[leaf++];
            child[nodes][side] = (uint16_t)taken;
            parent[taken] = (uint16_t)(nodes << 1 | side);
            sum += weight[taken];
        }
        weight[nodes++] = (uint16_t)sum;
    }
    parent[nodes - 1] = 0;
    for (uint32_t i = 0; i < leaves; i++) {
        uint32_t c = order[i], node = c;
        code[c] = length[c] = 0;
        for (; parent[node]; node = parent[node] >> 1)
            code[c] |= (uint32_t)(parent[node] & 1) << length[c]++;
    }
    return nodes - 1;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        uint32_t root = build(), size = 0, at = 0;
        for (uint32_t i = 0; i < sizeof bits; i++)
            bits[i] = 0;
        for (uint32_t i = 0; i < sizeof text - 1; i++)
            for (uint32_t c = text[i] & 31, left = length[c]; left--; size++)
                bits[size / 8] |= (uint8_t)((code[c] >> left & 1) << size % 8);
        for (uint32_t i = 0; i < sizeof text - 1; i++) {
            uint32_t node = root;
            while (node >= 32)
                node = child[node][bits[at / 8] >> at % 8 & 1], at++;
            symbols[i % 32] = (uint8_t)node;
            checksum = checksum * 3 + node;
        }
        checksum += size + symbols[3];
    }
    return checksum;
}
