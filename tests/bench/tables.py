"""The suite's figures as tables on the terminal.

This file decides which figures stand side by side. It refuses to know how any of them is made.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE
from rich.table import Table

from mcutool.devices import runtime_boards
from tests.bench.figures import Figure, Levels, Suite, groups, size, speed, waiting
from tests.bench.measure import BOARDS, WAIT_STATES, firmware_sizes

WIDTH = 150


def new(title: str, headings: list[str], left: int = 1) -> Table:
    """A table whose first columns are text."""
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=index < left)
    return table


def of_speed(suite: Suite, on: str) -> Table:
    """A row a program: everything on one core relative to native code."""
    title = f"{BOARDS[on]} (emulated {on}): bytecode relative to native code of gcc -O2; modelled cycles"
    return _programs(title, suite, speed(on), {"native cycles": lambda p: p["O2"].native[on].cost.cycles[0]})


def of_size(suite: Suite, level: str) -> Table:
    """A row a program: bytes of code, what the bytecode is to them, RAM."""
    title = f"clang -{level} and gcc -{level}: bytes of code; RAM without a heap (linear memory, frames, other)"
    first = next(iter(BOARDS))
    bytes_of: dict[str, Callable[[Levels], float]] = {
        "wasm code": lambda p: p[level].translated.wasm_code,
        "functions": lambda p: p[level].translated.functions,
        "code": lambda p: p[level].translated.code,
        f"native {BOARDS[first]}": lambda p: p[level].native[first].text,
    }
    more: dict[str, Callable[[Levels], float]] = {
        "linear": lambda p: p[level].translated.linear_memory,
        "frames": lambda p: p[level].bytecode[first].stack,
        "other": lambda p: p[level].translated.other_memory,
        "built in ms": lambda p: 1000 * p[level].translated.seconds,
    }
    return _programs(title, suite, size(level), bytes_of, more, totals=True)


def _programs(
    title: str,
    suite: Suite,
    figures: list[Figure],
    before: dict[str, Callable[[Levels], float]],
    behind: dict[str, Callable[[Levels], float]] | None = None,
    totals: bool = False,
) -> Table:
    behind = behind or {}
    table = new(title, ["program", *before, *(figure.heading for figure in figures), *behind])
    for name, levels in suite.items():
        ratios = [f"{figure.ratio(levels):.2f}" for figure in figures]
        counts = [[f"{of(levels):,.0f}" for of in columns.values()] for columns in (before, behind)]
        table.add_row(name, *counts[0], *ratios, *counts[1])
    table.add_section()
    empty = [""] * len(before)
    for group, programs in groups(suite).items():
        table.add_row(f"mean, {group}", *empty, *(f"{figure.mean(programs):.2f}" for figure in figures))
    if totals:
        table.add_row("ratio of totals", *empty, *(f"{figure.total(suite.values()):.2f}" for figure in figures))
    return table


def of_waiting(suite: Suite) -> Table:
    """What wait states of the flash would change in the means."""
    states = [str(number) for number in WAIT_STATES]
    title = "geometric means of modelled cycles relative to native -O2, by wait states of the flash that both run from"
    table = new(title, ["core", "of", *states], 2)
    for on, core in BOARDS.items():
        for group, programs in groups(suite).items():
            table.add_row(core, group, *(f"{figure.mean(programs):.2f}" for figure in waiting(on)))
    return table


def of_firmware() -> Table:
    """Flash and RAM of each runtime that has been built."""
    table = new("runtime of each board, bytes", ["board", "core", "flash", "static RAM"], 2)
    for board in runtime_boards():
        if board.firmware.exists():
            flash, ram = firmware_sizes(board.firmware)
            table.add_row(board.name, board.chip.core.name, f"{flash:,}", f"{ram:,}")
    return table
