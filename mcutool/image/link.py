"""Translated modules -> one image: index spaces joined, imports resolved, constants of segments settled.

This file decides which number a function, global, table, memory or segment has in the bundle, and what satisfies an
import. It refuses to know how code is made or where a byte of the image lies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mcutool import hostapi
from mcutool.bytecode.layout import CompiledFunction, Handler
from mcutool.encoding import ESCAPE, STUB_CODE, walk
from mcutool.errors import Unsupported, printable
from mcutool.image.format import EXPORT_KINDS, LETTERS, MEMORY_FLASH, MEMORY_PARTIAL, NONE, UNLIMITED, Image
from mcutool.isa import BY_NAME, FEATURES, ISA_VERSION
from mcutool.wasm.module import (
    ExternalType,
    FunctionType,
    GlobalType,
    Import,
    Instruction,
    Limits,
    MemoryType,
    Module,
    TableType,
)
from mcutool.wasm.types import Structures, matches, renamed, renamed_function

SLOTS = {"i64": 2, "f64": 2}
EXCEPTIONS = 32
"""Exceptions that may be alive at a time in a bundle that has tags."""
TABLE_RECORD, MEMORY_RECORD, MEMORY_GUARD = 12, 20, 8
"""Bytes of the arena that struct vm_table, struct vm_memory and the guard before a memory take."""


class LinkError(Unsupported):
    """An import that nothing satisfies, in the words of the WebAssembly test suite."""


@dataclass(frozen=True)
class MemoryPlan:
    """What RAM backs of a linear memory, in bytes: [low, low + size), able to grow to `capacity`.

    `partial` lets memory.grow give pages of which RAM backs a part, or none but the first. `flash` is the module's data
    segment that is read from flash below `low`.
    """

    low: int
    size: int
    capacity: int
    partial: bool = False
    flash: int | None = None


@dataclass
class CompiledModule:
    """A module to link: `functions` are the defined ones in order, then `instantiate`.

    `providers` maps the name of a module that is imported from to its number in the bundle.
    """

    name: str
    module: Module
    functions: list[CompiledFunction]
    memories: list[MemoryPlan]
    providers: dict[str, int] = field(default_factory=dict)


@dataclass
class _Spaces:
    """The bundle's number of everything in one module's index spaces."""

    functions: list[int] = field(default_factory=list)
    globals: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    memories: list[int] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)
    datas: int = 0
    elements: int = 0

    def of(self, kind: str) -> list[int]:
        """The space of "function", "table", "memory", "global" or "tag"."""
        spaces = dict(function=self.functions, table=self.tables, memory=self.memories, tag=self.tags)
        return spaces.get(kind, self.globals)


def slots(types: tuple[str, ...]) -> int:
    """Frame slots that values of these types take."""
    return sum(SLOTS.get(type_, 1) for type_ in types)


def letter_of(type_: str) -> str:
    """How an image spells a type: what a typed reference refers to does not show."""
    if type_ in LETTERS:
        return LETTERS[type_]
    return LETTERS["externref" if "extern" in type_ else "exnref" if "exn" in type_ else "funcref"]


def signature_text(type_: FunctionType) -> str:
    """A function type as an image spells it."""
    return f"{''.join(map(letter_of, type_.parameters))}>{''.join(map(letter_of, type_.results))}"


class Linker:
    """Joins modules one after another; `image` and `map` are what has been joined so far."""

    def __init__(self, stack_slots: int, table_room: int) -> None:
        self.image = Image(stack_slots=stack_slots, isa=ISA_VERSION)
        self.image.code = list(STUB_CODE)
        self.names: dict[int, str] = {}
        self.positions: list[tuple[int, int]] = []
        self._modules: list[tuple[CompiledModule, _Spaces]] = []
        self._signatures: dict[FunctionType, int] = {}
        self._structures = Structures()
        self._names: dict[int, tuple[Module, dict[str, str]]] = {}
        self._imports: dict[tuple[int, int], int] = {}
        self._table_room = table_room

    def check(self, compiled: CompiledModule) -> None:
        """Raises LinkError when an import is unknown or of another type; the bundle stays as it is."""
        for item in compiled.module.imports:
            self._satisfier(item, compiled)

    def add(self, compiled: CompiledModule) -> None:
        """Join one more module; its providers must be there.

        Raises LinkError as `check` does, Unsupported when the bundle has more of something than images can number.
        """
        self.check(compiled)
        spaces = _Spaces(datas=len(self.image.datas), elements=len(self.image.elements))
        number = len(self._modules)
        self._modules.append((compiled, spaces))
        for item in compiled.module.imports:
            self._resolve(item, compiled, spaces)
        self._define(compiled, spaces, number)
        self._place_segments(compiled, spaces)
        self._place_code(compiled, spaces)
        self._export(compiled, spaces, number)
        _check_counts(self.image)

    # imports

    def _satisfier(self, item: Import, compiled: CompiledModule) -> hostapi.HostFunction | tuple[_Spaces, int]:
        """The host function, or the index spaces of another module and the index in them."""
        provider = compiled.providers.get(item.module)
        if provider is None:
            return _host_function(item)
        theirs, spaces = self._modules[provider]
        export = theirs.module.export(item.name)
        if export is None:
            raise LinkError(f'unknown import: "{item.module}" has no "{item.name}"')
        given, wanted = self._renamed(theirs.module), self._renamed(compiled.module)
        if export.kind != item.kind or not _matches(
            given(_type_of(theirs.module, export.kind, export.index)), wanted(item.type)
        ):
            raise LinkError(f'incompatible import type: "{item.module}" "{item.name}"')
        return spaces, export.index

    def _renamed(self, module: Module) -> Callable[[ExternalType], ExternalType]:
        """Writes a type so that it can be compared with one of another module."""
        names = self._type_names(module)

        def rename(type_: ExternalType) -> ExternalType:
            if isinstance(type_, FunctionType):
                return renamed_function(type_, names)
            if isinstance(type_, TableType):
                return replace(type_, element=renamed(type_.element, names))
            if isinstance(type_, GlobalType):
                return replace(type_, value=renamed(type_.value, names))
            return type_

        return rename

    def _resolve(self, item: Import, compiled: CompiledModule, spaces: _Spaces) -> None:
        satisfier = self._satisfier(item, compiled)
        if isinstance(satisfier, tuple):
            theirs, index = satisfier
            spaces.of(item.kind).append(theirs.of(item.kind)[index])
            return
        assert isinstance(item.type, FunctionType)
        signature = self._signature(item.type, compiled.module)
        record = self._imports.setdefault((satisfier.number, signature), len(self.image.imports))
        if record == len(self.image.imports):
            self.image.imports.append(
                dict(host=satisfier.number, signature=signature, module_name=item.module, name=item.name)
            )
        spaces.functions.append(self._function(record, signature, NONE, f"{item.module}.{item.name}"))

    # definitions

    def _signature(self, type_: FunctionType, module: Module) -> int:
        key = renamed_function(type_, self._type_names(module))
        if key not in self._signatures:
            self._signatures[key] = len(self.image.signatures)
            self.image.signatures.append(
                dict(
                    parameter_slots=slots(type_.parameters),
                    result_slots=slots(type_.results),
                    text=signature_text(type_),
                )
            )
        return self._signatures[key]

    def _type_names(self, module: Module) -> dict[str, str]:
        """What tells the module's types from those of the others; computed once a module, which is kept."""
        if id(module) not in self._names:
            self._names[id(module)] = module, self._structures.names(module.types)
        return self._names[id(module)][1]

    def _function(self, code: int, signature: int, module: int, name: str) -> int:
        index = len(self.image.functions)
        self.image.functions.append(dict(code=code, signature=signature, module=module))
        self.names[index] = name
        return index

    def _define(self, compiled: CompiledModule, spaces: _Spaces, number: int) -> None:
        module = compiled.module
        for function in compiled.functions:
            index = self._function(0, self._signature(function.type, module), number, function.name)
            spaces.functions.append(index)
        instantiate = spaces.functions.pop()
        for global_ in module.globals:
            spaces.globals.append(self.image.global_slots)
            self.image.global_slots += slots((global_.type.value,))
        for table in module.tables:
            spaces.tables.append(len(self.image.tables))
            self.image.tables.append(self._table(table))
        for memory, plan in zip(module.memories, compiled.memories, strict=True):
            spaces.memories.append(len(self.image.memories))
            self.image.memories.append(_memory(memory, plan, spaces.datas))
        for tag in module.tags:
            spaces.tags.append(len(self.image.tags))
            self.image.tags.append(dict(slots=slots(tag.parameters), reserved=0))
        start = module.export("_start")
        self.image.modules.append(
            dict(
                memory=spaces.memories[0] if spaces.memories else NONE,
                instantiate=instantiate,
                start=spaces.functions[start.index] if start and start.kind == "function" else NONE,
                flags=int(module.start is not None),
            )
        )

    def _table(self, table: TableType) -> dict:
        maximum = UNLIMITED if table.limits.maximum is None else min(table.limits.maximum, UNLIMITED)
        room = min(maximum, max(table.limits.minimum, self._table_room))
        return dict(minimum=table.limits.minimum, maximum=maximum, capacity=room)

    # code

    def _place_code(self, compiled: CompiledModule, spaces: _Spaces) -> None:
        first = len(self.image.functions) - len(compiled.functions)
        for number, function in enumerate(compiled.functions):
            self.image.functions[first + number]["code"] = len(self.image.code)
            type_ = function.type
            self.image.code.append(max(function.frame_slots, slots(type_.parameters), slots(type_.results)))
            start = len(self.image.code)
            self.image.code += self._relocated(function, compiled, spaces)
            self.image.features |= features_of(function)
            self.positions += [(start + position, offset) for position, offset in function.positions]
            self.image.handlers += [_handler(handler, start, spaces) for handler in function.handlers]

    def _relocated(self, function: CompiledFunction, compiled: CompiledModule, spaces: _Spaces) -> list[int]:
        code = list(function.halfwords)
        starts: list[int] = []
        for relocation in function.relocations:
            position = relocation.position
            if relocation.kind == "funcref":
                reference = spaces.functions[relocation.index] + 1
                code[position : position + 2] = [reference & 0xFFFF, reference >> 16]
            elif relocation.kind == "import":
                starts = starts or [start for start, _ in walk(function.halfwords)]
                start = starts[bisect_right(starts, position) - 1]
                code[position] = self._call_to(spaces.functions[relocation.index], code, start)
            else:
                code[position] = self._number(relocation.kind, relocation.index, compiled, spaces)
        return code

    def _call_to(self, function: int, code: list[int], start: int) -> int:
        """A call's target: the import of a host function; else the call is made to enter another module."""
        entry = self.image.functions[function]
        if entry["module"] == NONE:
            return entry["code"]
        if code[start] & 0xFF == ESCAPE:
            code[start] = BY_NAME["call_cross.wide"].opcode << 8 | ESCAPE
        else:
            code[start] = code[start] & 0xFF00 | BY_NAME["call_cross"].opcode
        return function

    def _number(self, kind: str, index: int, compiled: CompiledModule, spaces: _Spaces) -> int:
        spaces_by_kind: dict[str, Callable[[int], int]] = {
            "function": lambda i: spaces.functions[i],
            "signature": lambda i: self._signature(compiled.module.types[i], compiled.module),
            "global": lambda i: spaces.globals[i],
            "table": lambda i: spaces.tables[i],
            "memory": lambda i: spaces.memories[i],
            "data": lambda i: spaces.datas + i,
            "element": lambda i: spaces.elements + i,
            "tag": lambda i: spaces.tags[i],
        }
        return spaces_by_kind[kind](index)

    # segments and exports

    def _place_segments(self, compiled: CompiledModule, spaces: _Spaces) -> None:
        self.image.datas += [data.bytes for data in compiled.module.datas]
        for element in compiled.module.elements:
            self.image.elements.append([self._reference(e, compiled, spaces) for e in element.expressions])

    def _reference(self, expression: list[Instruction], compiled: CompiledModule, spaces: _Spaces) -> int:
        """The value of a constant expression of reference type: 0 for null, else a function's number + 1."""
        first = expression[0]
        if first.opcode.name == "ref.func":
            return spaces.functions[first.immediates[0]] + 1
        if first.opcode.name == "global.get":
            return self._global_reference(first.immediates[0], compiled, spaces)
        return 0

    def _global_reference(self, index: int, compiled: CompiledModule, spaces: _Spaces) -> int:
        imported = compiled.module.imported("global")
        if index >= len(imported):
            return self._reference(compiled.module.globals[index - len(imported)].expression, compiled, spaces)
        provider = compiled.providers[imported[index].module]
        theirs, their_spaces = self._modules[provider]
        export = theirs.module.export(imported[index].name)
        assert export is not None
        return self._global_reference(export.index, theirs, their_spaces)

    def _export(self, compiled: CompiledModule, spaces: _Spaces, number: int) -> None:
        for export in compiled.module.exports:
            self.image.exports.append(
                dict(
                    name=export.name,
                    kind=EXPORT_KINDS.index(export.kind),
                    module=number,
                    index=spaces.of(export.kind)[export.index],
                )
            )

    # results

    def finish(self) -> Image:
        """The image, with the RAM that it needs at its start."""
        if self.image.tags:
            self.image.exceptions = EXCEPTIONS
            self.image.exception_slots = max(tag["slots"] for tag in self.image.tags)
        self.image.ram = arena_bytes(self.image)
        return self.image

    def map(self) -> dict:
        """What stays on the PC: names by function number and positions of instructions in the source.

        `functions`: [[number, name, first halfword, end], ...] of defined functions; `positions`: [[halfword, byte
        offset in the .wasm], ...] in ascending order.
        """
        defined = [(f["code"], i) for i, f in enumerate(self.image.functions) if f["module"] != NONE]
        defined.sort()
        ends = [code for code, _ in defined[1:]] + [len(self.image.code)]
        named = zip(defined, ends, strict=True)
        rows = [[index, printable(self.names[index]), code, end] for (code, index), end in named]
        return {"functions": rows, "positions": [list(pair) for pair in sorted(self.positions)]}


def link(modules: list[CompiledModule], stack_slots: int, table_room: int = 0) -> Linker:
    """A bundle of modules, each after those it imports from.

    `stack_slots`: size of the stack; `table_room`: elements that a table without a maximum may grow to.
    """
    linker = Linker(stack_slots, table_room)
    for compiled in modules:
        linker.add(compiled)
    linker.finish()
    return linker


def features_of(function: CompiledFunction) -> int:
    """Bits of isa.FEATURES that the function's code uses."""
    bits = {FEATURES[row.feature] for row in function.rows if row.feature}
    return sum(bits | ({FEATURES["exceptions"]} if function.handlers else set()))


def exception_bytes(slots_of_tags: list[int]) -> int:
    """Bytes of the arena that hold exceptions, in a bundle with tags of so many slots each."""
    return EXCEPTIONS * (1 + max(slots_of_tags)) * 4 if slots_of_tags else 0


def arena_parts(image: Image) -> dict[str, int]:
    """Bytes that firmware_runtime/image.c takes from the arena for this image, by purpose, in its order.

    Growth is what linear memories may grow to beyond what they have at the start; the records are those of tables,
    memories and dropped segments, with guards and what aligns them.
    """
    memories = image.memories
    parts = {
        "globals": image.global_slots * 4,
        "tables": sum(table["capacity"] * 4 for table in image.tables),
        "linear_memory": sum(memory["window_size"] for memory in memories),
        "growth": sum(memory["capacity"] - memory["window_size"] for memory in memories),
        "exceptions": exception_bytes([tag["slots"] for tag in image.tags]),
        "frame_stack": image.stack_slots * 4,
    }
    return parts | {"records": arena_bytes(image) - sum(parts.values())}


def arena_bytes(image: Image) -> int:
    """Bytes that firmware_runtime/image.c takes from the arena for this image."""
    sizes = [image.global_slots * 4, (len(image.datas) + len(image.elements) + 7) // 8]
    sizes += [len(image.tables) * TABLE_RECORD, *(table["capacity"] * 4 for table in image.tables)]
    sizes += [len(image.memories) * MEMORY_RECORD]
    sizes += [MEMORY_GUARD + memory["capacity"] for memory in image.memories]
    sizes += [exception_bytes([tag["slots"] for tag in image.tags])]
    used = 0
    for size in [*sizes, image.stack_slots * 4]:
        used = (used + 7 & ~7) + size
    return used


def _check_counts(image: Image) -> None:
    """Numbers of sixteen bits name everything, and the last one stands for none."""
    counts = {
        "functions": len(image.functions),
        "function types": len(image.signatures),
        "imported functions": len(image.imports),
        "slots of globals": image.global_slots,
        "tables": len(image.tables),
        "memories": len(image.memories),
        "tags": len(image.tags),
        "data segments": len(image.datas),
        "element segments": len(image.elements),
        "modules": len(image.modules),
        "slots of parameters": max((row["parameter_slots"] for row in image.signatures), default=0),
        "slots of results": max((row["result_slots"] for row in image.signatures), default=0),
        "slots of an exception": max((row["slots"] for row in image.tags), default=0),
    }
    for what, count in counts.items():
        if count > NONE:
            raise Unsupported(
                f"{count} {what} are not supported, an image holds {NONE} at most",
                next_action="leave out what is not used (wasm-opt --remove-unused-module-elements)",
            )


def _host_function(item: Import) -> hostapi.HostFunction:
    function = hostapi.find(item.module, item.name)
    if function is None or not isinstance(item.type, FunctionType):
        raise LinkError(
            f'unknown import: {item.kind} "{item.module}" "{item.name}"',
            next_action="boards offer wasi_snapshot_preview1 and mcu; leave out what needs another import",
        )
    if (tuple(function.parameters), tuple(function.results)) != (item.type.parameters, item.type.results):
        raise LinkError(
            f'incompatible import type: "{item.module}" "{item.name}" is {function.signature}',
            next_action="declare the import as the board has it; mcu.h and wasi-libc do",
        )
    return function


def _handler(handler: Handler, start: int, spaces: _Spaces) -> dict:
    return dict(
        site=start + handler.site,
        target=start + handler.target,
        tag=NONE if handler.tag is None else spaces.tags[handler.tag],
        base=handler.base,
        flags=int(handler.with_reference),
        reserved=0,
    )


def _memory(memory: MemoryType, plan: MemoryPlan, datas: int) -> dict:
    flash = 0 if plan.flash is None else MEMORY_FLASH | datas + plan.flash << 16
    pages = 0x1_0000_0000 // memory.page_size
    maximum = pages if memory.limits.maximum is None else min(memory.limits.maximum, pages)
    return dict(
        minimum=memory.limits.minimum,
        maximum=min(maximum, UNLIMITED),
        page_log2=memory.page_size.bit_length() - 1,
        window_low=plan.low,
        window_size=plan.size,
        capacity=plan.capacity,
        flags=(MEMORY_PARTIAL if plan.partial else 0) | flash,
    )


def _type_of(module: Module, kind: str, index: int) -> ExternalType:
    if kind == "tag":
        return module.tag_types[index]
    spaces: dict[str, Sequence[ExternalType]] = {
        "function": module.function_types,
        "table": module.table_types,
        "memory": module.memory_types,
        "global": module.global_types,
    }
    return spaces[kind][index]


def _matches(given: object, wanted: object) -> bool:
    """Import matching, WebAssembly specification 4.5.2."""
    if isinstance(given, TableType) and isinstance(wanted, TableType):
        return given.element == wanted.element and _limits_match(given.limits, wanted.limits)
    if isinstance(given, MemoryType) and isinstance(wanted, MemoryType):
        return given.page_size == wanted.page_size and _limits_match(given.limits, wanted.limits)
    if isinstance(given, GlobalType) and isinstance(wanted, GlobalType) and not wanted.mutable:
        return not given.mutable and matches(given.value, wanted.value)
    return given == wanted


def _limits_match(given: Limits, wanted: Limits) -> bool:
    if given.minimum < wanted.minimum:
        return False
    return wanted.maximum is None or (given.maximum is not None and given.maximum <= wanted.maximum)
