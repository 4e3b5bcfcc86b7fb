/* Included by execute.c: one function with computed goto; the driver for ARMv6-M. */

#define VM vm
#define HANDLER(name, opcode) op_##name:
#define NEXT(length)               \
    {                              \
        pc += (length);            \
        w = *pc;                   \
        goto *primary[w & 0xff];   \
    }
#define TRAP(kind)            \
    {                         \
        vm->trap = (kind);    \
        goto out;             \
    }
#define STOP(kind) TRAP(kind)
#define MEMORY_FAULT(end)    \
    {                        \
        fault = (end);       \
        goto memory_fault;   \
    }
#define LABEL(name, opcode) [opcode] = &&op_##name,

void vm_execute(struct vm *vm) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    static const void *const primary[256] = {
        [0 ... 255] = &&op_illegal,
        ISA_STRAIGHT(LABEL) ISA_SOFT(LABEL) ISA_LIBRARY(LABEL)[ISA_ESCAPE] = &&op_escape,
    };
    static const void *const escaped[256] = {[0 ... 255] = &&op_illegal, ISA_ESCAPED(LABEL)};
#pragma GCC diagnostic pop
    const uint16_t *pc;
    uint32_t *frame;
    uint8_t *memory;
    uint32_t window_low;
    uint32_t window_size;
    uint32_t w;
    uint32_t fault;

    LOAD_STATE();
    NEXT(0);
#define HANDLERS_STRAIGHT
#include "generated/handlers.inc"
#undef HANDLERS_STRAIGHT
#define HANDLERS_SOFT
#include "generated/handlers.inc"
#undef HANDLERS_SOFT
#define HANDLERS_LIBRARY
#include "generated/handlers.inc"
#undef HANDLERS_LIBRARY
op_escape:
    goto *escaped[w >> 8];
#define HANDLERS_ESCAPED
#include "generated/handlers.inc"
#undef HANDLERS_ESCAPED
op_illegal:
    TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
memory_fault:
    TRAP(vm_memory_fault(vm, fault));
out:
    SAVE_STATE();
}
