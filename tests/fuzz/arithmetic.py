"""Expressions that compute numbers from numbers.

This file decides which operands operations get: edges, divisors that are mostly not zero, the same value twice. It
refuses to know where values come from and go to.

Bits of a NaN that arithmetic made are nobody's business: where bits are looked at, an expression is asked for as
`exact`, and every NaN that may come from arithmetic is made the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz import edges, places
from tests.fuzz.vocabulary import COMPARING, COMPUTING

if TYPE_CHECKING:
    from tests.fuzz.body import Body


def exact(body: Body, kind: str, depth: int) -> str:
    choice = body.random.random()
    if choice < 0.2 and body.declared.memories:
        return places.load(body, kind, depth)
    if choice < 0.4:
        other = "i" + kind[1:]
        return f"({kind}.reinterpret_{other} {body.expression(other, depth + 1)})"
    if choice < 0.5:
        return f"({kind}.{body.random.choice(('neg', 'abs'))} {body.expression(kind, depth + 1, True)})"
    kept = body.local(kind, "n")
    made, read = body.expression(kind, depth + 1), f"(local.get {kept})"
    return f"(select ({kind}.const nan) (local.tee {kept} {made}) ({kind}.ne {read} {read}))"


def compute(body: Body, kind: str, depth: int) -> str:
    row = body.random.choice(COMPUTING[kind])
    assert row.parameters is not None
    exact = "reinterpret" in row.name
    operands = [body.expression(parameter, depth, exact) for parameter in row.parameters]
    operation = row.name[4:]
    if operation[:4] in ("div_", "rem_") and body.chance(0.9):
        operands[1] = divisor(body, kind, operands[1])
    elif operation == "copysign":
        operands[1] = body.expression(kind, depth, True)
    elif operation.startswith("trunc_f") and body.chance(0.8):
        source = row.parameters[0]
        operands = [f"({source}.convert_i32_u (i32.and {body.expression('i32', depth)} (i32.const 0x7fffffff)))"]
    return f"({row.name} {' '.join(operands)})"


def divisor(body: Body, kind: str, operand: str) -> str:
    """Mostly not zero."""
    if body.chance(0.5):
        return edges.constant(kind, body.numbers.draw(kind) or 1)
    return f"({kind}.or {operand} ({kind}.const {body.random.choice((1, 2, 16))}))"


def with_constant(body: Body, kind: str, depth: int) -> str:
    """Integer operations whose one side is a constant, often in chains: food for rules and immediates."""
    if kind[0] == "f":
        return ""
    rows = [row for row in COMPUTING[kind] if row.parameters == (kind, kind)]
    text = body.expression(kind, depth)
    for _ in range(body.random.randint(1, 3)):
        number = body.numbers.draw(kind)
        row = body.random.choice(rows)
        if row.name[4:8] in ("div_", "rem_"):
            number = number or 1
        constant = edges.constant(kind, number)
        swapped = row.name[4:8] not in ("div_", "rem_") and body.chance(0.25)
        text = f"({row.name} {constant} {text})" if swapped else f"({row.name} {text} {constant})"
    return text


def constant_operation(body: Body, kind: str, depth: int) -> str:
    """An operation that can be computed beforehand, unless it traps."""
    row = body.random.choice(COMPUTING[kind])
    assert row.parameters is not None
    constants = [body.constant(parameter) for parameter in row.parameters]
    return f"({row.name} {' '.join(constants)})" if row.name[4:11] != "trunc_f" else ""


def same_twice(body: Body, kind: str, depth: int) -> str:
    """An operation on a value and itself."""
    rows = [row for row in COMPUTING[kind] if row.parameters == (kind, kind)]
    rows = [row for row in rows if row.name[4:8] not in ("div_", "rem_", "copy")]
    name = body.some_local(kind)
    return f"({body.random.choice(rows).name} (local.tee {name} {body.expression(kind, depth)}) (local.get {name}))"


def condition(body: Body, depth: int) -> str:
    """An i32 that is often a comparison, as a branch likes it."""
    choice = body.random.random()
    if choice < 0.2:
        return body.expression("i32", depth)
    if choice < 0.3:
        return f"(i32.eqz {condition(body, depth + 1)})"
    row = body.random.choice(COMPARING)
    assert row.parameters is not None
    operands = [body.expression(parameter, depth + 1) for parameter in row.parameters]
    if len(operands) == 2 and body.chance(0.4):
        kind = row.parameters[0]
        number = edges.limit(body.random, kind) if body.chance(0.4) else body.numbers.draw(kind)
        operands[body.chance(0.8)] = edges.constant(kind, number)
    return f"({row.name} {' '.join(operands)})"


def comparison(body: Body, kind: str, depth: int) -> str:
    return condition(body, depth) if kind == "i32" else ""


def unary(body: Body, kind: str, operand: str) -> str:
    rows = [row for row in COMPUTING.get(kind, ()) if row.parameters == (kind,)]
    return f"({body.random.choice(rows).name} {operand})" if rows else operand
