"""Run a module on the emulated board, or on a real one with --port.

Standard input is the program's. Arguments after --invoke F may be negative, hexadecimal, inf, -inf, nan or nan:0x...;
everything after -- goes to the program. The exit code is the program's own when it ends through proc_exit.

examples:
  mcutool run app.wasm                                          # until it ends, on an emulated Cortex-M4F
  mcutool run app.wasm --board microbit --json                  # with counts, on an emulated micro:bit
  mcutool run app.wasm --invoke add -1 0x10                     # call an export
  mcutool run app.wasm --env LEVEL=2 --timeout 5 -- first --second # a variable, a limit, arguments
  mcutool run app.wasm --board stm32f405 --port /dev/ttyUSB0    # on a real board
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutool import devices, values
from mcutool.cli import error_object
from mcutool.cli.options import (
    add_baud,
    add_board,
    add_grant,
    add_port_of_real_board,
    add_sizes,
    assignment,
    integer,
    seconds,
    sizes,
    unicode,
)
from mcutool.cli.progress import Stages

if TYPE_CHECKING:
    from mcutool.built import Built
    from mcutool.progress import OnProgress
    from mcutool.run import Outcome, Session

EMPTY_RESULT: dict[str, Any] = {
    "board": None, "results": [], "exit_status": None, "trap": None, "error": None, "instructions": None,
    "cycles": None, "flash_bytes": None, "ram_bytes": None,
}  # fmt: skip

RANDOM = "wasi_snapshot_preview1.random_get"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="APP.wasm, APP.wat or APP.mcu")
    add_board(parser)
    add_port_of_real_board(parser)
    add_baud(parser)
    program = parser.add_argument_group("program")
    program.add_argument("--invoke", metavar="F ARG...", help="call the export F instead of _start")
    program.add_argument("--env", action="append", type=assignment, default=[], metavar="K=V", help="set a variable")
    program.add_argument("--seed", type=integer, metavar="N", help="let random_get answer without a noise source")
    limits = parser.add_argument_group("limits, which end it with code 124")
    limits.add_argument("--timeout", type=seconds, metavar="S", help="stop after S seconds of the board's clock")
    limits.add_argument("--fuel", type=integer, metavar="N", help="stop after N Arm instructions (emulated boards)")
    add_sizes(parser)
    add_grant(parser)
    parser.add_argument("--json", action="store_true", help="print one object on the last line")


def parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The words before `--` without the values after --invoke F, which may look like options."""
    end = words.index("--") if "--" in words else len(words)
    split = [part for word in words[:end] for part in (word.split("=", 1) if word.startswith("--invoke=") else [word])]
    ours, given = _without_values(split)
    options = parser.parse_args(ours)
    options.program_arguments = words[end + 1 :]
    try:
        list(map(unicode, [options.app, *options.program_arguments]))
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    options.values = given
    return options


def _without_values(words: list[str]) -> tuple[list[str], list[str]]:
    if "--invoke" not in words[:-1]:
        return words, []
    first = end = words.index("--invoke") + 2
    while end < len(words) and values.NUMBER.fullmatch(words[end]):
        end += 1
    return words[:first] + words[end:], words[first:end]


def execute(options: argparse.Namespace) -> int:
    from mcutool import feeding, program, run

    board = devices.board(options.board)
    with Stages() as stages:
        built = program.load(options.app, board, on_progress=stages, grants=options.grant, **sizes(options))
    task = run.Task(
        invoke=options.invoke,
        arguments=tuple(options.values),
        program_arguments=(Path(options.app).name, *options.program_arguments),
        environment=tuple(options.env),
        seed=options.seed,
        timeout=options.timeout,
        fuel=options.fuel,
    )
    run.check(built.image, task)
    source = feeding.source_of(sys.stdin.buffer) if run.reads_input(built.image) else None
    output = _Output()
    with Stages() as stages:  # closed when the program is on the board: the terminal is the program's from then on
        session = _session(options, board, output.write, stages.until_done)
        with closing(session.client.link):
            outcome = run.run(session, built, board, task, source)
    if options.json:
        output.end_line()
        print(json.dumps(_object(outcome, built, board.name)))
    else:
        _print(outcome)
        if outcome.trap and options.seed is None and RANDOM in built.report["missing"]:
            print(f"  or: {board.name} has no noise source for random numbers; --seed N gives some", file=sys.stderr)
    return outcome.exit_code


class _Output:
    """The program's output, byte by byte as it comes; the object of --json has a line of its own."""

    def __init__(self) -> None:
        self._last = b"\n"

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        self._last = data[-1:]

    def end_line(self) -> None:
        if self._last != b"\n":
            print()


def _session(
    options: argparse.Namespace, board: devices.Board, on_text: Callable[[bytes], None], on_progress: OnProgress
) -> Session:
    if options.port:
        from mcutool.run import SerialSession

        return SerialSession(board, options.port, options.baud or board.chip.uart.default_baud, on_text, on_progress)
    from mcutool.emulator.session import EmulatedSession

    return EmulatedSession(board, on_text, measure=options.json)


def _object(outcome: Outcome, built: Built, board: str) -> dict[str, Any]:
    return {
        "board": board,
        "results": [values.present(bits, kind) for bits, kind in outcome.results],
        "exit_status": outcome.exit_status,
        "trap": outcome.trap,
        "error": error_object(outcome.error) if outcome.error else None,
        "instructions": outcome.instructions,
        "cycles": outcome.cycles,
        "flash_bytes": {part: built.report["flash_bytes"][part] for part in ("image", "code", "data")},
        "ram_bytes": {**built.report["ram_bytes"], "stack": outcome.stack},
    }


def _print(outcome: Outcome) -> None:
    from mcutool.places import render_trap

    for bits, kind in outcome.results:
        print(values.present(bits, kind))
    if outcome.error:
        print(f"mcutool: {outcome.error.message}", file=sys.stderr)
    if outcome.trap:
        print(f"mcutool: {render_trap(outcome.trap)}", file=sys.stderr)
    if outcome.error:
        print(f"  next: {outcome.error.next_action}", file=sys.stderr)
