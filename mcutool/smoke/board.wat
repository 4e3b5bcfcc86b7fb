;; What the board offers to a module: its clock, its light, its console, and an end with a status.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "mcu" "led_set" (func $led (param i32) (result i32)))
  (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (memory 0x200 0x200 (pagesize 1))
  ;; Nanoseconds since the board's reset; -1 when the clock refuses.
  (func $nanoseconds (export "nanoseconds") (result i64)
    (if (call $clock (i32.const 1) (i64.const 1) (i32.const 0)) (then (return (i64.const -1))))
    (i64.load (i32.const 0)))
  (func (export "led") (param i32) (result i32) (call $led (local.get 0)))
  ;; Whether a sleep takes as long as it should, by the board's own clock, in milliseconds.
  (func (export "sleep") (param i32) (result i32)
    (local $begin i64)
    (local.set $begin (call $nanoseconds))
    (call $sleep (local.get 0))
    (i32.wrap_i64 (i64.div_u (i64.sub (call $nanoseconds) (local.get $begin)) (i64.const 1_000_000))))
  ;; Prints every byte value once; returns the error number and how many bytes were written.
  (func (export "print") (result i32 i32)
    (local $byte i32)
    (loop $bytes
      (i32.store8 offset=0x100 (local.get $byte) (local.get $byte))
      (br_if $bytes (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 0x100))))
    (i32.store (i32.const 8) (i32.const 0x100))
    (i32.store (i32.const 12) (i32.const 0x100))
    (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))
    (i32.load (i32.const 16)))
  (func (export "exit") (param i32) (call $exit (local.get 0))))
