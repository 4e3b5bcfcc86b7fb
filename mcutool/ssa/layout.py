"""A function with slots -> halfwords: block order, moves, jumps of the right length, relocations.

This file decides the order of code and how far each jump reaches. It refuses to know what the numbers in relocations
will become, and the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutool.encoding import encode, fields
from mcutool.isa import BY_NAME, MAXIMUM_SLOT, RELOCATIONS, TRAP_NUMBERS
from mcutool.ssa.allocate import Allocation, call_arguments
from mcutool.ssa.nodes import Block, Edge, Function, Instruction, Value
from mcutool.ssa.select import inverted
from mcutool.wasm.module import FunctionType

SEGMENTS = {"memory.init": "data", "data.drop": "data", "table.init": "element", "elem.drop": "element"}


@dataclass(frozen=True)
class Relocation:
    """The halfword at `position` (two for "funcref") holds the bundle's number of the module's own `index`."""

    position: int
    kind: str
    index: int


@dataclass
class CompiledFunction:
    """`positions`: (halfword, byte offset in the .wasm file) of instructions, ascending."""

    name: str
    type: FunctionType
    frame_slots: int
    halfwords: list[int] = field(default_factory=list)
    relocations: list[Relocation] = field(default_factory=list)
    positions: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Piece:
    """A run of code that ends in at most one jump; `label` is the block or edge that it stands for."""

    label: object
    code: list[int] = field(default_factory=list)
    relocations: list[Relocation] = field(default_factory=list)
    positions: list[tuple[int, int]] = field(default_factory=list)
    jump: _Jump | None = None
    start: int = 0


@dataclass
class _Jump:
    """Where a piece may go instead of on: a conditional row with its operands, "br", or "br_table" with many targets.

    `form` grows while distances are settled: 0 near, 1 wide, 2 far.
    """

    row: str
    operands: dict[str, int]
    targets: list[object]
    form: int = 0


class _Layout:
    def __init__(self, function: Function, allocation: Allocation) -> None:
        self.function = function
        self.slots = allocation.slots
        self.allocation = allocation
        self.pieces: list[_Piece] = []
        self.piece = _Piece(None)

    # emission

    def emit(self, name: str, offset: int | None = None, **operands: int) -> None:
        """One instruction; slots out of reach go through the spare ones."""
        row = BY_NAME[name]
        if offset is not None:
            self.piece.positions.append((len(self.piece.code), offset))
        far = {
            letter: slot
            for letter, slot in operands.items()
            if letter in row.slot_types and slot + (row.slot_types[letter] in ("i64", "f64")) > MAXIMUM_SLOT
        }
        near = self._near(row.slot_types, far)
        for letter in far:
            if letter != "d" or "+=" in row.meaning or "-=" in row.meaning:
                self._transfer("slot.load", near[letter], far[letter], row.slot_types[letter])
        self._relocate(name, operands)
        self.piece.code += encode(row, **(operands | near))
        if "d" in far:
            self._transfer("slot.store", near["d"], far["d"], row.slot_types["d"])

    def _near(self, types: dict[str, str], far: dict[str, int]) -> dict[str, int]:
        places = {}
        place = self.allocation.reach or 0
        for letter in far:
            places[letter] = place
            place += 2 if types[letter] in ("i64", "f64") else 1
        return places

    def _transfer(self, name: str, near: int, far: int, type_: str) -> None:
        letter = "d" if name == "slot.load" else "a"
        for i in range(2 if type_ in ("i64", "f64") else 1):
            self.piece.code += encode(BY_NAME[name], **{letter: near + i, "z": far + i})

    def _relocate(self, name: str, operands: dict[str, int]) -> None:
        position = len(self.piece.code)
        for letter, field_ in fields(BY_NAME[name]).items():
            kind = SEGMENTS[name] if letter == "x" else RELOCATIONS.get(letter)
            if kind:
                halfword = position + field_.parts[0][0]
                self.piece.relocations.append(Relocation(halfword, kind, operands[letter]))

    # moves

    def move(self, target: int, source: int, slots: int) -> None:
        if target == source:
            return
        if max(target, source) < 16 and slots == 1:
            self.emit("copy.short", d=target, a=source)
        else:
            self.emit("copy64" if slots == 2 else "copy", d=target, a=source)

    def parallel_move(self, moves: list[tuple[int, int, int]]) -> None:
        """All moves (target, source, slots) at once; a circle is cut through the scratch slot."""
        waiting = [move for move in moves if move[0] != move[1]]
        while waiting:
            ready = next((move for move in waiting if not _in_the_way(move, waiting)), None)
            if ready is not None:
                waiting.remove(ready)
                self.move(*ready)
            elif any(slots == 2 for _, _, slots in waiting):
                waiting = [(t + i, s + i, 1) for t, s, slots in waiting for i in range(slots)]
            else:
                target, source, _ = waiting.pop()
                self.move(self.allocation.scratch, source, 1)
                waiting.append((target, self.allocation.scratch, 1))

    # instructions

    def constant(self, target: int, type_: str, bits: int, offset: int) -> None:
        if type_ in ("i64", "f64"):
            signed = bits - (1 << 64) if bits >> 63 else bits
            if -0x8000 <= signed < 0x8000:
                self.emit("i64.const", offset, d=target, i=signed)
                return
            self.constant(target, "i32", bits & 0xFFFFFFFF, offset)
            self.constant(target + 1, "i32", bits >> 32, offset)
            return
        signed = bits - (1 << 32) if bits >> 31 else bits
        if target < 16 and 0 <= bits < 16:
            self.emit("const.short", offset, d=target, u=bits)
        elif -0x8000 <= signed < 0x8000:
            self.emit("i32.const", offset, d=target, i=signed)
        else:
            self.emit("i32.const.wide", offset, d=target, i=signed)

    def instruction(self, i: Instruction) -> None:
        places = [self.slots[a] for a in i.arguments]
        result = self.slots[i.results[0]] if i.results else 0
        if i.name == "const":
            self.constant(result, i.results[0].type, i.immediates[0], i.offset)
        elif i.name == "copy":
            self.move(result, places[0], i.results[0].slots)
        elif i.name in ("call", "call_import", "call_indirect"):
            self.call(i)
        elif ".load" in i.name or ".store" in i.name:
            self.access(i, places, result)
        elif i.name == "ref.func":
            self.piece.relocations.append(Relocation(len(self.piece.code) + 1, "funcref", i.immediates[0]))
            self.emit("i32.const.wide", i.offset, d=result, i=0)
        elif not self.shortened(i, places, result):
            self.general(i, places, result)

    def shortened(self, i: Instruction, places: list[int], result: int) -> bool:
        """Two-address forms of half the size."""
        if i.name in ("i32.add", "i32.sub") and max(result, *places) < 16:
            if result == places[0]:
                self.emit(f"{i.name}.short", i.offset, d=result, a=places[1])
                return True
            if result == places[1] and i.name == "i32.add":
                self.emit("i32.add.short", i.offset, d=result, a=places[0])
                return True
        if i.name == "i32.add_imm" and result == places[0] < 16 and -8 <= i.immediates[0] < 8:
            self.emit("i32.add_imm.short", i.offset, d=result, i=i.immediates[0])
            return True
        return False

    def general(self, i: Instruction, places: list[int], result: int) -> None:
        """By the letters of the row: slots in the order d a b c, immediates in the order of the picture."""
        row = BY_NAME[i.name]
        letters = [letter for letter in row.slot_types if letter != "d"]
        operands = dict(zip(letters, places, strict=True))
        if "d" in row.slot_types:
            operands["d"] = result
        immediates = [letter for letter in fields(row) if letter not in operands]
        values = i.immediates[: len(immediates)]
        self.emit(i.name, i.offset, **operands, **dict(zip(immediates, values, strict=True)))

    def access(self, i: Instruction, places: list[int], result: int) -> None:
        row = BY_NAME[i.name]
        size = int(row.meaning.split("ACCESS(a, e, ")[1].split(")")[0])
        end = i.immediates[0] + size
        if end > 0xFFFFFFFF:
            self.emit("trap", i.offset, u=TRAP_NUMBERS["memory_out_of_bounds"])
            return
        suffix = "" if end < 1 << 8 else ".wide" if end < 1 << 16 else ".far"
        operands = {"a": places[0], "e": end}
        operands |= {"d": result} if i.results else {"b": places[1]}
        self.emit(i.name + suffix, i.offset, **operands)

    def call(self, i: Instruction) -> None:
        base = self.allocation.bases[i]
        moves = []
        place = base
        for value in call_arguments(i):
            moves.append((place, self.slots[value], value.slots))
            place += value.slots
        index = 0
        if i.name == "call_indirect":
            index = self.slots[i.arguments[-1]]
            if base <= index < place:
                moves.append((place, index, 1))
                index = place
        self.parallel_move(moves)
        wide = ".wide" if base > MAXIMUM_SLOT else ""
        if i.name == "call":
            self.emit("call" + wide, i.offset, k=base, f=i.immediates[0])
        elif i.name == "call_import":
            self.emit("call_host" + wide, i.offset, k=base, h=i.immediates[0])
        else:
            self.emit("call_indirect" + wide, i.offset, k=base, a=index, s=i.immediates[0], t=i.immediates[1])
        self._take_results(i, base)

    def _take_results(self, i: Instruction, base: int) -> None:
        moves = []
        for value in i.results:
            moves.append((self.slots[value], base, value.slots))
            base += value.slots
        self.parallel_move(moves)

    # blocks

    def edge_moves(self, edge: Edge) -> list[tuple[int, int, int]]:
        pairs = zip(edge.block.parameters, edge.arguments, strict=True)
        return [(self.slots[p], self.slots[a], p.slots) for p, a in pairs if self.slots[p] != self.slots[a]]

    def block(self, block: Block, following: Block | None) -> list[tuple[Edge, object]]:
        """Emit a block; gives the edges that need a piece of their own."""
        self.start(block)
        for instruction in block.instructions:
            self.instruction(instruction)
        end = block.terminator
        assert end is not None
        if end.name == "return":
            self._return(end.arguments)
        elif end.name == "trap":
            self.emit("trap", end.offset, u=end.immediates[0])
        elif end.name == "jump":
            self.parallel_move(self.edge_moves(end.edges[0]))
            self.jump("br", {}, [end.edges[0].block])
        else:
            return self._branch(block, following)
        return []

    def _return(self, arguments: list[Value]) -> None:
        moves = []
        place = 0
        for value in arguments:
            moves.append((place, self.slots[value], value.slots))
            place += value.slots
        self.parallel_move(moves)
        self.emit("return")

    def _branch(self, block: Block, following: Block | None) -> list[tuple[Edge, object]]:
        end = block.terminator
        assert end is not None
        split = [(edge, edge) for edge in end.edges if self.edge_moves(edge)]
        apart = {id(edge) for edge, _ in split}
        targets: list[object] = [edge if id(edge) in apart else edge.block for edge in end.edges]
        places = [self.slots[a] for a in end.arguments]
        row = {"branch": "br_if", "table": "br_table"}.get(end.name, end.name)
        operands = self._reachable(row, dict(zip("ab", places, strict=False)))
        if row == "br_table":
            self.jump(row, operands | {"n": len(targets) - 1}, targets, end.offset)
            return split
        if end.immediates:
            operands["i"] = end.immediates[0]
        if targets[0] is following or id(targets[0]) in apart and id(targets[1]) not in apart:
            row, targets = inverted(row), targets[::-1]
        self.jump(row, operands, targets[:1], end.offset)
        self.start(None)
        self.jump("br", {}, targets[1:])
        return split

    def _reachable(self, row: str, operands: dict[str, int]) -> dict[str, int]:
        """Slots that a jump can name, fetched first where they lie too far."""
        types = BY_NAME[row].slot_types
        far = {k: slot for k, slot in operands.items() if slot + (types[k] == "i64") > MAXIMUM_SLOT}
        near = self._near(types, far)
        for letter, slot in far.items():
            self._transfer("slot.load", near[letter], slot, types[letter])
        return operands | near

    def start(self, label: object) -> None:
        self.piece = _Piece(label)
        self.pieces.append(self.piece)

    def jump(self, row: str, operands: dict[str, int], targets: list[object], offset: int | None = None) -> None:
        if offset is not None:
            self.piece.positions.append((len(self.piece.code), offset))
        self.piece.jump = _Jump(row, operands, targets)

    def run(self) -> None:
        blocks = self.function.blocks
        for number, block in enumerate(blocks):
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            for edge, label in self.block(block, following):
                self.start(label)
                self.parallel_move(self.edge_moves(edge))
                self.jump("br", {}, [edge.block])


def _in_the_way(move: tuple[int, int, int], others: list[tuple[int, int, int]]) -> bool:
    """Whether the move would overwrite what another one still has to read."""
    target, _, slots = move
    return any(other is not move and target < other[1] + other[2] and other[1] < target + slots for other in others)


def compile_function(function: Function, allocation: Allocation) -> CompiledFunction:
    """The bytecode of a function, not linked."""
    layout = _Layout(function, allocation)
    layout.run()
    pieces = layout.pieces
    _drop_needless_jumps(pieces)
    _settle(pieces)
    return _join(function, allocation, pieces)


def _drop_needless_jumps(pieces: list[_Piece]) -> None:
    for piece, following in zip(pieces, pieces[1:], strict=False):
        if piece.jump and piece.jump.row == "br" and piece.jump.targets[0] is following.label:
            piece.jump = None


def _jump_size(jump: _Jump) -> int:
    if jump.row == "br":
        return (1, 2, 4)[jump.form]
    if jump.row == "br_table":
        return 3 + len(jump.targets) - 1 + (4 * len(jump.targets) if jump.form else 0)
    if jump.row in ("br_if", "br_unless"):
        return (2, 2, 6)[jump.form]
    return (2, 4, 6)[jump.form]


NEAR, WIDE = range(-0x80, 0x80), range(-0x8000, 0x8000)


def _settle(pieces: list[_Piece]) -> None:
    """Grow jumps until every one reaches; they never shrink again, so this ends."""
    changed = True
    while changed:
        changed = False
        starts = _place(pieces)
        for piece in pieces:
            if piece.jump is None:
                continue
            at = piece.start + len(piece.code)
            form = max(_form(piece.jump, starts[id(target)] - at) for target in piece.jump.targets)
            if form > piece.jump.form:
                piece.jump.form = form
                changed = True


def _form(jump: _Jump, distance: int) -> int:
    """The distance is measured from the jump's first halfword; a margin covers what precedes a `br` in a pair."""
    margin = 8
    if jump.row == "br_table":
        return int(not -0x8000 + margin <= distance < 0x8000 - margin)
    near = WIDE if jump.row in ("br_if", "br_unless") else NEAR
    if distance in near:
        return 0
    return 1 if -0x8000 + margin <= distance < 0x8000 - margin and near is NEAR else 2


def _place(pieces: list[_Piece]) -> dict[int, int]:
    starts = {}
    position = 0
    for piece in pieces:
        piece.start = position
        starts[id(piece.label)] = position
        position += len(piece.code) + (_jump_size(piece.jump) if piece.jump else 0)
    return starts


def _join(function: Function, allocation: Allocation, pieces: list[_Piece]) -> CompiledFunction:
    result = CompiledFunction(function.name, function.type, allocation.frame)
    starts = _place(pieces)
    for piece in pieces:
        start = len(result.halfwords)
        result.positions += [(start + position, offset) for position, offset in piece.positions]
        result.relocations += [Relocation(start + r.position, r.kind, r.index) for r in piece.relocations]
        result.halfwords += piece.code
        if piece.jump:
            at = len(result.halfwords)
            result.halfwords += _encode_jump(piece.jump, [starts[id(t)] - at for t in piece.jump.targets])
    return result


def _encode_jump(jump: _Jump, distances: list[int]) -> list[int]:
    if jump.row == "br":
        return encode(BY_NAME[("br", "br.wide", "br.far")[jump.form]], j=distances[0])
    if jump.row == "br_table":
        return _encode_table(jump, distances)
    if jump.form == 0:
        return encode(BY_NAME[jump.row], **jump.operands, j=distances[0])
    tail = encode(BY_NAME[("", "br.wide", "br.far")[jump.form]], j=distances[0] - 2)
    return encode(BY_NAME[inverted(jump.row)], **jump.operands, j=2 + len(tail)) + tail


def _encode_table(jump: _Jump, distances: list[int]) -> list[int]:
    row = BY_NAME["br_table"]
    if jump.form == 0:
        return encode(row, distances, **jump.operands)
    count = len(distances)
    islands = row.halfwords + count
    code = encode(row, [islands + 4 * i for i in range(count)], **jump.operands)
    for i, distance in enumerate(distances):
        code += encode(BY_NAME["br.far"], j=distance - islands - 4 * i)
    return code
