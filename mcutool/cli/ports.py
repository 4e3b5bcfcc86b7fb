"""List the serial ports that a board may be on, known boards first.

examples:
  mcutool ports
  mcutool ports --json                                          # for a script
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from mcutool import devices


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def execute(options: argparse.Namespace) -> int:
    from mcutool.flash.link import list_ports

    boards = {identity: board.name for board in devices.boards() for identity in board.usb_identities}
    ports = [{**dataclasses.asdict(port), "board": boards.get(port.usb)} for port in list_ports(boards)]
    if options.json:
        print(json.dumps(ports))
    for port in [] if options.json else ports:
        print(f"{port['device']:<20}{port['usb']:<12}{port['board'] or port['description']}")
    if not ports and not options.json:
        print("no serial port found; `mcutool emulate BOARD` offers an emulated one")
    return 0
