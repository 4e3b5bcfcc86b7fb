/* Calls: the recursive Fibonacci function. */
#include "bench.h"

__attribute__((noinline)) static uint32_t fibonacci(uint32_t n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

uint32_t run(uint32_t n) {
    return fibonacci(n);
}
