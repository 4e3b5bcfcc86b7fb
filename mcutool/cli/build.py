"""Translate a WebAssembly module into an image for a board, with a map file of names and positions beside it.

examples:
  mcutool build app.wasm                                        # app.mcu, for an emulated Cortex-M4F
  mcutool build app.wasm -o blinky.mcu --board microbit --stack 2k # with 2 KB of stack in linear memory
  mcutool build app.wat --dump optimised                        # what each function became; or all stages
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mcutool import devices
from mcutool.cli.info import render
from mcutool.cli.options import add_board, add_grant, add_sizes, sizes
from mcutool.cli.progress import Stages

DUMPS = "read, ir, optimised, selected, allocated, bytecode, linked, or all"
"""The names in dumps.py, which is slow to import; a test compares them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="the module: APP.wasm or APP.wat")
    parser.add_argument("-o", dest="output", metavar="APP.mcu", help="the image (default: beside the module)")
    add_board(parser)
    add_sizes(parser)
    add_grant(parser)
    parser.add_argument("--dump", metavar="STAGE", help=f"print the program after that stage: {DUMPS}")
    parser.add_argument("--json", action="store_true", help="print the report as one object; stages go to stderr")


def execute(options: argparse.Namespace) -> int:
    from mcutool import program

    board = devices.board(options.board)
    output = Path(options.output or Path(options.app).with_suffix(".mcu"))
    dump = program.printer(options.dump, sys.stderr if options.json else sys.stdout)
    with Stages(wanted=options.dump is None) as stages:
        built = program.load(options.app, board, dump=dump, on_progress=stages, grants=options.grant, **sizes(options))
    program.save(built, output)
    if options.json:
        print(json.dumps({"file": str(output), **built.report}))
    else:
        print(render(str(output), built.report))
    return 0
