"""Print what makes a shell complete commands, options, names of boards and files of the kinds that fit.

The script is made from the options of every command as they are now; make it again after an update.

examples:
  mcutool completion bash > ~/.local/share/bash-completion/completions/mcutool
  mcutool completion zsh > ~/.zfunc/_mcutool               # in a folder of $fpath
  mcutool completion fish > ~/.config/fish/completions/mcutool.fish
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mcutool import devices
from mcutool.cli import COMMANDS, command_of

SHELLS = ("bash", "zsh", "fish")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to read the script")


def execute(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(whole_parser(), options.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """One parser with every command below it, as shtab wants it, in which every value says how it is completed."""
    from mcutool.cli.parser import Parser, parser_of

    whole = Parser(prog="mcutool")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for name, sentence in COMMANDS.items():
        parser = parser_of(name, command_of(name))
        for action in parser._actions:
            describe(action)
        commands.add_parser(name, help=sentence, parents=[parser], add_help=False)
    return whole


def describe(action: argparse.Action) -> None:
    """What the value of an option may be: a board, or a file with one of the endings that its help names."""
    import shtab

    suffixes = re.findall(r"\.[a-z]\w*", f"{action.metavar} {action.help}") if action.type in (None, Path) else []
    if action.dest == "board" or (action.dest, action.metavar) == ("name", "NAME"):
        action.choices = [board.name for board in devices.boards()]
    elif suffixes:
        action.complete = shtab.glob(*(f"*{suffix}" for suffix in suffixes))  # type: ignore[attr-defined]
    elif action.dest == "port" or action.type is Path:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
