"""Which sectors are erased and which blocks written, before anything touches the board.

Pure: from the chip's flash and the bytes wanted there to a list that can be printed. Decides the order (the sector
that the core boots from is erased first and written last, so that a broken installation never half boots) and refuses
what does not fit before the first erase. Refuses to know protocols and ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcutool.devices import Flash, Span
from mcutool.errors import DoesNotFit

Segment = tuple[int, bytes]  # absolute address, contents
WRITE_ALIGNMENT = 4


@dataclass(frozen=True)
class SectorWork:
    """One sector to erase and what it holds afterwards: `data` from its first byte to the last one wanted."""

    number: int
    address: int
    size: int
    data: bytes
    erased: int = 0xFF

    def blocks(self, length: int) -> Iterator[Segment]:
        """The data in pieces of `length` bytes at most."""
        for start in range(0, len(self.data), length):
            yield self.address + start, self.data[start : start + length]

    def __str__(self) -> str:
        return f"sector {self.number:3} at {self.address:#010x}: erase {self.size} bytes, write {len(self.data)}"


@dataclass(frozen=True)
class Plan:
    """The sectors in ascending order."""

    sectors: tuple[SectorWork, ...]

    @property
    def erase_order(self) -> tuple[SectorWork, ...]:
        return self.sectors

    @property
    def write_order(self) -> tuple[SectorWork, ...]:
        return self.sectors[::-1]

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(len(sector.data) for sector in self.sectors)

    def without(self, unchanged: Iterable[SectorWork]) -> Plan:
        """The plan less what is in flash already; the first sector stays unless there is nothing to do at all."""
        skip = set(unchanged)
        changed = [sector for sector in self.sectors if sector not in skip]
        if not changed:
            return Plan(())
        return Plan(tuple(sector for sector in self.sectors if sector in changed or sector is self.sectors[0]))

    def __str__(self) -> str:
        return "\n".join(map(str, self.sectors)) or "nothing to do"


def plan(flash: Flash, region: Span, segments: Iterable[Segment]) -> Plan:
    """Lay `segments` over the sectors of `region`, the part of flash that they may use.

    Raises DoesNotFit when a segment leaves the region.
    """
    wanted = [(address - flash.base, data) for address, data in segments if data]
    for offset, data in wanted:
        if offset < region.offset or offset + len(data) > region.end:
            raise _does_not_fit(flash, region, offset, data)
    work = (_sector_work(flash, number, span, wanted) for number, span in enumerate(flash.sector_spans()))
    return Plan(tuple(sector for sector in work if sector.data))


def _does_not_fit(flash: Flash, region: Span, offset: int, data: bytes) -> DoesNotFit:
    return DoesNotFit(
        f"{len(data)} bytes at {flash.base + offset:#010x} do not fit into the {region.size} bytes "
        f"at {flash.base + region.offset:#010x}",
        next_action="check the address, and that the file is for this chip; or make the program smaller",
    )


def _sector_work(flash: Flash, number: int, span: Span, wanted: list[Segment]) -> SectorWork:
    contents = bytearray()
    for offset, data in wanted:
        first, last = max(offset, span.offset), min(offset + len(data), span.end)
        if first < last:
            contents.extend(bytes((flash.erased,)) * (last - span.offset - len(contents)))
            contents[first - span.offset : last - span.offset] = data[first - offset : last - offset]
    contents.extend(bytes((flash.erased,)) * (-len(contents) % WRITE_ALIGNMENT))
    return SectorWork(number, flash.base + span.offset, span.size, bytes(contents), flash.erased)
