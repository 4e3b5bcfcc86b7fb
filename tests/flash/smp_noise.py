"""Uploads on a line that flips bits, counted (`python -m tests.flash.smp_noise`): how many succeed, how long they take.

This file decides who is at the other end: a model of a server, our runtime on an emulated board to which bytes come at
once, and the same at a bit rate, which takes longest to emulate. It refuses to know what is done about the noise.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcutool import devices
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.errors import Error
from mcutool.flash.smp_client import SmpClient
from tests.flash.images import image_of
from tests.flash.loopback import LoopbackLink, NoisyLink, SmpServer
from tests.flash.smp_times import LateLink

IMAGE = image_of(20_000, seed=7)
BOARD = devices.board("stm32f405")


OtherEnd = tuple[Any, Callable[[], bytes]]
"""The line to it, and what it holds."""


@dataclass
class Count:
    """Of uploads over one kind of line: seconds of those that succeeded, errors of the others."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    retries: int = 0

    def __str__(self) -> str:
        runs = len(self.seconds) + len(self.errors)
        times = f"{statistics.median(self.seconds):.1f} s, at most {max(self.seconds):.1f} s" if self.seconds else ""
        errors = ", ".join(sorted(set(self.errors)))
        return f"{len(self.seconds)} of {runs}; {times}; {self.retries / runs:.1f} retries each {errors}"


def to_the_runtime(noise: float, seed: int, link: type[EmulatedLink] = EmulatedLink) -> OtherEnd:
    machine = Machine(BOARD, BOARD.firmware)
    start = BOARD.chip.map.slot.offset
    return NoisyLink(link(machine), noise, seed), lambda: machine.flash[start : start + len(IMAGE)]


def to_the_runtime_at_115200_baud(noise: float, seed: int) -> OtherEnd:
    return to_the_runtime(noise, seed, LateLink)


def to_a_model(noise: float, seed: int) -> OtherEnd:
    server = SmpServer()
    return LoopbackLink(server, noise, seed), lambda: server.image


def count(other_end: Callable[[float, int], OtherEnd], noise: float, seeds: range) -> Count:
    """Upload once for each seed of the noise."""
    result = Count()
    for seed in seeds:
        link, contents = other_end(noise, seed)
        client, began = SmpClient(link), link.now()
        try:
            client.upload(IMAGE)
            assert contents() == IMAGE
            result.seconds.append(link.now() - began)
        except Error as error:
            result.errors.append(str(error))
        result.retries += client.retries
    return result


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    ends = {to_a_model: runs, to_the_runtime: runs, to_the_runtime_at_115200_baud: runs // 20}
    for other_end, seeds in ends.items():
        for noise in (1e-4, 1e-3):
            found = count(other_end, noise, range(seeds))
            print(f"{other_end.__name__}, 1 flipped bit in {1 / noise:.0f} bytes: {found}", flush=True)
