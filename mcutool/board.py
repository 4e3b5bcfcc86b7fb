"""A board in the hands of a Python program: install, call, write, expect, reset.

Decides what these words mean on top of SMP, the same for an emulated board and for one on a serial port. Refuses to
know how images are made (`program.py`), how requests travel (`flash/`) and how a board is emulated (`emulator/`).

    with mcutool.open_board("stm32f405") as board:
        board.install("examples/hello.wasm")
        board.expect(b"hello", timeout=2)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutool import devices, feeding, values
from mcutool.errors import NoAnswer, Trapped, UsageError, WrongChip
from mcutool.flash.engine import OnProgress, SmpClient, ignore
from mcutool.flash.link import Link, SerialLink
from mcutool.flash.protocols import smp

if TYPE_CHECKING:
    from mcutool.pipeline import Built

SHOWN = 300  # bytes of output in a message


def open_board(name: str, port: str | None = None, baud: int | None = None) -> Board:
    """The board of that name: emulated in this process, or the one on a serial port (a name or a pyserial URL).

    On an emulated board time passes only while something waits for it. Raises UsageError when there is no such
    board, NoAnswer when the port brings no answer, WrongChip when another board answers.
    """
    description = devices.board(name)
    if port is None:
        return Board(description, _emulated_link(description))
    return Board(description, SerialLink(port, baud or description.chip.uart.default_baud))


def _emulated_link(description: devices.Board) -> Link:
    from mcutool.emulator.link import EmulatedLink
    from mcutool.emulator.machine import Machine

    return EmulatedLink(Machine(description, description.firmware))


class Board:
    """A board whose runtime answers. `output` is all that it has printed so far; `exit_status` what the last call
    gave to `proc_exit`, if it did.
    """

    def __init__(self, description: devices.Board, link: Link, *, on_progress: OnProgress = ignore) -> None:
        self.description = description
        self.link = link
        self.output = bytearray()
        self.exit_status: int | None = None
        self._expected = 0  # how much of the output earlier expectations have used up
        self._program: Built | None = None
        self._loaded = False
        self.client = SmpClient(link, on_text=self.output.extend, on_progress=on_progress)
        answering = self.info().get("board")
        if answering != description.name:
            raise WrongChip(
                f"the board on {link.name} is {answering}, not {description.name}", next_action="name the right board"
            )

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self.link.close()

    def info(self) -> dict[str, Any]:
        """What the runtime says of itself: board, version, slot, arena (bytes), state of the program."""
        return self.client.read(smp.RUNTIME, smp.RUNTIME_INFO)

    def reset(self) -> None:
        """Restart the board; it starts the installed program."""
        self.client.reset()
        self._loaded = False
        self.info()

    def install(self, module: str | Path | bytes) -> None:
        """Build a module (.wasm or .wat as a path or bytes; a .mcu image is taken as it is), upload and start it.

        Raises what building raises, ImageRefused when the board does not take the image.
        """
        self._program = self._built(module)
        self.client.upload(self._program.image)
        self.reset()

    def _built(self, module: str | Path | bytes) -> Built:
        from mcutool import program
        from mcutool.image.format import CONTAINER_MAGIC
        from mcutool.pipeline import Built, build_image

        if not isinstance(module, bytes):
            return program.load(module, self.description)
        if module[:4] == CONTAINER_MAGIC.to_bytes(4, "little"):
            return Built(module, {}, {})
        return build_image(module, self.description)

    # --- the console ------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Standard input for the program."""
        while data:
            taken = self.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=data[: feeding.CHUNK]).get("n", 0)
            data = data[taken:]
            if not taken:
                self.client.receive(0.01)  # its buffer is full: let the program read

    def expect(self, wanted: bytes | re.Pattern[bytes], timeout: float = 5.0) -> re.Match[bytes]:
        """Wait until the board prints that, counted from the end of the previous match.

        `timeout` is in seconds of the board's clock. Raises NoAnswer with what was printed instead.
        """
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, bytes) else wanted
        shown = wanted if isinstance(wanted, bytes) else wanted.pattern
        deadline = self.link.now() + timeout
        while True:
            match = pattern.search(self.output, self._expected)
            left = deadline - self.link.now()
            if match:
                self._expected = match.end()
                return match
            if left <= 0:
                printed = bytes(self.output[self._expected :][-SHOWN:])
                raise NoAnswer(
                    f"{self.description.name} did not print {shown!r} in {timeout:g} s, but {printed!r}",
                    next_action="look at the program, or wait longer",
                )
            self.client.receive(left)

    # --- calls ------------------------------------------------------------------------------------------------

    def call(self, name: str, *arguments: object, timeout: float | None = None) -> list[Any]:
        """Call an export of the installed module; integers, floats and None (null) go in and come out.

        The first call after `install` or `reset` ends the running program and instantiates the module; what calls
        leave in memory and globals stays until then. Raises Trapped with a backtrace, UsageError for a wrong name
        or wrong arguments, FuelExhausted after `timeout` seconds of the board's clock.
        """
        from mcutool import run
        from mcutool.image.format import parse

        if self._program is None:
            raise UsageError("no module was installed through this board", next_action="call install() first")
        image = parse(self._program.image)
        texts = tuple("null" if argument is None else str(argument) for argument in arguments)
        task = run.Task(invoke=name, arguments=texts)
        function, parameters, results = run.entry_of(image, task)
        assert function is not None  # since the task names it
        slots = run.converted(task, parameters)
        if not self._loaded:
            self.client.write(smp.RUNTIME, smp.RUNTIME_START)
            for preparation in run.preparations(image, task):
                self._invoke(preparation, b"", (), timeout)
            self._loaded = True
        reply = self._invoke(function, slots, results, timeout)
        return [_python_value(bits, kind) for bits, kind in run.results_of(reply, results)]

    def _invoke(
        self, function: int, arguments: bytes, results: tuple[str, ...], timeout: float | None
    ) -> dict[str, Any]:
        """One call's reply. Raises Trapped."""
        from mcutool import places, run

        reply = run.Call(self.client, function, arguments, results).reply(feeding.Feeder(self.client, None), timeout)
        outcome = run.Outcome()
        run.note_end(outcome, reply, places.Places(self._program.map if self._program else {}))
        self.exit_status = outcome.ended
        if outcome.trap:
            raise Trapped(places.render_trap(outcome.trap), next_action="look at the backtrace")
        return reply


def _python_value(bits: int, kind: str) -> Any:
    """A signed integer, a float, or for a reference its number or None."""
    return values.bits_float(bits, kind) if kind in ("f32", "f64") else values.present(bits, kind)
