"""Every rule holds: both sides give the same for corner cases and random numbers wherever the condition is true."""

from __future__ import annotations

import re
from itertools import product
from random import Random

import pytest

from mcutool.ir import rules
from mcutool.ir.rules import Any, AnyTerm, Number, Rule, Term

ALL = [rule for same_op in rules.RULES.values() for rule in same_op]
CORNERS = [0, 1, 2, 3, 15, 16, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, -1, -2, -128, -32768]


def letters_of(term: AnyTerm) -> set[str]:
    if isinstance(term, Any):
        return {term.letter}
    return set().union(*(letters_of(operand) for operand in term.operands)) if isinstance(term, Term) else set()


def width_of(op: str) -> int:
    return 64 if re.match(r"i64\.|f64\.", op) else 32


def evaluate(term: AnyTerm, rule: Rule, numbers: dict[str, int], width: int) -> int:
    """The value of a term in a place of that width."""
    if isinstance(term, Any):
        return numbers[term.letter] % (1 << width)
    if isinstance(term, Number):
        return eval(term.code, words_for(rule, numbers)) % (1 << width)
    if "reinterpret" in term.op:
        return evaluate(term.operands[0], rule, numbers, width)
    if term.op == "select":
        a, b, c = (evaluate(operand, rule, numbers, 32) for operand in term.operands)
        return a if c else b
    inner = {"wrap_i64": 64, "extend_i32_s": 32, "extend_i32_u": 32}.get(term.op[4:], width_of(term.op))
    operands = [evaluate(operand, rule, numbers, inner) for operand in term.operands]
    result = rules.fold(term.op, operands, result_width(term.op))
    if result is None:
        raise ZeroDivisionError
    return result


def words_for(rule: Rule, numbers: dict[str, int]) -> dict[str, object]:
    """What the text of a rule may use, when of each number all is known."""
    known = {"least": lambda number: number, "most": lambda number: number}
    return {"__builtins__": {}, **rules.WORDS, **known, **numbers, "W": rule.width}


def result_width(op: str) -> int:
    compares = re.fullmatch(r"i\d\d\.(eqz|eq|ne|[lg][te]_[su])|i32\..*", op)
    return 32 if compares else 64


def samples(rule: Rule) -> list[dict[str, int]]:
    """Numbers for the letters, within the width of the rule."""
    letters = sorted(letters_of(rule.pattern))
    random = Random(rule.name)
    pool = [number % (1 << rule.width) for number in CORNERS] + [1 << rule.width - 1]
    found = (
        [dict(zip(letters, chosen, strict=True)) for chosen in product(pool, repeat=min(len(letters), 2))]
        if len(letters) < 3
        else []
    )
    for _ in range(3000):
        found.append(
            {letter: random.choice([random.choice(pool), random.getrandbits(rule.width)]) for letter in letters}
        )
    return found


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: f"{rule.name}-{rule.pattern.op}")
def test_both_sides_are_equal(rule: Rule) -> None:
    width = 32 if rule.pattern.op == "select" else result_width(rule.pattern.op)
    tried = 0
    for numbers in samples(rule):
        if rule.condition is not None and not eval(rule.condition, words_for(rule, numbers)):
            continue
        try:
            expected = evaluate(rule.pattern, rule, numbers, width)
        except ZeroDivisionError:
            continue
        tried += 1
        assert evaluate(rule.result, rule, numbers, width) == expected, numbers
    assert tried > 10


def test_a_line_that_is_no_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rule"):
        list(rules.parse_rules("add_zero: (T.add x 0) -> x"))


def test_what_traps_is_never_folded() -> None:
    assert rules.fold("i32.div_s", [1 << 31, (1 << 32) - 1], 32) is None
    assert rules.fold("i64.rem_u", [5, 0], 64) is None
    assert rules.fold("i32.rem_s", [1 << 31, (1 << 32) - 1], 32) == 0
    assert rules.fold("f32.add", [0, 0], 32) is None


def test_comparisons_in_a_window_of_small_numbers() -> None:
    """Exhaustively for a mask of four bits: the rules whose constants are too related to be met by chance."""
    names = ("window", "outside_less", "inside_at_least")
    for rule in (rule for rule in ALL if rule.name in names):
        for x, c, k in product(range(16), range(-17, 18), range(18)):
            numbers = {"x": x, "c": c % (1 << rule.width), "k": k, "m": 15}
            if rule.condition is None or eval(rule.condition, words_for(rule, numbers)):
                assert evaluate(rule.result, rule, numbers, 32) == evaluate(rule.pattern, rule, numbers, 32), numbers
