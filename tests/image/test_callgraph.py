"""The bound of the stack: a program that takes all of it runs with exactly that much; what has no bound is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutool.callgraph import Bound, CallGraph
from mcutool.image.format import Image
from mcutool.image.link import CompiledModule, Linker, link
from mcutool.isa import CROSS_LINK_SLOTS, TRAP_NUMBERS
from mcutool.pipeline import load, translate
from mcutool.wasm.text import assemble
from tests.pc import PcMachine

SMALLEST = CROSS_LINK_SLOTS + 16
BINARY = "(type $b (func (param i32) (result i32)))"
_SET = "\n".join(
    f"(local.set {n} (i64.rotl (local.get {n - 1}) (i64.mul (local.get {n - 1}) (i64.const {n}))))"
    for n in range(2, 16)
)
WIDE = f"""(func $wide (param i32) (result i32) (local {"i64 " * 15})
  (local.set 1 (i64.extend_i32_u (local.get 0))) {_SET}
  (i32.wrap_i64 {"".join(f"(i64.add (local.get {n}) " for n in range(1, 16))} (i64.const 1) {")" * 15}))"""
"""A frame of more than 20 slots: values that are all needed at the end."""


def linked(text: str) -> Image:
    module = load(assemble(f"(module {text})"))
    return link([CompiledModule("", module, translate(module), [])], SMALLEST).image


def bound(image: Image, export: int = -1) -> Bound:
    return CallGraph(image).bound(image.exports[export]["index"])


def call(image: Image, slots: int, folder: Path, export: int = -1) -> tuple[str, list[int]]:
    """What the last export gives for 5 with a stack of so many slots; sanitizers watch."""
    image.stack_slots = slots
    machine = PcMachine(image.build(), folder)
    assert machine.call(image.modules[0]["instantiate"], [], 0)[0] == "ok"
    result = machine.call(image.exports[export]["index"], [5], 1)
    machine.close()
    return result


CHAINS = {
    "one function": WIDE.replace("$wide", '(export "f")'),
    "a chain": f"""{WIDE} (func $g (param i32) (result i32) (i32.add (local.get 0) (call $wide (local.get 0))))
        (func (export "f") (param i32) (result i32) (i32.sub (call $g (local.get 0)) (local.get 0)))""",
    "the deeper of two": f"""{WIDE} (func $flat (param i32) (result i32) (i32.clz (local.get 0)))
        (func (export "f") (param i32) (result i32)
          (i32.add (call $flat (local.get 0)) (call $wide (i32.popcnt (local.get 0)))))""",
    "through a table": f"""{BINARY} (table funcref (elem $wide)) {WIDE}
        (func (export "f") (param i32) (result i32) (call_indirect (type $b) (local.get 0) (i32.const 0)))""",
    "through a reference": f"""{BINARY} (elem declare func $wide) {WIDE}
        (func (export "f") (param i32) (result i32) (call_ref $b (local.get 0) (ref.func $wide)))""",
    "a tail call": f"""{WIDE} (func (export "f") (param i32) (result i32) (return_call $wide (local.get 0)))""",
    "a tail call through a table": f"""{BINARY} (table funcref (elem $wide)) {WIDE}
        (func (export "f") (param i32) (result i32) (return_call_indirect (type $b) (local.get 0) (i32.const 0)))""",
    "an exception": f"""(tag $t (param i32 i64 i64 i64 i64)) {WIDE}
        (func $g (param i32) (result i32) (drop (call $wide (local.get 0)))
          (throw $t (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
        (func (export "f") (param i32) (result i32)
          (block $caught (result i32 i64 i64 i64 i64)
            (try_table (catch $t $caught) (return (call $g (local.get 0)))) unreachable)
          drop drop drop drop)""",
    "a function of the board": """(import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "f") (param i32) (result i32) (i32.add (call $yield) (local.get 0)))""",
    "tail calls in a circle": """(func $even (param i32) (result i32)
          (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
            (else (return_call $odd (i32.sub (local.get 0) (i32.const 1))))))
        (func $odd (export "f") (param i32) (result i32)
          (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (return_call $even (i32.sub (local.get 0) (i32.const 1))))))""",
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_stack_of_the_bound_is_enough_and_less_is_not(name, tmp_path):
    image = linked(CHAINS[name])
    size = bound(image).size
    assert size is not None
    slots = size // 4
    assert call(image, max(slots, SMALLEST), tmp_path)[0] == "ok"
    if slots > SMALLEST:
        assert call(image, slots - 1, tmp_path) == ("trap", [TRAP_NUMBERS["stack_exhausted"], 0])


def test_some_of_these_are_deeper_than_the_smallest_stack():
    assert sum((bound(linked(text)).size or 0) > 4 * SMALLEST for text in CHAINS.values()) > 3


CIRCLES = {
    "itself": ("(func $f (export \"f\") (param i32) (result i32) (call $f (local.get 0)))", 2, False),
    "two": (
        """(func $f (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $g (local.get 0))))
           (func $g (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))""", 3, False,
    ),
    "a callee's": (
        """(func $g (param i32) (result i32) (i32.add (i32.const 1) (call $g (local.get 0))))
           (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $g (local.get 0))))""", 2, False,
    ),
    "through a table": (
        f"""{BINARY} (table funcref (elem $f))
           (func $f (export "f") (param i32) (result i32) (call_indirect (type $b) (local.get 0) (i32.const 0)))""",
        2, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_is_found(name):
    text, length, indirect = CIRCLES[name]
    found = bound(linked(text))
    assert found.size is None and found.indirect is indirect
    assert len(found.path) == length and found.path[0] == found.path[-1]


def test_only_functions_with_a_reference_are_called_indirectly():
    """The exported function has the signature of the call, but nobody can get a reference to it."""
    image = linked(f"""{BINARY} (table funcref (elem $g)) (func $g (param i32) (result i32) (local.get 0))
        (func (export "f") (param i32) (result i32) (call_indirect (type $b) (local.get 0) (i32.const 0)))""")
    assert bound(image).size is not None


def test_a_call_into_another_module_counts(tmp_path):
    linker = Linker(SMALLEST, 0)
    texts = [
        CHAINS["one function"].replace('(export "f")', '(export "wide")'),
        """(import "a" "wide" (func $wide (param i32) (result i32)))
           (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (call $wide (local.get 0))))""",
    ]
    for number, text in enumerate(texts):
        module = load(assemble(f"(module {text})"))
        linker.add(CompiledModule(str(number), module, translate(module), [], {"a": 0} if number else {}))
    image = linker.finish()
    callee, caller = bound(image, 0).size, bound(image).size
    assert callee is not None and caller is not None
    assert caller >= callee + 4 * CROSS_LINK_SLOTS
    assert call(image, caller // 4, tmp_path)[0] == "ok"


def test_what_the_host_calls():
    image = linked('(func (export "f")) (func (export "g"))')
    assert CallGraph(image).entries() == [image.modules[0]["instantiate"], 0, 1]


def test_a_call_of_nothing_is_no_error_of_ours():
    image = linked(CHAINS["a chain"])
    image.code = [halfword if halfword else 0xFFFF for halfword in image.code]
    assert CallGraph(image).entries()
