"""From the bytes of a .wasm file to a Module (core specification, section "Binary Format", "Modules").

This file decides what is well-formed: sections, their order and their sizes. It refuses to judge types, indices and
limits (validate.py) and to know the bytecode behind it. A file that uses a later proposal raises Unsupported with the
proposal's name; anything else wrong raises InvalidModule with the byte offset.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from mcutool.errors import InvalidModule, printable
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.expressions import ExpressionReader
from mcutool.wasm.features import EXCEPTIONS, MULTIPLE_MEMORIES, TYPED_REFERENCES, UNTRANSLATED
from mcutool.wasm.module import (
    PAGE_SIZE,
    Data,
    Element,
    Export,
    Expression,
    ExternalType,
    Function,
    FunctionType,
    Global,
    GlobalType,
    Import,
    Instruction,
    Limits,
    MemoryType,
    Module,
    TableType,
    ValueType,
)
from mcutool.wasm.opcodes import BY_CODE
from mcutool.wasm.type_reader import TypeReader, unsupported
from mcutool.wasm.types import reference

_MAGIC = b"\0asm"
_VERSION = b"\1\0\0\0"
_COMPONENT_LAYER = b"\1\0"
_CUSTOM, _CODE = 0, 10
_ORDER = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)  # the order in which sections must stand
_MAXIMUM_LOCALS = 50_000  # the limit of the WebAssembly JavaScript interface, so no engine takes more
_EXTERNAL_KINDS = ("function", "table", "memory", "global", "tag")
_TABLE_WITH_VALUE = b"\x40\0"  # in front of a table's type
_FUNCTION_NAMES = 1  # the subsection of the name section

# Bits of the limits byte, and of the flags of an element segment.
_HAS_MAXIMUM, _SHARED, _IS_64, _PAGE_SIZE = 1, 2, 4, 8
_NOT_ACTIVE, _EXPLICIT, _EXPRESSIONS = 1, 2, 4

_FUNCTIONS = reference("func", nullable=False)  # the type of elements that are given by function indices
_REF_FUNC = BY_CODE[0, 0xD2]
_END = BY_CODE[0, 0x0B]


def read_module(data: bytes, refused: Set[str] = UNTRANSLATED) -> Module:
    """The module in the bytes of a .wasm file, well-formed but not validated.

    Raises InvalidModule with the byte offset, or Unsupported with the name of a later proposal or of one of the
    `refused` features.
    """
    return _Reader(bytes(data), refused).read()


class _Reader:
    def __init__(self, data: bytes, refused: Set[str]) -> None:
        self.cursor = Cursor(data)
        self.module = Module(size=len(data))
        self.types = TypeReader(self.cursor, self.module.types, refused)
        self.expressions = ExpressionReader(self.types)
        self.type_indices: list[int] = []  # what the function section says
        self.data_count: int | None = None

    def read(self) -> Module:
        self._header()
        order = list(_ORDER)
        while self.cursor.position < self.cursor.end:
            self._section(order)
        if len(self.module.functions) != len(self.type_indices):
            raise InvalidModule("function and code section have inconsistent lengths", self.cursor.position)
        if self.data_count is not None and self.data_count != len(self.module.datas):
            raise InvalidModule("data count and data section have inconsistent lengths", self.cursor.position)
        return self.module

    def _header(self) -> None:
        data = self.cursor.data
        if data[:4] != _MAGIC[: len(data)] or not data:
            raise InvalidModule(
                "magic header not detected: this is no WebAssembly file",
                0,
                next_action="name a .wasm file that a compiler has made",
            )
        if data[4:8] != _VERSION:
            if data[6:8] == _COMPONENT_LAYER:
                raise InvalidModule(
                    "unknown binary version: a component, and only core modules can be translated",
                    4,
                    next_action="build a core module: the targets wasm32-wasip1 and wasm32-unknown-unknown make one",
                )
            raise InvalidModule("unexpected end" if len(data) < 8 else "unknown binary version", min(len(data), 4))
        self.cursor.position = 8

    def _section(self, order: list[int]) -> None:
        """Reads one section; `order` holds the ids that may still come and loses those that may not."""
        cursor, offset = self.cursor, self.cursor.position
        number = cursor.byte()
        size = cursor.u32()
        if size > cursor.end - cursor.position:
            raise InvalidModule("length out of bounds: unexpected end", cursor.end)
        file_end, cursor.end = cursor.end, cursor.position + size
        if number == _CUSTOM:
            self._custom()
        elif number in order:
            del order[: order.index(number) + 1]
            self._SECTIONS[number](self)
        else:
            known = "unexpected content after last section" if number in _ORDER else "malformed section id"
            raise InvalidModule(f"{known}: section {number}", offset)
        if cursor.position != cursor.end:
            raise InvalidModule("section size mismatch", cursor.position)
        if number == _CODE:
            self.module.code_offset, self.module.code_size = cursor.end - size, size
        cursor.end = file_end

    # Sections

    def _custom(self) -> None:
        name, start = self.cursor.name(), self.cursor.position
        contents = self.cursor.take(self.cursor.end - start)
        self.module.customs.append((name, contents, start))
        if name == "name":
            self.module.function_names = read_function_names(contents)

    def _types(self) -> None:
        self.types.read_types()

    def _imports(self) -> None:
        self.module.imports = self.cursor.vector(self._import)
        self._check_memories(self.cursor.position)

    def _import(self) -> Import:
        offset = self.cursor.position
        module, name = self.cursor.name(), self.cursor.name()
        kind = self._external_kind("import")
        read: dict[str, Callable[[], ExternalType]] = {
            "function": lambda: self.types.type_use()[1],
            "table": self._table_type,
            "memory": self._memory_type,
            "global": self._global_type,
            "tag": self._tag_type,
        }
        return Import(module, name, kind, read[kind](), offset)

    def _external_kind(self, what: str) -> str:
        offset, code = self.cursor.position, self.cursor.byte()
        if code >= len(_EXTERNAL_KINDS):
            raise InvalidModule(f"malformed {what} kind {code:#04x}", offset)
        if _EXTERNAL_KINDS[code] == "tag":
            self.types.refuse(EXCEPTIONS, offset)
        return _EXTERNAL_KINDS[code]

    def _limits(self, allowed: int) -> tuple[Limits, int]:
        """Limits and their flags; `allowed` are the flags that this kind of limits may have."""
        offset, flags = self.cursor.position, self.cursor.byte()
        if flags & ~allowed:
            raise InvalidModule("malformed limits flags", offset)
        if flags & _SHARED:
            raise unsupported("threads", offset)
        if flags & _IS_64:
            raise unsupported("memory64", offset)
        minimum = self.cursor.unsigned(64)  # validation says what is too much
        return Limits(minimum, self.cursor.unsigned(64) if flags & _HAS_MAXIMUM else None), flags

    def _table_type(self) -> TableType:
        offset = self.cursor.position
        element = self.types.reference_type()
        return TableType(element, self._limits(_HAS_MAXIMUM | _IS_64)[0], offset)

    def _memory_type(self) -> MemoryType:
        offset = self.cursor.position
        limits, flags = self._limits(_HAS_MAXIMUM | _SHARED | _IS_64 | _PAGE_SIZE)
        return MemoryType(limits, self._page_size() if flags & _PAGE_SIZE else PAGE_SIZE, offset)

    def _page_size(self) -> int:
        offset, exponent = self.cursor.position, self.cursor.u32()
        if exponent >= 64:
            raise InvalidModule("invalid custom page size", offset)
        return 1 << exponent

    def _global_type(self) -> GlobalType:
        value = self.types.value_type()
        offset, mutable = self.cursor.position, self.cursor.byte()
        if mutable > 1:
            raise InvalidModule("malformed mutability", offset)
        return GlobalType(value, bool(mutable))

    def _functions(self) -> None:
        self.type_indices = self.cursor.vector(lambda: self.types.type_use()[0])

    def _tables(self) -> None:
        self.module.tables = self.cursor.vector(self._table)

    def _table(self) -> TableType:
        cursor, offset = self.cursor, self.cursor.position
        has_value = cursor.data[offset : cursor.end][:2] == _TABLE_WITH_VALUE
        if has_value:
            self.types.refuse(TYPED_REFERENCES, offset)
            cursor.position += len(_TABLE_WITH_VALUE)
        table = self._table_type()
        self.module.table_values.append(self.expressions.read() if has_value else None)
        return table

    def _memories(self) -> None:
        self.module.memories = self.cursor.vector(self._memory_type)
        self._check_memories(self.cursor.position)

    def _check_memories(self, offset: int) -> None:
        if len(self.module.memory_types) > 1:
            self.types.refuse(MULTIPLE_MEMORIES, offset)

    def _tags(self) -> None:
        self.module.tags_offset = self.cursor.position
        self.module.tags = self.cursor.vector(self._tag_type)

    def _tag_type(self) -> FunctionType:
        offset, attribute = self.cursor.position, self.cursor.byte()
        self.types.refuse(EXCEPTIONS, offset)
        if attribute != 0:
            raise InvalidModule("malformed tag attribute", offset)
        return self.types.type_use()[1]

    def _globals(self) -> None:
        self.module.globals = self.cursor.vector(self._global)

    def _global(self) -> Global:
        offset = self.cursor.position
        return Global(self._global_type(), self.expressions.read(), offset)

    def _exports(self) -> None:
        self.module.exports = self.cursor.vector(self._export)

    def _export(self) -> Export:
        offset, name = self.cursor.position, self.cursor.name()
        return Export(name, self._external_kind("export"), self.cursor.u32(), offset)

    def _start(self) -> None:
        self.module.start_offset = self.cursor.position
        self.module.start = self.cursor.u32()

    def _elements(self) -> None:
        self.module.elements = self.cursor.vector(self._element)

    def _element(self) -> Element:
        offset, flags = self.cursor.position, self.cursor.u32()
        if flags > (_NOT_ACTIVE | _EXPLICIT | _EXPRESSIONS):
            raise InvalidModule("malformed elements segment kind", offset)
        mode, table, start = "active", 0, None
        if flags & _NOT_ACTIVE:
            mode = "declarative" if flags & _EXPLICIT else "passive"
        else:
            table = self.cursor.u32() if flags & _EXPLICIT else 0
            start = self.expressions.read()
        element_type = self._element_type(flags)
        read = self.expressions.read if flags & _EXPRESSIONS else self._function_reference
        return Element(mode, table, start, element_type, self.cursor.vector(read), offset)

    def _element_type(self, flags: int) -> ValueType:
        if not flags & (_NOT_ACTIVE | _EXPLICIT):
            return "funcref" if flags & _EXPRESSIONS else _FUNCTIONS
        if flags & _EXPRESSIONS:
            return self.types.reference_type()
        offset = self.cursor.position
        if self.cursor.byte() != 0:
            raise InvalidModule("malformed element kind", offset)
        return _FUNCTIONS

    def _function_reference(self) -> Expression:
        """A function index, as the constant expression that it stands for."""
        offset = self.cursor.position
        return [Instruction(_REF_FUNC, (self.cursor.u32(),), offset), Instruction(_END, (), offset)]

    def _data_count(self) -> None:
        self.data_count = self.cursor.u32()

    def _code(self) -> None:
        count, offset = self.cursor.u32(), self.cursor.position
        if count != len(self.type_indices):
            raise InvalidModule("function and code section have inconsistent lengths", offset)
        self.module.functions = [self._function(index) for index in self.type_indices]

    def _function(self, type_index: int) -> Function:
        cursor = self.cursor
        size, start = cursor.u32(), cursor.position
        if size > cursor.end - start:
            raise InvalidModule("unexpected end of section or function", cursor.end)
        section_end, cursor.end = cursor.end, start + size
        declared = self._locals()
        body = self.expressions.read()
        if cursor.position != cursor.end:
            raise InvalidModule("section size mismatch: END opcode expected", cursor.position)
        cursor.end = section_end
        if self.data_count is None:
            _refuse_data_segments(body)
        return Function(type_index, self.module.types[type_index], declared, body, start)

    def _locals(self) -> tuple[ValueType, ...]:
        offset = self.cursor.position
        groups = self.cursor.vector(lambda: (self.cursor.u32(), self.types.value_type()))
        total = sum(count for count, _ in groups)
        if total >= 1 << 32:
            raise InvalidModule("too many locals", offset)
        if total > _MAXIMUM_LOCALS:
            raise unsupported(f"more than {_MAXIMUM_LOCALS} local variables in a function", offset)
        return tuple(kind for count, kind in groups for _ in range(count))

    def _datas(self) -> None:
        self.module.datas = self.cursor.vector(self._data)

    def _data(self) -> Data:
        offset, flags = self.cursor.position, self.cursor.u32()
        if flags > 2:
            raise InvalidModule("malformed data segment kind", offset)
        memory = self.cursor.u32() if flags == 2 else 0
        start = None if flags == 1 else self.expressions.read()
        return Data("passive" if flags == 1 else "active", memory, start, self.cursor.take(self.cursor.u32()), offset)

    _SECTIONS = {
        1: _types,
        2: _imports,
        3: _functions,
        4: _tables,
        5: _memories,
        6: _globals,
        7: _exports,
        8: _start,
        9: _elements,
        10: _code,
        11: _datas,
        12: _data_count,
        13: _tags,
    }


def _refuse_data_segments(body: Expression) -> None:
    for instruction in body:
        if instruction.opcode.immediates in ("data", "data_memory"):
            raise InvalidModule("data count section required", instruction.offset)


def read_function_names(contents: bytes) -> dict[int, str]:
    """Function index -> name out of a name section's contents; a malformed section gives no names (spec appendix)."""
    try:
        return _function_names(Cursor(contents))
    except InvalidModule:
        return {}


def _function_names(cursor: Cursor) -> dict[int, str]:
    while cursor.position < cursor.end:
        subsection, size = cursor.byte(), cursor.u32()
        contents = cursor.take(size)
        if subsection == _FUNCTION_NAMES:
            return _name_map(Cursor(contents))
    return {}


def _name_map(cursor: Cursor) -> dict[int, str]:
    return dict(cursor.vector(lambda: (cursor.u32(), printable(cursor.name()))))
