"""Boards that show a USB drive: a file is copied to it, and it is told what is known of its fate (DRIVES.md).

Decides what each kind of drive gets, in which order and pieces, and how it shows that it took the file or did not.
Refuses to know what the file says beyond its plan. None of these drives can be read back: what they hold is made up
by their bootloader, so success is what the drive does afterwards, and is called no more than that.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mcutool.devices import Board, Loader
from mcutool.errors import (
    Disconnected,
    DoesNotFit,
    Error,
    NoAnswer,
    NoPort,
    PermissionDenied,
    VerificationFailed,
    WriteFailed,
    WrongChip,
    printable,
)
from mcutool.flash import volumes
from mcutool.flash.engine import Outcome
from mcutool.flash.plan import Order, SectorWork, Segment
from mcutool.image.containers import UF2_PAGE, UF2_SIZE, to_binary, to_intel_hex, uf2_blocks
from mcutool.progress import OnProgress, Progress

POLL = 0.05  # seconds between looks at a drive
TAKING = 15.0  # seconds in which a UF2 bootloader restarts after its last block
GOING = 3.0  # seconds after which a drive whose last piece failed would be gone, if it had restarted
RETURN = 5.0  # seconds after which a board that does not start its program shows its drive again
PROGRAMMING = 60.0  # seconds in which an interface chip programs a file and mounts its drive anew
SETTLING = 10.0  # the same where it is not known whether it does
PIECE = 0x1_0000  # bytes between two looks whether the drive is still there
SMALL_SECTOR = 0x1000  # bytes
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

log = logging.getLogger("mcutool")


# --- any drive --------------------------------------------------------------------------------------------------------


class Drive:
    """A mounted drive; `enter` is how a person makes the board show it. Raises NoPort when there is none."""

    def __init__(self, folder: Path | None, board: Board, loader: Loader) -> None:
        self.enter, self._label = loader.enter or board.boot, loader.volume
        self.folder = folder or volumes.find(loader.volume, self.enter)
        if not self.folder.is_dir():
            raise NoPort(f"there is no drive at {self.folder}", next_action=self.enter)
        self._device = volumes.device_of(self.folder)
        self._place = volumes.place_of(self._device) if self._device is not None else None
        self._shown = self.names()

    def names(self) -> set[str]:
        """What lies in its topmost folder; nothing when it is gone."""
        try:
            return {path.name for path in self.folder.iterdir()}
        except OSError:
            return set()

    @property
    def is_there(self) -> bool:
        """Whether its device is there and still shows something of what it showed at first."""
        if self._device is not None and not self._device.exists():
            return False
        return bool(self._shown & self.names()) if self._shown else self.folder.is_dir()

    @property
    def has_left(self) -> bool:
        """Whether its device is gone: one that somebody has unmounted is not."""
        return not self._device.exists() if self._device is not None else not self.is_there

    @property
    def is_back(self) -> bool:
        """Whether it has come again, mounted or not."""
        return self.is_there or (self._place is not None and volumes.is_labelled(self._place, self._label))

    def path(self, *parts: str) -> Path:
        """A file or folder on it, in whatever case the system shows its name."""
        path = self.folder
        for part in parts:
            same = (name for name in _names(path) if name.casefold() == part.casefold())
            path = path / next(same, part)
        return path

    def text(self, *parts: str) -> str:
        """A text file's contents, empty when there is none."""
        try:
            return self.path(*parts).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def check_room(self, size: int) -> None:
        """Raises DoesNotFit, Disconnected."""
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise self.gone() from error
        if free < size:
            raise DoesNotFit(
                f"the drive at {self.folder} has {free} bytes free, the file has {size}",
                next_action="make the program smaller, or delete what else is on the drive",
            )

    def gone(self) -> Disconnected:
        """What to raise when it is no longer there."""
        return Disconnected(f"the drive at {self.folder} is gone", next_action=f"{self.enter}; then repeat")

    def copy(self, path: Path, pieces: Sequence[bytes], on_progress: OnProgress) -> None:
        """Write a file, each piece out of the system's hands before the next.

        A drive that goes when the last piece has been written may have taken it and restarted; one that goes away
        earlier raises Disconnected, one that stays and has failed WriteFailed. Raises PermissionDenied, DoesNotFit too.
        """
        done, total = 0, sum(map(len, pieces))
        on_progress(Progress("copy", 0, total))
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    done += len(piece)
                    file.flush()
                    os.fsync(file.fileno())
                    if done < total and not self.is_there:
                        raise OSError(errno.ENODEV, "it is gone")
                    on_progress(Progress("copy", done, total))
        except OSError as error:
            if (failure := self._failure(error, done, total)) is not None:
                raise failure from error
        on_progress(Progress("copy", total, total))

    def _failure(self, error: OSError, done: int, total: int) -> Error | None:
        if error.errno in READ_ONLY:
            what = f"the drive at {self.folder} cannot be written: {error.strerror}"
            return PermissionDenied(what, next_action="mount it so that you may write to it, or connect it again")
        if error.errno == errno.ENOSPC:
            return DoesNotFit(f"the drive at {self.folder} is full", next_action="make the program smaller")
        if done == total and _comes_true(lambda: not self.is_there, GOING):
            log.debug("%s: %s", self.folder, error)
            return None
        if done == total:
            what = f"the drive at {self.folder} has not taken the file: {error.strerror}"
            return WriteFailed(what, next_action="connect the board again, look whether it has a FAIL.TXT, and repeat")
        what = f"the drive at {self.folder} was lost after {done} of {total} bytes: {error.strerror}"
        return Disconnected(what, next_action=f"{self.enter}; then repeat")


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _comes_true(condition: Callable[[], bool], patience: float) -> bool:
    """Whether it does within so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def _values(text: str) -> dict[str, str]:
    """The lines `KEY: VALUE` of a text."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): printable(value.strip()) for key, colon, value in pairs if colon}


def _outcome(order: Order, verified: str) -> Outcome:
    return Outcome(len(order.plan.sectors), order.plan.size, verified=verified)


# --- UF2 bootloaders --------------------------------------------------------------------------------------------------


class Uf2Drive:
    """A bootloader that shows a drive and programs the UF2 blocks that are written to it."""

    def __init__(self, folder: Path | None, board: Board, loader: Loader) -> None:
        self.drive = Drive(folder, board, loader)
        self._board, self._loader = board, loader

    def install(self, order: Order, full: bool, on_progress: OnProgress) -> Outcome:
        """Copy the order's pages as a UF2 file and see the drive go. It writes all of them in any case."""
        self.identify()
        pieces = uf2_pieces(order)
        self.drive.check_room(sum(map(len, pieces)))
        self.drive.copy(self.drive.folder / "MCUTOOL.UF2", pieces, on_progress)
        self._see_it_start()
        blocks = sum(map(len, pieces)) // UF2_SIZE
        return _outcome(order, f"not by reading back: the drive took {blocks} blocks and the board restarted")

    def identify(self) -> None:
        """Raises NoAnswer when the drive is no UF2 bootloader's, WrongChip when it is another board's."""
        text = self.drive.text("INFO_UF2.TXT")
        if not text:
            raise NoAnswer(
                f"{self.drive.folder} is not the drive of a UF2 bootloader: it has no INFO_UF2.TXT",
                next_action=self.drive.enter,
            )
        info = _values(text)
        wanted, found = self._loader.identity.split(), info.get("Board-ID", "")
        if wanted and found not in wanted:
            raise WrongChip(
                f"the board at {self.drive.folder} is {found or 'nameless'} ({info.get('Model', 'no model')}),"
                f" not {' or '.join(wanted)}",
                next_action=f"connect a {self._board.title}, or name the board that is there with --board",
            )

    def _see_it_start(self) -> None:
        where = self.drive.folder
        if not _comes_true(lambda: self.drive.has_left, TAKING):
            raise WriteFailed(
                f"the bootloader at {where} did not restart: it has not taken every block",
                next_action="press reset and repeat; a bootloader ignores blocks of a family that is not its own",
            )
        if _comes_true(lambda: self.drive.is_back, RETURN):
            raise VerificationFailed(
                f"the board restarted and shows its bootloader's drive at {where} again: it has no program that starts",
                next_action="repeat; if it stays, the program is not for the place where this bootloader starts it",
            )


def uf2_pieces(order: Order) -> list[bytes]:
    """The order as the pieces of a UF2 file, each to be on the drive before the next."""
    steps = uf2_steps(order)
    blocks = uf2_blocks([page for step in steps for page in step], order.board.chip.uf2_family)
    pieces: list[bytes] = []
    for step in steps:
        data = b"".join(blocks[: len(step)])
        del blocks[: len(step)]
        pieces += [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    return pieces


def uf2_steps(order: Order) -> list[list[Segment]]:
    """The pages to write: the beginning of the program blank, all the rest, then its beginning, its first page last.

    A bootloader that finds the beginning blank does not start the program: a copy that breaks off leaves a board that
    shows its drive again.
    """
    sectors = [pages_of(sector) for sector in order.plan.sectors]
    first = sectors[0] if order.plan.sectors[0].size <= SMALL_SECTOR else sectors[0][:1]
    pages = [page for sector in sectors for page in sector]
    if first[0][0] != order.board.chip.flash.base + order.loader.offset:
        return [pages]
    blank = [(address, bytes((order.board.chip.flash.erased,)) * len(page)) for address, page in first]
    return [step for step in (blank, pages[len(first) :], first[::-1]) if step]


def pages_of(sector: SectorWork) -> list[Segment]:
    """A sector's pages: all of a small one.

    The RP2040's ROM erases a sector with the first of each sixteen blocks by number, whatever their addresses are
    (erratum RP2040-E14): so each sixteen have to be one sector.
    """
    length = sector.size if sector.size <= SMALL_SECTOR else -(-len(sector.data) // UF2_PAGE) * UF2_PAGE
    whole = sector.data.ljust(length, bytes((sector.erased,)))
    return [(sector.address + at, whole[at : at + UF2_PAGE]) for at in range(0, length, UF2_PAGE)]


# --- debug probes -----------------------------------------------------------------------------------------------------

ADVICE = {
    "user": "check that the file is for this board",
    "target": "check the chip's power and reset it; a protected chip has to be erased by a debug probe first",
    "interface": "renew the firmware of the board's interface chip",
    "internal": "renew the firmware of the board's interface chip",
    "transient": "repeat",
}
"""What to do, by the kinds of failure that DAPLink names in FAIL.TXT."""


class ProbeDrive:
    """The drive of a board's interface chip: DAPLink, ST-LINK, J-Link OB. It programs the file that is copied to it."""

    def __init__(self, folder: Path | None, board: Board, loader: Loader) -> None:
        self.drive = Drive(folder, board, loader)
        self._board, self._loader = board, loader

    def install(self, order: Order, full: bool, on_progress: OnProgress) -> Outcome:
        """Copy the order's segments as a HEX or BIN file and look for FAIL.TXT when the drive is mounted anew."""
        details = _values(self.drive.text("DETAILS.TXT"))
        self._identify(details)
        crashed = self.drive.text("ASSERT.TXT")
        name, data = self._file(order, details)
        try:
            self.drive.check_room(len(data))
        except DoesNotFit:
            self._check_fail()
            raise
        self.drive.copy(self.drive.folder / name, [data], on_progress)
        told = self._await_remount(name, details)
        self._check_fail()
        if (assertion := self.drive.text("ASSERT.TXT")) and not crashed:
            what = f"the interface chip's own program stopped: {_one_line(assertion)}"
            raise WriteFailed(what, next_action=ADVICE["interface"])
        return _outcome(order, told)

    def _identify(self, details: dict[str, str]) -> None:
        """Raises WrongChip when DAPLink's unique id, which begins with the board's, begins with another's; NoAnswer."""
        if not self.drive.names():
            raise NoAnswer(
                f"{self.drive.folder} is empty: it is not the drive of an interface chip",
                next_action=f"mount the drive there; {self.drive.enter}",
            )
        if details.get("Daplink Mode") == "Bootloader":
            raise NoAnswer(
                f"the drive at {self.drive.folder} would take the file for the interface chip's own firmware",
                next_action="connect the board again without holding its reset button",
            )
        wanted, found = self._loader.identity.split(), details.get("Unique ID", "")
        if wanted and found and not found.startswith(tuple(wanted)):
            raise WrongChip(
                f"the board at {self.drive.folder} has the id {found[:4]}, not {' or '.join(wanted)}",
                next_action=f"connect a {self._board.title}, or name the board that is there with --board",
            )

    def _file(self, order: Order, details: dict[str, str]) -> tuple[str, bytes]:
        """HEX says its addresses; an ST-LINK, which tells its version alone, does not always take it."""
        flash = order.board.chip.flash
        if "Version" in details and order.segments[0][0] == flash.base and not order.plan.settings:
            return "MCUTOOL.BIN", to_binary(order.segments, flash.erased)
        return "MCUTOOL.HEX", to_intel_hex(order.segments)

    def _await_remount(self, name: str, before: dict[str, str]) -> str:
        """Wait until the drive is mounted anew; returns what is known then. Raises Disconnected, NoAnswer."""
        count = _count(before)

        def remounted() -> bool:
            if count is not None:
                now = _count(_values(self.drive.text("DETAILS.TXT")))
                return now is not None and now > count and self.drive.is_there
            names = {shown.casefold() for shown in self.drive.names()}
            return bool(names) and name.casefold() not in names and self.drive.is_there

        if _comes_true(remounted, SETTLING if count is None else PROGRAMMING):
            return "by the interface chip: its drive was mounted anew and has no FAIL.TXT"
        if not self.drive.is_there:
            raise Disconnected(
                f"the drive at {self.drive.folder} took the file and did not come back",
                next_action="connect it again, and look whether it has a FAIL.TXT",
            )
        if count is not None:
            raise NoAnswer(
                f"the interface chip at {self.drive.folder} does not say what became of the file",
                next_action="unmount the drive and mount it again, then look whether it has a FAIL.TXT",
            )
        return "not at all: the drive took the file and has no FAIL.TXT"

    def _check_fail(self) -> None:
        """Raises WriteFailed with what the drive says of a failure."""
        if text := self.drive.text("FAIL.TXT").strip():
            kinds = _values(text).get("type", "").split(", ")
            advice = [ADVICE[kind] for kind in kinds if kind in ADVICE]
            raise WriteFailed(
                f"the drive at {self.drive.folder} says: {_one_line(text)}",
                next_action="; ".join(dict.fromkeys(advice)) or ADVICE["target"],
            )


def _count(details: dict[str, str]) -> int | None:
    """How often DAPLink has mounted its drive anew; it counts from 0 again when it loses its power."""
    count = details.get("Remount count", "")
    return int(count) if count.isdecimal() else None


def _one_line(text: str) -> str:
    return printable("; ".join(line.strip() for line in text.splitlines() if line.strip()))


# --- Arm's MPS2 boards ------------------------------------------------------------------------------------------------

FROM_MEMORY = "" if hasattr(os, "posix_fadvise") else ", maybe from this computer's memory"
OURS = "; mcutool"  # marks the lines that we have written
IMAGE_LINE = re.compile(r"\s*(TOTALIMAGES|IMAGE\d+[A-Z]+)\s*:", re.IGNORECASE)
APPLICATION = re.compile(r"^\s*APPFILE\s*:\s*(\w+)", re.IGNORECASE | re.MULTILINE)


class Mps2Drive:
    """The drive of an MPS2 board's controller, which loads at power-on what MB/HBI0263x/ANxxx/images.txt names."""

    def __init__(self, folder: Path | None, board: Board, loader: Loader) -> None:
        self.drive = Drive(folder, board, loader)
        self._note = loader.identity  # the application note that the board's FPGA is; empty for whichever it is

    def install(self, order: Order, full: bool, on_progress: OnProgress) -> Outcome:
        """Copy each segment to SOFTWARE and name it in images.txt."""
        lists = self._lists()
        files = [(address, f"MCUTOOL{number}.BIN", data) for number, (address, data) in enumerate(order.segments)]
        self.drive.check_room(order.plan.size)
        for _, name, data in files:
            self._write(self.drive.path("SOFTWARE", name), data, on_progress)
        for path in lists:
            self._edit(path, [(address, name) for address, name, _ in files], on_progress)
        return _outcome(order, f"by reading the files back{FROM_MEMORY}: the board loads them when it is restarted")

    def _lists(self) -> list[Path]:
        """Every board revision's images.txt for the application note. Raises NoAnswer, WrongChip."""
        revisions = [name for name in _names(self.drive.path("MB")) if name.upper().startswith("HBI")]
        if not revisions or not self.drive.path("SOFTWARE").is_dir():
            raise NoAnswer(
                f"{self.drive.folder} is not the drive of an MPS2 board, which has MB/HBI0263x and SOFTWARE",
                next_action=self.drive.enter,
            )
        settings = "\n".join(self.drive.text("MB", revision, "board.txt") for revision in revisions)
        chosen = {note.upper() for note in APPLICATION.findall(settings)}
        note = self._note or " or ".join(sorted(chosen))
        lists = [self.drive.path("MB", revision, note, "images.txt") for revision in revisions]
        found = [path for path in lists if path.exists()]
        if not found or (chosen and note not in chosen):
            raise WrongChip(
                f"the board at {self.drive.folder} is set up as {' and '.join(sorted(chosen)) or 'something else'},"
                f" not as {note or 'any application note'}",
                next_action=f"copy {note or 'one'} to MB/HBI0263x, and name it as APPFILE in MB/HBI0263x/board.txt",
            )
        return found

    def _edit(self, path: Path, files: list[tuple[int, str]], on_progress: OnProgress) -> None:
        """Change the list of images; what it was before us stays beside it."""
        old = self._read(path)
        new = edited(old.decode("latin-1"), files).encode("latin-1")
        backup = path.with_suffix(".bak")
        if OURS.encode() not in old and not backup.exists():
            self._write(backup, old, on_progress)
        if new != old:
            self._write(path, new, on_progress)

    def _write(self, path: Path, data: bytes, on_progress: OnProgress) -> None:
        """Raises VerificationFailed, and what Drive.copy does."""
        self.drive.copy(path, [data], on_progress)
        if self._read(path) != data:
            raise VerificationFailed(f"{path} does not hold what was written", next_action="check the board's SD card")

    def _read(self, path: Path) -> bytes:
        """The file as the card has it, not as the system remembers it, where it can be told to forget."""
        try:
            with path.open("rb") as file:
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return file.read()
        except OSError as error:
            raise self.drive.gone() from error


def edited(text: str, files: Sequence[tuple[int, str]]) -> str:
    """The list of images with ours in place of those that it named, which become comments."""
    end = "\r\n" if "\r\n" in text else "\n"
    added = [f"TOTALIMAGES: {len(files)} {OURS}"]
    for number, (address, name) in enumerate(files):
        added.append(f"IMAGE{number}ADDRESS: {address:#010x} {OURS}")
        added.append(f"IMAGE{number}FILE: \\SOFTWARE\\{name} {OURS}")
    lines = [";" + line if IMAGE_LINE.match(line) else line for line in text.splitlines() if not line.endswith(OURS)]
    head = next((at for at, line in enumerate(lines, 1) if line.strip().upper().startswith("[IMAGES]")), None)
    if head is None:
        lines, head = [*lines, "[IMAGES]"], len(lines) + 1
    return end.join([*lines[:head], *added, *lines[head:], ""])
