/* Indirect calls: operators of an expression tree through tables of functions. */
#include "bench.h"

struct node {
    uint8_t kind, left, right;
    int32_t value;
};

typedef int32_t (*evaluator)(const struct node *);

static struct node nodes[64];
static int32_t evaluate(uint32_t index);

static int32_t constant(const struct node *n) {
    return n->value;
}
static int32_t add(const struct node *n) {
    return evaluate(n->left) + evaluate(n->right);
}
static int32_t subtract(const struct node *n) {
    return evaluate(n->left) - evaluate(n->right);
}
static int32_t multiply(const struct node *n) {
    return evaluate(n->left) * evaluate(n->right);
}
static int32_t mix(const struct node *n) {
    return evaluate(n->left) ^ evaluate(n->right) >> 1;
}

static const evaluator evaluators[] = {constant, add, subtract, multiply, mix};

__attribute__((noinline)) static int32_t evaluate(uint32_t index) {
    return evaluators[nodes[index].kind](&nodes[index]);
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < 64; i++) {
        nodes[i].kind = (uint8_t)(i < 31 ? 1 + i % 4 : 0);
        nodes[i].left = (uint8_t)(2 * i + 1);
        nodes[i].right = (uint8_t)(2 * i + 2);
        nodes[i].value = (int32_t)(i * 3) - 40;
    }
    while (n--) {
        nodes[40].value++;
        checksum += (uint32_t)evaluate(0);
    }
    return checksum;
}
