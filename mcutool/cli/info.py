"""Say what a module is and needs: its size in flash and RAM on a board, its exports and imports.

examples:
  mcutool info app.wasm --board stm32f405                       # does it fit?
  mcutool info app.mcu --json                                   # for a script
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from mcutool import devices
from mcutool.cli.options import add_board, add_sizes, sizes
from mcutool.cli.progress import Stages


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="APP.wasm, APP.wat or APP.mcu")
    add_board(parser)
    add_sizes(parser)
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    from mcutool import program

    board = devices.board(options.board)
    with Stages() as stages:
        built = program.load(options.app, board, on_progress=stages, **sizes(options))
    if options.json:
        print(json.dumps({"file": options.app, **built.report}))
    else:
        print(render(options.app, built.report))
    return 0


def render(file: str, report: dict[str, Any]) -> str:
    """A report of `mcutool.fit` for people; sizes in bytes."""
    flash, ram = report["flash_bytes"], report["ram_bytes"]
    source = "" if report["wasm_code"] is None else f", from {report['wasm_code']} of WebAssembly"
    lines = [
        f"{file} for {report['board']}",
        f"  flash     {flash['image']} bytes: code {flash['code']}{source}; data {flash['data']}",
        f"  RAM       {sum(ram.values())} of {report['arena']} bytes: linear memory {ram['linear_memory']}"
        f" (declared {report['declared_memory']}), stack {ram['stack']}, other {ram['other']}",
        f"  exports   {', '.join(report['exports']) or 'none'}",
        f"  imports   {', '.join(report['imports']) or 'none'}",
    ]
    if report["missing"]:
        lines.append(f"  ENOSYS on this board: {', '.join(report['missing'])}")
    return "\n".join(lines)
