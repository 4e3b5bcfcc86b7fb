"""Run scripts of the WebAssembly test suite (.wast) with the firmware on an emulated board.

Every assertion that the script makes of running code is made of the code on the board. The exit code is 10 when one
fails.

examples:
  mcutool wast i32.wast i64.wast --workers 2                    # two at a time
  mcutool wast *.wast --scheduler tcp://10.0.0.1:8786           # on every machine of a Dask cluster
  mcutool wast i32.wast --board mps2-m0 --json                  # on an emulated Cortex-M0, for a script
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from mcutool import devices
from mcutool.cli.options import add_board, positive
from mcutool.cli.progress import Stages
from mcutool.errors import VerificationFailed
from mcutool.progress import Progress


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scripts: NAME.wast")
    add_board(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, default=1, metavar="N", help="run N scripts at a time")
    where.add_argument("--scheduler", default="", metavar="ADDRESS", help="run them on the cluster of a Dask scheduler")
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    board = devices.board(options.board)

    from mcutool.wast.campaign import run_files

    reports: list[dict[str, Any]] = []
    with Stages(wanted=options.json) as stages:  # else a line for each script tells how far it is
        # Several processes would begin as copies of this one, of which the display is no part.
        if options.workers == 1 and not options.scheduler:
            stages(Progress("scripts", 0, len(options.files)))
        for report in run_files(options.files, board, options.workers, options.scheduler):
            reports.append(report)
            stages(Progress("scripts", len(reports), len(options.files)))
            if not options.json:
                print(render(report), flush=True)
    if options.json:
        print(json.dumps({"files": reports}))
    return VerificationFailed.exit_code if any(report["failed"] or report["problems"] for report in reports) else 0


def render(report: dict[str, Any]) -> str:
    """One script: a line of counts, one for each failure and one for each reason to skip."""
    lines = [f"{report['file']}: {report['passed']} of {report['assertions']} passed"]
    lines += [f"  line {failure['line']}: {failure['message']}" for failure in report["failures"]]
    lines += [f"  line {problem['line']}: module: {problem['message']}" for problem in report["problems"]]
    reasons = Counter(skip["reason"] for skip in report["skips"])
    lines += [f"  {count} skipped: {reason}" for reason, count in reasons.items()]
    return "\n".join(lines)
