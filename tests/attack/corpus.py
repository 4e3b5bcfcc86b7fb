"""Valid images to begin with: small programs that use every part of an image.

This file decides which modules they are translated from. It refuses to know what is done to them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mcutool import devices
from mcutool.image.format import Image
from mcutool.image.link import CompiledModule, MemoryPlan, link
from mcutool.pipeline import build_image, load, translate
from mcutool.wasm.text import assemble
from tests.fuzz.generate import Generator
from tests.fuzz.roads import build

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
SMALL = 3000  # bytes of a module that is worth its time
LARGEST = 4600  # bytes of an image
GENERATED = 16
STACK_SLOTS = 128

TEXTS = (
    """(module (tag $t (param i32 i64)) (tag $u)
      (func $throws (param i32) (if (local.get 0) (then (throw $t (i32.const 1) (i64.const 2)))) (throw $u))
      (func (export "catches") (param i32) (result i32)
        (block $h (result i32 i64) (block $all (result exnref)
          (try_table (catch $t $h) (catch_all_ref $all) (call $throws (local.get 0))) (return (i32.const 3)))
          (throw_ref)) (drop)))""",
    """(module (memory $a 1 2) (memory $b 1 1) (data $d (memory $b) (i32.const 8) "twelve bytes")
      (func (export "f") (param i32) (result i32)
        (memory.copy $a $b (i32.const 0) (i32.const 8) (i32.const 12)) (i32.store $b (local.get 0) (i32.const 7))
        (drop (memory.grow $a (i32.const 1)))
        (i32.add (i32.load $a (local.get 0)) (i32.load $b offset=4 (local.get 0)))))""",
    """(module (type $f (func (param i32) (result i32))) (table $t 4 8 funcref)
      (elem (table $t) (i32.const 0) func $double $count) (elem declare func $double)
      (func $double (type $f) (i32.mul (local.get 0) (i32.const 2)))
      (func $count (type $f) (if (result i32) (local.get 0)
        (then (return_call $count (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 9))))
      (func (export "by_table") (param i32) (result i32)
        (call_indirect $t (type $f) (local.get 0) (i32.and (local.get 0) (i32.const 3))))
      (func (export "by_reference") (param i32) (result i32) (call_ref $f (local.get 0) (ref.func $double)))
      (func (export "tail") (param i32) (result i32) (return_call_ref $f (local.get 0) (ref.func $double)))
      (func (export "tail_table") (param i32) (result i32)
        (return_call_indirect $t (type $f) (local.get 0) (i32.const 1)))
      (func (export "grows") (drop (table.grow $t (ref.func $double) (i32.const 2)))))""",
    """(module (global $g (mut i64) (i64.const 5)) (global $h (mut i32) (i32.const 1)) (memory 1)
      (func (export "switch") (param i32) (result i64)
        (block $a (block $b (block $c (br_table $a $b $c $a (local.get 0)))
          (global.set $g (i64.add (global.get $g) (i64.const 1)))) (global.set $h (i32.const 3)))
        (i64.div_u (global.get $g) (i64.extend_i32_u (global.get $h))))
      (func (export "loop") (param i32) (local i32) (loop $l (i32.store8 (local.get 1) (local.get 0))
        (br_if $l (i32.ne (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 90))))))""",
)


def example(name: str) -> bytes:
    """With little linear memory."""
    return build_image(EXAMPLES / f"{name}.wasm", devices.board("mps2-an386"), memory=4096, refuse=False).image


@cache
def images() -> list[bytes]:
    """The same ones each time."""
    modules = [path for path in sorted(EXAMPLES.glob("*.wasm")) if path.stat().st_size < SMALL]
    found = [example(path.stem) for path in modules]
    found += [_image(text) for text in TEXTS]
    generated = (build(Generator(seed).case(), STACK_SLOTS) for seed in range(GENERATED))
    found += [_smaller(image) for image in generated]
    return [image for image in found if len(image) < LARGEST]


def _image(text: str) -> bytes:
    module = load(assemble(text.encode()))
    plans = [MemoryPlan(0, 256, 512, partial=True) for _ in module.memories]
    return link([CompiledModule("", module, translate(module), plans)], STACK_SLOTS, 4).image.build()


def _smaller(image: Image) -> bytes:
    """With little RAM behind its memories."""
    for memory in image.memories:
        memory["window_size"] = min(memory["window_size"], 512)
        memory["capacity"] = min(memory["capacity"], 1024)
        memory["window_size"] = min(memory["window_size"], memory["capacity"])
    return image.build()
