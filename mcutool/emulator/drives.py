"""The drives that boards show over USB, as folders that behave like them.

Decides what a UF2 bootloader, a DAPLink interface chip and the controller of an MPS2 board make of the files that come
into their folder. Refuses to know how they come there. Sources: microsoft/uf2 (the format), RP2040 datasheet sections
2.8.4 and RP2040-E14, uf2-samdx1, DAPLink's users' guide, Arm's MPS2 technical reference manual. Emulated: models of
what these documents say, not devices; a drive that vanishes is a folder that does.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mcutool.devices import Board, Loader, Sector
from mcutool.emulator.flash import FlashArray
from mcutool.errors import Error, UsageError
from mcutool.image.containers import (
    UF2_BLOCK,
    UF2_END,
    UF2_HAS_FAMILY,
    UF2_MAGIC,
    UF2_NOT_FLASH,
    UF2_SIZE,
    Segment,
    read_segments,
)

POLL = 0.005  # seconds between looks at the folder
GROUP = 16  # blocks that the RP2040's ROM takes for one sector
BLANK = b"\xff" * 4
VECTOR_PLACES = (0x04, 0x104)  # of the reset vector, behind the RP2040's second stage of booting too


class Unplugged(Exception):
    """To be raised by a test from `FlashArray.before_change`: the board has lost its power."""


class Folder:
    """A drive as a folder. `mounted` says whether its files are shown, `files` what they are.

    `on_start` is called when the chip has a new program and is to start it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        self.mounted = False
        self.on_start: Callable[[], None] = lambda: None

    def show(self) -> None:
        """Appear with nothing but the files of its own, all at once as a drive does. Raises UsageError."""
        self.hide()
        with self._beside() as work:
            fresh = work / "fresh"
            fresh.mkdir()
            for name, text in self.files.items():
                (fresh / name).write_text(text, encoding="utf-8", newline="")
            fresh.rename(self.folder)
        self.mounted = True

    def hide(self) -> None:
        """Vanish. Raises UsageError."""
        self.mounted = False
        if self.folder.is_dir():
            with self._beside() as work:
                self.folder.rename(work / "old")

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        """A folder for the time being, on the same file system; what is left in it goes with it."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder.parent, prefix=".drive-") as name:
                yield Path(name)
        except OSError as error:
            what = f"cannot show a drive as {self.folder}: {error.strerror}"
            raise UsageError(what, next_action="choose another folder") from error

    def arrived(self) -> list[Path]:
        """The files that somebody has put there."""
        return sorted(path for path in self.folder.iterdir() if path.name not in self.files and path.is_file())

    def poll(self) -> None:
        """Look at what has come."""
        raise NotImplementedError


@contextmanager
def running(drive: Folder) -> Iterator[None]:
    """The drive lives inside, in a thread of its own."""
    stopped = threading.Event()

    def live() -> None:
        while not stopped.is_set():
            drive.poll()
            time.sleep(POLL)

    drive.show()
    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


class Uf2Bootloader(Folder):
    """A UF2 bootloader: programs blocks as they come, and starts the program when all have.

    It ignores what is not for its family and what is not for its part of flash. `by_number` makes it erase as the
    RP2040's ROM does: once for each sixteen block numbers, the sector of the first of them that comes. Otherwise a
    sector is erased when the first of its blocks comes, and one that a single block fills with every such block.
    """

    def __init__(
        self, folder: Path, board: Board, loader: Loader, flash: FlashArray, *, by_number: bool = False
    ) -> None:
        super().__init__(folder)
        self.chip, self.loader, self.flash, self.by_number = board.chip, loader, flash, by_number
        self._sectors = list(board.chip.flash.sector_spans())
        info = f"UF2 Bootloader v3\r\nModel: {board.title}\r\nBoard-ID: {loader.identity}\r\n"
        self.files = {"INFO_UF2.TXT": info}
        self.restart()

    def restart(self) -> None:
        """What a reset into the bootloader does."""
        self.started = False
        self.busy = 0.0
        self._taken: set[int] = set()
        self._erased: set[int] = set()
        self._read: dict[str, int] = {}

    def poll(self) -> None:
        if not self.mounted:
            return
        try:
            for path in self.arrived():
                self._take(path)
        except Unplugged:
            self.hide()

    def _take(self, path: Path) -> None:
        """The blocks of a file that have come since the last look."""
        with path.open("rb") as file:
            file.seek(self._read.get(path.name, 0))
            while self.mounted and len(block := file.read(UF2_SIZE)) == UF2_SIZE:
                self._read[path.name] = file.tell()
                self._take_block(block)

    def _take_block(self, block: bytes) -> None:
        first, second, flags, address, size, number, count, family = UF2_BLOCK.unpack_from(block)
        is_uf2 = (first, second) == UF2_MAGIC and block.endswith(UF2_END)
        if not is_uf2 or not flags & UF2_HAS_FAMILY or family != self.chip.uf2_family:
            return
        offset = address - self.chip.flash.base
        if not flags & UF2_NOT_FLASH and self.loader.offset <= offset <= self.flash.size - size:
            self._program(number, offset, block[UF2_BLOCK.size :][:size])
        self._taken.add(number)
        if len(self._taken) >= count:
            self._start()

    def _program(self, number: int, offset: int, data: bytes) -> None:
        sector = next(sector for sector in self._sectors if sector.offset <= offset < sector.end)
        mark = number // GROUP if self.by_number else number if sector.size <= len(data) else sector.offset
        if mark not in self._erased:
            self._erased.add(mark)
            self._erase(sector)
        self.flash.program(offset, data)
        self.busy += self.chip.flash.program_us * len(data) / self.chip.flash.write_unit / 1e6

    def _erase(self, sector: Sector) -> None:
        self.flash.erase(sector.offset, sector.size)
        self.busy += sector.erase_us / 1e6

    def _start(self) -> None:
        """Restart: into the program, or when there is none into the bootloader again."""
        self.hide()
        self.restart()
        self.started = self.has_program
        if self.started:
            self.on_start()
        else:
            self.show()

    @property
    def has_program(self) -> bool:
        """Whether there is something to start: a reset vector. (The RP2040's ROM checks a sum over 256 bytes.)"""
        places = [self.loader.offset + place for place in VECTOR_PLACES[: 2 if self.by_number else 1]]
        return all(self.flash[place : place + 4] != BLANK for place in places)


class DapLink(Folder):
    """A DAPLink interface chip: takes a HEX or BIN file, programs the chip, and mounts itself anew."""

    def __init__(self, folder: Path, board: Board, flash: FlashArray, unique_id: str = "9900000052114e45") -> None:
        super().__init__(folder)
        self.chip, self.flash, self.unique_id = board.chip, flash, unique_id
        self.remounts = 0
        self.failure = ""  # what the next file meets, beside what is wrong with it
        self.assertion = ""
        self._sizes: dict[str, int] = {}
        self._describe("")

    def show(self) -> None:
        self._sizes.clear()
        super().show()

    def _describe(self, failure: str) -> None:
        lines = (
            "# DAPLink Firmware - see https://mbed.com/daplink", f"Unique ID: {self.unique_id}",
            "Daplink Mode: Interface", f"Remount count: {self.remounts}",
        )  # fmt: skip
        self.files = {"DETAILS.TXT": "".join(line + "\r\n" for line in lines)}
        if failure:
            self.files["FAIL.TXT"] = failure
        if self.assertion:
            self.files["ASSERT.TXT"] = self.assertion

    def poll(self) -> None:
        """A file is whole when it has stopped growing."""
        for path in self.arrived() if self.mounted else []:
            size = path.stat().st_size
            if size and self._sizes.get(path.name) == size:
                self._finish(self._program(path.name, path.read_bytes()))
                return
            self._sizes[path.name] = size

    def _finish(self, failure: str) -> None:
        self.remounts += 1
        self._describe(failure)
        self.show()

    def _program(self, name: str, data: bytes) -> str:
        """What FAIL.TXT says then, empty when all went well."""
        if self.failure:
            return self.failure
        try:
            segments = read_segments(name.lower(), data, self.chip.flash.base)
            in_flash = [(at, data) for at, data in segments if not self.chip.flash.are_settings(at, len(data))]
            spans = [(address - self.chip.flash.base, contents) for address, contents in in_flash]
        except Error as error:
            return f"error: The hex file cannot be decoded. {error.message}\r\ntype: user\r\n"
        if any(offset < 0 or offset + len(contents) > self.flash.size for offset, contents in spans):
            return "error: The starting address or the size of the file is wrong.\r\ntype: user\r\n"
        for sector in self.chip.flash.sector_spans():
            if any(offset < sector.end and sector.offset < offset + len(contents) for offset, contents in spans):
                self.flash.erase(sector.offset, sector.size)
        for offset, contents in spans:
            self.flash.program(offset, contents)
        self.on_start()
        return ""


class Mps2Controller:
    """An MPS2 board's controller: the files of its card, and what it loads at power-on."""

    IMAGES = (
        "TITLE: Versatile Express Images Configuration File\r\n\r\n[IMAGES]\r\n"
        "TOTALIMAGES: 1                     ;Number of Images (Max: 32)\r\n\r\n"
        "IMAGE0ADDRESS: 0x00000000\r\nIMAGE0FILE: \\SOFTWARE\\selftest.axf    ; Self test\r\n"
    )

    def __init__(self, folder: Path, note: str, revisions: tuple[str, ...] = ("HBI0263B", "HBI0263C")) -> None:
        self.folder, self.note, self.revisions = folder, note, revisions

    def show(self) -> None:
        """The card as it is delivered."""
        for revision in self.revisions:
            board = self.folder / "MB" / revision
            (board / self.note).mkdir(parents=True)
            (board / "board.txt").write_text(f"APPFILE: {self.note}\\a.txt ; the FPGA's image\r\n", newline="")
            (board / self.note / "images.txt").write_text(self.IMAGES, newline="")
        (self.folder / "SOFTWARE").mkdir()

    def load(self, revision: str) -> list[Segment]:
        """What is loaded at power-on by a board of that revision."""
        text = (self.folder / "MB" / revision / self.note / "images.txt").read_text()
        lines = [line.partition(";")[0].partition(":") for line in text.splitlines()]
        values = {key.strip(): value.strip() for key, colon, value in lines if colon}
        return [
            (int(values[f"IMAGE{number}ADDRESS"], 16), self._file(values[f"IMAGE{number}FILE"]))
            for number in range(int(values["TOTALIMAGES"]))
        ]

    def _file(self, name: str) -> bytes:
        folder, file = re.fullmatch(r"\\(\w{1,8})\\(\w{1,8}\.\w{1,3})", name).groups()  # type: ignore[union-attr]
        return (self.folder / folder / file).read_bytes()


def drive_loader(board: Board) -> Loader | None:
    """The first of the board's loaders that shows a drive which is emulated."""
    return next((loader for loader in board.loaders if loader.protocol in ("uf2", "drive")), None)


def drive_of(board: Board, flash: FlashArray, folder: Path) -> Folder:
    """The drive that the board shows: its bootloader's, or its interface chip's, whichever that is as a DAPLink's.

    Raises UsageError when the board has none, or the folder is taken.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already", next_action="name a folder that does not, for the drive to appear")
    loader = drive_loader(board)
    if loader is None:
        what = f"{board.name} has no interface chip or bootloader with a drive that is emulated"
        raise UsageError(what, next_action="emulate it without --drive")
    if loader.protocol == "drive":
        return DapLink(folder, board, flash)
    in_rom = loader.offset == 0  # nothing of the chip's flash is its own: so does the RP2040's
    return Uf2Bootloader(folder, board, loader, flash, by_number=in_rom)
