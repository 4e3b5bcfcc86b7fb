/* The verifier of code: what is wrong with the instructions of an image whose records have been checked. */
#ifndef VERIFY_H
#define VERIFY_H

#include "vm.h"

/* All that it needs of the arena, and how many halfwords of a function it sees at a time. */
#define VERIFY_ROOM 512u
#ifndef VERIFY_WINDOW
#define VERIFY_WINDOW 3520u
#endif

/* Everything in it is of `room` bytes, 4-byte aligned, that hold nothing yet. `detail` becomes the place of what is wrong,
 * in words that lie there too. */
enum image_fault verify_code(const struct vm *vm, uint8_t *room, size_t size, const char **detail);

#endif
