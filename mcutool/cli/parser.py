"""From the words of a command line to its options: the parser of a command, made of what its module declares.

This file decides how a command explains itself and how a misspelt option is answered. It refuses to know any command:
the head docstring of a command's module is its help, from `examples:` on the part that follows the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from mcutool import __version__
from mcutool.cli.options import Default
from mcutool.errors import UsageError, did_you_mean

EXAMPLES = "examples:\n"


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other error is reported; groups of the same title are one group."""

    def __init__(self, *words: Any, **settings: Any) -> None:
        self._titled: dict[str | None, argparse._ArgumentGroup] = {}
        super().__init__(*words, **settings)

    def add_argument_group(self, title: str | None = None, *words: Any, **settings: Any) -> argparse._ArgumentGroup:
        if title not in self._titled:
            self._titled[title] = super().add_argument_group(title, *words, **settings)
        return self._titled[title]

    def parse_args(self, words: Sequence[str], namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        options, unknown = self.parse_known_args(words, namespace)
        if unknown:
            named = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            meant = did_you_mean(named[0], self._option_string_actions) if named else ""
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)}", next_action=meant + self._see_help())
        return options

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, next_action=self._see_help())

    def _see_help(self) -> str:
        return f"see `{self.prog} --help`"


def parser_of(name: str, command: ModuleType) -> Parser:
    """The parser of the command `name`."""
    description, _, examples = (command.__doc__ or "").partition(EXAMPLES)
    parser = Parser(
        prog=f"mcutool {name}",
        description=description.strip(),
        epilog=EXAMPLES + examples.rstrip() if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mcutool {__version__}", help=argparse.SUPPRESS)
    command.arguments(parser)
    return parser


def parse(name: str, command: ModuleType, words: list[str]) -> argparse.Namespace:
    """The options of the command, with the user's settings for those that were not given, which `defaulted` names."""
    # `run` alone has words that argparse cannot tell from options: negative numbers and the program's own arguments.
    read = getattr(command, "parse", Parser.parse_args)
    options = read(parser_of(name, command), words)
    defaults = {option: value for option, value in vars(options).items() if isinstance(value, Default)}
    for option, default in defaults.items():
        setattr(options, option, default.value())
    options.defaulted = frozenset(defaults)
    return options
