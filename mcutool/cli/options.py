"""The options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import argparse
import re
from typing import Any

from mcutool import settings
from mcutool.errors import UsageError, choose_from
from mcutool.hostapi import GRANTS

DEFAULT_BOARD = "mps2-an386"
DEFAULT_BAUD = 115200  # what every board's console starts with

BOARD, MEMORY = "board", "memory of the module"
"""Titles of groups in the help of a command."""


class Default:
    """What an option is that was not given: the user's setting of that name, or else `fallback`.

    It is looked up when it is needed, so that a wrong setting disturbs only a command that wants it.
    """

    def __init__(self, name: str, fallback: Any, otherwise: str) -> None:
        self.name, self._fallback, self._otherwise = name, fallback, otherwise

    def value(self) -> Any:
        """Raises UsageError when the setting makes no sense."""
        setting = settings.find(self.name)
        return setting.value if setting else self._fallback

    def __str__(self) -> str:
        """For `%(default)s` in the help."""
        try:
            setting = settings.find(self.name)
        except UsageError as error:
            return f"wrong in {error.message}"
        return f"{setting.value}, from {setting.source}" if setting else self._otherwise


def integer(text: str) -> int:
    """A number of bytes or an address: decimal, hexadecimal with 0x, or with k for 1024."""
    try:
        value = int(text[:-1], 0) * 1024 if text[-1:] in ("k", "K") else int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative")
    return value


def positive(text: str) -> int:
    """A number, at least one."""
    value = integer(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not more than nothing")
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


def pattern(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    return text


def capabilities(text: str) -> tuple[str, ...]:
    """Names of capabilities with commas between them, in the order of their table."""
    names = list(filter(None, text.split(",")))
    for name in names:
        if name not in GRANTS:
            raise argparse.ArgumentTypeError(f"{name!r} is no capability; {choose_from(name, GRANTS)}")
    return tuple(name for name in GRANTS if name in names)


def assignment(text: str) -> str:
    """An environment variable with its value."""
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form K=V")
    return unicode(text)


def unicode(text: str) -> str:
    """A text that can be sent to a program: an argument of a command line may be any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UTF-8") from None
    return text


def _add_setting(
    parser: argparse.ArgumentParser, default: Default, metavar: str, meaning: str, kind: Any = str
) -> None:
    group = parser.add_argument_group(BOARD)
    text = f"{meaning} (default: %(default)s)"
    group.add_argument(f"--{default.name}", metavar=metavar, type=kind, default=default, help=text)


def add_board(parser: argparse.ArgumentParser, default: str | None = DEFAULT_BOARD, otherwise: str = "none") -> None:
    """`otherwise` is what the help says of a board without a name."""
    _add_setting(parser, Default("board", default, default or otherwise), "B", "one of `mcutool boards`")


def add_port(parser: argparse.ArgumentParser, meaning: str = "a serial port or a pyserial URL") -> None:
    choice = Default("port", None, "the only one that a board can be on, see `mcutool ports`")
    _add_setting(parser, choice, "P", meaning)


def add_port_of_real_board(parser: argparse.ArgumentParser) -> None:
    """For a command that emulates a board unless it is told otherwise on its command line."""
    text = "use the board on this serial port (default: an emulated board, whatever port is configured)"
    parser.add_argument_group(BOARD).add_argument("--port", metavar="P", help=text)


def add_baud(parser: argparse.ArgumentParser) -> None:
    _add_setting(parser, Default("baud", None, "the board's"), "N", "bits per second", positive)


def add_sizes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(MEMORY)
    for name, meaning in (
        ("memory", "size of the linear memory; for a module whose memory is one page"),
        ("heap", "bytes of heap to back beyond what the module uses by itself"),
        ("stack", "bytes of the module's own stack in linear memory"),
    ):
        group.add_argument(f"--{name}", metavar="BYTES", type=integer, help=meaning)
    group.add_argument(
        "--rodata", choices=("ram", "flash"), default="ram", help="where read-only data lie: in flash they cost no RAM"
    )


def add_grant(parser: argparse.ArgumentParser) -> None:
    meaning = "what the module may use of the board (default: what it imports); an import that needs more stops it"
    parser.add_argument_group("capabilities").add_argument(
        "--grant", metavar="CAP,CAP...", type=capabilities, help=f"{meaning}; of {', '.join(GRANTS)}"
    )


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_sizes` declares, as keyword arguments."""
    return {name: getattr(options, name) for name in ("memory", "heap", "stack", "rodata")}
