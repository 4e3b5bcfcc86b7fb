"""Read-only data that stay in flash: which they are, and how the module's segments look then.

LLVM's linker puts `.rodata` at the lowest addresses of the data, in segments of its own, and says so in the section
`name` unless that was stripped; then the lowest segment is taken for it. A store to them traps, so a wrong guess is a
message. What is left for RAM begins at a multiple of 16, so up to 15 of their bytes are copied after all. This file
refuses to know how loads reach flash and where RAM lies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutool.errors import InvalidModule
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.module import Data, Instruction, Module

ALIGNMENT = 16
DATA_NAMES = 9  # the subsection of the section `name` (extended name section proposal)


@dataclass(frozen=True)
class ReadOnly:
    """`module`: the one given, with the read-only data in the passive segment number `segment`, whose bytes lie from
    address `low` - its size to `low`."""

    module: Module
    segment: int
    low: int


def find(module: Module) -> ReadOnly | None:
    """The read-only data of the first memory; None when there are none, or fewer than an alignment."""
    places = sorted((start, number) for number, data in enumerate(module.datas) if (start := _start(data)) is not None)
    names = data_names(module)
    count = 1
    if any(name.startswith(".rodata") for name in names.values()):
        count = next((i for i, (_, n) in enumerate(places) if not names.get(n, "").startswith(".rodata")), len(places))
    chosen = places[:count]
    if not chosen:
        return None
    begin, first = chosen[0]
    content = bytearray()
    for start, number in chosen:
        if start < begin + len(content):  # they overlap
            return None
        content += bytes(start - begin - len(content)) + module.datas[number].bytes
    low = begin + len(content) & -ALIGNMENT
    if low <= begin or (len(places) > count and places[count][0] < begin + len(content)):
        return None
    datas = list(module.datas)
    for _, number in chosen:
        datas[number] = replace(datas[number], mode="passive", bytes=b"")
    datas[first] = replace(datas[first], bytes=bytes(content[: low - begin]))
    if content[low - begin :]:
        datas.append(_active(module.datas[first], low, bytes(content[low - begin :])))
    return ReadOnly(replace(module, datas=datas), first, low)


def _start(data: Data) -> int | None:
    """The address of an active segment of the first memory, where that is a constant."""
    expression = data.offset_expression
    if data.mode != "active" or data.memory or expression is None or len(expression) != 2:
        return None
    return expression[0].immediates[0] if expression[0].opcode.name == "i32.const" else None


def _active(like: Data, address: int, content: bytes) -> Data:
    assert like.offset_expression is not None
    first, end = like.offset_expression
    return replace(like, offset_expression=[Instruction(first.opcode, (address,), first.offset), end], bytes=content)


def data_names(module: Module) -> dict[int, str]:
    """Names of data segments by their number, from the section `name`; empty when it is damaged."""
    section = next((data for name, data, _ in module.customs if name == "name"), b"")
    cursor = Cursor(section)
    found = {}
    try:
        while cursor.position < cursor.end:
            kind, size = cursor.byte(), cursor.u32()
            part = Cursor(cursor.take(size))
            for _ in range(part.u32() if kind == DATA_NAMES else 0):
                number = part.u32()
                found[number] = part.name()
    except InvalidModule:
        return {}
    return found
