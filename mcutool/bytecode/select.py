"""Instruction selection: operations of the IR -> rows of isa.py, still in SSA form.

This file decides which row does an operation, which constants stand inside an instruction and where the others are
made. An operation whose name is a row needs no line here. It refuses to know slots and distances.

Afterwards an instruction's `op` is the name of a row, in its shortest form where layout may take a wider one; its
operands stand in the order of the row's slots a, b, c; its immediates are pairs of letter and number. Of types only the
width still counts: an operand of 64 bits where a row reads 32 stands for its low half. Three names are no rows:
`ref.func` (layout writes its number), `unreachable` (a trap) and i64.const of more than sixteen bits (two rows).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mcutool.bytecode import layout
from mcutool.encoding import fields
from mcutool.ir.allocate import Target, split_edges
from mcutool.ir.dominance import Dominators, loop_depths
from mcutool.ir.liveness import reads
from mcutool.ir.nodes import TAIL_CALLS, Block, Function, Instruction, Value, resolve
from mcutool.ir.passes import remove_dead_code, remove_unreachable_blocks
from mcutool.isa import BY_NAME, CROSS_LINK_SLOTS, LINK_SLOTS, MAXIMUM_SLOT, TRAP_NUMBERS
from mcutool.wasm.opcodes import OPCODES

TARGET = Target(
    reach=MAXIMUM_SLOT + 1,
    links={
        "call": LINK_SLOTS,
        "call_host": CROSS_LINK_SLOTS,
        "call_indirect": CROSS_LINK_SLOTS,
        "call_ref": CROSS_LINK_SLOTS,
        "throw": 0,
        "throw_ref": 0,
    },
    in_place={
        name: tuple("abc".index(row.same[1]) for row in rows if row.same is not None)
        for name, rows in layout.SHORTER.items()
    },
)
HOISTED_CONSTANTS = 24
"""How many constants of a function may wait in slots outside its loops."""

RENAMED = {
    "f32.load": "i32.load",
    "f64.load": "i64.load",
    "f32.store": "i32.store",
    "f64.store": "i64.store",
    "i64.store8": "i32.store8",
    "i64.store16": "i32.store16",
    "i64.store32": "i32.store",
    "i32.wrap_i64": "copy",
    "call_import": "call_host",
}
"""Operations that a row of another name does as well."""
EXTENDED_LOADS = {
    "i64.load8_s": ("i32.load8_s", "i64.extend_i32_s"),
    "i64.load8_u": ("i32.load8_u", "i64.extend_i32_u"),
    "i64.load16_s": ("i32.load16_s", "i64.extend_i32_s"),
    "i64.load16_u": ("i32.load16_u", "i64.extend_i32_u"),
    "i64.load32_s": ("i32.load", "i64.extend_i32_s"),
    "i64.load32_u": ("i32.load", "i64.extend_i32_u"),
}
REINTERPRETED = frozenset(("i32.reinterpret_f32", "f32.reinterpret_i32", "i64.reinterpret_f64", "f64.reinterpret_i64"))
BY_WIDTH = {
    "select": ("i32.select", "i64.select"),
    "global.get": ("global.get", "global.get64"),
    "global.set": ("global.set", "global.set64"),
    "copy": ("copy", "copy64"),
}
"""Operations on any type: the rows for one slot and for two."""
LETTERS = {
    "global.get": "g",
    "global.set": "g",
    "memory.init": "x",
    "data.drop": "x",
    "elem.drop": "x",
    "table.init": "xt",
    "table.copy": "ty",
    "table.get": "t",
    "table.set": "t",
    "table.size": "t",
    "table.grow": "t",
    "table.fill": "t",
    "call": "f",
    "call_import": "h",
    "call_indirect": "st",
    "tail_call": "f",
    "tail_call_indirect": "st",
    "call_ref": "",
    "tail_call_ref": "",
    "throw": "v",
    "throw_ref": "",
}
"""What an operation's immediates name, in the letters of its row; what has no letter is the memory."""
COMMUTATIVE = frozenset(("add", "mul", "and", "or", "xor", "eq", "ne"))
EXCHANGED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
"""A comparison when its operands are exchanged."""
ZERO_EXTENSIONS = {0xFF: "i32.extend8_u", 0xFFFF: "i32.extend16_u"}
"""Masks that have a row."""
PRODUCTS = frozenset(("i32.mul_imm", "i32.shl_imm"))
"""What a sum can take in, and an address often."""
SHARED_ADDENDS = 3
"""A constant of more than eight bits that a function adds so often waits in a slot."""
AGAINST_ZERO = {"i32.eq_imm": "br_unless", "i32.ne_imm": "br_if"}
"""Branches that reach further than the one with a constant."""
_ACCESS = {opcode.name: opcode.access for opcode in OPCODES if opcode.access}


def select(function: Function) -> None:
    """Replace every operation by rows, in place; edges with arguments that leave a branch get a block of their own."""
    remove_unreachable_blocks(function)
    split_edges(function)
    _Selector(function).run()
    remove_dead_code(function)


def constant_of(value: Value) -> int | None:
    """The number that a value always is, signed; floats by their bits. None when it varies."""
    definition = value.definition
    if not isinstance(definition, Instruction):
        return None
    if definition.op == "ref.null":
        return 0
    if not definition.op.endswith(".const"):
        return None
    bits = 32 * value.slots
    number = definition.immediates[0]
    return number - (1 << bits) if number >> (bits - 1) else number


def exchanged(name: str) -> str:
    """The comparison `name` ("lt_s") with its operands exchanged."""
    relation, _, sign = name.partition("_")
    return "_".join(filter(None, (EXCHANGED.get(relation, relation), sign)))


def without_equality(name: str, constant: int, bits: int) -> tuple[str, int]:
    """x <= c as x < c + 1, x >= c as x > c - 1, unless that leaves the range of the type."""
    step = {"le": 1, "ge": -1}.get(name[:2], 0)
    limit = (1 << bits - 1) - 1 if name.endswith("_s") else -1
    first = -limit - 1 if name.endswith("_s") else 0
    if not step or constant == (limit if step > 0 else first):
        return name, constant
    return {"le": "lt", "ge": "gt"}[name[:2]] + name[2:], constant + step


def with_equality(name: str, constant: int, bits: int) -> tuple[str, int]:
    """x > c as x >= c + 1, x <= c as x < c + 1: a branch has rows for these alone."""
    limit = (1 << bits - 1) - 1 if name.endswith("_s") else -1
    if name[:2] not in ("gt", "le") or constant == limit:
        return name, constant
    return {"gt": "ge", "le": "lt"}[name[:2]] + name[2:], constant + 1


def _limits(name: str, letter: str) -> range:
    """What an immediate may be in the longest form of a row; nothing when there is no such row."""
    row = BY_NAME.get(f"{name}.wide") or BY_NAME.get(name)
    return fields(row)[letter].limits if row else range(0)


class _Selector:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.dominators = Dominators(function)
        self.depths = loop_depths(function.blocks)
        self.replaced: dict[Value, Value] = {}
        self.low_half: dict[Value, Value] = {}
        self.uses: dict[Value, int] = {}
        self.counts: Counter[int] = Counter()
        self.made: dict[tuple[Block, str, int], Value] = {}
        self.hoisted: dict[Block, list[Instruction]] = {}
        self.room_for_constants = HOISTED_CONSTANTS
        self.home: dict[Value, Block] = {}
        self.block = function.entry
        self.done: list[Instruction] = []
        self.offset = 0

    def run(self) -> None:
        for block in self.function.blocks:
            for instruction in block.everything:
                for value in reads(instruction):
                    self.uses[value] = self.uses.get(value, 0) + 1
                if instruction.op == "i32.add":
                    self.counts.update(n for n in map(constant_of, instruction.operands) if n is not None)
        for block in self.dominators.order:
            self.block, self.done = block, []
            for instruction in block.instructions:
                self.offset = instruction.offset
                self._instruction(instruction)
            self.offset = block.terminator.offset
            self._terminator(block.terminator)
            block.instructions = self.done
        for block, constants in self.hoisted.items():
            end = len(block.instructions)
            if block.terminator.op == "unwind":  # before what may throw
                end = max(index for index, instruction in enumerate(block.instructions) if instruction.is_call)
            block.instructions[end:end] = constants

    # operands

    def _operand(self, value: Value) -> Value:
        """The value in a slot, as a row reads it."""
        value = resolve(self.replaced, value)
        number = constant_of(value)
        if number is not None:
            return self._shared_constant(value.type, number)
        return self.low_half.get(value, value)

    def _passed(self, value: Value) -> Value:
        """The value as an argument of a call or an edge: a constant is made on the spot, where it is wanted."""
        value = resolve(self.replaced, value)
        number = constant_of(value)
        if number is None:
            return value
        instruction = self._constant(value.type, number)
        self.done.append(instruction)
        return instruction.result

    def _constant(self, type_: str, number: int) -> Instruction:
        wide = type_ in ("i64", "f64")
        name = "i64.const" if wide else "i32.const"
        return self.function.new_instruction(name, [], (type_,), (("i", number),), self.offset)

    def _shared_constant(self, type_: str, number: int) -> Value:
        """A constant that several instructions read: in this block, or above the loop around it."""
        home = self._outside_loops() if self.room_for_constants else self.block
        key = home, type_, number
        if key not in self.made:
            instruction = self._constant(type_, number)
            self.made[key] = instruction.result
            if home is self.block:
                self.done.append(instruction)
            else:
                self.hoisted.setdefault(home, []).append(instruction)
                self.room_for_constants -= 1
        return self.made[key]

    def _outside_loops(self) -> Block:
        block = self.block
        while self.depths[block]:
            block = self.dominators.parent(block)
        return block

    # instructions

    def _emit(self, name: str, operands: list[Value], results: list[Value], *immediates: tuple[str, int]) -> None:
        instruction = Instruction(name, operands, immediates, self.offset, results)
        for value in results:
            value.definition = instruction
            self.home[value] = self.block
        self.done.append(instruction)

    def _instruction(self, instruction: Instruction) -> None:
        name = instruction.op
        if name.endswith(".const") or name == "ref.null":
            return
        if name in REINTERPRETED:
            self.replaced[instruction.result] = instruction.operands[0]
        elif name in _ACCESS:
            self._in_memory(instruction.immediates[1], self._access, instruction)
        elif name.startswith("memory."):
            self._of_memory(instruction)
        elif instruction.is_call:
            self._call(instruction)
        elif name == "ref.func":
            self._emit(name, [], instruction.results, ("funcref", instruction.immediates[0]))
        elif name in ("i32.eqz", "ref.is_null"):
            self._emit("i32.eq_imm", [self._operand(instruction.operands[0])], instruction.results, ("i", 0))
        elif len(instruction.operands) == 2 and name[:4] in ("i32.", "i64.", "f32.", "f64."):
            self._binary(instruction)
        else:
            self._other(instruction)

    def _other(self, instruction: Instruction) -> None:
        operands = [self._operand(value) for value in instruction.operands]
        if instruction.op == "i32.wrap_i64":
            self.low_half[instruction.result] = operands[0]
        name = RENAMED.get(instruction.op, instruction.op)
        if name in BY_WIDTH and instruction.op != "i32.wrap_i64":
            first = instruction.results or instruction.operands
            name = BY_WIDTH[name][first[0].slots - 1]
        letters = zip(LETTERS.get(instruction.op, ""), instruction.immediates, strict=False)
        self._emit(name, operands, instruction.results, *letters)

    def _call(self, instruction: Instruction) -> None:
        count = len(instruction.operands) - (instruction.op in ("call_indirect", "call_ref"))
        operands = [self._passed(value) for value in instruction.operands[:count]]
        operands += [self._operand(value) for value in instruction.operands[count:]]
        immediates = zip(LETTERS[instruction.op], instruction.immediates, strict=True)
        self._emit(RENAMED.get(instruction.op, instruction.op), operands, instruction.results, *immediates)

    def _in_memory(self, number: int, work: Callable[[Instruction], None], instruction: Instruction) -> None:
        """Do it with another linear memory than the first; accesses and calls expect the first one everywhere else."""
        if number:
            self._emit("memory.use", [], [], ("m", number))
        work(instruction)
        if number:
            self._emit("memory.use", [], [], ("m", 0))

    def _of_memory(self, instruction: Instruction) -> None:
        """memory.size, grow, fill, init and copy; all but a copy between two name one memory at the end."""
        memories = set(instruction.immediates[instruction.op == "memory.init" :])
        if len(memories) == 1:
            self._in_memory(memories.pop(), self._other, instruction)
            return
        operands = [self._operand(value) for value in instruction.operands]
        letters = zip("mq", instruction.immediates, strict=True)
        self._emit("memory.copy_between", operands, [], *letters)

    def _access(self, instruction: Instruction) -> None:
        offset = instruction.immediates[0]
        if offset >> 32:
            self._emit("trap", [], [], ("u", TRAP_NUMBERS["memory_out_of_bounds"]))
            offset = 0
        extended = EXTENDED_LOADS.get(instruction.op)
        name = extended[0] if extended else RENAMED.get(instruction.op, instruction.op)
        value = [self._operand(value) for value in instruction.operands[1:]]
        suffix, address, immediate = self._address(name, instruction.operands[0], offset)
        if extended is None:
            self._emit(name + suffix, address + value, instruction.results, *immediate)
            return
        load = self.function.new_instruction(name + suffix, address, ("i32",), tuple(immediate), self.offset)
        self.done.append(load)
        self._emit(extended[1], [load.result], instruction.results)

    def _address(self, name: str, address: Value, offset: int) -> tuple[str, list[Value], list[tuple[str, int]]]:
        """How to reach an address: the suffix of the row's name, its operands and its immediate. A sum that nobody else
        wants is made by the access itself."""
        number = constant_of(resolve(self.replaced, address))
        if number is not None:
            place = (number & 0xFFFFFFFF) + offset
            if place in _limits(f"{name}.at", "e"):
                return ".at", [], [("e", place)]
        address = self._operand(address)
        if offset not in _limits(f"{name}.wide", "e"):
            far = self.function.new_instruction("address.add", [address], ("i32",), (("e", offset),), self.offset)
            self.done.append(far)
            return "", [far.result], [("e", 0)]
        total = self._only_use(address)
        if offset == 0 and total is not None:
            if total.op == "i32.add_imm" and total.immediates[0][1] in _limits(f"{name}.near", "i"):
                return ".near", list(total.operands), [total.immediates[0]]
            if total.op == "i32.add":
                return ".sum", list(total.operands), []
            is_scaled = total.op == "i32.mul_imm_add" and total.immediates[0][1] == _ACCESS[name]
            if is_scaled and f"{name}.scaled" in BY_NAME:
                return ".scaled", total.operands[::-1], []
        return "", [address], [("e", offset)]

    def _only_use(self, value: Value) -> Instruction | None:
        """The row that makes a value for one other row alone, in this block."""
        definition = value.definition
        if not isinstance(definition, Instruction) or self.uses.get(value) != 1:
            return None
        return definition if self.home.get(value) is self.block else None

    def _binary(self, instruction: Instruction) -> None:
        """Two operands: a constant goes into the instruction where a row has room for it."""
        type_, name = instruction.op.split(".")
        a, b = (resolve(self.replaced, value) for value in instruction.operands)
        if constant_of(a) is not None and (name in COMMUTATIVE or name[:2] in EXCHANGED):
            a, b, name = b, a, exchanged(name)
        if self._with_constant(type_, name, a, b, instruction.results):
            return
        if name[:2] in ("gt", "ge"):
            a, b, name = b, a, exchanged(name)
        if name == "add" and self._multiply_add(type_, a, b, instruction.results):
            return
        self._emit(f"{type_}.{name}", [self._operand(a), self._operand(b)], instruction.results)

    def _multiply_add(self, type_: str, a: Value, b: Value, results: list[Value]) -> bool:
        """A sum takes in the product that it alone wants."""
        for product, addend in ((a, b), (b, a)):
            factor = self._only_use(product)
            if factor is None:
                continue
            if factor.op in ("i32.mul", "f32.mul") and factor.op.startswith(type_):
                self._emit(f"{type_}.mul_add", [*factor.operands, self._operand(addend)], results)
                return True
            if type_ == "i32" and factor.op in PRODUCTS:
                number = factor.immediates[0][1]
                number = number if factor.op == "i32.mul_imm" else 1 << number
                if number in fields(BY_NAME["i32.mul_imm_add"])["i"].limits:
                    operands = [*factor.operands, self._operand(addend)]
                    self._emit("i32.mul_imm_add", operands, results, ("i", number))
                    return True
        return False

    def _with_constant(self, type_: str, name: str, a: Value, b: Value, results: list[Value]) -> bool:
        number = constant_of(b)
        bits = 32 * b.slots
        if number is None:
            number = constant_of(a)
            if name != "sub" or number is None:
                return False
            a, name = b, "sub_from"
        elif name == "sub":
            name, number = "add", -number
        elif name == "rotr":
            name, number = "rotl", -number % bits
        elif name[:2] in EXCHANGED:
            name, number = without_equality(name, number, bits)
        row = BY_NAME.get(f"{type_}.{name}_imm")
        if row is None:
            return False
        if row.name == "i32.and_imm" and number in ZERO_EXTENSIONS:
            self._emit(ZERO_EXTENSIONS[number], [self._operand(a)], results)
            return True
        if row.name == "i32.add_imm" and self._stands_inside(number, a):
            row = BY_NAME["i32.add_imm.wide"]
        letter = "u" if "u" in fields(row) else "i"
        if name.startswith(("sh", "rot")):
            number %= bits
        if number not in fields(row)[letter].limits:
            return False
        if row.name == "i32.add_imm.wide":
            row = BY_NAME["i32.add_imm"]
        self._emit(row.name, [self._operand(a)], results, (letter, number))
        return True

    def _stands_inside(self, addend: int, other: Value) -> bool:
        """Whether an addend of more than eight bits is part of the instruction rather than waiting in a slot."""
        product = self._only_use(self.low_half.get(other, other))
        return self.counts[addend] < SHARED_ADDENDS and (product is None or product.op not in PRODUCTS)

    # terminators

    def _terminator(self, terminator: Instruction) -> None:
        if terminator.op == "br_if":
            self._branch(terminator)
        elif terminator.op == "br_table":
            terminator.operands = [self._operand(terminator.operands[0])]
        elif terminator.op in TAIL_CALLS:
            self._tail_call(terminator)
        else:
            terminator.operands = [self._passed(value) for value in terminator.operands]
        for edge in terminator.edges:
            edge.arguments = [self._passed(value) for value in edge.arguments]

    def _tail_call(self, terminator: Instruction) -> None:
        count = len(terminator.operands) - (terminator.op != "tail_call")
        operands = [self._passed(value) for value in terminator.operands[:count]]
        terminator.operands = operands + [self._operand(value) for value in terminator.operands[count:]]
        terminator.immediates = tuple(zip(LETTERS[terminator.op], terminator.immediates, strict=True))

    def _branch(self, terminator: Instruction) -> None:
        """A comparison that only the branch needs, or that stands beside it, becomes part of it."""
        condition = resolve(self.replaced, terminator.operands[0])
        definition = condition.definition
        if isinstance(definition, Instruction) and self._fuse(terminator, definition):
            return
        terminator.operands = [self._operand(condition)]

    def _test(self, terminator: Instruction, masked: Instruction) -> bool:
        """A branch on some bits of a value, which nobody else wants."""
        if masked.op != "i32.and_imm" or self._only_use(masked.result) is None:
            return False
        if masked.immediates[0][1] not in fields(BY_NAME["br_i32.any_imm"])["u"].limits:
            return False
        terminator.op = "br_i32.none_imm" if terminator.op == "br_unless" else "br_i32.any_imm"
        terminator.operands, terminator.immediates = list(masked.operands), (("u", masked.immediates[0][1]),)
        return True

    def _fuse(self, terminator: Instruction, comparison: Instruction) -> bool:
        if comparison.op in AGAINST_ZERO and comparison.immediates == (("i", 0),):
            terminator.op, terminator.operands = AGAINST_ZERO[comparison.op], list(comparison.operands)
            tested = self._only_use(terminator.operands[0])
            if tested is not None:
                self._test(terminator, tested)
            return True
        if self._test(terminator, comparison):
            return True
        if self.uses.get(comparison.result, 0) > 1 and comparison not in self.done:
            return False
        type_, _, name = comparison.op.partition(".")
        operands = list(comparison.operands)
        immediates = comparison.immediates
        if name.endswith("_imm"):
            relation, number = with_equality(name.removesuffix("_imm"), immediates[0][1], 32)
            name, immediates = f"{relation}_imm", (("i", number),)
        elif name[:2] in ("gt", "le"):
            name, operands = exchanged(name), operands[::-1]
        row = BY_NAME.get(f"br_{type_}.{name}")
        if row is None or any(number not in fields(row)[letter].limits for letter, number in immediates):
            return False
        terminator.op, terminator.operands, terminator.immediates = row.name, operands, immediates
        return True
