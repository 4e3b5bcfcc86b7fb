"""Every instruction of WebAssembly, every row of the instruction table and every trap, executed on each core.

Our own scripts run on each emulated core, and the core itself is watched: an instruction counts when the interpreter
there has entered the handler for what the translator made of it, in a script whose every assertion holds. What the
optimiser has computed beforehand, or a row that the translator never chooses, therefore shows as a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.devices import Board
from mcutool.encoding import decode
from mcutool.isa import ROWS, TRAPS
from mcutool.places import Places
from mcutool.wasm.features import UNTRANSLATED
from mcutool.wasm.module import Expression, Module
from mcutool.wasm.opcodes import OPCODES
from mcutool.wast.runner import Plan, ScriptRunner
from tests.spec import large
from tests.spec.watch import WatchedSession

SCRIPTS = sorted(Path(__file__).with_name("own").glob("*.wast"))
BOARDS = ("mps2-m0", "mps2-an385", "mps2-an386")
NOT_BY_A_PROGRAM = {
    "none": "the number that says that all is well",
    "stopped": "a person or a limit of time stops a program",
    "fuel_used_up": "a limit of its run time stops one of several programs: tests/firmware/test_several.py",
    "illegal_instruction": "only a damaged image holds one",
    "read_only": "only an image built with --rodata flash meets it: tests/image/test_rodata.py",
}
WITHOUT_CODE = {
    **dict.fromkeys(("block", "try_table"), "they only say how far their branches go"),
    **dict.fromkeys(("local.get", "local.set", "local.tee", "drop", "nop"), "values have no places of their own"),
    **dict.fromkeys(
        ("i32.const", "i64.const", "f32.const", "f64.const", "ref.null"),
        "constants stand in the instructions that read them, or are made for those",
    ),
    **dict.fromkeys(
        ("i32.reinterpret_f32", "i64.reinterpret_f64", "f32.reinterpret_i32", "f64.reinterpret_i64", "i32.wrap_i64"),
        "slots have no types, and the low half of a pair is a slot",
    ),
}
"""What nothing is left of in register form; the code around it is executed."""


@dataclass
class Seen:
    """The names of all that a core has executed; `around` are the opcodes of functions of which it executed a part."""

    opcodes: set[str] = field(default_factory=set)
    around: set[str] = field(default_factory=set)
    rows: set[str] = field(default_factory=set)
    traps: set[str] = field(default_factory=set)


def run(path: Path, board: Board, seen: Seen) -> None:
    """A script, all of which must hold."""
    session = WatchedSession(board)
    runner = ScriptRunner(path, path.read_bytes(), board, lambda: session)
    report = runner.run()
    assert report.failures == [] and report.skips == [], path.name
    assert report.passed == report.assertions > 0, path.name
    seen.traps |= {TRAPS[number].name for number in session.traps}
    for position in session.executed:
        decoded = decode(session.code, position)
        assert decoded
        seen.rows.add(decoded.row.name)
    add_opcodes(runner.plan, session.executed, seen)


def add_opcodes(plan: Plan, executed: set[int], seen: Seen) -> None:
    """What the executed instructions were made from, by the map that tells it of each."""
    symbols = plan.linker.map()
    places = Places(symbols)
    for number, _, start, end in symbols["functions"]:
        module = plan.compiled[plan.image.functions[number]["module"]].module
        offsets = {places.wasm_offset(number, position) for position in executed & {*range(start, end)}}
        for expression in expressions(module):
            found = {item.opcode.name for item in expression if item.offset in offsets}
            seen.opcodes |= found
            seen.around |= {item.opcode.name for item in expression if found}


def expressions(module: Module) -> Iterator[Expression]:
    """Function bodies; the constant expressions too, which `instantiate` is made from."""
    yield from (function.body for function in module.functions)
    yield from (global_.expression for global_ in module.globals)


@pytest.mark.parametrize("board", BOARDS)
def test_everything_is_executed(board: str, tmp_path: Path) -> None:
    seen = Seen()
    for path in [*SCRIPTS, *large.write_scripts(tmp_path)]:
        run(path, devices.board(board), seen)
    assert {row.name for row in ROWS} - seen.rows == set()
    assert {trap.name for trap in TRAPS} - seen.traps == NOT_BY_A_PROGRAM.keys()
    wanted = {opcode.name for opcode in OPCODES if opcode.feature not in UNTRANSLATED}
    assert wanted - seen.opcodes == WITHOUT_CODE.keys()
    assert wanted - seen.around == set()
