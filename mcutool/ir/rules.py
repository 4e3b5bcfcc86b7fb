"""Rewrites as named data: which expression equals which cheaper one, and what operations on constants give.

This file decides what holds for the integers of WebAssembly. It refuses to know blocks and order: rewrite.py applies
it. A rule keeps the type, never drops or moves what may trap, and never makes an expression larger, so rules can be
applied in any order until none fits. A rule that looks into operands applies when nobody else needs those, or when its
result is there already: otherwise it would only keep more values alive.

A row is `name: pattern => result if condition for OP in ...`. Letters x, y, z are any value (the same letter the same
value), c, k and m constants, a number is that constant. T stands for i32 and i64; `for` gives the alternatives of
other capitals. In brackets and in conditions Python computes with unsigned numbers and the words of `WORDS`; W is the
width in bits. A constant that results has the type of its place. A condition that holds for what is known of a value
holds for the value itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from types import CodeType

from mcutool.ir.nodes import Instruction, Value

HITS: Counter[str] = Counter()
"""How often each rule was used in this process; `fold` counts operations on constants."""
CONSTANTS = "ckm"
"""Letters that stand for constants."""
Known = Callable[[Value], tuple[int, int]]
"""Between which unsigned numbers an integer lies."""

_TABLE = """
# constants to the right, and together
commute:            (T.OP c x) => (T.OP x c) for OP in add mul and or xor eq ne
commute_less:       (T.lt_S c x) => (T.gt_S x c) for S in s u
commute_greater:    (T.gt_S c x) => (T.lt_S x c) for S in s u
commute_at_most:    (T.le_S c x) => (T.ge_S x c) for S in s u
commute_at_least:   (T.ge_S c x) => (T.le_S x c) for S in s u
sub_constant:       (T.sub x c) => (T.add x [-c])
add_add:            (T.add (T.add x c) k) => (T.add x [c + k])
sub_from_add:       (T.sub c (T.add x k)) => (T.sub [c - k] x)
and_and:            (T.and (T.and x c) k) => (T.and x [c & k])
or_or:              (T.or (T.or x c) k) => (T.or x [c | k])
xor_xor:            (T.xor (T.xor x c) k) => (T.xor x [c ^ k])
mul_mul:            (T.mul (T.mul x c) k) => (T.mul x [c * k])
shift_shift:        (T.OP (T.OP x c) k) => (T.OP x [c + k]) if c + k < W for OP in shl shr_s shr_u
equal_add:          (T.OP (T.add x c) k) => (T.OP x [k - c]) for OP in eq ne
equal_xor:          (T.OP (T.xor x c) k) => (T.OP x [k ^ c]) for OP in eq ne

# operands that change nothing, or decide alone
with_zero:          (T.OP x 0) => x for OP in add or xor shl shr_s shr_u rotl rotr
with_one:           (T.OP x 1) => x for OP in mul div_u div_s
times_zero:         (T.OP x 0) => 0 for OP in mul and
and_ones:           (T.and x -1) => x
or_ones:            (T.or x -1) => -1
with_itself:        (T.OP x x) => x for OP in and or
minus_itself:       (T.OP x x) => 0 for OP in sub xor
equals_itself:      (T.OP x x) => 1 for OP in eq le_s le_u ge_s ge_u
differs_itself:     (T.OP x x) => 0 for OP in ne lt_s lt_u gt_s gt_u
below_zero:         (T.lt_u x 0) => 0
from_zero:          (T.ge_u x 0) => 1
select_same:        (select x x y) => x
select_true:        (select x y c) => x if c != 0
select_false:       (select x y 0) => y
select_not:         (select x y (i32.eqz z)) => (select y x z)
select_nonzero:     (select x y (i32.ne z 0)) => (select x y z)

# cheaper operations
times_power:        (T.mul x c) => (T.shl x [log2(c)]) if power_of_two(c)
divide_power:       (T.div_u x c) => (T.shr_u x [log2(c)]) if power_of_two(c)
remainder_power:    (T.rem_u x c) => (T.and x [c - 1]) if power_of_two(c)
shift_count:        (T.OP x c) => (T.OP x [c % W]) if c >= W for OP in shl shr_s shr_u rotl rotr
masked_count:       (T.OP x (T.and y c)) => (T.OP x y) if c % W == W - 1 for OP in shl shr_s shr_u rotl rotr
rotate_right:       (T.rotr x c) => (T.rotl x [W - c]) if 0 < c < W
sign_extend_byte:   (i32.shr_s (i32.shl x 24) 24) => (i32.extend8_s x)
sign_extend_half:   (i32.shr_s (i32.shl x 16) 16) => (i32.extend16_s x)
sign_extend_word:   (i64.shr_s (i64.shl x 32) 32) => (i64.extend32_s x)
superfluous_mask:   (T.and x c) => x if power_of_two(c + 1) and most(x) <= c
short_mask:         (T.and x c) => (T.and x [c | -1 << length(most(x))]) \
                    if 255 < c < (1 << W) - 128 <= c | (1 << W) - (1 << length(most(x)))
wrap_extend:        (i32.wrap_i64 (i64.extend_i32_S x)) => x for S in s u
wrap_mask:          (i32.wrap_i64 (i64.and x c)) => (i32.wrap_i64 x) if c & 0xFFFFFFFF == 0xFFFFFFFF
reinterpret_twice:  (A.reinterpret_B (B.reinterpret_A x)) => x for A in i32 for B in f32
reinterpret_wide:  (A.reinterpret_B (B.reinterpret_A x)) => x for A in i64 for B in f64

# comparisons
equals_zero:        (T.eq x 0) => (T.eqz x)
below_one:          (T.lt_u x 1) => (T.eqz x)
above_zero:         (T.gt_u x 0) => (T.ne x 0)
above:              (T.gt_u x c) => (T.ge_u x [c + 1]) if c + 1 < 1 << W
up_to:              (T.le_u x c) => (T.lt_u x [c + 1]) if c + 1 < 1 << W
window:             (T.OP_u (T.and (T.add x c) m) k) => (T.OP_u (T.add x [-(-c & m)]) k) \
                    if power_of_two(m + 1) and most(x) <= m and (-c & m) + k <= m + 1 for OP in lt ge
outside_less:       (T.lt_u (T.and (T.add x c) m) k) => (T.ge_u (T.add x [m + 1 - k - (-c & m)]) [m + 1 - k]) \
                    if power_of_two(m + 1) and most(x) <= m >= k > m + 1 - (-c & m)
inside_at_least:    (T.ge_u (T.and (T.add x c) m) k) => (T.lt_u (T.add x [m + 1 - k - (-c & m)]) [m + 1 - k]) \
                    if power_of_two(m + 1) and most(x) <= m >= k > m + 1 - (-c & m)
not_equal:          (i32.eqz (T.eq x y)) => (T.ne x y)
not_different:      (i32.eqz (T.ne x y)) => (T.eq x y)
not_zero:           (i32.eqz (i64.eqz x)) => (i64.ne x 0)
not_less:           (i32.eqz (T.lt_S x y)) => (T.ge_S x y) for S in s u
not_greater:        (i32.eqz (T.gt_S x y)) => (T.le_S x y) for S in s u
not_at_most:        (i32.eqz (T.le_S x y)) => (T.gt_S x y) for S in s u
not_at_least:       (i32.eqz (T.ge_S x y)) => (T.lt_S x y) for S in s u
"""


# terms


@dataclass(frozen=True)
class Any:
    """Matches any value, or any constant when its letter says so; in a result, what was matched."""

    letter: str

    @property
    def is_constant(self) -> bool:
        return self.letter in CONSTANTS


@dataclass(frozen=True)
class Number:
    """A constant: a literal, or computed from the constants that were matched."""

    code: CodeType
    literal: int | None = None


@dataclass(frozen=True)
class Term:
    """An operation on terms."""

    op: str
    operands: tuple[AnyTerm, ...]


AnyTerm = Any | Number | Term


@dataclass(frozen=True)
class Rule:
    """One alternative of a row; `width` is what W is."""

    name: str
    pattern: Term
    result: AnyTerm
    condition: CodeType | None
    width: int


_ROW = re.compile(r"(\w+):\s+(.+?) => (.+?)(?: if (.+?))?((?: for \w+ in [\w ]+?)*)")
_CHOICE = re.compile(r" for (\w+) in ([\w ]+?)(?= for |$)")
_TOKEN = re.compile(r"\[[^]]*\]|[()]|[^\s()]+")


def parse_rules(table: str) -> Iterator[Rule]:
    """The rules of a table, one for each combination of alternatives. Raises ValueError when a line is no rule."""
    for line in (line.strip() for line in table.splitlines()):
        if not line or line.startswith("#"):
            continue
        row = _ROW.fullmatch(line)
        if row is None:
            raise ValueError(f"not a rule: {line}")
        name, pattern, result, condition, choices = row.groups()
        capitals = {word: values.split() for word, values in _CHOICE.findall(choices)}
        if "(T." in pattern:
            capitals["T"] = ["i32", "i64"]
        for chosen in product(*capitals.values()):
            left, right = (_substitute(text, dict(zip(capitals, chosen, strict=True))) for text in (pattern, result))
            term = parse_term(left)
            assert isinstance(term, Term)
            code = compile(condition, name, "eval") if condition else None
            yield Rule(name, term, parse_term(right), code, 64 if "(i64." in left else 32)


def _substitute(text: str, chosen: dict[str, str]) -> str:
    for word, value in chosen.items():
        text = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", value, text)
    return text


def parse_term(text: str) -> AnyTerm:
    """A term as the table writes it."""
    open_terms: list[list] = [[]]
    for token in _TOKEN.findall(text):
        if token == "(":
            open_terms.append([])
        elif token == ")":
            op, *operands = open_terms.pop()
            open_terms[-1].append(Term(op, tuple(operands)))
        elif token in tuple("xyz" + CONSTANTS):
            open_terms[-1].append(Any(token))
        elif token[0] in "[-0123456789":
            literal = None if token[0] == "[" else int(token)
            open_terms[-1].append(Number(compile(token.strip("[]"), token, "eval"), literal))
        else:
            open_terms[-1].append(token)
    return open_terms[0][0]


# facts about values


def constant_of(value: Value) -> int | None:
    """The number that an integer always is, unsigned; None when it varies."""
    definition = value.definition
    if isinstance(definition, Instruction) and definition.op in ("i32.const", "i64.const"):
        return definition.immediates[0]
    return None


WORDS: dict[str, Callable] = {
    "power_of_two": lambda number: number > 0 and number & (number - 1) == 0,
    "length": int.bit_length,
    "log2": lambda number: number.bit_length() - 1,
}
"""What conditions and computed constants may call, besides `least(x)` and `most(x)`: what is known of a value."""


# matching


def match(rule: Rule, instruction: Instruction, uses: Counter[Value], known: Known) -> dict[str, Value] | None:
    """What the letters of a rule stand for when it fits the instruction; `uses` counts the readers of each value."""
    found: dict[str, Value] = {}
    for term, value in zip(rule.pattern.operands, instruction.operands, strict=True):
        if not _matches(term, value, found):
            return None
        if isinstance(term, Term) and isinstance(rule.result, Term) and uses[value] > 1:
            return None
    if rule.condition is not None and not compute(rule.condition, rule, found, known):
        return None
    return found


def _matches(term: AnyTerm, value: Value, found: dict[str, Value]) -> bool:
    if isinstance(term, Any):
        if term.is_constant and constant_of(value) is None:
            return False
        return found.setdefault(term.letter, value) is value
    if isinstance(term, Number):
        return term.literal is not None and constant_of(value) == term.literal % (1 << 32 * value.slots)
    definition = value.definition
    if not isinstance(definition, Instruction) or definition.op != term.op:
        return False
    pairs = zip(term.operands, definition.operands, strict=True)
    return all(_matches(inner, operand, found) for inner, operand in pairs)


def compute(code: CodeType, rule: Rule, found: dict[str, Value], known: Known) -> int:
    """The number that an expression of a rule gives."""
    numbers = {letter: constant_of(value) if letter in CONSTANTS else value for letter, value in found.items()}
    words = {"__builtins__": {}, **WORDS, "least": lambda value: known(value)[0], "most": lambda value: known(value)[1]}
    return eval(code, {**words, **numbers, "W": rule.width})  # the table's own text


# operations on constants


def signed(number: int, width: int) -> int:
    """An unsigned number read as two's complement."""
    number &= (1 << width) - 1
    return number - (1 << width) if number >> (width - 1) else number


BINARY: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, w: a + b,
    "sub": lambda a, b, w: a - b,
    "mul": lambda a, b, w: a * b,
    "div_u": lambda a, b, w: a // b,
    "rem_u": lambda a, b, w: a % b,
    "div_s": lambda a, b, w: _quotient(signed(a, w), signed(b, w)),
    "rem_s": lambda a, b, w: signed(a, w) - signed(b, w) * _quotient(signed(a, w), signed(b, w)),
    "and": lambda a, b, w: a & b,
    "or": lambda a, b, w: a | b,
    "xor": lambda a, b, w: a ^ b,
    "shl": lambda a, b, w: a << b % w,
    "shr_u": lambda a, b, w: a >> b % w,
    "shr_s": lambda a, b, w: signed(a, w) >> b % w,
    "rotl": lambda a, b, w: a << b % w | a >> (w - b % w),
    "rotr": lambda a, b, w: a >> b % w | a << (w - b % w),
    "eq": lambda a, b, w: a == b,
    "ne": lambda a, b, w: a != b,
    "lt_s": lambda a, b, w: signed(a, w) < signed(b, w),
    "lt_u": lambda a, b, w: a < b,
    "gt_s": lambda a, b, w: signed(a, w) > signed(b, w),
    "gt_u": lambda a, b, w: a > b,
    "le_s": lambda a, b, w: signed(a, w) <= signed(b, w),
    "le_u": lambda a, b, w: a <= b,
    "ge_s": lambda a, b, w: signed(a, w) >= signed(b, w),
    "ge_u": lambda a, b, w: a >= b,
}
_UNARY: dict[str, Callable[[int, int], int]] = {
    "eqz": lambda a, w: a == 0,
    "clz": lambda a, w: w - a.bit_length(),
    "ctz": lambda a, w: (a & -a).bit_length() - 1 if a else w,
    "popcnt": lambda a, w: a.bit_count(),
    "extend8_s": lambda a, w: signed(a, 8),
    "extend16_s": lambda a, w: signed(a, 16),
    "extend32_s": lambda a, w: signed(a, 32),
    "extend_i32_s": lambda a, w: signed(a, 32),
    "extend_i32_u": lambda a, w: a,
    "wrap_i64": lambda a, w: a,
}


def _quotient(a: int, b: int) -> int:
    """Division that rounds towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def fold(op: str, numbers: list[int], result_width: int) -> int | None:
    """What an integer operation gives for unsigned constants; None when it traps or is not one of these."""
    type_, _, name = op.partition(".")
    if type_ not in ("i32", "i64"):
        return None
    width = int(type_[1:])
    if len(numbers) == 1 and name in _UNARY:
        result = _UNARY[name](numbers[0], width)
    elif len(numbers) == 2 and name in BINARY and not _traps(name, numbers, width):
        result = BINARY[name](numbers[0], numbers[1], width)
    else:
        return None
    return result & ((1 << result_width) - 1)


def _traps(name: str, numbers: list[int], width: int) -> bool:
    if name[:3] not in ("div", "rem"):
        return False
    overflows = name == "div_s" and numbers == [1 << (width - 1), (1 << width) - 1]
    return numbers[1] == 0 or overflows


RULES: dict[str, list[Rule]] = {}
"""The rules by the operation that they begin with, in the order of the table."""
for _rule in parse_rules(_TABLE):
    RULES.setdefault(_rule.pattern.op, []).append(_rule)
