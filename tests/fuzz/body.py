"""Bodies of functions: expressions of a wanted type and statements, in the folded text format.

This file decides how programs look: which shapes are likely, how loops end, which addresses lie in bounds. It refuses
to know the module's own declarations beyond their names and types.

Bits of a NaN that arithmetic made are nobody's business: where bits are looked at, an expression is asked for as
`exact`, and every NaN that may come from arithmetic is made the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutool.ir import rules
from mcutool.ir.rules import RULES, Rule, Term
from mcutool.wasm.opcodes import OPCODES, Opcode
from tests.fuzz import edges

if TYPE_CHECKING:
    from tests.fuzz.generate import Declared, Function, Memory, Signature, Table

NUMBERS = ("i32", "i64", "f32", "f64")
NULLS = {"funcref": "(ref.null func)", "externref": "(ref.null extern)"}
DEEPEST = 7
TRIPS = 5
"""Most turns of a loop."""
WIDE = (60, 280)
"""Locals of a function whose frame comes near what an operand reaches, or beyond."""


BY_NAME = {row.name: row for row in OPCODES}


def _computing() -> dict[str, list[Opcode]]:
    """Operations on numbers alone, by the type of their result."""
    found: dict[str, list[Opcode]] = {kind: [] for kind in NUMBERS}
    for row in OPCODES:
        if row.parameters and row.results and row.name[:3] in NUMBERS and not row.access:
            found[row.results[0]].append(row)
    return found


def _result_of(pattern: Term) -> str:
    """The type of what a rule's pattern gives; an empty string when it can be any."""
    row = BY_NAME.get(pattern.op)
    return row.results[0] if row and row.results else "" if pattern.op == "select" else "?"


COMPUTING = _computing()
LOADS = {kind: [r for r in OPCODES if r.access and r.results == (kind,)] for kind in NUMBERS}
STORES = {kind: [r for r in OPCODES if r.access and r.parameters == ("i32", kind)] for kind in NUMBERS}
FROM_I32 = {
    "i32": "{}",
    "i64": "(i64.mul (i64.extend_i32_s {}) (i64.const 0x100000003))",
    "f32": "(f32.convert_i32_s {})",
    "f64": "(f64.convert_i32_u {})",
}
TO_I32 = {
    "i32": "{}",
    "i64": "(i32.wrap_i64 (i64.rotl {} (i64.const 33)))",
    "f32": "(i32.trunc_sat_f32_s {})",
    "f64": "(i32.trunc_sat_f64_u {})",
    "funcref": "(ref.is_null {})",
    "externref": "(ref.is_null {})",
}
_ALL_RULES = [rule for rows in RULES.values() for rule in rows]
RULES_OF = {kind: [rule for rule in _ALL_RULES if _result_of(rule.pattern) in (kind, "")] for kind in NUMBERS}
"""The optimiser's rules whose patterns give such a value."""
COMPARING = [row for row in COMPUTING["i32"] if row.name[4:6] in ("eq", "ne", "lt", "gt", "le", "ge")]


@dataclass(frozen=True)
class Label:
    """Where a branch may go, and what it takes along."""

    name: str
    types: tuple[str, ...]


class Body:
    """One function. `text` gives its locals and instructions; `budget` is how many nodes are still wanted."""

    def __init__(self, numbers: edges.Numbers, declared: Declared, signature: Signature, is_leaf: bool) -> None:
        self.numbers = numbers
        self.random = random = numbers.random
        self.declared = declared
        self.results = signature.results
        self.is_leaf = is_leaf
        self.locals: dict[str, list[str]] = {kind: [] for kind in (*NUMBERS, *NULLS)}
        self.counters: list[str] = []
        self.declarations: list[str] = []
        self.labels: list[Label] = []
        self.names = 0
        self.loops = 0
        self.budget = random.choice((5, 15, 40, 80, 150))
        for number, kind in enumerate(signature.parameters):
            self.locals[kind].append(str(number))
        self.is_wide = random.random() < 0.07

    def text(self) -> str:
        """Declarations of locals and the body."""
        for _ in range(self.random.randint(*WIDE) if self.is_wide else self.random.randint(0, 8)):
            self._local(self.random.choice((*NUMBERS, *NUMBERS, *NULLS)))
        parts = [] if self.is_leaf else [COUNTED_CALL]
        parts += self._fill_locals() if self.is_wide else []
        parts += self.statements(6)
        parts += self._read_locals() if self.is_wide or self.chance(0.4) else []
        parts += [self.expression(kind) for kind in self.results]
        return "\n    ".join([" ".join(self.declarations), *parts])

    # names

    def _name(self, letter: str) -> str:
        self.names += 1
        return f"${letter}{self.names}"

    def _local(self, kind: str, letter: str = "l") -> str:
        name = self._name(letter)
        self.declarations.append(f"(local {name} {kind})")
        if letter == "l":
            self.locals[kind].append(name)
        return name

    def _some_local(self, kind: str) -> str:
        return self.random.choice(self.locals[kind]) if self.locals[kind] else self._local(kind)

    def _fill_locals(self) -> list[str]:
        """Numbers that no translator knows: they come from the count of calls."""
        filled = []
        for kind in NUMBERS:
            for number, name in enumerate(self.locals[kind]):
                count = f"(i32.mul (global.get $fuel) (i32.const {2 * number + 3}))"
                filled.append(f"(local.set {name} {FROM_I32[kind].format(count)})")
        return filled

    def _read_locals(self) -> list[str]:
        """Something that depends on every local, so that all are kept until here."""
        total = self._local("i32")
        reads = [
            f"(local.set {total} (i32.add (i32.rotl (local.get {total}) (i32.const 5)) "
            f"{TO_I32[kind].format(f'(local.get {name})')}))"
            for kind, names in self.locals.items()
            for name in names
            if name != total
        ]
        return [*reads, f"(global.set $seen (i32.add (global.get $seen) (local.get {total})))"]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _choose(self, choices: dict[Callable, float]) -> Callable:
        return self.random.choices(list(choices), list(choices.values()))[0]

    # expressions

    def expression(self, kind: str, depth: int = 0, exact: bool = False) -> str:
        """Instructions that push one value; with `exact`, one whose bits every engine agrees on."""
        self.budget -= 1
        if self.budget <= 0 or depth > DEEPEST or self.chance(0.12):
            return self.leaf(kind, exact)
        if exact and kind in ("f32", "f64"):
            return self._exact(kind, depth)
        choices = _REFERENCES if kind in NULLS else _NUMBERS
        for _ in range(4):
            made = self._choose(choices)(self, kind, depth + 1)
            if made:
                return made
        return self.leaf(kind)

    def leaf(self, kind: str, exact: bool = False) -> str:
        if kind in NULLS:
            return self._reference_leaf(kind)
        if self.chance(0.25) or exact and kind[0] == "f":
            return self._constant(kind)
        if kind == "i32" and self.counters and self.chance(0.3):
            return f"(local.get {self.random.choice(self.counters)})"
        names = [g.name for g in self.declared.globals if g.type == kind]
        if names and self.chance(0.15):
            return f"(global.get {self.random.choice(names)})"
        return f"(local.get {self._some_local(kind)})"

    def _constant(self, kind: str) -> str:
        return edges.constant(kind, self.numbers.draw(kind))

    def _reference_leaf(self, kind: str) -> str:
        if kind == "funcref" and self.chance(0.4):
            return f"(ref.func {self.random.choice(self.declared.functions).name})"
        names = [g.name for g in self.declared.globals if g.type == kind]
        if names and self.chance(0.3):
            return f"(global.get {self.random.choice(names)})"
        return f"(local.get {self._some_local(kind)})" if self.chance(0.7) else NULLS[kind]

    def _exact(self, kind: str, depth: int) -> str:
        choice = self.random.random()
        if choice < 0.2 and self.declared.memories:
            return self._load(kind, depth)
        if choice < 0.4:
            other = "i" + kind[1:]
            return f"({kind}.reinterpret_{other} {self.expression(other, depth + 1)})"
        if choice < 0.5:
            return f"({kind}.{self.random.choice(('neg', 'abs'))} {self.expression(kind, depth + 1, True)})"
        kept = self._local(kind, "n")
        made, read = self.expression(kind, depth + 1), f"(local.get {kept})"
        return f"(select ({kind}.const nan) (local.tee {kept} {made}) ({kind}.ne {read} {read}))"

    def _compute(self, kind: str, depth: int) -> str:
        row = self.random.choice(COMPUTING[kind])
        assert row.parameters is not None
        exact = "reinterpret" in row.name
        operands = [self.expression(parameter, depth, exact) for parameter in row.parameters]
        operation = row.name[4:]
        if operation[:4] in ("div_", "rem_") and self.chance(0.9):
            operands[1] = self._divisor(kind, operands[1])
        elif operation == "copysign":
            operands[1] = self.expression(kind, depth, True)
        elif operation.startswith("trunc_f") and self.chance(0.8):
            source = row.parameters[0]
            operands = [f"({source}.convert_i32_u (i32.and {self.expression('i32', depth)} (i32.const 0x7fffffff)))"]
        return f"({row.name} {' '.join(operands)})"

    def _divisor(self, kind: str, operand: str) -> str:
        """Mostly not zero."""
        if self.chance(0.5):
            return edges.constant(kind, self.numbers.draw(kind) or 1)
        return f"({kind}.or {operand} ({kind}.const {self.random.choice((1, 2, 16))}))"

    def _with_constant(self, kind: str, depth: int) -> str:
        """Integer operations whose one side is a constant, often in chains: food for rules and immediates."""
        if kind[0] == "f":
            return ""
        rows = [row for row in COMPUTING[kind] if row.parameters == (kind, kind)]
        text = self.expression(kind, depth)
        for _ in range(self.random.randint(1, 3)):
            number = self.numbers.draw(kind)
            row = self.random.choice(rows)
            if row.name[4:8] in ("div_", "rem_"):
                number = number or 1
            constant = edges.constant(kind, number)
            swapped = row.name[4:8] not in ("div_", "rem_") and self.chance(0.25)
            text = f"({row.name} {constant} {text})" if swapped else f"({row.name} {text} {constant})"
        return text

    def _constant_operation(self, kind: str, depth: int) -> str:
        """An operation that can be computed beforehand, unless it traps."""
        row = self.random.choice(COMPUTING[kind])
        assert row.parameters is not None
        constants = [self._constant(parameter) for parameter in row.parameters]
        return f"({row.name} {' '.join(constants)})" if row.name[4:11] != "trunc_f" else ""

    def _same_twice(self, kind: str, depth: int) -> str:
        """An operation on a value and itself."""
        rows = [row for row in COMPUTING[kind] if row.parameters == (kind, kind)]
        rows = [row for row in rows if row.name[4:8] not in ("div_", "rem_", "copy")]
        name = self._some_local(kind)
        return f"({self.random.choice(rows).name} (local.tee {name} {self.expression(kind, depth)}) (local.get {name}))"

    def _rule(self, kind: str, depth: int) -> str:
        """An instance of the left side of one of the optimiser's rules."""
        if not RULES_OF[kind]:
            return ""
        rule = self.random.choice(RULES_OF[kind])
        for _ in range(20):
            constants = {letter: self.numbers.draw(f"i{rule.width}") for letter in "ck"}
            if self._holds(rule, constants):
                return self._instance(rule.pattern, kind, constants, {}, depth)
        return ""

    def _holds(self, rule: Rule, constants: dict[str, int]) -> bool:
        """Whether the rule's condition holds, as far as it is about the constants alone."""
        try:
            letters = {**dict.fromkeys("xyz"), **constants, "W": rule.width}
            words = {**rules.WORDS, "bound": lambda value: 0, **letters}
            return rule.condition is None or bool(eval(rule.condition, words))
        except (TypeError, AttributeError, NameError):
            return True

    def _instance(self, term: object, kind: str, constants: dict[str, int], given: dict[str, str], depth: int) -> str:
        """A term of a rule as text; `given` are the locals that hold what its letters stand for."""
        if isinstance(term, Term):
            row = BY_NAME.get(term.op)
            kinds = row.parameters if row and row.parameters else (kind, kind, "i32")
            pairs = zip(term.operands, kinds, strict=False)
            return f"({term.op} {' '.join(self._instance(t, k, constants, given, depth) for t, k in pairs)})"
        letter = getattr(term, "letter", "")
        if letter in constants:
            return edges.constant(kind, constants[letter] % (1 << edges.WIDTHS[kind]))
        if not letter:
            return edges.constant(kind, (getattr(term, "literal", 0) or 0) % (1 << edges.WIDTHS[kind]))
        if letter in given:
            return f"(local.get {given[letter]})"
        given[letter] = self._local(kind, "x")
        return f"(local.tee {given[letter]} {self.expression(kind, depth)})"

    def condition(self, depth: int) -> str:
        """An i32 that is often a comparison, as a branch likes it."""
        choice = self.random.random()
        if choice < 0.2:
            return self.expression("i32", depth)
        if choice < 0.3:
            return f"(i32.eqz {self.condition(depth + 1)})"
        row = self.random.choice(COMPARING)
        assert row.parameters is not None
        operands = [self.expression(parameter, depth + 1) for parameter in row.parameters]
        if len(operands) == 2 and self.chance(0.4):
            kind = row.parameters[0]
            number = edges.limit(self.random, kind) if self.chance(0.4) else self.numbers.draw(kind)
            operands[self.chance(0.8)] = edges.constant(kind, number)
        return f"({row.name} {' '.join(operands)})"

    def _comparison(self, kind: str, depth: int) -> str:
        return self.condition(depth) if kind == "i32" else ""

    def _tee(self, kind: str, depth: int) -> str:
        return f"(local.tee {self._some_local(kind)} {self.expression(kind, depth)})"

    def _select(self, kind: str, depth: int) -> str:
        typed = f" (result {kind})" if kind in NULLS or self.chance(0.3) else ""
        values = f"{self.expression(kind, depth)} {self.expression(kind, depth)}"
        return f"(select{typed} {values} {self.condition(depth)})"

    def _block(self, kind: str, depth: int) -> str:
        return self.block((), (kind,), depth)

    def _if(self, kind: str, depth: int) -> str:
        return self.if_else((kind,), depth)

    def _loop(self, kind: str, depth: int) -> str:
        return self.loop((kind,), depth)

    def _br_if(self, kind: str, depth: int) -> str:
        """A branch that takes the value along, or leaves it here."""
        names = [label.name for label in self.labels if label.types == (kind,)]
        if not names:
            return ""
        return f"(br_if {self.random.choice(names)} {self.expression(kind, depth)} {self.condition(depth)})"

    def _table_of_values(self, kind: str, depth: int) -> str:
        """Two nested blocks with a result, and a br_table that leaves either with it."""
        outer, inner = self._name("b"), self._name("b")
        targets = " ".join(self.random.choices((outer, inner), k=self.random.randint(1, 5)))
        value, index = self.expression(kind, depth), self._index(6, depth)
        with_value = f"(block {inner} (result {kind}) (br_table {targets} {value} {index}))"
        return f"(block {outer} (result {kind}) {self._unary(kind, with_value)})"

    def _unary(self, kind: str, operand: str) -> str:
        rows = [row for row in COMPUTING.get(kind, ()) if row.parameters == (kind,)]
        return f"({self.random.choice(rows).name} {operand})" if rows else operand

    def _call(self, kind: str, depth: int) -> str:
        """A function with this result alone."""
        functions = [f for f in self._callable() if f.signature.results == (kind,)]
        return self.call(self.random.choice(functions), depth) if functions else ""

    def _callable(self) -> list[Function]:
        return [] if self.is_leaf else self.declared.functions

    def _tail_callable(self) -> list[Function]:
        return [f for f in self._callable() if f.signature.results == self.results]

    def call(self, function: Function, depth: int) -> str:
        """A call, straight or through a table."""
        arguments = self.arguments(function.signature.parameters, depth)
        tables = [table for table in self.declared.tables if table.element == "funcref"]
        if self.chance(0.2):
            return f"(call_ref $t{function.signature.number} {arguments} {self._typed(function.signature, depth)})"
        if self.chance(0.8) or not tables:
            return f"(call {function.name} {arguments})"
        table, type_ = self.random.choice(tables), f"(type $t{function.signature.number})"
        return f"(call_indirect {table.name} {type_} {arguments} {self._element_index(table, depth)})"

    def _typed(self, signature: Signature, depth: int) -> str:
        """A reference of type (ref null $t), rarely null."""
        type_, functions = f"$t{signature.number}", [f for f in self.declared.functions if f.signature == signature]
        leaf = f"(ref.func {self.random.choice(functions).name})" if functions else f"(ref.null {type_})"
        choice = self.random.random()
        if choice < 0.4 or depth > DEEPEST:
            return leaf if choice < 0.38 else f"(ref.null {type_})"
        inner = self._typed(signature, depth + 1)
        if choice < 0.6:
            name = self._name("t")
            self.declarations.append(f"(local {name} (ref null {type_}))")
            return f"(local.tee {name} {inner})"
        if choice < 0.7:
            return f"(select (result (ref null {type_})) {inner} {leaf} {self.condition(depth)})"
        if choice < 0.8:
            return f"(ref.as_non_null {inner})"
        label = self._name("b")
        if choice < 0.9:
            return f"(block {label} (result (ref null {type_})) (br_on_non_null {label} {inner}) {leaf})"
        by_null = f"(block {label}n (br {label} (br_on_null {label}n {inner})))"
        return f"(block {label} (result (ref null {type_})) {by_null} {leaf})"

    def arguments(self, types: Iterable[str], depth: int) -> str:
        types = tuple(types)
        depth = DEEPEST if len(types) > 8 else depth
        return " ".join(self.expression(kind, depth + 1) for kind in types)

    def _size(self, kind: str, depth: int) -> str:
        """memory.size, memory.grow, table.size, table.grow, ref.is_null."""
        if kind != "i32":
            return ""
        choices = ["(ref.is_null " + self.expression(self.random.choice(list(NULLS)), depth) + ")"]
        if self.declared.memories:
            name = self.random.choice(self.declared.memories).name
            choices += [f"(memory.size {name})", f"(memory.grow {name} {self._index(3, depth)})"]
        table = self.random.choice(self.declared.tables)
        grow = f"(table.grow {table.name} {self.expression(table.element, depth)} {self._index(4, depth)})"
        return self.random.choice([*choices, f"(table.size {table.name})", grow])

    def _table_get(self, kind: str, depth: int) -> str:
        tables = [table for table in self.declared.tables if table.element == kind]
        if not tables:
            return ""
        table = self.random.choice(tables)
        return f"(table.get {table.name} {self._element_index(table, depth)})"

    # places in memory and tables

    def _index(self, most: int, depth: int) -> str:
        """A number that is mostly small."""
        if self.chance(0.6):
            return f"(i32.const {self.random.randint(0, most)})"
        if self.chance(0.9):
            return self._masked(most, depth)
        return self.expression("i32", depth + 1)

    def _masked(self, mask: int, depth: int) -> str:
        return f"(i32.and {self.expression('i32', depth + 1)} (i32.const {mask}))"

    def _element_index(self, table: Table, depth: int) -> str:
        if not table.minimum or self.chance(0.05):
            return self._index(16, depth)
        if self.chance(0.5):
            return f"(i32.const {self.random.randrange(table.minimum)})"
        return f"(i32.rem_u {self.expression('i32', depth + 1)} (i32.const {table.minimum}))"

    def address(self, memory: Memory, depth: int) -> str:
        """Mostly in bounds; often of a shape that a translator likes to merge with the access."""
        size = memory.size
        choice = self.random.random()
        if choice < 0.15:
            return f"(i32.const {self.random.choice((0, 1, 4, 8, 60, size - 16, size - 8)) % (1 << 32)})"
        if choice < 0.17:
            return f"(i32.const {self.random.choice((size - 4, size - 1, size, -1, -4, 1 << 31)) % (1 << 32)})"
        if choice < 0.18:
            return self.expression("i32", depth + 1)
        masked = self._masked(self.random.choice((7, 63, 124, 0xFF, 0x3F8)), depth)
        if choice < 0.6:
            return masked
        shift = f"(i32.shl {self._masked(15, depth)} (i32.const {self.random.randint(0, 3)}))"
        if choice < 0.7:
            return f"(i32.add (i32.const {self.random.choice((0, 8, 100, 200))}) {shift})"
        return f"(i32.add {masked} {shift})"

    def _offset(self, memory: Memory) -> str:
        size = memory.size
        if self.chance(0.5):
            return ""
        if self.chance(0.95):
            return f" offset={self.random.choice((1, 2, 3, 4, 8, 12, 100, 247, 251, 252, 255, 256, 300, 1000))}"
        far = (size // 2, size - 300, size - 9, size - 1, size, 65527, 65528, 65535, 65536, 1 << 31, (1 << 32) - 1)
        return f" offset={max(0, self.random.choice(far))}"

    def _load(self, kind: str, depth: int) -> str:
        if not self.declared.memories:
            return ""
        memory = self.random.choice(self.declared.memories)
        name = self.random.choice(LOADS[kind]).name
        return f"({name} {memory.name}{self._offset(memory)} {self.address(memory, depth)})"

    # blocks

    def nested(self, label: Label, results: tuple[str, ...], depth: int) -> str:
        """Statements and results inside a label."""
        self.labels.append(label)
        parts = self.statements(self.random.choice((0, 1, 2, 3)), depth)
        parts += [self.expression(kind, depth + 1) for kind in results]
        self.labels.pop()
        return " ".join(parts)

    def block(self, parameters: tuple[str, ...], results: tuple[str, ...], depth: int) -> str:
        """A block whose parameters go to locals first."""
        label = Label(self._name("b"), results)
        operands = " ".join(self.expression(kind, depth + 1) for kind in parameters)
        taken = " ".join(f"(local.set {self._some_local(kind)})" for kind in reversed(parameters))
        inside = self.nested(label, results, depth + 1)
        return f"{operands} (block {label.name}{_block_type(parameters, results)} {taken} {inside})"

    def if_else(self, results: tuple[str, ...], depth: int) -> str:
        label = Label(self._name("i"), results)
        condition = self.condition(depth + 1)
        then = self.nested(label, results, depth + 1)
        otherwise = f" (else {self.nested(label, results, depth + 1)})" if results or self.chance(0.5) else ""
        return f"(if {label.name}{_block_type((), results)} {condition} (then {then}){otherwise})"

    def loop(self, results: tuple[str, ...], depth: int) -> str:
        """A loop that ends after some turns, in one of the forms that compilers make."""
        if self.loops >= (3 if self.is_leaf else 2):
            return ""
        self.loops += 1
        form = self.random.choice((self._counting_up, self._counting_down, self._with_parameters))
        text = form(results, depth)
        self.loops -= 1
        return text

    def _counting_down(self, results: tuple[str, ...], depth: int) -> str:
        """The number of turns is checked first, so that the body may go on at any place."""
        counter, label, end = self._local("i32", "c"), self._name("p"), self._name("e")
        turns = self._index(TRIPS, depth)
        turns = f"(i32.and {turns} (i32.const 7))"
        self.counters.append(counter)
        self.labels.append(Label(label, ()))
        inside = self.nested(Label(end, ()), (), depth + 1)
        self.labels.pop()
        self.counters.pop()
        less = f"(local.set {counter} (i32.sub (local.get {counter}) (i32.const 1)))"
        after = " ".join(self.expression(kind, depth + 1) for kind in results)
        return (
            f"(local.set {counter} {turns}) (block {end} (loop {label} "
            f"(br_if {end} (i32.eqz (local.get {counter}))) {less} {inside} (br {label}))) {after}"
        )

    def _counting_up(self, results: tuple[str, ...], depth: int) -> str:
        """`do ... while (++i < n)` in one of its types and conditions."""
        kind = self.random.choice(("i32", "i32", "i64"))
        counter, label = self._local(kind, "c"), self._name("p")
        step, turns = self.random.choice((1, 1, 2, 4, 100)), self.random.randint(1, TRIPS)
        first = self.random.choice((0, 0, 1, -3, 250, 32760))
        next_ = f"({kind}.add (local.get {counter}) ({kind}.const {step}))"
        condition = self.random.choice(("lt_s", "ne", "lt_s", "le_s"))
        last = first + step * turns - (step if condition == "le_s" else 0)
        if kind == "i32":
            self.counters.append(counter)
        inside = " ".join(self.statements(3, depth + 1))
        self.counters = [name for name in self.counters if name != counter]
        after = " ".join(self.expression(result, depth + 1) for result in results)
        moved, read = f"(local.set {counter} {next_})", f"(local.get {counter})"
        if self.chance(0.5):
            moved, read = "", f"(local.tee {counter} {next_})"
        again = f"(br_if {label} ({kind}.{condition} {read} ({kind}.const {last})))"
        start = f"(local.set {counter} ({kind}.const {first}))"
        return f"{start} (loop {label}{_block_type((), results)} {inside} {moved} {again} {after})"

    def _with_parameters(self, results: tuple[str, ...], depth: int) -> str:
        """A loop whose counter and one more value travel on the operand stack."""
        kind = self.random.choice(NUMBERS)
        counter, carried, label = self._local("i32", "c"), self._local(kind), self._name("p")
        inside = " ".join(self.statements(2, depth + 1))
        value = self.expression(kind, depth + 1)
        after = " ".join(self.expression(result, depth + 1) for result in results)
        less = f"(i32.sub (local.get {counter}) (i32.const 1))"
        return (
            f"(i32.const {self.random.randint(1, TRIPS)}) {self.expression(kind, depth + 1)} "
            f"(loop {label} (param i32 {kind}) (result {' '.join(results)}) "
            f"(local.set {carried}) (local.set {counter}) {inside} "
            f"{less} {value} (br_if {label} (i32.gt_s (local.get {counter}) (i32.const 1))) (drop) (drop) {after})"
        )

    # statements

    def statements(self, most: int, depth: int = 0) -> list[str]:
        made: list[str] = []
        for _ in range(self.random.randint(0, most)):
            if self.budget <= 0 or depth > DEEPEST:
                break
            made.append(self._statement(depth))
        if depth and self.chance(0.06):
            made.append(self._leave(depth))
        return made

    def _statement(self, depth: int) -> str:
        self.budget -= 1
        return self._choose(_STATEMENTS)(self, depth + 1) or "(nop)"

    def _set(self, depth: int) -> str:
        kind = self.random.choice((*NUMBERS, *NUMBERS, *NULLS))
        return f"(local.set {self._some_local(kind)} {self.expression(kind, depth)})"

    def _set_global(self, depth: int) -> str:
        globals_ = [g for g in self.declared.globals if g.is_mutable]
        if not globals_:
            return ""
        chosen = self.random.choice(globals_)
        return f"(global.set {chosen.name} {self.expression(chosen.type, depth)})"

    def _store(self, depth: int) -> str:
        if not self.declared.memories:
            return ""
        memory, kind = self.random.choice(self.declared.memories), self.random.choice(NUMBERS)
        place = f"{memory.name}{self._offset(memory)} {self.address(memory, depth)}"
        return f"({self.random.choice(STORES[kind]).name} {place} {self.expression(kind, depth, True)})"

    def _drop_value(self, depth: int) -> str:
        return f"(drop {self.expression(self.random.choice((*NUMBERS, *NULLS)), depth)})"

    def _rotate(self, depth: int) -> str:
        """Locals of different widths change places, through the operand stack."""
        names = []
        for kind in self.random.choices(NUMBERS, k=self.random.randint(1, 2)):
            names.append([self._some_local(kind) for _ in range(self.random.randint(2, 3))])
        reads = [f"(local.get {name})" for group in names for name in group]
        writes = [name for group in names for name in (*group[1:], group[0])]
        return self._assigned(writes, " ".join(reads))

    def _assigned(self, names: list[str], values: str) -> str:
        """Values on the operand stack into locals, the last one first."""
        return f"{values} " + " ".join(f"(local.set {name})" for name in reversed(names))

    def _many_results(self, depth: int) -> str:
        """A call, block or if with several results."""
        types = tuple(self.random.choices((*NUMBERS, *NUMBERS, *NULLS), k=self.random.randint(0, 4)))
        functions = self._callable()
        if functions and self.chance(0.6):
            function = self.random.choice(functions)
            types, values = function.signature.results, self.call(function, depth)
        elif self.chance(0.5):
            values = self.block(tuple(self.random.choices(NUMBERS, k=self.random.randint(0, 3))), types, depth)
        else:
            values = self.if_else(types, depth)
        return self._assigned([self._some_local(kind) for kind in types], values)

    def _if_statement(self, depth: int) -> str:
        return self.if_else((), depth)

    def _loop_statement(self, depth: int) -> str:
        return self.loop((), depth)

    def _branch(self, depth: int) -> str:
        """br_if; what it took along is dropped when it does not jump."""
        if not self.labels:
            return ""
        label = self.random.choice(self.labels)
        values = " ".join(self.expression(kind, depth + 1) for kind in label.types)
        return f"(br_if {label.name} {values} {self.condition(depth)})" + " (drop)" * len(label.types)

    def _leave(self, depth: int) -> str:
        """Jump away for good; sometimes with code behind that cannot be reached."""
        choice = self.random.random()
        if choice < 0.5 and self.labels:
            label = self.random.choice(self.labels)
            text = f"(br {label.name} {' '.join(self.expression(kind, depth + 1) for kind in label.types)})"
        elif choice < 0.75 and self._tail_callable():
            text = self.call(self.random.choice(self._tail_callable()), depth).replace("(call", "(return_call", 1)
        elif choice < 0.85 and not self.is_leaf:
            text = self._throw(depth)
        elif choice < 0.95:
            text = f"(return {' '.join(self.expression(kind, depth + 1) for kind in self.results)})"
        else:
            text = "(unreachable)"
        return f"{text} {self._statement(depth)}" if self.chance(0.3) else text

    def _throw(self, depth: int) -> str:
        tag = self.random.choice(self.declared.tags)
        return f"(throw {tag.name} {self.arguments(tag.parameters, depth)})"

    def _maybe_throw(self, depth: int) -> str:
        return f"(if {self.condition(depth)} (then {self._throw(depth)}))"

    def _try(self, depth: int) -> str:
        """A try_table with some clauses; each handler keeps what it is given, some throw it again."""
        end, kinds = self._name("t"), tuple(self.random.choices(NUMBERS, k=self.random.randint(0, 2)))
        handlers = [self._handler(depth) for _ in range(self.random.randint(1, 3))]
        clauses = " ".join(clause for clause, _, _ in handlers)
        self.labels.append(Label(end, ()))
        inside = self.nested(Label(end, ()), kinds, depth + 1)
        thrown = self._maybe_throw(depth + 1) if self.chance(0.5) else ""
        text = f"(try_table{_block_type((), kinds)} {clauses} {thrown} {inside})"
        text = self._assigned([self._some_local(kind) for kind in kinds], text)
        for _, opening, after in handlers:
            text = f"({opening} {text} (br {end})) {after} {' '.join(self.statements(1, depth + 1))}"
        self.labels.pop()
        return f"(block {end} {text})"

    def _handler(self, depth: int) -> tuple[str, str, str]:
        """A clause, the beginning of the block that it leads to, and what takes what arrives there."""
        label, tag = self._name("h"), self.random.choice(self.declared.tags)
        with_tag, with_reference = self.chance(0.7), self.chance(0.4)
        types = (tag.parameters if with_tag else ()) + (("exnref",) if with_reference else ())
        word = f"catch{'' if with_tag else '_all'}{'_ref' if with_reference else ''}"
        clause = f"({word} {tag.name} {label})" if with_tag else f"({word} {label})"
        names = [self._some_local(kind) for kind in types if kind != "exnref"]
        if with_reference:
            names.append(self._local("exnref", "x"))
        taken = self._assigned(names, "")
        if with_reference and self.chance(0.4):
            taken += f" (if {self.condition(depth)} (then (throw_ref (local.get {names[-1]}))))"
        return clause, f"block {label}{_block_type((), types)}", taken

    def _switch(self, depth: int) -> str:
        """br_table as compilers write `switch`."""
        names = [self._name("s") for _ in range(self.random.randint(1, 4))]
        targets = " ".join(self.random.choices(names, k=self.random.randint(1, 6)))
        text = f"(br_table {targets} {self._index(7, depth)})"
        end = names[-1]
        for number, name in enumerate(names):
            after = " ".join(self.statements(2, depth + 1)) if number < len(names) - 1 else ""
            jump = f" (br {end})" if after and self.chance(0.6) else ""
            text = f"(block {name} {text}) {after}{jump}"
        return text

    def _bulk_memory(self, depth: int) -> str:
        if not self.declared.memories:
            return ""
        memory, other = self.random.choices(self.declared.memories, k=2)
        to, count = f"{memory.name} {self.address(memory, depth)}", self._index(20, depth)
        source = self.address(other, depth)
        choices = [
            f"(memory.copy {memory.name} {other.name} {self.address(memory, depth)} {source} {count})",
            f"(memory.fill {to} {self.expression('i32', depth)} {count})",
        ]
        if self.declared.datas:
            data = self.random.choice(self.declared.datas)
            inside = f"{self._index(data.length // 2, depth)} {self._index(data.length // 2, depth)}"
            init = f"(memory.init {memory.name} {data.name} {self.address(memory, depth)} {inside})"
            choices += [init, f"(data.drop {data.name})"]
        return self.random.choice(choices)

    def _bulk_table(self, depth: int) -> str:
        table = self.random.choice(self.declared.tables)
        same = [other for other in self.declared.tables if other.element == table.element]
        index, source, count = (self._index(3, depth) for _ in range(3))
        value = self.expression(table.element, depth)
        choices = [
            f"(table.set {table.name} {self._element_index(table, depth)} {value})",
            f"(table.fill {table.name} {index} {value} {count})",
            f"(table.copy {table.name} {self.random.choice(same).name} {index} {source} {count})",
        ]
        elements = self.random.choice(self.declared.elements)
        if table.element == "funcref":
            choices.append(f"(table.init {table.name} {elements.name} {index} {source} {count})")
        return self.random.choice([*choices, f"(elem.drop {elements.name})"])


def _block_type(parameters: tuple[str, ...], results: tuple[str, ...]) -> str:
    words = (("param", parameters), ("result", results))
    return "".join(f" ({word} {' '.join(types)})" for word, types in words if types)


COUNTED_CALL = (
    "(if (i32.eqz (global.get $fuel)) (then (unreachable)))"
    " (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))"
)
_NUMBERS: dict[Callable, float] = {
    Body._compute: 10,
    Body._with_constant: 3,
    Body._constant_operation: 0.7,
    Body._same_twice: 0.7,
    Body._rule: 3,
    Body._comparison: 2,
    Body._load: 3,
    Body._tee: 2,
    Body._select: 1.5,
    Body._block: 1,
    Body._if: 1.5,
    Body._loop: 0.7,
    Body._br_if: 1,
    Body._table_of_values: 0.5,
    Body._call: 1.5,
    Body._size: 1,
}
_REFERENCES: dict[Callable, float] = {
    Body._tee: 1,
    Body._select: 1,
    Body._block: 1,
    Body._if: 1,
    Body._br_if: 1,
    Body._table_of_values: 0.5,
    Body._call: 1,
    Body._table_get: 2,
}
_STATEMENTS: dict[Callable, float] = {
    Body._set: 6,
    Body._set_global: 1.5,
    Body._store: 4,
    Body._drop_value: 1,
    Body._rotate: 2,
    Body._many_results: 3,
    Body._if_statement: 3,
    Body._loop_statement: 3,
    Body._branch: 2,
    Body._switch: 1.5,
    Body._try: 1.5,
    Body._maybe_throw: 0.4,
    Body._bulk_memory: 1,
    Body._bulk_table: 1,
}
"""What there is to choose from, with weights; a method that cannot make anything here returns an empty string."""
