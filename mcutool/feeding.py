"""A program's standard input: where it comes from on the PC, and how it gets to the board.

This file decides how much is sent at a time and when the end is told. It refuses to know the program.
"""

from __future__ import annotations

import queue
import threading
from typing import Any, BinaryIO, Protocol

from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient

READ = 4096  # bytes
CHUNK = 64  # bytes in one request; more would keep the line from the program's output for long


class Source(Protocol):
    """Where the program's standard input comes from."""

    def take(self) -> bytes | None:
        """Some bytes, None when there are none at present, empty when there will never be any more."""


class WholeInput:
    """A file or a pipe, read to its end before the program starts, so that a run does not depend on its speed."""

    def __init__(self, data: bytes) -> None:
        self._chunks = iter((data,) if data else ())

    def take(self) -> bytes | None:
        return next(self._chunks, b"")


class LiveInput:
    """A terminal, or anything else as it comes; a terminal gives lines. A thread waits for it and ends with the
    process, so it must not wait inside a buffer: the interpreter wants that one's lock when it ends.
    """

    def __init__(self, terminal: BinaryIO) -> None:
        self._arrived: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, args=(terminal,), daemon=True).start()

    def _read(self, terminal: BinaryIO) -> None:
        unbuffered = getattr(terminal, "raw", terminal)
        for data in iter(lambda: unbuffered.read(READ), b""):
            self._arrived.put(data)
        self._arrived.put(b"")

    def take(self) -> bytes | None:
        try:
            return self._arrived.get(timeout=0.01)
        except queue.Empty:
            return None


def source_of(standard_input: BinaryIO) -> Source:
    """What a terminal, a file or a pipe gives."""
    return LiveInput(standard_input) if standard_input.isatty() else WholeInput(standard_input.read())


class Feeder:
    """Gives input to the board piece by piece, before and during a call; one request at a time.

    Each piece says how much the board has taken before it, so that one whose answer was lost is not taken twice; the
    first request only asks for that.
    """

    def __init__(self, client: SmpClient, source: Source | None) -> None:
        self._client, self._source = client, source
        self._pending, self._ended, self._told = b"", source is None, source is None
        self._taken: int | None = None  # bytes, as the board counts
        self._request: smp.Message | None = None

    def fill(self) -> None:
        """As much as there is and the board has room for, with every request answered: a call may follow.

        The board holds one request at a time; two on the line would lose the second. Raises NoAnswer.
        """
        self._request = None
        while payload := self._next():
            if not self._note(self._client.write(smp.RUNTIME, smp.RUNTIME_INPUT, **payload), payload):
                return

    def step(self) -> None:
        """Look for an answer, and send what is next."""
        if self._request is not None:
            reply = self._client.take(self._request)
            if reply is None:
                return self._client.remind(self._request)
            self._note(reply, self._request.payload)
            self._request = None
        if payload := self._next():
            self._request = self._client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_INPUT, **payload)

    def _next(self) -> dict[str, Any]:
        """What to send; nothing when there is nothing to say."""
        if self._source is not None and not self._pending and not self._ended:
            data = self._source.take()
            self._pending, self._ended = data or b"", data == b""
        if not self._pending and (self._told or not self._ended):
            return {}
        if self._taken is None:
            return {"d": b""}
        chunk = self._pending[:CHUNK]
        last = {"eof": True} if self._ended and chunk == self._pending else {}
        return {"d": chunk, "off": self._taken, **last}

    def _note(self, reply: dict[str, Any], sent: dict[str, Any]) -> bool:
        """Take over what the board says that it has; False when it has no room for more at present."""
        before, self._taken = self._taken, reply["off"]
        if before is None or not before <= reply["off"] <= before + len(sent["d"]):  # another program has begun
            return True
        self._pending = self._pending[reply["off"] - before :]
        whole = reply["off"] == before + len(sent["d"])
        self._told = whole and "eof" in sent
        return whole
