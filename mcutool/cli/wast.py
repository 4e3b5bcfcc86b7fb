"""Run scripts of the WebAssembly test suite (.wast) on an emulated board.

Assertions about text that is malformed are decided by the assembler, everything else by mcutool's validator and by
the board's own firmware in the emulator. The exit code is 1 when an assertion failed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcutool import devices
from mcutool.cli.options import add_board, integer


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .wast script")
    add_board(parser)
    parser.add_argument("--workers", type=integer, default=1, metavar="N", help="run so many files at a time")
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    from mcutool.wast.campaign import run_files

    reports = []
    for report in run_files([Path(f) for f in options.files], devices.board(options.board), options.workers):
        reports.append(report)
        if not options.json:
            _print(report)
    if options.json:
        print(json.dumps({"files": reports}))
    return int(any(report["failed"] for report in reports))


def _print(report: dict) -> None:
    counts = ", ".join(f"{report[key]} {key}" for key in ("passed", "failed", "skipped"))
    print(f"{report['file']}: {report['assertions']} assertions: {counts}")
    for failure in report["failures"]:
        print(f"  line {failure['line']}: {failure['message']}")
