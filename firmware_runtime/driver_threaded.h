/* Included by execute.c: handlers in assembly that jump from one to the next; the driver for ARMv7-M and later.
 *
 * The state lies in registers that every C function preserves. vm_execute saves the caller's, a handler that stops
 * the program jumps to leave(), which restores them: between the two the C stack pointer never moves but inside the
 * library calls of a single instruction.
 */

typedef void (*handler)(uint32_t w);

register const uint16_t *pc __asm("r4");
register uint32_t *frame __asm("r5");
register const handler *primary __asm("r6");
register uint8_t *fast_bytes __asm("r7");
register uint32_t fast_low __asm("r8");
register uint32_t fast_limit __asm("r9");
register struct vm *VM __asm("r10");

_Static_assert(offsetof(struct vm, pc) == 0 && offsetof(struct vm, frame) == 4 &&
                   offsetof(struct vm, fast_bytes) == 8 && offsetof(struct vm, fast_low) == 12 &&
                   offsetof(struct vm, fast_limit) == 16 && offsetof(struct vm, table) == 20,
               "assembly uses these offsets");

static IN_RAM handler primary_table[256];
static const handler attention_table[256];

__attribute__((naked)) static void leave(void) {
    __asm("str r4, [r10, #0]\n"
          "str r5, [r10, #4]\n"
          "pop {r3-r11, pc}\n");
}

INTERPRETER __attribute__((noinline, noclone, used)) static void trap(uint32_t kind) {
    VM->trap = kind;
    leave();
}

/* The slow way of an access to memory: r1 + r8 is where it begins (modulo 2^32), r2 its offset, r11 its size. Comes back
 * with r7 + r1 where the bytes are. */
INTERPRETER __attribute__((naked, used)) static void slow_access(void) {
    __asm("push {r0, r3, r12, lr}\n"
          "mov r3, r11\n"
          "mov r0, r10\n"
          "add r1, r1, r8\n"
          "bl vm_access\n"
          "ldr r6, [r10, #20]\n"
          "subs r1, r0, r7\n"
          "cmp r0, #0\n"
          "it ne\n"
          "popne {r0, r3, r12, pc}\n"
          "add sp, #16\n"
          "b leave\n");
}

_Static_assert(VM_STORE == 16, "the numbers below");

/* Ways into it; the second for an address that has no offset. */
#define SLOW_ACCESS(name, size)                                               \
    INTERPRETER __attribute__((naked, used)) static void slow_##name(void) {  \
        __asm("mov r11, #" #size "\n"                                         \
              "b slow_access\n");                                             \
    }                                                                         \
    INTERPRETER __attribute__((naked, used)) static void slow_##name##_sum(void) { \
        __asm("movs r2, #0\n"                                                 \
              "b slow_" #name "\n");                                          \
    }
SLOW_ACCESS(load1, 1)
SLOW_ACCESS(load2, 2)
SLOW_ACCESS(load4, 4)
SLOW_ACCESS(load8, 8)
SLOW_ACCESS(store1, 17)
SLOW_ACCESS(store2, 18)
SLOW_ACCESS(store4, 20)
SLOW_ACCESS(store8, 24)

/* Where a branch of so many halfwords goes that is not taken. */
#define BEHIND(length, bytes)                                                            \
    INTERPRETER __attribute__((naked, used)) static void behind_##length(void) {         \
        __asm("ldr.w r0, [r4, #" #bytes "]!\n"                                           \
              "uxtb r2, r0\n"                                                            \
              "ldr.w pc, [r6, r2, lsl #2]\n");                                           \
    }
BEHIND(1, 2)
BEHIND(2, 4)
BEHIND(3, 6)

/* Around an instruction of two operands of 64 bits that the library computes: r0:r1 and r2:r3, the result in r0:r1, or a
 * truth in r0. */
INTERPRETER __attribute__((naked, used)) static void double_operands(void) {
    __asm("ubfx r2, r0, #16, #8\n"
          "lsrs r3, r0, #24\n"
          "add.w r2, r5, r2, lsl #2\n"
          "add.w r3, r5, r3, lsl #2\n"
          "ldrd r0, r1, [r2]\n"
          "ldrd r2, r3, [r3]\n"
          "bx lr\n");
}

INTERPRETER __attribute__((naked, used)) static void double_result(void) {
    __asm("ldrb r2, [r4, #1]\n"
          "add.w r2, r5, r2, lsl #2\n"
          "str r1, [r2, #4]\n"
          "str r0, [r2]\n"
          "double_done:\n"
          "ldr.w r6, [r10, #20]\n"
          "ldr.w r0, [r4, #4]!\n"
          "uxtb r2, r0\n"
          "ldr.w pc, [r6, r2, lsl #2]\n");
}

INTERPRETER __attribute__((naked, used)) static void truth_result(void) {
    __asm("ldrb r2, [r4, #1]\n"
          "str.w r0, [r5, r2, lsl #2]\n"
          "b double_done\n");
}

/* After an instruction with a library call: r0 is its trap kind. */
INTERPRETER __attribute__((naked, used)) static void after_library(void) {
    __asm("cbnz r0, 1f\n"
          "ldr r6, [r10, #20]\n"
          "ldr r0, [r4]\n"
          "uxtb r1, r0\n"
          "ldr pc, [r6, r1, lsl #2]\n"
          "1: b trap\n");
}

#define HALFWORD0 (w & 0xffffu)
#define HALFWORD1 (w >> 16)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Handlers that are assembly from the first instruction to the last. */
#define ASSEMBLED(name, ...) \
    INTERPRETER __attribute__((naked)) static void op_##name(uint32_t w) { __asm(__VA_ARGS__); }

#define HANDLERS_ASSEMBLED
#include "generated/handlers_armv7m.inc"
#undef HANDLERS_ASSEMBLED
#ifdef __ARM_FP
#define HANDLERS_FLOAT
#include "generated/handlers_armv7m.inc"
#undef HANDLERS_FLOAT
#endif

/* Handlers that call or push: functions that return a trap kind, each behind a veneer. */
#define HANDLER(name, opcode)                                                \
    INTERPRETER __attribute__((used)) static uint32_t call_##name(uint32_t w); \
    INTERPRETER __attribute__((naked)) static void op_##name(uint32_t w) {   \
        __asm("bl call_" #name "\n"                                          \
              "b after_library\n");                                          \
    }                                                                        \
    INTERPRETER static uint32_t call_##name(uint32_t w)
#define NEXT(length)     \
    do {                 \
        pc += (length);  \
        return 0;        \
    } while (0)
#define TRAP(kind) return (kind)
#define STOP(kind) TRAP(kind)
#define REFRESH_TABLE()

#ifndef __ARM_FP
#define HANDLERS_FLOAT
#include "generated/handlers.inc"
#undef HANDLERS_FLOAT
#endif
#define HANDLERS_CALLED
#include "generated/handlers.inc"
#undef HANDLERS_CALLED

/* The escape page: cold, so its rows share one veneer. */
#undef HANDLER
#define HANDLER(name, opcode) INTERPRETER static uint32_t call_##name(uint32_t w)
#define HANDLERS_ESCAPED
#include "generated/handlers.inc"
#undef HANDLERS_ESCAPED

INTERPRETER static uint32_t call_illegal(uint32_t w) {
    return VM_TRAP_ILLEGAL_INSTRUCTION;
}

INTERPRETER static void op_illegal(uint32_t w) {
    trap(VM_TRAP_ILLEGAL_INSTRUCTION);
}

#define ENTRY(name, opcode) [opcode] = op_##name,
#define ESCAPED_ENTRY(name, opcode) [opcode] = call_##name,
#pragma GCC diagnostic ignored "-Woverride-init"

static uint32_t (*const escaped_table[ISA_FIRST_FUNCTION])(uint32_t) = {
    [0 ... ISA_FIRST_FUNCTION - 1] = call_illegal,
    ISA_ESCAPED(ESCAPED_ENTRY)
};

INTERPRETER __attribute__((used)) static uint32_t call_escaped(uint32_t w) {
    const uint32_t opcode = HALFWORD0 >> 8;
    if (opcode < ISA_FIRST_FUNCTION) {
        return escaped_table[opcode](w);
    }
    if (opcode >= ISA_ESCAPED_ROWS) {
        return VM_TRAP_ILLEGAL_INSTRUCTION;
    }
    pc += vm_apply(frame, pc);
    return 0;
}

INTERPRETER __attribute__((naked)) static void op_escape(uint32_t w) {
    __asm("bl call_escaped\n"
          "b after_library\n");
}

/* Before any instruction, which has not begun and is reached again afterwards. */
INTERPRETER __attribute__((used)) static uint32_t call_attention(void) {
    SAVE_STATE();
    VM->table = primary_table;
    return vm_interrupted(VM);
}

INTERPRETER __attribute__((naked)) static void op_attention(uint32_t w) {
    __asm("bl call_attention\n"
          "b after_library\n");
}

static IN_RAM handler primary_table[256] = {
    [0 ... 255] = op_illegal,
    ISA_PLAIN(ENTRY) ISA_CALLING(ENTRY) ISA_FLOAT(ENTRY) ISA_CALLED(ENTRY)[ISA_ESCAPE] = op_escape,
};

static const handler attention_table[256] = {[0 ... 255] = op_attention};

INTERPRETER __attribute__((naked, used)) static void begin(void) {
    __asm("ldr r4, [r10, #0]\n"
          "ldr r5, [r10, #4]\n"
          "ldr r7, [r10, #8]\n"
          "ldr r8, [r10, #12]\n"
          "ldr r9, [r10, #16]\n"
          "movs r0, #0\n"
          "b after_library\n");
}

__attribute__((naked, noinline)) static void enter(struct vm *vm) {
    __asm("push {r3-r11, lr}\n"
          "mov r10, r0\n"
          "b begin\n");
}

#pragma GCC diagnostic pop

void vm_execute(struct vm *vm) {
    vm->table = primary_table;
    if (vm_interrupt_waits()) {
        vm->table = attention_table;
    }
    enter(vm);
}

void vm_interrupt(struct vm *vm) {
    vm->table = attention_table;
}

__attribute__((naked)) void vm_switch_table(void) {
    SWITCH_TABLE("ldr r6, [r10, #20]\n");
}
