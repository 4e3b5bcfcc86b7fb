"""Every road of every benchmark computes what wasmtime computes, and the bench's own machinery is right."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from wasmtime import Engine, Instance, Module, Store

from mcutool.devices import board
from mcutool.emulator import helper
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.profile import Counts, Profile
from tests.bench import measure, plot
from tests.bench.figures import Figure, cycles, geometric_mean, record, slow_programs
from tests.bench.measure import BOARDS, HERE, LEVELS, PROGRAMS, WAIT_STATES, Bytecode, Cost, Measured, Native

# --- The programs -----------------------------------------------------------------------------------------------------


def _on_wasmtime(wasm: Path, argument: int) -> int:
    store = Store(Engine())
    run = Instance(store, Module.from_file(store.engine, str(wasm)), []).exports(store)["run"]
    return run(store, argument) & 0xFFFFFFFF  # type: ignore[operator]


@pytest.mark.parametrize(("level", "boards"), [("O2", tuple(BOARDS)), ("Os", ("mps2-an386",))])
@pytest.mark.parametrize("name", PROGRAMS)
def test_roads_agree(name: str, level: str, boards: tuple[str, ...], tmp_path: Path) -> None:
    program = PROGRAMS[name]
    measured = measure.measure(program, level, tmp_path, boards)
    assert measured.agrees
    assert measured.translated.checksum == _on_wasmtime(tmp_path / level / f"{name}.wasm", program.argument)
    for on in boards:  # a budget: whoever lowers the figures may lower this; ours does f32 and f64 faster than libgcc
        assert 0.5 < measured.bytecode[on].cost.cycles[0] / measured.native[on].cost.cycles[0] < 30


# --- The figures ------------------------------------------------------------------------------------------------------


def _measured(program: str, level: str, native: int, bytecode: int) -> Measured:
    costs = [Cost(1, count, tuple(count * (10 + s) for s in WAIT_STATES)) for count in (native, bytecode)]
    translated = measure.Translated(100, 60, 70, 1024, 40, 0.1, native, 1)
    roads = {on: Native(50, 0, costs[0]) for on in BOARDS}, {on: Bytecode(64, costs[1]) for on in BOARDS}
    return Measured(program, level, translated, *roads)


SUITE = {
    "crc32": {level: _measured("crc32", level, 1000, 2000) for level in LEVELS},
    "lz": {level: _measured("lz", level, 10, 80) for level in LEVELS},
    "nbody": {level: _measured("nbody", level, 10, 300) for level in LEVELS},
}


def test_means_and_totals() -> None:
    assert geometric_mean([2, 8]) == pytest.approx(4)
    figure = Figure("", lambda levels: cycles("O2", "mps2-m0", 0, levels))
    assert [figure.ratio(levels) for levels in SUITE.values()] == [2, 8, 30]
    assert figure.mean([SUITE["crc32"], SUITE["lz"]]) == pytest.approx(4)
    assert figure.total([SUITE["crc32"], SUITE["lz"]]) == pytest.approx(2080 / 1010)


def test_the_record_has_the_means_of_each_group() -> None:
    told = record(SUITE)
    assert told["speed"]["mps2-an386"]["cycles"]["geometric_mean"] == pytest.approx(
        {"integer and f32": 4, "integer": 4, "f64": 30}
    )
    assert told["size"]["Os"]["functions to wasm"]["ratio of totals"] == pytest.approx(0.6)
    assert told["programs"]["lz"]["O2"]["native"]["mps2-m0"]["cost"]["instructions"] == 10
    assert slow_programs(SUITE)["-O2 on the M3"] == ["nbody 30.0"]


def test_a_wrong_checksum_is_seen() -> None:
    good = SUITE["lz"]["O2"]
    bad = {**good.bytecode, "mps2-m0": Bytecode(64, Cost(2, 80, (80,)))}
    assert good.agrees
    assert not Measured("lz", "O2", good.translated, good.native, bad).agrees


def test_a_chart_is_well_formed() -> None:
    chart = plot.bars("a < b & c", ["x", "y"], {"one": [1.0, 2.0], "<two>": [4.0, 0.5]}, mark=3)
    shapes = list(ElementTree.fromstring(chart))
    bars = [shape for shape in shapes if shape.get("height") == str(plot.BAR - 1)]
    assert [float(bar.attrib["width"]) for bar in bars] == [plot.BARS * part for part in (0.25, 0.5, 1, 0.125)]
    assert "<two>" in [shape.text for shape in shapes]


def test_the_linkers_map_tells_own_code_from_the_library() -> None:
    link_map = """
 .text          0x00000000       0x99 /tmp/dropped.o

Linker script and memory map

 .text          0x00000008       0x64 /tmp/a.o
 .text.startup.run
                0x0000006c       0x10 /tmp/b.o
 .text          0x0000007c       0x20 /usr/lib/gcc/x/libgcc.a(_udivmoddi4.o)
 .rodata        0x0000009c       0x08 /tmp/a.o
"""
    assert measure.code_sizes(link_map) == (0x74, 0x20)


# --- Wait states ------------------------------------------------------------------------------------------------------

ACCESSES = """
    .syntax unified
    .thumb
    .text
    .global run
    .type run, %function
run:
    ldr r1, =0x20001000     @ a constant in flash
    adr r2, constants
    ldrd r2, r3, [r2]       @ two words of flash
    str r2, [r1]
    ldr r2, [r1]            @ RAM
    str r2, [r1, #2]        @ not aligned
    ldrh r2, [r1, #3]       @ not aligned
    cmp r1, #0
    ite ne
    ldrbne r2, [r1]         @ RAM, in a block of conditional instructions
    moveq r2, #1
    b 1f                    @ a branch
    nop
1:  movs r0, #7
    bx lr                   @ a branch
    .size run, . - run
    .align 2
constants: .word 1, 2
    .ltorg
"""


@pytest.fixture(scope="module")
def accesses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accesses")
    (folder / "run.s").write_text(ACCESSES, encoding="utf-8")
    flags = [*board("mps2-an386").chip.core.gcc_flags, "-O2", "-DN=0", *measure.GCC[1:]]
    subprocess.run(["arm-none-eabi-gcc", *flags, HERE / "native.c", folder / "run.s", "-o", folder / "elf"], check=True)
    return folder / "elf"


@pytest.mark.parametrize("with_helper", [True, False])
def test_wait_states(accesses: Path, with_helper: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_helper:
        monkeypatch.setattr(helper, "library", lambda: None)
    machine = Machine(board("mps2-an386"), accesses)
    profile = Profile(machine, "run", accesses=True)
    assert machine.run(instructions=10_000) is Reason.EXIT
    counts = profile.counts()
    assert (counts.flash_reads, counts.unaligned, counts.branches) == (3, 2, 2)
    assert machine.engine.word(0x20001002) == 1 and measure.word(machine, accesses, "result") == 7
    assert [counts.cycles_at(states) - counts.cycles for states in (0, 1, 2, 5)] == [0, 7, 12, 27]


def test_no_wait_states_cost_nothing() -> None:
    assert Counts(cycles=100, branches=3, flash_reads=2, unaligned=1).cycles_at(0) == 100
