/* The further programs allocate nothing; what they leave unused may name these. */
#ifndef FURTHER_STDLIB_H
#define FURTHER_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void free(void *block);
_Noreturn void abort(void);

#endif
