/* Interpreting: a small stack machine that computes primes. */
#include "bench.h"

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, MOD, LESS, JUMP, UNLESS, PRINT, HALT };

/* for (i = 2; i < limit; i++) { for (j = 2; j * j <= i; j++) if (i % j == 0) goto next; print i; } */
static const int16_t code[] = {
    PUSH, 2, STORE, 0,
    LOAD, 0, LOAD, 2, LESS, UNLESS, 55,
    PUSH, 2, STORE, 1,
    LOAD, 0, LOAD, 1, LOAD, 1, MUL, LESS, UNLESS, 28, JUMP, 44, HALT,
    LOAD, 0, LOAD, 1, MOD, UNLESS, 46,
    LOAD, 1, PUSH, 1, ADD, STORE, 1, JUMP, 15,
    LOAD, 0, /* 44: falls to the next instruction with i on the stack when it is a prime */
};
static const int16_t tail[] = {PRINT, JUMP, 48, LOAD, 0, PUSH, 1, ADD, STORE, 0, JUMP, 4};

static int16_t program[64];

static uint32_t execute(int32_t limit) {
    int32_t stack[16], variables[4] = {0, 0, limit, 0}, *top = stack;
    uint32_t printed = 0;
    for (const int16_t *pc = program;;)
        switch (*pc++) {
        case PUSH:
            *top++ = *pc++;
            break;
        case LOAD:
            *top++ = variables[*pc++];
            break;
        case STORE:
            variables[*pc++] = *--top;
            break;
        case ADD:
            top--;
            top[-1] += *top;
            break;
        case SUB:
            top--;
            top[-1] -= *top;
            break;
        case MUL:
            top--;
            top[-1] *= *top;
            break;
        case MOD:
            top--;
            top[-1] %= *top;
            break;
        case LESS:
            top--;
            top[-1] = top[-1] < *top;
            break;
        case JUMP:
            pc = program + *pc;
            break;
        case UNLESS:
            pc = *--top ? pc + 1 : program + *pc;
            break;
        case PRINT:
            printed = printed * 31 + (uint32_t)*--top;
            break;
        default:
            return printed;
        }
}

uint32_t run(uint32_t n) {
    /* 46: composite, go on; 44: prime, print it first. */
    uint32_t i, at = 0, checksum = 0;
    for (i = 0; i < sizeof code / sizeof *code; i++)
        program[at++] = code[i];
    for (i = 0; i < sizeof tail / sizeof *tail; i++)
        program[at++] = tail[i];
    program[34] = 49;
    program[48] = 49;
    program[10] = (int16_t)at;
    program[at] = HALT;
    while (n--)
        checksum += execute(60);
    return checksum;
}
