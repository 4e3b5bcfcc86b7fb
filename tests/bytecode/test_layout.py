"""Selection and layout: which rows stand where, how far jumps reach, what relocations and positions say."""

from __future__ import annotations

import pytest

from mcutool.bytecode.layout import CompiledFunction, opposite_branch
from mcutool.encoding import disassemble
from mcutool.errors import Unsupported
from mcutool.image.link import CompiledModule, MemoryPlan, link
from mcutool.isa import BY_NAME
from mcutool.pipeline import load, translate
from mcutool.wasm.module import Module
from mcutool.wasm.opcodes import OPCODES
from mcutool.wasm.text import assemble
from tests.pc import PcMachine


def compiled(text: str) -> tuple[Module, list[CompiledFunction]]:
    module = load(bytes(assemble(f"(module {text})")))
    return module, translate(module)


def listing(text: str) -> str:
    """The code of the first function."""
    return "\n".join(line for _, _, line in disassemble(compiled(text)[1][0].halfwords))


ROWS = {
    "a small constant and an in-place sum": (
        "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 7)))",
        "i32.add_imm.short #7, s0\nreturn",
    ),
    "a constant of eight bits": (
        "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const -128)))",
        "i32.add_imm s0, #-128, s0\nreturn",
    ),
    "a constant beyond": (
        "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 128)))",
        "i32.add_imm.wide s0, s0, #128\nreturn",
    ),
    "greater is less exchanged": (
        "(func (param i32 i32) (result i32) (i32.gt_u (local.get 0) (local.get 1)))",
        "i32.lt_u s0, s0, s1\nreturn",
    ),
    "a comparison becomes part of the branch": (
        "(func (param i32 i32) (result i32) (if (i32.ge_s (local.get 0) (local.get 1)) (then (return (i32.const 1)))) "
        "(i32.const 2))",
        "br_i32.lt_s s0, ->4, s1\nconst.short #1, s0\nreturn\nconst.short #2, s0\nreturn",
    ),
    "at most is less than one more": (
        "(func (param i32) (result i32) (i32.le_s (local.get 0) (i32.const 9)))",
        "i32.lt_s_imm s0, #10, s0\nreturn",
    ),
    "arguments are made where the call wants them": (
        "(func $f (param i32 i32) (result i32) (call $f (i32.const 1) (i32.const 2)))",
        "const.short #1, s2\nconst.short #2, s3\ncall s2, function[0]\ncopy.short s2, s0\nreturn",
    ),
    "a reinterpretation costs nothing": (
        "(func (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))",
        "return",
    ),
    "a narrow store takes the low half": (
        "(memory 1) (func (param i32 i64) (i64.store8 offset=3 (local.get 0) (local.get 1)))",
        "i32.store8 s1, offset=3, s0\nreturn",
    ),
    "a load where the address says": (
        "(memory 1) (func (param i32) (result i32) (i32.load (local.get 0)))",
        "i32.load.short s0, s0\nreturn",
    ),
    "an address known beforehand": (
        "(memory 1) (func (param i32) (i32.store offset=24 (i32.const 1000) (local.get 0)))",
        "i32.store.at s0, offset=1024\nreturn",
    ),
    "an element of an array at a known address": (
        "(memory 1) (func (param i32) (result i32) "
        "(i32.load (i32.add (i32.shl (local.get 0) (i32.const 2)) (i32.const 1024))))",
        "i32.const s1, #1024\ni32.load.scaled s0, s0, s1\nreturn",
    ),
    "an element of a structure": (
        "(memory 1) (func (param i32 i32) (result i32) "
        "(i32.load (i32.add (i32.mul (local.get 0) (i32.const 12)) (local.get 1))))",
        "i32.mul_imm_add s0, s1, s0, #12\ni32.load.short s0, s0\nreturn",
    ),
    "a choice in place": (
        "(func (param i32 i32 i32) (result i32) (select (local.get 0) (local.get 1) (local.get 2)))",
        "i32.move_unless s0, s2, s1\nreturn",
    ),
    "a branch on a bit": (
        "(func (param i32) (result i32) (if (i32.and (local.get 0) (i32.const 64)) (then (return (i32.const 1)))) "
        "(i32.const 2))",
        "br_i32.none_imm s0, ->4, #64\nconst.short #1, s0\nreturn\nconst.short #2, s0\nreturn",
    ),
    "a constant on the way": (
        "(global $g (mut i32) (i32.const 0)) (func (param i32) (result i32) "
        "(if (result i32) (local.get 0) (then (i32.const 3)) (else (global.set $g (i32.const 5)) (i32.const 4))))",
        "br_unless.short ->3, s0\nbr_const #3, s0, ->7\nconst.short #5, s0\nglobal.set s0, global[0]\n"
        "const.short #4, s0\nreturn",
    ),
    "a store far off": (
        "(memory 1) (func (param i32 i32) (i32.store offset=65536 (local.get 0) (local.get 1)))",
        "address.add s0, s0, offset=65536\ni32.store.short s0, s1\nreturn",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_what_is_written_here(name: str) -> None:
    text, expected = ROWS[name]
    assert listing(text) == expected


@pytest.mark.parametrize("opcode", [o for o in OPCODES if o.parameters is not None], ids=str)
def test_every_operation_has_a_row(opcode) -> None:
    """One instruction in a function of its own; its parameters are the operands."""
    immediates = {
        "memarg": " offset=1",
        "i32": " 5",
        "i64": " 5",
        "f32": " 5",
        "f64": " 5",
        "table": " 0",
        "declared": " 0",
    }
    immediates |= {"data_memory": " 0", "data": " 0", "element_table": " 0", "element": " 0"}
    operands = " ".join(f"(local.get {number})" for number in range(len(opcode.parameters)))
    text = (
        f'(memory 1) (table 1 funcref) (data "x") (elem func 0) '
        f"(func (param {' '.join(opcode.parameters)}) (result {' '.join(opcode.results)}) "
        f"({opcode.name}{immediates.get(opcode.immediates, '')} {operands}))"
    )
    assert compiled(text)[1][0].halfwords


def test_opposite_branches_are_rows_and_opposite() -> None:
    for name in BY_NAME:
        if name in ("br_if", "br_unless") or name.startswith(("br_i32.", "br_i64.")):
            assert opposite_branch(name) in BY_NAME
            assert opposite_branch(opposite_branch(name)) == name


def answers(text: str, folder, arguments: list[int]) -> list[int]:
    """What the first function gives for each argument, in the interpreter on the PC."""
    module, functions = compiled(text)
    plans = [MemoryPlan(0, 65536, 65536) for _ in module.memories]
    image = link([CompiledModule("", module, functions, plans)], 4096).image
    machine = PcMachine(image.build(), folder)
    found = [machine.call(image.exports[0]["index"], [argument], 1) for argument in arguments]
    machine.close()
    return [words[0] for state, words in found if state == "ok"]


@pytest.mark.parametrize("stores", [1, 40, 41, 42, 43, 44, 150, 12000])
def test_branches_of_all_lengths_arrive(stores: int, tmp_path) -> None:
    """Branches over code that grows past eight and past sixteen bits of distance, forwards and backwards."""
    body = "(i32.store offset=1000 (local.get 0) (local.get 0))" * stores
    text = f"""(memory 1) (func (export "f") (param i32) (result i32) (local i32)
      (loop $again
        (local.set 1 (i32.add (local.get 1) (i32.const 1)))
        (block $over (br_if $over (i32.lt_s (local.get 0) (i32.const 3))) {body} (local.set 1 (i32.const 50)))
        (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $again (i32.lt_s (local.get 0) (i32.const 4))))
      (local.get 1))"""
    assert answers(text, tmp_path, [0, 2, 3, 4]) == [50, 50, 50, 50]
    assert answers(text, tmp_path, [0xFFFFFFFF]) == [50]


def test_a_step_stays_when_nothing_is_left_of_its_branch(tmp_path) -> None:
    """Both ways are empty once the conversions have become copies of a slot to itself."""
    text = """(func (export "f") (param i32) (result i32) (local i64)
      (local.set 1 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 0x100000001)))
      (local.set 0 (i32.add (local.get 0) (i32.const -1)))
      (i32.clz (if (result i32) (local.get 0)
        (then (i32.wrap_i64 (local.get 1)))
        (else (i32.wrap_i64 (local.get 1)))))
      (i32.add (local.get 0)))"""
    assert answers(text, tmp_path, [0, 1, 2, 256]) == [31, 31, 31, 278]


@pytest.mark.parametrize("stores", [1, 12000])
def test_jump_tables_of_all_lengths_arrive(stores: int, tmp_path) -> None:
    body = "(i32.store offset=1000 (local.get 0) (local.get 0))" * stores
    text = f"""(memory 1) (func (export "f") (param i32) (result i32)
      (block $c (block $b (block $a (br_table $a $b $c $b (local.get 0)))
        {body} (return (i32.const 10)))
        {body} (return (i32.const 20)))
      (i32.const 30))"""
    assert answers(text, tmp_path, [0, 1, 2, 3, 4, 60000]) == [10, 20, 30, 20, 20, 20]


def large_table(targets: int) -> str:
    """A function with a br_table whose targets lie behind it."""
    return f"""(func (export "f") (param i32) (result i32)
      (block $b (block $a (br_table {"$a " * (targets - 1)} $b (local.get 0))) (return (i32.const 1))) (i32.const 2))"""


def test_the_largest_jump_table_arrives(tmp_path) -> None:
    assert answers(large_table(32760), tmp_path, [0, 32758, 32759, 0xFFFFFFFF]) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "text, words",
    [
        (large_table(32761), "a br_table of 32761 targets is not supported"),
        (
            '(func (export "f") (call 66000))' + "(func)" * 66000,
            "more of something than instructions can count: call with k = 2, f = 66000",
        ),
        (
            "(global (mut i64) (i64.const 1))" * 33000 + '(func (export "f") (result i64) (global.get 32999))',
            "slots of globals",
        ),
    ],
)
def test_what_instructions_cannot_name_is_not_supported(text: str, words: str, tmp_path) -> None:
    with pytest.raises(Unsupported, match=words):
        answers(text, tmp_path, [0])


def test_relocations_name_the_modules_own_indices() -> None:
    _, functions = compiled(
        """(type $t (func)) (import "m" "f" (func $host)) (memory 1) (table 3 funcref) (table $u 2 funcref)
        (global $g (mut i32) (i32.const 0)) (data "x") (elem func $f)
        (func $f (call $host) (call $f) (call_indirect $u (type $t) (i32.const 1)) (global.set $g (i32.const 2))
          (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop 0)
          (table.set $u (i32.const 0) (ref.func $f)))"""
    )
    found = [(relocation.kind, relocation.index) for relocation in functions[0].relocations]
    assert found == [
        ("import", 0),
        ("function", 1),
        ("signature", 0),
        ("table", 1),
        ("global", 0),
        ("data", 0),
        ("element", 0),
        ("funcref", 1),
        ("table", 1),
    ]


def test_positions_lead_back_to_the_source() -> None:
    binary = bytes(
        assemble("(module (func (param i32) (result i32) (i32.div_u (local.get 0) (i32.clz (local.get 0)))))")
    )
    function = translate(load(binary))[0]
    division = next(start for start, decoded, text in disassemble(function.halfwords) if text.startswith("i32.div_u"))
    offset = next(offset for position, offset in reversed(function.positions) if position <= division)
    assert binary[offset] == 0x6E


def test_the_frame_holds_the_call_areas() -> None:
    _, functions = compiled(
        """(import "m" "f" (func $host (param i32 i64 i32) (result i64 i64)))
        (func (param i32) (result i64 i64) (call $host (local.get 0) (i64.const 1) (i32.const 2)))"""
    )
    calls = [d for _, d, _ in disassemble(functions[0].halfwords) if d and d.row.name == "call_host"]
    assert functions[0].frame_slots >= calls[0].operands["k"] + 4


def test_an_exception_that_nobody_wants_has_room_in_the_frame_that_catches_it() -> None:
    types = " ".join(["i64"] * 100)
    catch = f"(block $h (result {types}) (try_table (catch $e $h) (throw_ref (global.get $x))) (unreachable))"
    text = f"(tag $e (param {types})) (global $x (mut exnref) (ref.null exn)) (func {catch} {'drop ' * 100})"
    assert compiled(text)[1][0].frame_slots >= 200
