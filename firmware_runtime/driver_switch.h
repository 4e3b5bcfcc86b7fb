/* Included by execute.c: one function with a switch; the driver for the PC and its sanitizers. */

#define VM vm
#define HANDLER(name, opcode) case opcode:
#define NEXT(length)     \
    {                    \
        pc += (length);  \
        goto next;       \
    }
#define TRAP(kind)            \
    {                         \
        vm->trap = (kind);    \
        goto out;             \
    }
#define STOP(kind) TRAP(kind)
#define MEMORY_FAULT(end)                                             \
    {                                                                 \
        const uint32_t loaded = vm_flash_load(vm, pc, frame, (end));  \
        if (loaded != 0) {                                            \
            NEXT(loaded);                                             \
        }                                                             \
        TRAP(vm_memory_fault(vm, (end)));                             \
    }

void vm_execute(struct vm *vm) {
    const uint16_t *pc;
    uint32_t *frame;
    uint8_t *memory;
    uint32_t window_low;
    uint32_t window_size;
    uint32_t w;

    LOAD_STATE();
next:
    w = *pc;
    switch (w & 0xff) {
#define HANDLERS_STRAIGHT
#include "generated/handlers.inc"
#undef HANDLERS_STRAIGHT
#define HANDLERS_REGISTERS
#include "generated/handlers.inc"
#undef HANDLERS_REGISTERS
#define HANDLERS_THUMB1
#include "generated/handlers.inc"
#undef HANDLERS_THUMB1
#define HANDLERS_SOFT
#include "generated/handlers.inc"
#undef HANDLERS_SOFT
#define HANDLERS_LIBRARY
#include "generated/handlers.inc"
#undef HANDLERS_LIBRARY
    case ISA_ESCAPE:
        switch (w >> 8) {
#define HANDLERS_ESCAPED
#include "generated/handlers.inc"
#undef HANDLERS_ESCAPED
        default:
            TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
        }
    default:
        TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
    }
out:
    SAVE_STATE();
}
