"""Validation of a module (core specification, section "Validation", "Modules").

This file decides whether definitions, indices, limits and segments fit together; expressions go to operands.py. It
refuses to know the binary format and how a valid module is translated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcutool.errors import InvalidModule
from mcutool.wasm.module import (
    PAGE_SIZE,
    Data,
    Element,
    Export,
    Expression,
    FunctionType,
    GlobalType,
    Limits,
    MemoryType,
    Module,
)
from mcutool.wasm.operands import Context, check_constant, check_function
from mcutool.wasm.types import has_default, matches

_MOST_PAGES = {1: (1 << 32) - 1, PAGE_SIZE: 1 << 16}  # by page size; other page sizes are not valid
_TABLE_SIZE = (1 << 32) - 1  # elements of a table


def validate(module: Module) -> None:
    """Raises InvalidModule, with the byte offset of the first thing that is not valid."""
    context = Context(
        type_numbers={kind: number for number, kind in reversed(list(enumerate(module.types)))},
        functions=module.function_types,
        tables=module.table_types,
        memories=module.memory_types,
        tags=module.tag_types,
        elements=[element.type for element in module.elements],
        datas=len(module.datas),
        references=_declared_references(module),
    )
    _check_tables(module, context)
    _check_memories(context.memories)
    _check_tags(module)
    _check_globals(module, context)
    _check_exports(module, context)
    _check_start(module, context)
    for element in module.elements:
        _check_element(element, context)
    for data in module.datas:
        _check_data(data, context)
    _check_functions(module, context)


def _declared_references(module: Module) -> set[int]:
    """The functions that ref.func may name in code: those exported, and those that a global or an element names."""
    exported = {export.index for export in module.exports if export.kind == "function"}
    return exported | {
        instruction.immediates[0]
        for expression in _initial_values(module)
        for instruction in expression
        if instruction.opcode.name == "ref.func"
    }


def _initial_values(module: Module) -> Iterator[Expression]:
    yield from (item.expression for item in module.globals)
    yield from filter(None, module.table_values)
    for element in module.elements:
        yield from element.expressions


def _check_tables(module: Module, context: Context) -> None:
    for table in context.tables:
        _check_limits(table.limits, _TABLE_SIZE, "table size must be at most 2^32 - 1 elements", table.offset)
    context.globals = _imported_globals(module)
    for table, value in zip(module.tables, module.table_values, strict=True):
        if value is not None:
            check_constant(context, value, table.element)
        elif not has_default(table.element):
            raise InvalidModule(f"type mismatch: a table of {table.element} needs an initial value", table.offset)


def _check_limits(limits: Limits, most: int, message: str, offset: int) -> None:
    if max(limits.minimum, limits.maximum or 0) > most:
        raise InvalidModule(message, offset)
    if limits.maximum is not None and limits.minimum > limits.maximum:
        raise InvalidModule("size minimum must not be greater than maximum", offset)


def _check_memories(memories: Sequence[MemoryType]) -> None:
    for memory in memories:
        if memory.page_size not in _MOST_PAGES:
            raise InvalidModule(f"invalid custom page size {memory.page_size}, it must be 1 or 65536", memory.offset)
        most = _MOST_PAGES[memory.page_size]
        _check_limits(memory.limits, most, f"memory size must be at most {most} pages (4 GiB)", memory.offset)


def _check_tags(module: Module) -> None:
    offsets = [item.offset for item in module.imported("tag")] + [module.tags_offset] * len(module.tags)
    for index, (kind, offset) in enumerate(zip(module.tag_types, offsets, strict=True)):
        if kind.results:
            raise InvalidModule(f"non-empty tag result type: tag {index} has type {kind}", offset)


def _check_globals(module: Module, context: Context) -> None:
    """A global's expression sees the imported globals and those before it; everything later sees all of them."""
    context.globals = visible = _imported_globals(module)
    for item in module.globals:
        check_constant(context, item.expression, item.type.value)
        visible.append(item.type)


def _imported_globals(module: Module) -> list[GlobalType]:
    return module.global_types[: len(module.imported("global"))]


def _check_exports(module: Module, context: Context) -> None:
    names: set[str] = set()
    for export in module.exports:
        _check_export_index(export, context)
        if export.name in names:
            raise InvalidModule(f"duplicate export name {export.name!r}", export.offset)
        names.add(export.name)


def _check_export_index(export: Export, context: Context) -> None:
    spaces: dict[str, Sequence] = {
        "function": context.functions,
        "table": context.tables,
        "memory": context.memories,
        "global": context.globals,
        "tag": context.tags,
    }
    if export.index >= len(spaces[export.kind]):
        raise InvalidModule(f"unknown {export.kind} {export.index} in export {export.name!r}", export.offset)


def _check_start(module: Module, context: Context) -> None:
    if module.start is None:
        return
    if module.start >= len(context.functions):
        raise InvalidModule(f"unknown function {module.start} as start function", module.start_offset)
    kind = context.functions[module.start]
    if kind != FunctionType():
        raise InvalidModule(f"start function must have type [] -> [], not {kind}", module.start_offset)


def _check_element(element: Element, context: Context) -> None:
    if element.offset_expression is not None:
        if element.table >= len(context.tables):
            raise InvalidModule(f"unknown table {element.table}", element.offset)
        kind = context.tables[element.table].element
        if not matches(element.type, kind):
            raise InvalidModule(
                f"type mismatch: {element.type} elements cannot go to a table of {kind}", element.offset
            )
        check_constant(context, element.offset_expression, "i32")
    for expression in element.expressions:
        check_constant(context, expression, element.type)


def _check_data(data: Data, context: Context) -> None:
    if data.offset_expression is None:
        return
    if data.memory >= len(context.memories):
        raise InvalidModule(f"unknown memory {data.memory}", data.offset)
    check_constant(context, data.offset_expression, "i32")


def _check_functions(module: Module, context: Context) -> None:
    first = len(context.functions) - len(module.functions)
    for index, function in enumerate(module.functions, first):
        name = f"function {index}"
        if index in module.function_names:
            name += f" ({module.function_names[index]})"
        check_function(context, function.type, function.locals, function.body, name)
