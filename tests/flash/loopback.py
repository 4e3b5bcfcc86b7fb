"""Models of what bootloaders and runtimes answer, for tests without a wire; on one that takes time: line.py.

Decides what the models' flash and memory look like. Refuses to know who asks.
"""

from __future__ import annotations

import hashlib

from mcutool.emulator.bootroms import An3155Rom, Ram
from mcutool.emulator.flash import FlashArray
from mcutool.flash.protocols import smp
from mcutool.flash.protocols.exchange import NoReply
from tests.flash.line import Line, Noise, NoisyLink

__all__ = ["LoopbackLink", "NoisyLink", "SmpServer", "drive", "layout", "rom", "storage"]

KIB = 1024
INSTANT = 10**12  # baud
F405_SECTORS = [16 * KIB] * 4 + [64 * KIB] + [128 * KIB] * 7


def layout(sizes: list[int]) -> list[tuple[int, int]]:
    return [(sum(sizes[:number]), size) for number, size in enumerate(sizes)]


def rom(**overrides) -> An3155Rom:
    """The ROM of an STM32F405, flash erased."""
    read, write = storage(bytearray(b"\xff" * sum(F405_SECTORS)), 0)
    ram = Ram(0x20000000, 128 * KIB, 0x3000, *storage(bytearray(128 * KIB), 0x20000000))
    cells = FlashArray(read, write, sum(F405_SECTORS))
    return An3155Rom(cells, 0x08000000, ram, layout(F405_SECTORS), **({"product_id": 0x413} | overrides))


def storage(contents: bytearray, base: int):
    """Functions that read and write bytes by address."""

    def write(address: int, data: bytes) -> None:
        contents[address - base : address - base + len(data)] = data

    return lambda address, length: bytes(contents[address - base : address - base + length]), write


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


class LoopbackLink(Line):
    """A line that takes no time, so that all that passes is waiting."""

    def __init__(self, device, noise: float = 0.0, seed: int = 0, kind: str = "flip") -> None:
        super().__init__(device, baud=INSTANT, latency=0, noise=Noise(noise, seed, kind))

    @property
    def waited(self) -> float:
        return self.now()


class SmpServer:
    """A runtime's side of SMP: parameters, echo, image list and upload with resume, as MCUmgr servers do them.

    `requests_left` goes silent after so many requests, `refusal` answers uploads with an error, `chatter` is printed
    before every reply.
    """

    def __init__(self, buffer_size: int = 1024, refusal: str = "", chatter: bytes = b"") -> None:
        self.buffer_size, self.refusal, self.chatter = buffer_size, refusal, chatter
        self.image = b""
        self.requests_left = 100_000
        self.longest = self.taken = 0
        self._sha = b""
        self._length = 0
        self._lines = smp.Demultiplexer()

    def feed(self, data: bytes) -> bytes:
        messages = [part for part in self._lines.feed(data) if isinstance(part, smp.Message)]
        return b"".join(self._reply(message) for message in messages)

    def _reply(self, request: smp.Message) -> bytes:
        self.requests_left -= 1
        if self.requests_left < 0:
            return b""
        self.longest = max(self.longest, len(smp.encode_message(request)))
        payload = self._answer(request)
        reply = smp.Message(request.operation + 1, request.group, request.command, payload, request.sequence)
        return self.chatter + smp.encode_lines(smp.encode_message(reply))

    def _answer(self, request: smp.Message) -> dict:
        match request.group, request.command:
            case smp.OS, smp.OS_ECHO:
                return {"r": request.payload["d"]}
            case smp.OS, smp.OS_PARAMETERS:
                return {"buf_size": self.buffer_size, "buf_count": 1}
            case smp.IMAGE, smp.IMAGE_STATE:
                return {"images": [{"slot": 0, "hash": self._sha}]}
            case smp.IMAGE, smp.IMAGE_UPLOAD:
                return self._upload(request.payload)
        return {"rc": 8}

    def _upload(self, chunk: dict) -> dict:
        if self.refusal:
            return {"rc": 1, "rsn": self.refusal}
        if chunk["off"] == 0 and chunk["sha"] != self._sha:
            self.image, self._sha, self._length = b"", chunk["sha"], chunk["len"]
        if chunk["off"] == len(self.image):
            self.image += chunk["data"]
            self.taken += len(chunk["data"])
        done = {"match": hashlib.sha256(self.image).digest() == self._sha} if len(self.image) == self._length else {}
        return {"rc": 0, "off": len(self.image), **done}
