/* Put before the interpreter's sources by dispatches.py: counts executed bytecode instructions by their place. */
#include <stdint.h>

extern uint64_t vm_counts[];
#define VM_COUNT(halfword) (vm_counts[halfword]++)
