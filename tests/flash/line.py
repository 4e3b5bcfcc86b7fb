"""An emulated serial line: bytes take their time, some are spoilt, and the line itself can be lost.

Decides when a byte arrives and in which shape, what the control lines do to the board, and what of the time that passes
belongs to the wire, to the device's flash and to waiting. Refuses to know the protocol: the device is a model with
`feed(bytes) -> bytes`; one with `busy` (seconds of flash work so far) answers that much later, one with `restart()` can
be reset.

Time is virtual: it passes only while somebody reads.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mcutool.devices import ControlLines
from mcutool.emulator.sabotage import misread
from mcutool.errors import Disconnected

LATENCY = 0.001  # seconds from the end of a byte until an adapter has handed it to the PC, with all that came meanwhile
DELAY = 0.3  # seconds that a byte with the fault "delay" stays away
GARBAGE = 0.3  # of the bytes are spoilt at a rate that the adapter cannot keep


class Noise:
    """Spoils bytes with a probability: `flip`s one bit, `drop`s, `double`s or `delay`s the byte. `spoilt` counts."""

    def __init__(self, probability: float, seed: int, kind: str = "flip") -> None:
        self.spoilt = 0
        self._random = random.Random(seed)
        self._kind = kind
        self._scale = 1 / math.log1p(-probability) if probability else -math.inf
        self._left = self._gap()

    def _gap(self) -> float:
        """How many bytes pass until the next one is spoilt."""
        return math.inf if self._scale == -math.inf else int(math.log(1 - self._random.random()) * self._scale)

    def pieces(self, data: bytes) -> Iterator[tuple[float, bytes]]:
        """What becomes of `data`: bytes, each with the seconds that pass before they set out."""
        start = 0
        while start + self._left < len(data):
            place = start + int(self._left)
            yield 0, data[start:place]
            yield self._spoil(data[place])
            start, self._left = place + 1, self._gap()
        self._left -= len(data) - start
        yield 0, data[start:]

    def _spoil(self, byte: int) -> tuple[float, bytes]:
        self.spoilt += 1
        match self._kind:
            case "flip":
                return 0, bytes((byte ^ 1 << self._random.randrange(8),))
            case "drop":
                return 0, b""
            case "double":
                return 0, bytes((byte, byte))
            case "delay":
                return DELAY, bytes((byte,))
        raise ValueError(self._kind)

    def __call__(self, data: bytes) -> bytes:
        return b"".join(piece for _, piece in self.pieces(data))


class NoisyLink:
    """Another link with noise on its line, in both directions."""

    lossless = False

    def __init__(self, link: Any, noise: float, seed: int) -> None:
        self._link = link
        self.noise = Noise(noise, seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def write(self, data: bytes) -> None:
        self._link.write(self.noise(data))

    def read(self, timeout: float) -> bytes:
        return self.noise(self._link.read(timeout))


class Wiring:
    """What DTR and RTS are soldered to, as the words of a board's file tell: one resets, the other chooses."""

    def __init__(self, lines: ControlLines) -> None:
        steps = [step.split() for step in lines.enter if not step.startswith("wait")]
        self.reset, self._active = lines.reset[0].split()
        choices = [(line, value) for line, value in steps if line != self.reset]
        self._chooser, self._boot = choices[0] if choices else ("", "")
        self._levels = {"dtr": "off", "rts": "off"}

    def move(self, line: str, state: bool) -> bool:
        """Whether the chip starts anew."""
        before, self._levels[line] = self._levels[line], "on" if state else "off"
        return line == self.reset and before == self._active != self._levels[line]

    @property
    def chooses_bootloader(self) -> bool:
        return self._levels.get(self._chooser, "") == self._boot


@dataclass
class Account:
    """Where the seconds went, and how often the direction changed from sending to waiting."""

    wire: float = 0.0
    busy: float = 0.0
    turnarounds: int = 0

    def copy(self) -> Account:
        return replace(self)


class Line:
    """A Link to a device model.

    `locks` is the byte from which the device takes its rate after a reset; without one it has always the right rate.
    `fastest` is the rate beyond which there is `garbage`. `chatter` is what somebody says without an end. `cuts` are
    the numbers of bytes, counted in both directions, at which the line is lost; `reopen` brings it back. `wiring`
    connects DTR and RTS.
    """

    name = "the emulated line"
    lossless = False

    def __init__(
        self,
        device: Any,
        *,
        baud: int = 115200,
        baud_is_fixed: bool = True,
        latency: float = LATENCY,
        noise: Noise | None = None,
        locks: int | None = None,
        fastest: float = math.inf,
        garbage: Noise | None = None,
        wiring: Wiring | None = None,
        chatter: bytes = b"",
        cuts: Iterable[int] = (),
    ) -> None:
        self.device = device
        self.baud, self.baud_is_fixed, self.latency = baud, baud_is_fixed, latency
        self.noise = noise or Noise(0, 0)
        self.account = Account()
        self.transported = 0  # bytes, both ways
        self.is_running = False  # the program, so that no bootloader listens
        self.resets = 0
        self._locks, self._rate = locks, None if locks is not None else baud
        self._garbage = garbage or Noise(GARBAGE, 1)
        self._chatter = chatter
        self._fastest, self._wiring, self._cuts = fastest, wiring, deque(sorted(cuts))
        self._is_lost = self._is_sending = False
        self._bits = 10
        self._time = self._sent_until = self._free_at = self._said_until = 0.0
        self._incoming: deque[tuple[float, bytes]] = deque()  # when the first byte sets out

    # --- the PC's side --------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._time

    def write(self, data: bytes) -> None:
        self._check()
        self._is_sending = True
        sent = self._transport(data)
        for pause, piece in self.noise.pieces(sent):
            self._arrives(pause, piece)
        self._check()

    def read(self, timeout: float) -> bytes:
        """All that has come when the adapter hands over the next byte."""
        self._check()
        if timeout > 0 and self._is_sending:
            self.account.turnarounds += 1
            self._is_sending = False
        if self._chatter and not self._incoming:
            self._says(self._chatter)
        due = self._incoming[0][0] + self._byte_time + self.latency if self._incoming else math.inf
        if due > self._time + timeout:
            self._time += timeout
            return b""
        self._time = max(self._time, due)
        data = self._transport(b"".join(self._arrived()))
        self._check()
        return data

    def set_baud(self, baud: int) -> None:
        self._check()
        self.baud = baud

    def set_parity(self, even: bool) -> None:
        self._check()
        self._bits = 11 if even else 10

    def set_dtr(self, state: bool) -> None:
        self._move("dtr", state)

    def set_rts(self, state: bool) -> None:
        self._move("rts", state)

    def reopen(self, patience: float) -> None:
        self._is_lost = False
        self._incoming.clear()

    def close(self) -> None:
        """Nothing to give back."""

    # --- the wire -------------------------------------------------------------------------------------------

    @property
    def _byte_time(self) -> float:
        return self._bits / self.baud

    def _transport(self, data: bytes) -> bytes:
        """What of it gets through before the line is lost."""
        if self._cuts and self.transported + len(data) >= self._cuts[0]:
            data = data[: max(0, self._cuts.popleft() - self.transported)]
            self._is_lost = True
        self.transported += len(data)
        return data

    def _check(self) -> None:
        if self._is_lost:
            raise Disconnected("the connection to the emulated line was lost", next_action="plug it in and repeat")

    def _takes(self, start: float, data: bytes) -> float:
        """When bytes that set out at `start` have arrived."""
        self.account.wire += len(data) * self._byte_time
        return start + len(data) * self._byte_time

    def _arrives(self, pause: float, data: bytes) -> None:
        """Bytes at the device; its answer sets out when its flash has done what they asked for."""
        self._sent_until = self._takes(max(self._time, self._sent_until) + pause, data)
        if self.is_running or not data:
            return
        before = getattr(self.device, "busy", 0.0)
        answer = self.device.feed(self._seen(data))
        busy = getattr(self.device, "busy", 0.0) - before
        self.account.busy += busy
        self._free_at = max(self._free_at, self._sent_until) + busy
        self._says(answer)
        if getattr(self.device, "reset", False):
            self.reset(into_bootloader=self.device.held_by_pin or not self.device.program_is_valid)

    def _says(self, answer: bytes) -> None:
        for pause, piece in self.noise.pieces(self._garbled(answer)):
            start = max(self._free_at, self._said_until, self._time) + pause
            self._said_until = self._takes(start, piece)
            if piece:
                self._incoming.append((start, piece))

    def _arrived(self) -> Iterator[bytes]:
        while self._incoming and (start := self._incoming[0][0]) + self._byte_time <= self._time:
            _, data = self._incoming.popleft()
            count = min(len(data), max(1, int((self._time - start) / self._byte_time + 1e-6)))
            if count < len(data):
                self._incoming.appendleft((start + count * self._byte_time, data[count:]))
            yield data[:count]

    # --- rates and resets -----------------------------------------------------------------------------------

    def _seen(self, data: bytes) -> bytes:
        """What the device reads, which takes its rate from the first byte that suits it."""
        if self._rate is None and self._locks in data:
            self._rate = self.baud
        return self._garbled(data)

    def _garbled(self, data: bytes) -> bytes:
        """Bytes at a rate that one of the two sides does not have."""
        if self.baud > self._fastest:
            data = self._garbage(data)
        if self._rate in (None, self.baud):
            return data
        return bytes(misread(byte, self.baud / self._rate) for byte in data)

    def _move(self, line: str, state: bool) -> None:
        self._check()
        if self._wiring is not None and self._wiring.move(line, state):
            self.reset(into_bootloader=self._wiring.chooses_bootloader)

    def reset(self, into_bootloader: bool) -> None:
        """A pulse on the chip's reset pin."""
        self.resets += 1
        self.is_running = not into_bootloader
        self._rate = None if self._locks is not None else self._rate
        self.device.restart()
