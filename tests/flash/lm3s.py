"""A Stellaris board in its boot loader, and an installation through it; run as a program: how often that succeeds.

python tests/flash/lm3s.py [RUNS]     # images of 20,000 bytes on lines with noise, successes by kind of noise
"""

from __future__ import annotations

import collections
import random
import sys

from loopback import LoopbackLink, storage

from mcutool import devices
from mcutool.devices import Span
from mcutool.emulator.flash import FlashArray
from mcutool.emulator.stellaris import StellarisLoader
from mcutool.errors import Error
from mcutool.flash import engine
from mcutool.flash.drivers.stellaris import Stellaris
from mcutool.flash.plan import Order, plan

BOARD = devices.board("lm3s6965evb")
LOADER = next(loader for loader in BOARD.loaders if loader.protocol == "stellaris")
FLASH = BOARD.chip.flash
START = LOADER.offset
VECTORS = (0x20001000).to_bytes(4, "little") + (START + 9).to_bytes(4, "little")


def program(size: int, seed: int = 1) -> bytes:
    return VECTORS + random.Random(seed).randbytes(size - len(VECTORS))


def board(before: bytes = b"", **traits) -> StellarisLoader:
    contents = bytearray(b"\xb0" * START + before.ljust(FLASH.size - START, b"\xff"))
    return StellarisLoader(FlashArray(*storage(contents, 0), FLASH.size), FLASH, START, **traits)


def install(link, image: bytes, address: int = START) -> engine.Outcome:
    order = Order(BOARD, LOADER, "", b"", (), plan(FLASH, Span(0, FLASH.size), [(address, image)]))
    return engine.install(Stellaris, link, order)


def attempt(noise: float, seed: int, kind: str) -> str:
    device, image = board(), program(20_000, seed)
    try:
        install(LoopbackLink(device, noise, seed, kind), image)
    except Error as error:
        return f"{type(error).__name__}: {error.message}"
    return "installed" if device.cells[START : START + len(image)] == image else "wrong contents"


def main(runs: int) -> None:
    for noise in (1e-4, 1e-3):
        for kind in ("flip", "drop", "double"):
            ends = collections.Counter(attempt(noise, seed, kind) for seed in range(runs))
            print(f"{kind:6} {noise:.0e} of all bytes:", dict(ends), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
