"""How a module shares a board's RAM: stack of frames, tables, linear memory.

This file decides the sizes that the user did not: how much of a board's arena goes to the stack of frames, how far a
table may grow. It refuses to know how memory is laid out inside the module (`window.py`) or the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mcutool.callgraph import Bound, CallGraph
from mcutool.devices import Board
from mcutool.errors import DoesNotFit
from mcutool.image.link import MEMORY_GUARD, MEMORY_RECORD, TABLE_RECORD, MemoryPlan, exception_bytes, slots
from mcutool.isa import CROSS_LINK_SLOTS
from mcutool.wasm.module import Module
from mcutool.window import Window, Wishes, plan_memory

SMALLEST_STACK, LARGEST_STACK = 1024, 65536
"""Bytes of the stack of frames: an eighth of the arena between these limits, unless the calls show what it takes."""
SMALLEST_FRAMES = 4 * (CROSS_LINK_SLOTS + 16)
"""Bytes that firmware_runtime/vm.h wants of every stack (VM_SMALLEST_STACK)."""
TABLE_ROOM_SHARE = 64
"""A table without a maximum may grow to one element for so many bytes of the arena."""
ALIGNMENT = 8


@dataclass(frozen=True)
class Plan:
    """How RAM is shared out: slots for the frames of all running functions, a window for each linear memory.
    `refusal` says why the board has too little for it."""

    stack_slots: int
    windows: list[Window]
    refusal: DoesNotFit | None = None

    @property
    def problem(self) -> DoesNotFit | None:
        """The first reason why the board has too little RAM."""
        return next((r for r in (self.refusal, *(window.refusal for window in self.windows)) if r), None)

    def check(self) -> None:
        """Raises DoesNotFit when the board has too little RAM."""
        if self.problem:
            raise self.problem


def plan(module: Module, board: Board, frames: int | None, wishes: Wishes) -> Plan:
    """Share out a board's RAM. `frames`: bytes that the stack of frames can take at the most, None when that is not
    known.

    A stack that is known gets what it can take, though more than its share only where linear memory has room too.
    """
    share = stack_share(board)
    wanted = [share] if frames is None else [frames] if frames <= share else [frames, share]
    plans = [_plan(module, board, max(size, SMALLEST_FRAMES), wishes) for size in wanted]
    return next((p for p in plans if not p.problem), plans[-1])


def _plan(module: Module, board: Board, frames: int, wishes: Wishes) -> Plan:
    board.need_runtime()
    room = memory_room(module, board, frames)
    refusal = None
    if room < 0:
        refusal = DoesNotFit(
            f"the module needs {-room} bytes of RAM more than {board.name} has, before any linear memory",
            next_action="choose a board with more RAM, see: mcutool boards",
        )
    return Plan(frames // 4, plan_memory(module, max(room, 0), wishes), refusal)


def no_plan(module: Module) -> list[MemoryPlan]:
    """What stands for the plans of memories while only the code is looked at."""
    return [MemoryPlan(0, 0, 0)] * len(module.memories)


def stack_share(board: Board) -> int:
    """Bytes for the frames of all running functions when nobody knows how many they take."""
    return max(SMALLEST_STACK, min(LARGEST_STACK, board.chip.arena_size // 8 & -ALIGNMENT))


def needed(calls: CallGraph, bound: Callable[[int], Bound]) -> int | None:
    """Bytes that a stack can take whatever the host calls; None when there is no bound."""
    sizes = [bound(entry).size for entry in calls.entries()]
    known = [size for size in sizes if size is not None]
    return max(known, default=0) if len(known) == len(sizes) else None


def table_room(board: Board) -> int:
    """Elements that a table may grow to unless it declares less."""
    return board.chip.arena_size // TABLE_ROOM_SHARE if board.chip.arena_size > 1 << 20 else 0


def memory_room(module: Module, board: Board, stack: int) -> int:
    """Bytes of the arena that are left for linear memories above a stack of so many bytes; negative when it is full."""
    tables = sum(TABLE_RECORD + ALIGNMENT + _table_capacity(table, board) * 4 for table in module.tables)
    globals_ = slots(tuple(g.type.value for g in module.globals)) * 4
    segments = (len(module.datas) + len(module.elements) + 7) // 8
    memories = len(module.memories) * (MEMORY_RECORD + MEMORY_GUARD + 2 * ALIGNMENT)
    exceptions = exception_bytes([slots(tag.parameters) for tag in module.tag_types])
    return (
        board.chip.arena_size - tables - globals_ - segments - memories - exceptions - stack - 4 * ALIGNMENT
        & -ALIGNMENT
    )


def _table_capacity(table, board: Board) -> int:
    maximum = table.limits.maximum
    room = max(table.limits.minimum, table_room(board))
    return room if maximum is None else min(maximum, room)


def lower_stack_pointers(module: Module, windows: list[Window]) -> Module:
    """The module with the new start of the stack in the global that holds it; the same one where nothing changes."""
    lowered = dict(window.stack_pointer for window in windows if window.stack_pointer is not None)
    if not lowered:
        return module
    globals_ = list(module.globals)
    for index, value in lowered.items():
        first, *rest = globals_[index].expression
        globals_[index] = replace(globals_[index], expression=[replace(first, immediates=(value,)), *rest])
    return replace(module, globals=globals_)
