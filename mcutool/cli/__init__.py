"""The command line: a table of commands, and how an error becomes a message and an exit code.

Each command is a module of this package, named as the command: `arguments(parser)` declares its options,
`execute(options)` does the work by calling a function of another room, prints what that returns and gives the exit
code. A module is imported when its command is given, and imports what is slow to import when it executes: help must
come at once.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import sys
import textwrap
import traceback
from collections.abc import Sequence
from types import ModuleType

from mcutool import __version__
from mcutool.errors import Error, UsageError, choose_from, printable

COMMANDS = {
    "build": "translate a WebAssembly module into an image for a board",
    "run": "run a module on the emulated board, or on a real one",
    "flash": "install the runtime, a module or a raw file on a board",
    "modules": "list, activate, confirm, remove and set what is installed on a board",
    "image": "write the runtime and a module as one file for a chip's flash",
    "keygen": "make a pair of keys: to sign images, and to build firmware with",
    "sign": "sign an image for boards whose firmware was built with the public key",
    "monitor": "show a board's console and type into it",
    "emulate": "put an emulated board on a pseudo-terminal or a TCP port",
    "bringup": "test a board step by step and say what fails",
    "boards": "list the boards",
    "ports": "list the serial ports",
    "info": "say what a module is, needs and imports",
    "disasm": "list the bytecode of a module",
    "wast": "run scripts of the WebAssembly test suite on an emulated board",
    "completion": "print what makes a shell complete these commands",
}

INTERRUPTED = 130

OVERVIEW = """usage: mcutool COMMAND ...

Run WebAssembly on Cortex-M boards.

commands:
{commands}

examples:
  mcutool run hello.wasm                                      # on an emulated board
  mcutool run hello.wasm --board microbit --json              # on another one, with counts
  mcutool flash hello.wasm --runtime --board stm32f405        # on a real one, over its serial port
  mcutool monitor --reset                                     # what it prints

defaults, each weaker than the one before it:
  the environment    MCUTOOL_BOARD, MCUTOOL_PORT, MCUTOOL_BAUD
  pyproject.toml     board, port and baud in [tool.mcutool] of the nearest file above that has it

An image that was built before comes from the user's cache folder; MCUTOOL_CACHE=0 in the environment builds it anew.

exit codes:
{codes}

`mcutool COMMAND --help` says more about one; `mcutool --version` prints the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error is printed here and nowhere else."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(100_000, 20, 100)  # a translation makes many objects that stay: looking for garbage finds none
    _open_closed_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has gone, for example `mcutool boards | head -1`
        _forget_output()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # of standard output: what else may fail is told by who does it
        _forget_output()
        full = UsageError(f"cannot write the output: {error.strerror}", next_action="send it elsewhere, or make room")
        return _report(full, None, as_json=False)


def _open_closed_streams() -> None:
    """A stream that the shell closed (`>&-`) is None; reading and writing go on as if it were empty."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def _forget_output() -> None:
    """Let nobody try again to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"mcutool {__version__}")
        return 0
    command: ModuleType | None = None
    try:
        from mcutool.cli.parser import parse

        command = command_of(words[0])
        return command.execute(parse(words[0], command, words[1:]))
    except Error as error:
        return _report(error, command, _wants_json(words))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        if os.environ.get("MCUTOOL_DEBUG"):
            traceback.print_exc()
        bug = Error(
            f"internal error: {type(error).__name__}: {error}",
            next_action="this is a bug: please report it with the output of the same command under MCUTOOL_DEBUG=1",
        )
        return _report(bug, command, _wants_json(words))


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:<{width}}{sentence}" for name, sentence in COMMANDS.items())
    names = {0: "done", Error.exit_code: "internal", INTERRUPTED: "interrupted"}
    names |= {kind.exit_code: kind.name.replace("_", " ") for kind in Error.__subclasses__()}
    codes = ", ".join(f"{code} {names[code]}" for code in sorted(names))
    return OVERVIEW.format(commands=commands, codes=textwrap.indent(textwrap.fill(codes, 96), "  "))


def command_of(name: str) -> ModuleType:
    """The module of a command; raises UsageError when there is none of that name."""
    if name not in COMMANDS:
        what = "option before the command" if name.startswith("-") else "command"
        known = [*COMMANDS, "--help", "--version"]
        raise UsageError(f"there is no {what} {name!r}", next_action=choose_from(name, known))
    return importlib.import_module(f"{__name__}.{name}")


def _wants_json(words: list[str]) -> bool:
    ours = words[: words.index("--")] if "--" in words else words
    return "--json" in ours


def _report(error: Error, command: ModuleType | None, as_json: bool) -> int:
    """Say what happened and what to do next; with --json in an object on standard output as well."""
    if as_json:
        print(json.dumps({**getattr(command, "EMPTY_RESULT", {}), "error": error_object(error)}))
    print(f"mcutool: {printable(error.message)}", file=sys.stderr)
    if error.next_action:
        print(f"  next: {printable(error.next_action)}", file=sys.stderr)
    return error.exit_code


def error_object(error: Error) -> dict[str, str]:
    """What `--json` says of an error."""
    return {"class": error.name, "message": error.message, "next_action": error.next_action}
