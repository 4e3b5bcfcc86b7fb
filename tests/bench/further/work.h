/* Input for the further programs, and a checksum of their output. */
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <stdint.h>

/* Words, punctuation and numbers that depend on the seed. */
void make_text(uint8_t *text, size_t size, uint32_t seed);

/* FNV-1a, continued from an earlier sum. */
uint32_t mix(uint32_t sum, const void *bytes, size_t size);

uint32_t run(uint32_t n);

#endif
