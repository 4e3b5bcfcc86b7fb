/* Included by execute.c: one function with a switch; the driver for the PC and its sanitizers. */

#define VM vm
#define HALFWORD0 w
#define HALFWORD1 pc[1]
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
#define REFRESH_TABLE()

void vm_execute(struct vm *vm) {
    const uint16_t *pc;
    uint32_t *frame;
    uint8_t *fast_bytes;
    uint32_t fast_low;
    uint32_t fast_limit;
    uint32_t w;

    LOAD_STATE();
next:
#ifdef VM_COUNT
    VM_COUNT(pc - vm->code);
#endif
    w = *pc;
    switch (w & 0xff) {
#define HANDLERS_PLAIN
#include "generated/handlers.inc"
#undef HANDLERS_PLAIN
#define HANDLERS_CALLING
#include "generated/handlers.inc"
#undef HANDLERS_CALLING
#define HANDLERS_FLOAT
#include "generated/handlers.inc"
#undef HANDLERS_FLOAT
#define HANDLERS_CALLED
#include "generated/handlers.inc"
#undef HANDLERS_CALLED
    case ISA_ESCAPE:
        switch (w >> 8) {
#define HANDLERS_ESCAPED
#include "generated/handlers.inc"
#undef HANDLERS_ESCAPED
        default:
            if ((w >> 8) >= ISA_FIRST_FUNCTION && (w >> 8) < ISA_ESCAPED_ROWS) {
                NEXT(vm_apply(frame, pc));
            }
            TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
        }
    default:
        TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
    }
out:
    SAVE_STATE();
}
