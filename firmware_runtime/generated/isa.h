/* Made by mcutool/generate.py from mcutool/isa.py; do not edit. */
#ifndef ISA_H
#define ISA_H

#define ISA_VERSION 1
#define ISA_ESCAPE 0xff
#define VM_LINK_SLOTS 2
#define VM_CROSS_LINK_SLOTS 5

enum vm_trap {
    VM_TRAP_NONE = 0,
    VM_TRAP_UNREACHABLE = 1,
    VM_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
    VM_TRAP_NOT_BACKED = 3,
    VM_TRAP_DIVIDE_BY_ZERO = 4,
    VM_TRAP_INTEGER_OVERFLOW = 5,
    VM_TRAP_INVALID_CONVERSION = 6,
    VM_TRAP_TABLE_OUT_OF_BOUNDS = 7,
    VM_TRAP_UNDEFINED_ELEMENT = 8,
    VM_TRAP_UNINITIALIZED_ELEMENT = 9,
    VM_TRAP_INDIRECT_CALL_TYPE_MISMATCH = 10,
    VM_TRAP_STACK_EXHAUSTED = 11,
    VM_TRAP_EXIT = 12,
    VM_TRAP_STOPPED = 13,
    VM_TRAP_READ_ONLY = 14,
    VM_TRAP_ILLEGAL_INSTRUCTION = 15,
    VM_TRAP_NULL_REFERENCE = 16,
    VM_TRAP_NULL_FUNCTION_REFERENCE = 17,
    VM_TRAP_UNCAUGHT_EXCEPTION = 18,
    VM_TRAP_EXCEPTIONS_EXHAUSTED = 19,
    VM_TRAP_FUEL_USED_UP = 20,
};

/* Parts that a firmware may be built without: -DVM_WITH_NAME=0. Bits as in an image's header. */
#ifndef VM_WITH_TAIL_CALLS
#define VM_WITH_TAIL_CALLS 1
#endif
#if VM_WITH_TAIL_CALLS
#define ISA_TAIL_CALLS(X) X(tail_call, 0x29) X(tail_call_indirect, 0x2a) X(tail_call_ref, 0x2c) X(leave_tail, 0x2d)
#else
#define ISA_TAIL_CALLS(X)
#endif
#ifndef VM_WITH_TYPED_REFERENCES
#define VM_WITH_TYPED_REFERENCES 1
#endif
#if VM_WITH_TYPED_REFERENCES
#define ISA_TYPED_REFERENCES(X) X(call_ref, 0x2b)
#else
#define ISA_TYPED_REFERENCES(X)
#endif
#ifndef VM_WITH_MULTIPLE_MEMORIES
#define VM_WITH_MULTIPLE_MEMORIES 1
#endif
#if VM_WITH_MULTIPLE_MEMORIES
#define ISA_MULTIPLE_MEMORIES(X) X(memory_use, 0x2e) X(memory_copy_between, 0x2f)
#else
#define ISA_MULTIPLE_MEMORIES(X)
#endif
#ifndef VM_WITH_EXCEPTIONS
#define VM_WITH_EXCEPTIONS 1
#endif
#if VM_WITH_EXCEPTIONS
#define ISA_EXCEPTIONS(X) X(throw, 0x30) X(throw_ref, 0x31)
#else
#define ISA_EXCEPTIONS(X)
#endif
#define VM_FEATURES (VM_WITH_TAIL_CALLS * 1 + VM_WITH_TYPED_REFERENCES * 2 + VM_WITH_MULTIPLE_MEMORIES * 4 + VM_WITH_EXCEPTIONS * 8)

/* name, opcode: Armv7-M has handlers in assembly; nothing is called */
#define ISA_PLAIN(X) \
    X(halt, 0x01) \
    X(trap, 0x03) \
    X(return, 0x04) \
    X(br, 0x05) \
    X(br_wide, 0x06) \
    X(br_const, 0x07) \
    X(br_copy, 0x08) \
    X(br_if_short, 0x09) \
    X(br_unless_short, 0x0a) \
    X(br_if, 0x0b) \
    X(br_unless, 0x0c) \
    X(br_table, 0x0d) \
    X(call, 0x0e) \
    X(copy_short, 0x12) \
    X(copy, 0x13) \
    X(copy64, 0x14) \
    X(const_short, 0x15) \
    X(i32_const, 0x16) \
    X(i32_const_wide, 0x17) \
    X(i64_const, 0x18) \
    X(slot_load, 0x19) \
    X(slot_store, 0x1a) \
    X(i32_select, 0x1b) \
    X(i32_move_if, 0x1c) \
    X(i32_move_unless, 0x1d) \
    X(i64_select, 0x1e) \
    X(global_get, 0x1f) \
    X(global_set, 0x20) \
    X(global_get64, 0x21) \
    X(global_set64, 0x22) \
    X(i32_add_short, 0x23) \
    X(i32_sub_short, 0x24) \
    X(i32_mul_short, 0x25) \
    X(i32_and_short, 0x26) \
    X(i32_or_short, 0x27) \
    X(i32_xor_short, 0x28) \
    X(i32_add_imm_short, 0x29) \
    X(i32_and_imm_short, 0x2a) \
    X(i32_shl_imm_short, 0x2b) \
    X(i32_shr_u_imm_short, 0x2c) \
    X(i32_extend8_u_short, 0x2d) \
    X(i32_add, 0x2e) \
    X(i32_sub, 0x2f) \
    X(i32_mul, 0x30) \
    X(i32_and, 0x31) \
    X(i32_or, 0x32) \
    X(i32_xor, 0x33) \
    X(i32_shl, 0x34) \
    X(i32_shr_s, 0x35) \
    X(i32_shr_u, 0x36) \
    X(i32_rotl, 0x37) \
    X(i32_rotr, 0x38) \
    X(i32_eq, 0x3b) \
    X(i32_ne, 0x3c) \
    X(i32_lt_s, 0x3d) \
    X(i32_lt_u, 0x3e) \
    X(i32_le_s, 0x3f) \
    X(i32_le_u, 0x40) \
    X(i32_add_imm, 0x43) \
    X(i32_add_imm_wide, 0x44) \
    X(i32_mul_imm, 0x45) \
    X(i32_and_imm, 0x46) \
    X(i32_or_imm, 0x47) \
    X(i32_xor_imm, 0x48) \
    X(i32_sub_from_imm, 0x49) \
    X(i32_shl_imm, 0x4a) \
    X(i32_shr_s_imm, 0x4b) \
    X(i32_shr_u_imm, 0x4c) \
    X(i32_rotl_imm, 0x4d) \
    X(i32_eq_imm, 0x4e) \
    X(i32_ne_imm, 0x4f) \
    X(i32_lt_s_imm, 0x50) \
    X(i32_lt_u_imm, 0x51) \
    X(i32_gt_s_imm, 0x52) \
    X(i32_gt_u_imm, 0x53) \
    X(i32_extend8_s, 0x56) \
    X(i32_extend16_s, 0x57) \
    X(i32_extend8_u, 0x58) \
    X(i32_extend16_u, 0x59) \
    X(i32_mul_add, 0x5a) \
    X(i32_mul_imm_add, 0x5b) \
    X(i32_add_br_nz, 0x5c) \
    X(i32_add_br_ne, 0x5d) \
    X(i32_add_br_ne_imm, 0x5e) \
    X(br_i32_eq, 0x5f) \
    X(br_i32_ne, 0x60) \
    X(br_i32_lt_s, 0x61) \
    X(br_i32_lt_u, 0x62) \
    X(br_i32_ge_s, 0x63) \
    X(br_i32_ge_u, 0x64) \
    X(br_i32_eq_imm, 0x65) \
    X(br_i32_ne_imm, 0x66) \
    X(br_i32_lt_s_imm, 0x67) \
    X(br_i32_lt_u_imm, 0x68) \
    X(br_i32_ge_s_imm, 0x69) \
    X(br_i32_ge_u_imm, 0x6a) \
    X(br_i32_any_imm, 0x6b) \
    X(br_i32_none_imm, 0x6c) \
    X(br_i64_eq, 0x6d) \
    X(br_i64_ne, 0x6e) \
    X(br_i64_lt_s, 0x6f) \
    X(br_i64_lt_u, 0x70) \
    X(br_i64_ge_s, 0x71) \
    X(br_i64_ge_u, 0x72) \
    X(i32_load, 0x73) \
    X(i32_load8_s, 0x74) \
    X(i32_load8_u, 0x75) \
    X(i32_load16_s, 0x76) \
    X(i32_load16_u, 0x77) \
    X(i64_load, 0x78) \
    X(i32_store, 0x79) \
    X(i32_store8, 0x7a) \
    X(i32_store16, 0x7b) \
    X(i64_store, 0x7c) \
    X(i32_load_wide, 0x7d) \
    X(i32_load8_s_wide, 0x7e) \
    X(i32_load8_u_wide, 0x7f) \
    X(i32_load16_s_wide, 0x80) \
    X(i32_load16_u_wide, 0x81) \
    X(i64_load_wide, 0x82) \
    X(i32_store_wide, 0x83) \
    X(i32_store8_wide, 0x84) \
    X(i32_store16_wide, 0x85) \
    X(i64_store_wide, 0x86) \
    X(i32_load_sum, 0x87) \
    X(i32_load8_s_sum, 0x88) \
    X(i32_load8_u_sum, 0x89) \
    X(i32_load16_s_sum, 0x8a) \
    X(i32_load16_u_sum, 0x8b) \
    X(i64_load_sum, 0x8c) \
    X(i32_store_sum, 0x8d) \
    X(i32_store8_sum, 0x8e) \
    X(i32_store16_sum, 0x8f) \
    X(i64_store_sum, 0x90) \
    X(i32_load_near, 0x91) \
    X(i32_load8_s_near, 0x92) \
    X(i32_load8_u_near, 0x93) \
    X(i32_load16_s_near, 0x94) \
    X(i32_load16_u_near, 0x95) \
    X(i64_load_near, 0x96) \
    X(i32_store_near, 0x97) \
    X(i32_store8_near, 0x98) \
    X(i32_store16_near, 0x99) \
    X(i64_store_near, 0x9a) \
    X(i32_load_scaled, 0x9b) \
    X(i32_load16_s_scaled, 0x9c) \
    X(i32_load16_u_scaled, 0x9d) \
    X(i64_load_scaled, 0x9e) \
    X(i32_store_scaled, 0x9f) \
    X(i32_store16_scaled, 0xa0) \
    X(i64_store_scaled, 0xa1) \
    X(i32_load_at, 0xa2) \
    X(i32_load8_u_at, 0xa3) \
    X(i32_load16_u_at, 0xa4) \
    X(i64_load_at, 0xa5) \
    X(i32_store_at, 0xa6) \
    X(i32_store8_at, 0xa7) \
    X(i32_store16_at, 0xa8) \
    X(i64_store_at, 0xa9) \
    X(i32_load_near_wide, 0xaa) \
    X(i32_load8_u_near_wide, 0xab) \
    X(i32_load16_u_near_wide, 0xac) \
    X(i32_store_near_wide, 0xad) \
    X(i32_store8_near_wide, 0xae) \
    X(i32_store16_near_wide, 0xaf) \
    X(i32_load_short, 0xb0) \
    X(i32_load8_u_short, 0xb1) \
    X(i32_store_short, 0xb2) \
    X(i32_store8_short, 0xb3) \
    X(i64_add, 0xb4) \
    X(i64_sub, 0xb5) \
    X(i64_and, 0xb6) \
    X(i64_or, 0xb7) \
    X(i64_xor, 0xb8) \
    X(i64_add_imm, 0xbd) \
    X(i64_and_imm, 0xbe) \
    X(i64_eq, 0xc2) \
    X(i64_ne, 0xc3) \
    X(i64_lt_s, 0xc4) \
    X(i64_lt_u, 0xc5) \
    X(i64_le_s, 0xc6) \
    X(i64_le_u, 0xc7) \
    X(i64_eqz, 0xc8) \
    X(i64_extend_i32_s, 0xc9) \
    X(i64_extend_i32_u, 0xca)

/* name, opcode: Armv7-M has handlers in assembly; functions are called where they are C */
#define ISA_CALLING(X) \
    X(i32_div_s, 0x39) \
    X(i32_div_u, 0x3a) \
    X(i32_rem_s, 0x41) \
    X(i32_rem_u, 0x42) \
    X(i32_clz, 0x54) \
    X(i32_ctz, 0x55) \
    X(i64_mul, 0xb9) \
    X(i64_shl, 0xba) \
    X(i64_shr_s, 0xbb) \
    X(i64_shr_u, 0xbc) \
    X(i64_shl_imm, 0xbf) \
    X(i64_shr_s_imm, 0xc0) \
    X(i64_shr_u_imm, 0xc1) \
    X(f64_add, 0xd7) \
    X(f64_sub, 0xd8) \
    X(f64_mul, 0xd9) \
    X(f64_div, 0xda) \
    X(f64_eq, 0xdb) \
    X(f64_ne, 0xdc) \
    X(f64_lt, 0xdd) \
    X(f64_le, 0xde)

/* name, opcode: Armv7-M with FPU has handlers in assembly; functions are called elsewhere */
#define ISA_FLOAT(X) \
    X(f32_add_short, 0xcb) \
    X(f32_sub_short, 0xcc) \
    X(f32_mul_short, 0xcd) \
    X(f32_mul_add, 0xce) \
    X(f32_add, 0xcf) \
    X(f32_sub, 0xd0) \
    X(f32_mul, 0xd1) \
    X(f32_div, 0xd2) \
    X(f32_eq, 0xd3) \
    X(f32_ne, 0xd4) \
    X(f32_lt, 0xd5) \
    X(f32_le, 0xd6) \
    X(f32_abs, 0xdf) \
    X(f32_neg, 0xe0) \
    X(f32_sqrt, 0xe1) \
    X(f32_min, 0xe2) \
    X(f32_max, 0xe3) \
    X(f32_convert_i32_s, 0xe4) \
    X(f32_convert_i32_u, 0xe5)

/* name, opcode: functions are called everywhere */
#define ISA_CALLED(X) \
    X(leave_cross, 0x02) \
    X(call_host, 0x0f) \
    X(call_cross, 0x10) \
    X(call_indirect, 0x11)

/* name, opcode: the escape page */
#define ISA_ESCAPED(X) \
    X(br_far, 0x01) \
    X(call_wide, 0x02) \
    X(call_host_wide, 0x03) \
    X(call_cross_wide, 0x04) \
    X(call_indirect_wide, 0x05) \
    X(address_add, 0x06) \
    X(memory_size, 0x07) \
    X(memory_grow, 0x08) \
    X(memory_fill, 0x09) \
    X(memory_copy, 0x0a) \
    X(memory_init, 0x0b) \
    X(data_drop, 0x0c) \
    X(table_get, 0x0d) \
    X(table_set, 0x0e) \
    X(table_size, 0x0f) \
    X(table_grow, 0x10) \
    X(table_fill, 0x11) \
    X(table_copy, 0x12) \
    X(table_init, 0x13) \
    X(elem_drop, 0x14) \
    X(i64_div_s, 0x15) \
    X(i64_div_u, 0x16) \
    X(i64_rem_s, 0x17) \
    X(i64_rem_u, 0x18) \
    X(i32_trunc_f32_s, 0x19) \
    X(i32_trunc_sat_f32_s, 0x1a) \
    X(i32_trunc_f32_u, 0x1b) \
    X(i32_trunc_sat_f32_u, 0x1c) \
    X(i32_trunc_f64_s, 0x1d) \
    X(i32_trunc_sat_f64_s, 0x1e) \
    X(i32_trunc_f64_u, 0x1f) \
    X(i32_trunc_sat_f64_u, 0x20) \
    X(i64_trunc_f32_s, 0x21) \
    X(i64_trunc_sat_f32_s, 0x22) \
    X(i64_trunc_f32_u, 0x23) \
    X(i64_trunc_sat_f32_u, 0x24) \
    X(i64_trunc_f64_s, 0x25) \
    X(i64_trunc_sat_f64_s, 0x26) \
    X(i64_trunc_f64_u, 0x27) \
    X(i64_trunc_sat_f64_u, 0x28) \
    ISA_TAIL_CALLS(X) \
    ISA_TYPED_REFERENCES(X) \
    ISA_MULTIPLE_MEMORIES(X) \
    ISA_EXCEPTIONS(X)

/* the end of the escape page */
#define ISA_FUNCTIONS(X) \
    X(popcnt32) \
    X(f32_ceil) \
    X(f32_floor) \
    X(f32_trunc) \
    X(f32_nearest) \
    X(f32_convert_i64_s) \
    X(f32_convert_i64_u) \
    X(f32_demote_f64) \
    X(f64_convert_i32_s) \
    X(f64_convert_i32_u) \
    X(f64_promote_f32) \
    X(clz64) \
    X(ctz64) \
    X(popcnt64) \
    X(extend8) \
    X(extend16) \
    X(extend32) \
    X(f64_abs) \
    X(f64_neg) \
    X(f64_ceil) \
    X(f64_floor) \
    X(f64_trunc) \
    X(f64_nearest) \
    X(f64_sqrt) \
    X(f64_convert_i64_s) \
    X(f64_convert_i64_u) \
    X(f32_copysign) \
    X(rotl64) \
    X(rotr64) \
    X(f64_copysign) \
    X(f64_min) \
    X(f64_max)
#define ISA_FIRST_FUNCTION 50u
#define ISA_FIRST_I32_I64 55u
#define ISA_FIRST_I64_I32 58u
#define ISA_FIRST_I64_I64 61u
#define ISA_FIRST_I32_I32_I32 76u
#define ISA_FIRST_I64_I64_I64 77u
#define ISA_ESCAPED_ROWS 82u
#define OP_HALT 0x01
#define OP_LEAVE_CROSS 0x02
#define OP_LEAVE_TAIL 0x2dff

#endif
