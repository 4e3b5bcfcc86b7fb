"""Put an emulated board on a pseudo-terminal, or with --rfc2217 on a TCP port, until it is interrupted.

It prints one line `ready: URL` when a client may connect. What is on the other end of the line is the board's own
firmware on an emulated core; with --boot rom it is a model of the board's bootloader, as after a reset with the boot
pin pulled or the reset button pressed twice. A board without a runtime has nothing but its bootloader.

examples:
  mcutool emulate stm32f405 --link board                        # then: mcutool monitor --port board
  mcutool emulate stm32f405 --boot rom --flash-file flash.bin   # to be flashed, and to keep it
  mcutool emulate microbit --rfc2217 :2217                      # then: mcutool monitor --port rfc2217://127.0.0.1:2217
  mcutool emulate arduino-zero --boot rom --link ttyACM0        # then: bossac -p ttyACM0 -o 0x2000 -e -w -v -R APP.bin
  mcutool emulate microbit --drive MICROBIT                     # then: mcutool flash ... --port MICROBIT
  mcutool emulate pico --boot rom --drive RPI-RP2               # then: mcutool flash ... --port RPI-RP2
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcutool import devices


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", help="one of `mcutool boards`")
    parser.add_argument("--boot", choices=("rom", "run"), default="run", help="start in the bootloader or not")
    line = parser.add_argument_group("where a client finds it")
    line.add_argument("--link", type=Path, metavar="PATH", help="make a symbolic link to the pseudo-terminal")
    line.add_argument("--rfc2217", metavar="HOST:PORT", help="serve this address (without HOST: 127.0.0.1)")
    line.add_argument("--drive", type=Path, metavar="FOLDER", help="show its drive there, of bootloader or probe")
    parser.add_argument("--flash-file", type=Path, metavar="F", help="keep the contents of the flash in this file")
    parser.add_argument("--json", action="store_true", help="print one object instead of the line")


def execute(options: argparse.Namespace) -> int:
    board = devices.board(options.board)

    from mcutool.emulator.serve import serve

    def announce(url: str) -> None:
        print(json.dumps({"board": board.name, "url": url}) if options.json else f"ready: {url}", flush=True)

    serve(
        board,
        boot0=options.boot == "rom",
        link=options.link,
        rfc2217=options.rfc2217,
        flash_file=options.flash_file,
        drive=options.drive,
        announce=announce,
    )
    return 0
