"""What the listing says of an instruction's cycles is what the emulated core counts, row by row."""

from __future__ import annotations

import pytest

from mcutool import devices
from mcutool.armv7m import is_assembled, needs_fpu
from mcutool.emulator import helper
from mcutool.emulator.estimate import Estimates, estimates
from mcutool.emulator.profile import Profile
from mcutool.emulator.session import EmulatedSession
from mcutool.encoding import encode, fields
from mcutool.image.format import parse
from mcutool.isa import BY_NAME, ROWS, Row
from mcutool.listing import listings
from mcutool.pipeline import build_image
from mcutool.run import Task, run
from mcutool.wasm.text import assemble
from tests.isa.bare import BareCore
from tests.isa.test_access import ACCESSES, HALT, USE
from tests.isa.test_handlers import COMPUTED, SLOTS, cases, result_of

THREADED = ("mps2-an385", "mps2-an386")
OTHERS = [BY_NAME[name] for name in ("br", "br.wide", "br_table", "slot.load", "slot.store")]
PROGRAMS = {
    "nothing": "",
    "calls": "(call $one) (call $one)",
    "globals": "(global.set $n (i32.add (global.get $n) (i32.const 7))) (global.set $w (global.get $w))",
    "work": "(i32.store (i32.const 800) (i32.xor (i32.load (i32.const 400)) (i32.load8_u (i32.const 300))))",
}


class Bench:
    """A core that counts the cycles of a piece of bytecode."""

    def __init__(self, board: str) -> None:
        self.estimates: Estimates = estimates(devices.board(board))
        self.board, self._core = board, BareCore(board)
        self._profile = Profile(self._core._machine, "vm_execute")

    def cycles(self, code: list[int], slots: tuple[int, ...]) -> int:
        self._profile.clear()
        self._core.load(code)
        self._core.set_memory(0, bytes(2048), 2048)
        assert self._core.run(0, slots).trap == 0
        return self._profile.counts().cycles

    def added(self, instruction: list[int], slots: tuple[int, ...]) -> int:
        """The cycles that an instruction adds to a program of two others."""
        return self.cycles(USE + instruction + HALT * 8, slots) - self.cycles(USE + HALT, slots)


@pytest.fixture(scope="module", params=["mps2-m0", *THREADED])
def bench(request: pytest.FixtureRequest) -> Bench:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper, "library", lambda: None)  # the counter in C wants the machine's own loop
        return Bench(request.param)


def slots_for(row: Row, values: dict[str, int]) -> tuple[int, ...]:
    slots = [0] * 16
    for letter in row.slot_types.keys() & values.keys():
        slots[SLOTS[letter]], slots[SLOTS[letter] + 1] = values[letter] & 0xFFFFFFFF, values[letter] >> 32 & 0xFFFFFFFF
    return tuple(slots)


def with_operands(row: Row, numbers: dict[str, int]) -> list[int]:
    given = {letter: SLOTS[letter] for letter in row.slot_types}
    given |= {letter: numbers.get(letter, 0) for letter in fields(row) if letter not in row.slot_types}
    return encode(row, [5, 5], **given) if "n" in fields(row) else encode(row, **given)


def is_conditional(row: Row) -> bool:
    return "j" in fields(row) and "if (" in row.meaning


def given(row: Row) -> list[dict[str, int]]:
    """Some operands: all kinds of values where it computes, addresses of ordinary places where it reaches memory."""
    if row not in COMPUTED:
        places = ((600, 8), (800, 1), (512, 4), (700, 70))
        return [{"a": a, "b": b, "e": 900 if row.name.endswith(".at") else 0, "z": 7, "n": 1} for a, b in places]
    found = [case for case in cases(row) if not isinstance(result_of(row, case), str)]
    return found[:: len(found) // 20 + 1]


def test_rows_cost_what_is_told(bench: Bench) -> None:
    told = 0
    for row in (row for row in [*COMPUTED, *ACCESSES, *OTHERS] if not is_conditional(row)):
        bounds = bench.estimates.cycles(row)
        for case in given(row) if bounds else ():
            code = with_operands(row, {"j": row.halfwords} | case)
            assert bounds[0] <= bench.added(code, slots_for(row, case)) <= bounds[-1], (row.name, case)
        told += bool(bounds)
    assert told > 100


def test_branches_cost_what_is_told_taken_and_not(bench: Bench) -> None:
    for row in filter(is_conditional, COMPUTED):
        told = bench.estimates.cycles(row)
        assert len(told) == 2
        for bound, is_taken in zip(told, (True, False), strict=True):
            found = [case for case in cases(row) if bool(result_of(row, case)) == is_taken]
            for case in found[:: len(found) // 10 + 1]:
                added = bench.added(with_operands(row, case | {"j": row.halfwords + 1}), slots_for(row, case))
                assert added == bound or bench.board not in THREADED and added < bound, (row.name, case)


@pytest.mark.parametrize("board", THREADED)
def test_every_handler_in_assembly_is_told_of(board: str) -> None:
    described = devices.board(board)
    has_fpu = described.chip.core.fpu
    for row in ROWS:
        told = estimates(described).cycles(row)
        if row.name in ("halt", "trap") or not (is_assembled(row) or has_fpu and needs_fpu(row)):
            assert told == (), f"{row.name} ends in C"
        else:
            varies = is_conditional(row) or row.name in ("f32.min", "f32.max")  # the least, and the most with a NaN
            assert len(told) == 1 + varies or row.calls and told == (), row.name


@pytest.mark.parametrize("board", ["mps2-m0", *THREADED])
def test_a_program_takes_the_sum(board: str) -> None:
    around = None
    for body in PROGRAMS.values():
        cycles, least, most = counted_and_told(devices.board(board), body)
        around = cycles - least if around is None else around
        assert least <= cycles - around <= most
        assert least == most or board not in THREADED


def counted_and_told(board: devices.Board, body: str) -> tuple[int, int, int]:
    """The cycles of a function without branches, counted, and what its listing and that of $one say."""
    module = assemble(
        f"""(module (memory 1) (data (i32.const 300) "12345678") (global $n (mut i32) (i32.const 1))
        (global $w (mut i64) (i64.const 1)) (table 1 funcref) (elem (i32.const 0) $one)
        (func $one (global.set $n (i32.mul (global.get $n) (i32.const 3)))) (func (export "f") {body}))"""
    )
    built = build_image(module, board)
    outcome = run(EmulatedSession(board, bytes, measure=True), built, board, Task(invoke="f"), None)
    one, f, *_ = listings(parse(built.image), built.map, estimates(board))
    lines = [*f.lines, *one.lines * sum("call" in line.text for line in f.lines)]
    assert outcome.cycles is not None
    return outcome.cycles, *(sum(line.cycles[end] for line in lines if line.cycles) for end in (0, -1))
