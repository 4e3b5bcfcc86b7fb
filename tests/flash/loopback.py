"""A serial line made of a function: what is written goes to a device model, its answer is there at once.

Time is virtual: a read that finds nothing adds its patience to `waited` and returns. `noise` is the probability that
a byte, in either direction, arrives with one bit flipped.
"""

from __future__ import annotations

import random

from mcutool.emulator.bootroms import An3155Rom, Memory
from mcutool.flash.protocols.exchange import NoReply

KIB = 1024
F405_SECTORS = [16 * KIB] * 4 + [64 * KIB] + [128 * KIB] * 7


def layout(sizes: list[int]) -> list[tuple[int, int]]:
    return [(sum(sizes[:number]), size) for number, size in enumerate(sizes)]


def rom(**overrides) -> An3155Rom:
    """The ROM of an STM32F405, flash erased."""
    flash = Memory(0x08000000, bytearray(b"\xff" * sum(F405_SECTORS)))
    ram = Memory(0x20000000, bytearray(128 * KIB))
    return An3155Rom(flash, ram, layout(F405_SECTORS), **({"product_id": 0x413, "ram_reserved": 0x3000} | overrides))


def drive(device, exchange):
    """Run one exchange against a device, without noise."""
    received = b""
    reply = None
    try:
        while True:
            step = exchange.throw(NoReply()) if reply is False else exchange.send(reply)
            received += device.feed(step.send)
            reply, received = received[: step.count], received[step.count :]
            if len(reply) < step.count:
                reply = False
    except StopIteration as done:
        return done.value


class LoopbackLink:
    """A Link to anything with `feed(bytes) -> bytes`."""

    def __init__(self, device, noise: float = 0.0, seed: int = 0) -> None:
        self.device = device
        self.noise = noise
        self.waited = 0.0
        self.flipped = 0
        self.name = "loopback"
        self._random = random.Random(seed)
        self._received = b""

    def _line(self, data: bytes) -> bytes:
        return bytes(self._flip(byte) if self._random.random() < self.noise else byte for byte in data)

    def _flip(self, byte: int) -> int:
        self.flipped += 1
        return byte ^ 1 << self._random.randrange(8)

    def write(self, data: bytes) -> None:
        self._received += self._line(self.device.feed(self._line(data)))

    def read(self, timeout: float) -> bytes:
        if not self._received:
            self.waited += timeout
        data, self._received = self._received, b""
        return data

    def set_baud(self, baud: int) -> None: ...

    def set_dtr(self, state: bool) -> None: ...

    def set_rts(self, state: bool) -> None: ...

    def close(self) -> None: ...
