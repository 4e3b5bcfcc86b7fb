"""The roads: a module translated, linked and run by the interpreter on this PC or on an emulated board.

This file decides how a case reaches each of them and how their answers are read. It refuses to know what is right.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mcutool import devices, values
from mcutool.emulator.session import EmulatedSession
from mcutool.errors import DoesNotFit
from mcutool.flash.protocols import smp
from mcutool.image.format import Image
from mcutool.image.link import CompiledModule, MemoryPlan, link
from mcutool.isa import TRAPS
from mcutool.pipeline import load, translate
from mcutool.program import check_size
from mcutool.wasm.module import MemoryType
from mcutool.wasm.text import assemble
from tests.fuzz.case import Account, Call, Case, Outcome, slots, trap_class
from tests.pc import ARENA, program

STACK_SLOTS = 16384
STACK_SHARE = 32  # bytes of RAM for each slot of the stack, when RAM is scarce
TABLE_ROOM = 64
LARGEST_MEMORY = 1 << 18  # bytes
PATIENCE = 60  # seconds on the PC
INSTRUCTIONS = 400_000_000  # of the emulated core


class RoadError(Exception):
    """A road did not come to an end: a sanitizer spoke, the interpreter hung or crashed."""


class TooLarge(Exception):
    """The board cannot back all that the case may grow to, so that it may rightly trap or refuse to grow."""


def build(case: Case, stack_slots: int = STACK_SLOTS) -> Image:
    """The image of a case. What the translator raises is a finding."""
    compiled = [_compile(case.library)] if case.library else []
    compiled.append(_compile(case.text, library=0))
    return link(compiled, stack_slots, TABLE_ROOM).image


def _compile(text: str, **providers: int) -> CompiledModule:
    module = load(assemble(text))
    return CompiledModule("", module, translate(module), [_plan(memory) for memory in module.memories], providers)


def _plan(memory: MemoryType) -> MemoryPlan:
    """All of the memory backed, with room for all that it may grow to."""
    pages = memory.limits.minimum if memory.limits.maximum is None else memory.limits.maximum
    return MemoryPlan(0, memory.limits.minimum * memory.page_size, min(pages * memory.page_size, LARGEST_MEMORY))


def _functions(image: Image, case: Case) -> Iterator[tuple[int, Call]]:
    """The bundle's number of what is called, instantiations first."""
    for module in image.modules:
        yield module["instantiate"], Call("", (), ())
    numbers = {row["name"]: row["index"] for row in image.exports}
    for call in case.calls:
        yield numbers[call.export], call


class PcRoad:
    """The interpreter with sanitizers, a process a case."""

    name = "pc"

    def run(self, case: Case) -> Account:
        """Raises RoadError."""
        image = build(case)
        calls = list(_functions(image, case))
        lines = []
        for function, call in calls:
            words = [
                function,
                values.slots_of(call.results),
                *(word for (word,) in struct.iter_unpack("<I", slots(call))),
            ]
            lines.append(" ".join(["call", *(f"{word:x}" for word in words)]))
        answers = self._process(image.build(), "\n".join(lines) + "\n")
        if len(answers) != len(lines):
            raise RoadError(f"{len(answers)} answers to {len(lines)} calls")
        outcomes = [_outcome(answer, call) for answer, (_, call) in zip(answers, calls, strict=True)]
        return _account(outcomes, case)

    def _process(self, image: bytes, commands: str) -> list[str]:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "image.mcu"
            file.write_bytes(image)
            try:
                done = subprocess.run(
                    [program(), file, str(ARENA)], input=commands, capture_output=True, text=True, timeout=PATIENCE
                )
            except subprocess.TimeoutExpired:
                raise RoadError("the interpreter does not come to an end") from None
        if done.returncode:
            raise RoadError(done.stderr)
        return done.stdout.splitlines()


def _account(outcomes: Account, case: Case) -> Account:
    """Without what a library's instantiation gave, and without calls after an instantiation that trapped."""
    if case.library and outcomes.pop(0) != ():
        raise RoadError("the library traps when it is instantiated")
    return outcomes[:1] if isinstance(outcomes[0], str) else outcomes


def _outcome(answer: str, call: Call) -> Outcome:
    kind, *words = answer.split()
    if kind == "trap":
        return trap_class(TRAPS[int(words[0], 16)].text)
    data = b"".join(int(word, 16).to_bytes(4, "little") for word in words)
    return tuple(values.from_slots(data, call.results))


class BoardRoad:
    """The firmware of a board in the emulator, one session for many cases.

    On a board with little RAM only those cases are compared for which all of it is backed that they may grow to.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._board = devices.board(name)
        self._session: EmulatedSession | None = None

    def run(self, case: Case) -> Account:
        """Raises TooLarge, or RoadError, after which a new session is begun."""
        image = build(case, min(STACK_SLOTS, self._board.chip.arena_size // STACK_SHARE))
        try:
            check_size(image.build(), self._board)
        except DoesNotFit:
            raise TooLarge from None
        session, self._session = self._session or EmulatedSession(self._board, lambda text: None), None
        session.install(image.build())
        session.client.write(smp.RUNTIME, smp.RUNTIME_START)
        account: Account = []
        for function, call in _functions(image, case):
            account.append(self._call(session, function, call))
            if isinstance(account[-1], str) and not call.export:
                break
        self._session = session
        return _account(account, case)

    def _call(self, session: EmulatedSession, function: int, call: Call) -> Outcome:
        session.limit(INSTRUCTIONS)
        client, count = session.client, values.slots_of(call.results)
        request = client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=function, a=slots(call), n=count)
        while (reply := client.take(request)) is None:
            client.receive(1.0)
        session.limit(None)
        if "t" in reply:
            return trap_class(TRAPS[reply["t"]].text)
        return tuple(values.from_slots(reply["r"], call.results))


def road(name: str) -> PcRoad | BoardRoad:
    """The road of that name: "pc" or a board's."""
    return PcRoad() if name == "pc" else BoardRoad(name)
