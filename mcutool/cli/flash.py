"""Install on a board over its serial port: the runtime, a module, or a raw file for the chip's flash.

The runtime and raw files (.elf, .hex, .bin, .uf2) go through the ROM bootloader: start the board in it first. A module
goes to the runtime, which starts it.

examples:
  mcutool flash app.wasm --port /dev/ttyUSB0                    # to the runtime that answers there
  mcutool flash app.wasm --runtime --board stm32f405            # first the runtime, through the ROM
  mcutool flash app.wasm --board stm32f405 --dry-run            # what would be done
  mcutool flash other.bin --address 0x08000000 --board stm32f405# a raw file
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from mcutool import devices
from mcutool.cli.options import DEFAULT_BAUD, add_baud, add_board, add_port, integer
from mcutool.cli.progress import Stages
from mcutool.errors import UsageError

if TYPE_CHECKING:
    from mcutool.flash.link import Link


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="APP.wasm, .wat, .mcu, or RAW.elf, .hex, .bin, .uf2")
    parser.add_argument("--runtime", action="store_true", help="install the runtime, before APP when it is given")
    add_board(parser, default=None, otherwise="the one whose runtime answers")
    add_port(parser)
    add_baud(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--address", type=integer, metavar="A", help="where a .bin file belongs")
    how.add_argument("--dry-run", action="store_true", help="say what would be done, and touch nothing")
    how.add_argument("--full", action="store_true", help="write also what is in flash already")
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    from mcutool import install

    raw = options.file is not None and options.file.endswith(install.RAW_SUFFIXES)
    if options.board is None and (options.runtime or options.dry_run or raw):
        raise UsageError("which board?", next_action="name it with --board, see: mcutool boards")
    link = None if options.board else _open(options, DEFAULT_BAUD)
    board = devices.board(options.board) if link is None else install.identify(link)
    with Stages() as stages:
        job = install.prepare(board, options.file, options.runtime, options.address, stages)
        if not options.dry_run:
            link = link or _open(options, board.chip.uart.default_baud)
            done = install.install(job, link, full=options.full, on_progress=stages)
            link.close()
    if options.dry_run:
        print(json.dumps({"board": board.name, "plan": job.describe()}) if options.json else job.describe())
    else:
        print(json.dumps(done) if options.json else install.render(done))
    return 0


def _open(options: argparse.Namespace, baud: int) -> Link:
    from mcutool.flash.link import SerialLink, choose_port

    known = [identity for board in devices.boards() for identity in board.usb]
    return SerialLink(options.port or choose_port(known), options.baud or baud)
