"""A selected and allocated function -> halfwords, relocations, source positions.

This file decides the order of blocks, where copies stand, and which length instructions and jumps take. It refuses to
know what instructions do and where the function will lie in an image.

Code is a list of pieces: fixed halfwords, jumps and jump tables. A jump starts in its shortest form and grows until all
jumps reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mcutool.encoding import decode, encode, fields, walk
from mcutool.errors import Unsupported
from mcutool.ir.allocate import SCRATCH_SLOTS, Allocation, offsets_of, slots_of
from mcutool.ir.copies import Copy, sequentialise
from mcutool.ir.nodes import TAIL_CALLS, Block, Function, Instruction, Value
from mcutool.isa import BY_NAME, CROSS_LINK_SLOTS, RELOCATIONS, SLOT_LETTERS, TRAP_NUMBERS, Row
from mcutool.wasm.module import FunctionType


@dataclass(frozen=True)
class Shorter:
    """A row that does what another does when two of its operands name the same slot, or one of them is zero; `taken`
    are the other row's letters for this one's."""

    row: str
    same: tuple[str, str] | None
    taken: dict[str, str]
    zero: str = ""

    def operands(self, given: dict[str, int]) -> dict[str, int] | None:
        """This row's operands, None when it does not do it."""
        if self.same is not None and given[self.same[0]] != given[self.same[1]] or given.get(self.zero):
            return None
        return {letter: given[source] for letter, source in self.taken.items()}


def _last_operand(row: Row) -> str:
    """The immediate, or the last slot read."""
    return next(letter for letter in "iuba" if letter in fields(row))


def _shorter() -> dict[str, list[Shorter]]:
    """By the name of the longer row."""
    found: dict[str, list[Shorter]] = {}
    for name in IN_PLACE:
        first, second = (_last_operand(BY_NAME[row]) for row in (f"{name}.short", name))
        taken = {"d": "d", first: second}
        found[name] = [Shorter(f"{name}.short", ("d", "a"), taken)]
        if name in COMMUTATIVE:
            found[name].append(Shorter(f"{name}.short", ("d", "b"), {"d": "d", "a": "a"}))
    for name in ("i32.load", "i32.load8_u", "i32.store", "i32.store8"):
        letters = BY_NAME[f"{name}.short"].slot_types
        found[name] = [Shorter(f"{name}.short", None, {letter: letter for letter in letters}, "e")]
    found["i32.select"] = [
        Shorter("i32.move_if", ("d", "b"), {"d": "d", "a": "a", "b": "c"}),
        Shorter("i32.move_unless", ("d", "a"), {"d": "d", "a": "b", "b": "c"}),
    ]
    return found


IN_PLACE = (
    *(f"i32.{name}" for name in ("add", "sub", "mul", "and", "or", "xor")),
    *(f"i32.{name}_imm" for name in ("add", "and", "shl", "shr_u")),
    *(f"f32.{name}" for name in ("add", "sub", "mul")),
)
"""Rows with a short form that writes the slot it reads first."""
COMMUTATIVE = frozenset(f"{type_}.{name}" for type_ in ("i32", "f32") for name in ("add", "mul", "and", "or", "xor"))
SHORTER = _shorter()
LARGEST_FRAME = 0xFFFF - CROSS_LINK_SLOTS
"""Slots of a frame above which a callee's frame can still be named."""
TABLE_REACH = 0x8000
"""Halfwords that an entry of a br_table reaches."""
STEPPED = {"br_if": "i32.add_br_nz", "br_i32.ne": "i32.add_br_ne", "br_i32.ne_imm": "i32.add_br_ne_imm"}
"""Branches that count a loop, and the rows that do the counting too."""
OPPOSITE = {
    "eq": "ne", "ne": "eq", "lt_s": "ge_s", "ge_s": "lt_s", "lt_u": "ge_u", "ge_u": "lt_u",
    "any": "none", "none": "any",
}  # fmt: skip
JOINED = {"const.short": "br_const", "copy.short": "br_copy"}
"""What often stands before a jump, and the rows that do both."""


@dataclass(frozen=True)
class Relocation:
    """The halfword at `position` names entry `index` of the module's own index space `kind`.

    Kinds are those of isa.RELOCATIONS, `data`, `element`, and `funcref`: the value of a reference to a function, in two
    halfwords, low one first.
    """

    position: int
    kind: str
    index: int


@dataclass(frozen=True)
class Handler:
    """Where an exception goes on that comes out of a call or throw.

    `site` (where that would go on itself) and `target` are halfwords, `tag` is the module's own number or None for any,
    `base` the slot at which the area of the call begins; there lie its values.
    """

    site: int
    target: int
    tag: int | None
    base: int
    with_reference: bool


@dataclass
class CompiledFunction:
    """`positions` are (halfword, byte offset in the .wasm), ascending: where code of another source begins."""

    name: str
    type: FunctionType
    frame_slots: int
    halfwords: list[int]
    relocations: list[Relocation]
    positions: list[tuple[int, int]]
    handlers: list[Handler] = field(default_factory=list)

    @cached_property
    def rows(self) -> frozenset[Row]:
        """What the code is made of."""
        return frozenset(decoded.row for _, decoded in walk(self.halfwords))


def compile_function(function: Function, allocation: Allocation) -> CompiledFunction:
    """The last stage of translation. Raises Unsupported when a function exceeds what instructions can name."""
    if allocation.frame_slots > LARGEST_FRAME:
        raise Unsupported(f"{function.name}: a frame of {allocation.frame_slots} slots is not supported")
    emitter = _Emitter(function, allocation)
    pieces = emitter.run()
    positions = _settle(pieces, emitter.starts)
    compiled = CompiledFunction(function.name, function.type, allocation.frame_slots, [], [], [])
    targets = {block: positions[index] for block, index in emitter.starts.items()}
    offset = -1
    for piece, position in zip(pieces, positions, strict=True):
        if piece.offset != offset:
            offset = piece.offset
            compiled.positions.append((position, offset))
        if isinstance(piece, _Site):
            compiled.handlers += piece.handlers(position, targets, emitter.onward)
        compiled.halfwords.extend(piece.encode(position, targets))
        compiled.relocations.extend(Relocation(position + r.position, r.kind, r.index) for r in piece.relocations)
    return compiled


# pieces


@dataclass(slots=True)
class _Fixed:
    """Halfwords that stay as they are; relocations count from the first."""

    halfwords: list[int]
    offset: int
    relocations: list[Relocation] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.halfwords)

    def grow(self, position: int, targets: dict[Block, int]) -> bool:
        return False

    def encode(self, position: int, targets: dict[Block, int]) -> list[int]:
        return self.halfwords


@dataclass(slots=True)
class _Site:
    """Behind a call or throw whose exceptions are caught here: no code, but handlers, the innermost first."""

    base: int
    clauses: list[tuple[Block, int | None, bool]]
    offset: int
    relocations: tuple = ()
    length: int = 0

    def grow(self, position: int, targets: dict[Block, int]) -> bool:
        return False

    def encode(self, position: int, targets: dict[Block, int]) -> list[int]:
        return []

    def handlers(self, position: int, targets: dict[Block, int], onward: dict[Block, Block]) -> Iterator[Handler]:
        for block, tag, with_reference in self.clauses:
            yield Handler(position, targets[onward.get(block, block)], tag, self.base, with_reference)


def _jump_forms(name: str) -> list[tuple[str, ...]]:
    """The rows that make a jump, shortest first: one that jumps, or the opposite one over a wider jump."""
    if name == "br":
        return [("br",), ("br.wide",), ("br.far",)]
    if name in JOINED.values():
        return [(name,), (next(before for before, joined in JOINED.items() if joined == name), "br.far")]
    opposite = opposite_branch(name)
    if name in ("br_if", "br_unless"):
        return [(f"{name}.short",), (name,), (opposite, "br.far")]
    return [(name,), (opposite, "br.wide"), (opposite, "br.far")]


def opposite_branch(name: str) -> str:
    """The branch that jumps exactly when this one does not."""
    if name in ("br_if", "br_unless"):
        return "br_unless" if name == "br_if" else "br_if"
    type_, condition = name.split(".")
    bare = condition.removesuffix("_imm")
    return f"{type_}.{OPPOSITE[bare]}{condition[len(bare) :]}"


@dataclass(slots=True)
class _Jump:
    name: str
    operands: dict[str, int]
    target: Block
    offset: int
    form: int = 0
    relocations: tuple = ()

    @property
    def rows(self) -> list[Row]:
        return [BY_NAME[name] for name in _jump_forms(self.name)[self.form]]

    @property
    def length(self) -> int:
        return sum(row.halfwords for row in self.rows)

    def grow(self, position: int, targets: dict[Block, int]) -> bool:
        """Take the next form when the target is out of reach of this one."""
        last = self.rows[-1]
        distance = targets[self.target] - position - self.length + last.halfwords
        if distance in fields(last)["j"].limits and _fits(self.rows[0], self.operands):
            return False
        self.form += 1
        return True

    def encode(self, position: int, targets: dict[Block, int]) -> list[int]:
        rows = self.rows
        distance = targets[self.target] - position
        if len(rows) == 1:
            return encode(rows[0], **self.operands, j=distance)
        over = {"j": self.length} if "j" in fields(rows[0]) else {}
        first = encode(rows[0], **self.operands, **over)
        return first + encode(rows[1], j=distance - rows[0].halfwords)


@dataclass(slots=True)
class _Loop:
    """A step and the branch that closes the loop: one row, or two when that does not reach."""

    row: Row
    operands: dict[str, int]
    plain: _Jump
    joined: bool = True
    relocations: tuple = ()

    @property
    def offset(self) -> int:
        return self.plain.offset

    @property
    def length(self) -> int:
        return self.row.halfwords if self.joined else len(_addition(self.operands)) + self.plain.length

    def grow(self, position: int, targets: dict[Block, int]) -> bool:
        if not self.joined:
            return self.plain.grow(position + len(_addition(self.operands)), targets)
        self.joined = targets[self.plain.target] - position in fields(self.row)["j"].limits
        return not self.joined

    def encode(self, position: int, targets: dict[Block, int]) -> list[int]:
        if self.joined:
            return encode(self.row, **self.operands, j=targets[self.plain.target] - position)
        addition = _addition(self.operands)
        return addition + self.plain.encode(position + len(addition), targets)


def _addition(operands: dict[str, int]) -> list[int]:
    """The step of a loop by itself."""
    row, packed = shortest("i32.add_imm", {"d": operands["d"], "a": operands["d"], "i": operands["i"]})
    return encode(row, **packed)


@dataclass(slots=True)
class _Table:
    """A br_table; `far` when its entries lead to far jumps that stand behind it."""

    index: int
    targets: list[Block]
    offset: int
    far: bool = False
    relocations: tuple = ()

    @property
    def _head(self) -> int:
        return BY_NAME["br_table"].halfwords + len(self.targets)

    @property
    def largest(self) -> int:
        """The length of the form with far jumps."""
        return self._head + BY_NAME["br.far"].halfwords * len(set(self.targets))

    @property
    def length(self) -> int:
        return self.largest if self.far else self._head

    def grow(self, position: int, targets: dict[Block, int]) -> bool:
        if self.far or all(abs(targets[block] - position) < TABLE_REACH for block in self.targets):
            return False
        self.far = True
        return True

    def encode(self, position: int, targets: dict[Block, int]) -> list[int]:
        far_jump = BY_NAME["br.far"]
        places = {block: targets[block] - position for block in self.targets}
        jumps: list[int] = []
        if self.far:
            for number, block in enumerate(places):
                place = self._head + number * far_jump.halfwords
                jumps += encode(far_jump, j=places[block] - place)
                places[block] = place
        table = [places[block] for block in self.targets]
        return encode(BY_NAME["br_table"], table, a=self.index, n=len(table) - 1) + jumps


_Piece = _Fixed | _Jump | _Loop | _Table | _Site


def _settle(pieces: list[_Piece], starts: dict[Block, int]) -> list[int]:
    """Let jumps grow until all reach; the positions of the pieces, and of the end."""
    grown = True
    while grown:
        positions = [0]
        for piece in pieces:
            positions.append(positions[-1] + piece.length)
        targets = {block: positions[index] for block, index in starts.items()}
        grown = False
        for piece, position in zip(pieces, positions, strict=False):
            grown |= piece.grow(position, targets)
    return positions[:-1]


class _Emitter:
    """Writes the pieces of a function; `starts` tells the first piece of each block."""

    def __init__(self, function: Function, allocation: Allocation) -> None:
        self.function = function
        self.allocation = allocation
        self.slot = allocation.slot
        self.starts: dict[Block, int] = {}
        self.pieces: list[_Piece] = []
        self.onward: dict[Block, Block] = {}
        self.sites: dict[Instruction, list[tuple[Block, int | None, bool]]] = {}
        self.caught_at: dict[Block, int] = {}
        self.steps: dict[Block, Instruction | None] = {}
        self.offset = 0

    def run(self) -> list[_Piece]:
        for block in self.function.blocks:
            if block.terminator.op == "unwind":
                self._note_site(block)
        bodies = {block: self._body(block) for block in self.function.blocks}
        onward = self.onward = _forwarded({block for block, body in bodies.items() if not body}, self.function.entry)
        order = _rotated([block for block in self.function.blocks if block not in onward], onward)
        self.pieces = []
        for block, following in zip(order, [*order[1:], None], strict=True):
            self.starts[block] = len(self.pieces)
            self.pieces += bodies[block]
            self._leave(block, [onward.get(e.target, e.target) for e in block.edges], following)
        return self.pieces

    def _note_site(self, block: Block) -> None:
        """The last call of the block is the one whose exceptions its terminator's edges catch."""
        call = block.last_call
        clauses = block.terminator.immediates
        blocks = [edge.target for edge in block.edges[len(block.edges) - len(clauses) :]]
        self.sites[call] = [(target, tag, wish) for target, (tag, wish, _) in zip(blocks, clauses, strict=True)]
        self.caught_at.update(dict.fromkeys(blocks, self.allocation.base[call]))

    def _body(self, block: Block) -> list[_Piece]:
        self.pieces = []
        if block is self.function.entry:
            self.offset = block.terminator.offset
            self._copies(self._homes([Copy(self.slot[v], home, v.slots) for v, home in offsets_of(block.parameters)]))
        step = self.steps[block] = self._step(block)
        for instruction in block.instructions:
            self.offset = instruction.offset
            if instruction is step:
                continue
            if instruction.op == "caught":
                self._take_results(instruction, self.caught_at[block])
            else:
                self._instruction(instruction)
        self.offset = block.terminator.offset
        if len(block.edges) == 1:
            pairs = zip(block.edges[0].target.parameters, block.edges[0].arguments, strict=True)
            self._copies([Copy(self.slot[p], self.slot[a], p.slots) for p, a in pairs])
        elif block.terminator.op == "return":
            self._return_values(block.terminator.operands)
        elif block.terminator.op in TAIL_CALLS:
            self._tail_call(block.terminator)
        return self.pieces

    def _homes(self, copies: list[Copy]) -> list[Copy]:
        """Copies of parameters from where the caller left them. What lies in the scratch slots, which are to carry the
        others, moves beyond the frame first, and from there on."""
        scratch, beyond = self.allocation.scratch, self.allocation.frame_slots
        if scratch is None:
            return copies
        moved = {scratch + number: beyond + number for number in range(SCRATCH_SLOTS)}
        parts = [Copy(c.to + part, c.source + part) for c in copies for part in range(c.slots)]
        parked = [part.source for part in parts if part.source in moved]
        if parked:
            self.allocation.frame_slots += SCRATCH_SLOTS
        for source in parked:
            self._simple("slot.store", a=source, z=moved[source])
        return [Copy(part.to, moved.get(part.source, part.source)) for part in parts]

    def _step(self, block: Block) -> Instruction | None:
        """The addition that counts the loop which the block's branch closes, when it can wait for the branch."""
        branch = block.terminator
        if branch.op not in STEPPED or block.edges[0].target is block.edges[1].target:
            return None
        if len(set(branch.operands)) < len(branch.operands):  # a row would compare the sum with what it was
            return None
        for counter in branch.operands[:2]:
            slot = self.slot[counter]
            for instruction in reversed(block.instructions):
                if instruction is counter.definition and self._is_step(instruction, slot):
                    return instruction
                if instruction.is_call or instruction.op == "caught" or self._touches(instruction, slot):
                    break
        return None

    def _is_step(self, instruction: Instruction, slot: int) -> bool:
        if instruction.op != "i32.add_imm" or self.slot[instruction.operands[0]] != slot:
            return False
        return slot < self.allocation.target.reach and self.allocation.scratch is None

    def _touches(self, instruction: Instruction, slot: int) -> bool:
        values = [*instruction.results, *instruction.operands]
        return any(self.slot[v] <= slot < self.slot[v] + v.slots for v in values if v in self.slot)

    # instructions

    def _instruction(self, instruction: Instruction) -> None:
        immediates = dict(instruction.immediates)
        if instruction.is_call:
            self._call(instruction, immediates)
        elif instruction.op in ("i32.const", "i64.const"):
            self._constant(self.slot[instruction.result], instruction.result.slots, immediates["i"])
        elif instruction.op == "ref.func":
            self._row("i32.const.wide", {"d": self.slot[instruction.result], "i": 0}, immediates["funcref"])
        elif instruction.op in ("copy", "copy64"):
            result = instruction.result
            self._copies([Copy(self.slot[result], self.slot[instruction.operands[0]], result.slots)])
        else:
            slots = [self.slot[value] for value in [*instruction.results, *instruction.operands]]
            letters = BY_NAME[instruction.op].slot_types
            self._row(instruction.op, {**dict(zip(letters, slots, strict=True)), **immediates})

    def _constant(self, slot: int, slots: int, number: int) -> None:
        if slots == 2 and number not in fields(BY_NAME["i64.const"])["i"].limits:
            self._constant(slot, 1, _signed32(number))
            self._constant(slot + 1, 1, _signed32(number >> 32))
        elif slots == 2:
            self._row("i64.const", {"d": slot, "i": number})
        elif slot in range(16) and number in range(16):
            self._row("const.short", {"d": slot, "u": number})
        else:
            self._row("i32.const", {"d": slot, "i": number})

    def _call(self, call: Instruction, immediates: dict[str, int]) -> None:
        base = self.allocation.base[call]
        indirect = call.op in ("call_indirect", "call_ref")
        arguments = call.operands[: len(call.operands) - indirect]
        copies = [Copy(base + place, self.slot[v], v.slots) for v, place in offsets_of(arguments)]
        operands = {"k": base, **immediates}
        if indirect:
            end = base + slots_of(arguments)
            index = self.slot[call.operands[-1]]
            if base <= index < end:
                copies.append(Copy(end, index))
                index = end
            operands["a"] = index
        self._copies(copies)
        self._row(call.op, operands)
        if call in self.sites:
            self.pieces.append(_Site(base, self.sites[call], self.offset))
        self._take_results(call, base)

    def _take_results(self, instruction: Instruction, base: int) -> None:
        self._copies([Copy(self.slot[v], base + place, v.slots) for v, place in offsets_of(instruction.results)])

    def _return_values(self, values: list[Value]) -> None:
        scratch = self.allocation.scratch
        if scratch is not None and slots_of(values) > scratch:
            what = f"results, or arguments of a tail call, that take more than {scratch} slots"
            raise Unsupported(f"{self.function.name}: {what} are not supported", next_action="pass them in memory")
        self._copies([Copy(place, self.slot[v], v.slots) for v, place in offsets_of(values)])

    def _tail_call(self, call: Instruction) -> None:
        """The arguments go where the parameters were; an index that they would cover goes behind them."""
        operands = dict(call.immediates)
        copies = list(call.operands)
        if call.op != "tail_call":
            index = self.slot[copies.pop()]
            operands |= {"a": index, "k": self.allocation.frame_slots + CROSS_LINK_SLOTS}
            if index < slots_of(copies):
                operands["a"] = slots_of(copies)
                copies.append(call.operands[-1])
        self._return_values(copies)
        self._row(call.op, operands)

    # rows

    def _row(self, name: str, operands: dict[str, int], reference: int | None = None) -> None:
        """One instruction in its shortest form; slots out of reach go through scratch slots."""
        near, written = self._bring_near(BY_NAME[name], operands)
        row, near = shortest(name, near)
        relocations = list(_relocations(row, near))
        if reference is not None:
            relocations.append(Relocation(fields(row)["i"].parts[0][0], "funcref", reference))
        self.pieces.append(_Fixed(encode(row, **near), self.offset, relocations))
        for far, scratch in written:
            self._simple("slot.store", a=scratch, z=far)

    def _simple(self, name: str, **operands: int) -> None:
        self.pieces.append(_Fixed(encode(BY_NAME[name], **operands), self.offset))

    def _bring_near(self, row: Row, operands: dict[str, int]) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """Load far operands into scratch slots; the operands that the row then has, and what to store afterwards."""
        near = dict(operands)
        stores: list[tuple[int, int]] = []
        for number, (letter, type_) in enumerate(row.slot_types.items()):
            slots = 2 if type_ in ("i64", "f64") else 1
            far = operands[letter]
            if far + slots <= self.allocation.target.reach:
                continue
            assert self.allocation.scratch is not None
            near[letter] = self.allocation.scratch + 2 * number
            for part in range(slots):
                if letter == "d":
                    stores.append((far + part, near[letter] + part))
                else:
                    self._simple("slot.load", d=near[letter] + part, z=far + part)
        return near, stores

    def _copies(self, copies: list[Copy]) -> None:
        for copy in sequentialise(copies, self.allocation.spare):
            self._copy(copy)

    def _copy(self, copy: Copy) -> None:
        reach = self.allocation.target.reach
        if max(copy.to, copy.source) + copy.slots <= reach:
            self._row("copy" if copy.slots == 1 else "copy64", {"d": copy.to, "a": copy.source})
            return
        parts = [(copy.to + part, copy.source + part) for part in range(copy.slots)]
        for to, source in parts if copy.to <= copy.source else parts[::-1]:
            if source < reach:
                self._simple("slot.store", a=source, z=to)
            elif to < reach:
                self._simple("slot.load", d=to, z=source)
            else:
                assert self.allocation.scratch is not None
                self._simple("slot.load", d=self.allocation.scratch + 1, z=source)
                self._simple("slot.store", a=self.allocation.scratch + 1, z=to)

    # leaving a block

    def _leave(self, block: Block, targets: list[Block], following: Block | None) -> None:
        terminator = block.terminator
        self.offset = terminator.offset
        if terminator.op == "return":
            self._simple("return")
        elif terminator.op in TAIL_CALLS:
            pass  # the call itself has left
        elif terminator.op == "unwind":
            self._branch(block, targets[: len(targets) - len(terminator.immediates)], following)
        elif terminator.op == "unreachable":
            self._simple("trap", u=TRAP_NUMBERS[(*terminator.immediates, "unreachable")[0]])
        elif terminator.op == "br_table":
            index, _ = self._bring_near(BY_NAME["br_table"], {"a": self.slot[terminator.operands[0]]})
            table = _Table(index["a"], targets, self.offset)
            if table.largest > TABLE_REACH:
                raise Unsupported(f"{self.function.name}: a br_table of {len(targets)} targets is not supported")
            self.pieces.append(table)
        else:
            self._branch(block, targets, following)

    def _branch(self, block: Block, targets: list[Block], following: Block | None) -> None:
        """A jump, or a branch to the first target when it holds and to the other when not."""
        terminator = block.terminator
        name = terminator.op
        step = self.steps.get(block)
        if not targets:
            return
        if name not in ("br", "unwind") and targets[0] is not targets[1]:
            if targets[0] is following:
                name, targets = opposite_branch(name), targets[::-1]
            letters = BY_NAME[name].slot_types
            slots = [self.slot[value] for value in terminator.operands]
            operands, _ = self._bring_near(BY_NAME[name], dict(zip(letters, slots, strict=True)))
            operands.update(terminator.immediates)
            jump = _Jump(name, operands, targets[0], self.offset)
            self.pieces += [jump] if step is None else self._stepped(jump, step)
        elif step is not None:  # nothing is left of the branch, since both ways were empty and lead to the same block
            self.pieces.append(self._lone_step(step))
        if targets[-1] is not following:
            self.pieces.append(self._jump(block, targets[-1]))

    def _jump(self, block: Block, target: Block) -> _Jump:
        """A jump, joined with the short copy or constant before it."""
        last = self.pieces[-1] if len(self.pieces) > self.starts[block] else None
        if isinstance(last, _Fixed) and len(last.halfwords) == 1:
            before = decode(last.halfwords)
            if before is not None and before.row.name in JOINED:
                self.pieces.pop()
                return _Jump(JOINED[before.row.name], before.operands, target, last.offset)
        return _Jump("br", {}, target, self.offset)

    def _stepped(self, jump: _Jump, step: Instruction) -> list[_Piece]:
        """The branch with the step in it where a row has room for both."""
        slot = self.slot[step.result]
        operands = {"d": slot, **dict(step.immediates)}
        row = BY_NAME.get(STEPPED.get(jump.name, ""))
        if jump.name == "br_i32.ne":
            operands["b"] = jump.operands["b"] if jump.operands["a"] == slot else jump.operands["a"]
        elif jump.name == "br_i32.ne_imm":
            operands["u"] = jump.operands["i"]
        if row is not None and all(n in fields(row)[letter].limits for letter, n in operands.items()):
            return [_Loop(row, operands, jump)]
        return [self._lone_step(step), jump]

    def _lone_step(self, step: Instruction) -> _Fixed:
        return _Fixed(_addition({"d": self.slot[step.result], **dict(step.immediates)}), step.offset)


def _rotated(order: list[Block], onward: dict[Block, Block]) -> list[Block]:
    """The order with the block that closes a loop, which holds nothing but copies and a jump back, above the loop's
    head instead: the branch before it leads there, and it needs no jump."""
    place = {block: number for number, block in enumerate(order)}
    closing: dict[Block, Block] = {}
    for before, block, behind in zip(order, order[1:], order[2:], strict=False):
        if block.terminator.op != "br" or block.instructions:
            continue
        head = onward.get(block.edges[0].target, block.edges[0].target)
        branches = {onward.get(edge.target, edge.target) for edge in before.edges}
        if 0 < place[head] < place[block] and branches == {block, behind} and before.terminator.op.startswith("br_"):
            closing.setdefault(head, block)
    moved = set(closing.values())
    rotated: list[Block] = []
    for block in order:
        rotated += [closing[block]] if block in closing else []
        rotated += [] if block in moved else [block]
    return rotated


def _forwarded(empty: set[Block], entry: Block) -> dict[Block, Block]:
    """Blocks that only jump on, and where one gets to from there."""
    found: dict[Block, Block] = {}
    for block in empty:
        target = block
        seen = set()
        while target in empty and target.terminator.op == "br" and target is not entry and target not in seen:
            seen.add(target)
            target = target.edges[0].target
        if target not in seen and target is not block:
            found[block] = target
    return found


def shortest(name: str, operands: dict[str, int]) -> tuple[Row, dict[str, int]]:
    """The shortest form of a row that has room for the operands. Raises Unsupported when none has: numbers of
    functions, globals and the like have sixteen bits."""
    for shorter in SHORTER.get(name, ()):
        given = shorter.operands(operands)
        if given is not None and _fits(BY_NAME[shorter.row], given):
            return BY_NAME[shorter.row], given
    for suffix in (".short", "", ".wide"):
        row = BY_NAME.get(name + suffix)
        if row is not None and fields(row).keys() == operands.keys() and _fits(row, operands):
            return row, operands
    numbers = ", ".join(f"{letter} = {number}" for letter, number in operands.items())
    raise Unsupported(f"the module has more of something than instructions can count: {name} with {numbers}")


def _fits(row: Row, operands: dict[str, int]) -> bool:
    room = fields(row)
    return all(number in room[letter].limits for letter, number in operands.items())


def _relocations(row: Row, operands: dict[str, int]) -> Iterator[Relocation]:
    for letter, number in operands.items():
        kind = RELOCATIONS.get(letter)
        if letter == "x":
            kind = "data" if row.name.startswith(("memory.", "data.")) else "element"
        if kind is not None and letter not in SLOT_LETTERS:
            yield Relocation(fields(row)[letter].parts[0][0], kind, number)


def _signed32(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number
