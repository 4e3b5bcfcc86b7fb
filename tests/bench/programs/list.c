/* Pointers: linked lists that are built, reversed, searched and merged. */
#include "bench.h"

enum { NODES = 256 };

struct node {
    struct node *next;
    uint32_t key;
};

static struct node pool[NODES];

static struct node *build(uint32_t seed) {
    struct node *head = 0;
    for (int i = 0; i < NODES; i++) {
        seed = seed * 1664525 + 1013904223;
        pool[i].key = seed >> 16;
        pool[i].next = head;
        head = &pool[i];
    }
    return head;
}

static struct node *reverse(struct node *list) {
    struct node *done = 0;
    while (list) {
        struct node *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static struct node *merge(struct node *a, struct node *b) {
    struct node *head = 0, **tail = &head;
    while (a && b) {
        struct node **least = a->key <= b->key ? &a : &b;
        *tail = *least;
        tail = &(*least)->next;
        *least = (*least)->next;
    }
    *tail = a ? a : b;
    return head;
}

static struct node *sort(struct node *list) {
    struct node *slow = list, *fast = list;
    if (!list || !list->next)
        return list;
    while (fast->next && fast->next->next) {
        slow = slow->next;
        fast = fast->next->next;
    }
    struct node *second = slow->next;
    slow->next = 0;
    return merge(sort(list), sort(second));
}

static uint32_t find(const struct node *list, uint32_t key) {
    uint32_t steps = 0;
    for (; list && list->key < key; list = list->next)
        steps++;
    return steps;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        struct node *list = reverse(sort(reverse(build(n))));
        list = reverse(list);
        for (uint32_t key = 0; key < 65536; key += 8192)
            checksum = checksum * 31 + find(list, key);
    }
    return checksum;
}
