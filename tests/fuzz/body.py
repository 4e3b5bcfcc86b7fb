"""Bodies of functions: expressions of a wanted type and statements, in the folded text format.

This file decides how programs look: which shapes are likely, how loops end, which addresses lie in bounds. It refuses
to know the module's own declarations beyond their names and types.

Bits of a NaN that arithmetic made are nobody's business: where bits are looked at, an expression is asked for as
`exact`, and every NaN that may come from arithmetic is made the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fuzz import arithmetic, calls, control, drills, edges, instances, places
from tests.fuzz.vocabulary import DEEPEST, FROM_I32, NULLS, NUMBERS, TO_I32, Label

if TYPE_CHECKING:
    from tests.fuzz.generate import Declared, Signature

WIDE = (60, 280)
"""Locals of a function whose frame comes near what an operand reaches, or beyond."""


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
            self.local(self.random.choice((*NUMBERS, *NUMBERS, *NULLS)))
        parts = [] if self.is_leaf else [COUNTED_CALL]
        parts += self._fill_locals() if self.is_wide else []
        parts += [self._choose(_DRILLS)(self, 1) for _ in range(self.random.choice((0, 1, 2, 4)))]
        parts += self.statements(6)
        parts += self._read_locals() if self.is_wide or self.chance(0.4) else []
        parts += [self.expression(kind) for kind in self.results]
        return "\n    ".join([" ".join(self.declarations), *parts])

    def name(self, letter: str) -> str:
        self.names += 1
        return f"${letter}{self.names}"

    def local(self, kind: str, letter: str = "l") -> str:
        name = self.name(letter)
        self.declarations.append(f"(local {name} {kind})")
        if letter == "l":
            self.locals[kind].append(name)
        return name

    def some_local(self, kind: str) -> str:
        return self.random.choice(self.locals[kind]) if self.locals[kind] else self.local(kind)

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
        total = self.local("i32")
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

    def expression(self, kind: str, depth: int = 0, exact: bool = False) -> str:
        """Instructions that push one value; with `exact`, one whose bits every engine agrees on."""
        self.budget -= 1
        if self.budget <= 0 or depth > DEEPEST or self.chance(0.12):
            return self.leaf(kind, exact)
        if exact and kind in ("f32", "f64"):
            return arithmetic.exact(self, kind, depth)
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
            return self.constant(kind)
        if kind == "i32" and self.counters and self.chance(0.3):
            return f"(local.get {self.random.choice(self.counters)})"
        names = [g.name for g in self.declared.globals if g.type == kind]
        if names and self.chance(0.15):
            return f"(global.get {self.random.choice(names)})"
        return f"(local.get {self.some_local(kind)})"

    def constant(self, kind: str) -> str:
        return edges.constant(kind, self.numbers.draw(kind))

    def _reference_leaf(self, kind: str) -> str:
        if kind == "funcref" and self.chance(0.4):
            return f"(ref.func {self.random.choice(self.declared.functions).name})"
        names = [g.name for g in self.declared.globals if g.type == kind]
        if names and self.chance(0.3):
            return f"(global.get {self.random.choice(names)})"
        return f"(local.get {self.some_local(kind)})" if self.chance(0.7) else NULLS[kind]

    def _tee(self, kind: str, depth: int) -> str:
        return f"(local.tee {self.some_local(kind)} {self.expression(kind, depth)})"

    def statements(self, most: int, depth: int = 0) -> list[str]:
        made: list[str] = []
        for _ in range(self.random.randint(0, most)):
            if self.budget <= 0 or depth > DEEPEST:
                break
            made.append(self.statement(depth))
        if depth and self.chance(0.06):
            made.append(control.leave(self, depth))
        return made

    def statement(self, depth: int) -> str:
        self.budget -= 1
        return self._choose(_STATEMENTS)(self, depth + 1) or "(nop)"

    def _set(self, depth: int) -> str:
        kind = self.random.choice((*NUMBERS, *NUMBERS, *NULLS))
        return f"(local.set {self.some_local(kind)} {self.expression(kind, depth)})"

    def _set_global(self, depth: int) -> str:
        globals_ = [g for g in self.declared.globals if g.is_mutable]
        if not globals_:
            return ""
        chosen = self.random.choice(globals_)
        return f"(global.set {chosen.name} {self.expression(chosen.type, depth)})"

    def _drop_value(self, depth: int) -> str:
        return f"(drop {self.expression(self.random.choice((*NUMBERS, *NULLS)), depth)})"

    def _rotate(self, depth: int) -> str:
        """Locals of different widths change places, through the operand stack."""
        names = []
        for kind in self.random.choices(NUMBERS, k=self.random.randint(1, 2)):
            names.append([self.some_local(kind) for _ in range(self.random.randint(2, 3))])
        reads = [f"(local.get {name})" for group in names for name in group]
        writes = [name for group in names for name in (*group[1:], group[0])]
        return self.assigned(writes, " ".join(reads))

    def assigned(self, names: list[str], values: str) -> str:
        """Values on the operand stack into locals, the last one first."""
        return f"{values} " + " ".join(f"(local.set {name})" for name in reversed(names))


COUNTED_CALL = (
    "(if (i32.eqz (global.get $fuel)) (then (unreachable)))"
    " (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))"
)
_NUMBERS: dict[Callable, float] = {
    arithmetic.compute: 10,
    arithmetic.with_constant: 3,
    arithmetic.constant_operation: 0.7,
    arithmetic.same_twice: 0.7,
    instances.instance_of_rule: 3,
    arithmetic.comparison: 2,
    places.load: 3,
    Body._tee: 2,
    control.select: 1.5,
    control.block_value: 1,
    control.if_value: 1.5,
    control.loop_value: 0.7,
    control.br_if: 1,
    control.table_of_values: 0.5,
    calls.call_value: 1.5,
    places.sizes: 1,
}
_REFERENCES: dict[Callable, float] = {
    Body._tee: 1,
    control.select: 1,
    control.block_value: 1,
    control.if_value: 1,
    control.br_if: 1,
    control.table_of_values: 0.5,
    calls.call_value: 1,
    places.table_get: 2,
}
_DRILLS: dict[Callable, float] = {drills.arithmetic: 2, drills.rules: 2, drills.comparisons: 2, drills.accesses: 1}
"""Each function begins with some, before anything traps."""
_STATEMENTS: dict[Callable, float] = {
    Body._set: 6,
    Body._set_global: 1.5,
    places.store: 4,
    Body._drop_value: 1,
    Body._rotate: 2,
    control.many_results: 3,
    control.if_statement: 3,
    control.loop_statement: 3,
    drills.arithmetic: 1,
    drills.rules: 1,
    drills.comparisons: 1,
    drills.accesses: 1,
    control.branch: 2,
    control.switch: 1.5,
    control.try_table: 1.5,
    calls.maybe_throw: 0.4,
    places.bulk_memory: 1,
    places.bulk_table: 1,
}
"""What there is to choose from, with weights; a method that cannot make anything here returns an empty string."""
