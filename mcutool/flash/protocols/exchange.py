"""What a request-and-answer protocol says to whoever holds the wire.

A command is a generator that yields `Step`s, is sent the answer's bytes, and returns its result. This file refuses
to know how bytes travel and how time passes: `seconds` is what the protocol's author would wait, no more.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Step:
    """Send `send`, then give back exactly `count` bytes, or throw `NoReply` when they do not come in `seconds`."""

    send: bytes
    count: int
    seconds: float


Exchange = Generator[Step, bytes, Result]


class LineError(Exception):
    """An exchange did not come to its end; where the other side stands is unknown. Resynchronise and try again."""


class NoReply(LineError):
    """The answer, or a part of it, did not come in time."""


class Garbled(LineError):
    """The answer to `stage` of a command is not one that the protocol knows: noise on the line."""

    def __init__(self, message: str, stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class Refused(Exception):
    """The other side understood and said no.

    `command` names the request, `stage` the part of it that was refused ("command", "address", "data").
    """

    def __init__(self, command: str, stage: str) -> None:
        super().__init__(f"{command} refused at its {stage}")
        self.command = command
        self.stage = stage
