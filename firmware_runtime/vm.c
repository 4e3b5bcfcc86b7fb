/* Calls, linear memory, tables and traps: what the handlers of the interpreter call, and the host's way in.
 *
 * Everything an image can name by an index was checked by image.c or is checked here at use; nothing here knows how
 * instructions are encoded, and no register address.
 */
#include "vm.h"

#include <string.h>

/* For what every call goes through, in a file that is else compiled for size. */
#define HOT static inline __attribute__((always_inline))
/* For what keeps a stack of its own, which is then not below what else its caller calls. */
#define APART __attribute__((noinline))

/// Calls ///

uint32_t *vm_arguments(struct vm *vm) {
    return vm->stack + VM_CROSS_LINK_SLOTS;
}

uint32_t vm_argument_room(const struct vm *vm) {
    return (uint32_t)(vm->stack_end - vm->stack) - VM_CROSS_LINK_SLOTS;
}

static void select_memory(struct vm *vm, struct vm_memory *memory) {
    vm->memory = memory;
    vm->memory_bytes = memory != NULL ? memory->bytes : NULL;
    vm->window_low = memory != NULL ? memory->window_low : 0;
    vm->window_size = memory != NULL ? memory->window_size : 0;
    const uint32_t least = SHORT_OFFSET + 1 + FAST_MARGIN;
    const uint32_t skipped = vm->window_low + FAST_MARGIN > least ? FAST_MARGIN : least - vm->window_low;
    const uint32_t size = vm->window_size > skipped ? vm->window_size - skipped : 0;
    vm->fast_low = vm->window_low + skipped;
    vm->fast_bytes = vm->memory_bytes + skipped;
    vm->fast_limit = size > 3 ? size - 3 : 0;
}

static void select_module(struct vm *vm, uint32_t module) {
    const struct image_module *modules = image_section(vm, IMAGE_MODULES);
    const uint32_t index = modules[module].memory;
    select_memory(vm, index == IMAGE_NONE ? NULL : &vm->memories[index]);
}

/* The frame of a function that begins at `callee`, its link already written. */
HOT uint32_t begin_frame(struct vm *vm, uint32_t *callee, const struct image_function *function) {
    const uint16_t *target = vm->code + function->code;
    if ((size_t)(vm->stack_end - callee) < *target) {
        return VM_TRAP_STACK_EXHAUSTED;
    }
    vm->frame = callee;
    vm->pc = target + 1;
    return 0;
}

/* Whether there is bytecode to be executed; if not, vm->trap says how the call ended. */
static APART bool begin_call(struct vm *vm, uint32_t index) {
    const struct image_function *function = &vm->functions[index];
    uint32_t *callee = vm_arguments(vm);
    if (index >= vm->sections[IMAGE_FUNCTIONS].count) {
        vm->pc = index == VM_GO_ON ? vm->pc : vm->code;
        vm->trap = VM_TRAP_UNDEFINED_ELEMENT;
        return index == VM_GO_ON;
    }
    callee[-1] = VM_TO_LINK(vm, vm->code);
    callee[-2] = 0;
    vm->frame = callee;
    vm->pc = vm->code;
    if (function->module == IMAGE_NONE) {
        vm->trap = vm_host_call(vm, callee, function->code);
        return false;
    }
    select_module(vm, function->module);
    vm->trap = begin_frame(vm, callee, function);
    return vm->trap == 0;
}

uint32_t vm_call(struct vm *vm, uint32_t index) {
    if (begin_call(vm, index)) {
        vm_execute(vm);
    }
    return vm->trap;
}

/* Who calls through a reference may have less room than the function's type says. */
uint32_t vm_host_call(struct vm *vm, uint32_t *slots, uint32_t import) {
    const struct image_import *imports = image_section(vm, IMAGE_IMPORTS);
    const struct host_function *host = &host_functions[imports[import].host];
    const size_t room = (size_t)(vm->stack_end - slots);
    if (room < host->parameter_slots || room < host->result_slots) {
        return VM_TRAP_STACK_EXHAUSTED;
    }
    return host->function(vm, slots);
}

/* A call that changes the linear memory, to `theirs`: it returns through a stub. */
static void link_cross(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back,
                       struct vm_memory *theirs) {
    callee[-1] = VM_TO_LINK(vm, vm->code + VM_STUB_LEAVE_CROSS);
    callee[-2] = 0;
    callee[-3] = VM_TO_LINK(vm, back);
    callee[-4] = vm->memory == NULL ? IMAGE_NONE : (uint32_t)(vm->memory - vm->memories);
    callee[-5] = distance;
    select_memory(vm, theirs);
}

HOT uint32_t enter_module(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back,
                          const struct image_function *function) {
    const struct image_module *modules = image_section(vm, IMAGE_MODULES);
    const uint32_t kind = begin_frame(vm, callee, function);
    if (kind != 0) {
        return kind;
    }
    const uint32_t memory = modules[function->module].memory;
    struct vm_memory *theirs = memory == IMAGE_NONE ? NULL : &vm->memories[memory];
    if (theirs == vm->memory) {
        callee[-1] = VM_TO_LINK(vm, back);
        callee[-2] = distance;
    } else {
        link_cross(vm, callee, distance, back, theirs);
    }
    return 0;
}

/* Of any module, or of the host. */
HOT uint32_t enter_any(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back, uint32_t index) {
    const struct image_function *function = &vm->functions[index];
    if (function->module != IMAGE_NONE) {
        return enter_module(vm, callee, distance, back, function);
    }
    const uint32_t kind = vm_host_call(vm, callee, function->code);
    vm->pc = kind == 0 ? back : vm->pc;
    return kind;
}

uint32_t vm_enter_cross(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back, uint32_t index) {
    return enter_any(vm, callee, distance, back, index);
}

void vm_leave_cross(struct vm *vm) {
    uint32_t *callee = vm->frame;
    vm->pc = VM_FROM_LINK(vm, callee[-3]);
    select_memory(vm, callee[-4] == IMAGE_NONE ? NULL : &vm->memories[callee[-4]]);
    vm->frame = callee - callee[-5];
}

#if VM_WITH_TAIL_CALLS
void vm_leave_tail(struct vm *vm) {
    uint32_t *callee = vm->frame;
    uint32_t *frame = callee - callee[-5];
    const uint32_t memory = callee[-4];
    memmove(frame, callee, callee[-3] * sizeof *frame);
    select_memory(vm, memory == IMAGE_NONE ? NULL : &vm->memories[memory]);
    vm->pc = VM_FROM_LINK(vm, frame[-1]);
    vm->frame = frame - frame[-2];
}
#endif

/* The function that an element of a table refers to, if its signature is the expected one. */
HOT uint32_t find_element(const struct vm *vm, uint32_t index, uint32_t signature, uint32_t table,
                             uint32_t *function) {
    if (index >= vm->tables[table].size) {
        return VM_TRAP_UNDEFINED_ELEMENT;
    }
    const uint32_t reference = vm->tables[table].elements[index];
    if (reference == 0) {
        return VM_TRAP_UNINITIALIZED_ELEMENT;
    }
    *function = reference - 1;
    if (reference > vm->sections[IMAGE_FUNCTIONS].count || vm->functions[*function].signature != signature) {
        return VM_TRAP_INDIRECT_CALL_TYPE_MISMATCH;
    }
    return 0;
}

#if VM_WITH_TYPED_REFERENCES || VM_WITH_TAIL_CALLS
static uint32_t find_reference(const struct vm *vm, uint32_t reference, uint32_t *function) {
    *function = reference - 1;
    return reference == 0 || reference > vm->sections[IMAGE_FUNCTIONS].count ? VM_TRAP_NULL_FUNCTION_REFERENCE : 0;
}
#endif

#if VM_WITH_TAIL_CALLS
/* A call of a function with another memory becomes one from slot `distance`, above this frame. */
static APART uint32_t tail_cross(struct vm *vm, uint32_t distance, const struct image_function *function) {
    const struct image_signature *signature =
        (const struct image_signature *)image_section(vm, IMAGE_SIGNATURES) + function->signature;
    uint32_t *frame = vm->frame;
    uint32_t *callee = frame + distance;
    if ((size_t)(vm->stack_end - frame) < (size_t)distance + signature->parameter_slots) {
        return VM_TRAP_STACK_EXHAUSTED;
    }
    memmove(callee, frame, signature->parameter_slots * sizeof *frame);
    const uint32_t kind = enter_module(vm, callee, distance, vm->code, function);
    if (kind == 0) {
        callee[-1] = VM_TO_LINK(vm, vm->code + VM_STUB_LEAVE_TAIL);
        callee[-3] = signature->result_slots;
    }
    return kind;
}

static uint32_t tail_host(struct vm *vm, uint32_t import) {
    const uint32_t kind = vm_host_call(vm, vm->frame, import);
    if (kind == 0) {
        vm->pc = VM_FROM_LINK(vm, vm->frame[-1]);
        vm->frame -= vm->frame[-2];
    }
    return kind;
}

/* The parameters lie in slot 0 and up. */
static uint32_t tail_any(struct vm *vm, uint32_t distance, uint32_t index) {
    const struct image_function *function = &vm->functions[index];
    const struct image_module *modules = image_section(vm, IMAGE_MODULES);
    if (function->module == IMAGE_NONE) {
        return tail_host(vm, function->code);
    }
    const uint32_t memory = modules[function->module].memory;
    if ((memory == IMAGE_NONE ? NULL : &vm->memories[memory]) == vm->memory) {
        return begin_frame(vm, vm->frame, function);
    }
    return tail_cross(vm, distance, function);
}
#endif

uint32_t vm_enter_indirect(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back, uint32_t index,
                           uint32_t signature, uint32_t table) {
    uint32_t function;
    const uint32_t kind = find_element(vm, index, signature, table, &function);
    return kind != 0 ? kind : enter_any(vm, callee, distance, back, function);
}

#if VM_WITH_TYPED_REFERENCES
uint32_t vm_enter_reference(struct vm *vm, uint32_t *callee, uint32_t distance, const uint16_t *back,
                            uint32_t reference) {
    uint32_t function;
    const uint32_t kind = find_reference(vm, reference, &function);
    return kind != 0 ? kind : enter_any(vm, callee, distance, back, function);
}
#endif

#if VM_WITH_TAIL_CALLS
uint32_t vm_tail_indirect(struct vm *vm, uint32_t distance, uint32_t index, uint32_t signature, uint32_t table) {
    uint32_t function;
    const uint32_t kind = find_element(vm, index, signature, table, &function);
    return kind != 0 ? kind : tail_any(vm, distance, function);
}

uint32_t vm_tail_reference(struct vm *vm, uint32_t distance, uint32_t reference) {
    uint32_t function;
    const uint32_t kind = find_reference(vm, reference, &function);
    return kind != 0 ? kind : tail_any(vm, distance, function);
}
#endif

uint32_t vm_stack_high_water(const struct vm *vm) {
    const uint32_t *top = vm->stack_end;
    while (top > vm->stack && top[-1] == VM_STACK_PAINT * 0x01010101u) {
        top--;
    }
    return (uint32_t)(top - vm->stack);
}

/// Backtrace ///

/* The function whose code holds a halfword: the last one that begins before it. */
static uint32_t function_at(const struct vm *vm, uint32_t offset) {
    uint32_t best = UINT32_MAX;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < vm->sections[IMAGE_FUNCTIONS].count; i++) {
        const struct image_function *function = &vm->functions[i];
        if (function->module != IMAGE_NONE && function->code <= offset && function->code >= begin) {
            best = i;
            begin = function->code;
        }
    }
    return best;
}

bool vm_next_call(const struct vm *vm, struct vm_trace *trace) {
    const uint32_t *frame = trace->frame;
    if (trace->pc < vm->code + VM_STUBS) {
        return false;
    }
    trace->offset = (uint32_t)(trace->pc - vm->code);
    trace->function = function_at(vm, trace->offset);
    while (VM_FROM_LINK(vm, frame[-1]) == vm->code + VM_STUB_LEAVE_TAIL) {
        frame -= frame[-5];
    }
    trace->pc = VM_FROM_LINK(vm, frame[-1]);
    if (trace->pc == vm->code + VM_STUB_LEAVE_CROSS) {
        trace->pc = VM_FROM_LINK(vm, frame[-3]);
        trace->frame = frame - frame[-5];
    } else {
        trace->frame = frame - frame[-2];
    }
    return true;
}

#if VM_WITH_EXCEPTIONS
/// Exceptions ///

/* A reference to an exception is its number below a mark that other values seldom bear, since the stack is searched for
 * references without knowing which slots hold one. */
#define EXCEPTION_MARK 0xE5C00000u

static uint32_t *exception_at(const struct vm *vm, uint32_t number) {
    return vm->exceptions + number * (VM_EXCEPTION_SIZE(vm) / sizeof(uint32_t));
}

static void mark_exceptions(const struct vm *vm, const uint32_t *words, const uint32_t *end) {
    for (; words < end; words++) {
        const uint32_t number = *words - EXCEPTION_MARK;
        if (number < vm->exception_count) {
            *exception_at(vm, number) |= 1u << 31;
        }
    }
}

/* What exceptions carry may be older exceptions. All that are there count, also those that will be freed: since none
 * refers to a younger one, some are freed whenever any can be, and the next collection frees what they held. */
static void mark_carried_exceptions(const struct vm *vm) {
    const struct image_tag *tags = image_section(vm, IMAGE_TAGS);
    for (uint32_t i = 0; i < vm->exception_count; i++) {
        const uint32_t *exception = exception_at(vm, i);
        const uint32_t tag = *exception & ~(1u << 31);
        if (tag != 0) {
            mark_exceptions(vm, exception + 1, exception + 1 + tags[tag - 1].slots);
        }
    }
}

/* Frees the exceptions that no slot below `top`, no global, no table and no exception refers to. */
static void collect_exceptions(struct vm *vm, const uint32_t *top) {
    const struct image_header *header = (const struct image_header *)vm->payload;
    mark_exceptions(vm, vm->stack, top);
    mark_carried_exceptions(vm);
    mark_exceptions(vm, vm->globals, vm->globals + header->global_slots);
    for (uint32_t i = 0; i < vm->sections[IMAGE_TABLES].count; i++) {
        mark_exceptions(vm, vm->tables[i].elements, vm->tables[i].elements + vm->tables[i].size);
    }
    for (uint32_t i = 0; i < vm->exception_count; i++) {
        uint32_t *exception = exception_at(vm, i);
        *exception = (*exception >> 31) != 0 ? *exception & ~(1u << 31) : 0;
    }
}

static bool find_free_exception(const struct vm *vm, uint32_t *number) {
    for (*number = 0; *number < vm->exception_count; ++*number) {
        if (*exception_at(vm, *number) == 0) {
            return true;
        }
    }
    return false;
}

/* The first handler for a site, or the end of the handlers. */
static const struct image_handler *first_handler(const struct vm *vm, uint32_t site) {
    const struct image_handler *handlers = image_section(vm, IMAGE_HANDLERS);
    uint32_t low = 0;
    uint32_t high = vm->sections[IMAGE_HANDLERS].count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (handlers[middle].site < site) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return handlers + low;
}

static bool catch_here(struct vm *vm, uint32_t *frame, const uint16_t *site, uint32_t number) {
    const struct image_handler *end =
        (const struct image_handler *)image_section(vm, IMAGE_HANDLERS) + vm->sections[IMAGE_HANDLERS].count;
    const struct image_tag *tags = image_section(vm, IMAGE_TAGS);
    const uint32_t *exception = exception_at(vm, number);
    const uint32_t offset = (uint32_t)(site - vm->code);
    for (const struct image_handler *handler = first_handler(vm, offset); handler < end && handler->site == offset;
         handler++) {
        const bool any = handler->tag == IMAGE_NONE;
        if (!any && handler->tag + 1u != exception[0]) {
            continue;
        }
        const uint32_t slots = any ? 0 : tags[handler->tag].slots;
        memcpy(frame + handler->base, exception + 1, slots * sizeof *frame);
        if ((handler->flags & 1) != 0) {
            frame[handler->base + slots] = EXCEPTION_MARK + number;
        }
        vm->frame = frame;
        vm->pc = vm->code + handler->target;
        return true;
    }
    return false;
}

/* Goes up the frames from where execution would go on after the throw. */
static uint32_t unwind(struct vm *vm, uint32_t number, const uint16_t *site) {
    struct vm_memory *memory = vm->memory;
    uint32_t *frame = vm->frame;
    while (!catch_here(vm, frame, site, number)) {
        const uint16_t *link = VM_FROM_LINK(vm, frame[-1]);
        if (link == vm->code + VM_STUB_HALT) {
            select_memory(vm, memory);
            return VM_TRAP_UNCAUGHT_EXCEPTION;
        }
        site = link;
        if (link == vm->code + VM_STUB_LEAVE_CROSS || link == vm->code + VM_STUB_LEAVE_TAIL) {
            select_memory(vm, frame[-4] == IMAGE_NONE ? NULL : &vm->memories[frame[-4]]);
            site = link == vm->code + VM_STUB_LEAVE_CROSS ? VM_FROM_LINK(vm, frame[-3]) : vm->code;
            frame -= frame[-5];
        } else {
            frame -= frame[-2];
        }
    }
    return 0;
}

uint32_t vm_throw(struct vm *vm, const uint32_t *values, uint32_t tag, const uint16_t *site) {
    const struct image_tag *tags = image_section(vm, IMAGE_TAGS);
    uint32_t number;
    if (!find_free_exception(vm, &number)) {
        collect_exceptions(vm, values + tags[tag].slots);
        if (!find_free_exception(vm, &number)) {
            return VM_TRAP_EXCEPTIONS_EXHAUSTED;
        }
    }
    uint32_t *exception = exception_at(vm, number);
    exception[0] = tag + 1;
    memcpy(exception + 1, values, tags[tag].slots * sizeof *values);
    return unwind(vm, number, site);
}

uint32_t vm_throw_reference(struct vm *vm, uint32_t reference, const uint16_t *site) {
    const uint32_t number = reference - EXCEPTION_MARK;
    return number < vm->exception_count ? unwind(vm, number, site) : VM_TRAP_NULL_REFERENCE;
}
#endif

/// Linear memory ///

static uint64_t declared_size(const struct vm_memory *memory) {
    return (uint64_t)memory->pages << memory->declared->page_log2;
}

/* Whether [address, address + size) lies in the window. Nothing may lie anywhere in what is declared, its end included. */
static bool backed(const struct vm *vm, uint32_t address, uint32_t size) {
    if (size == 0) {
        return vm->memory != NULL && address <= declared_size(vm->memory);
    }
    const uint32_t offset = address - vm->window_low;
    return address >= vm->window_low && offset <= vm->window_size && size <= vm->window_size - offset;
}

void *vm_memory(struct vm *vm, uint32_t address, uint32_t length) {
    if (vm->memory == NULL || !backed(vm, address, length)) {
        return NULL;
    }
    return vm->memory_bytes + (address - vm->window_low);
}

/* Read-only data that stay in flash end where the window begins: how many bytes, and where they are. */
uint32_t vm_flash_size(const struct vm *vm, const struct vm_memory *memory, const uint8_t **bytes) {
    *bytes = NULL;
    if (memory == NULL || (memory->declared->flags & IMAGE_MEMORY_FLASH) == 0) {
        return 0;
    }
    const struct image_data *data =
        (const struct image_data *)image_section(vm, IMAGE_DATAS) + (memory->declared->flags >> 16);
    *bytes = vm->payload + data->offset;
    return data->size;
}

const void *vm_readable(struct vm *vm, uint32_t address, uint32_t length) {
    const uint8_t *flash;
    const uint32_t size = vm_flash_size(vm, vm->memory, &flash);
    const uint32_t offset = address - (vm->window_low - size);
    return offset < size && length <= size - offset ? flash + offset : vm_memory(vm, address, length);
}

/* Where a load finds its bytes; the guard holds the end of what lies in flash. */
static void *loadable(struct vm *vm, uint32_t address, uint32_t size) {
    const uint8_t *flash;
    const uint32_t below = vm->window_low - address;
    if (below - 1 < size - 1 && below <= vm_flash_size(vm, vm->memory, &flash) && size - below <= vm->window_size) {
        return vm->memory_bytes - below;
    }
    return (void *)(uintptr_t)vm_readable(vm, address, size);
}

/* The bytes of an access outside the fast part, which begins at `address`, offset included (modulo 2^32), of `size` bytes
 * with VM_STORE for a store. NULL: it traps as vm->trap says. */
uint8_t *vm_access(struct vm *vm, uint32_t address, uint32_t offset, uint32_t size) {
    const bool stores = (size & VM_STORE) != 0;
    void *bytes = NULL;
    size &= ~VM_STORE;
    if (address >= offset) {
        bytes = stores ? vm_memory(vm, address, size) : loadable(vm, address, size);
    }
    if (bytes == NULL) {
        vm->trap = address < offset ? VM_TRAP_MEMORY_OUT_OF_BOUNDS : vm_range_fault(vm, address, size);
    }
    return bytes;
}

uint32_t vm_range_fault(const struct vm *vm, uint32_t address, uint32_t size) {
    const uint8_t *flash;
    const uint32_t below = vm->window_low - address;
    if (vm->memory == NULL || (uint64_t)address + size > declared_size(vm->memory)) {
        return VM_TRAP_MEMORY_OUT_OF_BOUNDS;
    }
    return below - 1 < vm_flash_size(vm, vm->memory, &flash) ? VM_TRAP_READ_ONLY : VM_TRAP_NOT_BACKED;
}

uint32_t vm_memory_size(const struct vm *vm) {
    return vm->memory->pages;
}

/* How many bytes RAM can back of a memory that is `size` bytes large, 0 when that is not allowed. One that may be backed
 * in part has more of it backed than before; an access beyond that traps with words of its own. */
static uint32_t backable(const struct vm_memory *memory, uint64_t size) {
    const struct image_memory *declared = memory->declared;
    const uint64_t reach = (uint64_t)declared->window_low + declared->capacity;
    if (size <= reach) {
        return (uint32_t)(size - declared->window_low);
    }
    return (declared->flags & IMAGE_MEMORY_PARTIAL) != 0 && reach > declared_size(memory) ? declared->capacity : 0;
}

uint32_t vm_memory_grow(struct vm *vm, uint32_t count) {
    struct vm_memory *memory = vm->memory;
    const struct image_memory *declared = memory->declared;
    const uint32_t old = memory->pages;
    const uint64_t pages = (uint64_t)old + count;
    const uint64_t size = pages << declared->page_log2;
    if (count == 0) {
        return old;
    }
    const uint32_t window = pages <= declared->maximum ? backable(memory, size) : 0;
    if (window == 0) {
        return UINT32_MAX;
    }
    memory->pages = (uint32_t)pages;
    if (window > memory->window_size) {
        memset(memory->bytes + memory->window_size, 0, window - memory->window_size);
        memory->window_size = window;
    }
    select_memory(vm, memory);
    return old;
}

#if VM_WITH_MULTIPLE_MEMORIES
void vm_use_memory(struct vm *vm, uint32_t memory) {
    select_memory(vm, &vm->memories[memory]);
}

uint32_t vm_memory_copy_between(struct vm *vm, uint32_t to_memory, uint32_t from_memory, uint32_t to, uint32_t from,
                                uint32_t size) {
    struct vm_memory *own = vm->memory;
    select_memory(vm, &vm->memories[to_memory]);
    const uint32_t to_fault = backed(vm, to, size) ? 0 : vm_range_fault(vm, to, size);
    uint8_t *target = vm->memory_bytes + (to - vm->window_low);
    select_memory(vm, &vm->memories[from_memory]);
    const uint32_t from_fault = backed(vm, from, size) ? 0 : vm_range_fault(vm, from, size);
    const uint8_t *source = vm->memory_bytes + (from - vm->window_low);
    select_memory(vm, own);
    if (to_fault == 0 && from_fault == 0 && size != 0) {
        memmove(target, source, size);
    }
    return to_fault != 0 ? to_fault : from_fault;
}
#endif

uint32_t vm_memory_fill(struct vm *vm, uint32_t to, uint32_t value, uint32_t size) {
    if (!backed(vm, to, size)) {
        return vm_range_fault(vm, to, size);
    }
    if (size != 0) {
        memset(vm->memory_bytes + (to - vm->window_low), (int)(value & 0xff), size);
    }
    return 0;
}

uint32_t vm_memory_copy(struct vm *vm, uint32_t to, uint32_t from, uint32_t size) {
    if (!backed(vm, to, size)) {
        return vm_range_fault(vm, to, size);
    }
    const uint8_t *source = vm_readable(vm, from, size);
    if (source == NULL) {
        return vm_range_fault(vm, from, size);
    }
    if (size != 0) {
        memmove(vm->memory_bytes + (to - vm->window_low), source, size);
    }
    return 0;
}

/// Segments ///

static bool dropped(const struct vm *vm, uint32_t bit) {
    return (vm->dropped[bit / 8] >> bit % 8 & 1) != 0;
}

static void drop(struct vm *vm, uint32_t bit) {
    vm->dropped[bit / 8] |= (uint8_t)(1u << bit % 8);
}

uint32_t vm_memory_init(struct vm *vm, uint32_t segment, uint32_t to, uint32_t from, uint32_t size) {
    const struct image_data *data = (const struct image_data *)image_section(vm, IMAGE_DATAS) + segment;
    const uint32_t available = dropped(vm, segment) ? 0 : data->size;
    if (from > available || size > available - from) {
        return VM_TRAP_MEMORY_OUT_OF_BOUNDS;
    }
    if (!backed(vm, to, size)) {
        return vm_range_fault(vm, to, size);
    }
    if (size != 0) {
        memcpy(vm->memory_bytes + (to - vm->window_low), vm->payload + data->offset + from, size);
    }
    return 0;
}

void vm_data_drop(struct vm *vm, uint32_t segment) {
    drop(vm, segment);
}

void vm_element_drop(struct vm *vm, uint32_t segment) {
    drop(vm, vm->sections[IMAGE_DATAS].count + segment);
}

/// Tables ///

static bool within(uint32_t size, uint32_t start, uint32_t count) {
    return start <= size && count <= size - start;
}

uint32_t vm_table_get(struct vm *vm, uint32_t table, uint32_t index, uint32_t *value) {
    if (index >= vm->tables[table].size) {
        return VM_TRAP_TABLE_OUT_OF_BOUNDS;
    }
    *value = vm->tables[table].elements[index];
    return 0;
}

uint32_t vm_table_set(struct vm *vm, uint32_t table, uint32_t index, uint32_t value) {
    if (index >= vm->tables[table].size) {
        return VM_TRAP_TABLE_OUT_OF_BOUNDS;
    }
    vm->tables[table].elements[index] = value;
    return 0;
}

uint32_t vm_table_size(const struct vm *vm, uint32_t table) {
    return vm->tables[table].size;
}

uint32_t vm_table_grow(struct vm *vm, uint32_t table, uint32_t value, uint32_t count) {
    struct vm_table *t = &vm->tables[table];
    const uint32_t old = t->size;
    if (count > t->declared->capacity - old || count > t->declared->maximum - old) {
        return UINT32_MAX;
    }
    t->size += count;
    return vm_table_fill(vm, table, old, value, count) == 0 ? old : UINT32_MAX;
}

uint32_t vm_table_fill(struct vm *vm, uint32_t table, uint32_t to, uint32_t value, uint32_t count) {
    struct vm_table *t = &vm->tables[table];
    if (!within(t->size, to, count)) {
        return VM_TRAP_TABLE_OUT_OF_BOUNDS;
    }
    for (uint32_t i = 0; i < count; i++) {
        t->elements[to + i] = value;
    }
    return 0;
}

uint32_t vm_table_copy(struct vm *vm, uint32_t to_table, uint32_t from_table, uint32_t to, uint32_t from,
                       uint32_t count) {
    struct vm_table *target = &vm->tables[to_table];
    const struct vm_table *source = &vm->tables[from_table];
    if (!within(target->size, to, count) || !within(source->size, from, count)) {
        return VM_TRAP_TABLE_OUT_OF_BOUNDS;
    }
    if (count != 0) {
        memmove(target->elements + to, source->elements + from, (size_t)count * sizeof *target->elements);
    }
    return 0;
}

uint32_t vm_table_init(struct vm *vm, uint32_t segment, uint32_t table, uint32_t to, uint32_t from, uint32_t count) {
    const struct image_element *element = (const struct image_element *)image_section(vm, IMAGE_ELEMENTS) + segment;
    const uint32_t available = dropped(vm, vm->sections[IMAGE_DATAS].count + segment) ? 0 : element->count;
    struct vm_table *t = &vm->tables[table];
    if (!within(available, from, count) || !within(t->size, to, count)) {
        return VM_TRAP_TABLE_OUT_OF_BOUNDS;
    }
    if (count != 0) {
        memcpy(t->elements + to, (const uint32_t *)(vm->payload + element->offset) + from,
               (size_t)count * sizeof *t->elements);
    }
    return 0;
}
