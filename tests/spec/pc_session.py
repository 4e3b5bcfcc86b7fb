"""Scripts on the interpreter built for this PC: the part of a session that a script's runner needs.

This file decides how requests of the wire become lines to the program. It refuses to know what is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcutool.flash.protocols import smp
from tests.pc import PcMachine

ARENA = 16 << 20  # bytes; records are larger here than on a board


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def _bytes(words: list[int]) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


class PcSession:
    """See `mcutool.run.Session`; it is its own client, whose replies are there at once, and its own line."""

    def __init__(self, folder: Path) -> None:
        self.client: Any = self
        self.link = self
        self.now: Callable[[], float] = lambda: 0.0
        self._folder = folder
        self._machine: PcMachine | None = None

    def install(self, image: bytes) -> None:
        self._machine = PcMachine(image, self._folder, ARENA)

    def close(self) -> None:
        """Raises AssertionError when a sanitizer complained."""
        assert self._machine is not None
        self._machine.close()

    def write(self, group: int, command: int) -> dict:
        """The one request that needs nothing done: an image is loaded when it is installed."""
        assert command == smp.RUNTIME_START
        return {}

    def send(self, operation: int, group: int, command: int, *, f: int, a: bytes, n: int) -> dict:
        assert self._machine is not None and command == smp.RUNTIME_CALL
        answer, numbers = self._machine.call(f, _words(a), n)
        return {"r": _bytes(numbers)} if answer == "ok" else {"t": numbers[0]}

    def take(self, reply: dict) -> dict:
        return reply

    def read(self, group: int, command: int, *, i: int, n: int) -> dict:
        assert self._machine is not None and command == smp.RUNTIME_GLOBAL
        return {"r": _bytes(self._machine.globals(i, n))}
