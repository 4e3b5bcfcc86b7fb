/* Arithmetic of WebAssembly that C has no operator for. Semantics: WebAssembly specification 4.3. */
#ifndef ARITHMETIC_H
#define ARITHMETIC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t vm_rotl32(uint32_t value, uint32_t count) {
    return value << (count & 31) | value >> (-count & 31);
}

static inline uint64_t vm_rotl64(uint64_t value, uint64_t count) {
    return value << (count & 63) | value >> (-count & 63);
}

static inline uint64_t vm_rotr64(uint64_t value, uint64_t count) {
    return vm_rotl64(value, -count);
}

static inline uint64_t vm_extend8(uint64_t value) {
    return (uint64_t)(int64_t)(int8_t)value;
}

static inline uint64_t vm_extend16(uint64_t value) {
    return (uint64_t)(int64_t)(int16_t)value;
}

static inline uint64_t vm_extend32(uint64_t value) {
    return (uint64_t)(int64_t)(int32_t)value;
}

static inline uint32_t vm_clz32(uint32_t value) {
    return value == 0 ? 32 : (uint32_t)__builtin_clz(value);
}

static inline uint32_t vm_ctz32(uint32_t value) {
    return value == 0 ? 32 : (uint32_t)__builtin_ctz(value);
}

uint32_t vm_popcnt32(uint32_t value);

static inline uint64_t vm_clz64(uint64_t value) {
    const uint32_t high = (uint32_t)(value >> 32);
    return high != 0 ? vm_clz32(high) : 32 + vm_clz32((uint32_t)value);
}

static inline uint64_t vm_ctz64(uint64_t value) {
    const uint32_t low = (uint32_t)value;
    return low != 0 ? vm_ctz32(low) : 32 + vm_ctz32((uint32_t)(value >> 32));
}

static inline uint64_t vm_popcnt64(uint64_t value) {
    return vm_popcnt32((uint32_t)value) + vm_popcnt32((uint32_t)(value >> 32));
}

/* Linear memory is not aligned; where the core allows it these are single instructions. */
struct vm_unaligned16 {
    uint16_t value;
} __attribute__((packed, may_alias));
struct vm_unaligned32 {
    uint32_t value;
} __attribute__((packed, may_alias));

static inline uint16_t vm_read16(const uint8_t *p) {
    return ((const struct vm_unaligned16 *)p)->value;
}

static inline uint32_t vm_read32(const uint8_t *p) {
    return ((const struct vm_unaligned32 *)p)->value;
}

static inline uint64_t vm_read64(const uint8_t *p) {
    return vm_read32(p) | (uint64_t)vm_read32(p + 4) << 32;
}

static inline void vm_write16(uint8_t *p, uint16_t value) {
    ((struct vm_unaligned16 *)p)->value = value;
}

static inline void vm_write32(uint8_t *p, uint32_t value) {
    ((struct vm_unaligned32 *)p)->value = value;
}

static inline void vm_write64(uint8_t *p, uint64_t value) {
    vm_write32(p, (uint32_t)value);
    vm_write32(p + 4, (uint32_t)(value >> 32));
}

/// Floating point ///

static inline uint32_t vm_f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float vm_f32_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t vm_f64_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double vm_f64_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

enum vm_rounding { VM_CEIL, VM_FLOOR, VM_TRUNC, VM_NEAREST };

#define VM_SIGNS(name, type, sign)                                 \
    static inline type vm_##name##_abs(type bits) {                \
        return bits & ~(sign);                                     \
    }                                                              \
    static inline type vm_##name##_neg(type bits) {                \
        return bits ^ (sign);                                      \
    }                                                              \
    static inline type vm_##name##_copysign(type bits, type from) { \
        return (bits & ~(sign)) | (from & (sign));                 \
    }

VM_SIGNS(f32, uint32_t, (uint32_t)1 << 31)
VM_SIGNS(f64, uint64_t, (uint64_t)1 << 63)

static inline uint32_t vm_f32_demote_f64(uint64_t bits) {
    return vm_f32_bits((float)vm_f64_of(bits));
}

static inline uint64_t vm_f64_promote_f32(uint32_t bits) {
    return vm_f64_bits((double)vm_f32_of(bits));
}

/* An f32 is rounded as an f64, which holds it and what it is rounded to. */
uint64_t vm_f64_round(uint64_t bits, enum vm_rounding rounding);

#define VM_ROUNDING(name, rounding)                                          \
    static inline uint64_t vm_f64_##name(uint64_t bits) {                    \
        return vm_f64_round(bits, rounding);                                 \
    }                                                                        \
    static inline uint32_t vm_f32_##name(uint32_t bits) {                    \
        return vm_f32_demote_f64(vm_f64_##name(vm_f64_promote_f32(bits)));   \
    }

VM_ROUNDING(ceil, VM_CEIL)
VM_ROUNDING(floor, VM_FLOOR)
VM_ROUNDING(trunc, VM_TRUNC)
VM_ROUNDING(nearest, VM_NEAREST)

uint64_t vm_f64_sqrt(uint64_t bits);

/* An f64 has more than twice the bits of an f32, so its root, rounded again, is the root rounded once. */
static inline uint32_t vm_f32_sqrt(uint32_t bits) {
#if defined(__ARM_FP) && __ARM_FP & 4
    float root;
    __asm("vsqrt.f32 %0, %1" : "=t"(root) : "t"(vm_f32_of(bits)));
    return vm_f32_bits(root);
#else
    return vm_f32_demote_f64(vm_f64_sqrt(vm_f64_promote_f32(bits)));
#endif
}

/* The lesser of two, or the greater; the first NaN, made quiet. */
uint32_t vm_f32_lesser(uint32_t a, uint32_t b, bool inverted);
uint64_t vm_f64_lesser(uint64_t a, uint64_t b, bool inverted);

#define VM_CHOICE(name, type)                                         \
    static inline type vm_##name##_min(type a, type b) {              \
        return vm_##name##_lesser(a, b, false);                       \
    }                                                                 \
    static inline type vm_##name##_max(type a, type b) {              \
        return vm_##name##_lesser(a, b, true);                        \
    }

VM_CHOICE(f32, uint32_t)
VM_CHOICE(f64, uint64_t)

#define VM_CONVERSION(name, type, integer)                                 \
    static inline uint32_t vm_f32_convert_##name(type bits) {           \
        return vm_f32_bits((float)(integer)bits);                       \
    }                                                                   \
    static inline uint64_t vm_f64_convert_##name(type bits) {           \
        return vm_f64_bits((double)(integer)bits);                      \
    }

VM_CONVERSION(i32_s, uint32_t, int32_t)
VM_CONVERSION(i32_u, uint32_t, uint32_t)
VM_CONVERSION(i64_s, uint64_t, int64_t)
VM_CONVERSION(i64_u, uint64_t, uint64_t)

/// What handlers share ///

/* An instruction of the escape page that is a function of its operands: gives its length in halfwords. */
uint32_t vm_apply(uint32_t *frame, const uint16_t *code);

/* Slots of the frame: the result's in the upper eight bits of `places`, the operand's in the lower. */

/* Float to integer: puts the saturated result away; gives 0, or the kind of trap that the plain form raises. */
enum { VM_FROM_f32 = 0, VM_FROM_f64 = 1, VM_TO_i32 = 0, VM_TO_i64 = 2, VM_SIGN_u = 0, VM_SIGN_s = 4, VM_REMAINDER = 8 };
uint32_t vm_truncated(uint32_t *frame, uint32_t places, uint32_t how);
/* The quotient of 64 bits, or the remainder; gives 0, or a kind of trap. */
uint32_t vm_divided(uint32_t *frame, uint32_t places, uint32_t place, uint32_t how);

#endif
