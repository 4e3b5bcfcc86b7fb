/* The verifier: after it no instruction needs another check than WebAssembly itself asks for.
 *
 * This file decides which code is taken. It goes over each function once, asks of each instruction what
 * generated/verify.inc has for its row, and marks where instructions begin and branches lead. It refuses to know what
 * an instruction does. What it needs lies in the arena, which is idle: a bit for each halfword of a function.
 * SPEC.md has the rules, DESIGN.md why they are enough; mcutool/image/verify.py decides the same.
 */
#include "verify.h"

#include <string.h>

#include "generated/verify.inc"

/* For what is seldom needed, or has few registers to keep then. */
#define APART __attribute__((noinline))

enum { ENDS = 1 << 3, FEATURE = 4, BRANCHES = 1 << 7 }; /* of the first byte of a shape; its low bits are the length */

/* Checks that compare a halfword with a limit have one kind after the other. */
enum { LIMITS = VERIFY_ELEMENT - VERIFY_FAR + 1 };

struct verifier {
    const struct vm *vm;
    const uint16_t *code; /* of the function, from its frame size on */
    uint32_t begin;       /* where that is in all code */
    uint32_t length;
    uint32_t at;   /* what is looked at, from the function's begin on */
    uint32_t next; /* what stands behind it */
    uint32_t handler; /* the first that does not belong to a function before */
    uint32_t module;
    uint32_t callee; /* where the frame begins of what is called */
    uint32_t limits[LIMITS]; /* the first one is the frame's size */
    char text[20]; /* where something is wrong */
    uint8_t marks[]; /* a bit for each halfword, and eight more */
};

_Static_assert(sizeof(struct verifier) <= VERIFY_ROOM, "so that every board refuses the same");

/// One instruction ///

/* 0 when there is no such instruction, or none that may stand in a function. */
static uint32_t shape_of(uint32_t first) {
    const uint32_t place = verify_plain[first & 0xff];
    if (place == 0 && (first & 0xff) == ISA_ESCAPE && first >> 8 < sizeof verify_escaped) {
        return verify_escaped[first >> 8];
    }
    return place;
}

static bool is_marked(const struct verifier *v, uint32_t offset) {
    return (v->marks[offset / 8] >> offset % 8 & 1) != 0;
}

/* Whether a branch may lead so far from here. Up to here the marks are where instructions begin; further on they are
 * where branches lead, and whoever gets there looks whether an instruction begins. */
static enum image_fault branch(struct verifier *v, int32_t distance) {
    const uint32_t target = v->at + (uint32_t)distance;
    if (target >= v->length || (target < v->next && (target > v->at || !is_marked(v, target)))) {
        return IMAGE_FAULT_BRANCH;
    }
    v->marks[target / 8] |= (uint8_t)(1u << target % 8);
    return IMAGE_GOOD;
}

static enum image_fault branches(struct verifier *v, const uint16_t *count) {
    enum image_fault wrong = IMAGE_GOOD;
    for (uint32_t i = 0; i <= *count && wrong == IMAGE_GOOD; i++) {
        wrong = branch(v, (int16_t)count[1 + i]);
    }
    return wrong;
}

/* Whether a function may be called from the one that is looked at; of another module too, when any may. */
static bool may_call(const struct verifier *v, uint32_t number, bool any) {
    const bool there = number < v->vm->sections[IMAGE_FUNCTIONS].count;
    const uint32_t module = there ? v->vm->functions[number].module : IMAGE_NONE;
    return module != IMAGE_NONE && (any || module == v->module);
}

static uint32_t most(uint32_t one, uint32_t other) {
    return one > other ? one : other;
}

static uint32_t slots_of(const struct vm *vm, uint32_t signature) {
    const struct image_signature *row = (const struct image_signature *)image_section(vm, IMAGE_SIGNATURES) + signature;
    return most(row->parameter_slots, row->result_slots);
}

/* Whether what lies at slot `place` for an import, or the values of a tag, is inside the frame. */
static enum image_fault check_area(const struct verifier *v, uint32_t kind, uint32_t number, uint32_t place) {
    const enum image_section_number section = kind == VERIFY_HOST ? IMAGE_IMPORTS : IMAGE_TAGS;
    if (number >= v->vm->sections[section].count) {
        return IMAGE_FAULT_INDEX;
    }
    const void *records = image_section(v->vm, section);
    const uint32_t slots = kind == VERIFY_TAG
                               ? ((const struct image_tag *)records)[number].slots
                               : slots_of(v->vm, ((const struct image_import *)records)[number].signature);
    return place + slots <= v->limits[0] ? IMAGE_GOOD : IMAGE_FAULT_CALL;
}

static bool module_has_memory(const struct verifier *v) {
    return ((const struct image_module *)image_section(v->vm, IMAGE_MODULES))[v->module].memory != IMAGE_NONE;
}

/* What is asked more seldom than of slots. */
static APART enum image_fault check_operand(struct verifier *v, const uint16_t *pc, uint32_t check) {
    const uint32_t kind = check >> 3, halfword = pc[check & 7], frame = v->limits[0];
    const uint32_t byte = ((const uint8_t *)pc)[check & 7];
    enum image_fault wrong = IMAGE_FAULT_INDEX;
    bool good;
    switch (kind) {
    case VERIFY_TRAP:
        good = byte - 1 < VERIFY_TRAPS;
        break;
    case VERIFY_BRANCH_HALF:
        return branch(v, (int8_t)byte >> 4);
    case VERIFY_BRANCH_WIDE:
        return branch(v, (int16_t)halfword);
    case VERIFY_BRANCH_FAR:
        return branch(v, (int32_t)(halfword | (uint32_t)pc[(check & 7) + 1] << 16));
    case VERIFY_BRANCHES:
        return branches(v, pc + (check & 7));
    case VERIFY_FRAME:
    case VERIFY_FRAME_WIDE:
        v->callee = kind == VERIFY_FRAME ? byte : halfword;
        good = v->callee <= frame;
        wrong = IMAGE_FAULT_CALL;
        break;
    case VERIFY_TAIL:
        v->callee = halfword;
        return IMAGE_GOOD;
    case VERIFY_LINK:
    case VERIFY_CROSS:
        good = v->callee >= (kind == VERIFY_LINK ? VM_LINK_SLOTS : VM_CROSS_LINK_SLOTS);
        wrong = IMAGE_FAULT_CALL;
        break;
    case VERIFY_CALLEE:
    case VERIFY_FOREIGN:
        good = may_call(v, halfword, kind == VERIFY_FOREIGN);
        break;
    case VERIFY_HOST:
    case VERIFY_TAG:
        return check_area(v, kind, halfword, v->callee);
    case VERIFY_HAS_MEMORY:
        good = module_has_memory(v);
        break;
    default:
        good = halfword < v->limits[kind - VERIFY_FAR];
        wrong = kind == VERIFY_FAR ? IMAGE_FAULT_SLOT : IMAGE_FAULT_INDEX;
        break;
    }
    return good ? IMAGE_GOOD : wrong;
}

static enum image_fault slot(uint32_t frame, uint32_t number) {
    return number < frame ? IMAGE_GOOD : IMAGE_FAULT_SLOT;
}

/* Most operands are slots, so these are asked here: kinds and places as they lie in a byte of the table. */
static APART enum image_fault check_operands(struct verifier *v, const uint16_t *pc, const uint8_t *check) {
    const uint32_t frame = v->limits[0];
    enum image_fault wrong = IMAGE_GOOD;
    for (uint32_t asked; wrong == IMAGE_GOOD && (asked = *check) != 0; check++) {
        const uint32_t byte = ((const uint8_t *)pc)[asked & 7];
        if (asked < VERIFY_LOW << 3) {
            wrong = slot(frame, byte + (asked >> 4)); /* 1 for a pair, whose second slot is the last */
        } else if (asked < VERIFY_HIGH << 3) {
            wrong = slot(frame, byte << 28 >> 28);
        } else if (asked < VERIFY_ZERO << 3) {
            wrong = slot(frame, byte >> 4);
        } else if (asked < VERIFY_BRANCH << 3) {
            wrong = byte == 0 ? IMAGE_GOOD : IMAGE_FAULT_ILLEGAL;
        } else if (asked < VERIFY_BRANCH_HALF << 3) {
            wrong = branch(v, (int8_t)byte);
        } else {
            wrong = check_operand(v, pc, asked);
        }
    }
    return wrong;
}

_Static_assert(VERIFY_SLOT == 1 && VERIFY_PAIR == 2 && VERIFY_LOW == 3 && VERIFY_HIGH == 4 && VERIFY_ZERO == 5 &&
                   VERIFY_BRANCH == 6 && VERIFY_BRANCH_HALF == 7,
               "shifts and their order");

/// One function ///

/* The first halfword behind it to which a branch leads, or `next`. */
static APART uint32_t led_into(const struct verifier *v, uint32_t at, uint32_t next) {
    while (++at < next && !is_marked(v, at)) {
    }
    return at;
}

/* Whether the part is there that a shape is of; and its length with the jump table, if that is all there. */
static APART enum image_fault look_closer(const struct verifier *v, uint32_t head, const uint16_t *pc, uint32_t *next) {
    const uint32_t announced = ((const struct image_header *)v->vm->payload)->features << 1 | 1;
    if ((announced >> (head >> FEATURE & 7) & 1) == 0) {
        return IMAGE_FAULT_UNANNOUNCED;
    }
    if ((head & BRANCHES) != 0 && *next <= v->length) {
        *next += pc[(head & 7) - 1] + 1u;
    }
    return IMAGE_GOOD;
}

static enum image_fault check_instructions(struct verifier *v) {
    uint32_t head = 0, next;
    enum image_fault wrong = IMAGE_GOOD;
    for (uint32_t at = 1; at < v->length; at = next) {
        const uint16_t *pc = v->code + at;
        const uint8_t *shape = verify_shapes + 2 * shape_of(*pc);
        v->at = at;
        head = *shape;
        if (head == 0) {
            return IMAGE_FAULT_ILLEGAL;
        }
        next = at + (head & 7);
        if (head >= 1 << FEATURE && (wrong = look_closer(v, head, pc, &next)) != IMAGE_GOOD) {
            return wrong;
        }
        if (next > v->length) {
            return IMAGE_FAULT_CUT;
        }
        v->next = next;
        uint8_t *marks = v->marks + at / 8;
        /* Enough of them for all instructions but those with a jump table. */
        const uint32_t ahead = (marks[0] | (uint32_t)marks[1] << 8) >> at % 8;
        marks[0] |= (uint8_t)(1u << at % 8);
        if ((ahead & ((1u << (head & 7)) - 2)) != 0 || head >= BRANCHES) {
            const uint32_t led = led_into(v, at, next);
            if (led != next) {
                v->at = led;
                return IMAGE_FAULT_BRANCH;
            }
        }
        wrong = check_operands(v, pc, shape + 1);
        if (wrong != IMAGE_GOOD) {
            return wrong;
        }
    }
    v->at = v->length;
    return (head & ENDS) != 0 ? IMAGE_GOOD : IMAGE_FAULT_RUNS_OUT;
}

/* The handlers for sites in this function, which follow those for the functions before it. */
static enum image_fault check_catching(struct verifier *v) {
    const struct image_handler *handlers = image_section(v->vm, IMAGE_HANDLERS);
    const struct image_tag *tags = image_section(v->vm, IMAGE_TAGS);
    v->at = 0;
    for (; v->handler < v->vm->sections[IMAGE_HANDLERS].count; v->handler++) {
        const struct image_handler *handler = &handlers[v->handler];
        if (handler->site > v->begin + v->length) {
            break;
        }
        const uint32_t slots = (handler->tag == IMAGE_NONE ? 0u : tags[handler->tag].slots) + (handler->flags & 1u);
        const uint32_t target = handler->target - v->begin;
        if (handler->site <= v->begin || target >= v->length || !is_marked(v, target) ||
            handler->base + slots > v->limits[0]) {
            return IMAGE_FAULT_CATCH;
        }
    }
    return IMAGE_GOOD;
}

static enum image_fault check_function(struct verifier *v, const struct image_function *function, uint32_t end,
                                       size_t size) {
    v->begin = function->code;
    v->length = end - function->code;
    v->code = v->vm->code + function->code;
    v->at = 0;
    v->module = function->module;
    v->limits[0] = *v->code;
    if (v->length / 8 + 2 > size - VERIFY_ROOM) {
        return IMAGE_FAULT_RAM;
    }
    if (slots_of(v->vm, function->signature) > *v->code) {
        return IMAGE_FAULT_SLOT;
    }
    memset(v->marks, 0, v->length / 8 + 2);
    const enum image_fault wrong = check_instructions(v);
    return wrong == IMAGE_GOOD ? check_catching(v) : wrong;
}

/// All code ///

static void set_limits(struct verifier *v) {
    static const uint8_t sections[] = {IMAGE_SIGNATURES, IMAGE_TABLES, IMAGE_MEMORIES, IMAGE_DATAS, IMAGE_ELEMENTS};
    static const uint8_t kinds[] = {VERIFY_SIGNATURE, VERIFY_TABLE, VERIFY_MEMORY, VERIFY_DATA, VERIFY_ELEMENT};
    const uint32_t globals = ((const struct image_header *)v->vm->payload)->global_slots;
    for (uint32_t i = 0; i < sizeof sections; i++) {
        v->limits[kinds[i] - VERIFY_FAR] = v->vm->sections[sections[i]].count;
    }
    v->limits[VERIFY_GLOBAL - VERIFY_FAR] = globals;
    v->limits[VERIFY_GLOBAL_PAIR - VERIFY_FAR] = globals == 0 ? 0 : globals - 1;
}

/* Functions follow each other as their records do, from the stubs to the end of the code. */
static enum image_fault check_functions(struct verifier *v, size_t size) {
    const uint32_t count = v->vm->sections[IMAGE_FUNCTIONS].count;
    const struct image_function *before = NULL;
    for (uint32_t i = 0; i <= count; i++) {
        const struct image_function *function = i < count ? &v->vm->functions[i] : NULL;
        if (function != NULL && function->module == IMAGE_NONE) {
            continue;
        }
        const uint32_t end = function != NULL ? function->code : v->vm->sections[IMAGE_CODE].count;
        if (before == NULL ? end != VM_STUBS : end <= before->code) {
            v->begin = end;
            v->at = 0;
            return IMAGE_FAULT_EXTENT;
        }
        const enum image_fault wrong = before == NULL ? IMAGE_GOOD : check_function(v, before, end, size);
        if (wrong != IMAGE_GOOD) {
            return wrong;
        }
        before = function;
    }
    return v->handler == v->vm->sections[IMAGE_HANDLERS].count ? IMAGE_GOOD : IMAGE_FAULT_CATCH;
}

static const char *place_of(struct verifier *v) {
    static const char before[] = "halfword ";
    char *text = v->text + sizeof v->text - 1;
    uint32_t place = v->begin + v->at;
    *text = 0;
    do {
        *--text = (char)('0' + place % 10);
        place /= 10;
    } while (place != 0);
    text -= sizeof before - 1;
    return memcpy(text, before, sizeof before - 1);
}

enum image_fault verify_code(const struct vm *vm, uint8_t *room, size_t size, const char **detail) {
    struct verifier *v = (struct verifier *)room;
    if (size <= VERIFY_ROOM) {
        return IMAGE_FAULT_RAM;
    }
    memset(v, 0, sizeof *v);
    v->vm = vm;
    set_limits(v);
    const enum image_fault wrong = check_functions(v, size);
    if (wrong != IMAGE_GOOD && wrong != IMAGE_FAULT_RAM) {
        *detail = place_of(v);
    }
    return wrong;
}
