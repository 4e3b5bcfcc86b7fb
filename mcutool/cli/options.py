"""The options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import argparse

DEFAULT_BOARD = "mps2-an386"
DEFAULT_BAUD = 115200  # what every board's console starts with


def integer(text: str) -> int:
    """A number of bytes or an address: decimal, hexadecimal with 0x, or with k for 1024."""
    try:
        value = int(text[:-1], 0) * 1024 if text[-1:] in ("k", "K") else int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative")
    return value


def seconds(text: str) -> float:
    """A duration, longer than nothing."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not longer than nothing")
    return value


def assignment(text: str) -> str:
    """An environment variable with its value."""
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form K=V")
    return text


def add_board(parser: argparse.ArgumentParser, default: str | None = DEFAULT_BOARD) -> None:
    shown = f" (default: {default})" if default else ""
    parser.add_argument("--board", metavar="B", default=default, help=f"one of `mcutool boards`{shown}")


def add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", metavar="P", help="a serial port or a pyserial URL (see `mcutool ports`)")


def add_baud(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--baud", metavar="N", type=integer, help="bits per second (default: the board's)")


def add_sizes(parser: argparse.ArgumentParser) -> None:
    for name, meaning in (
        ("memory", "size of the linear memory; for a module whose memory is one page"),
        ("heap", "bytes of heap to back beyond what the module uses by itself"),
        ("stack", "bytes of the module's own stack in linear memory"),
    ):
        parser.add_argument(f"--{name}", metavar="BYTES", type=integer, help=meaning)


def sizes(options: argparse.Namespace) -> dict[str, int | None]:
    """The three sizes of `add_sizes`, as keyword arguments."""
    return {"memory": options.memory, "heap": options.heap, "stack": options.stack}
