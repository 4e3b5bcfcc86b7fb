"""Running a program: into the slot, called, fed with input, and an account of how it ended.

This file decides the order of a run on any board, and what is told of it. It refuses to know how an image is made, how
a board is emulated and how a request travels: a session gives it an `SmpClient` and, when the board is emulated, the
counts of the call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcutool import values
from mcutool.built import Built
from mcutool.devices import Board
from mcutool.errors import DoesNotFit, Error, FuelExhausted, Trapped, UsageError, did_you_mean
from mcutool.feeding import Feeder, Source
from mcutool.flash.link import SerialLink
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.image import mcuboot
from mcutool.image.format import EXPORT_KINDS, LETTERS, Image, parsed, starts
from mcutool.install import check_runtime
from mcutool.isa import TRAPS
from mcutool.places import Places
from mcutool.program import check_size
from mcutool.progress import OnProgress, ignore
from mcutool.provenance import for_format

TYPES = {letter: kind for kind, letter in LETTERS.items()}
SLOT = 4  # bytes
ROOM_FOR_STRINGS = 256  # HOST_STRINGS_SIZE of firmware_runtime/host.h
LARGEST_STATUS = 255  # that a process can end with; more would come out as less, even as success
PATIENCE = 0.25  # seconds that a wait for the line lasts before input is looked at again


@dataclass(frozen=True)
class Task:
    """What to run: `_start` with the program's arguments and environment, or one export with arguments as typed."""

    invoke: str | None = None
    arguments: tuple[str, ...] = ()
    program_arguments: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    seed: int | None = None  # of the numbers that random_get gives where the chip has no noise source
    timeout: float | None = None  # seconds of the board's clock
    fuel: int | None = None  # Arm instructions, emulated boards only


@dataclass
class Outcome:
    """How a run ended. `results` are (bits, type); `stack` is the most bytes of the module's stack in use at a time."""

    results: list[tuple[int, str]] = field(default_factory=list)
    exit_status: int | None = None  # of a program that was started through `_start`
    ended: int | None = None  # the status given to `proc_exit`
    trap: dict[str, Any] | None = None
    error: Error | None = None
    instructions: int | None = None
    cycles: int | None = None
    stack: int = 0

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        if self.error is not None:
            return self.error.exit_code
        if self.trap:
            return Trapped.exit_code
        return min(self.ended or 0, LARGEST_STATUS)


class Session(Protocol):
    """A board that is ready for a program."""

    client: SmpClient

    def install(self, image: bytes) -> None:
        """Put the image into the slot."""

    def limit(self, fuel: int | None) -> None:
        """Reading raises FuelExhausted after `fuel` more Arm instructions."""

    def begin_measuring(self) -> None:
        """The call that is measured comes next."""

    def counts(self) -> tuple[int | None, int | None]:
        """Instructions and cycles of that call, None where the board cannot tell."""


class SerialSession:
    """A real board, or an emulated one of another process, on a serial port."""

    def __init__(
        self, board: Board, port: str, baud: int, on_text: Callable[[bytes], None], on_progress: OnProgress = ignore
    ) -> None:
        link = SerialLink(port, baud, dtr=not board.dtr_resets)
        self.client = SmpClient(link, on_text=on_text, on_progress=on_progress)
        self._newest_format = check_runtime(self.client, board)

    def install(self, image: bytes) -> None:
        self.client.upload(for_format(image, self._newest_format))

    def limit(self, fuel: int | None) -> None:
        if fuel is not None:
            raise UsageError("a real board cannot count instructions", next_action="use --timeout instead of --fuel")

    def begin_measuring(self) -> None:
        """Nothing is measured."""

    def counts(self) -> tuple[None, None]:
        return None, None


# --- A run ------------------------------------------------------------------------------------------------------------


def run(session: Session, built: Built, board: Board, task: Task, source: Source | None) -> Outcome:
    """Run a built program to its end.

    Returns the outcome, with the error in it when time or fuel ran out. Raises UsageError when what is to be called
    does not exist, DoesNotFit when the image is too large for the slot, ImageRefused when the board does not take it.
    """
    image = parsed(built.image)
    function, parameters, results = entry_of(image, task)
    arguments = converted(task, parameters)
    check_size(built.image, board)
    session.install(built.image)
    start: dict[str, Any] = {"args": list(task.program_arguments), "env": list(task.environment)}
    start["hash"] = mcuboot.read("the image", built.image).hash  # not the version that the board itself would start
    if task.seed is not None:
        start["seed"] = task.seed & 0xFFFFFFFF
    session.client.write(smp.RUNTIME, smp.RUNTIME_START, **start)
    session.limit(task.fuel)
    calls: list[tuple[int, bytes, tuple[str, ...]]] = [(index, b"", ()) for index in preparations(image, task)]
    calls += [(function, arguments, results)] if function is not None else []
    outcome, feeder, reply = Outcome(), Feeder(session.client, source), {}
    for number, (index, slots, kinds) in enumerate(calls, 1):
        feeder.fill()
        if number == len(calls):
            session.begin_measuring()
        reply = _call_or_stop(session, Call(session.client, index, slots, kinds), feeder, task, outcome)
        if note_end(outcome, reply, Places(built.map)) or outcome.error:
            break
    session.limit(None)
    outcome.results = results_of(reply, results)
    outcome.instructions, outcome.cycles = session.counts()
    if outcome.error is None:
        outcome.stack = SLOT * session.client.read(smp.RUNTIME, smp.RUNTIME_STATUS).get("stack", 0)
    if task.invoke is None and outcome.trap is None:
        outcome.exit_status = outcome.ended or 0
    return outcome


def _call_or_stop(session: Session, call: Call, feeder: Feeder, task: Task, outcome: Outcome) -> dict[str, Any]:
    """The call's reply; when time or fuel run out, what the board says of the program that it was made to stop."""
    try:
        return call.reply(feeder, task.timeout)
    except FuelExhausted as error:
        outcome.error = error
    except KeyboardInterrupt:
        session.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_STOP)
        raise
    session.limit(None)
    return call.stop()


def reads_input(image: bytes) -> bool:
    """Whether the program can read its standard input; nobody should have to end an input that nobody wants."""
    return any(row["name"] == "fd_read" for row in parsed(image).imports)


def check(image: bytes, task: Task) -> None:
    """Raises UsageError when what the task calls does not exist or takes other arguments, DoesNotFit when boards have
    no room for the program's arguments and environment."""
    check_strings(*task.program_arguments, *task.environment)
    converted(task, entry_of(parsed(image), task)[1])


def check_strings(*texts: str) -> None:
    """Raises DoesNotFit when boards have no room for a program's arguments and environment."""
    needed = sum(len(text.encode()) + 1 for text in texts)
    if needed > ROOM_FOR_STRINGS:
        raise DoesNotFit(
            f"arguments and environment take {needed} bytes, a board has {ROOM_FOR_STRINGS} for them",
            next_action="give the program less, or give it as standard input",
        )


def entry_of(image: Image, task: Task) -> tuple[int | None, tuple[str, ...], tuple[str, ...]]:
    """Number, parameter types and result types of the function to call; None when the module exports no `_start` and
    does its work while it is instantiated, as AssemblyScript's programs do. Raises UsageError when there is no such
    function."""
    wanted = task.invoke or "_start"
    functions = {row["name"]: row["index"] for row in image.exports if row["kind"] == EXPORT_KINDS.index("function")}
    if wanted not in functions and task.invoke is None and any(map(starts, image.modules)):
        return None, (), ()
    if wanted not in functions:
        exported = ", ".join(name for name in functions if name) or "nothing"
        raise UsageError(
            f"the module exports no function {wanted!r}",
            next_action=did_you_mean(wanted, functions) + f"call an export with --invoke F; it exports {exported}",
        )
    signature = image.signatures[image.functions[functions[wanted]]["signature"]]["text"]
    parameters, _, results = signature.partition(">")
    return functions[wanted], tuple(TYPES[p] for p in parameters), tuple(TYPES[r] for r in results)


def converted(task: Task, parameters: tuple[str, ...]) -> bytes:
    """The arguments as slots. Raises UsageError when they are too few, too many or of another type."""
    if len(task.arguments) != len(parameters):
        raise UsageError(
            f"{task.invoke or '_start'} takes {len(parameters)} arguments ({' '.join(parameters) or 'none'}), "
            f"{len(task.arguments)} are given",
            next_action="give one value for each parameter after --invoke F",
        )
    pairs = zip(task.arguments, parameters, strict=True)
    return values.to_slots((values.parse(text, kind), kind) for text, kind in pairs)


def preparations(image: Image, task: Task) -> Iterator[int]:
    """Functions to call first: each module's instantiation, then what WASI asks for before an export is called."""
    for module in image.modules:
        yield module["instantiate"]
    for row in image.exports:
        if task.invoke not in (None, "_initialize") and row["name"] == "_initialize":
            yield row["index"]


class Call:
    """A call that the board has been asked for. `results` are the types of what it returns."""

    def __init__(self, client: SmpClient, function: int, arguments: bytes, results: tuple[str, ...]) -> None:
        self._client = client
        slots = values.slots_of(results)
        self._request = client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=function, a=arguments, n=slots)

    def reply(self, feeder: Feeder, timeout: float | None) -> dict[str, Any]:
        """Wait for the end of the call. Raises FuelExhausted after `timeout` seconds of the board's clock."""
        begin = self._client.link.now()
        while True:
            reply = self._client.take(self._request)
            if reply is not None:
                return reply
            left = PATIENCE if timeout is None else begin + timeout - self._client.link.now()
            if left <= 0:
                raise FuelExhausted(f"stopped after {timeout:g} seconds", next_action="give it more with --timeout")
            self._client.receive(min(PATIENCE, left))
            self._client.remind(self._request)
            feeder.step()

    def stop(self) -> dict[str, Any]:
        """Have the board stop the program between two instructions. The call's reply, or what it would say."""
        status = self._client.write(smp.RUNTIME, smp.RUNTIME_STOP)
        reply = self._client.take(self._request)
        return reply or {"t": status["trap"], "x": status["exit"], "bt": status["bt"]}


def note_end(outcome: Outcome, reply: dict[str, Any], places: Places) -> bool:
    """Take over what a call's reply says of a trap or of a program that ended itself; False when it returned."""
    if "t" not in reply:
        return False
    kind = TRAPS[reply["t"]].name if reply["t"] < len(TRAPS) else f"trap {reply['t']}"  # of a newer runtime
    if kind == "exit" and outcome.error is None:
        outcome.ended = reply["x"]
        return True
    frames = struct.iter_unpack("<II", reply.get("bt", b""))
    kind = "stopped" if outcome.error else kind
    outcome.trap = places.trap(kind, [(function, position) for function, position in frames])
    return True


def results_of(reply: dict[str, Any], kinds: tuple[str, ...]) -> list[tuple[int, str]]:
    return list(zip(values.from_slots(reply["r"], kinds), kinds, strict=True)) if "r" in reply else []
