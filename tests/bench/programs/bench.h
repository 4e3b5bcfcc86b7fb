/* A benchmark is one function: `run` does its work n times, or to the size n, and gives a checksum of what it did. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

uint32_t run(uint32_t n);

#endif
