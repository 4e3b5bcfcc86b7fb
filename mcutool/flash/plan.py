"""Which sectors are erased and which blocks written, before anything touches the board.

Pure: from the chip's flash and the bytes wanted there to a list that can be printed. Decides the order (the sector
that the core boots from is erased first and written last, so that a broken installation never half boots) and refuses
what does not fit before the first erase. Refuses to know protocols and ports.

A sector that holds already what it should is left alone, the first one too: an installation that breaks off while only
later sectors are renewed leaves a program that may start and break, and a bootloader that can be entered as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcutool.devices import Board, Flash, Loader, Sector, Span
from mcutool.errors import DoesNotFit

Segment = tuple[int, bytes]  # absolute address, contents
WRITE_ALIGNMENT = 4


@dataclass(frozen=True)
class SectorWork:
    """One sector to erase and what it holds afterwards: `data` from its first byte to the last one wanted.

    `skipped` bytes at its beginning nobody wanted; they are erased all the same.
    """

    number: int
    address: int
    size: int
    data: bytes
    erased: int = 0xFF
    skipped: int = 0

    def blocks(self, length: int) -> Iterator[Segment]:
        """The data in pieces of `length` bytes at most."""
        for start in range(0, len(self.data), length):
            yield self.address + start, self.data[start : start + length]

    def __str__(self) -> str:
        line = f"sector {self.number:3} at {self.address:#010x}: erase {self.size} bytes, write {len(self.data)}"
        before = f"; the {self.skipped} bytes before {self.address + self.skipped:#010x} are erased too"
        return line + before * bool(self.skipped)


@dataclass(frozen=True)
class Plan:
    """The sectors in ascending order, and what goes into the memory for settings beside flash."""

    sectors: tuple[SectorWork, ...]
    settings: tuple[Segment, ...] = ()

    @property
    def erase_order(self) -> tuple[SectorWork, ...]:
        return self.sectors

    @property
    def write_order(self) -> tuple[SectorWork, ...]:
        return self.sectors[::-1]

    @property
    def size(self) -> int:
        """Bytes to write into flash."""
        return sum(len(sector.data) for sector in self.sectors)

    def __str__(self) -> str:
        settings = [f"settings at {address:#010x}: write {len(data)}" for address, data in self.settings]
        return "\n".join([*map(str, self.sectors), *settings]) or "nothing to do"


@dataclass(frozen=True)
class Order:
    """What a loader of a board is to bring into flash: `segments`, laid over sectors in `plan`.

    They come from the file `name` with the contents `file`, for loaders that take files as they are.
    """

    board: Board
    loader: Loader
    name: str
    file: bytes
    segments: tuple[Segment, ...]
    plan: Plan


def plan(flash: Flash, region: Span, segments: Iterable[Segment]) -> Plan:
    """Lay `segments` over the sectors of `region`, the part of flash that they may use.

    Settings of the chip may come with a program that has all of flash. Raises DoesNotFit when another segment leaves
    the region.
    """
    pieces = [(address, data) for address, data in segments if data]
    has_all = region == Span(0, flash.size)
    settings = tuple((at, data) for at, data in pieces if has_all and flash.are_settings(at, len(data)))
    wanted = [(address - flash.base, data) for address, data in pieces if (address, data) not in settings]
    for offset, data in wanted:
        if offset < region.offset or offset + len(data) > region.end:
            raise _does_not_fit(flash, region, offset, data)
    work = (_sector_work(flash, sector, wanted) for sector in flash.sector_spans())
    return Plan(tuple(sector for sector in work if sector.data), settings)


def _does_not_fit(flash: Flash, region: Span, offset: int, data: bytes) -> DoesNotFit:
    return DoesNotFit(
        f"{len(data)} bytes at {flash.base + offset:#010x} do not fit into the {region.size} bytes "
        f"at {flash.base + region.offset:#010x}",
        next_action="check the address, and that the file is for this chip; or make the program smaller",
    )


def _sector_work(flash: Flash, sector: Sector, wanted: list[Segment]) -> SectorWork:
    contents, skipped = bytearray(), sector.size
    for offset, data in wanted:
        first, last = max(offset, sector.offset), min(offset + len(data), sector.end)
        if first < last:
            skipped = min(skipped, first - sector.offset)
            contents.extend(bytes((flash.erased,)) * (last - sector.offset - len(contents)))
            contents[first - sector.offset : last - sector.offset] = data[first - offset : last - offset]
    contents.extend(bytes((flash.erased,)) * (-len(contents) % WRITE_ALIGNMENT))
    address = flash.base + sector.offset
    return SectorWork(sector.number, address, sector.size, bytes(contents), flash.erased, skipped)
