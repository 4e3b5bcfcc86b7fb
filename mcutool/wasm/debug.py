"""Source lines, from the DWARF that compilers leave in custom sections ("DWARF for WebAssembly").

This file decides which functions and lines a byte of the code section belongs to. It refuses to know what the code
became.

A module of rustc has megabytes of DWARF and hardly ever traps: so the sections are kept as they are, and only the units
that an asked address lies in are read.
"""

from __future__ import annotations

import base64
import inspect
import io
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo

    from mcutool.wasm.module import Module

KEPT = {
    ".debug_abbrev", ".debug_addr", ".debug_info", ".debug_line", ".debug_line_str", ".debug_loclists", ".debug_ranges",
    ".debug_rnglists", ".debug_str", ".debug_str_offsets",
}  # fmt: skip
"""Sections that say where what was, and one that pyelftools asks for; the others are about variables, or indices."""
NEEDED = {".debug_info", ".debug_abbrev", ".debug_line"}
FAST = 1  # zlib's level
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)
"""What pyelftools raises, beside its own, when the sections are not what they should be."""
GENERATIONS = 4  # from an inlined function to the entry with its name

T = TypeVar("T")
Call = tuple[str | None, str | None]
"""The name of an inlined function, None for the function that has the code; and FILE:LINE in it, None if unknown."""


def source_lines(module: Module) -> dict[str, Any]:
    """The part of a program's map that `Debug` reads, as JSON can hold it; empty without debug information.

    `debug_code`: where the code section's contents begin in the .wasm; `debug_sections`: by name, compressed, Base64.
    """
    sections = {name: data for name, data, _ in module.customs if name in KEPT}
    if not sections.keys() >= NEEDED:
        return {}
    packed = {name: base64.b64encode(zlib.compress(data, FAST)).decode() for name, data in sections.items()}
    return {"debug_code": module.code_offset, "debug_sections": packed}


class Debug:
    """The debug information of a module, from a program's map. It may be damaged: then nothing is known."""

    def __init__(self, symbols: dict[str, Any]) -> None:
        self._code = symbols.get("debug_code", 0)
        self._packed: dict[str, str] = symbols.get("debug_sections", {})
        self._dwarf: DWARFInfo | None = None
        self._units: list[tuple[list[tuple[int, int]], CompileUnit]] = []
        self._lines: dict[int, _Lines] = {}

    def calls(self, offset: int) -> list[Call]:
        """The function that a byte of the .wasm belongs to, after what was inlined there: innermost first."""
        found = self._found(offset, lambda unit, address: list(_calls(unit, self._lines_of(unit), address)))
        return found or [(None, None)]

    def line(self, offset: int) -> str | None:
        """FILE:LINE of a byte of the .wasm, in the innermost function."""
        return self._found(offset, lambda unit, address: self._lines_of(unit).at(address))

    def _found(self, offset: int, search: Callable[[CompileUnit, int], T]) -> T | None:
        """What the unit that has the byte says; None when there is none, or its information makes no sense."""
        if self._packed:
            from elftools.common.exceptions import DWARFError, ELFError

            try:
                address = offset - self._code
                for unit in self._units_at(address):
                    return search(unit, address)
            except (DWARFError, ELFError, *DAMAGED):
                pass
        return None

    def _lines_of(self, unit: CompileUnit) -> _Lines:
        if unit.cu_offset not in self._lines:
            self._lines[unit.cu_offset] = _Lines(unit.dwarfinfo.line_program_for_CU(unit))
        return self._lines[unit.cu_offset]

    def _units_at(self, address: int) -> Iterator[CompileUnit]:
        if self._dwarf is None:
            sections = {name: zlib.decompress(base64.b64decode(text)) for name, text in self._packed.items()}
            self._dwarf = _dwarf(sections)
            self._units = [(list(_ranges(unit.get_top_DIE())), unit) for unit in self._dwarf.iter_CUs()]
        for ranges, unit in self._units:
            if any(begin <= address < end for begin, end in ranges):
                yield unit


def _dwarf(sections: dict[str, bytes]) -> DWARFInfo:
    """pyelftools' view of the sections; its constructor names one parameter for each."""
    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

    parameters: dict[str, Any] = {}
    for name in inspect.signature(DWARFInfo).parameters:
        data = sections.get("." + name.removesuffix("_sec"))
        parameters[name] = data and DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)
    parameters["config"] = DwarfConfig(little_endian=True, machine_arch="WASM", default_address_size=4)
    return DWARFInfo(**parameters)


def _ranges(die: DIE) -> Iterator[tuple[int, int]]:
    """[begin, end) of the code that an entry describes. What the linker has left out is at 0, or at the end of all."""
    low, high, ranges = (die.attributes.get(f"DW_AT_{name}") for name in ("low_pc", "high_pc", "ranges"))
    base = low.value if low else 0
    if ranges:
        lists: Any = die.cu.dwarfinfo.range_lists()
        for entry in lists.get_range_list_at_offset(ranges.value, die.cu):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                start = entry.begin_offset + (0 if entry.is_absolute else base)
                end = start + entry.end_offset - entry.begin_offset
                yield start, end if start else 0
    elif low and high and base:
        yield base, high.value if high.form == "DW_FORM_addr" else base + high.value


# --- Lines ------------------------------------------------------------------------------------------------------------


class _Lines:
    """The line number program of a unit."""

    def __init__(self, program: Any) -> None:
        self.header = program.header
        self._rows = sorted(_rows(program))  # [begin, end), file, line

    def at(self, address: int) -> str | None:
        """FILE:LINE of an address."""
        index = bisect_right(self._rows, address, key=lambda row: row[0]) - 1
        if index < 0 or address >= self._rows[index][1]:
            return None
        return _place(self.header, *self._rows[index][2:])


def _rows(program: Any) -> Iterator[tuple[int, int, int, int]]:
    before, start = None, 0
    for state in (entry.state for entry in program.get_entries() if entry.state is not None):
        if before is None or before.end_sequence:
            start = state.address  # 0 for a function that the linker left out
        elif start and before.line and before.address < state.address:
            yield before.address, state.address, before.file, before.line
        before = state


def _place(header: Any, number: int, line: int) -> str:
    """FILE:LINE, with the file's directory. Both count from 1 before DWARF 5; directory 0 is where the compiler ran."""
    first = int(header.version < 5)
    entry = header.file_entry[number - first]
    name = entry.name.decode()
    file = f"{header.include_directory[entry.dir_index - first].decode()}/{name}" if entry.dir_index else name
    return f"{file}:{line}"


# --- Inlined functions ------------------------------------------------------------------------------------------------


def _calls(unit: CompileUnit, lines: _Lines, address: int) -> Iterator[Call]:
    """Innermost first; each inlined function says where it was called from in the one around it."""
    source = lines.at(address)
    for die in reversed(list(_inlined(unit.get_top_DIE(), address))):
        yield _name(die), source
        file, line = (die.attributes.get(f"DW_AT_call_{what}") for what in ("file", "line"))
        source = _place(lines.header, file.value, line.value) if file and line else None
    yield None, source


def _inlined(die: DIE, address: int) -> Iterator[DIE]:
    """The inlined functions around an address, outermost first."""
    before = die.offset
    for child in die.iter_children():
        if child.offset <= before:
            raise ValueError("an entry that leads back")
        before = child.offset
        if child.tag in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine", "DW_TAG_lexical_block"):
            if not any(begin <= address < end for begin, end in _ranges(child)):
                continue
            if child.tag == "DW_TAG_inlined_subroutine":
                yield child
            yield from _inlined(child, address)
            return
        if child.tag in ("DW_TAG_namespace", "DW_TAG_structure_type", "DW_TAG_class_type"):
            yield from _inlined(child, address)


def _name(die: DIE) -> str:
    """A function's name stands in the entry that this one is an instance of; types that it is made for are left out."""
    for _ in range(GENERATIONS):
        if "DW_AT_name" in die.attributes:
            break
        link = "DW_AT_abstract_origin" if "DW_AT_abstract_origin" in die.attributes else "DW_AT_specification"
        die = die.get_DIE_from_attribute(link)
    name = die.attributes["DW_AT_name"].value.decode(errors="replace")
    return name.split("<")[0] or name
