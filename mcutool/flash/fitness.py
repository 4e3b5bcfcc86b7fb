"""Whether a file that somebody else made is for this board, before anything is sent to it.

Pure: from a board, the bootloader that is to write the file, and the file's bytes to the pieces of memory that it
fills. Decides where a plain binary belongs and which file is for another chip or another place. Refuses to know how a
format looks (image/containers.py) and how the pieces get into flash.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from mcutool import devices
from mcutool.devices import Board, Chip, Loader
from mcutool.errors import DoesNotFit, UsageError, WrongChip
from mcutool.image.containers import Segment, elf_architecture, is_plain, read_segments

VECTORS = struct.Struct("<4I")
VECTOR_PLACES = (0, 0x100)  # where a program begins: at once, or behind the second stage of booting of the RP2040
RAM_SPACE = range(0x1000_0000, 0x4000_0001)  # in which every maker has put RAM, by Arm's memory map or beside it
CODE_SPACE = range(0x2000_0000)
PROBE = "drive"  # the protocol of a debug probe, which writes more than flash
OVERRIDE = "if it is right all the same, say where it begins: --address A"


ARCHITECTURES = ("armv6-m", "armv7-m", "armv7e-m")  # each runs programs of those before it; later ones run all


class Vectors(NamedTuple):
    """What a vector table begins with."""

    stack: int
    reset: int
    nmi: int
    hard_fault: int

    @property
    def lowest(self) -> int:
        """The lowest address of a handler; a short table is followed by something else, which is no odd address."""
        return min(handler for handler in self[1:] if handler & 1)


def check_file(
    board: Board, loader: Loader | None, name: str, data: bytes, address: int | None = None
) -> list[Segment]:
    """What the file fills, in ascending order.

    `address` is where a plain binary belongs, and for another file the place where it has to begin; given, it is the
    user's word that the file is right, and the vector table is not looked at. Without it a binary belongs where its
    vector table says: the start of flash, or where `loader` puts programs. Raises UsageError for a damaged file and
    where the user has to say more, WrongChip for one that is for another chip, core or place, DoesNotFit.
    """
    if address is None and data and is_plain(name, data):
        address = _place_of(board, loader, name, data)
        segments = [(address, data)]
    else:
        segments = read_segments(name, data, address, board.chip.uf2_family)
        if address is None:
            _check_places(board, name, segments)
            _check_vectors(board, loader, name, segments)
            _check_architecture(board, name, elf_architecture(data))
        elif segments[0][0] != address:
            raise UsageError(
                f"{name} begins at {segments[0][0]:#010x}, not at {address:#010x}",
                next_action="leave --address out: this kind of file says where its bytes belong",
            )
    _check_ram(board.chip, name, segments)
    _check_loader(board, loader, name, segments)
    _check_settings(board, loader, name, segments)
    return segments


# --- places -----------------------------------------------------------------------------------------------------------


def _begin(board: Board, loader: Loader | None) -> int:
    """The first address that the bootloader writes."""
    return board.chip.flash.base + (loader.offset if loader else 0)


def _in_flash(chip: Chip, address: int) -> bool:
    return chip.flash.base <= address < chip.flash.base + chip.flash.size


def _in_ram(chip: Chip, address: int) -> bool:
    return any(ram.base <= address < ram.base + ram.size for ram in chip.ram)


def _check_places(board: Board, name: str, segments: list[Segment]) -> None:
    """Raises WrongChip when nothing of the file is for the chip's flash."""
    flash = board.chip.flash
    if any(_in_flash(board.chip, address) for address, _ in segments):
        return
    first, end = segments[0][0], segments[-1][0] + len(segments[-1][1])
    there = ", where it has RAM" if _in_ram(board.chip, first) else ""
    raise WrongChip(
        f"{name} is for {first:#010x} to {end - 1:#010x}{there}; the flash of {board.name} is {flash.base:#010x} to"
        f" {flash.base + flash.size - 1:#010x}",
        next_action=_where_else(segments) or "take the file for this chip, linked for its flash",
    )


def _where_else(segments: list[Segment]) -> str:
    """The boards whose flash has all these places, as advice."""
    names = [
        board.name
        for board in devices.boards()
        if all(_in_flash(board.chip, at) and _in_flash(board.chip, at + len(data) - 1) for at, data in segments)
    ]
    return f"take the file for this chip; by its addresses it could be for: {', '.join(names)}" if names else ""


def _check_ram(chip: Chip, name: str, segments: list[Segment]) -> None:
    for address, data in segments:
        if _in_ram(chip, address) and not _in_flash(chip, address):
            raise DoesNotFit(
                f"{name}: {len(data)} bytes at {address:#010x} do not fit into flash: that is RAM of {chip.name}",
                next_action="check the address; a program's initialised data have to be loaded from flash"
                " (in its linker script: > RAM AT > FLASH), and one that runs from RAM cannot be installed",
            )


def _check_loader(board: Board, loader: Loader | None, name: str, segments: list[Segment]) -> None:
    """Raises DoesNotFit for a file that would overwrite the bootloader that writes it."""
    begin = _begin(board, loader)
    below = [address for address, _ in segments if _in_flash(board.chip, address) and address < begin]
    if below:
        raise DoesNotFit(
            f"{name} begins at {below[0]:#010x}, where the board's bootloader lies; programs begin at {begin:#010x}",
            next_action=f"link the program for {begin:#010x}",
        )


def _check_settings(board: Board, loader: Loader | None, name: str, segments: list[Segment]) -> None:
    """Raises DoesNotFit for a file with settings of the chip, unless a debug probe writes it."""
    settings = [address for address, data in segments if board.chip.flash.are_settings(address, len(data))]
    if settings and (loader is None or loader.protocol != PROBE):
        raise DoesNotFit(
            f"{name} has settings of {board.chip.name} at {settings[0]:#010x}, which only a debug probe writes",
            next_action="make the file without them, or install it through the drive of a debug probe",
        )


# --- vector tables ----------------------------------------------------------------------------------------------------


def vectors(data: bytes) -> Vectors | None:
    """The vector table with which a program for any Cortex-M begins; None when the bytes are something else."""
    for place in VECTOR_PLACES:
        if len(data) >= place + VECTORS.size:
            found = Vectors(*VECTORS.unpack_from(data, place))
            if found.stack in RAM_SPACE and found.stack % 4 == 0 and found.reset & 1 and found.reset in CODE_SPACE:
                return found
    return None


def _place_of(board: Board, loader: Loader | None, name: str, data: bytes) -> int:
    """Where a binary's vector table says that it belongs."""
    begin, found = _begin(board, loader), vectors(data)
    if found is None:
        raise UsageError(
            f"{name} does not say where its bytes belong",
            next_action=f"say it with --address A; only a program that begins with its vector table, for {begin:#010x},"
            " does without",
        )
    _check_stack(board, name, found)
    for place in (begin, board.chip.flash.base):
        if place <= found.lowest and place < found.reset < place + len(data):
            return place
    raise WrongChip(
        f"{name} starts at {found.reset:#010x}, which it would not hold when it was at {begin:#010x}",
        next_action=f"take the file for this chip; {OVERRIDE}",
    )


def _check_vectors(board: Board, loader: Loader | None, name: str, segments: list[Segment]) -> None:
    """Raises WrongChip when what the chip would start is a program for another."""
    begin = _begin(board, loader)
    for address, data in segments:
        found = vectors(data[begin - address :]) if address <= begin < address + len(data) else None
        if found is not None:
            _check_stack(board, name, found)
            if not _in_flash(board.chip, found.reset):
                raise WrongChip(
                    f"{name} starts at {found.reset:#010x}, where {board.name} has no flash",
                    next_action=f"take the file for this chip; {OVERRIDE}",
                )


def _check_stack(board: Board, name: str, found: Vectors) -> None:
    """Raises WrongChip when the program has its stack where the chip has no RAM."""
    if not any(ram.base < found.stack <= ram.base + ram.size for ram in board.chip.ram):
        rams = ", ".join(f"{ram.base:#010x} to {ram.base + ram.size - 1:#010x}" for ram in board.chip.ram)
        raise WrongChip(
            f"{name} wants its stack below {found.stack:#010x}; the RAM of {board.name} is {rams}",
            next_action=f"take the file for this chip; {OVERRIDE}",
        )


# --- cores ------------------------------------------------------------------------------------------------------------


def _check_architecture(board: Board, name: str, architecture: str) -> None:
    """Raises WrongChip when a program was compiled for a core with more instructions."""
    core = board.chip.core
    if core.architecture in ARCHITECTURES and architecture:
        if architecture not in ARCHITECTURES[: ARCHITECTURES.index(core.architecture) + 1]:
            raise WrongChip(
                f"{name} was compiled for {architecture}; the {core.name} of {board.name} is {core.architecture}",
                next_action=f"compile it with {' '.join(core.gcc_flags)}; {OVERRIDE}",
            )
