/* Arithmetic of WebAssembly that C has no operator for. Semantics: WebAssembly specification 4.3. */
#ifndef ARITHMETIC_H
#define ARITHMETIC_H

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

float vm_f32_ceil(float value);
float vm_f32_floor(float value);
float vm_f32_trunc(float value);
float vm_f32_nearest(float value);
float vm_f32_sqrt(float value);
float vm_f32_min(float a, float b);
float vm_f32_max(float a, float b);
double vm_f64_ceil(double value);
double vm_f64_floor(double value);
double vm_f64_trunc(double value);
double vm_f64_nearest(double value);
double vm_f64_sqrt(double value);
double vm_f64_min(double a, double b);
double vm_f64_max(double a, double b);

/* Float to integer: stores the saturated result and returns 0 or the kind of trap that the plain form raises. */
uint32_t vm_i32_trunc_f32_s(float value, uint32_t *result);
uint32_t vm_i32_trunc_f32_u(float value, uint32_t *result);
uint32_t vm_i32_trunc_f64_s(double value, uint32_t *result);
uint32_t vm_i32_trunc_f64_u(double value, uint32_t *result);
uint32_t vm_i64_trunc_f32_s(float value, uint64_t *result);
uint32_t vm_i64_trunc_f32_u(float value, uint64_t *result);
uint32_t vm_i64_trunc_f64_s(double value, uint64_t *result);
uint32_t vm_i64_trunc_f64_u(double value, uint64_t *result);

#endif
