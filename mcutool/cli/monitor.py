"""Show a board's console and type into it; Ctrl-C ends it.

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

from mcutool import devices
from mcutool.cli.options import DEFAULT_BAUD, add_baud, add_port, pattern, seconds


def arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser)
    add_baud(parser)
    parser.add_argument("--reset", action="store_true", help="restart the board first, to miss nothing it says")
    end = parser.add_argument_group("end")
    end.add_argument("--until", type=pattern, metavar="REGEX", help="end when the output matches")
    end.add_argument("--timeout", type=seconds, metavar="S", help="end after S seconds: an error with --until")


def execute(options: argparse.Namespace) -> int:
    from mcutool import feeding, monitor
    from mcutool.flash.engine import SmpClient
    from mcutool.flash.link import SerialLink, choose_port

    port = options.port or choose_port(identity for board in devices.boards() for identity in board.usb)
    screen = monitor.Screen(_show)
    client = SmpClient(SerialLink(port, options.baud or DEFAULT_BAUD), on_text=screen.show)
    if options.reset:
        client.reset()
    monitor.watch(client, screen, feeding.LiveInput(sys.stdin.buffer), until=options.until, timeout=options.timeout)
    return 0


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
