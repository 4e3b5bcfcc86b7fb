"""Applies the rules, and computes equal expressions once.

This file decides where rules are tried: on each instruction in an order in which operands come first, until none fits.
Constants gather at the top of the entry, one of each; where they are really made is selection's business. It refuses
to know what the rules say.
"""

from __future__ import annotations

from collections import Counter

from mcutool.ir import rules
from mcutool.ir.dominance import Dominators
from mcutool.ir.liveness import reads
from mcutool.ir.nodes import Block, Function, Instruction, Value, resolve
from mcutool.wasm.opcodes import OPCODES

COMMUTATIVE = frozenset(f"{type_}.{name}" for type_ in ("i32", "i64") for name in ("add", "mul", "and", "or", "xor"))
_SIGNED_OPCODES = [opcode for opcode in OPCODES if opcode.parameters and opcode.results]
_RESULT_WIDTH = {opcode.name: 64 if opcode.results == ("i64",) else 32 for opcode in _SIGNED_OPCODES}
_OPERAND_TYPES = {opcode.name: opcode.parameters or () for opcode in _SIGNED_OPCODES}
_REPEATABLE = frozenset(
    [opcode.name for opcode in _SIGNED_OPCODES if opcode.name[1:3] in ("32", "64") and not opcode.access]
    + ["select", "ref.func", "ref.is_null"]
)
"""Operations that give the same for the same operands, wherever they stand; or trap where the first trapped before."""
_ADDRESSED = frozenset(opcode.name for opcode in OPCODES if opcode.access)
SHORT_OFFSET = 0xFF
"""Beyond it an offset makes an access longer, and the sum of two slots that the access can make costs no more."""
WIDE_OFFSET = 0xFFFF
"""Beyond it an offset makes an access much longer: a constant address is better kept and shared."""


def simplify(function: Function, known: rules.Known) -> bool:
    """Rewrite a function in place; whether anything changed."""
    return _Rewriter(function, known).run()


class _Rewriter:
    def __init__(self, function: Function, known: rules.Known) -> None:
        self.function = function
        self.known_range = known
        self.dominators = Dominators(function)
        self.replaced: dict[Value, Value] = {}
        self.constants: dict[tuple[str, int], Instruction] = {}
        self.known: dict[tuple, list[tuple[Block, Value]]] = {}
        self.uses = Counter(value for block in function.blocks for i in block.everything for value in reads(i))
        self.changed = False
        self.block = function.entry
        self.made: list[Instruction] = []
        self.offset = 0

    def run(self) -> bool:
        for block in self.dominators.order:
            self.block, self.made = block, []
            for instruction in block.instructions:
                self.offset = instruction.offset
                if self._keep(instruction):
                    self.made.append(instruction)
            block.instructions = self.made
        self.function.substitute(self.replaced)
        self.function.entry.instructions[:0] = self.constants.values()
        return self.changed

    def _keep(self, instruction: Instruction) -> bool:
        """Rewrite one instruction; whether it is still needed."""
        instruction.operands = [resolve(self.replaced, value) for value in instruction.operands]
        if instruction.op.endswith(".const") or instruction.op == "ref.null":
            return self._gather(instruction)
        while True:
            if self._fold(instruction):
                return False
            applied = self._apply_rules(instruction)
            if applied is None:
                break
            if not applied:
                return False
        if instruction.op in _ADDRESSED:
            self._fold_address(instruction)
        return not self._is_known(instruction)

    # constants

    def _gather(self, instruction: Instruction) -> bool:
        key = instruction.result.type, instruction.immediates[0] if instruction.immediates else 0
        first = self.constants.setdefault(key, instruction)
        if first is not instruction:
            self.replaced[instruction.result] = first.result
        return False

    def _constant(self, type_: str, number: int) -> Value:
        number %= 1 << (64 if type_ == "i64" else 32)
        if (type_, number) not in self.constants:
            made = self.function.new_instruction(f"{type_}.const", [], (type_,), (number,))
            self.constants[type_, number] = made
        return self.constants[type_, number].result

    def _replace(self, instruction: Instruction, value: Value, why: str) -> None:
        self.replaced[instruction.result] = value
        rules.HITS[why] += 1
        self.changed = True

    def _fold(self, instruction: Instruction) -> bool:
        width = _RESULT_WIDTH.get(instruction.op)
        numbers = [rules.constant_of(value) for value in instruction.operands]
        if width is None or None in numbers:
            return False
        result = rules.fold(instruction.op, [number for number in numbers if number is not None], width)
        if result is None:
            return False
        self._replace(instruction, self._constant(instruction.result.type, result), "fold")
        return True

    # rules

    def _apply_rules(self, instruction: Instruction) -> bool | None:
        """None when no rule fits; else whether the instruction is still there, rewritten."""
        for rule in rules.RULES.get(instruction.op, ()):
            found = rules.match(rule, instruction, self.uses, self.known_range)
            if found is not None:
                return self._apply(rule, found, instruction)
        return None

    def _apply(self, rule: rules.Rule, found: dict[str, Value], instruction: Instruction) -> bool:
        if not isinstance(rule.result, rules.Term):
            value = self._value(rule.result, rule, found, instruction.result.type)
            self._replace(instruction, value, rule.name)
            return False
        types = _OPERAND_TYPES.get(rule.result.op, ("i32",) * len(rule.result.operands))
        pairs = zip(rule.result.operands, types, strict=True)
        instruction.operands = [self._value(term, rule, found, type_) for term, type_ in pairs]
        instruction.op = rule.result.op
        rules.HITS[rule.name] += 1
        self.changed = True
        return True

    def _value(self, term: rules.AnyTerm, rule: rules.Rule, found: dict[str, Value], type_: str) -> Value:
        if isinstance(term, rules.Any):
            return found[term.letter]
        if isinstance(term, rules.Term):
            return self._make(term, rule, found, type_)
        return self._constant(type_, rules.compute(term.code, rule, found, self.known_range))

    def _make(self, term: rules.Term, rule: rules.Rule, found: dict[str, Value], type_: str) -> Value:
        """An operation inside the result of a rule: a new instruction, or what is known of it."""
        operands = [self._value(operand, rule, found, type_) for operand in term.operands]
        made = self.function.new_instruction(term.op, operands, (type_,), (), self.offset)
        if self._keep(made):
            self.made.append(made)
            self.uses.update(made.operands)
        return resolve(self.replaced, made.result)

    # addresses

    def _fold_address(self, instruction: Instruction) -> None:
        """Move a constant part of an address into the offset, where the sum can't pass 32 bits."""
        address = instruction.operands[0]
        offset = instruction.immediates[0]
        number = rules.constant_of(address)
        definition = address.definition
        if number and number + offset <= WIDE_OFFSET:
            base, added = self._constant("i32", 0), number
        elif isinstance(definition, Instruction) and definition.op == "i32.add":
            base, constant = definition.operands[0], rules.constant_of(definition.operands[1])
            if constant is None or not self._is_worth_it(address, offset, base, constant):
                return
            added = constant
        else:
            return
        instruction.operands[0] = base
        instruction.immediates = (offset + added, *instruction.immediates[1:])
        rules.HITS["address"] += 1
        self.changed = True

    def _is_worth_it(self, address: Value, offset: int, base: Value, added: int) -> bool:
        """Whether the sum never passes 32 bits, and may become superfluous or leaves a short offset."""
        if (self.known_range(base)[1] + added | offset + added) >> 32:
            return False
        return offset + added <= SHORT_OFFSET or self.uses[address] > 1

    # equal expressions

    def _is_known(self, instruction: Instruction) -> bool:
        """Whether a block above has computed the same; then that is used."""
        if instruction.op not in _REPEATABLE:
            return False
        numbers = [value.number for value in instruction.operands]
        if instruction.op in COMMUTATIVE:
            numbers.sort()
        earlier = self.known.setdefault((instruction.op, instruction.immediates, *numbers), [])
        for other, value in earlier:
            if self.dominators.dominates(other, self.block):
                self._replace(instruction, value, "equal")
                return True
        earlier.append((self.block, instruction.result))
        return False
