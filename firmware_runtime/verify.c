/* The verifier: after it no instruction needs another check than WebAssembly itself asks for.
 *
 * This file decides which code is taken. It goes over each function, asks of each instruction what generated/verify.inc
 * has for its row, and compares where branches lead with where instructions begin. It refuses to know what an
 * instruction does. All that it needs is a little of the arena, which is idle: what it has found out, and a window, with
 * a bit for each of so many halfwords. Over a function that is longer it goes again for the next window.
 * SPEC.md has the rules, DESIGN.md why they are enough; mcutool/image/verify.py decides the same.
 */
#include "verify.h"

#include <string.h>

#include "generated/verify.inc"

/* For what is seldom needed, or has few registers to keep then. */
#define APART __attribute__((noinline))

/* Of the first byte of a shape, whose low bits are the length. Where there is more, it is looked at closer. */
enum { LENGTH = 7, ENDS = 1 << 3, FEATURE = 4, BRANCHES = 1 << 7 };

enum { MOST_DIGITS = 10 };

/* A word of marks is of a group of halfwords. */
enum { GROUP = 32, GROUPS = VERIFY_WINDOW / GROUP };

struct verifier {
    const struct vm *vm;
    const uint16_t *code; /* of the function, from its frame size on */
    const uint16_t *at;   /* what is looked at */
    const uint16_t *next; /* what follows the last that was looked at closer */
    const uint8_t *shape; /* of that */
    uint32_t length;      /* of the function */
    uint32_t frame;       /* its slots */
    uint32_t module;      /* whose it is */
    uint32_t callee;      /* where the frame begins of what is called */
    uint32_t handler;     /* the first that does not belong to a function before */
    uint32_t window;      /* the first group of which there are marks */
    uint32_t starts;      /* where instructions begin in the group of what is looked at, up to there */
    /* Of a group that has been left: where instructions begin. Of another: where branches lead. */
    uint32_t marks[GROUPS];
};

_Static_assert(sizeof(struct verifier) <= VERIFY_ROOM, "all that it needs");

/// One instruction ///

/* The marks of a group; NULL when they are outside the window. */
static uint32_t *marks_of(struct verifier *v, uint32_t group) {
    return group - v->window < GROUPS ? &v->marks[group - v->window] : NULL;
}

/* Whether an instruction begins there, as far as the window shows. */
static bool begins(struct verifier *v, uint32_t offset) {
    const uint32_t *marks = marks_of(v, offset / GROUP);
    return marks == NULL || (*marks >> offset % GROUP & 1) != 0;
}

/* Whether a branch may lead so far from here. From this group on it leaves a mark: when a group is left, an instruction
 * must begin at each. */
static enum image_fault branch(struct verifier *v, int32_t distance) {
    const uint32_t at = (uint32_t)(v->at - v->code), target = at + (uint32_t)distance, group = target / GROUP;
    if (target >= v->length) {
        return IMAGE_FAULT_BRANCH;
    }
    if (group >= at / GROUP && marks_of(v, group) != NULL) {
        *marks_of(v, group) |= 1u << target % GROUP;
    }
    return begins(v, target) ? IMAGE_GOOD : IMAGE_FAULT_BRANCH;
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
    return place + slots <= v->frame ? IMAGE_GOOD : IMAGE_FAULT_CALL;
}

static uint32_t memory_of_module(const struct verifier *v) {
    return ((const struct image_module *)image_section(v->vm, IMAGE_MODULES))[v->module].memory;
}

_Static_assert(VERIFY_TABLE - VERIFY_MEMORY == IMAGE_TABLES - IMAGE_MEMORIES &&
                   VERIFY_DATA - VERIFY_MEMORY == IMAGE_DATAS - IMAGE_MEMORIES &&
                   VERIFY_ELEMENT - VERIFY_MEMORY == IMAGE_ELEMENTS - IMAGE_MEMORIES,
               "kinds that are numbers in a section are in the order of sections");

/* Where a callee's frame may begin at the lowest, by kind. */
static const uint8_t lowest[] = {0, VM_LINK_SLOTS, VM_CROSS_LINK_SLOTS, 0, VM_LINK_SLOTS, VM_CROSS_LINK_SLOTS,
                                 VM_CROSS_LINK_SLOTS};

/* What is asked more seldom: mostly whether a number is below a limit. */
static APART enum image_fault check_operand(struct verifier *v, const uint16_t *pc, uint32_t check) {
    const uint32_t kind = check >> 3, halfword = pc[check & 7];
    const uint32_t byte = ((const uint8_t *)pc)[check & 7];
    enum image_fault wrong = IMAGE_FAULT_INDEX;
    uint32_t number = halfword, limit;
    switch (kind) {
    case VERIFY_SLOT:
    case VERIFY_PAIR:
        number = byte + (kind == VERIFY_PAIR);
        limit = v->frame;
        wrong = IMAGE_FAULT_SLOT;
        break;
    case VERIFY_FAR:
        limit = v->frame;
        wrong = IMAGE_FAULT_SLOT;
        break;
    case VERIFY_ZERO:
        number = byte;
        limit = 1;
        wrong = IMAGE_FAULT_ILLEGAL;
        break;
    case VERIFY_TRAP:
        number = byte - 1;
        limit = VERIFY_TRAPS;
        break;
    case VERIFY_BRANCH:
        return branch(v, (int8_t)byte);
    case VERIFY_BRANCH_HALF:
        return branch(v, (int8_t)byte >> 4);
    case VERIFY_BRANCH_WIDE:
        return branch(v, (int16_t)halfword);
    case VERIFY_BRANCH_FAR:
        return branch(v, (int32_t)(halfword | (uint32_t)pc[(check & 7) + 1] << 16));
    case VERIFY_BRANCHES:
        return branches(v, pc + (check & 7));
    case VERIFY_FRAME:
    case VERIFY_CALL:
    case VERIFY_CROSS:
        number = byte;
        __attribute__((fallthrough));
    case VERIFY_FRAME_WIDE:
    case VERIFY_CALL_WIDE:
    case VERIFY_CROSS_WIDE:
    case VERIFY_TAIL:
        v->callee = number;
        wrong = IMAGE_FAULT_CALL;
        limit = number >= lowest[kind - VERIFY_FRAME] ? kind == VERIFY_TAIL ? UINT32_MAX : v->frame + 1 : 0;
        break;
    case VERIFY_HOST:
    case VERIFY_TAG:
        return check_area(v, kind, halfword, v->callee);
    case VERIFY_CALLEE:
    case VERIFY_FOREIGN:
        number = !may_call(v, halfword, kind == VERIFY_FOREIGN);
        limit = 1;
        break;
    case VERIFY_HAS_MEMORY:
        number = memory_of_module(v);
        limit = IMAGE_NONE;
        break;
    case VERIFY_GLOBAL:
    case VERIFY_GLOBAL_PAIR:
        number += kind == VERIFY_GLOBAL_PAIR;
        limit = ((const struct image_header *)v->vm->payload)->global_slots;
        break;
    case VERIFY_SIGNATURE:
        limit = v->vm->sections[IMAGE_SIGNATURES].count;
        break;
    default:
        limit = v->vm->sections[kind - VERIFY_MEMORY + IMAGE_MEMORIES].count;
        break;
    }
    return number < limit ? IMAGE_GOOD : wrong;
}

/* Most operands are slots, of whole bytes or of halves of one. */
static inline bool frequent_are_good(const uint8_t *bytes, uint32_t asked, uint32_t frame) {
    if (asked >= VERIFY_LOW_1) {
        return ((asked & VERIFY_LOW_1) == 0 || (bytes[1] & 15u) < frame) &&
               ((asked & VERIFY_HIGH_1) == 0 || bytes[1] >> 4 < frame);
    }
    return ((asked & VERIFY_SLOT_1) == 0 || bytes[1] < frame) && ((asked & VERIFY_SLOT_2) == 0 || bytes[2] < frame) &&
           ((asked & VERIFY_SLOT_3) == 0 || bytes[3] < frame);
}

/// One function ///

/* Of an instruction whose shape says more than a length: whether there is such a row, with the part that it is of, and
 * whether it lies in the function, its jump table too. */
static APART enum image_fault look_closer(struct verifier *v, const uint8_t *shape) {
    const uint32_t first = *v->at;
    if (*shape == VERIFY_NO_ROW && (first & 0xff) == ISA_ESCAPE && first >> 8 < sizeof verify_escaped) {
        shape = verify_shapes + 2 * verify_escaped[first >> 8];
    }
    const uint32_t head = *shape;
    const uint16_t *next = v->at + (head & LENGTH);
    if (head == VERIFY_NO_ROW) {
        return IMAGE_FAULT_ILLEGAL;
    }
    if (((((const struct image_header *)v->vm->payload)->features << 1 | 1) >> (head >> FEATURE & 7) & 1) == 0) {
        return IMAGE_FAULT_UNANNOUNCED;
    }
    if (head >= BRANCHES && next <= v->code + v->length) {
        next += next[-1] + 1u;
    }
    v->shape = shape;
    v->next = next;
    return IMAGE_GOOD;
}

/* From the group of what has been looked at to that of `next` all are left. In the first, instructions begin as
 * v->starts says, in the others none does. */
static APART enum image_fault leave_groups(struct verifier *v, const uint16_t *next) {
    const uint32_t last = (uint32_t)(next - v->code) / GROUP;
    for (uint32_t group = (uint32_t)(v->at - v->code) / GROUP; group < last; group++) {
        uint32_t *marks = marks_of(v, group);
        if (marks != NULL) {
            uint32_t wrong = *marks & ~v->starts;
            if (wrong != 0) {
                for (v->at = v->code + group * GROUP; (wrong & 1) == 0; wrong >>= 1) {
                    v->at++;
                }
                return IMAGE_FAULT_BRANCH;
            }
            *marks = v->starts;
        }
        v->starts = 0;
    }
    return IMAGE_GOOD;
}

static APART enum image_fault check_instructions(struct verifier *v) {
    const uint16_t *pc = v->code + 1, *const end = v->code + v->length;
    const uint32_t frame = v->frame;
    enum image_fault wrong = IMAGE_GOOD;
    uint32_t bit = 2; /* of what is looked at, in its group */
    v->next = NULL;
    v->starts = 0;
    while (pc < end) {
        const uint8_t *shape = verify_shapes + 2 * verify_plain[*pc & 0xff];
        uint32_t length = *shape;
        const uint16_t *next = pc + length;
        v->at = pc;
        v->starts |= bit;
        if (length > LENGTH) {
            wrong = look_closer(v, shape);
            if (wrong != IMAGE_GOOD) {
                return wrong;
            }
            shape = v->shape;
            next = v->next;
            length = *shape & LENGTH;
            if (*shape >= BRANCHES) { /* a table of any length: perhaps it ends in another group */
                bit <<= 1;
                length = GROUP - 1;
            }
        }
        if (next > end) {
            return IMAGE_FAULT_CUT;
        }
        const uint32_t asked = shape[1];
        if (!frequent_are_good((const uint8_t *)pc, asked, frame)) {
            return IMAGE_FAULT_SLOT;
        }
        for (uint32_t others = asked & 7; others != 0; others--) {
            wrong = check_operand(v, pc, shape[1 + others]);
            if (wrong != IMAGE_GOOD) {
                return wrong;
            }
        }
        bit <<= length;
        pc = next;
        if (bit == 0) {
            wrong = leave_groups(v, pc);
            if (wrong != IMAGE_GOOD) {
                return wrong;
            }
            bit = 1u << (uint32_t)(pc - v->code) % GROUP;
        }
    }
    const bool ended = v->next == end && (*v->shape & ENDS) != 0;
    v->at = end;
    wrong = leave_groups(v, end + GROUP);
    return wrong == IMAGE_GOOD && !ended ? IMAGE_FAULT_RUNS_OUT : wrong;
}

/* The handlers for sites in this function, which follow those for the functions before it. */
static APART enum image_fault check_catching(struct verifier *v) {
    const struct image_handler *handlers = image_section(v->vm, IMAGE_HANDLERS);
    const struct image_tag *tags = image_section(v->vm, IMAGE_TAGS);
    const uint32_t begin = (uint32_t)(v->code - v->vm->code);
    v->at = v->code;
    for (; v->handler < v->vm->sections[IMAGE_HANDLERS].count; v->handler++) {
        const struct image_handler *handler = &handlers[v->handler];
        if (handler->site - begin - 1 >= v->length) {
            break;
        }
        const uint32_t slots = (handler->tag == IMAGE_NONE ? 0u : tags[handler->tag].slots) + (handler->flags & 1u);
        const uint32_t target = handler->target - begin;
        if (target >= v->length || !begins(v, target) || handler->base + slots > v->frame) {
            return IMAGE_FAULT_CATCH;
        }
    }
    return IMAGE_GOOD;
}

static enum image_fault check_function(struct verifier *v, const struct image_function *function, uint32_t end) {
    const uint32_t handler = v->handler;
    enum image_fault wrong;
    v->length = end - function->code;
    v->code = v->vm->code + function->code;
    v->at = v->code;
    v->module = function->module;
    v->frame = *v->code;
    v->window = 0;
    if (slots_of(v->vm, function->signature) > *v->code) {
        return IMAGE_FAULT_SLOT;
    }
    do {
        v->handler = handler;
        for (uint32_t i = 0; i < GROUPS && i <= v->length / GROUP; i++) {
            v->marks[i] = 0;
        }
        wrong = check_instructions(v);
        if (wrong == IMAGE_GOOD) {
            wrong = check_catching(v);
        }
        v->window += GROUPS;
    } while (wrong == IMAGE_GOOD && v->window * GROUP < v->length);
    return wrong;
}

/// All code ///

/* Functions follow each other as their records do, from the stubs to the end of the code. */
static enum image_fault check_functions(struct verifier *v) {
    const struct image_function *function = v->vm->functions, *before = NULL;
    enum image_fault wrong = IMAGE_GOOD;
    for (uint32_t left = v->vm->sections[IMAGE_FUNCTIONS].count; wrong == IMAGE_GOOD; left--, function++) {
        if (left != 0 && function->module == IMAGE_NONE) {
            continue;
        }
        const uint32_t end = left != 0 ? function->code : v->vm->sections[IMAGE_CODE].count;
        if (before == NULL ? end != VM_STUBS : end <= before->code) {
            v->at = v->vm->code + end;
            return IMAGE_FAULT_EXTENT;
        }
        if (before != NULL) {
            wrong = check_function(v, before, end);
        }
        if (left == 0) {
            break;
        }
        before = function;
    }
    if (wrong == IMAGE_GOOD && v->handler != v->vm->sections[IMAGE_HANDLERS].count) {
        wrong = IMAGE_FAULT_CATCH;
    }
    return wrong;
}

/* In words, where marks are not needed any more. */
static const char *place_of(struct verifier *v) {
    static const char before[] = "halfword ";
    char *text = (char *)v->marks + sizeof before + MOST_DIGITS;
    uint32_t place = (uint32_t)(v->at - v->vm->code);
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
    if (size < VERIFY_ROOM) {
        return IMAGE_FAULT_RAM;
    }
    memset(v, 0, offsetof(struct verifier, marks));
    v->vm = vm;
    const enum image_fault wrong = check_functions(v);
    if (wrong != IMAGE_GOOD) {
        *detail = place_of(v);
    }
    return wrong;
}
