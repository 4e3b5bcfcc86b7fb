"""From stack code to blocks: what is built is small, and nesting costs no recursion."""

from __future__ import annotations

import sys

import pytest

from mcutool.ir import build, law, passes
from mcutool.ir.nodes import Function
from mcutool.pipeline import load
from mcutool.wasm.text import assemble


def built(text: str, optimise: bool = True) -> Function:
    function = build.build(load(bytes(assemble(f"(module {text})"))))[0]
    law.check_ssa(function)
    if optimise:
        passes.optimise(function)
        law.check_ssa(function)
    return function


def listing(function: Function) -> str:
    """The function without byte offsets, a line an instruction."""
    lines = str(function).splitlines()[1:]
    return "\n".join(line if not line.startswith("    ") else f"    {line[13:]}" for line in lines)


GOLDEN = {
    "a loop takes what it assigns": (
        """(func (param i32 i32) (result i32) (local i32)
             (loop $l
               (local.set 2 (i32.add (local.get 2) (local.get 1)))
               (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
             (local.get 2))""",
        """\
b0(v0:i32, v1:i32):
    v2:i32 = i32.const 0
    v8:i32 = i32.const 4294967295
    br b1(v0, v2)
b1(v3:i32, v4:i32):
    v5:i32 = i32.add v4, v1
    v7:i32 = i32.add v3, v8
    br_if v7, b1(v7, v5), b2()
b2():
    return v5""",
    ),
    "code after a branch is not built": (
        "(func (result i32) (return (i32.const 1)) (drop (i32.const 2)) (unreachable))",
        """\
b0():
    v0:i32 = i32.const 1
    return v0""",
    ),
    "a condition on a constant is decided": (
        "(func (param i32) (result i32) (if (result i32) (i32.eqz (i32.const 0)) "
        "(then (local.get 0)) (else (i32.const 5))))",
        """\
b0(v0:i32):
    return v0""",
    ),
    "equal expressions are computed once": (
        "(func (param i32 i32) (result i32) (i32.mul (i32.add (local.get 0) (local.get 1)) "
        "(i32.add (local.get 1) (local.get 0))))",
        """\
b0(v0:i32, v1:i32):
    v2:i32 = i32.add v0, v1
    v4:i32 = i32.mul v2, v2
    return v4""",
    ),
    "an address that can't wrap moves into the offset": (
        "(memory 1) (func (param i32) (result i32) (i32.load offset=4 (i32.add "
        "(i32.and (local.get 0) (i32.const 255)) (i32.const 8))))",
        """\
b0(v0:i32):
    v1:i32 = i32.const 255
    v2:i32 = i32.and v0, v1
    v5:i32 = i32.load 12, 0, v2
    return v5""",
    ),
    "an address that may wrap stays": (
        "(memory 1) (func (param i32) (result i32) (i32.load offset=4 (i32.add (local.get 0) (i32.const 8))))",
        """\
b0(v0:i32):
    v1:i32 = i32.const 8
    v2:i32 = i32.add v0, v1
    v3:i32 = i32.load 4, 0, v2
    return v3""",
    ),
    "what may trap is kept, what can't goes": (
        "(func (param i32) (drop (i32.div_u (local.get 0) (local.get 0))) "
        "(drop (i32.mul (local.get 0) (local.get 0))))",
        """\
b0(v0:i32):
    v1:i32 = i32.div_u v0, v0
    return""",
    ),
    "blocks pass several values": (
        "(func (param i32) (result i32) (block (result i32 i32) (i32.const 1) (i32.const 2) "
        "(br_if 0 (local.get 0)) (drop) (drop) (i32.const 3) (i32.const 4)) (i32.sub))",
        """\
b0(v0:i32):
    v1:i32 = i32.const 1
    v2:i32 = i32.const 2
    v5:i32 = i32.const 3
    v6:i32 = i32.const 4
    br_if v0, b2(v1, v2), b2(v5, v6)
b2(v3:i32, v4:i32):
    v7:i32 = i32.sub v3, v4
    return v7""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_functions_become_what_is_written_here(name: str) -> None:
    text, expected = GOLDEN[name]
    assert listing(built(text)) == expected


def test_nesting_is_not_limited_by_recursion() -> None:
    depth = 3 * sys.getrecursionlimit()
    body = "block " * depth + "local.get 0 br_if 0 " + "end " * depth
    function = built(f"(func (param i32) {body})")
    assert len(function.blocks) == 1


def test_every_instruction_knows_where_it_comes_from() -> None:
    binary = bytes(assemble("(module (func (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 3))))"))
    function = build.build(load(binary))[0]
    (division,) = [i for i in function.entry.instructions if i.op == "i32.div_u"]
    assert binary[division.offset] == 0x6E


def test_instantiation_follows_the_order_of_the_specification() -> None:
    text = """(module (memory 1) (table 2 funcref) (global i32 (i32.add (i32.const 1) (i32.const 2)))
      (func $f) (start $f) (data (i32.const 8) "a") (elem (i32.const 1) $f) (elem declare func $f) (data "passive"))"""
    function = build.build(load(bytes(assemble(text))))[-1]
    ops = [i.op for i in function.entry.instructions if not i.op.endswith(".const")]
    expected = "i32.add global.set table.init elem.drop elem.drop memory.init data.drop call"
    assert function.name == build.INSTANTIATE and ops == expected.split()
