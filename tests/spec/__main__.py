"""Runs the official test suite on emulated boards and prints what passed, by feature: `python -m tests.spec`.

WASM_TESTSUITE names the suite's folder. The exit code is 1 when anything but the known failures fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from firmware_runtime.build import feature_costs
from mcutool import devices
from mcutool.devices import Board
from mcutool.wast.campaign import run_files
from mcutool.wast.script import read_script
from tests.spec.features import FEATURES
from tests.spec.suite import SUITE, differences, scripts
from tests.spec.tally import REFUSED, Tally, assertion_features

BOARDS = "mps2-an386,mps2-an385,mps2-m0"
COSTS = {
    "tail calls": "tail_calls",
    "multiple memories": "multiple_memories",
    "typed function references": "typed_references",
    "exceptions": "exceptions",
}
"""Features that a firmware can be built without, and what isa.py calls them."""


def run(board: Board, features: list[list[tuple[int, str]]], workers: int) -> tuple[Tally, bool]:
    """All scripts on one board; whether the reports say what they should. Prints what they should not say."""
    tally, as_known = Tally(), True
    for path, rows, report in zip(scripts(), features, run_files(scripts(), board, workers), strict=True):
        tally.add(rows, report)
        for line in differences(path, report):
            print(f"{board.name}: {path}: {line}", flush=True)
            as_known = False
    return tally, as_known


def table(tallies: list[Tally], costs: dict[str, list[int]]) -> Iterator[str]:
    """In Markdown; where boards differ, their numbers stand side by side."""
    yield "| feature | assertions | passed | flash, bytes |"
    yield "|---|---:|---:|---:|"
    for feature in (*FEATURES, REFUSED):
        cells = [[t.assertions[feature] for t in tallies], [t.passed[feature] for t in tallies]]
        cells += [costs[COSTS[feature]]] if feature in COSTS else []
        yield "| " + " | ".join([feature, *map(_joined, cells), *["-"] * (3 - len(cells))]) + " |"
    totals = [[t.assertions.total() for t in tallies], [t.passed.total() for t in tallies]]
    yield "| " + " | ".join(["all", *map(_joined, totals), ""]) + "|"


def _joined(numbers: list[int]) -> str:
    return " / ".join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))


def rest(tally: Tally) -> Iterator[str]:
    """What the table leaves out; the boards do not differ in it."""
    yield f"Passed by the assembler's verdict alone: {tally.delegated}."
    skipped = ", ".join(f"{name} {count}" for name, count in tally.skipped.most_common())
    yield f"Not supported, so skipped: {tally.skipped.total()} ({skipped})."


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Runs the WebAssembly test suite on emulated boards.")
    parser.add_argument("--boards", default=BOARDS, help="names, with commas between them")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="run N scripts at a time")
    options = parser.parse_args(arguments)
    if not scripts():
        print(f"there are no scripts in WASM_TESTSUITE={SUITE or ''}", file=sys.stderr)
        return 1
    boards = [devices.board(name) for name in options.boards.split(",")]
    features = [list(assertion_features(read_script(path.read_bytes()))) for path in scripts()]
    results = [run(board, features, options.workers) for board in boards]
    print(f"The official test suite on {', '.join(board.name for board in boards)}, emulated:\n")
    print("\n".join(table([tally for tally, _ in results], feature_costs(boards))), end="\n\n")
    print("\n".join(rest(results[0][0])))
    return 0 if all(as_known for _, as_known in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
