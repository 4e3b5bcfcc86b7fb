"""Writing .wasm files by hand for the tests: numbers, sections, and samples that have one of each.

This file decides nothing about validity: it writes what it is told, right or wrong.
"""

from __future__ import annotations

HEADER = b"\0asm\1\0\0\0"

SAMPLE = """
(module $sample
  (type $binary (func (param i32 i32) (result i32)))
  (import "env" "print" (func $print (param i32)))
  (import "env" "base" (global $base i32))
  (memory (export "memory") 1 2)
  (table $table 4 8 funcref)
  (table $others 1 externref)
  (global $counter (export "counter") (mut i64) (i64.const -5))
  (global $start i32 (i32.add (global.get $base) (i32.const 4)))
  (elem $functions (table $table) (offset (i32.const 1)) func $add $main)
  (elem $passive funcref (ref.func $add) (ref.null func))
  (elem declare func $count)
  (data $hello (i32.const 16) "hello")
  (data $later "later")
  (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $count (param $n i64) (result i64) (local $sum i64) (local $x f64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (local.get $n)))
      (br_if $again (i32.wrap_i64 (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
    (f64.store offset=8 (i32.const 0) (f64.const 0x1.8p3))
    (local.get $sum))
  (func $choose (param i32) (result i32 f32)
    (block $a (block $b (br_table $a $b $a (local.get 0))) (return (i32.const 1) (f32.const nan:0x200001)))
    (if (result i32 f32) (local.get 0) (then (i32.const 2) (f32.const 2)) (else (i32.const 3) (f32.const -0))))
  (func $bulk
    (memory.init $later (i32.const 0) (i32.const 0) (i32.const 5)) (data.drop $later)
    (memory.copy (i32.const 0) (i32.const 0) (i32.const 5)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 5))
    (table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 2)) (elem.drop $passive)
    (table.copy $table $table (i32.const 0) (i32.const 0) (i32.const 1))
    (drop (table.grow $others (ref.null extern) (i32.const 1)))
    (drop (select (result externref) (ref.null extern) (table.get $others (i32.const 0)) (i32.const 0)))
    (drop (ref.is_null (ref.func $count)))
    (drop (i32.trunc_sat_f64_u (f64.const 1e10))))
  (func $main (export "main")
    (call $print (call_indirect $table (type $binary) (i32.const 1) (i32.const 2) (i32.const 1))))
  (start $main))
"""

PROPOSALS = """
(module $proposals
  (type $binary (func (param i32 i32) (result i32)))
  (type $reference (func (param (ref null $binary) externref) (result (ref func))))
  (import "env" "failure" (tag $failure (param i32)))
  (memory $first 1 2)
  (memory $second (export "second") 2 (pagesize 1))
  (table $table 4 funcref)
  (elem (table $table) (i32.const 0) func $sum)
  (data $hello (memory $second) (i32.const 0) "hi")
  (tag $error (export "error") (param i64 externref))
  (table $sums 2 (ref $binary) (ref.func $sum))
  (global $null (mut (ref null $reference)) (ref.null $reference))
  (elem $declared (ref $binary) (ref.func $sum))
  (func $choose (type $reference) (local $found (ref $binary)) (local (ref null extern))
    (block $none
      (local.set $found (br_on_null $none (local.get 0)))
      (drop (call_ref $binary (i32.const 1) (i32.const 2) (local.get $found)))
      (return (local.get $found)))
    (drop (block $some (result (ref extern)) (br_on_non_null $some (local.get 1)) (ref.as_non_null (local.get 1))))
    (table.init $sums $declared (i32.const 0) (i32.const 0) (i32.const 1))
    (if (result (ref func)) (i32.const 1)
      (then (table.get $sums (i32.const 0)))
      (else (return_call_ref $reference (ref.null $binary) (local.get 1) (global.get $null)))))
  (func $try (param externref) (result i64 externref exnref) (local $caught exnref)
    (block $all (result (ref exn))
      (block $two (result i64 externref)
        (block $one (result i32 exnref)
          (try_table (result i32) (catch_ref $failure $one) (catch $error $two) (catch_all_ref $all)
            (throw $error (i64.const 1) (local.get 0)))
          (local.get $caught))
        (throw_ref))
      (local.get $caught) (return))
    (local.set $caught)
    (block $none (try_table (catch_all $none) (throw $failure (i32.const 2))))
    (throw_ref (local.get $caught)))
  (func $sum (export "sum") (type $binary)
    (i64.store8 $second offset=1 (local.get 0) (i64.load $first (local.get 1)))
    (memory.copy $first $second (i32.const 0) (i32.const 0) (memory.size $second))
    (memory.init $second $hello (i32.const 0) (i32.const 0) (memory.grow $second (i32.const 1)))
    (memory.fill $second (i32.const 0) (i32.const 0) (i32.const 2))
    (block (br_if 0 (local.get 0)) (return_call $sum (local.get 1) (local.get 0)))
    (return_call_indirect $table (type $binary) (local.get 0) (local.get 1) (i32.const 0))))
"""


def leb(number: int) -> bytes:
    """The shortest unsigned LEB128."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def section(number: int, contents: bytes) -> bytes:
    return bytes([number]) + leb(len(contents)) + contents


def vector(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)


def module_with_body(body: bytes, *, local_groups: bytes = b"\0", more: bytes = b"") -> bytes:
    """A module with one function of type [] -> [] whose instructions are `body`; `more` stands before its code."""
    function = local_groups + body
    return module(
        section(1, vector(b"\x60\0\0")),
        section(3, vector(b"\0")),
        more,
        section(10, vector(leb(len(function)) + function)),
    )
