"""Type checking of one expression (core specification, appendix "Validation Algorithm").

This file decides whether instructions find the operands, labels and indices that they need. Rows of the opcode table
that have a signature need no code here beyond the check of their immediates. It refuses to know sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mcutool.errors import InvalidModule
from mcutool.wasm.module import (
    Expression,
    FunctionType,
    GlobalType,
    Instruction,
    MemoryType,
    TableType,
    ValueType,
)
from mcutool.wasm.opcodes import BY_CODE
from mcutool.wasm.types import BOTTOM, all_match, has_default, is_reference, matches, non_null, reference

T = TypeVar("T")

UNKNOWN = "unknown"  # the type of an operand that unreachable code takes from an empty stack
_CAUGHT = reference("exn", nullable=False)
_CONSTANT = {f"{kind}.const" for kind in ("i32", "i64", "f32", "f64")} | {"ref.null", "ref.func", "global.get", "end"}
_CONSTANT |= {f"{kind}.{operation}" for kind in ("i32", "i64") for operation in ("add", "sub", "mul")}


@dataclass(slots=True)
class Context:
    """What an expression may refer to; lists hold imports first."""

    type_numbers: Mapping[FunctionType, int] = field(default_factory=dict)
    functions: Sequence[FunctionType] = ()
    tables: Sequence[TableType] = ()
    memories: Sequence[MemoryType] = ()
    tags: Sequence[FunctionType] = ()
    globals: Sequence[GlobalType] = ()
    elements: Sequence[ValueType] = ()
    datas: int = 0
    references: set[int] = field(default_factory=set)  # the functions that ref.func may name


@dataclass(slots=True)
class _Frame:
    """A block that is open: its opcode, its type, and at its entry the operand stack's height and the locals set."""

    opener: str
    type: FunctionType
    height: int
    locals_set: int = 0
    unreachable: bool = False

    @property
    def label_types(self) -> tuple[ValueType, ...]:
        return self.type.parameters if self.opener == "loop" else self.type.results


def check_function(
    context: Context, kind: FunctionType, declared: tuple[ValueType, ...], body: Expression, name: str
) -> None:
    """Raises InvalidModule unless the body computes the function's results from its parameters."""
    checker = _Checker(context, kind.parameters + declared, kind.results, name)
    first = len(kind.parameters)
    checker.unset = {index for index, item in enumerate(declared, first) if not has_default(item)}
    checker.check(body)


def check_constant(context: Context, expression: Expression, result: ValueType) -> None:
    """Raises InvalidModule unless the expression is constant and gives one value of that type."""
    for instruction in expression:
        is_mutable = instruction.opcode.name == "global.get" and any(
            item.mutable for item in context.globals[instruction.immediates[0] :][:1]
        )
        if instruction.opcode.name not in _CONSTANT or is_mutable:
            raise InvalidModule(f"constant expression required: {instruction.opcode}", instruction.offset)
    _Checker(context, (), (result,), "constant expression").check(expression)


class _Checker:
    def __init__(
        self, context: Context, local_types: tuple[ValueType, ...], results: tuple[ValueType, ...], name: str
    ) -> None:
        self.context = context
        self.locals = local_types
        self.name = name
        self.unset: set[int] = set()  # locals that may not be read yet
        self.locals_set: list[int] = []  # those that were among them, in order
        self.stack: list[ValueType] = []
        self.frames = [_Frame("block", FunctionType((), results), 0)]
        self.instruction: Instruction | None = None

    def check(self, body: Expression) -> None:
        checks = {kind: method.__get__(self) for kind, method in self._IMMEDIATES.items()}
        effects = {name: method.__get__(self) for name, method in self._EFFECTS.items()}
        for instruction in body:
            self.instruction = instruction
            opcode = instruction.opcode
            if check := checks.get(opcode.immediates):
                check(*instruction.immediates)
            if effect := effects.get(opcode.name):
                effect(*instruction.immediates)
            elif opcode.parameters is not None and opcode.results is not None:
                self.apply(opcode.parameters, opcode.results)

    def error(self, message: str) -> InvalidModule:
        assert self.instruction is not None
        return InvalidModule(f"{message}: {self.instruction.opcode} in {self.name}", self.instruction.offset)

    # The operand stack

    def apply(self, parameters: tuple[ValueType, ...], results: tuple[ValueType, ...]) -> None:
        stack, count = self.stack, len(parameters)
        if len(stack) - self.frames[-1].height >= count and tuple(stack[len(stack) - count :]) == parameters:
            del stack[len(stack) - count :]  # nearly always
        else:
            self.pop_all(parameters)
        stack.extend(results)

    def pop(self, expected: ValueType = UNKNOWN) -> ValueType:
        frame = self.frames[-1]
        if len(self.stack) == frame.height:
            if frame.unreachable:
                return UNKNOWN
            raise self.error(f"type mismatch, expected {_operand(expected)} but the stack is empty")
        actual = self.stack.pop()
        if actual != expected and UNKNOWN not in (actual, expected) and not matches(actual, expected):
            raise self.error(f"type mismatch, expected {expected} but found {actual}")
        return actual

    def pop_all(self, expected: Sequence[ValueType]) -> list[ValueType]:
        return [self.pop(kind) for kind in reversed(expected)][::-1]

    def pop_reference(self) -> ValueType:
        kind = self.pop()
        if kind == UNKNOWN:
            return BOTTOM
        if not is_reference(kind):
            raise self.error(f"type mismatch, expected a reference but found {kind}")
        return kind

    # Blocks

    def open(self, opener: str, kind: FunctionType) -> None:
        self.frames.append(_Frame(opener, kind, len(self.stack), len(self.locals_set)))
        self.stack.extend(kind.parameters)

    def close(self) -> _Frame:
        frame = self.frames[-1]
        self.pop_all(frame.type.results)
        if len(self.stack) != frame.height:
            raise self.error(f"type mismatch, {len(self.stack) - frame.height} values remain on the stack")
        self.unset.update(self.locals_set[frame.locals_set :])  # a branch may have skipped what set them
        del self.locals_set[frame.locals_set :]
        return self.frames.pop()

    def unreachable(self) -> None:
        frame = self.frames[-1]
        del self.stack[frame.height :]
        frame.unreachable = True

    def label_types(self, depth: int) -> tuple[ValueType, ...]:
        if depth >= len(self.frames):
            raise self.error(f"unknown label {depth}")
        return self.frames[-1 - depth].label_types

    # Immediates: an index must exist, an alignment must be natural at most

    def known(self, space: Sequence[T], index: int, what: str) -> T:
        if index >= len(space):
            raise self.error(f"unknown {what} {index}")
        return space[index]

    def check_local(self, index: int) -> None:
        self.known(self.locals, index, "local")

    def check_function(self, index: int) -> None:
        self.known(self.context.functions, index, "function")

    def check_declared(self, index: int) -> None:
        self.check_function(index)
        if index not in self.context.references:
            raise self.error(f"undeclared function reference {index}")

    def check_global(self, index: int) -> None:
        self.known(self.context.globals, index, "global")

    def check_table(self, index: int) -> None:
        self.known(self.context.tables, index, "table")

    def check_memory(self, index: int) -> None:
        self.known(self.context.memories, index, "memory")

    def check_tag(self, index: int) -> None:
        self.known(self.context.tags, index, "tag")

    def check_element(self, index: int) -> None:
        self.known(self.context.elements, index, "elem segment")

    def check_data(self, index: int) -> None:
        self.known(range(self.context.datas), index, "data segment")

    def check_type_table(self, _: FunctionType, table: int) -> None:
        if not matches(self.known(self.context.tables, table, "table").element, "funcref"):
            raise self.error("type mismatch, an indirect call needs a table of funcref")

    def check_memarg(self, alignment: int, offset: int, memory: int) -> None:
        assert self.instruction is not None
        self.check_memory(memory)
        if offset >> 32:
            raise self.error("offset out of range")
        if 1 << alignment > self.instruction.opcode.access:
            raise self.error("alignment must not be larger than natural")

    def check_data_memory(self, data: int, memory: int) -> None:
        self.check_memory(memory)
        self.check_data(data)

    def check_memories(self, destination: int, source: int) -> None:
        self.check_memory(destination)
        self.check_memory(source)

    def check_element_table(self, element: int, table: int) -> None:
        element_type = self.known(self.context.elements, element, "elem segment")
        self.same_element(element_type, self.known(self.context.tables, table, "table").element)

    def check_tables(self, destination: int, source: int) -> None:
        tables = self.context.tables
        source_type = self.known(tables, source, "table").element
        self.same_element(source_type, self.known(tables, destination, "table").element)

    def same_element(self, source: ValueType, destination: ValueType) -> None:
        if not matches(source, destination):
            raise self.error(f"type mismatch, {source} elements cannot go to a table of {destination}")

    _IMMEDIATES: dict[str, Callable] = {
        "local": check_local,
        "function": check_function,
        "declared": check_declared,
        "global": check_global,
        "table": check_table,
        "memory": check_memory,
        "tag": check_tag,
        "element": check_element,
        "data": check_data,
        "type_table": check_type_table,
        "memarg": check_memarg,
        "data_memory": check_data_memory,
        "memory_memory": check_memories,
        "element_table": check_element_table,
        "table_table": check_tables,
    }

    # Effects of the instructions without a fixed signature

    def block(self, kind: FunctionType) -> None:
        self.pop_all(kind.parameters)
        self.open("block", kind)

    def loop(self, kind: FunctionType) -> None:
        self.pop_all(kind.parameters)
        self.open("loop", kind)

    def if_(self, kind: FunctionType) -> None:
        self.pop("i32")
        self.pop_all(kind.parameters)
        self.open("if", kind)

    def else_(self) -> None:
        self.open("else", self.close().type)

    def end(self) -> None:
        frame = self.close()
        if frame.opener == "if" and not all_match(frame.type.parameters, frame.type.results):
            raise self.error(f"type mismatch, an if of type {frame.type} needs an else")
        self.stack.extend(frame.type.results)

    def try_table(self, kind: FunctionType, catches: Iterable[tuple[str, int | None, int]]) -> None:
        self.pop_all(kind.parameters)
        for catch, tag, depth in catches:
            self.check_catch(catch, tag, depth)
        self.open("try_table", kind)

    def check_catch(self, catch: str, tag: int | None, depth: int) -> None:
        """What a catch clause gives must be what its label takes; labels are those outside of the block."""
        given = () if tag is None else self.known(self.context.tags, tag, "tag").parameters
        if catch.endswith("_ref"):
            given = (*given, _CAUGHT)
        wanted = self.label_types(depth)
        if not all_match(given, wanted):
            raise self.error(f"type mismatch, {catch} gives {_list(given)} but label {depth} takes {_list(wanted)}")

    def throw(self, tag: int) -> None:
        self.pop_all(self.context.tags[tag].parameters)
        self.unreachable()

    def throw_ref(self) -> None:
        self.pop("exnref")
        self.unreachable()

    def br(self, depth: int) -> None:
        self.pop_all(self.label_types(depth))
        self.unreachable()

    def br_if(self, depth: int) -> None:
        self.pop("i32")
        types = self.label_types(depth)
        self.apply(types, types)

    def br_table(self, depths: Iterable[int], default: int) -> None:
        self.pop("i32")
        default_types = self.label_types(default)
        for depth in dict.fromkeys(depths):
            types = self.label_types(depth)
            if len(types) != len(default_types):
                raise self.error(f"type mismatch, label {depth} takes another number of values than the default")
            self.stack.extend(self.pop_all(types))
        self.pop_all(default_types)
        self.unreachable()

    def return_(self) -> None:
        self.br(len(self.frames) - 1)

    def call(self, index: int) -> None:
        kind = self.context.functions[index]
        self.apply(kind.parameters, kind.results)

    def call_indirect(self, kind: FunctionType, _: int) -> None:
        self.pop("i32")
        self.apply(kind.parameters, kind.results)

    def call_ref(self, kind: FunctionType) -> None:
        self.pop_function(kind)
        self.apply(kind.parameters, kind.results)

    def pop_function(self, kind: FunctionType) -> None:
        """The operand that says which function of that type to call."""
        self.pop(reference(str(self.context.type_numbers[kind]), nullable=True))

    def return_call(self, index: int) -> None:
        self.leave(self.context.functions[index])

    def return_call_indirect(self, kind: FunctionType, _: int) -> None:
        self.pop("i32")
        self.leave(kind)

    def return_call_ref(self, kind: FunctionType) -> None:
        self.pop_function(kind)
        self.leave(kind)

    def leave(self, kind: FunctionType) -> None:
        """A tail call of a function of that type: what it gives is what this function returns."""
        wanted = self.frames[0].type.results
        if not all_match(kind.results, wanted):
            raise self.error(f"type mismatch, the callee gives {_list(kind.results)} but {_list(wanted)} is returned")
        self.pop_all(kind.parameters)
        self.unreachable()

    def drop(self) -> None:
        self.pop()

    def select(self) -> None:
        self.pop("i32")
        second = self.pop()
        first = self.pop(second)
        kind = second if first == UNKNOWN else first
        if is_reference(kind):
            raise self.error(f"type mismatch, select without a type takes numbers but found {kind}")
        self.stack.append(kind)

    def select_t(self, kind: ValueType) -> None:
        self.apply((kind, kind, "i32"), (kind,))

    def local_get(self, index: int) -> None:
        if index in self.unset:
            raise self.error(f"uninitialized local {index}")
        self.stack.append(self.locals[index])

    def local_set(self, index: int) -> None:
        self.pop(self.locals[index])
        if index in self.unset:
            self.unset.remove(index)
            self.locals_set.append(index)

    def local_tee(self, index: int) -> None:
        self.local_set(index)
        self.stack.append(self.locals[index])

    def global_get(self, index: int) -> None:
        self.stack.append(self.context.globals[index].value)

    def global_set(self, index: int) -> None:
        kind = self.context.globals[index]
        if not kind.mutable:
            raise self.error(f"immutable global {index}")
        self.pop(kind.value)

    def table_get(self, index: int) -> None:
        self.apply(("i32",), (self.context.tables[index].element,))

    def table_set(self, index: int) -> None:
        self.apply(("i32", self.context.tables[index].element), ())

    def table_grow(self, index: int) -> None:
        self.apply((self.context.tables[index].element, "i32"), ("i32",))

    def table_fill(self, index: int) -> None:
        self.apply(("i32", self.context.tables[index].element, "i32"), ())

    def ref_null(self, kind: ValueType) -> None:
        self.stack.append(kind)

    def ref_is_null(self) -> None:
        self.pop_reference()
        self.stack.append("i32")

    def ref_as_non_null(self) -> None:
        self.stack.append(non_null(self.pop_reference()))

    def ref_func(self, index: int) -> None:
        number = self.context.type_numbers[self.context.functions[index]]
        self.stack.append(reference(str(number), nullable=False))

    def br_on_null(self, depth: int) -> None:
        kind, types = self.pop_reference(), self.label_types(depth)
        self.apply(types, (*types, non_null(kind)))

    def br_on_non_null(self, depth: int) -> None:
        kind, types = self.pop_reference(), self.label_types(depth)
        self.stack.append(non_null(kind))
        self.pop_all(types)
        if not types or not is_reference(types[-1]):
            raise self.error(f"type mismatch, label {depth} takes no reference as its last value")
        self.stack.extend(types[:-1])

    _PYTHON_KEYWORDS = {"if", "else", "return"}
    _EFFECTS: dict[str, Callable] = {}
    for _opcode in BY_CODE.values():
        if _opcode.parameters is None or _opcode.name == "ref.func":  # whose result is more precise than its row
            _method = _opcode.name.replace(".", "_") + ("_" if _opcode.name in _PYTHON_KEYWORDS else "")
            _EFFECTS[_opcode.name] = locals()[_method]


def _list(types: Sequence[ValueType]) -> str:
    return f"[{' '.join(types)}]"


def _operand(kind: ValueType) -> str:
    return "an operand" if kind == UNKNOWN else kind
