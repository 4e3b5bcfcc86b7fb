(module
  (type $t3 (func (param i64 i32 f32 f64 i32) (result i32)))
  (func $f2 (type $t3)         (local $l14 i32)
    (local.set $l14 (i32.trunc_sat_f64_u (local.get 3)))
    (local.get $l14))
  (func (export "run2") (param i64 i32 i32 i64 i32) (result i32) (local $r0 i32)
     (call $f2 (local.get 0) (local.get 1) (f32.reinterpret_i32 (local.get 2)) (f64.const 0) (local.get 4)) (local.set $r0) (local.get $r0))
  )
(assert_return (invoke "run2" (i64.const 63) (i32.const 65535) (i32.const 1132462080) (i64.const -4503599627370498) (i32.const 161)) (i32.const 0))
