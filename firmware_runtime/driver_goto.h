/* Included by execute.c: one function with computed goto; the driver for ARMv6-M.
 *
 * It has registers to spare above r7: struct vm and the table of handlers lie there, where the exception handler finds
 * them. vm_execute keeps the caller's.
 */

register struct vm *VM __asm("r8");
register const void *const *primary __asm("r9");

_Static_assert(offsetof(struct vm, table) == 20, "assembly uses this offset");

static const void *const *attention_table;

#define HALFWORD0 w
#define HALFWORD1 pc[1]
#define HANDLER(name, opcode) op_##name:
#define NEXT(length)               \
    {                              \
        pc += (length);            \
        w = *pc;                   \
        goto *primary[w & 0xff];   \
    }
#define TRAP(kind)            \
    {                         \
        VM->trap = (kind);    \
        goto out;             \
    }
#define STOP(kind) TRAP(kind)
#define REFRESH_TABLE() primary = VM->table
#define LABEL(name, opcode) [opcode] = &&op_##name,

INTERPRETER __attribute__((noinline, used)) static void interpret(void) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    static const void *IN_RAM primary_table[256] = {
        [0 ... 255] = &&op_illegal,
        ISA_PLAIN(LABEL) ISA_CALLING(LABEL) ISA_FLOAT(LABEL) ISA_CALLED(LABEL)[ISA_ESCAPE] = &&op_escape,
    };
    static const void *const attention[256] = {[0 ... 255] = &&op_attention};
    static const void *const escaped[ISA_FIRST_FUNCTION] = {
        [0 ... ISA_FIRST_FUNCTION - 1] = &&op_illegal,
        ISA_ESCAPED(LABEL)
    };
#pragma GCC diagnostic pop
    const uint16_t *pc;
    uint32_t *frame;
    uint8_t *fast_bytes;
    uint32_t fast_low;
    uint32_t fast_limit;
    uint32_t w;

    attention_table = attention;
    VM->table = primary_table;
    if (vm_interrupt_waits()) {
        VM->table = attention;
    }
    LOAD_STATE();
    primary = VM->table;
    NEXT(0);
#define HANDLERS_PLAIN
#include "generated/handlers.inc"
#undef HANDLERS_PLAIN

/* Handlers that call functions. */
#undef NEXT
#define NEXT(length)               \
    {                              \
        pc += (length);            \
        w = *pc;                   \
        primary = VM->table;       \
        goto *primary[w & 0xff];   \
    }

#define HANDLERS_CALLING
#include "generated/handlers.inc"
#undef HANDLERS_CALLING
#define HANDLERS_FLOAT
#include "generated/handlers.inc"
#undef HANDLERS_FLOAT
#define HANDLERS_CALLED
#include "generated/handlers.inc"
#undef HANDLERS_CALLED
op_escape:
    if ((w >> 8) < ISA_FIRST_FUNCTION) {
        goto *escaped[w >> 8];
    }
    if ((w >> 8) < ISA_ESCAPED_ROWS) {
        NEXT(vm_apply(frame, pc));
    }
    goto op_illegal;
#define HANDLERS_ESCAPED
#include "generated/handlers.inc"
#undef HANDLERS_ESCAPED
/* Before any instruction, which has not begun and is reached again afterwards. */
op_attention:
    SAVE_STATE();
    VM->table = primary_table;
    TRY(vm_interrupted(VM));
    NEXT(0);
op_illegal:
    TRAP(VM_TRAP_ILLEGAL_INSTRUCTION);
out:
    SAVE_STATE();
}

__attribute__((naked)) void vm_execute(struct vm *vm) {
    (void)vm;
    __asm("push {r4-r6, lr}\n"
          "mov r4, r8\n"
          "mov r5, r9\n"
          "mov r8, r0\n"
          "bl interpret\n"
          "mov r8, r4\n"
          "mov r9, r5\n"
          "pop {r4-r6, pc}\n");
}

void vm_interrupt(struct vm *vm) {
    vm->table = attention_table;
}

__attribute__((naked)) void vm_switch_table(void) {
    SWITCH_TABLE("mov r0, r8\n"
                 "ldr r0, [r0, #20]\n"
                 "mov r9, r0\n");
}
