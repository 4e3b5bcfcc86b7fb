"""Test a board from the first byte on its line to programs that compute right, and say what fails and what to do.

The steps: identify the chip, install the runtime when the chip waits in its ROM bootloader, echo, flash test, RAM test,
clock, blink, and a smoke corpus of small modules. Without --port the board is emulated. The exit code is that of the
first failed step; the program that was installed is erased.

examples:
  mcutool bringup --board stm32f405 --port /dev/ttyUSB0         # through the ROM when BOOT0 is pulled
  mcutool bringup --board stm32f405 --port /dev/ttyUSB0 --full  # all of the flash: takes minutes
  mcutool bringup --board microbit --junit bringup.xml          # emulated, for continuous integration
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mcutool import devices
from mcutool.cli import error_object
from mcutool.cli.options import add_baud, add_board, add_port_of_real_board
from mcutool.errors import UsageError

if TYPE_CHECKING:
    from mcutool.bringup import Bench, Report, Result
    from mcutool.cli.progress import Stages
    from mcutool.progress import Progress


def arguments(parser: argparse.ArgumentParser) -> None:
    add_board(parser, default=None)
    add_port_of_real_board(parser)
    add_baud(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--runtime", action="store_true", help="install the runtime through the ROM bootloader anyway")
    how.add_argument("--full", action="store_true", help="test all flash of the module slot, and RAM above 1 MB")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML too")


def execute(options: argparse.Namespace) -> int:
    from mcutool import bringup

    bench, shown = _bench(options), _Shown(quiet=options.json)
    bench.on_progress = shown.progress
    shown.line(bringup.title(bench.board.name, bench.link.name, bench.emulated))
    report = bringup.bring_up(bench, on_result=shown.result)
    shown.line(report.summary())
    bench.link.close()
    if options.json:
        print(json.dumps({**report.json(), "error": error_object(report.error) if report.error else None}))
    if options.junit:
        _write(options.junit, report)
    if failed := report.failed:
        details = f": {failed.detail}\n  next: {failed.next_action}" if options.json else ""  # else it was just told
        print(f"mcutool: the step `{failed.name}` failed{details}", file=sys.stderr)
    return report.exit_code


class _Shown:
    """A line for each step as it ends, and on a terminal the stages of one that takes long. `quiet`: no lines."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._stages: Stages | None = None

    def progress(self, progress: Progress) -> None:
        from mcutool.cli.progress import Stages

        self._stages = self._stages or Stages()
        self._stages(progress)

    def result(self, result: Result) -> None:
        if self._stages:
            self._stages.close(summary=False)
        self._stages = None
        self.line(result.text())

    def line(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)


def _bench(options: argparse.Namespace) -> Bench:
    """The board to test: emulated in this process, or the one at the port."""
    from mcutool import bringup
    from mcutool.flash.link import SerialLink

    if options.board is None:
        raise UsageError("which board?", next_action="name it with --board, see: mcutool boards")
    board = devices.board(options.board)
    if options.port is None:
        bench = bringup.emulated_bench(board)
    else:
        rate = options.baud or board.chip.uart.default_baud
        fixed = options.baud is not None
        link = SerialLink(options.port, rate, dtr=not board.dtr_resets, baud_is_fixed=fixed)
        bench = bringup.Bench(board, link)
    bench.install_runtime, bench.full = options.runtime, options.full
    return bench


def _write(path: Path, report: Report) -> None:
    try:
        path.write_text(report.junit(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", next_action="choose another with --junit") from error
