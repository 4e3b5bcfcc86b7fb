"""Power that is cut at every flash operation of a change of what is installed, on a chip's geometry.

Decides which changes there are, from which states of the flash they begin, and what has to hold after a cut. Refuses to
know how the store works: it is the firmware's (harness.c), with a model of flash in the place of the port.
"""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import cbor2

from firmware_runtime.build import render_board_header
from mcutool import devices
from mcutool.devices import Board
from mcutool.image.format import contain
from mcutool.image.mcuboot import read

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parent.parent / "firmware_runtime"
SOURCES = ["smp_image.c", "cbor.c", "image.c", "sha256.c", "board.c"]
FLAGS = [
    "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast",
    "-ffunction-sections", "-Wl,--gc-sections",
]  # fmt: skip
BASE = 0x2000_0000  # where the PC has room for the flash
CHUNK = 192
WAYS = 4  # of a cut: before an operation, twice in the middle, right behind it


def geometries() -> dict[str, Board]:
    """A board for each chip with a runtime whose flash is unlike the others'."""
    found = {}
    for board in devices.runtime_boards():
        flash, flash_map = board.chip.flash, board.chip.map
        found.setdefault((flash.sectors, flash.smallest_write, flash_map, board.chip.images), board)
    return {board.chip.name: board for board in found.values()}


@cache
def harness(name: str) -> Path:
    """The program for a board's geometry; compiled once a test process."""
    folder = Path(mkdtemp(prefix="mcutool-store-"))
    board = devices.board(name)
    moved = replace(board, chip=replace(board.chip, flash=replace(board.chip.flash, base=BASE)))
    (folder / "board.h").write_text(render_board_header(moved))
    command = [
        "gcc",
        *FLAGS,
        f"-I{folder}",
        f"-I{RUNTIME}",
        str(HERE / "harness.c"),
        *SOURCES,
        "-o",
        folder / "harness",
    ]
    subprocess.run(command, cwd=RUNTIME, check=True)
    return folder / "harness"


# --- what is asked of the store -----------------------------------------------------------------------------------


def container(seed: int, size: int) -> bytes:
    return contain(random.Random(seed).randbytes(size))


def request(letter: str, **payload: Any) -> bytes:
    body = letter.encode() + cbor2.dumps(payload)
    return struct.pack("<I", len(body)) + body


def upload(data: bytes, image: int = 0) -> bytes:
    """Each chunk is a multiple of every write unit."""
    first = {"image": image, "len": len(data)}
    return b"".join(
        request("u", off=offset, data=data[offset : offset + CHUNK], **(first if offset == 0 else {}))
        for offset in range(0, len(data), CHUNK)
    )


def activate(data: bytes, confirm: bool = False) -> bytes:
    return request("s", hash=read("image", data).hash, confirm=confirm)


def remove(data: bytes) -> bytes:
    return request("e", hash=read("image", data).hash)


BOOT = b""
CONFIRM = request("s", confirm=True)
SETTINGS = request("c", image=0, args=["an argument"], env=["NAME=value"], fuel=1000)


@dataclass(frozen=True)
class Change:
    """A change, and what comes before it. `atomic`: it is one step; else some versions that do not run may go first.
    `repeats`: the same again after a cut completes it."""

    name: str
    before: tuple[bytes, ...]
    what: bytes
    atomic: bool = True
    repeats: bool = True


def changes(board: Board, size: int) -> list[Change]:
    """With modules of about `size` bytes. Another image is beside them where there is a sector left for it."""
    a, b, x, other = (container(seed, size + 40 * seed) for seed in range(4))
    beside = (upload(other, 1), activate(other, True)) if len(board.chip.slot_sectors) > 2 else ()
    running = (upload(a), activate(a, True), *beside, SETTINGS)
    installed = (*running, upload(b))
    tried = (*installed, activate(b), BOOT)
    return [
        Change("install", running, upload(b), atomic=False),
        Change("install over another", (*running, upload(x)), upload(b), atomic=False),
        Change("install during a trial", tried, upload(x), atomic=False, repeats=False),
        Change("activate", installed, activate(b), repeats=False),
        Change("begin the trial", (*installed, activate(b)), BOOT, repeats=False),
        Change("confirm", tried, CONFIRM, repeats=False),
        Change("confirm at once", installed, activate(b, True)),
        Change("roll back", tried, BOOT, repeats=False),
        Change("remove", installed, remove(b)),
        Change("remove what runs", installed, remove(a)),
        Change("settings", running, request("c", image=0, args=["another"], env=[], fuel=2)),
    ]


LEVELS = ("fresh", "full", "torn")
"""The area: as the change found it; without room for one more record; with one behind the last that was cut off."""


# --- cutting ------------------------------------------------------------------------------------------------------


class Store:
    """A harness in which flash was erased."""

    def __init__(self, board: Board) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([harness(board.name)], stdin=pipe, stdout=pipe)

    def ask(self, letter: str, data: bytes = b"", first: int = 0, second: int = 0) -> list[str]:
        """Its lines."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(struct.pack("<4I", ord(letter), len(data), first, second) + data)
        self._process.stdin.flush()
        lines = []
        while (line := self._process.stdout.readline().decode().strip()) != "done":
            assert line or self._process.poll() is None, f"the harness ended: {self._process.wait()}"
            lines.append(line)
        return lines

    def close(self) -> None:
        self._process.communicate()


def prepare(store: Store, change: Change, level: str) -> None:
    store.ask("e")
    for step in change.before:
        assert store.ask("p", step) == [], f"{change.name}: the preparation is refused"
    if level == "full":
        store.ask("f")
    elif level == "torn":
        store.ask("t", request("c", image=0, fuel=3), 7)


def cuts(store: Store, change: Change, level: str, every: int = 1, first: int = 0) -> tuple[int, list[str]]:
    """How many cuts there were, and what was wrong after them."""
    prepare(store, change, level)
    before, after = store.ask("d", change.what)
    head, *lines = store.ask("c", change.what, every, first)
    found = []
    for cut, again in zip(lines[::2], lines[1::2], strict=True):
        number, _, state = cut.partition(" ")
        where = f"{change.name}, {level}, operation {int(number) // WAYS} of {head}, way {int(number) % WAYS}"
        if wrong := complaint(change, before, after, state, again):
            found.append(f"{where}: {wrong}")
    return len(lines) // 2, found


def complaint(change: Change, before: str, after: str, state: str, again: str) -> str:
    """What is wrong with a board after a cut and a start, and after the same change once more."""
    if "BROKEN" in state or "BROKEN" in again:
        return f"a version is not whole: {state}"
    if change.atomic and state not in (before, after):
        return f"neither the old nor the new: {state}"
    if not change.atomic and running(state) not in (running(before), running(after)):
        return f"another program is chosen: {state}"
    if change.repeats and again != after:
        return f"the same change again gives {again}, not {after}"
    return ""


def running(state: str) -> list[list[str]]:
    """Of each image what is chosen, its counter and its settings."""
    return [image.split(" ")[:3] for image in state.split(";")]
