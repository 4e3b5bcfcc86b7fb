"""A firmware ELF file: what goes into flash, and which functions stand where.

This file decides how an ELF file is read for emulation. It refuses to know the chip and what the functions do.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mcutool.errors import UsageError


@dataclass(frozen=True)
class Symbol:
    """A function: its address without the Thumb bit, and its size in bytes."""

    name: str
    address: int
    size: int


@dataclass
class Firmware:
    """The parts of an ELF file that matter here.

    `segments` are (load address, bytes); `code` the executable ones as (run address, bytes) between mapping symbols,
    so that constants are not taken for instructions.
    """

    segments: list[tuple[int, bytes]] = field(default_factory=list)
    code: list[tuple[int, bytes]] = field(default_factory=list)
    symbols: dict[str, Symbol] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._order = sorted(self.symbols.values(), key=lambda symbol: symbol.address)
        self._addresses = [symbol.address for symbol in self._order]
        self._found: dict[Callable[[int, int], bool], list[int]] = {}

    def function_at(self, address: int) -> str:
        """The name of the function around an address, or an empty string."""
        index = bisect_right(self._addresses, address) - 1
        if index >= 0 and address < self._order[index].address + max(self._order[index].size, 2):
            return self._order[index].name
        return ""

    def code_span(self, base: int, size: int) -> tuple[int, int]:
        """(address, bytes) of the smallest span that holds all code between `base` and `base + size`."""
        inside = [(start, start + len(data)) for start, data in self.code if base <= start < base + size]
        if not inside:
            return base, 0
        first = min(start for start, _ in inside)
        return first, max(end for _, end in inside) - first

    def find(self, wanted: Callable[[int, int], bool]) -> list[int]:
        """Addresses of the instructions that `wanted(first halfword, second or 0)` chooses."""
        if wanted not in self._found:
            instructions = (found for start, data in self.code for found in _instructions(start, data))
            self._found[wanted] = [at for at, first, second in instructions if wanted(first, second)]
        return self._found[wanted]


def _instructions(start: int, data: bytes) -> Iterator[tuple[int, int, int]]:
    """(address, first halfword, second halfword or 0) of every Thumb instruction in a stretch of code."""
    halfwords = struct.unpack(f"<{len(data) // 2}H", data[: len(data) & ~1])
    index = 0
    while index < len(halfwords):
        first = halfwords[index]
        wide = first >> 11 in (0x1D, 0x1E, 0x1F) and index + 1 < len(halfwords)
        yield start + 2 * index, first, halfwords[index + 1] if wide else 0
        index += 2 if wide else 1


def missing_in_armv6m(first: int, second: int) -> bool:
    """CBZ, CBNZ and IT: Unicorn's Cortex-M0 executes them; all else that ARMv6-M lacks is undefined to it too."""
    return first & 0xF500 == 0xB100 or (first & 0xFF00 == 0xBF00 and first & 0xF != 0)


def uses_floating_point(first: int, second: int) -> bool:
    """Any instruction of coprocessors 10 and 11."""
    return first & 0xEC00 == 0xEC00 and second & 0x0E00 == 0x0A00


def read_firmware(source: Path | str | bytes) -> Firmware:
    """Read an ELF file, by path or as bytes; raises UsageError when it is none for a 32-bit Arm core."""
    name = "the firmware" if isinstance(source, bytes) else str(source)
    try:
        firmware = _read(source if isinstance(source, bytes) else Path(source).read_bytes())
    except (OSError, ELFError) as error:
        raise UsageError(f"{name}: {error}", next_action="give an ELF file of a firmware") from error
    if firmware is None:
        raise UsageError(f"{name} is not for an Arm core", next_action="give an ELF file of a firmware")
    return firmware


@lru_cache(maxsize=16)
def _read(data: bytes) -> Firmware | None:
    """None when it is not for an Arm core. A process that makes many boards reads their firmware once."""
    elf = ELFFile(io.BytesIO(data))
    if elf["e_machine"] != "EM_ARM":
        return None
    segments = [
        (segment["p_paddr"], segment.data())
        for segment in elf.iter_segments()
        if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
    ]
    symbols = _symbols(elf)
    return Firmware(segments, _code(elf, symbols), _functions(symbols))


def read_object(source: Path, name: str) -> bytes:
    """A constant of the firmware; gcc puts a number behind the name of one that is static in a function.

    Raises KeyError when the file has none of that name, OSError or ELFError when it is none of ours.
    """
    elf = ELFFile(io.BytesIO(source.read_bytes()))
    for entry in _symbols(elf):
        if entry.kind == _OBJECT and entry.name.partition(".")[0] == name:
            section = elf.get_section(entry.section)
            start = entry.value - section["sh_addr"]
            return section.data()[start : start + entry.size]
    raise KeyError(name)


@dataclass(frozen=True)
class _Entry:
    """A row of the symbol table (Elf32_Sym)."""

    name: str
    value: int
    size: int
    kind: int
    section: int


_ENTRY = struct.Struct("<IIIBBH")
_OBJECT, _FUNCTION = 1, 2  # STT_OBJECT, STT_FUNC


def _symbols(elf: ELFFile) -> list[_Entry]:
    """The symbol table; unpacked here, because pyelftools takes a hundred times as long."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return []
    names = elf.get_section(table["sh_link"]).data()
    return [
        _Entry(names[name : names.index(b"\0", name)].decode(), value, size, info & 0xF, section)
        for name, value, size, info, _, section in _ENTRY.iter_unpack(table.data())
    ]


def _functions(symbols: list[_Entry]) -> dict[str, Symbol]:
    return {
        symbol.name: Symbol(symbol.name, symbol.value & ~1, symbol.size)
        for symbol in symbols
        if symbol.kind == _FUNCTION
    }


def _code(elf: ELFFile, symbols: list[_Entry]) -> list[tuple[int, bytes]]:
    """The stretches of Thumb code: from each `$t` mapping symbol to the next mapping symbol of its section."""
    marks: dict[int, list[tuple[int, str]]] = {}
    for symbol in symbols:
        if symbol.name[:2] in ("$t", "$d", "$a") and symbol.section < elf.num_sections():
            marks.setdefault(symbol.section, []).append((symbol.value & ~1, symbol.name[:2]))
    stretches = []
    for index, section_marks in marks.items():
        section = elf.get_section(index)
        if not section["sh_flags"] & 4 or section["sh_type"] == "SHT_NOBITS":
            continue
        data, base = section.data(), section["sh_addr"]
        ends = sorted(section_marks) + [(base + len(data), "$d")]
        for (start, kind), (end, _) in zip(ends, ends[1:], strict=False):
            if kind == "$t" and end > start:
                stretches.append((start, data[start - base : end - base]))
    return stretches
