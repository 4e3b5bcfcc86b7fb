"""List the bytecode of a module or of an image, function by function.

Beside each instruction stand the cycles that its handler in the board's runtime takes by a model of the core with zero
wait states, and where it comes from: the byte of APP.wasm, and the line of the source if that has debug information.

examples:
  mcutool disasm app.wasm                                       # cycles of a Cortex-M4F
  mcutool disasm app.mcu --board microbit --json                # for a script
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from mcutool import devices
from mcutool.cli.options import add_board
from mcutool.cli.progress import Stages


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="APP.wasm, APP.wat or APP.mcu")
    add_board(parser)
    parser.add_argument("--json", action="store_true", help="print a list of functions")


def execute(options: argparse.Namespace) -> int:
    from mcutool import listing, program
    from mcutool.emulator.estimate import estimates
    from mcutool.image.format import parse

    board = devices.board(options.board)
    with Stages() as stages:
        built = program.load(options.app, board, on_progress=stages)
    costs = estimates(board) if board.has_firmware else None
    functions = list(listing.listings(parse(built.image), built.map, costs))
    if options.json:
        print(json.dumps([dataclasses.asdict(function) for function in functions]))
    else:
        print(listing.render_all(functions, board.chip.core.name if costs else None))
    return 0
