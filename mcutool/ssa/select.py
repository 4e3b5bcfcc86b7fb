"""IR operations -> the instructions of `isa.py`: immediates and fused compare-and-branch.

This file decides which row does an operation. It works on the IR in place, before slots are allocated, so that a
constant that became an immediate needs no slot. It refuses to know slots and distances.
"""

from __future__ import annotations

from collections import Counter

from mcutool.isa import BY_NAME
from mcutool.ssa.nodes import Block, Function, Instruction, Terminator, Value
from mcutool.ssa.passes import remove_dead

SMALL = range(-128, 128)
SHIFTS = {"shl": 32, "shr_s": 32, "shr_u": 32, "rotl": 32}
MIRRORED = {"lt_s": "gt_s", "lt_u": "gt_u"}
CONDITIONS = {
    "i32.eq": ("eq", False),
    "i32.ne": ("ne", False),
    "i32.lt_s": ("lt_s", False),
    "i32.lt_u": ("lt_u", False),
    "i32.le_s": ("ge_s", True),
    "i32.le_u": ("ge_u", True),
}
"""A comparison as a branch condition, and whether its operands change places."""
INVERSE = {"eq": "ne", "ne": "eq", "lt_s": "ge_s", "ge_s": "lt_s", "lt_u": "ge_u", "ge_u": "lt_u"}


def select(function: Function) -> None:
    """Choose instructions in place."""
    constants = {i.results[0]: i.immediates[0] for i in function.instructions() if i.name == "const"}
    for block in function.blocks:
        for instruction in block.instructions:
            _immediate(instruction, constants)
            _spell(instruction)
    _fuse_branches(function, constants)
    remove_dead(function)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _immediate(instruction: Instruction, constants: dict[Value, int]) -> None:
    """A constant right operand (or a left one where the row for that exists) becomes an immediate."""
    type_, _, operation = instruction.name.partition(".")
    if type_ not in ("i32", "i64") or len(instruction.arguments) != 2 or not instruction.results:
        return
    a, b = instruction.arguments
    bits = int(type_[1:])
    if b in constants:
        value = _signed(constants[b], bits)
        if operation == "sub":
            operation, value = "add", -value
        elif operation == "rotr" and bits == 32:
            operation, value = "rotl", -value % 32
        elif operation in ("le_s", "le_u") and bits == 32 and value in SMALL:
            operation, value = _at_most(operation, value)
        if operation in SHIFTS:
            value %= bits
        _use_row(instruction, f"{type_}.{operation}_imm", a, value)
    elif a in constants and bits == 32:
        operation = {"sub": "sub_from", **MIRRORED}.get(operation, "")
        _use_row(instruction, f"i32.{operation}_imm", b, _signed(constants[a], 32))


def _at_most(operation: str, value: int) -> tuple[str, int]:
    """a <= v as a < v + 1, where v + 1 does not wrap."""
    if operation == "le_u" and value == -1:
        return operation, value
    return operation.replace("le", "lt"), value + 1


def _use_row(instruction: Instruction, name: str, argument: Value, value: int) -> None:
    if name in BY_NAME and value in SMALL:
        instruction.name, instruction.arguments, instruction.immediates = name, [argument], (value,)


def _spell(instruction: Instruction) -> None:
    """Names that differ between IR and table."""
    if instruction.name == "i32.eqz":
        instruction.name, instruction.immediates = "i32.eq_imm", (0,)
    elif instruction.name == "i32.wrap_i64":
        instruction.name = "copy"
    elif instruction.name == "select":
        instruction.name = "i64.select" if instruction.results[0].slots == 2 else "i32.select"
    elif instruction.name in ("global.get", "global.set"):
        value = (instruction.results or instruction.arguments)[0]
        instruction.name += "64" if value.slots == 2 else ""


def _fuse_branches(function: Function, constants: dict[Value, int]) -> None:
    uses: Counter[Value] = Counter()
    for block in function.blocks:
        for item in (*block.instructions, block.terminator, *block.edges):
            uses.update(item.arguments if item else [])
    for block in function.blocks:
        terminator = block.terminator
        if terminator is not None and terminator.name == "branch" and uses[terminator.arguments[0]] == 1:
            _fuse(block, terminator, constants)


def _fuse(block: Block, terminator: Terminator, constants: dict[Value, int]) -> None:
    condition = terminator.arguments[0]
    made = next((i for i in reversed(block.instructions) if condition in i.results), None)
    if made is None:
        return
    name, immediates, arguments = made.name, made.immediates, made.arguments
    if name.endswith("_imm") and name.startswith("i32.") and name[4:-4] in INVERSE | {"gt_s": "", "gt_u": ""}:
        operation, value = name[4:-4], immediates[0]
        if operation.startswith("gt"):
            if value + 1 not in SMALL or (operation == "gt_u" and value == -1):
                return
            operation, value = operation.replace("gt", "ge"), value + 1
        terminator.name, terminator.immediates = f"br_i32.{operation}_imm", (value,)
        terminator.arguments = list(arguments)
    elif name.replace("i64", "i32") in CONDITIONS and len(arguments) == 2:
        operation, swapped = CONDITIONS[name.replace("i64", "i32")]
        terminator.name = f"br_{name[:3]}.{operation}"
        terminator.arguments = arguments[::-1] if swapped else list(arguments)
    else:
        return
    block.instructions.remove(made)


def inverted(name: str) -> str:
    """The branch row that is taken when this one is not."""
    if name in ("br_if", "br_unless"):
        return "br_unless" if name == "br_if" else "br_if"
    prefix, _, condition = name.partition(".")
    operation = condition.removesuffix("_imm")
    return f"{prefix}.{INVERSE[operation]}{condition[len(operation) :]}"
