/* Floating point that C operators do not give. Semantics: WebAssembly specification 4.3.3 and 4.3.4.
 *
 * Rounding and square roots come from the C library (one instruction where the FPU has it); what differs between
 * libraries, NaN and the sign of zero, is settled here. */
#include "arithmetic.h"

#include <math.h>

#include "generated/isa.h"

/* a + b is quiet when either is NaN. */
#define ROUNDING(name, function32, function64)         \
    float vm_f32_##name(float value) {                 \
        return value != value ? value + value : function32(value); \
    }                                                  \
    double vm_f64_##name(double value) {               \
        return value != value ? value + value : function64(value); \
    }

ROUNDING(ceil, ceilf, ceil)
ROUNDING(floor, floorf, floor)
ROUNDING(trunc, truncf, trunc)
ROUNDING(nearest, rintf, rint)
ROUNDING(sqrt, sqrtf, sqrt)

/* Equal operands may be zeros of either sign: the sign bits decide between them. */
#define EXTREME(type, bits_type, prefix)                                  \
    static bits_type prefix##_bits(type value) {                          \
        bits_type bits;                                                   \
        memcpy(&bits, &value, sizeof bits);                               \
        return bits;                                                      \
    }                                                                     \
    static type prefix##_of(bits_type bits) {                             \
        type value;                                                       \
        memcpy(&value, &bits, sizeof value);                              \
        return value;                                                     \
    }                                                                     \
    type prefix##_min(type a, type b) {                                   \
        if (a != a || b != b) {                                           \
            return a + b;                                                 \
        }                                                                 \
        return a == b ? prefix##_of(prefix##_bits(a) | prefix##_bits(b)) : a < b ? a : b; \
    }                                                                     \
    type prefix##_max(type a, type b) {                                   \
        if (a != a || b != b) {                                           \
            return a + b;                                                 \
        }                                                                 \
        return a == b ? prefix##_of(prefix##_bits(a) & prefix##_bits(b)) : a > b ? a : b; \
    }

EXTREME(float, uint32_t, vm_f32)
EXTREME(double, uint64_t, vm_f64)

/* `low` and `high` are the nearest values of the float type outside the integer's range on either side. */
#define TRUNCATION(name, type, integer, result_type, low, below, high, above, minimum, maximum) \
    uint32_t vm_##name(type value, result_type *result) {                  \
        if (value != value) {                                              \
            *result = 0;                                                   \
            return VM_TRAP_INVALID_CONVERSION;                             \
        }                                                                  \
        if (value below low) {                                             \
            *result = (result_type)minimum;                                \
            return VM_TRAP_INTEGER_OVERFLOW;                               \
        }                                                                  \
        if (value above high) {                                            \
            *result = (result_type)maximum;                                \
            return VM_TRAP_INTEGER_OVERFLOW;                               \
        }                                                                  \
        *result = (result_type)(integer)value;                             \
        return 0;                                                          \
    }

TRUNCATION(i32_trunc_f32_s, float, int32_t, uint32_t, -0x1p31f, <, 0x1p31f, >=, INT32_MIN, INT32_MAX)
TRUNCATION(i32_trunc_f32_u, float, uint32_t, uint32_t, -1.0f, <=, 0x1p32f, >=, 0, UINT32_MAX)
TRUNCATION(i32_trunc_f64_s, double, int32_t, uint32_t, -0x1.00000002p31, <=, 0x1p31, >=, INT32_MIN, INT32_MAX)
TRUNCATION(i32_trunc_f64_u, double, uint32_t, uint32_t, -1.0, <=, 0x1p32, >=, 0, UINT32_MAX)
TRUNCATION(i64_trunc_f32_s, float, int64_t, uint64_t, -0x1p63f, <, 0x1p63f, >=, INT64_MIN, INT64_MAX)
TRUNCATION(i64_trunc_f32_u, float, uint64_t, uint64_t, -1.0f, <=, 0x1p64f, >=, 0, UINT64_MAX)
TRUNCATION(i64_trunc_f64_s, double, int64_t, uint64_t, -0x1p63, <, 0x1p63, >=, INT64_MIN, INT64_MAX)
TRUNCATION(i64_trunc_f64_u, double, uint64_t, uint64_t, -1.0, <=, 0x1p64, >=, 0, UINT64_MAX)
