;; A march test of all RAM that the board has for a module. Each word is filled with its own address, exclusive-or
;; `mask`; then `turn` reads it and leaves the complement. Ranges are multiples of 32 bytes.
(module
  (memory 0 (pagesize 1))

  ;; Takes all memory that the board gives, in steps that halve; returns how many bytes that are.
  (func (export "grow") (result i32)
    (local $step i32)
    (local.set $step (i32.const 0x40000000))
    (loop $again
      (br_if $again (i32.ne (memory.grow (local.get $step)) (i32.const -1)))
      (local.set $step (i32.shr_u (local.get $step) (i32.const 1)))
      (br_if $again (local.get $step)))
    (memory.size))

  (func (export "fill") (param $from i32) (param $to i32) (param $mask i32)
    (local $value i32)
    (loop $blocks
      (local.set $value (i32.xor (local.get $from) (local.get $mask)))
      (i32.store offset=0 (local.get $from) (local.get $value))
      (i32.store offset=4 (local.get $from) (i32.xor (local.get $value) (i32.const 4)))
      (i32.store offset=8 (local.get $from) (i32.xor (local.get $value) (i32.const 8)))
      (i32.store offset=12 (local.get $from) (i32.xor (local.get $value) (i32.const 12)))
      (i32.store offset=16 (local.get $from) (i32.xor (local.get $value) (i32.const 16)))
      (i32.store offset=20 (local.get $from) (i32.xor (local.get $value) (i32.const 20)))
      (i32.store offset=24 (local.get $from) (i32.xor (local.get $value) (i32.const 24)))
      (i32.store offset=28 (local.get $from) (i32.xor (local.get $value) (i32.const 28)))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (br_if $blocks (i32.lt_u (local.get $from) (local.get $to)))))

  ;; The bits that are wrong in the word at `place`.
  (func $wrong (export "wrong") (param $place i32) (param $mask i32) (result i32)
    (i32.xor (i32.load (local.get $place)) (i32.xor (local.get $place) (local.get $mask))))

  ;; Reads what `fill` or an earlier `turn` left and stores its complement. Returns the first wrong word's address, or -1.
  (func (export "turn") (param $from i32) (param $to i32) (param $mask i32) (result i32)
    (local $value i32)
    (loop $blocks
      (local.set $value (i32.xor (local.get $from) (local.get $mask)))
      (if (i32.or
            (i32.or
              (i32.or
                (i32.xor (i32.load offset=0 (local.get $from)) (local.get $value))
                (i32.xor (i32.load offset=4 (local.get $from)) (i32.xor (local.get $value) (i32.const 4))))
              (i32.or
                (i32.xor (i32.load offset=8 (local.get $from)) (i32.xor (local.get $value) (i32.const 8)))
                (i32.xor (i32.load offset=12 (local.get $from)) (i32.xor (local.get $value) (i32.const 12)))))
            (i32.or
              (i32.or
                (i32.xor (i32.load offset=16 (local.get $from)) (i32.xor (local.get $value) (i32.const 16)))
                (i32.xor (i32.load offset=20 (local.get $from)) (i32.xor (local.get $value) (i32.const 20))))
              (i32.or
                (i32.xor (i32.load offset=24 (local.get $from)) (i32.xor (local.get $value) (i32.const 24)))
                (i32.xor (i32.load offset=28 (local.get $from)) (i32.xor (local.get $value) (i32.const 28))))))
        (then
          (loop $words
            (if (i32.eqz (call $wrong (local.get $from) (local.get $mask)))
              (then
                (local.set $from (i32.add (local.get $from) (i32.const 4)))
                (br_if $words (i32.lt_u (local.get $from) (local.get $to))))))
          (return (local.get $from))))
      (local.set $value (i32.xor (local.get $value) (i32.const -1)))
      (i32.store offset=0 (local.get $from) (local.get $value))
      (i32.store offset=4 (local.get $from) (i32.xor (local.get $value) (i32.const 4)))
      (i32.store offset=8 (local.get $from) (i32.xor (local.get $value) (i32.const 8)))
      (i32.store offset=12 (local.get $from) (i32.xor (local.get $value) (i32.const 12)))
      (i32.store offset=16 (local.get $from) (i32.xor (local.get $value) (i32.const 16)))
      (i32.store offset=20 (local.get $from) (i32.xor (local.get $value) (i32.const 20)))
      (i32.store offset=24 (local.get $from) (i32.xor (local.get $value) (i32.const 24)))
      (i32.store offset=28 (local.get $from) (i32.xor (local.get $value) (i32.const 28)))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (br_if $blocks (i32.lt_u (local.get $from) (local.get $to))))
    (i32.const -1)))
