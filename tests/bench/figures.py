"""The figures of the suite: what is divided by what, and how programs are averaged.

Each figure is a fraction for each program. The mean that counts is the geometric mean of the programs with integers and
f32; f64 is apart, since its time goes into arithmetic that no core here has. Sizes are also given as the ratio of the
totals, where large programs weigh more. This file refuses to know how the numbers were counted and how they look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tests.bench.measure import BOARDS, LEVELS, PROGRAMS, WAIT_STATES, Measured

Levels = dict[str, Measured]
"""A program by the compilers' level of optimisation."""
Suite = dict[str, Levels]
Fraction = tuple[float, float]
LIMIT = 16.0
"""Programs that take more times the cycles of native code are named."""


@dataclass(frozen=True)
class Figure:
    """A heading, and the fraction that stands under it."""

    heading: str
    of: Callable[[Levels], Fraction]

    def ratio(self, program: Levels) -> float:
        above, below = self.of(program)
        return above / below

    def mean(self, programs: Iterable[Levels]) -> float:
        return geometric_mean(self.ratio(program) for program in programs)

    def total(self, programs: Iterable[Levels]) -> float:
        """The ratio of the sums."""
        above, below = zip(*map(self.of, programs), strict=True)
        return sum(above) / sum(below)


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that fits ratios."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms))


def groups(suite: Suite) -> dict[str, list[Levels]]:
    """The programs that are averaged together, the ones that count first. On cores without floating-point unit f32 is
    as foreign as f64, so the integer programs stand alone too."""
    kinds = {"integer and f32": ("integer", "f32"), "integer": ("integer",), "f64": ("f64",)}
    parts = {t: [p for name, p in suite.items() if PROGRAMS[name].kind in wanted] for t, wanted in kinds.items()}
    return {title: programs for title, programs in parts.items() if programs}


# --- Speed: everything relative to native code at -O2 -----------------------------------------------------------------


def cycles(level: str, on: str, wait_states: int, program: Levels) -> Fraction:
    costs = program[level].bytecode[on].cost, program["O2"].native[on].cost
    return costs[0].cycles[wait_states], costs[1].cycles[wait_states]


def native_cycles(level: str, on: str, program: Levels) -> Fraction:
    return program[level].native[on].cost.cycles[0], program["O2"].native[on].cost.cycles[0]


def instructions(level: str, on: str, program: Levels) -> Fraction:
    return program[level].bytecode[on].cost.instructions, program["O2"].native[on].cost.instructions


def dispatches(level: str, on: str, program: Levels) -> Fraction:
    return program[level].translated.dispatches, program["O2"].native[on].cost.instructions


def cycles_per_dispatch(level: str, on: str, program: Levels) -> Fraction:
    return program[level].bytecode[on].cost.cycles[0], program[level].translated.dispatches


def speed(on: str) -> list[Figure]:
    """What is told of a board's core."""
    return [
        Figure("cycles", partial(cycles, "O2", on, 0)),
        Figure("instr.", partial(instructions, "O2", on)),
        Figure("dispatches", partial(dispatches, "O2", on)),
        Figure("cycles per dispatch", partial(cycles_per_dispatch, "O2", on)),
        Figure("at 2 wait states", partial(cycles, "O2", on, 2)),
        Figure("-Os: cycles", partial(cycles, "Os", on, 0)),
        Figure("-Os: instr.", partial(instructions, "Os", on)),
        Figure("-Os: native cycles", partial(native_cycles, "Os", on)),
    ]


def waiting(on: str) -> list[Figure]:
    """The cycles at 0, 1, ... wait states of the flash."""
    return [Figure(str(states), partial(cycles, "O2", on, states)) for states in WAIT_STATES]


def slow_programs(suite: Suite) -> dict[str, list[str]]:
    """By level and board, the programs above the limit."""
    found = {}
    for level in LEVELS:
        for on in BOARDS:
            figure = Figure("", partial(cycles, level, on, 0))
            slow = {name: figure.ratio(levels) for name, levels in suite.items()}
            found[f"-{level} on the {BOARDS[on]}"] = [f"{n} {r:.1f}" for n, r in slow.items() if r > LIMIT]
    return {where: names for where, names in found.items() if names}


# --- Size -------------------------------------------------------------------------------------------------------------


def functions_to_wasm(level: str, program: Levels) -> Fraction:
    return program[level].translated.functions, program[level].translated.wasm_code


def code_to_wasm(level: str, program: Levels) -> Fraction:
    return program[level].translated.code, program[level].translated.wasm_code


def code_to_native(level: str, on: str, program: Levels) -> Fraction:
    return program[level].translated.code, program[level].native[on].text


def size(level: str) -> list[Figure]:
    """Bytes of bytecode relative to the module's code section, and to native code of the same level without gcc's
    library; `functions` leaves out what instantiates the module."""
    return [
        Figure("functions to wasm", partial(functions_to_wasm, level)),
        Figure("code to wasm", partial(code_to_wasm, level)),
        *(Figure(f"code to native {core}", partial(code_to_native, level, on)) for on, core in BOARDS.items()),
    ]


# --- All of it --------------------------------------------------------------------------------------------------------


def record(suite: Suite) -> dict[str, Any]:
    """Counts and figures for programs that read them."""
    return {
        "programs": {name: {level: asdict(m) for level, m in levels.items()} for name, levels in suite.items()},
        "speed": {on: _told(speed(on), suite) for on in BOARDS},
        "wait_states": {on: _told(waiting(on), suite) for on in BOARDS},
        "size": {level: _told(size(level), suite, totals=True) for level in LEVELS},
        "slow": slow_programs(suite),
    }


def _told(figures: list[Figure], suite: Suite, totals: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for figure in figures:
        means = {title: figure.mean(programs) for title, programs in groups(suite).items()}
        total = {"ratio of totals": figure.total(suite.values())} if totals else {}
        programs = {name: figure.ratio(levels) for name, levels in suite.items()}
        told[figure.heading] = {"geometric_mean": means, **total, "programs": programs}
    return told
