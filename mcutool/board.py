"""A board in the hands of a Python program: install, call, write, expect, reset; emulated also snapshot, pins, counts.

Decides what these words mean on top of SMP, the same for an emulated board and for one on a serial port. Refuses to
know how images are made (`program.py`), how requests travel (`flash/`) and how a board is emulated (`emulator/`).

    with mcutool.open_board("stm32f405") as board:
        board.install("examples/hello.wasm")
        board.expect(b"hello", timeout=2)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutool import devices, feeding, places, values
from mcutool.errors import FuelExhausted, NoAnswer, Trapped, UsageError, WrongChip
from mcutool.flash.link import Link, SerialLink
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.progress import OnProgress, ignore

if TYPE_CHECKING:
    from mcutool.built import Built
    from mcutool.emulator.probe import Gpio, Probe

SHOWN = 300  # bytes of output in a message
BANNER = b" bytes for modules\r\n"  # the end of the firmware's first line
STARTED = 0.01  # seconds of the board's clock, in which the program begins
LONGEST_START = 1.0
BUILDS = 16  # modules that are kept when they have been built
FACTS = ("exit_status", "_trap", "_expected", "_program", "_loaded")  # what a snapshot holds of a Board


def open_board(name: str, port: str | None = None, baud: int | None = None) -> Board:
    """The board of that name: emulated in this process, or the one on a serial port (a name or a pyserial URL).

    On an emulated board time passes only while something waits for it. Raises UsageError when there is no such
    board, NoAnswer when the port brings no answer, WrongChip when another board answers.
    """
    description = devices.board(name)
    if port is None:
        from mcutool.emulator.probe import Probe

        probe = Probe(description)
        return Board(description, probe.link, probe=probe)
    rate = baud or description.chip.uart.default_baud
    return Board(description, SerialLink(port, rate, dtr=not description.dtr_resets))


@dataclass(frozen=True)
class Snapshot:
    """Everything that an emulated board is, and where the conversation with it stood."""

    probe: Any
    conversation: Any
    facts: dict[str, Any]
    output: bytes
    moment: Any  # equal as long as nothing has happened since
    installed: dict[int, tuple[Built, Snapshot]] = field(default_factory=dict)
    """What installing a program, by its identity, has made of it: the same each time."""


class Board:
    """A board whose runtime answers. `output` is all that it has printed so far; `exit_status` what the last call
    gave to `proc_exit`, if it did.
    """

    def __init__(
        self,
        description: devices.Board,
        link: Link,
        *,
        probe: Probe | None = None,
        on_progress: OnProgress = ignore,
    ) -> None:
        self.description = description
        self.link = link
        self.output = bytearray()
        self.exit_status: int | None = None
        self._trap: dict[str, Any] | None = None  # of a call
        self._probe = probe
        self._expected = 0  # how much of the output earlier expectations have used up
        self._program: Built | None = None
        self._loaded = False
        self._origin: Snapshot | None = None  # the last that was taken or put back
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

    @property
    def trap(self) -> dict[str, Any] | None:
        """How the last call trapped, or the last program that started by itself: the object of `run --json`."""
        return self._trap or self._places().told(bytes(self.output))

    def _places(self) -> places.Places:
        return places.Places(self._program.map if self._program else {})

    def reset(self) -> None:
        """Restart the board; it starts the installed program."""
        before, deadline = len(self.output), self.link.now() + LONGEST_START
        self.client.reset()
        self._loaded = False
        if self._probe is None:
            self.info()  # once it answers, it is back
            return
        # Not by a request: its answer would be counted as the program's own work.
        while not (BANNER in self.output[before:] and self._probe.has_begun()) and self.link.now() < deadline:
            self.client.receive(STARTED)
        self.wait(STARTED)

    def install(self, module: str | Path | bytes) -> None:
        """Build a module (.wasm or .wat as a path or bytes; a .mcu image is taken as it is), upload and start it.

        On an emulated board the image is put straight into flash, which takes no time of its clock. Raises what
        building raises, ImageRefused when the board does not take the image.
        """
        self._program = self._built(module)
        if self._probe is None:
            self.client.upload(self._program.image)
            self._confirm(self._program.image)
            self.reset()
        else:
            self._load(self._program, self._probe)

    def _confirm(self, image: bytes) -> None:
        """Have the board start it from now on, without a trial."""
        from mcutool.image import mcuboot

        self.client.write(smp.IMAGE, smp.IMAGE_STATE, hash=mcuboot.read("the image", image).hash, confirm=True)

    def _load(self, program: Built, probe: Probe) -> None:
        """Install on an emulated board; directly behind a snapshot only the first time is work."""
        from mcutool.program import check_size

        origin = self._origin if self._origin and self._origin.moment == self._moment() else None
        if origin and id(program) in origin.installed:
            self.restore(origin.installed[id(program)][1])
            return
        check_size(program.image, self.description)
        probe.load(program.image)
        self.client.write(smp.RUNTIME, smp.RUNTIME_START)  # does it take the image?
        self.reset()
        if origin and len(origin.installed) < BUILDS:
            origin.installed[id(program)] = program, self.snapshot()

    def _built(self, module: str | Path | bytes) -> Built:
        from mcutool import program
        from mcutool.built import Built

        data = module if isinstance(module, bytes) else program.read(module)
        if data.startswith(b"\0asm"):
            return _build(data, self.description.name)
        if isinstance(module, bytes):
            return Built(module, {}, {})
        if Path(module).suffix == ".wat":
            return _build(program.assembled(Path(module), data), self.description.name)
        return program.load(module, self.description)

    # --- the console ------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Standard input for the program."""
        taken = self.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=b"")["off"]
        while data:
            before = taken
            taken = self.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=data[: feeding.CHUNK], off=before)["off"]
            data = data[taken - before :]
            if taken == before:
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
                raise NoAnswer(
                    f"{self.description.name} did not print {shown!r} in {timeout:g} s, but {self._printed()}",
                    next_action="look at the program, or wait longer",
                )
            self.client.receive(left)

    def _printed(self) -> str:
        """What came instead of what was expected, with the trap that explains it."""
        output = bytes(self.output[self._expected :])
        trap = self._places().told(output)
        return f"{output[-SHOWN:]!r}" + (f"\n{places.render_trap(trap)}" if trap else "")

    def wait(self, seconds: float) -> None:
        """Let that much time of the board's clock pass."""
        end = self.link.now() + seconds
        while (left := end - self.link.now()) > 0:
            self.client.receive(left)

    # --- calls ------------------------------------------------------------------------------------------------

    def call(self, name: str, *arguments: object, timeout: float | None = None) -> list[Any]:
        """Call an export of the installed module; integers, floats and None (null) go in and come out.

        The first call after `install` or `reset` ends the running program and instantiates the module; what calls
        leave in memory and globals stays until then. Raises Trapped with a backtrace, UsageError for a wrong name
        or wrong arguments, FuelExhausted after `timeout` seconds of the board's clock, when the call was stopped.
        """
        from mcutool import run
        from mcutool.image.format import parsed

        if self._program is None:
            raise UsageError("no module was installed through this board", next_action="call install() first")
        image = parsed(self._program.image)
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
        from mcutool import run

        call = run.Call(self.client, function, arguments, results)
        try:
            reply = call.reply(feeding.Feeder(self.client, None), timeout)
        except FuelExhausted:
            call.stop()
            raise
        outcome = run.Outcome()
        run.note_end(outcome, reply, self._places())
        self.exit_status = outcome.ended
        self._trap = outcome.trap
        if outcome.trap:
            raise Trapped(places.render_trap(outcome.trap), next_action=places.advice(outcome.trap))
        return reply

    # --- what only an emulated board can do -------------------------------------------------------------------

    @property
    def emulated(self) -> bool:
        """Whether the board is one of this process."""
        return self._probe is not None

    @property
    def probe(self) -> Probe:
        """The emulated chip. Raises UsageError when the board is on a serial port."""
        if self._probe is None:
            raise UsageError(
                f"the board on {self.link.name} can do no snapshot, pins and counts: only an emulated one can",
                next_action="mark the test with @pytest.mark.mcu(emulated=True), or leave the port out",
            )
        return self._probe

    @property
    def gpio(self) -> Gpio:
        """The pins: see `mcutool.emulator.probe.Gpio`."""
        return self.probe.gpio

    @property
    def instructions(self) -> int:
        """Arm instructions that modules have executed so far; the firmware's own are not counted."""
        return self.probe.counts().instructions

    @property
    def cycles(self) -> int:
        """Cycles of the modelled core that these took."""
        return self.probe.counts().cycles

    def snapshot(self) -> Snapshot:
        """Everything about the board between two instructions, to go back to with `restore` as often as wanted."""
        probe, facts = self.probe.snapshot(), {name: getattr(self, name) for name in FACTS}
        self._origin = Snapshot(probe, self.client.state(), facts, bytes(self.output), self._moment())
        return self._origin

    def _moment(self) -> Any:
        return self.probe.moment(), self.client.sent

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this board: the chip, its clock, its pins, the counts, the output."""
        self.probe.restore(snapshot.probe)
        self.client.restore(snapshot.conversation)
        self.output[:] = snapshot.output
        for name, value in snapshot.facts.items():
            setattr(self, name, value)
        self._origin = snapshot


@lru_cache(BUILDS)
def _build(binary: bytes, board: str) -> Built:
    """Test after test installs the same module."""
    from mcutool import program

    return program.build(binary, devices.board(board))


def _python_value(bits: int, kind: str) -> Any:
    """A signed integer, a float, or for a reference its number or None."""
    return values.bits_float(bits, kind) if kind in ("f32", "f64") else values.present(bits, kind)
