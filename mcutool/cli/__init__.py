"""The command line: a table of commands, and how an error becomes a message and an exit code.

Each command is a module of this package, named as the command: `arguments(parser)` declares its options,
`execute(options)` does the work by calling a function of another room, prints what that returns and gives the exit
code. A module is imported when its command is given, and imports what is slow to import when it executes: help must
come at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from mcutool import __version__
from mcutool.errors import Error, UsageError

COMMANDS = {
    "build": "translate a WebAssembly module into an image for a board",
    "run": "run a module on the emulated board, or on a real one",
    "flash": "install the runtime, a module or a raw file on a board",
    "monitor": "show a board's console and type into it",
    "emulate": "put an emulated board on a pseudo-terminal or a TCP port",
    "boards": "list the boards",
    "ports": "list the serial ports",
    "info": "say what a module is, needs and imports",
    "disasm": "list the bytecode of a module",
    "wast": "run scripts of the WebAssembly test suite on an emulated board",
}

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other error is reported."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, next_action=f"see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error is printed here and nowhere else."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has gone, for example `mcutool boards | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"mcutool {__version__}")
        return 0
    command: ModuleType | None = None
    try:
        command = _command(words[0])
        return command.execute(_options(command, words[0], words[1:]))
    except Error as error:
        return _report(error, command, _wants_json(words))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if os.environ.get("MCUTOOL_DEBUG"):
            traceback.print_exc()
        bug = Error(
            f"internal error: {type(error).__name__}: {error}",
            next_action="this is a bug: please report it with the output of the same command under MCUTOOL_DEBUG=1",
        )
        return _report(bug, command, _wants_json(words))


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{sentence}" for name, sentence in COMMANDS.items()]
    return "\n".join(
        ["usage: mcutool COMMAND ...", "", "Run WebAssembly on Cortex-M boards.", "", "commands:"]
        + lines
        + ["", "`mcutool COMMAND --help` says more about one; `mcutool --version` prints the version."]
    )


def _command(name: str) -> ModuleType:
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}", next_action=f"use one of: {', '.join(COMMANDS)}")
    return importlib.import_module(f"{__name__}.{name}")


def _options(command: ModuleType, name: str, words: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog=f"mcutool {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    # `run` alone has words that argparse cannot tell from options: negative numbers and the program's own arguments.
    parse = getattr(command, "parse", argparse.ArgumentParser.parse_args)
    return parse(parser, words)


def _wants_json(words: list[str]) -> bool:
    ours = words[: words.index("--")] if "--" in words else words
    return "--json" in ours


def _report(error: Error, command: ModuleType | None, as_json: bool) -> int:
    """Say what happened and what to do next; with --json in an object on standard output as well."""
    if as_json:
        print(json.dumps({**getattr(command, "EMPTY_RESULT", {}), "error": error_object(error)}))
    print(f"mcutool: {error.message}", file=sys.stderr)
    if error.next_action:
        print(f"  next: {error.next_action}", file=sys.stderr)
    return error.exit_code


def error_object(error: Error) -> dict[str, str]:
    """What `--json` says of an error."""
    return {"class": error.name, "message": error.message, "next_action": error.next_action}
