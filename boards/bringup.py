"""A bring-up to copy and change: the usual checks of a board, then one of its own, and a report for a production line.

    python boards/bringup.py BOARD [PORT]      without PORT the board is emulated

It ends with the exit code of the first failed step and leaves BOARD.xml, JUnit's format, in the present folder.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mcutool import devices
from mcutool.bringup import STEPS, Bench, Step, bring_up, emulated_bench
from mcutool.errors import Error, VerificationFailed
from mcutool.flash.link import SerialLink

PROGRAM = Path(__file__).resolve().parents[1] / "examples" / "hello.wasm"


def delivered_program(bench: Bench) -> str:
    """A step is a function of the bench: it returns what it found, or raises one of mcutool.errors.

    `bench.install` gives the board of `mcutool.open_board`: call, write, expect, reset.
    """
    said = bench.install(PROGRAM).expect(re.compile(rb"Hello.*"), timeout=2)
    if b"WebAssembly" not in said[0]:
        raise VerificationFailed(f"{PROGRAM.name} said {said[0]!r}", next_action="look at the module that is delivered")
    return f"{PROGRAM.name} says {said[0].decode()!r}"


def main(name: str, port: str | None = None) -> int:
    board = devices.board(name)
    link = SerialLink(port, board.chip.uart.default_baud) if port else None
    bench = Bench(board, link) if link else emulated_bench(board)
    own = Step("program", needs=("flash test", "RAM test"), action=delivered_program)
    report = bring_up(bench, (*STEPS, own), on_result=lambda result: print(result.text(), flush=True))
    print(report.summary())
    Path(f"{name}.xml").write_text(report.junit(), encoding="utf-8")
    return report.exit_code


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Error as error:
        print(f"{error}\n  next: {error.next_action}", file=sys.stderr)
        sys.exit(error.exit_code)
