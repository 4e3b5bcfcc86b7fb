"""How long an upload to our runtime takes, and how long it would have to take (`python -m tests.flash.smp_times`).

The board is emulated, with its UART's bit rate, its processor's cycles and the times of its flash; the line has a
latency. This file decides what is counted as unavoidable: the bytes on the wire, the flash at work, and one turnaround
for each request. It refuses to know how an upload is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from mcutool import devices
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.flash.smp_client import SmpClient
from tests.flash.images import image_of

SIZE = 128 * 1024
LATENCY = 0.001  # seconds, each way
BITS = 10  # of a byte on the wire
AROUND = 512  # of the size of an image, at most what is not its data


class LateLink(EmulatedLink):
    """A line to an emulated board on which bytes take their time: that of the bit rate, and a latency each way.

    `sent` and `received` count them.
    """

    lossless = False

    def __init__(self, machine: Machine, latency: float = LATENCY) -> None:
        super().__init__(machine)
        self.sent = self.received = 0
        self._latency = machine.clock.cycles(latency)
        machine.uart.paced = True
        machine.uart.on_output = self._later

    def _later(self, data: bytes) -> None:
        self.received += len(data)
        self._machine.clock.after(self._latency, partial(self._collect, data))

    def write(self, data: bytes) -> None:
        self.sent += len(data)
        self._machine.clock.after(self._latency, partial(self._machine.uart.feed, data))


@dataclass(frozen=True)
class Times:
    """Seconds: what an upload took, and of what that cannot be less."""

    measured: float
    wire: float
    busy: float
    turnarounds: float

    @property
    def ratio(self) -> float:
        return self.measured / (self.wire + self.busy + self.turnarounds)


class FlashWork:
    """Counts the seconds that a flash is at work."""

    def __init__(self, machine: Machine) -> None:
        self.microseconds = 0
        self._erase = {sector.offset: sector.erase_us for sector in machine.chip.flash.sector_spans()}
        self._program = machine.chip.flash.program_us
        machine.flash.before_change = self._note

    def _note(self, kind: str, offset: int, data: bytes) -> bytes:
        self.microseconds += self._erase[offset] if kind == "erase" else self._program
        return data


def smp_times(board: str = "stm32f405", size: int = SIZE, latency: float = LATENCY) -> Times:
    """Upload `size` bytes to a board whose runtime has just started."""
    description = devices.board(board)
    machine = Machine(description, description.firmware)
    link, work = LateLink(machine, latency), FlashWork(machine)
    client, image = SmpClient(link), image_of(size - AROUND, seed=1)
    client.echo("hello")
    bytes_before, requests_before, began = link.sent + link.received, client.sent, link.now()
    client.upload(image)
    measured = link.now() - began
    wire = (link.sent + link.received - bytes_before) * BITS / description.chip.uart.default_baud
    turnarounds = (client.sent - requests_before) * 2 * latency
    return Times(measured, wire, work.microseconds / 1e6, turnarounds)


if __name__ == "__main__":
    for name in ("stm32f405", "mps2-an386"):
        times = smp_times(name)
        print(f"{name}: {times}, ratio {times.ratio:.3f}")
