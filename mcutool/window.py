"""Which part of a module's linear memory RAM backs, when the board has less than the module declares.

Toolchains ask for far more memory than their programs touch. This file decides the window [low, low + size) from what
a module shows: its stack-pointer global, its data segments, the addresses that its code names, and exports such as
`__heap_base`. Two layouts occur:

    stack first     | stack        <- SP | data, bss | heap ...       (rustc, newer LLVM)
    data first      | data, bss | stack        <- SP | heap ...       (older LLVM)

In the first the window reaches from a little below SP upwards, and nothing in the module changes. In the second the
stack pointer is lowered to just above the data, where nothing forbids it. An access outside the window traps, so a
wrong guess about the heap is a message, never a wrong result.

It refuses to know the board: it is given a number of bytes. A plan that needs more carries the refusal along, so that a
report can still say what it would take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mcutool.errors import LARGER_BOARD, SMALLER_CODE, SMALLER_STACK, DoesNotFit, UsageError
from mcutool.image.link import MemoryPlan
from mcutool.rodata import ReadOnly
from mcutool.wasm.module import Instruction, MemoryType, Module

DEFAULT_STACK = 4096
LINKER_STACKS = (1 << 16, 1 << 20, 1 << 23, 1 << 24)
"""Stack sizes that toolchains choose unless told: wasm-ld, rustc, and zig's two."""
ASC_STACK = 1 << 15
"""AssemblyScript's; it has no bss, and aligns the stack pointer like its data."""
ALIGNMENT = 16


@dataclass(frozen=True)
class Layout:
    """What a module shows of its memory, in byte addresses. `statics_end`: above it lies no data that code names;
    `stack_size`: what the linker probably set aside."""

    statics: int
    statics_end: int
    stack_pointer: int | None
    stack_global: int
    stack_first: bool
    stack_size: int


@dataclass(frozen=True)
class Window:
    """The plan for a memory; `stack_pointer` is the global to change and its new value, or None. `refusal` says why
    the plan is too large, and what mends it."""

    plan: MemoryPlan
    stack_pointer: tuple[int, int] | None = None
    refusal: DoesNotFit | None = None


@dataclass(frozen=True)
class Wishes:
    """What the user wants, in bytes: of the memory, its heap and its stack; None leaves it to the tool. `read_only`
    stays in flash; `stack_needed` is what the stack takes at the most, None when that is not known."""

    memory: int | None = None
    heap: int | None = None
    stack: int | None = None
    read_only: ReadOnly | None = None
    stack_needed: int | None = None


def plan_memory(module: Module, available: int, wishes: Wishes) -> list[Window]:
    """A window for each memory that the module defines; `available` bytes of RAM are there for them."""
    available //= max(1, len(module.memories))
    return [_plan(module, memory, available, wishes) for memory in module.memories]


def _plan(module: Module, memory: MemoryType, available: int, wishes: Wishes) -> Window:
    declared = memory.limits.minimum * memory.page_size
    size, heap, stack = wishes.memory, wishes.heap, wishes.stack
    if wishes.read_only is not None:
        return _above_flash(module, memory, available, wishes, wishes.read_only)
    if size is not None:
        wanted = min(size, declared)
        refusal = _refusal(wanted, available, None) if wanted > available else None
        return Window(MemoryPlan(0, wanted, wanted), refusal=refusal)
    if declared <= available and heap is None and stack is None:
        room = min(_maximum(memory), available) if grows(module) else declared
        return Window(MemoryPlan(0, declared, room))
    layout = examine(module, declared)
    if layout is None or layout.stack_pointer is None:
        return Window(MemoryPlan(0, declared, declared), refusal=_refusal(declared, available, layout))
    return _window(layout, declared, available, heap, _stack(layout, declared, available) if stack is None else stack)


def _above_flash(module: Module, memory: MemoryType, available: int, wishes: Wishes, read_only: ReadOnly) -> Window:
    """The window when what lies below it stays in flash. A stack that lies there moves to the end of the window."""
    declared, low = memory.limits.minimum * memory.page_size, read_only.low
    layout = examine(module, declared)
    top = min(wishes.memory or declared, declared, low + available) & -ALIGNMENT
    if layout is not None and layout.stack_first:
        needed = layout.statics_end - low + _movable(module, wishes)
        refusal = None if needed <= top - low else _no_room_above(needed, top - low)
        top = max(top, low + needed + ALIGNMENT - 1 & -ALIGNMENT)
        window = Window(MemoryPlan(low, top - low, top - low, True), (layout.stack_global, top), refusal)
    elif declared - low <= available and wishes.heap is None and wishes.stack is None:
        room = min(_maximum(memory) - low, available) if grows(module) else top - low
        window = Window(MemoryPlan(low, top - low, max(room, top - low)))
    elif layout is None:
        window = Window(MemoryPlan(low, declared - low, declared - low), None, _refusal(declared, available, None))
    else:
        layout = replace(layout, statics=low)
        stack = _stack(layout, declared, available) if wishes.stack is None else wishes.stack
        window = _window(layout, declared, available, wishes.heap, stack)
    return replace(window, plan=replace(window.plan, flash=read_only.segment))


def _no_room_above(needed: int, room: int) -> DoesNotFit:
    return DoesNotFit(
        f"data and stack above them take {needed} bytes, there are {room}",
        next_action="tell where the data end with -Wl,--export=__heap_base, or link without -Wl,--stack-first",
    )


def _movable(module: Module, wishes: Wishes) -> int:
    """Bytes of a stack below the data that may move above them; raises UsageError when nobody knows how many, or when
    malloc works there."""
    if wishes.stack_needed is None or grows(module):
        raise UsageError(
            "the stack lies below the read-only data, and cannot be moved: "
            + ("malloc works above the data" if grows(module) else "nobody knows how much it needs"),
            next_action="leave out --rodata flash, or link without -Wl,--stack-first",
        )
    return max(wishes.stack or 0, wishes.stack_needed)


def grows(module: Module) -> bool:
    """Whether the module can ask for more memory than it begins with."""
    return any(i.opcode.name == "memory.grow" for function in module.functions for i in function.body)


def _stack(layout: Layout, declared: int, available: int) -> int:
    """Bytes of stack when nobody says how many: more than the least where all that lies above it has its room too.

    Above data a stack gets everything, since one that grows too long there meets the data, and nothing traps.
    """
    assert layout.stack_pointer is not None
    if not layout.stack_first:
        return max(DEFAULT_STACK, available - (_bottom(layout) - _low(layout)) & -ALIGNMENT)
    return max(DEFAULT_STACK, (available - (declared - layout.stack_pointer)) // 2)


def _low(layout: Layout) -> int:
    """Where the data of a data-first layout begin."""
    return layout.statics & -ALIGNMENT


def _bottom(layout: Layout) -> int:
    """Where a stack above the data may end."""
    return layout.statics_end + ALIGNMENT - 1 & -ALIGNMENT


def _maximum(memory: MemoryType) -> int:
    pages = 1 << 32 if memory.limits.maximum is None else memory.limits.maximum
    return pages * memory.page_size


def _window(layout: Layout, declared: int, available: int, heap: int | None, stack: int) -> Window:
    assert layout.stack_pointer is not None
    if layout.stack_first:
        low = max(0, layout.stack_pointer - stack) & -ALIGNMENT
        lowered = None
        end = layout.statics_end
    else:
        low = _low(layout)
        lowered = (layout.stack_global, min(_bottom(layout) + stack, layout.stack_pointer))
        end = lowered[1]
    needed = end - low + (heap or 0)
    if not layout.stack_first and (heap or layout.stack_pointer - low <= available):
        # The heap begins above the stack that the linker laid out, so the window has to reach there.
        lowered, needed = None, layout.stack_pointer - low + (heap or 0)
    refusal = _refusal(declared, available, layout, needed) if needed > available else None
    capacity = needed if heap is not None or refusal else available & -ALIGNMENT
    size = min(capacity, declared - low)
    return Window(MemoryPlan(low, size, max(size, capacity), partial=True), lowered, refusal)


def _refusal(declared: int, available: int, layout: Layout | None, needed: int | None = None) -> DoesNotFit:
    least = "" if needed is None else f"; stack, data and heap take {needed} bytes of it"
    link = [] if layout is not None and layout.stack_first else [SMALLER_STACK]
    return DoesNotFit(
        f"the module asks for {declared} bytes of linear memory{least}, the board has {available}",
        next_action="; ".join([*link, SMALLER_CODE, f"try --stack, --heap or --memory; {LARGER_BOARD}"]),
    )


def examine(module: Module, declared: int) -> Layout | None:
    """The layout that the module shows; None when it has no constant stack pointer or moving segments."""
    segments = list(_segments(module))
    found = stack_pointer(module, declared)
    if found is None:
        return None
    index, pointer = found
    named = sorted(set(_addresses(module)))
    low = min((start for start, _ in segments), default=pointer)
    segment_end = max((end for _, end in segments), default=low)
    exported = _exported(module, "__heap_base" if low >= pointer else "__data_end")
    if low >= pointer:
        end = exported or max([segment_end, *(a + 16 for a in named if pointer <= a < declared)])
        return Layout(low, min(end, declared), pointer, index, True, pointer)
    end = exported or _data_end(pointer, segment_end, named)
    return Layout(low, end, pointer, index, False, pointer - (exported or _usual_end(pointer, segment_end)))


def _data_end(pointer: int, segment_end: int, named: list[int]) -> int:
    """Where the data of a data-first layout end: a usual stack size below the stack pointer, or at the pointer itself
    when code names an address in between, which then may be data."""
    end = _usual_end(pointer, segment_end)
    is_certain = end == pointer - ASC_STACK or not any(end <= address < pointer for address in named)
    return end if is_certain else pointer


def _usual_end(pointer: int, segment_end: int) -> int:
    """A usual stack size below the stack pointer, where that leaves room for the segments."""
    if pointer - ASC_STACK == segment_end:
        return segment_end
    return next((pointer - size for size in LINKER_STACKS if pointer - size >= segment_end), pointer)


def stack_pointer(module: Module, declared: int) -> tuple[int, int] | None:
    """The first mutable i32 global that starts at a plausible constant: its number among the defined, its value."""
    for index, global_ in enumerate(module.globals):
        if global_.type.value == "i32" and global_.type.mutable:
            value = _constant(global_.expression)
            if value is not None and 0 < value <= declared and value % 4 == 0:
                return index, value
            return None
    return None


def _constant(expression: list[Instruction] | None) -> int | None:
    if expression is None or expression[0].opcode.name != "i32.const" or len(expression) != 2:
        return None
    return expression[0].immediates[0]


def _segments(module: Module) -> Iterator[tuple[int, int]]:
    """Start and end of each active segment at a constant address."""
    for data in module.datas:
        start = _constant(data.offset_expression)
        if start is not None:
            yield start, start + len(data.bytes)


def _addresses(module: Module) -> Iterator[int]:
    """Numbers in the code that may be addresses."""
    for function in module.functions:
        for instruction in function.body:
            name = instruction.opcode.name
            if name == "i32.const":
                yield instruction.immediates[0]
            elif ".load" in name or ".store" in name:
                yield instruction.immediates[1]


def _exported(module: Module, name: str) -> int | None:
    export = module.export(name)
    if export is None or export.kind != "global":
        return None
    defined = export.index - len(module.imported("global"))
    return _constant(module.globals[defined].expression) if defined >= 0 else None
