/* Floating point that C operators do not give. Semantics: WebAssembly specification 4.3.3 and 4.3.4.
 *
 * Everything works on the bits of a number: so a library's notions of NaN and of the sign of zero play no part, and it
 * is smaller than the C library's functions, one for each rounding and width. */
#include "arithmetic.h"

#include "generated/isa.h"

uint32_t vm_popcnt32(uint32_t value) {
    value -= value >> 1 & 0x55555555u;
    value = (value & 0x33333333u) + (value >> 2 & 0x33333333u);
    return ((value + (value >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}

enum { FRACTION = 52, BIAS = 1023 };

/* A NaN becomes quiet, its other bits stay. The half that is added to what rounds to the nearest lacks its last bit
 * unless the last whole digit is odd. */
uint64_t vm_f64_round(uint64_t bits, enum vm_rounding rounding) {
    const uint64_t sign = bits & (uint64_t)1 << 63;
    const int exponent = (int)(bits << 1 >> (FRACTION + 1)) - BIAS;
    if (exponent >= FRACTION) {
        const bool nan = bits << 1 > (uint64_t)(2 * BIAS + 1) << (FRACTION + 1);
        return bits | (uint64_t)nan << (FRACTION - 1);
    }
    const bool away = rounding == (sign != 0 ? VM_FLOOR : VM_CEIL);
    if (exponent < 0) {
        const uint64_t half = (uint64_t)(BIAS - 1) << (FRACTION + 1);
        const uint64_t least = rounding == VM_NEAREST ? half : 0;
        const bool one = (away || rounding == VM_NEAREST) && bits << 1 > least;
        return sign | (one ? (uint64_t)BIAS << FRACTION : 0);
    }
    const uint64_t mask = ((uint64_t)1 << (FRACTION - exponent)) - 1;
    const uint64_t odd = bits >> (FRACTION - exponent) & 1;
    return (bits + (away ? mask : rounding == VM_NEAREST ? (mask >> 1) + odd : 0)) & ~mask;
}

#define F64_SIGN ((uint64_t)1 << 63)
#define F64_INFINITY ((uint64_t)0x7ff << 52)
#define F64_QUIET ((uint64_t)1 << 51)
#define F64_ONE_PLACE ((uint64_t)1 << 52)

/* Digit by digit: the root is built from its highest bit, `rest` is what is left of the number, doubled each time. One
 * digit more than an f64 holds says where to round; it never lies just in the middle. */
static uint64_t root_of(uint64_t rest) {
    uint64_t root = 0, twice = 0;
    for (uint64_t digit = F64_ONE_PLACE << 1; digit != 0; digit >>= 1, rest <<= 1) {
        const uint64_t step = twice + digit;
        if (step <= rest) {
            rest -= step;
            twice = step + digit;
            root += digit;
        }
    }
    return (root >> 1) + (root & 1);
}

uint64_t vm_f64_sqrt(uint64_t bits) {
    const uint64_t magnitude = bits & ~F64_SIGN;
    if (magnitude > F64_INFINITY) {
        return bits | F64_QUIET;
    }
    if (magnitude == 0 || bits == F64_INFINITY) {
        return bits;
    }
    if (bits != magnitude) {
        return F64_INFINITY | F64_QUIET;
    }
    int32_t exponent = (int32_t)(bits >> 52);
    uint64_t significand = (bits & (F64_ONE_PLACE - 1)) | (exponent != 0 ? F64_ONE_PLACE : 0);
    exponent += exponent == 0;
    for (; significand < F64_ONE_PLACE; exponent--) {
        significand <<= 1;
    }
    exponent -= 1023;
    const uint64_t root = root_of(significand << (1 + (exponent & 1)));
    return root + ((uint64_t)((exponent >> 1) + 1022) << 52);
}

/* Numbers of one sign are in the order of their bits, negative ones in the reverse. Zeros of both signs are in order
 * too: -0 is the lesser. */
#define LESSER(name, type, width, infinity, quiet)                                           \
    type name(type a, type b, bool inverted) {                                               \
        const type sign = (type)1 << (width - 1);                                            \
        if ((a & ~sign) > (infinity)) {                                                      \
            return a | (quiet);                                                              \
        }                                                                                    \
        if ((b & ~sign) > (infinity)) {                                                      \
            return b | (quiet);                                                              \
        }                                                                                    \
        const bool below = ((a & b & sign) != 0) != ((int##width##_t)a < (int##width##_t)b); \
        return below != inverted ? a : b;                                                    \
    }

LESSER(vm_f32_lesser, uint32_t, 32, 0x7f800000u, 0x400000u)
LESSER(vm_f64_lesser, uint64_t, 64, F64_INFINITY, F64_QUIET)

/* The saturated integer of `bits`, and the kind of trap of the form that does not saturate. */
static uint32_t truncate(uint64_t number, uint32_t bits, bool is_signed, uint64_t *result) {
    const bool negative = number >> 63 != 0;
    const int32_t exponent = (int32_t)(number >> 52 & 0x7ff) - 1023;
    const uint64_t significand = (number & (F64_ONE_PLACE - 1)) | F64_ONE_PLACE;
    const uint64_t all = UINT64_MAX >> (64 - bits);
    const uint64_t most = is_signed ? (all >> 1) + negative : negative ? 0 : all;
    uint64_t magnitude = 0;
    uint32_t kind = 0;
    if ((number & ~F64_SIGN) > F64_INFINITY) {
        *result = 0;
        return VM_TRAP_INVALID_CONVERSION;
    }
    if (exponent >= 0) {
        magnitude = exponent > 63 ? UINT64_MAX
                    : exponent > 52 ? significand << (exponent - 52) : significand >> (52 - exponent);
    }
    if (magnitude > most || exponent > 63) {
        magnitude = most;
        kind = VM_TRAP_INTEGER_OVERFLOW;
    }
    *result = negative ? -magnitude : magnitude;
    return kind;
}

static inline uint64_t pair(const uint32_t *slot) {
    return slot[0] | (uint64_t)slot[1] << 32;
}

static inline void set_pair(uint32_t *slot, uint64_t value) {
    slot[0] = (uint32_t)value;
    slot[1] = (uint32_t)(value >> 32);
}

uint32_t vm_truncated(uint32_t *frame, uint32_t places, uint32_t how) {
    const uint32_t *const from = &frame[places & 0xff];
    uint64_t result;
    const uint64_t number = (how & VM_FROM_f64) != 0 ? pair(from) : vm_f64_promote_f32(*from);
    const uint32_t kind = truncate(number, (how & VM_TO_i64) != 0 ? 64 : 32, (how & VM_SIGN_s) != 0, &result);
    frame[places >> 8] = (uint32_t)result;
    if ((how & VM_TO_i64) != 0) {
        frame[(places >> 8) + 1] = (uint32_t)(result >> 32);
    }
    return kind;
}

/* By the division of magnitudes, so that a core without one for 64 bits needs but one function. */
uint32_t vm_divided(uint32_t *frame, uint32_t places, uint32_t place, uint32_t how) {
    const uint64_t a = pair(&frame[places & 0xff]);
    const uint64_t b = pair(&frame[place]);
    const bool a_negative = (how & VM_SIGN_s) != 0 && a >> 63 != 0;
    const bool b_negative = (how & VM_SIGN_s) != 0 && b >> 63 != 0;
    if (b == 0) {
        return VM_TRAP_DIVIDE_BY_ZERO;
    }
    const uint64_t dividend = a_negative ? -a : a;
    const uint64_t divisor = b_negative ? -b : b;
    const uint64_t quotient = dividend / divisor;
    const uint64_t remainder = dividend % divisor;
    uint64_t result = quotient;
    bool negative = a_negative != b_negative;
    if ((how & VM_REMAINDER) != 0) {
        result = remainder;
        negative = a_negative;
    } else if (quotient >> 63 != 0 && a_negative && b_negative) {
        return VM_TRAP_INTEGER_OVERFLOW;
    }
    set_pair(&frame[places >> 8], negative ? -result : result);
    return 0;
}

typedef void (*any_function)(void);
#define FUNCTION(name) (any_function)vm_##name,
static const any_function functions[] = {ISA_FUNCTIONS(FUNCTION)};

uint32_t vm_apply(uint32_t *frame, const uint16_t *code) {
    const uint32_t opcode = code[0] >> 8;
    const any_function function = functions[opcode - ISA_FIRST_FUNCTION];
    uint32_t *const d = &frame[code[1] >> 8];
    const uint32_t *const a = &frame[code[1] & 0xff];
    if (opcode < ISA_FIRST_I32_I64) {
        *d = ((uint32_t(*)(uint32_t))function)(*a);
    } else if (opcode < ISA_FIRST_I64_I32) {
        *d = ((uint32_t(*)(uint64_t))function)(pair(a));
    } else if (opcode < ISA_FIRST_I64_I64) {
        set_pair(d, ((uint64_t(*)(uint32_t))function)(*a));
    } else if (opcode < ISA_FIRST_I32_I32_I32) {
        set_pair(d, ((uint64_t(*)(uint64_t))function)(pair(a)));
    } else {
        const uint32_t *const b = &frame[code[2]];
        if (opcode < ISA_FIRST_I64_I64_I64) {
            *d = ((uint32_t(*)(uint32_t, uint32_t))function)(*a, *b);
        } else {
            set_pair(d, ((uint64_t(*)(uint64_t, uint64_t))function)(pair(a), pair(b)));
        }
        return 3;
    }
    return 2;
}
