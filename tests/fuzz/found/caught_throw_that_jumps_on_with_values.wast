(module
  (memory 1 1)
  (tag $e)
  (func (export "run") (result i32) (local $again i32) (local $x i32)
    (local.set $again (i32.const 1))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $again)))
        (local.set $again (i32.const 0))
        (block $caught
          (try_table (catch $e $caught)
            (if (i32.eqz (i32.load (i32.const 8))) (then (throw $e)))))
        (local.set $x (i32.const -1))
        (br $next)))
    (local.get $x)))
(assert_return (invoke "run") (i32.const -1))
