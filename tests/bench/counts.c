/* The counts of executed bytecode instructions, printed when the interpreter ends: a line `PLACE COUNT` for each that
   was executed, hexadecimal, the place in halfwords from the start of the code. */
#include "counts.h"

#include <inttypes.h>
#include <stdio.h>

enum { HALFWORDS = 1 << 22 };

uint64_t vm_counts[HALFWORDS];

__attribute__((destructor)) static void print_counts(void) {
    for (unsigned place = 0; place < HALFWORDS; place++) {
        if (vm_counts[place] != 0) {
            printf("%x %" PRIx64 "\n", place, vm_counts[place]);
        }
    }
}
