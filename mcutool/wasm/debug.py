"""Source lines, from the DWARF that compilers leave in custom sections ("DWARF for WebAssembly").

This file decides which line a byte of the code section belongs to. It refuses to know what the code became.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

from mcutool.wasm.module import Module

DAMAGED = (DWARFError, ELFError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What pyelftools raises when the sections are not what they should be."""


def source_lines(module: Module) -> dict[str, list]:
    """`files`: names; `lines`: [byte offset in the .wasm, number of the file, line], ascending, line 0 for none.

    Both are empty without debug information, or when it is damaged: it is never worth an error.
    """
    sections = {name: data for name, data, _ in module.customs if name.startswith(".debug_")}
    if not {".debug_info", ".debug_abbrev", ".debug_line"} <= sections.keys():
        return {"files": [], "lines": []}
    files: dict[str, int] = {}
    try:
        rows = [
            [module.code_offset + address, files.setdefault(name, len(files)), line]
            for address, name, line in _rows(_dwarf(sections))
        ]
    except DAMAGED:
        return {"files": [], "lines": []}
    return {"files": list(files), "lines": sorted(rows)}


def _dwarf(sections: dict[str, bytes]) -> DWARFInfo:
    """pyelftools' view of the sections; its constructor names one parameter for each."""
    parameters: dict[str, Any] = {}
    for name in inspect.signature(DWARFInfo).parameters:
        data = sections.get("." + name.removesuffix("_sec"))
        parameters[name] = data and DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)
    parameters["config"] = DwarfConfig(little_endian=True, machine_arch="WASM", default_address_size=4)
    return DWARFInfo(**parameters)


def _rows(dwarf: DWARFInfo) -> Iterator[tuple[int, str, int]]:
    """(address, file, line): where a line begins, and with line 0 where a sequence ends."""
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        sequence: list[tuple[int, str, int]] = []
        if program is None:
            continue
        for state in (entry.state for entry in program.get_entries() if entry.state is not None):
            sequence.append((state.address, _name(program.header, state.file), 0 if state.end_sequence else state.line))
            if state.end_sequence:
                # A function that the linker left out keeps its lines, at address 0 or at the end of all addresses.
                yield from sequence if 0 < sequence[0][0] <= state.address else ()
                sequence = []


def _name(header: Any, number: int) -> str:
    """The file with its directory. Both count from 1 before DWARF 5; directory 0 is where the compiler ran."""
    first = int(header.version < 5)
    entry = header.file_entry[number - first]
    name = entry.name.decode()
    return f"{header.include_directory[entry.dir_index - first].decode()}/{name}" if entry.dir_index else name
