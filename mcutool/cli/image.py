"""Write the runtime with a module installed as one file, for a drive, a debug probe or a production line.

A chip that gets this file and nothing else starts the module at power-on, as after `mcutool flash APP --runtime`.
Without APP the file holds the runtime alone. The ending of X says the format: .hex and .elf hold their addresses, .bin
belongs at the start of the chip's flash, .uf2 is for bootloaders that show a drive and do not lie in the chip's flash.

examples:
  mcutool image app.wasm --board microbit -o app.hex && cp app.hex /media/$USER/MICROBIT
  mcutool image app.wasm --board stm32f405 -o app.elf && probe-rs download --chip STM32F405RG app.elf
  mcutool image app.wasm --board stm32f405 -o app.bin && st-flash write app.bin 0x08000000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcutool import devices
from mcutool.cli.options import add_board, add_grant, add_sizes, sizes
from mcutool.cli.progress import Stages
from mcutool.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", nargs="?", metavar="APP", help="the module: APP.wasm, APP.wat or APP.mcu")
    add_board(parser, default=None)
    parser.add_argument("-o", dest="output", metavar="X", required=True, help="the file: X.hex, X.bin, X.uf2 or X.elf")
    add_sizes(parser)
    add_grant(parser)
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    from mcutool import flashfile

    if options.board is None:
        raise UsageError("which board?", next_action="name it with --board, see: mcutool boards")
    board = devices.board(options.board)
    with Stages() as stages:
        wishes = {"grants": options.grant, **sizes(options)}
        made = flashfile.write(Path(options.output), board, options.app, on_progress=stages, **wishes)
    print(json.dumps(made) if options.json else flashfile.render(made))
    return 0
