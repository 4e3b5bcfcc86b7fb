"""WebAssembly's stack code -> SSA with block parameters; one more function that instantiates the module.

This file decides where blocks begin and which locals become their parameters: a loop's header takes the locals that the
loop assigns, the end of a block those that the block assigns. Superfluous parameters fall to a pass. It expects a
validated module. It refuses to know what an operation does beyond its signature, and it never recurses: nesting lives
in a list of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutool.ir.nodes import Block, Edge, Function, Instruction, Value, slots
from mcutool.wasm import module as wasm
from mcutool.wasm.opcodes import OPCODES
from mcutool.wasm.types import NUMBER_TYPES

INSTANTIATE = "instantiate"
"""Name of the function that instantiates."""
_BY_NAME = {opcode.name: opcode for opcode in OPCODES}
_NOTHING = wasm.FunctionType()
_OPENING = ("block", "loop", "if", "try_table")


@dataclass
class _Frame:
    """An open block, loop, if or else. `label` is where a branch goes, made by the first branch that needs it."""

    kind: str
    type: wasm.FunctionType
    assigned: list[int]
    height: int = 0
    label: Block | None = None
    locals: list[Value] = field(default_factory=list)
    otherwise: Block | None = None
    arguments: list[Value] = field(default_factory=list)
    catches: list[tuple[int | None, bool, _Frame]] = field(default_factory=list)


def build(module: wasm.Module) -> list[Function]:
    """The defined functions in order, then the one that instantiates."""
    context = _Context(module)
    first = len(module.imported("function"))
    functions = [
        _Builder(context, function, module.function_name(first + index)).run()
        for index, function in enumerate(module.functions)
    ]
    return [*functions, build_instantiation(module, context)]


def build_instantiation(module: wasm.Module, context: _Context | None = None) -> Function:
    """The function that sets globals, copies active segments and calls the start function."""
    return _Builder(context or _Context(module), _instantiation(module), INSTANTIATE).run()


class _Context:
    """The module's index spaces, looked up once."""

    def __init__(self, module: wasm.Module) -> None:
        self.function_types = module.function_types
        self.table_types = module.table_types
        self.global_types = module.global_types
        self.tag_types = module.tag_types
        self.imported_functions = len(module.imported("function"))
        self.type_numbers: dict[wasm.FunctionType, int] = {}
        for number, type_ in enumerate(module.types):
            self.type_numbers.setdefault(type_, number)


def _instantiation(module: wasm.Module) -> wasm.Function:
    """Instantiation as a WebAssembly function, in the order of the specification (section "Instantiation")."""
    body: list[wasm.Instruction] = []
    first = len(module.imported("global"))
    for number, global_ in enumerate(module.globals):
        body += _without_end(global_.expression) + [_instruction("global.set", first + number)]
    first = len(module.imported("table"))
    for number, (table, value) in enumerate(zip(module.tables, module.table_values, strict=True)):
        if value is not None:
            body += [_instruction("i32.const", 0), *_without_end(value)]
            body += [_instruction("i32.const", table.limits.minimum), _instruction("table.fill", first + number)]
    for number, element in enumerate(module.elements):
        if element.mode == "active" and element.offset_expression:
            body += _segment(element.offset_expression, len(element.expressions))
            body.append(_instruction("table.init", number, element.table))
        if element.mode != "passive":
            body.append(_instruction("elem.drop", number))
    for number, data in enumerate(module.datas):
        if data.mode == "active" and data.offset_expression:
            body += _segment(data.offset_expression, len(data.bytes))
            body += [_instruction("memory.init", number, data.memory), _instruction("data.drop", number)]
    if module.start is not None:
        body.append(_instruction("call", module.start))
    return wasm.Function(0, _NOTHING, (), [*body, _instruction("end")], 0)


def _segment(offset: wasm.Expression, count: int) -> list[wasm.Instruction]:
    """The operands that copy a whole segment to an offset."""
    return [*_without_end(offset), _instruction("i32.const", 0), _instruction("i32.const", count)]


def _without_end(expression: wasm.Expression) -> list[wasm.Instruction]:
    return [instruction for instruction in expression if instruction.opcode.name != "end"]


def _instruction(name: str, *immediates: int) -> wasm.Instruction:
    return wasm.Instruction(_BY_NAME[name], immediates, 0)


def _assigned_locals(body: wasm.Expression) -> dict[int, list[int]]:
    """The locals that each block, loop or if assigns, by the index of its first instruction."""
    found: dict[int, set[int]] = {}
    opened: list[int] = []
    for index, instruction in enumerate(body):
        name = instruction.opcode.name
        if name in _OPENING:
            opened.append(index)
            found[index] = set()
        elif name in ("local.set", "local.tee") and opened:
            found[opened[-1]].add(instruction.immediates[0])
        elif name == "end" and opened:
            closed = found[opened.pop()]
            if opened:
                found[opened[-1]] |= closed
    return {index: sorted(locals_) for index, locals_ in found.items()}


class _Builder:
    """Translates one function; `block` is None while the code can't be reached."""

    def __init__(self, context: _Context, source: wasm.Function, name: str) -> None:
        self.context = context
        self.source = source
        self.function = Function(name, source.type)
        self.block: Block | None = None
        self.stack: list[Value] = []
        self.locals: list[Value] = []
        self.frames: list[_Frame] = []
        self.exits: list[Block] = []
        self.offset = source.offset

    def run(self) -> Function:
        entry = self.function.new_block(self.source.type.parameters)
        self._start(entry)
        self.locals = list(entry.parameters)
        zeros = {type_: self._zero(type_) for type_ in dict.fromkeys(self.source.locals)}
        self.locals += [zeros[type_] for type_ in self.source.locals]
        self.frames = [_Frame("function", self.source.type, [])]
        self._body(self.source.body)
        self.function.blocks += self.exits
        return self.function

    def _body(self, body: wasm.Expression) -> None:
        assigned = _assigned_locals(body)
        skipped = 0
        for index, instruction in enumerate(body):
            name = instruction.opcode.name
            self.offset = instruction.offset
            if self.block is None:
                if name in _OPENING:
                    skipped += 1
                elif name == "end" and skipped:
                    skipped -= 1
                elif name in ("end", "else") and not skipped:
                    self._control(name, instruction, [])
            elif name in _CONTROL:
                self._control(name, instruction, assigned.get(index, []))
            else:
                self._plain(name, instruction)

    # plain instructions

    def _emit(self, op: str, operands: list[Value], types: tuple[str, ...] = (), *immediates) -> list[Value]:
        assert self.block is not None
        instruction = self.function.new_instruction(op, operands, types, immediates, self.offset)
        self.block.instructions.append(instruction)
        return instruction.results

    def _zero(self, type_: str) -> Value:
        if type_ not in NUMBER_TYPES:
            return self._emit("ref.null", [], (type_,))[0]
        return self._emit(f"{type_}.const", [], (type_,), 0)[0]

    def _pop(self, count: int) -> list[Value]:
        if not count:
            return []
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _plain(self, name: str, instruction: wasm.Instruction) -> None:
        opcode, immediates = instruction.opcode, instruction.immediates
        special = _PLAIN.get(name)
        if special is not None:
            special(self, name, immediates)
            return
        assert opcode.parameters is not None and opcode.results is not None, name
        if opcode.access:
            immediates = immediates[1:]  # the alignment is a hint
        self.stack += self._emit(name, self._pop(len(opcode.parameters)), opcode.results, *immediates)

    def _local_get(self, name: str, immediates: tuple) -> None:
        self.stack.append(self.locals[immediates[0]])

    def _local_set(self, name: str, immediates: tuple) -> None:
        self.locals[immediates[0]] = self.stack.pop()

    def _local_tee(self, name: str, immediates: tuple) -> None:
        self.locals[immediates[0]] = self.stack[-1]

    def _drop(self, name: str, immediates: tuple) -> None:
        self.stack.pop()

    def _nop(self, name: str, immediates: tuple) -> None:
        pass

    def _global_get(self, name: str, immediates: tuple) -> None:
        type_ = self.context.global_types[immediates[0]].value
        self.stack += self._emit(name, [], (type_,), *immediates)

    def _global_set(self, name: str, immediates: tuple) -> None:
        self._emit(name, self._pop(1), (), *immediates)

    def _select(self, name: str, immediates: tuple) -> None:
        operands = self._pop(3)
        self.stack += self._emit("select", operands, (operands[0].type,))

    def _table(self, name: str, immediates: tuple) -> None:
        """table.get, set, grow and fill, whose signatures depend on the table."""
        element = self.context.table_types[immediates[0]].element
        count, results = {
            "table.get": (1, (element,)),
            "table.set": (2, ()),
            "table.grow": (2, ("i32",)),
            "table.fill": (3, ()),
        }[name]
        self.stack += self._emit(name, self._pop(count), results, *immediates)

    def _ref_null(self, name: str, immediates: tuple) -> None:
        self.stack += self._emit(name, [], immediates)

    def _ref_is_null(self, name: str, immediates: tuple) -> None:
        self.stack += self._emit(name, self._pop(1), ("i32",))

    def _call(self, name: str, immediates: tuple) -> None:
        index = immediates[0]
        type_ = self.context.function_types[index]
        op = "call_import" if index < self.context.imported_functions else "call"
        self.stack += self._emit(op, self._pop(len(type_.parameters)), type_.results, index)
        self._may_throw()

    def _call_indirect(self, name: str, immediates: tuple) -> None:
        type_, table = immediates
        operands = self._pop(len(type_.parameters) + 1)
        self.stack += self._emit(name, operands, type_.results, self.context.type_numbers[type_], table)
        self._may_throw()

    def _call_ref(self, name: str, immediates: tuple) -> None:
        type_ = immediates[0]
        self.stack += self._emit(name, self._pop(len(type_.parameters) + 1), type_.results)
        self._may_throw()

    def _as_non_null(self, name: str, immediates: tuple) -> None:
        null, after = self.function.new_block(), self.function.new_block()
        null.terminator = Instruction("unreachable", [], ("null_reference",), self.offset)
        self.exits.append(null)
        self._branch_if_null(self.stack[-1], Edge(null), Edge(after))
        self._start(after)

    # exceptions

    def _may_throw(self, goes_on: bool = True) -> None:
        """End the block behind a call or throw whose exceptions a try_table around it catches."""
        clauses = [clause for frame in reversed(self.frames) for clause in frame.catches]
        if not clauses:
            return
        edges = [Edge(self._pad(*clause)) for clause in clauses]
        after = self.function.new_block()
        immediates = [(tag, with_reference, self._arriving(tag, with_reference)) for tag, with_reference, _ in clauses]
        self._terminate("unwind", [], [Edge(after)] * goes_on + edges, *immediates)
        if goes_on:
            self._start(after)

    def _arriving(self, tag: int | None, with_reference: bool) -> int:
        """Slots that an exception takes where it is caught, wanted or not."""
        types = () if tag is None else self.context.tag_types[tag].parameters
        return sum(map(slots, types)) + with_reference

    def _pad(self, tag: int | None, with_reference: bool, target: _Frame) -> Block:
        """The block in which an exception arrives; it takes its values to the label."""
        types = () if tag is None else self.context.tag_types[tag].parameters
        pad = self.function.new_block()
        caught = self.function.new_instruction("caught", [], (*types, *("exnref",) * with_reference), (), self.offset)
        pad.instructions.append(caught)
        pad.terminator = Instruction("br", [], (), self.offset, edges=[self._edge(target, caught.results)])
        self.exits.append(pad)
        return pad

    def _throw(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        tag = instruction.immediates[0]
        self._emit("throw", self._pop(len(self.context.tag_types[tag].parameters)), (), tag)
        self._leave_by_throwing()

    def _throw_ref(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        self._emit("throw_ref", self._pop(1))
        self._leave_by_throwing()

    def _leave_by_throwing(self) -> None:
        self._may_throw(goes_on=False)
        if self.block is not None:
            self._terminate("unreachable", [], [])

    def _try_table(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        """Its clauses name labels as seen from outside of it."""
        type_, clauses = instruction.immediates
        catches = [(tag, kind.endswith("_ref"), self.frames[-1 - depth]) for kind, tag, depth in clauses]
        self._open("block", type_, assigned).catches = catches

    # control

    def _return_call(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        """A tail call; a function of elsewhere is called and returned from."""
        index = instruction.immediates[0]
        type_ = self.context.function_types[index]
        if index < self.context.imported_functions:
            self._call("call", (index,))
            self._return(instruction, assigned)
        else:
            self._terminate("tail_call", self._pop(len(type_.parameters)), [], index)

    def _return_call_indirect(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        type_, table = instruction.immediates
        operands = self._pop(len(type_.parameters) + 1)
        self._terminate("tail_call_indirect", operands, [], self.context.type_numbers[type_], table)

    def _control(self, name: str, instruction: wasm.Instruction, assigned: list[int]) -> None:
        _CONTROL[name](self, instruction, assigned)

    def _start(self, block: Block) -> None:
        self.function.blocks.append(block)
        self.block = block

    def _terminate(self, op: str, operands: list[Value], edges: list[Edge], *immediates: object) -> None:
        assert self.block is not None
        self.block.terminator = Instruction(op, operands, immediates, self.offset, edges=edges)
        self.block = None

    def _open(self, kind: str, type_: wasm.FunctionType, assigned: list[int]) -> _Frame:
        height = len(self.stack) - len(type_.parameters)
        frame = _Frame(kind, type_, assigned, height, locals=list(self.locals))
        self.frames.append(frame)
        return frame

    def _block(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        self._open("block", instruction.immediates[0], assigned)

    def _loop(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        type_ = instruction.immediates[0]
        frame = self._open("loop", type_, assigned)
        header = self._label(frame)
        self._terminate("br", [], [self._edge(frame)])
        self._enter(frame, header)

    def _if(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        condition = self.stack.pop()
        frame = self._open("if", instruction.immediates[0], assigned)
        frame.arguments = self.stack[frame.height :]
        then, frame.otherwise = self.function.new_block(), self.function.new_block()
        self._terminate("br_if", [condition], [Edge(then), Edge(frame.otherwise)])
        self._start(then)

    def _else(self, instruction: wasm.Instruction | None, assigned: list[int]) -> None:
        frame = self.frames[-1]
        assert frame.otherwise is not None
        if self.block is not None:
            self._terminate("br", [], [self._edge(frame)])
        self._start(frame.otherwise)
        frame.otherwise = None
        self.stack[frame.height :] = frame.arguments
        self.locals = list(frame.locals)

    def _end(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        if self.frames[-1].otherwise is not None:
            self._else(None, [])
        frame = self.frames[-1]
        if frame.kind == "function" and self.block is not None:
            self._terminate("return", self._pop(len(frame.type.results)), [])
        elif frame.kind in ("block", "if") and frame.label is not None:
            if self.block is not None:
                self._terminate("br", [], [self._edge(frame)])
            self._enter(frame, frame.label)
        self.frames.pop()

    def _enter(self, frame: _Frame, block: Block) -> None:
        """Go on in a label's block: its parameters are the operands, then the assigned locals."""
        self._start(block)
        operands = len(block.parameters) - len(frame.assigned)
        self.stack[frame.height :] = block.parameters[:operands]
        self.locals = list(frame.locals)
        for index, value in zip(frame.assigned, block.parameters[operands:], strict=True):
            self.locals[index] = value

    def _label(self, frame: _Frame) -> Block:
        if frame.label is None:
            types = frame.type.parameters if frame.kind == "loop" else frame.type.results
            frame.label = self.function.new_block([*types, *(frame.locals[i].type for i in frame.assigned)])
        return frame.label

    def _edge(self, frame: _Frame, stack: list[Value] | None = None) -> Edge:
        """A branch to a frame's label with what lies on the stack now; to a return of its own for the outermost."""
        stack = self.stack if stack is None else stack
        if frame.kind == "function":
            block = self.function.new_block()
            count = len(frame.type.results)
            values = stack[len(stack) - count :]
            block.terminator = Instruction("return", values, (), self.offset)
            self.exits.append(block)
            return Edge(block)
        label = self._label(frame)
        operands = len(label.parameters) - len(frame.assigned)
        values = stack[len(stack) - operands :]
        return Edge(label, values + [self.locals[i] for i in frame.assigned])

    def _br(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        self._terminate("br", [], [self._edge(self.frames[-1 - instruction.immediates[0]])])

    def _br_if(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        condition = self.stack.pop()
        after = self.function.new_block()
        edge = self._edge(self.frames[-1 - instruction.immediates[0]])
        self._terminate("br_if", [condition], [edge, Edge(after)])
        self._start(after)

    def _br_table(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        index = self.stack.pop()
        depths = [*instruction.immediates[0], instruction.immediates[1]]
        edges = {depth: self._edge(self.frames[-1 - depth]) for depth in set(depths)}
        copies = [Edge(edges[depth].target, list(edges[depth].arguments)) for depth in depths]
        self._terminate("br_table", [index], copies)

    def _branch_if_null(self, value: Value, null: Edge, other: Edge) -> None:
        condition = self._emit("ref.is_null", [value], ("i32",))[0]
        self._terminate("br_if", [condition], [null, other])

    def _br_on_null(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        value = self.stack.pop()
        after = self.function.new_block()
        edge = self._edge(self.frames[-1 - instruction.immediates[0]])
        self._branch_if_null(value, edge, Edge(after))
        self._start(after)
        self.stack.append(value)

    def _br_on_non_null(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        after = self.function.new_block()
        edge = self._edge(self.frames[-1 - instruction.immediates[0]])
        self._branch_if_null(self.stack.pop(), Edge(after), edge)
        self._start(after)

    def _return_call_ref(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        type_ = instruction.immediates[0]
        self._terminate("tail_call_ref", self._pop(len(type_.parameters) + 1), [])

    def _return(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        self._terminate("return", self._pop(len(self.source.type.results)), [])

    def _unreachable(self, instruction: wasm.Instruction, assigned: list[int]) -> None:
        self._terminate("unreachable", [], [])


_CONTROL = {
    "block": _Builder._block,
    "loop": _Builder._loop,
    "if": _Builder._if,
    "else": _Builder._else,
    "end": _Builder._end,
    "br": _Builder._br,
    "br_if": _Builder._br_if,
    "br_table": _Builder._br_table,
    "return": _Builder._return,
    "unreachable": _Builder._unreachable,
    "return_call": _Builder._return_call,
    "return_call_indirect": _Builder._return_call_indirect,
    "return_call_ref": _Builder._return_call_ref,
    "br_on_null": _Builder._br_on_null,
    "br_on_non_null": _Builder._br_on_non_null,
    "try_table": _Builder._try_table,
    "throw": _Builder._throw,
    "throw_ref": _Builder._throw_ref,
}
_PLAIN = {
    "local.get": _Builder._local_get,
    "local.set": _Builder._local_set,
    "local.tee": _Builder._local_tee,
    "drop": _Builder._drop,
    "nop": _Builder._nop,
    "global.get": _Builder._global_get,
    "global.set": _Builder._global_set,
    "select": _Builder._select,
    "select_t": _Builder._select,
    "table.get": _Builder._table,
    "table.set": _Builder._table,
    "table.grow": _Builder._table,
    "table.fill": _Builder._table,
    "ref.null": _Builder._ref_null,
    "ref.is_null": _Builder._ref_is_null,
    "call": _Builder._call,
    "call_indirect": _Builder._call_indirect,
    "call_ref": _Builder._call_ref,
    "ref.as_non_null": _Builder._as_non_null,
}
