"""Exchanges with a bootloader over a line that may lie: sent, waited for, repeated.

Decides how often a request is made again, and that both sides come back into step in between. Refuses to know which
protocol it is (its codec gives the exchanges) and what is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from mcutool.errors import NoAnswer
from mcutool.flash.link import Link
from mcutool.flash.protocols.exchange import Exchange, LineError, NoReply, Refused

Result = TypeVar("Result")
log = logging.getLogger("mcutool")

ATTEMPTS = 8
ENOUGH_FAILURES, NOISE_LIMIT = 8, 6  # so many failures, and one attempt of so many


class Conversation:
    """One side of a request-and-answer protocol. `retries` counts what had to be repeated.

    `resynchronise` makes the exchange that brings both sides back into step; `boot_hint` is what a person does so that
    the bootloader answers at all.
    """

    def __init__(self, link: Link, resynchronise: Callable[[], Exchange[None]], boot_hint: str) -> None:
        self.link = link
        self.retries = 0
        self._resynchronise = resynchronise
        self._boot_hint = boot_hint
        self._received = b""
        self.forget_noise()

    def forget_noise(self) -> None:
        """Judge the line anew."""
        self._attempts = self._failures = 0

    @property
    def is_noisy(self) -> bool:
        """Whether so much fails that a slower line would be the faster one."""
        return self._failures >= ENOUGH_FAILURES and self._failures * NOISE_LIMIT > self._attempts

    def run(self, exchange: Exchange[Result]) -> Result:
        """One exchange, once. What came unasked before it is dropped. Raises LineError, Refused."""
        self._received = b""
        self.link.read(0)
        try:
            step = next(exchange)
            while True:
                if step.send:
                    self.link.write(step.send)
                reply = self._read_exactly(step.count, step.seconds)
                step = exchange.send(reply) if len(reply) == step.count else exchange.throw(NoReply("no reply"))
        except StopIteration as done:
            return done.value

    def _read_exactly(self, count: int, patience: float) -> bytes:
        """`count` bytes, or fewer when the line is silent for `patience` seconds."""
        while len(self._received) < count:
            data = self.link.read(patience)
            if not data:
                break
            self._received += data
        reply, self._received = self._received[:count], self._received[count:]
        return reply

    def attempt(self, make: Callable[[], Exchange[Result]], attempts: int = ATTEMPTS) -> Result:
        """An exchange, repeated until it succeeds. Raises the last Refused, or NoAnswer."""
        refused: Refused | None = None
        for _ in range(attempts):
            self._attempts += 1
            try:
                return self.run(make())
            except Refused as refusal:  # a byte may have been flipped on the way there
                refused = refusal
            except LineError as failure:
                log.debug("%s: %s", self.link.name, failure)
            self.repeat()
        raise refused or self.no_answer("the board stopped answering")

    def repeat(self) -> bool:
        """Get into step for another attempt; false when nothing answers."""
        self.retries += 1
        self._failures += 1
        try:
            self.run(self._resynchronise())
        except LineError as failure:
            log.debug("%s: %s", self.link.name, failure)
            return False
        return True

    def agreed(self, make: Callable[[], Exchange[Result]]) -> Result:
        """An answer that came twice: nothing protects it on the line. Raises NoAnswer."""
        last = self.attempt(make)
        for _ in range(ATTEMPTS):
            previous, last = last, self.attempt(make)
            if previous == last:
                return last
        raise self.no_answer("no two answers agree")

    def no_answer(self, what: str) -> NoAnswer:
        """The error of a board that is silent, with what its user can do."""
        return NoAnswer(f"{what} on {self.link.name}", next_action=f"to enter the bootloader: {self._boot_hint}")
