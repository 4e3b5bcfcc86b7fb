"""An Arduino Zero in its bootloader, and an installation through it; run as a program: how often that succeeds.

python tests/flash/samd21.py [RUNS]     # images of 20,000 bytes on lines with noise, successes by kind of noise
"""

from __future__ import annotations

import collections
import random
import sys

from loopback import LoopbackLink, storage

from mcutool import devices
from mcutool.devices import Span
from mcutool.emulator.bootroms import Ram
from mcutool.emulator.flash import FlashArray
from mcutool.emulator.sam_ba import SamBaMonitor
from mcutool.errors import Error
from mcutool.flash import engine
from mcutool.flash.drivers.sam_ba import SamBa
from mcutool.flash.plan import Order, plan

BOARD = devices.board("arduino-zero")
LOADER = next(loader for loader in BOARD.loaders if loader.protocol == "sam-ba")
FLASH = BOARD.chip.flash
RAM = BOARD.chip.main_ram
START = LOADER.offset
REGION = Span(START, FLASH.size - START)
ROW = 256


def monitor(before: bytes = b"", **traits) -> SamBaMonitor:
    """The board with `before` in its flash from the start of the program on; below lies the bootloader."""
    contents = bytearray(b"\xb0" * START + before.ljust(REGION.size, b"\xff"))
    cells = FlashArray(*storage(contents, 0), FLASH.size)
    ram = Ram(RAM.base, RAM.size, 0, *storage(bytearray(RAM.size), RAM.base))
    return SamBaMonitor(cells, FLASH, ram, START, **({"device_id": LOADER.product_id | 0x300} | traits))


def install(link, image: bytes, *, raw: bool = False, address: int = START, full: bool = False) -> engine.Outcome:
    order = Order(BOARD, LOADER, "", b"", (), plan(FLASH, REGION, [(address, image)]))
    return engine.install(lambda link, board, loader: SamBa(link, board, loader, raw), link, order, full=full)


def attempt(device: SamBaMonitor, image: bytes, noise: float, seed: int, kind: str) -> str:
    """How an installation on a noisy line ends: "installed", "stopped" (only a reset helps), or what went wrong."""
    before = device.cells[:]
    try:
        install(LoopbackLink(device, noise, seed, kind), image)
    except Error as error:
        stopped = device.hung or device.started is not None
        return "stopped" if stopped else f"{type(error).__name__}: {error.message}"
    behind = START + -(-len(image) // ROW) * ROW
    if device.cells[START : START + len(image)] != image:
        return "wrong contents"
    return "installed" if device.cells[behind:] == before[behind:] else "changed what lies behind"


def main(runs: int) -> None:
    for behind in ("blank", "full"):
        for noise in (1e-4, 1e-3):
            for kind in ("flip", "drop", "double"):
                ends = collections.Counter(
                    attempt(
                        monitor(b"" if behind == "blank" else random.Random(seed + 1_000).randbytes(REGION.size)),
                        random.Random(seed).randbytes(20_000), noise, seed, kind,
                    )
                    for seed in range(runs)
                )  # fmt: skip
                print(f"flash {behind}, {kind:6} {noise:.0e} of all bytes:", dict(ends), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
