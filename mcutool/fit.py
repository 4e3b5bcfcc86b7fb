"""What a module takes of a board: stack, tables, linear memory, and the report of it.

This file decides the sizes that the user did not: how much of a board's arena goes to the stack of frames, how far a
table may grow. It refuses to know how memory is laid out inside the module (`window.py`) or the image.
"""

from __future__ import annotations

from dataclasses import replace

from mcutool import hostapi
from mcutool.devices import Board
from mcutool.errors import DoesNotFit
from mcutool.image.format import EXPORT_KINDS, Image
from mcutool.image.link import MEMORY_GUARD, MEMORY_RECORD, TABLE_RECORD, arena_bytes, exception_bytes, slots
from mcutool.wasm.module import Module
from mcutool.window import Window

SMALLEST_STACK, LARGEST_STACK = 1024, 65536
"""Bytes of the stack of frames: an eighth of the arena between these limits."""
TABLE_ROOM_SHARE = 64
"""A table without a maximum may grow to one element for so many bytes of the arena."""
ALIGNMENT = 8


def stack_slots(board: Board) -> int:
    """Slots of 32 bits for the frames of all running functions."""
    return max(SMALLEST_STACK, min(LARGEST_STACK, board.chip.arena_size // 8 & -ALIGNMENT)) // 4


def table_room(board: Board) -> int:
    """Elements that a table may grow to unless it declares less."""
    return board.chip.arena_size // TABLE_ROOM_SHARE if board.chip.arena_size > 1 << 20 else 0


def memory_room(module: Module, board: Board, stack: int) -> int:
    """Bytes of the arena that are left for linear memories."""
    tables = sum(TABLE_RECORD + ALIGNMENT + _table_capacity(table, board) * 4 for table in module.tables)
    globals_ = slots(tuple(g.type.value for g in module.globals)) * 4
    segments = (len(module.datas) + len(module.elements) + 7) // 8
    memories = len(module.memories) * (MEMORY_RECORD + MEMORY_GUARD + 2 * ALIGNMENT)
    exceptions = exception_bytes([slots(tag.parameters) for tag in module.tag_types])
    room = board.chip.arena_size - tables - globals_ - segments - memories - exceptions - stack * 4 - 4 * ALIGNMENT
    if room < 0:
        raise DoesNotFit(
            f"the module needs {-room} bytes of RAM more than {board.name} has, before any linear memory",
            next_action="choose a board with more RAM, see: mcutool boards",
        )
    return room & -ALIGNMENT


def _table_capacity(table, board: Board) -> int:
    maximum = table.limits.maximum
    room = max(table.limits.minimum, table_room(board))
    return room if maximum is None else min(maximum, room)


def lower_stack_pointers(module: Module, windows: list[Window]) -> None:
    """Put the new start of the stack into the global that holds it."""
    for window in windows:
        if window.stack_pointer is not None:
            index, value = window.stack_pointer
            first, *rest = module.globals[index].expression
            expression = [replace(first, immediates=(value,)), *rest]
            module.globals[index] = replace(module.globals[index], expression=expression)


def report(image: Image, size: int, board: Board, wasm_code: int | None = None) -> dict:
    """What an image of `size` bytes takes and needs, for people and for --json; sizes in bytes.

    `wasm_code` is the size of the module's code section, None when only the image is known.
    """
    known = [hostapi.find(row["module_name"], row["name"]) for row in image.imports]
    functions = [function for function in known if function is not None]
    backed = sum(memory["capacity"] for memory in image.memories)
    return {
        "board": board.name,
        "flash_bytes": {
            "image": size,
            "code": len(image.code) * 2,
            "data": sum(map(len, image.datas)) + sum(len(e) * 4 for e in image.elements),
        },
        "ram_bytes": {
            "linear_memory": sum(memory["window_size"] for memory in image.memories),
            "stack": image.stack_slots * 4,
            "other": arena_bytes(image) - backed - image.stack_slots * 4,
        },
        "arena": board.chip.arena_size,
        "wasm_code": wasm_code,
        "declared_memory": sum(_declared(memory) for memory in image.memories),
        "windows": [
            {"low": m["window_low"], "size": m["window_size"], "whole": m["window_size"] >= _declared(m)}
            for m in image.memories
        ],
        "imports": [f"{function.module}.{function.name}" for function in functions],
        "missing": [f"{f.module}.{f.name}" for f in hostapi.unavailable(functions, capabilities(board))],
        "exports": [row["name"] for row in image.exports if row["kind"] == EXPORT_KINDS.index("function")],
    }


def _declared(memory: dict) -> int:
    return memory["minimum"] << memory["page_log2"]


def capabilities(board: Board) -> set[str]:
    """What of `hostapi.CAPABILITIES` the board has."""
    have = {"always", "console", "clock", "gpio"}
    if board.led is not None:
        have.add("led")
    if board.chip.random:
        have.add("random")
    return have
