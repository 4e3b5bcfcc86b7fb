/* The interpreter's face: load an image, call its functions.
 *
 * Portable C11 without hardware, allocation or recursion. The caller owns all memory: the image lies in flash and is
 * read in place; everything that changes lies in one arena that the caller gives. Not one byte of RAM grows with code.
 */
#ifndef VM_H
#define VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "generated/image.h"
#include "generated/image_faults.h"
#include "generated/isa.h"

/* A linear memory. Its addresses [window_low, window_low + window_size) are backed by `bytes`, which has
 * VM_MEMORY_GUARD spare bytes before it: an access that begins below the window ends there. */
#define VM_MEMORY_GUARD 8u
/* The largest offset of an access in eight bits. */
#define SHORT_OFFSET 255u
/* Bytes of the window right below its fast part, so that for an access of 8 bytes one comparison does. */
#define FAST_MARGIN 4u
/* Added to the size of an access that stores. */
#define VM_STORE 16u

/* Every byte of untouched stack, so that the most ever used can be told. */
#define VM_STACK_PAINT 0xA5u

/* Every code section begins with these; return links of the host, of calls into another module and of tail calls into
 * one lead there. */
enum { VM_STUB_HALT, VM_STUB_LEAVE_CROSS, VM_STUB_LEAVE_TAIL, VM_STUBS };

/* A trap kind that no program sees: the host lets others have their turn. Called with VM_GO_ON, vm_call goes on where it
 * was, which at a host function means that this is called again, with the same arguments. */
#define VM_TRAP_PAUSED 0x100u
#define VM_GO_ON UINT32_MAX

struct vm_memory {
    uint8_t *bytes;
    uint32_t window_low;
    uint32_t window_size;
    uint32_t pages;
    const struct image_memory *declared;
};

struct vm_table {
    uint32_t *elements;
    uint32_t size;
    const struct image_table *declared;
};

struct vm {
    /* What the drivers keep in registers; the order is known to execute.c. */
    const uint16_t *pc;
    uint32_t *frame;
    uint8_t *fast_bytes;
    uint32_t fast_low;
    uint32_t fast_limit;
    const void *volatile table; /* of handlers, changed by interrupts */

    uint32_t trap;         /* kind of the last trap, enum vm_trap */
    uint32_t exit_status;  /* of VM_TRAP_EXIT */

    /* The image, in flash. */
    const uint8_t *payload;
    const uint16_t *code;
    const struct image_function *functions;
    const struct image_section *sections;

    /* The arena. */
    struct vm_memory *memory;  /* of the running module, NULL when it has none */
    struct vm_memory *memories;
    struct vm_table *tables;
    uint32_t *globals;
    uint8_t *dropped;  /* one bit a segment: data, then elements */
    uint32_t *stack;
    uint32_t *stack_end;
    uint32_t *exceptions; /* each a tag + 1 (0: free) and exception_slots values */
    uint16_t exception_count;
    uint16_t exception_slots;
    size_t arena_used;
    uint8_t *memory_bytes; /* the window of `memory` */
    uint32_t window_low;
    uint32_t window_size;
};

/* Bytes of one exception in the arena. */
#define VM_EXCEPTION_SIZE(vm) ((1u + (size_t)(vm)->exception_slots) * sizeof(uint32_t))

/* Slots that every stack has: a host function may be called with no frame below it. */
#define VM_SMALLEST_STACK (VM_CROSS_LINK_SLOTS + 16u)

/* A host function: arguments in slots, results over them; returns a trap kind, 0 for none. */
typedef uint32_t (*vm_host_function)(struct vm *vm, uint32_t *slots);

struct host_function {
    const char *module;
    const char *name;
    vm_host_function function;
    uint8_t parameter_slots;
    uint8_t result_slots;
    uint16_t capability; /* that has to be granted, a bit; 0 for none */
};

/* Generated from the table of host functions; the index is the number in an image's import record. */
extern const struct host_function host_functions[];
extern const uint32_t host_function_count;

#define IMAGE_FAULT(name, text) IMAGE_FAULT_##name,
enum image_fault { IMAGE_GOOD, IMAGE_FAULTS(IMAGE_FAULT) };

/* All capabilities, as a mask of what is granted. */
#define VM_ALL_GRANTS 0xffffffffu

/* image.c: check a container in flash and lay its arena out. `grants` are the capabilities that the board grants: what
 * it grants and what the image says it was granted counts. Returns what is wrong with it. `detail` is set to a name
 * that this is about, or to NULL. No module is instantiated. */
enum image_fault image_load(struct vm *vm, const uint8_t *container, size_t available, uint8_t *arena,
                            size_t arena_size, uint32_t grants, const char **detail);
/* The size of the container with its TLVs, 0 when there is none or it does not fit `available` bytes. */
size_t image_size(const uint8_t *container, size_t available);
/* The SHA-256 that such a container carries (32 bytes, not compared), NULL when there is none. */
const uint8_t *image_digest(const uint8_t *container, size_t available);
/* How many of its bytes that hash is of, 0 when there is none. */
size_t image_hashed(const uint8_t *container, size_t available);
/* Whoever has just compared it says so: the image_load that follows need not. */
void image_hash_is_known(void);
/* Its security counter, 0 when it has none: a later version has a higher one. */
uint32_t image_counter(const uint8_t *container, size_t available);
/* Whether that is at least the highest one that was confirmed; a firmware without a key takes any. */
enum image_fault image_check_counter(const uint8_t *container, size_t available, uint32_t confirmed);

static inline const void *image_section(const struct vm *vm, enum image_section_number number) {
    return vm->payload + vm->sections[number].offset;
}

/* Where the host writes arguments before vm_call and finds results after it. */
uint32_t *vm_arguments(struct vm *vm);
/* How many slots vm_arguments gives at the most. */
uint32_t vm_argument_room(const struct vm *vm);
/* Call a function of the bundle by its index, or VM_GO_ON; returns the trap kind, 0 when it returned. */
uint32_t vm_call(struct vm *vm, uint32_t function);
/* Most slots of the stack that were ever used. */
uint32_t vm_stack_high_water(const struct vm *vm);

/* A walk through the calls that have not returned, from the innermost on: it begins at the vm's `pc` and `frame`. */
struct vm_trace {
    const uint16_t *pc;
    const uint32_t *frame;
    uint32_t function; /* index of the function of the call that was reached */
    uint32_t offset;   /* of its place in the code, in halfwords */
};
/* The next call; false when there is no more. */
bool vm_next_call(const struct vm *vm, struct vm_trace *trace);

/* A range of the running module's linear memory, NULL unless all of it is backed. */
void *vm_memory(struct vm *vm, uint32_t address, uint32_t length);
/* The same for who only reads: read-only data that stay in flash count too. */
const void *vm_readable(struct vm *vm, uint32_t address, uint32_t length);
/* Why one of them gave NULL: a trap kind. */
uint32_t vm_range_fault(const struct vm *vm, uint32_t address, uint32_t length);

/* execute.c: run from vm->pc until something stops it; leaves vm->trap. */
void vm_execute(struct vm *vm);

/* In an interrupt: the running program has to call vm_interrupted before its next instruction. It will when
 * vm_switch_table, the handler of an exception that is taken after all others, has run. */
void vm_interrupt(struct vm *vm);
void vm_switch_table(void);
/* The host's: what the interrupt was for. Gives a trap kind, VM_TRAP_PAUSED too, 0 to go on. */
uint32_t vm_interrupted(struct vm *vm);
/* The host's: whether a program that begins now has missed one. */
bool vm_interrupt_waits(void);

/* vm.c: what handlers call. The ones that return uint32_t return a trap kind. */
uint32_t vm_host_call(struct vm *vm, uint32_t *slots, uint32_t import);
uint32_t vm_enter_cross(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back, uint32_t function);
uint32_t vm_enter_indirect(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back, uint32_t index,
                           uint32_t signature, uint32_t table);
uint32_t vm_enter_reference(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back,
                            uint32_t reference);
uint32_t vm_tail_indirect(struct vm *vm, uint32_t distance, uint32_t index, uint32_t signature, uint32_t table);
uint32_t vm_tail_reference(struct vm *vm, uint32_t distance, uint32_t reference);
uint32_t vm_throw(struct vm *vm, const uint32_t *values, uint32_t tag, const uint16_t *site);
uint32_t vm_throw_reference(struct vm *vm, uint32_t reference, const uint16_t *site);
void vm_leave_cross(struct vm *vm);
void vm_leave_tail(struct vm *vm);
void vm_use_memory(struct vm *vm, uint32_t memory);
uint32_t vm_flash_size(const struct vm *vm, const struct vm_memory *memory, const uint8_t **bytes);
uint8_t *vm_access(struct vm *vm, uint32_t address, uint32_t offset, uint32_t size);
uint32_t vm_memory_size(const struct vm *vm);
uint32_t vm_memory_grow(struct vm *vm, uint32_t pages);
uint32_t vm_memory_fill(struct vm *vm, uint32_t to, uint32_t value, uint32_t size);
uint32_t vm_memory_copy(struct vm *vm, uint32_t to, uint32_t from, uint32_t size);
uint32_t vm_memory_copy_between(struct vm *vm, uint32_t to_memory, uint32_t from_memory, uint32_t to, uint32_t from,
                                uint32_t size);
uint32_t vm_memory_init(struct vm *vm, uint32_t segment, uint32_t to, uint32_t from, uint32_t size);
void vm_data_drop(struct vm *vm, uint32_t segment);
uint32_t vm_table_get(struct vm *vm, uint32_t table, uint32_t index, uint32_t *value);
uint32_t vm_table_set(struct vm *vm, uint32_t table, uint32_t index, uint32_t value);
uint32_t vm_table_size(const struct vm *vm, uint32_t table);
uint32_t vm_table_grow(struct vm *vm, uint32_t table, uint32_t value, uint32_t count);
uint32_t vm_table_fill(struct vm *vm, uint32_t table, uint32_t to, uint32_t value, uint32_t count);
uint32_t vm_table_copy(struct vm *vm, uint32_t to_table, uint32_t from_table, uint32_t to, uint32_t from,
                       uint32_t count);
uint32_t vm_table_init(struct vm *vm, uint32_t segment, uint32_t table, uint32_t to, uint32_t from, uint32_t count);
void vm_element_drop(struct vm *vm, uint32_t segment);

/* Return links hold code addresses in one slot: the address itself where that is 32 bits wide, else an offset. */
#if UINTPTR_MAX == UINT32_MAX
#define VM_TO_LINK(vm, address) ((uint32_t)(uintptr_t)(address))
#define VM_FROM_LINK(vm, link) ((const uint16_t *)(uintptr_t)(link))
#else
#define VM_TO_LINK(vm, address) ((uint32_t)((address) - (vm)->code))
#define VM_FROM_LINK(vm, link) ((vm)->code + (link))
#endif

#endif
