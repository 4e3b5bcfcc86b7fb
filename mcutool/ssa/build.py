"""WebAssembly's stack code -> SSA.

This file decides how structured control becomes basic blocks and where values meet. Joins get a parameter for each
local that is assigned inside the construct; parameters that are not needed go in `passes.py`. Nesting is followed on
a stack of its own, not Python's. It refuses to optimise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutool.isa import TRAP_NUMBERS
from mcutool.ssa.nodes import Block, Edge, Function, Instruction, Terminator, Value
from mcutool.wasm import module as wasm
from mcutool.wasm.module import FunctionType, Module

SWAPPED = {"gt_s": "lt_s", "gt_u": "lt_u", "ge_s": "le_s", "ge_u": "le_u", "gt": "lt", "ge": "le"}
"""Comparisons that are the other one with its operands exchanged."""
NARROW_LOADS = {
    "i64.load8_s": ("i32.load8_s", "i64.extend_i32_s"),
    "i64.load8_u": ("i32.load8_u", "i64.extend_i32_u"),
    "i64.load16_s": ("i32.load16_s", "i64.extend_i32_s"),
    "i64.load16_u": ("i32.load16_u", "i64.extend_i32_u"),
    "i64.load32_s": ("i32.load", "i64.extend_i32_s"),
    "i64.load32_u": ("i32.load", "i64.extend_i32_u"),
}
NARROW_STORES = {"i64.store8": "i32.store8", "i64.store16": "i32.store16", "i64.store32": "i32.store"}
BITWISE = {
    "f32.load": "i32.load",
    "f64.load": "i64.load",
    "f32.store": "i32.store",
    "f64.store": "i64.store",
}
"""Floats are moved as the bits that they are."""
REINTERPRETED = ("i32.reinterpret_f32", "i64.reinterpret_f64", "f32.reinterpret_i32", "f64.reinterpret_i64")


@dataclass(slots=True)
class _Frame:
    """A construct that is open: where a branch to it goes and what it leaves."""

    kind: str
    type: FunctionType
    target: Block
    height: int
    assigned: list[int]
    entry_locals: list[Value] = field(default_factory=list)
    parameters: list[Value] = field(default_factory=list)
    otherwise: Block | None = None
    follow: Block | None = None
    reachable: bool = True

    @property
    def branch_types(self) -> tuple[str, ...]:
        return self.type.parameters if self.kind == "loop" else self.type.results


class _Builder:
    def __init__(self, module: Module, name: str, type_: FunctionType, locals_: tuple[str, ...]) -> None:
        self.module = module
        self.function = Function(name, type_)
        self._numbers = 0
        self.block: Block | None = self._new_block(0)
        self.block.parameters = [self.function.value(t) for t in type_.parameters]
        self.function.blocks.append(self.block)
        self.stack: list[Value] = []
        self.frames: list[_Frame] = []
        self.offset = 0
        self.locals = [*self.block.parameters, *(self._zero(t) for t in locals_)]

    def _new_block(self, depth: int) -> Block:
        block = Block(self._numbers, depth=depth)
        self._numbers += 1
        return block

    def _zero(self, type_: str) -> Value:
        return self.emit("const", [], (type_,), (0,))[0]

    def emit(self, name: str, arguments: list[Value], results: tuple[str, ...], immediates: tuple = ()) -> list[Value]:
        assert self.block is not None
        values = [self.function.value(t) for t in results]
        self.block.instructions.append(Instruction(name, arguments, values, immediates, self.offset))
        return values

    def end_block(self, name: str, arguments: list[Value], edges: list[Edge], immediates: tuple = ()) -> None:
        assert self.block is not None
        self.block.terminator = Terminator(name, arguments, edges, immediates, self.offset)
        self.block = None

    def begin_block(self, block: Block) -> None:
        self.function.blocks.append(block)
        self.block = block

    def pop(self, count: int) -> list[Value]:
        if count == 0:
            return []
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    # control

    def open_function(self, type_: FunctionType, locals_: tuple[str, ...]) -> None:
        target = self._new_block(0)
        target.parameters = [self.function.value(t) for t in type_.results]
        self.frames.append(_Frame("function", type_, target, 0, []))

    def _join(self, types: tuple[str, ...], assigned: list[int], depth: int) -> Block:
        block = self._new_block(depth)
        block.parameters = [self.function.value(t) for t in types]
        block.parameters += [self.function.value(self.locals[i].type) for i in assigned]
        return block

    def _edge(self, frame: _Frame, values: list[Value]) -> Edge:
        return Edge(frame.target, values + [self.locals[i] for i in frame.assigned])

    def _depth(self) -> int:
        return sum(frame.kind == "loop" for frame in self.frames)

    def open(self, kind: str, type_: FunctionType, assigned: list[int]) -> None:
        if self.block is None:
            self.frames.append(_Frame(kind, type_, Block(-1), len(self.stack), [], reachable=False))
            return
        condition = self.pop(1)[0] if kind == "if" else None
        height = len(self.stack) - len(type_.parameters)
        if kind == "loop":
            self._open_loop(type_, assigned, height)
            return
        target = self._join(type_.results, assigned, self._depth())
        frame = _Frame(kind, type_, target, height, assigned)
        self.frames.append(frame)
        if condition is not None:
            frame.entry_locals = list(self.locals)
            frame.parameters = self.stack[height:]
            then, frame.otherwise = self._new_block(self._depth()), self._new_block(self._depth())
            self.end_block("branch", [condition], [Edge(then), Edge(frame.otherwise)])
            self.begin_block(then)

    def _open_loop(self, type_: FunctionType, assigned: list[int], height: int) -> None:
        header = self._join(type_.parameters, assigned, self._depth() + 1)
        values = self.pop(len(type_.parameters))
        self.end_block("jump", [], [Edge(header, values + [self.locals[i] for i in assigned])])
        self.begin_block(header)
        self.stack += header.parameters[: len(values)]
        for i, value in zip(assigned, header.parameters[len(values) :], strict=True):
            self.locals[i] = value
        self.frames.append(_Frame("loop", type_, header, height, assigned))

    def otherwise(self) -> None:
        frame = self.frames[-1]
        if not frame.reachable:
            return
        if self.block is not None:
            self.end_block("jump", [], [self._edge(frame, self.pop(len(frame.type.results)))])
        self._begin_otherwise(frame)

    def _begin_otherwise(self, frame: _Frame) -> None:
        assert frame.otherwise is not None
        self.begin_block(frame.otherwise)
        frame.otherwise = None
        del self.stack[frame.height :]
        self.stack += frame.parameters
        self.locals = list(frame.entry_locals)

    def close(self) -> None:
        frame = self.frames[-1]
        if not frame.reachable:
            self.frames.pop()
            return
        if frame.otherwise is not None:
            self.otherwise()
        if frame.kind == "loop":
            self.frames.pop()
            return
        if self.block is not None:
            self.end_block("jump", [], [self._edge(frame, self.pop(len(frame.type.results)))])
        self.frames.pop()
        del self.stack[frame.height :]
        self.begin_block(frame.target)
        count = len(frame.type.results)
        self.stack += frame.target.parameters[:count]
        for i, value in zip(frame.assigned, frame.target.parameters[count:], strict=True):
            self.locals[i] = value
        if frame.kind == "function":
            self.end_block("return", self.pop(count), [])

    def _target(self, depth: int) -> _Frame:
        return self.frames[-1 - depth]

    def br(self, depth: int) -> None:
        frame = self._target(depth)
        self.end_block("jump", [], [self._edge(frame, self.pop(len(frame.branch_types)))])

    def br_if(self, depth: int) -> None:
        frame = self._target(depth)
        condition = self.pop(1)[0]
        count = len(frame.branch_types)
        values = self.stack[len(self.stack) - count :]
        follow = self._new_block(self._depth())
        self.end_block("branch", [condition], [self._edge(frame, values), Edge(follow)])
        self.begin_block(follow)

    def br_table(self, depths: tuple[int, ...], default: int) -> None:
        index = self.pop(1)
        count = len(self._target(default).branch_types)
        values = self.stack[len(self.stack) - count :]
        edges = [self._edge(self._target(depth), list(values)) for depth in (*depths, default)]
        self.end_block("table", index, edges)

    def return_(self) -> None:
        self.end_block("return", self.pop(len(self.function.type.results)), [])

    def trap(self, kind: str) -> None:
        self.end_block("trap", [], [], (TRAP_NUMBERS[kind],))

    # instructions

    def plain(self, instruction: wasm.Instruction) -> None:
        """Anything that is not control."""
        name, immediates = instruction.opcode.name, instruction.immediates
        special = getattr(self, "_" + name.replace(".", "_"), None)
        if special is not None:
            special(*immediates)
        elif ".load" in name or ".store" in name:
            self._access(name, immediates[1])
        elif name.endswith(".const"):
            self.stack += self.emit("const", [], (name[:3],), immediates)
        elif name in REINTERPRETED:
            self.stack += self.emit("copy", self.pop(1), instruction.opcode.results)
        else:
            self._operator(instruction)

    def _operator(self, instruction: wasm.Instruction) -> None:
        opcode = instruction.opcode
        arguments = self.pop(len(opcode.parameters or ()))
        type_, _, operation = opcode.name.partition(".")
        name = opcode.name
        if operation in SWAPPED:
            name = f"{type_}.{SWAPPED[operation]}"
            arguments.reverse()
        self.stack += self.emit(name, arguments, opcode.results or (), instruction.immediates)

    def _access(self, name: str, offset: int) -> None:
        if ".load" in name:
            load, extend = NARROW_LOADS.get(name, (BITWISE.get(name, name), None))
            type_ = load[:3] if extend else name[:3]
            self.stack += self.emit(load, self.pop(1), (type_,), (offset,))
            if extend:
                self.stack += self.emit(extend, self.pop(1), ("i64",))
            return
        address, value = self.pop(2)
        store = NARROW_STORES.get(name)
        if store:
            value = self.emit("i32.wrap_i64", [value], ("i32",))[0]
        self.emit(store or BITWISE.get(name, name), [address, value], (), (offset,))

    def _nop(self) -> None:
        pass

    def _drop(self) -> None:
        self.stack.pop()

    def _select(self, *_: str) -> None:
        a, b, condition = self.pop(3)
        self.stack += self.emit("select", [a, b, condition], (a.type,))

    _select_t = _select

    def _local_get(self, index: int) -> None:
        self.stack.append(self.locals[index])

    def _local_set(self, index: int) -> None:
        self.locals[index] = self.stack.pop()

    def _local_tee(self, index: int) -> None:
        self.locals[index] = self.stack[-1]

    def _global_get(self, index: int) -> None:
        self.stack += self.emit("global.get", [], (self.module.global_types[index].value,), (index,))

    def _global_set(self, index: int) -> None:
        self.emit("global.set", self.pop(1), (), (index,))

    def _call(self, index: int) -> None:
        type_ = self.module.function_types[index]
        name = "call_import" if index < len(self.module.imported("function")) else "call"
        self.stack += self.emit(name, self.pop(len(type_.parameters)), type_.results, (index,))

    def _call_indirect(self, type_: FunctionType, table: int) -> None:
        arguments = self.pop(len(type_.parameters) + 1)
        index = self.module.types.index(type_)
        self.stack += self.emit("call_indirect", arguments, type_.results, (index, table))

    def _ref_null(self, type_: str) -> None:
        self.stack += self.emit("const", [], (type_,), (0,))

    def _ref_is_null(self) -> None:
        self.stack += self.emit("i32.eqz", self.pop(1), ("i32",))

    def _ref_func(self, index: int) -> None:
        self.stack += self.emit("ref.func", [], ("funcref",), (index,))

    def _table_get(self, table: int) -> None:
        self.stack += self.emit("table.get", self.pop(1), (self.module.table_types[table].element,), (table,))

    def _table_set(self, table: int) -> None:
        self.emit("table.set", self.pop(2), (), (table,))

    def _table_grow(self, table: int) -> None:
        self.stack += self.emit("table.grow", self.pop(2), ("i32",), (table,))

    def _table_fill(self, table: int) -> None:
        self.emit("table.fill", self.pop(3), (), (table,))


def build(module: Module) -> list[Function]:
    """The defined functions in order, then `instantiate`, each in SSA."""
    imported = len(module.imported("function"))
    functions = [
        _build_function(module, module.function_name(imported + i), function)
        for i, function in enumerate(module.functions)
    ]
    return [*functions, _build_instantiate(module)]


def _build_function(module: Module, name: str, function: wasm.Function) -> Function:
    builder = _Builder(module, name, function.type, function.locals)
    builder.open_function(function.type, function.locals)
    assigned = _assigned_locals(function.body)
    for position, instruction in enumerate(function.body):
        builder.offset = instruction.offset
        _step(builder, instruction, assigned.get(position, []))
    return builder.function


def _step(builder: _Builder, instruction: wasm.Instruction, assigned: list[int]) -> None:
    name, immediates = instruction.opcode.name, instruction.immediates
    if name in ("block", "loop", "if"):
        builder.open(name, immediates[0], assigned)
    elif name == "else":
        builder.otherwise()
    elif name == "end":
        builder.close()
    elif builder.block is None:
        return
    elif name == "br":
        builder.br(immediates[0])
    elif name == "br_if":
        builder.br_if(immediates[0])
    elif name == "br_table":
        builder.br_table(*immediates)
    elif name == "return":
        builder.return_()
    elif name == "unreachable":
        builder.trap("unreachable")
    else:
        builder.plain(instruction)


def _assigned_locals(body: list[wasm.Instruction]) -> dict[int, list[int]]:
    """For each construct, by its position in the body: the locals assigned between it and its end."""
    found: dict[int, list[int]] = {}
    open_: list[tuple[int, set[int]]] = []
    for position, instruction in enumerate(body):
        name = instruction.opcode.name
        if name in ("block", "loop", "if"):
            open_.append((position, set()))
        elif name == "end" and open_:
            start, inside = open_.pop()
            found[start] = sorted(inside)
            if open_:
                open_[-1][1].update(inside)
        elif name in ("local.set", "local.tee") and open_:
            open_[-1][1].add(instruction.immediates[0])
    return found


def _build_instantiate(module: Module) -> Function:
    """Globals, active segments and the start function, in the order of specification section 4.5.4."""
    builder = _Builder(module, "instantiate", FunctionType(), ())
    builder.open_function(FunctionType(), ())
    first = len(module.imported("global"))
    for index, global_ in enumerate(module.globals):
        _evaluate(builder, global_.expression)
        builder.emit("global.set", builder.pop(1), (), (first + index,))
    for index, element in enumerate(module.elements):
        if element.mode == "active" and element.offset_expression is not None:
            _evaluate(builder, element.offset_expression)
            _initialise(builder, "table.init", (index, element.table), len(element.expressions))
        if element.mode != "passive":
            builder.emit("elem.drop", [], (), (index,))
    for index, data in enumerate(module.datas):
        if data.mode == "active" and data.offset_expression is not None:
            _evaluate(builder, data.offset_expression)
            _initialise(builder, "memory.init", (index, data.memory), len(data.bytes))
            builder.emit("data.drop", [], (), (index,))
    if module.start is not None:
        builder._call(module.start)
    builder.close()
    return builder.function


def _evaluate(builder: _Builder, expression: list[wasm.Instruction]) -> None:
    for instruction in expression[:-1]:
        builder.offset = instruction.offset
        builder.plain(instruction)


def _initialise(builder: _Builder, name: str, immediates: tuple, count: int) -> None:
    arguments = [*builder.pop(1), *(builder.emit("const", [], ("i32",), (n,))[0] for n in (0, count))]
    builder.emit(name, arguments, (), immediates)
