"""Statements that try the edges of one thing, several times over, and let everything be seen from outside.

This file decides which edges those are: constants on either side of every operation, comparisons with the limits of a
type in every form that a translator knows, accesses at the very end of a memory. It refuses to know what is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fuzz import edges, instances
from tests.fuzz.vocabulary import COMPARING, COMPUTING, LOADS, NUMBERS, STORES, TO_I32

if TYPE_CHECKING:
    from mcutool.wasm.opcodes import Opcode
    from tests.fuzz.body import Body

INTEGERS = ("i32", "i64")
OPERATIONS = {
    kind: [row for row in COMPUTING[result] if row.parameters and set(row.parameters) == {kind}]
    for kind, result in (("i32", "i32"), ("i64", "i64"))
}
"""Integer operations on one type, comparisons of i64 apart."""
DEFINED = ("div_", "rem_")
COUNTS = (0, 1, 7, 31, 32, 33, 63, 64, 65, -1, 1 << 31)
FORMS = (
    *("{}",) * 3,
    "(i32.eqz {})",
    "(select (i32.const 7) (i32.const 9) {})",
    "(select (i32.const 7) (i32.const 9) (i32.eqz {}))",
    "(if (result i32) {} (then (i32.const 5)) (else (i32.const 6)))",
    "(block (result i32) (br_if 0 (i32.const 3) {}) (drop) (i32.const 4))",
    "(block (result i32) (br_if 0 (i32.const 3) (i32.eqz {})) (drop) (i32.const 4))",
)
"""What a condition is for."""


def seen(kind: str, value: str) -> str:
    """Mix a value into what is seen of a module afterwards."""
    mixed = "(i32.mul (i32.rotl (global.get $seen) (i32.const 7)) (i32.const 0x9e3779b1))"
    return f"(global.set $seen (i32.xor {mixed} {TO_I32[kind].format(value)}))"


def unknown(body: Body, kind: str, number: int) -> str:
    """A number that no translator knows beforehand: it hangs on the count of calls."""
    return f"(select {edges.constant(kind, number)} {edges.constant(kind, number ^ 1)} (global.get $fuel))"


def arithmetic(body: Body, depth: int) -> str:
    """Operations whose operands are edges, of which none, some or all are known beforehand."""
    return _several(body, 8, lambda kind: seen(kind, _operation(body, kind)))


def rules(body: Body, depth: int) -> str:
    """What the optimiser rewrites."""
    return _several(body, 4, lambda kind: seen(kind, instances.instance_of_rule(body, kind, depth) or body.leaf(kind)))


def comparisons(body: Body, depth: int) -> str:
    """One number compared with another in every way: itself, a neighbour, mostly a limit of its type."""
    kind = body.random.choice((*INTEGERS, *NUMBERS))
    number = _edge(body, kind)
    other = edges.limit(body.random, kind) if body.chance(0.6) else number + body.random.choice((-1, 0, 0, 1))
    rows = [row for row in COMPARING if row.parameters == (kind, kind)]
    return " ".join(
        seen("i32", _comparison(body, row, kind, number, other % (1 << edges.WIDTHS[kind]))) for row in rows
    )


def accesses(body: Body, depth: int) -> str:
    """Loads and stores of the last and first bytes of a memory, seldom of one beyond."""
    return _several(body, 4, lambda kind: _access(body, body.random.choice(NUMBERS))) if body.declared.memories else ""


def _several(body: Body, most: int, make: Callable[[str], str]) -> str:
    return " ".join(make(body.random.choice(INTEGERS)) for _ in range(body.random.randint(1, most)))


def _edge(body: Body, kind: str) -> int:
    return edges.limit(body.random, kind) if body.chance(0.4) else body.numbers.draw(kind)


def _number(body: Body, kind: str, number: int) -> str:
    return edges.constant(kind, number) if body.chance(0.5) else unknown(body, kind, number)


def _operation(body: Body, kind: str) -> str:
    """One operation, or the same one twice on the way to one number."""
    row = body.random.choice(OPERATIONS[kind])
    text = _number(body, kind, _edge(body, kind))
    if len(row.parameters or ()) == 1:
        return f"({row.name} {text})"
    for _ in range(body.random.choice((1, 1, 2))):
        number = _edge(body, kind)
        if row.name[4:6] in ("sh", "ro"):
            number = body.random.choice(COUNTS) % (1 << edges.WIDTHS[kind])
        elif row.name[4:8] in DEFINED:
            number = number or 1
        text = f"({row.name} {text} {_number(body, kind, number)})"
    return text


def _comparison(body: Body, row: Opcode, kind: str, number: int, other: int) -> str:
    sides = [
        unknown(body, kind, number),
        edges.constant(kind, other) if body.chance(0.8) else unknown(body, kind, other),
    ]
    body.random.shuffle(sides)
    return body.random.choice(FORMS).format(f"({row.name} {' '.join(sides)})")


def _access(body: Body, kind: str) -> str:
    memory = body.random.choice(body.declared.memories)
    row = body.random.choice(LOADS[kind] if body.chance(0.6) else STORES[kind])
    place = 0 if body.chance(0.3) else max(0, memory.size - row.access)
    place += 1 if body.chance(0.04) else 0
    offset = min(place, body.random.choice((0, 0, 1, 4, 8, 252, 255, 256, 1000, 65528, place)))
    address = _address(body, place - offset)
    access = f"({row.name} {memory.name} offset={offset} {address}"
    return seen(kind, f"{access})") if row.results else f"{access} {edges.constant(kind, body.numbers.draw(kind))})"


def _address(body: Body, number: int) -> str:
    """A number as an address, often as the sum of two of which a translator may know one."""
    if body.chance(0.4):
        return _number(body, "i32", number)
    part = body.random.choice((1, 4, 16, number, -1, -4, -number)) % (1 << 32)
    sides = [unknown(body, "i32", (number - part) % (1 << 32)), edges.constant("i32", part)]
    body.random.shuffle(sides)
    return f"(i32.add {' '.join(sides)})"
