"""What each stage of the translation gives, as text: the stages that `mcutool build --dump` can show.

This file decides how a stage looks. It refuses to know what a stage does: the IR shows itself, and code that is linked
is listed as for `mcutool disasm` (`listing.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from mcutool.bytecode.layout import CompiledFunction
from mcutool.encoding import disassemble
from mcutool.image.link import Linker
from mcutool.ir.allocate import Allocation
from mcutool.ir.nodes import Function
from mcutool.listing import listings, render
from mcutool.wasm.module import Expression, Limits, Module
from mcutool.wasm.module import Function as WasmFunction

INNER = ("block", "loop", "if", "else", "try_table")
"""What the instructions behind these are inside of."""
ALL = "all"
RECORDS = ("signatures", "imports", "exports", "modules", "memories", "tables", "tags", "handlers")


def module(read: Module) -> str:
    """The validated module, in the index spaces of the specification."""
    return "\n".join([*_interface(read), *_contents(read), *map("\n".join, _functions(read))])


def _interface(read: Module) -> Iterator[str]:
    yield from (f"type {number} {type_}" for number, type_ in enumerate(read.types))
    yield from (f'import {item.kind} "{item.module}" "{item.name}" {item.type}' for item in read.imports)
    yield from (f'export {item.kind} {item.index} "{item.name}"' for item in read.exports)
    if read.start is not None:
        yield f"start {read.start}"


def _contents(read: Module) -> Iterator[str]:
    yield from (f"table {table.element} {_limits(table.limits)}" for table in read.tables)
    yield from (f"memory {_limits(memory.limits)} pages of {memory.page_size}" for memory in read.memories)
    yield from (f"tag {tag}" for tag in read.tags)
    for item in read.globals:
        yield f"global {'mutable ' * item.type.mutable}{item.type.value} = {_constant(item.expression)}"
    for number, element in enumerate(read.elements):
        values = ", ".join(map(_constant, element.expressions))
        place = _place(element.table, element.offset_expression)
        yield f"element {number} {element.mode} {element.type}{place}: {values}"
    for number, data in enumerate(read.datas):
        yield f"data {number} {data.mode}{_place(data.memory, data.offset_expression)}: {len(data.bytes)} bytes"


def _limits(limits: Limits) -> str:
    return f"{limits.minimum}..{'' if limits.maximum is None else limits.maximum}"


def _place(index: int, offset: Expression | None) -> str:
    return "" if offset is None else f" in {index} at {_constant(offset)}"


def _constant(expression: Expression) -> str:
    return "; ".join(map(str, expression[:-1]))


def _functions(read: Module) -> Iterator[list[str]]:
    first = len(read.imported("function"))
    for index, function in enumerate(read.functions, first):
        locals_ = f" locals {' '.join(function.locals)}" if function.locals else ""
        yield [f"\nfunction {index} {read.function_name(index)} {function.type}{locals_}", *_body(function)]


def _body(function: WasmFunction) -> Iterator[str]:
    depth = 1
    for instruction in function.body:
        depth -= instruction.opcode.name in ("end", "else")
        yield f"    {instruction.offset:#07x}  {'  ' * depth}{instruction}"
        depth += instruction.opcode.name in INNER


def selected(what: Function) -> str:
    """The function, its immediates by the letters that they have in rows of isa.py."""
    return re.sub(r"\('(\w+)', ([^()]*)\)", r"\1=\2", str(what))


def allocated(what: tuple[Function, Allocation]) -> str:
    """The function, each value with the slot that it lies in."""
    function, allocation = what
    slots = {str(value.number): slot for value, slot in allocation.slot.items()}
    head, _, blocks = selected(function).partition("\n")  # the name may look like a value
    blocks = re.sub(r"\bv(\d+)\b", lambda m: f"{m[0]}@s{slots[m[1]]}" if m[1] in slots else m[0], blocks)
    return f"{head}\n{blocks}\n    frame of {allocation.frame_slots} slots"


def bytecode(what: CompiledFunction) -> str:
    """Code that is not linked yet: indices are those of its module."""
    lines = [f"  {position:6}  {text}" for position, _, text in disassemble(what.halfwords)]
    return "\n".join([f"{what.name}:", *lines])


def linked(linker: Linker) -> str:
    """The image: its records, the sizes of its data, its code."""
    image = linker.image
    sizes = dict(stack_slots=image.stack_slots, global_slots=image.global_slots, ram=image.ram)
    rows = [f"{name} {number}: {_fields(row)}" for name in RECORDS for number, row in enumerate(getattr(image, name))]
    rows += [f"datas {number}: {len(data)} bytes" for number, data in enumerate(image.datas)]
    rows += [f"elements {number}: {' '.join(map(str, row))}" for number, row in enumerate(image.elements)]
    return "\n".join([_fields(sizes), *rows, "", "\n\n".join(map(render, listings(image, linker.map())))])


def _fields(row: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items())


STAGES: dict[str, Callable[[Any], str]] = {
    "read": module,
    "ir": str,
    "optimised": str,
    "selected": selected,
    "allocated": allocated,
    "bytecode": bytecode,
    "linked": linked,
}
"""In the order of pipeline.py, and how each is shown. From "ir" to "bytecode" it is function after function."""


def shown(wanted: str, reached: str, what: object) -> str | None:
    """The text of what a stage gave when it is the wanted one, or all are."""
    if wanted == ALL:
        return f"; {reached}\n{STAGES[reached](what)}\n"
    return STAGES[reached](what) if reached == wanted else None
