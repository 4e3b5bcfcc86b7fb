"""Instances of the optimiser's own rules, so that each of them is tried.

This file decides what stands for the letters of a rule. It refuses to know whether the rule is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcutool.ir import rules
from mcutool.ir.rules import RULES, Rule, Term
from tests.fuzz import edges, places
from tests.fuzz.vocabulary import BY_NAME, NUMBERS

if TYPE_CHECKING:
    from tests.fuzz.body import Body


def _result_of(pattern: Term) -> str:
    """The type of what a rule's pattern gives; an empty string when it can be any."""
    row = BY_NAME.get(pattern.op)
    return row.results[0] if row and row.results else "" if pattern.op == "select" else "?"


_ALL_RULES = [rule for rows in RULES.values() for rule in rows]
RULES_OF = {kind: [rule for rule in _ALL_RULES if _result_of(rule.pattern) in (kind, "")] for kind in NUMBERS}
"""The optimiser's rules whose patterns give such a value."""


def instance_of_rule(body: Body, kind: str, depth: int) -> str:
    """An instance of the left side of one of the optimiser's rules."""
    if not RULES_OF[kind]:
        return ""
    rule = body.random.choice(RULES_OF[kind])
    for _ in range(20):
        constants = {letter: body.numbers.draw(f"i{rule.width}") for letter in "ck"}
        if holds(body, rule, constants):
            return _instance(body, rule, kind, constants, depth)
    return ""


def _instance(body: Body, rule: Rule, kind: str, constants: dict[str, int], depth: int) -> str:
    """With a small number for x where the rule asks how large it may be."""
    if rule.condition is None or "bound" not in rule.condition.co_names:
        return term(body, rule.pattern, kind, constants, {}, depth)
    name = body.local("i32", "x")
    small = f"(local.set {name} {places.small_number(body, depth)})"
    return f"{small} {term(body, rule.pattern, kind, constants, {'x': name}, depth)}"


def holds(body: Body, rule: Rule, constants: dict[str, int]) -> bool:
    """Whether the rule's condition holds, as far as it is about the constants alone."""
    try:
        letters = {**dict.fromkeys("xyz"), **constants, "W": rule.width}
        words = {**rules.WORDS, "bound": lambda value: 0, **letters}
        return rule.condition is None or bool(eval(rule.condition, words))
    except (TypeError, AttributeError, NameError):
        return True


def term(body: Body, wanted: object, kind: str, constants: dict[str, int], given: dict[str, str], depth: int) -> str:
    """A term of a rule as text; `given` are the locals that hold what its letters stand for."""
    if isinstance(wanted, Term):
        row = BY_NAME.get(wanted.op)
        kinds = row.parameters if row and row.parameters else (kind, kind, "i32")
        pairs = zip(wanted.operands, kinds, strict=False)
        return f"({wanted.op} {' '.join(term(body, t, k, constants, given, depth) for t, k in pairs)})"
    letter = getattr(wanted, "letter", "")
    if letter in constants:
        return edges.constant(kind, constants[letter] % (1 << edges.WIDTHS[kind]))
    if not letter:
        return edges.constant(kind, (getattr(wanted, "literal", 0) or 0) % (1 << edges.WIDTHS[kind]))
    if letter in given:
        return f"(local.get {given[letter]})"
    given[letter] = body.local(kind, "x")
    return f"(local.tee {given[letter]} {body.expression(kind, depth)})"
