"""Show a board's console and type into it; Ctrl-C stops the program, Ctrl-C again leaves.

What is typed goes to the program line by line; a file or a pipe as standard input may be binary. With --until the
command ends by itself, for scripts.

examples:
  mcutool monitor                                               # on the only port that a board can be on
  mcutool monitor --port /dev/ttyUSB0 --reset                   # from the board's first word
  mcutool monitor --until 'exit [0-9]+' --timeout 30            # for a script: code 6 when it does not come
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mcutool import devices
from mcutool.cli.options import DEFAULT_BAUD, add_baud, add_board, add_port, pattern, seconds

if TYPE_CHECKING:
    from mcutool.flash.smp_client import SmpClient


def arguments(parser: argparse.ArgumentParser) -> None:
    add_board(parser, default=None, otherwise="any, whose reset does not hang on the port's DTR line")
    add_port(parser)
    add_baud(parser)
    parser.add_argument("--reset", action="store_true", help="restart the board first, to miss nothing it says")
    parser.add_argument("--map", metavar="FILE", help="APP.map.json: names and lines (default: found by hash)")
    end = parser.add_argument_group("end")
    end.add_argument("--until", type=pattern, metavar="REGEX", help="end when the output matches")
    end.add_argument("--timeout", type=seconds, metavar="S", help="end after S seconds: an error with --until")


def execute(options: argparse.Namespace) -> int:
    from mcutool import feeding, monitor
    from mcutool.flash.link import SerialLink, choose_port
    from mcutool.flash.smp_client import SmpClient
    from mcutool.places import Places

    port = options.port or choose_port(identity for board in devices.boards() for identity in board.usb_identities)
    known = _map(Path(options.map)) if options.map else None
    screen = monitor.Screen(_show)
    is_fresh = not options.reset

    def hear(data: bytes) -> None:
        """What the board said before it took the request to restart is of the time before."""
        nonlocal is_fresh
        is_fresh = is_fresh or client.has_reply
        if is_fresh:
            screen.show(data)

    resets = options.board is not None and devices.board(options.board).dtr_resets
    client = SmpClient(SerialLink(port, options.baud or DEFAULT_BAUD, dtr=not resets), on_text=hear)
    if options.reset:
        client.reset()
        is_fresh = True
    typed = feeding.LiveInput(sys.stdin.buffer)

    @cache
    def places() -> Places:
        return Places(_found(client) if known is None else known)

    monitor.watch(client, screen, typed, places, until=options.until, timeout=options.timeout, tell=_tell)
    return 0


def _map(path: Path) -> dict:
    from mcutool import program

    program.read(path)  # for the error when it is not there
    return program.read_map(path)


def _found(client: SmpClient) -> dict:
    """The map of the image on the board, when it was built on this computer."""
    from mcutool import maps
    from mcutool.errors import Error

    with suppress(Error):
        for image in client.images():
            if path := maps.find(image.get("hash", b"")):
                return _map(path)
    return {}


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _tell(line: str) -> None:
    """What is not the board's own words goes beside them."""
    print(f"mcutool: {line}", file=sys.stderr, flush=True)
