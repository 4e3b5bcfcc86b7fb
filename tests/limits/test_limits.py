"""The limits that firmware_runtime/SPEC.md lists, at the edge: the last size works, the next is refused in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutool import devices, fit
from mcutool.bytecode.layout import LARGEST_FRAME, CompiledFunction, Relocation, compile_function
from mcutool.bytecode.select import TARGET
from mcutool.encoding import encode
from mcutool.errors import DoesNotFit, Unsupported
from mcutool.image.format import NONE, parse
from mcutool.image.link import CompiledModule, MemoryPlan, link
from mcutool.ir.allocate import Allocation
from mcutool.ir.nodes import Function, Instruction
from mcutool.isa import BY_NAME, TRAP_NUMBERS
from mcutool.pipeline import build_image, load, translate
from mcutool.program import check_size
from mcutool.wasm.module import (
    Data,
    Element,
    FunctionType,
    Global,
    GlobalType,
    Limits,
    MemoryType,
    Module,
    TableType,
)
from mcutool.wasm.text import assemble
from tests.pc import PcMachine

SPEC = Path(__file__).resolve().parents[2] / "firmware_runtime" / "SPEC.md"
STACK_SLOTS = 20000


def answer(
    text: str, folder: Path, argument: int = 0, stack_slots: int = STACK_SLOTS, table_room: int = 0
) -> tuple[str, list[int]]:
    """What the exported function `f` of i32 -> i32 gives on the interpreter on this PC, under sanitizers."""
    module = load(assemble(f"(module {text})"))
    image = link([CompiledModule("", module, translate(module), [])], stack_slots, table_room).image
    machine = PcMachine(image.build(), folder)
    result = machine.call(image.exports[-1]["index"], [argument], 1)
    machine.close()
    return result


# what a function may hold


def declared(count: int) -> str:
    return f'(func (export "f") (param i32) (result i32) (local {"i32 " * count}) (local.get {count}))'


def test_locals_of_a_function(tmp_path):
    assert answer(declared(3000), tmp_path, 7) == ("ok", [0])
    assert len(load(assemble(f"(module {declared(50_000)})")).functions[0].locals) == 50_000
    with pytest.raises(Unsupported, match="more than 50000 local variables in a function"):
        load(assemble(f"(module {declared(50_001)})"))


def results(count: int, alive: int) -> str:
    """A function of `count` results, which keeps `alive` other values across a call, and one that adds them up."""
    loads = "".join(f"(local.set {i + 1} (i32.add (local.get 0) (call $one)))" for i in range(alive))
    adds = "".join(f"(local.set 0 (i32.add (local.get 0) (local.get {i + 1})))" for i in range(alive))
    body = " ".join(f"(i32.add (local.get 0) (i32.const {i}))" for i in range(count))
    return f"""(func $one (result i32) (i32.const 1))
      (func $many (param i32) (result {"i32 " * count}) (local {"i32 " * alive}) {loads} {adds} {body})
      (func (export "f") (param i32) (result i32) (call $many (local.get 0)) {"i32.add " * (count - 1)})"""


@pytest.mark.parametrize("count, alive", [(255, 0), (248, 300)])
def test_results_of_a_function(count, alive, tmp_path):
    first = 7 + 8 * alive
    assert answer(results(count, alive), tmp_path, 7) == ("ok", [count * first + count * (count - 1) // 2])
    with pytest.raises(Unsupported, match=r"results.* that take more than 248 slots are not supported"):
        answer(results(count + 1, alive), tmp_path)


def test_parameters_have_no_limit_of_their_own(tmp_path):
    count = 1000
    adds = "".join(
        f"(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (local.get {i})))" for i in range(count)
    )
    text = f"""(func $many (param {"i32 " * count}) (result i32) {adds} (local.get 0))
      (func (export "f") (param i32) (result i32)
        (call $many {" ".join(f"(i32.add (local.get 0) (i32.const {i}))" for i in range(count))}))"""
    expected = 5
    for i in range(count):
        expected = (3 * expected + (5 + i if i else expected)) % (1 << 32)
    assert answer(text, tmp_path, 5) == ("ok", [expected])


@pytest.mark.parametrize("narrow", range(247, 257))
def test_parameters_leave_the_slots_that_carry_others(narrow, tmp_path):
    """Parameters around slot 256, some of two slots, one of them wanted most."""
    types = ["i32"] * narrow + ["i64"] * 5
    values = [number * 1_000_003 + 17 for number in range(len(types))]
    terms = [
        f"(i32.mul {f'(local.get {n})' if t == 'i32' else f'(i32.wrap_i64 (local.get {n}))'} (i32.const {2 * n + 3}))"
        for n, t in enumerate(types)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = f"(i32.add {total} {term})"
    wanted = f"(global.set $g (local.get {min(249, narrow - 1)}))" * 60
    arguments = " ".join(f"({t}.const {value})" for t, value in zip(types, values, strict=True))
    text = f"""(global $g (mut i32) (i32.const 0)) (func (export "f") (param i32) (result i32) (call $sum {arguments}))
        (func $sum (param {" ".join(types)}) (result i32) {wanted} {total})"""
    expected = sum(value * (2 * n + 3) for n, value in enumerate(values)) & 0xFFFFFFFF
    assert answer(text, tmp_path, stack_slots=2000) == ("ok", [expected])


def empty_function(frame_slots: int) -> CompiledFunction:
    """A function of that frame that only returns."""
    function = Function("f", FunctionType((), ()))
    block = function.new_block()
    block.terminator = Instruction("return", [], (), 0)
    function.blocks.append(block)
    return compile_function(function, Allocation(TARGET, frame_slots=frame_slots))


def test_slots_of_a_frame():
    assert empty_function(LARGEST_FRAME).frame_slots == LARGEST_FRAME
    with pytest.raises(Unsupported, match=f"f: a frame of {LARGEST_FRAME + 1} slots is not supported"):
        empty_function(LARGEST_FRAME + 1)


def test_a_frame_larger_than_the_stack_is_never_entered(tmp_path):
    loads = "".join(f"(local.set {i + 1} (i32.add (local.get 0) (call $one)))" for i in range(300))
    adds = "".join(f"(local.set 0 (i32.add (local.get 0) (local.get {i + 1})))" for i in range(300))
    text = f"""(func $one (result i32) (i32.const 1))
      (func (export "f") (param i32) (result i32) (local {"i32 " * 300}) {loads} {adds} (local.get 0))"""
    assert answer(text, tmp_path, 1, stack_slots=400) == ("ok", [601])
    assert answer(text, tmp_path, 1, stack_slots=300) == ("trap", [TRAP_NUMBERS["stack_exhausted"], 0])


@pytest.mark.parametrize("opening", ["block (param i32) (result i32) ", "loop (param i32) (result i32) "])
def test_nesting_has_no_limit(opening, tmp_path):
    depth = 5000
    text = f'(func (export "f") (param i32) (result i32) local.get 0 {opening * depth} {"end " * depth})'
    assert answer(text, tmp_path, 9) == ("ok", [9])


def test_nested_conditions_have_no_limit(tmp_path):
    text = f'(func (export "f") (param i32) (result i32) {"local.get 0 if " * 800} {"end " * 800} i32.const 3)'
    assert answer(text, tmp_path, 1) == ("ok", [3])


def test_operands_have_no_limit_but_the_frame(tmp_path):
    count = 600
    text = f"""(func $one (result i32) (i32.const 1)) (func (export "f") (param i32) (result i32)
      {"call $one " * count} {"i32.add " * (count - 1)})"""
    assert answer(text, tmp_path) == ("ok", [count])


# what an image may hold

RETURN = CompiledFunction("f", FunctionType((), ()), 0, encode(BY_NAME["return"]), [], [])


def functions(count: int) -> CompiledModule:
    return CompiledModule("", Module(types=[RETURN.type]), [RETURN] * count, [])


def signatures(count: int) -> CompiledModule:
    """A function that calls by as many types, less its own; each type is a number written with digits of base four."""
    kinds = ("i32", "i64", "f32", "f64")
    types = [FunctionType(tuple(kinds[i >> 2 * digit & 3] for digit in range(8)), ()) for i in range(count - 1)]
    call = encode(BY_NAME["call_indirect"], k=21, a=0, s=0, t=0)
    relocations = [Relocation(len(call) * i + 2, "signature", i) for i in range(count - 1)]
    body = CompiledFunction("f", RETURN.type, 21, call * (count - 1), relocations, [])
    return CompiledModule("", Module(types=[*types, RETURN.type]), [body], [])


def globals_(count: int) -> CompiledModule:
    return holding(globals=[Global(GlobalType("i32", True), [])] * count)


def wide_globals(slots: int) -> CompiledModule:
    return holding(globals=[Global(GlobalType("f64", True), [])] * (slots // 2 + slots % 2))


def tables(count: int) -> CompiledModule:
    return holding(tables=[TableType("funcref", Limits(0, None))] * count)


def memories(count: int) -> CompiledModule:
    module = Module(types=[RETURN.type], memories=[MemoryType(Limits(0, None))] * count)
    return CompiledModule("", module, [RETURN], [MemoryPlan(0, 0, 0)] * count)


def tags(count: int) -> CompiledModule:
    return holding(tags=[RETURN.type] * count)


def values_of_a_tag(count: int) -> CompiledModule:
    return holding(tags=[FunctionType(("i32",) * count, ())])


def datas(count: int) -> CompiledModule:
    return holding(datas=[Data("passive", 0, None, b"")] * count)


def elements(count: int) -> CompiledModule:
    return holding(elements=[Element("passive", 0, None, "funcref", [], 0)] * count)


def holding(**fields: list) -> CompiledModule:
    return CompiledModule("", Module(types=[RETURN.type], **fields), [RETURN], [])


COUNTED = {
    "functions": functions,
    "function types": signatures,
    "slots of globals": globals_,
    "tables": tables,
    "memories": memories,
    "tags": tags,
    "slots of an exception": values_of_a_tag,
    "data segments": datas,
    "element segments": elements,
}


@pytest.mark.parametrize("what", COUNTED)
def test_what_an_image_numbers(what):
    make: Callable[[int], CompiledModule] = COUNTED[what]
    assert link([make(NONE)], STACK_SLOTS).image.build()
    with pytest.raises(Unsupported, match=f"^{NONE + 1} {what} are not supported, an image holds {NONE} at most"):
        link([make(NONE + 1)], STACK_SLOTS)


def test_globals_of_two_slots_count_twice():
    link([wide_globals(NONE - 1)], STACK_SLOTS)
    with pytest.raises(Unsupported, match="65536 slots of globals"):
        link([wide_globals(NONE + 1)], STACK_SLOTS)


def test_several_modules_share_the_numbers():
    half = tables(NONE // 2 + 1)
    with pytest.raises(Unsupported, match="65536 tables"):
        link([half, half], STACK_SLOTS)


@pytest.mark.parametrize("place", ["parameters", "results"])
def test_slots_of_a_type_that_is_only_called(place):
    """No function of the module has the type, so no frame is too large."""
    for count in (NONE, NONE + 1):
        long = ("i32",) * count
        type_ = FunctionType(long, ()) if place == "parameters" else FunctionType((), long)
        body = CompiledFunction("f", type_, 0, RETURN.halfwords, [], [])
        compiled = CompiledModule("", Module(types=[type_]), [body], [])
        if count == NONE:
            assert parse(link([compiled], STACK_SLOTS).image.build()).signatures[0][f"{place[:-1]}_slots"] == NONE
        else:
            with pytest.raises(Unsupported, match=f"{count} slots of {place}"):
                link([compiled], STACK_SLOTS)


# what a board has


@pytest.mark.parametrize("maximum, room, grown", [("", 5, 4), ("3", 5, 2), ("9", 0, 0)])
def test_growth_of_a_table(maximum, room, grown, tmp_path):
    """To its maximum or to the room for tables; not at all without such room."""
    text = f"""(table 1 {maximum} funcref)
      (func (export "f") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))"""
    assert answer(text, tmp_path, grown, table_room=room) == ("ok", [1])
    assert answer(text, tmp_path, grown + 1, table_room=room) == ("ok", [0xFFFFFFFF])


def test_boards_with_room_for_tables_that_grow():
    with_room = {board.name for board in devices.runtime_boards() if fit.table_room(board)}
    assert with_room == {"mps2-an385", "mps2-an386", "mps2-m0"}


@pytest.mark.parametrize(
    "text, words",
    [
        ("(table 100000 funcref)", "bytes of RAM more than microbit has"),
        ('(memory 1) (global (mut i32) (i32.const 0)) (data (i32.const 0) "' + "x" * 20000 + '")', "linear memory"),
    ],
)
def test_what_needs_more_ram_than_there_is(text, words):
    with pytest.raises(DoesNotFit, match=words):
        build_image(assemble(f"(module {text})"), devices.board("microbit"))


def test_what_needs_more_flash_than_there_is():
    board = devices.board("microbit")
    room = board.chip.map.slot.size
    built = build_image(assemble(f'(module (memory 0) (data "{"x" * (room - 1000)}"))'), board)
    check_size(built.image, board)
    with pytest.raises(DoesNotFit, match=rf"the slot of microbit has {room}"):
        check_size(build_image(assemble(f'(module (memory 0) (data "{"x" * room}"))'), board).image, board)


def test_the_page_has_the_numbers():
    """The table in SPEC.md says what the code enforces."""
    page = re.sub(r"\s+", " ", SPEC.read_text().partition("## Limits")[2])
    for number in (50_000, LARGEST_FRAME, 248, 255, NONE):
        assert re.search(rf"\b{number}\b", page), number
