"""Firmware with a key, and what checking signatures costs it: `python -m tests.firmware.keyed` prints the table.

This file decides with which key and how cost is counted: flash as what the same firmware without a key has less, cycles
as the emulator models them, the stack as it is proved. It refuses to know which images are refused.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware_runtime import build, stack
from mcutool import devices
from mcutool.emulator.machine import Machine
from mcutool.emulator.profile import Profile
from mcutool.image import keys, signing
from mcutool.placement import placed
from tests.firmware import programs

BOARDS = {"mps2-m0": "Cortex-M0", "mps2-an385": "Cortex-M3", "mps2-an386": "Cortex-M4F"}
OURS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
THEIRS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def signed(image: bytes, counter: int | None = None, key: Ed25519PrivateKey = OURS) -> bytes:
    """An image with a signature, as `mcutool sign` makes it."""
    unsigned = signing.prepare("image", image, counter)
    return unsigned.signed(keys.raw_public(key), key.sign(unsigned.digest))


@cache
def firmware(name: str) -> Path:
    """The ELF of a board that takes what OURS has signed; built once a test process."""
    return build.build(devices.board(name), Path(mkdtemp(prefix="mcutool-keyed-")), key=keys.raw_public(OURS))


@cache
def bound(name: str) -> stack.Bound:
    """What is proved of the stacks of that firmware."""
    return stack.bound(devices.board(name), firmware(name))


@dataclass(frozen=True)
class Costs:
    """Bytes of flash, cycles of one check, and bytes of stack with an interrupt on top."""

    flash: int
    cycles: int
    stack: int


def costs(name: str) -> Costs:
    """What a key costs on a board."""
    flash = build.flash_of(firmware(name)) - build.flash_of(devices.board(name).firmware)
    return Costs(flash, cycles(name), bound(name).on_other_stack)


def install(machine: Machine, image: bytes) -> None:
    """Put an image into flash as the one that a start takes."""
    for _, offset, data in placed(machine.board.chip, image):
        machine.flash.load(offset, data)


def cycles(name: str) -> int:
    """Of one check at a start of the board."""
    board = devices.board(name)
    machine = Machine(board, firmware(name))
    install(machine, signed(programs.traps()))
    profile = Profile(machine, "signature_check")
    machine.run_for(2.0)
    counts = profile.counts()
    assert counts.calls == 1
    return counts.cycles


def made_by_imgtool(image: bytes, counter: int, folder: Path) -> bytes:
    """The payload of an image, signed by imgtool with OURS, behind a header of its own."""
    private = OURS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    size = struct.unpack_from("<I", image, 12)[0]
    (folder / "payload.bin").write_bytes(image[32 : 32 + size])
    words = ["sign", "--version", "1.2.3", "--header-size", "0x40", "--pad-header", "--slot-size", "0x8000"]
    words += ["--align", "4", "--security-counter", str(counter), "--key", str(folder / "key.pem")]
    imgtool(*words, folder / "payload.bin", folder / "made.mcu")
    return (folder / "made.mcu").read_bytes()


def imgtool(*words: str | Path) -> str:
    """What imgtool says. Raises CalledProcessError."""
    command = [sys.executable, "-c", "from imgtool.main import imgtool; imgtool()", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    print("| core | flash | cycles of a check | its stack |\n| --- | --: | --: | --: |")
    for name, core in BOARDS.items():
        found = costs(name)
        print(f"| {core} | {found.flash:,} | {found.cycles / 1e6:.1f} million | {found.stack:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
