"""Prints which instructions, pairs and triples of them programs execute most, and which take most bytes of code:
`python -m tests.bench.pairs [--top N] [--level Os] [PROGRAM...]`, else of all programs of the mean that counts.

Pairs and triples are those that one instruction could do: nothing branches into them, and nothing but the last leaves
them. A share is that of a program's executed instructions, or of its bytes of code, then the mean over the programs,
so that no program outweighs another. Of `x x x`, one pair is counted.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mcutool.devices import board
from mcutool.isa import Row
from mcutool.pipeline import build_image
from tests.bench.dispatches import Place, count
from tests.bench.measure import BOARDS, LEVELS, PROGRAMS, compile_wasm

TITLES = {1: "instructions", 2: "pairs", 3: "triples"}
Names = tuple[str, ...]


@dataclass(frozen=True)
class Shares:
    """Of one program: the share of a sequence among executed instructions, among the bytes of code, and how much of
    the first is where each instruction writes what the next one reads (nothing for single instructions)."""

    executed: dict[Names, float]
    bytes: dict[Names, float]
    linked: dict[Names, float]


def sequences(places: list[Place], length: int) -> Iterator[list[Place]]:
    """Those inside a basic block, without overlaps of the same rows."""
    ends: dict[Names, int] = {}
    for start in range(len(places) - length + 1):
        window = places[start : start + length]
        names = names_of(window)
        inside = not any(p.is_target for p in window[1:]) and not any(leaves(p.decoded.row) for p in window[:-1])
        if inside and ends.get(names, 0) <= start:
            ends[names] = start + length
            yield window


def names_of(window: list[Place]) -> Names:
    return tuple(place.decoded.row.name for place in window)


@cache
def leaves(row: Row) -> bool:
    """Whether control may go on elsewhere than at the next instruction, or comes back there after a call."""
    words = ("LEAVE", "TRAP(", "STOP")
    return any(letter in row.bits for letter in "jnk") or any(word in row.meaning for word in words)


def is_linked(window: list[Place]) -> bool:
    """Whether each instruction writes a slot that the next one reads."""
    return len(window) > 1 and all(_feeds(first, second) for first, second in zip(window, window[1:], strict=False))


def _feeds(first: Place, second: Place) -> bool:
    result = first.decoded.operands.get("d")
    sources = ("a", "b", "c", "d") if _reads_result(second.decoded.row) else ("a", "b", "c")
    return result is not None and result in [second.decoded.operands.get(letter) for letter in sources]


@cache
def _reads_result(row: Row) -> bool:
    """Whether the slot `d` is also read, as in `d += i`."""
    return re.search(r"\bd\b", re.sub(r"\bd = |PUT\(d\)", "", row.meaning)) is not None


def shares(places: list[Place], length: int) -> Shares:
    """All sequences of a length in one program."""
    executed, sizes, linked = Counter[Names](), Counter[Names](), Counter[Names]()
    for window in sequences(places, length):
        names = names_of(window)
        executed[names] += window[-1].executed
        sizes[names] += sum(place.decoded.length for place in window)
        linked[names] += window[-1].executed * is_linked(window)
    total, size = sum(p.executed for p in places), sum(p.decoded.length for p in places)
    return Shares(
        {names: number / total for names, number in executed.items()},
        {names: number / size for names, number in sizes.items()},
        {names: number / total for names, number in linked.items()},
    )


def table(of: dict[str, Shares], length: int, by_bytes: bool, top: int) -> Table:
    """The sequences with the largest mean share."""
    order = "bytes of code" if by_bytes else "execution"
    shown = Table(title=f"{TITLES[length]}, by {order}; per cent, mean of {len(of)} programs")
    kinds = ("executed", "linked", "bytes") if length > 1 else ("executed", "bytes")
    for heading in (TITLES[length], *kinds, "programs", "most in"):
        shown.add_column(heading, justify="left" if heading in (TITLES[length], "most in") else "right", no_wrap=True)
    means = {kind: _means([getattr(s, kind) for s in of.values()]) for kind in kinds}
    for names, _ in islice(means["bytes" if by_bytes else "executed"].most_common(), top):
        own = {name: (s.bytes if by_bytes else s.executed).get(names, 0.0) for name, s in of.items()}
        most = max(own, key=lambda name: own[name])
        shown.add_row(
            " ; ".join(names), *(f"{100 * means[kind][names]:.2f}" for kind in means),
            str(sum(share > 0 for share in own.values())), f"{most} {100 * own[most]:.1f}",
        )  # fmt: skip
    return shown


def _means(of: list[dict[Names, float]]) -> Counter[Names]:
    total: Counter[Names] = Counter()
    for program in of:
        for names, share in program.items():
            total[names] += share / len(of)  # type: ignore[assignment]  # a Counter of shares
    return total


def measure(name: str, level: str, directory: Path) -> list[Place]:
    """The instructions of a program with their counts."""
    wasm = compile_wasm(PROGRAMS[name], level, directory)
    return count(build_image(wasm, board(next(iter(BOARDS)))).image, PROGRAMS[name].argument)[1]


def main() -> int:
    about = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pairs", description=about)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="a file of tests/bench/programs without .c")
    parser.add_argument("--top", type=int, default=40, help="rows a table; default %(default)s")
    parser.add_argument("--level", choices=LEVELS, default="O2", help="clang's optimisation; default %(default)s")
    options = parser.parse_args()
    names = options.programs or [name for name, program in PROGRAMS.items() if program.kind != "f64"]
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as folder:
        shown = track(names, "counting", transient=True)
        counted = {name: measure(name, options.level, Path(folder)) for name in shown}
    for length in TITLES:
        of = {name: shares(places, length) for name, places in counted.items()}
        console.print(table(of, length, False, options.top))
        console.print(table(of, length, True, options.top // 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
