"""A serial line made of a function: what is written goes to a device model, its answer is there at once.

Time is virtual: a read that finds nothing adds its patience to `waited` and returns.
"""

from __future__ import annotations

import hashlib
import random

from mcutool.emulator.bootroms import An3155Rom, Ram
from mcutool.emulator.flash import FlashArray
from mcutool.flash.protocols import smp
from mcutool.flash.protocols.exchange import NoReply

KIB = 1024
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


class Noise:
    """Spoils bytes with a probability: `flip`s one bit, `drop`s or `double`s the byte. `spoilt` counts them."""

    def __init__(self, probability: float, seed: int, kind: str = "flip") -> None:
        self.spoilt = 0
        self._probability = probability
        self._random = random.Random(seed)
        self._spoil = getattr(self, "_" + kind)

    def __call__(self, data: bytes) -> bytes:
        return b"".join(map(self._byte, data))

    def _byte(self, byte: int) -> bytes:
        if self._random.random() >= self._probability:
            return bytes((byte,))
        self.spoilt += 1
        return self._spoil(byte)

    def _flip(self, byte: int) -> bytes:
        return bytes((byte ^ 1 << self._random.randrange(8),))

    def _drop(self, _byte: int) -> bytes:
        return b""

    def _double(self, byte: int) -> bytes:
        return bytes((byte, byte))


class NoisyLink:
    """Another link with noise on its line, in both directions."""

    lossless = False

    def __init__(self, link, noise: float, seed: int) -> None:
        self._link = link
        self.noise = Noise(noise, seed)

    def __getattr__(self, name: str):
        return getattr(self._link, name)

    def write(self, data: bytes) -> None:
        self._link.write(self.noise(data))

    def read(self, timeout: float) -> bytes:
        return self.noise(self._link.read(timeout))


class LoopbackLink:
    """A Link to anything with `feed(bytes) -> bytes`."""

    lossless = False
    baud, baud_is_fixed = 115200, True

    def __init__(self, device, noise: float = 0.0, seed: int = 0, kind: str = "flip") -> None:
        self.device = device
        self.waited = 0.0
        self.name = "loopback"
        self.noise = Noise(noise, seed, kind)
        self._received = b""

    def write(self, data: bytes) -> None:
        self._received += self.noise(self.device.feed(self.noise(data)))

    def read(self, timeout: float) -> bytes:
        if not self._received:
            self.waited += timeout
        data, self._received = self._received, b""
        return data

    def now(self) -> float:
        return self.waited

    def set_parity(self, even: bool) -> None: ...

    def set_baud(self, baud: int) -> None: ...

    def set_dtr(self, state: bool) -> None: ...

    def set_rts(self, state: bool) -> None: ...

    def reopen(self, patience: float) -> None:
        self._received = b""

    def close(self) -> None: ...


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
