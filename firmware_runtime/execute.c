/* The interpreter: generated handler bodies under one of three drivers.
 *
 * VM_DRIVER_THREADED  handlers are assembly, each of which jumps to the next; the state lies in registers (ARMv7-M and
 *                     later). One that calls functions is C behind a veneer of two instructions, so none ever pushes.
 * VM_DRIVER_GOTO      one function with computed goto (ARMv6-M, where gcc makes no sibling calls).
 * VM_DRIVER_SWITCH    one function with a switch (PC, sanitizers); it cannot be interrupted.
 *
 * Both drivers for a board keep the address of the handler table in a register. An interrupt that wants the program's
 * attention gives it another table, whose entries all lead to one handler: so the program stops exactly between two
 * instructions, and a program that is not interrupted pays nothing. vm->table says which table is in force; every
 * handler that called a function outside the interpreter takes it from there, since that function may have kept the
 * old address on the stack. vm_switch_table() sees to all other handlers: they lie in the section .interpreter, in
 * which the register never holds anything else.
 *
 * This file decides how instructions are reached. It refuses to know what they do: that is generated/handlers.inc, and
 * generated/handlers_armv7m.inc in assembly.
 */
#include "vm.h"
#include "arithmetic.h"

/* Operands */

static inline uint64_t pair(const uint32_t *slot) {
    return slot[0] | (uint64_t)slot[1] << 32;
}

static inline void set_pair(uint32_t *slot, uint64_t value) {
    slot[0] = (uint32_t)value;
    slot[1] = (uint32_t)(value >> 32);
}

#define GET_I32(n) (frame[n])
#define GET_I64(n) pair(&frame[n])
#define GET_F32(n) vm_f32_of(frame[n])
#define GET_F64(n) vm_f64_of(pair(&frame[n]))
#define SET_I32(n, value) (frame[n] = (value))
#define SET_I64(n, value) set_pair(&frame[n], (value))
#define SET_F32(n, value) (frame[n] = vm_f32_bits(value))
#define SET_F64(n, value) set_pair(&frame[n], vm_f64_bits(value))

/* The words that meanings in isa.py use. A driver defines NEXT, TRAP, STOP and REFRESH_TABLE. */

#define FAR_SLOT(n) (frame[n])
#define GLOBAL(n) (VM->globals[n])
#define GLOBAL64(n) pair(&VM->globals[n])
#define SET_GLOBAL64(n, value) set_pair(&VM->globals[n], (value))
#define SATURATE(from, to, sign) vm_truncated(frame, HALFWORD1, VM_FROM_##from | VM_TO_##to | VM_SIGN_##sign)
#define TRUNCATE(from, to, sign) TRY(SATURATE(from, to, sign))
#define QUOTIENT(sign) TRY(vm_divided(frame, HALFWORD1, pc[2], VM_SIGN_##sign))
#define REMAINDER(sign) TRY(vm_divided(frame, HALFWORD1, pc[2], VM_SIGN_##sign | VM_REMAINDER))
#define TABLE_ENTRY(n) ((int16_t)pc[2 + (n)])
#define BRANCH(distance)  \
    do {                  \
        pc += (distance); \
        NEXT(0);          \
    } while (0)
#define TRAP_IF(condition, kind) \
    do {                         \
        if (condition) {         \
            TRAP(kind);          \
        }                        \
    } while (0)
#define TRY(call)                      \
    do {                               \
        const uint32_t kind = (call);  \
        TRAP_IF(kind != 0, kind);      \
    } while (0)

/* Sets p to the bytes of the access at a + e. Only the short offsets of eight bits need no look at the carry: the fast
 * part begins above them. One of 8 bytes may begin FAST_MARGIN bytes below it. What does not lie in the fast part takes
 * the slow way, which is exact. */
#define ACCESS(a, e, size) REACH((a) + (e), SHORT_OFFSET < (e) && (a) + (e) < (e), (e), size)
/* The same for an address without offset, which is a sum that wraps. */
#define ACCESS_SUM(address, size) REACH((address), false, 0, size)
#define REACH(address, wraps, offset, size)                                                    \
    uint8_t *p;                                                                                \
    {                                                                                          \
        const uint32_t margin = ((size) & 8) != 0 ? FAST_MARGIN : 0;                           \
        const uint32_t place = (address) - fast_low + margin;                                  \
        if (place >= fast_limit || (wraps)) {                                                  \
            p = vm_access(VM, (address), (offset), (size));                                    \
            REFRESH_TABLE();                                                                   \
            TRAP_IF(p == NULL, VM->trap);                                                      \
        } else {                                                                               \
            p = fast_bytes + place - margin;                                                   \
        }                                                                                      \
    }

/* The link lies in the caller's own frame, so it may be written before the stack is checked: that leaves the handler
 * enough registers. */
#define ENTER(distance, index)                                                    \
    uint32_t *const callee = frame + (distance);                                  \
    callee[-2] = (distance);                                                      \
    callee[-1] = VM_TO_LINK(VM, pc + length);                                     \
    const uint16_t *const target = VM->code + VM->functions[index].code;          \
    TRAP_IF((size_t)(VM->stack_end - callee) < *target, VM_TRAP_STACK_EXHAUSTED); \
    frame = callee;                                                               \
    pc = target + 1;                                                              \
    NEXT(0)
#define LEAVE()                           \
    pc = VM_FROM_LINK(VM, frame[-1]);     \
    frame -= frame[-2];                   \
    NEXT(0)

/* Calls that may change the linear memory or the frame go through struct vm and fetch the state again. */
#define HOST(distance, import)                              \
    SAVE_STATE();                                           \
    TRY(vm_host_call(VM, frame + (distance), import))
#define ENTER_CROSS(distance, index)                                                                \
    SAVE_STATE();                                                                                   \
    TRY(vm_enter_cross(VM, frame + (distance), (distance), pc + length, index));                    \
    LOAD_STATE();                                                                                   \
    NEXT(0)
#define ENTER_INDIRECT(distance, index, signature, table)                                           \
    SAVE_STATE();                                                                                   \
    TRY(vm_enter_indirect(VM, frame + (distance), (distance), pc + length, index, signature, table)); \
    LOAD_STATE();                                                                                   \
    NEXT(0)
/* A tail call keeps the frame and its link. One that changes the linear memory cannot: it becomes a call from slot
 * `distance`, above this frame, whose results leave_tail puts where this function's belong. */
#define TAIL(index)                                                                  \
    const uint16_t *const target = VM->code + VM->functions[index].code;             \
    TRAP_IF((size_t)(VM->stack_end - frame) < *target, VM_TRAP_STACK_EXHAUSTED);      \
    pc = target + 1;                                                                 \
    NEXT(0)
#define TAIL_INDIRECT(distance, index, signature, table)                             \
    SAVE_STATE();                                                                    \
    TRY(vm_tail_indirect(VM, distance, index, signature, table));                    \
    LOAD_STATE();                                                                    \
    NEXT(0)
#define ENTER_REFERENCE(distance, reference)                                                   \
    SAVE_STATE();                                                                              \
    TRY(vm_enter_reference(VM, frame + (distance), (distance), pc + length, reference));       \
    LOAD_STATE();                                                                              \
    NEXT(0)
#define TAIL_REFERENCE(distance, reference)                                          \
    SAVE_STATE();                                                                    \
    TRY(vm_tail_reference(VM, distance, reference));                                 \
    LOAD_STATE();                                                                    \
    NEXT(0)
#define LEAVE_TAIL()      \
    SAVE_STATE();         \
    vm_leave_tail(VM);    \
    LOAD_STATE();         \
    NEXT(0)
#define THROW(place, tag)                                            \
    SAVE_STATE();                                                    \
    TRY(vm_throw(VM, frame + (place), tag, pc + length));            \
    LOAD_STATE();                                                    \
    NEXT(0)
#define THROW_REFERENCE(place)                                       \
    SAVE_STATE();                                                    \
    TRY(vm_throw_reference(VM, frame[place], pc + length));          \
    LOAD_STATE();                                                    \
    NEXT(0)
#define USE_MEMORY(index)           \
    vm_use_memory(VM, (index));     \
    LOAD_STATE_OF_MEMORY()
#define LEAVE_CROSS()     \
    SAVE_STATE();         \
    vm_leave_cross(VM);   \
    LOAD_STATE();         \
    NEXT(0)
#define GROW(result, count)                    \
    result = vm_memory_grow(VM, (count));      \
    LOAD_STATE_OF_MEMORY()

#define LOAD_STATE_OF_MEMORY()          \
    fast_bytes = VM->fast_bytes;        \
    fast_low = VM->fast_low;            \
    fast_limit = VM->fast_limit
#define LOAD_STATE()       \
    pc = VM->pc;           \
    frame = VM->frame;     \
    LOAD_STATE_OF_MEMORY()
#define SAVE_STATE() \
    VM->pc = pc;     \
    VM->frame = frame

#define INTERPRETER __attribute__((section(".interpreter")))

/* Where the table is that each instruction reads: flash with wait states is slow to read. */
#ifdef VM_HANDLERS_IN_RAM
#define IN_RAM
#else
#define IN_RAM const
#endif

/* The exception handler changes the table's register where the interrupted code is the interpreter's. The frame that
 * the core has pushed holds the program counter at 24. */
#define SWITCH_TABLE(load)                \
    __asm("ldr r0, [sp, #24]\n"           \
          "ldr r1, =interpreter_begin\n"  \
          "cmp r0, r1\n"                  \
          "blo 1f\n"                      \
          "ldr r1, =interpreter_end\n"    \
          "cmp r0, r1\n"                  \
          "bhs 1f\n" load                 \
          "1: bx lr\n"                    \
          ".ltorg\n")

#if defined(VM_DRIVER_THREADED)
#include "driver_threaded.h"
#elif defined(VM_DRIVER_GOTO)
#include "driver_goto.h"
#else
#include "driver_switch.h"
#endif
