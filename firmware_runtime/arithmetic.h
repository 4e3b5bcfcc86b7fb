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

static inline uint32_t vm_clz32(uint32_t value) {
    return value == 0 ? 32 : (uint32_t)__builtin_clz(value);
}

static inline uint32_t vm_ctz32(uint32_t value) {
    return value == 0 ? 32 : (uint32_t)__builtin_ctz(value);
}

static inline uint32_t vm_popcnt32(uint32_t value) {
    value -= value >> 1 & 0x55555555u;
    value = (value & 0x33333333u) + (value >> 2 & 0x33333333u);
    return ((value + (value >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}

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

uint32_t vm_f32_round(uint32_t bits, enum vm_rounding rounding);
uint64_t vm_f64_round(uint64_t bits, enum vm_rounding rounding);

#define VM_ROUNDING(name, rounding)                              \
    static inline float vm_f32_##name(float value) {             \
        return vm_f32_of(vm_f32_round(vm_f32_bits(value), rounding)); \
    }                                                            \
    static inline double vm_f64_##name(double value) {           \
        return vm_f64_of(vm_f64_round(vm_f64_bits(value), rounding)); \
    }

VM_ROUNDING(ceil, VM_CEIL)
VM_ROUNDING(floor, VM_FLOOR)
VM_ROUNDING(trunc, VM_TRUNC)
VM_ROUNDING(nearest, VM_NEAREST)

uint64_t vm_f64_root(uint64_t bits);

static inline double vm_f64_sqrt(double value) {
    return vm_f64_of(vm_f64_root(vm_f64_bits(value)));
}

/* An f64 has more than twice the bits of an f32, so its root, rounded again, is the root rounded once. */
static inline float vm_f32_sqrt(float value) {
#if defined(__ARM_FP) && __ARM_FP & 4
    float root;
    __asm("vsqrt.f32 %0, %1" : "=t"(root) : "t"(value));
    return root;
#else
    return (float)vm_f64_sqrt(value);
#endif
}

/* The lesser of two, the greater, with the bits of both inverted. */
uint32_t vm_f32_lesser(uint32_t a, uint32_t b, uint32_t inverted);
uint64_t vm_f64_lesser(uint64_t a, uint64_t b, uint64_t inverted);

static inline float vm_f32_min(float a, float b) {
    return vm_f32_of(vm_f32_lesser(vm_f32_bits(a), vm_f32_bits(b), 0));
}

static inline float vm_f32_max(float a, float b) {
    return vm_f32_of(vm_f32_lesser(vm_f32_bits(a), vm_f32_bits(b), UINT32_MAX));
}

static inline double vm_f64_min(double a, double b) {
    return vm_f64_of(vm_f64_lesser(vm_f64_bits(a), vm_f64_bits(b), 0));
}

static inline double vm_f64_max(double a, double b) {
    return vm_f64_of(vm_f64_lesser(vm_f64_bits(a), vm_f64_bits(b), UINT64_MAX));
}

/* Float to integer: stores the saturated result and returns 0 or the kind of trap that the plain form raises. `bits`
 * is the integer's size. */
uint32_t vm_truncate(double value, uint32_t bits, bool is_signed, uint64_t *result);

#define VM_TRUNCATION(name, type, bits, is_signed)                            \
    static inline uint32_t vm_##name(type value, uint##bits##_t *result) {    \
        uint64_t wide;                                                        \
        const uint32_t kind = vm_truncate(value, bits, is_signed, &wide);     \
        *result = (uint##bits##_t)wide;                                       \
        return kind;                                                          \
    }

VM_TRUNCATION(i32_trunc_f32_s, float, 32, true)
VM_TRUNCATION(i32_trunc_f32_u, float, 32, false)
VM_TRUNCATION(i32_trunc_f64_s, double, 32, true)
VM_TRUNCATION(i32_trunc_f64_u, double, 32, false)
VM_TRUNCATION(i64_trunc_f32_s, float, 64, true)
VM_TRUNCATION(i64_trunc_f32_u, float, 64, false)
VM_TRUNCATION(i64_trunc_f64_s, double, 64, true)
VM_TRUNCATION(i64_trunc_f64_u, double, 64, false)

#endif
