"""THE TABLE: one row per bytecode instruction.

This file decides what every instruction is called, how its bits lie and what it does. Encoder, decoder, disassembler,
interpreter handlers and the manual are derived from it. It refuses to know who chooses an instruction and who runs it.

A picture draws halfwords from left to right, each from bit 15 down to bit 0; `o` is the row's opcode, a digit is
itself, any other letter is an operand:

    d          slot written                     k   slot where the callee's frame begins
    a b c      slots read                       f   function      s  signature    t y  table
    i          signed immediate                 g   global slot   x  segment      h    host import
                                                m q linear memory    v  tag of an exception
    u n        unsigned immediate, count        z   slot of a frame too large for eight bits
    j          signed distance in halfwords from the first halfword of this instruction to the target
    e          constant offset of an access

An operand that fills two halfwords has its low half first. A 64-bit operand lies in slots n (low half) and n + 1.
Opcode byte 0xFF leads to the escape page, whose opcode is the other byte.

The meaning is C over the operands' values; the words in capitals are the few that the interpreter defines:
TRAP_IF, ACCESS (checks that size bytes at a + e are backed and sets p to them; ACCESS_SUM: at an address that wraps),
PUT (puts d away before the instruction ends), TRUNCATE and SATURATE (of a float to an integer), QUOTIENT and
REMAINDER (of 64 bits, with their traps), BRANCH, ENTER, LEAVE, TRY, STOP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

ISA_VERSION = 1
"""Version 1 is frozen: firmware that was built once goes on meaning the same. Rows that come later stand behind these,
with the version that brought them (tests/isa/test_frozen.py)."""
LINK_SLOTS = 2
"""Slots below a frame that hold its return link: distance to the caller's frame, return address."""
CROSS_LINK_SLOTS = 5
"""The same for a call that may enter another module: also the caller's memory, address and distance."""
MAXIMUM_SLOT = 255
"""Highest slot that an eight-bit operand names."""

FEATURES = {"tail_calls": 1, "typed_references": 2, "multiple_memories": 4, "exceptions": 8}
"""Parts of WebAssembly that cost flash of their own, with their bits in the header of an image that uses them."""

SLOT_LETTERS = "dabc"
SIGNED_LETTERS = "ij"
RELOCATIONS = {
    "f": "function",
    "s": "signature",
    "g": "global",
    "t": "table",
    "y": "table",
    "h": "import",
    "m": "memory",
    "q": "memory",
    "v": "tag",
}
"""Operands that name something by its index; `x` is `data` or `element` by the row's name."""

FORMATS = {
    # one halfword
    "": "00000000 oooooooo",
    "u": "uuuuuuuu oooooooo",
    "j": "jjjjjjjj oooooooo",
    "da.short": "aaaadddd oooooooo",
    "di.short": "iiiidddd oooooooo",
    "du.short": "uuuudddd oooooooo",
    "ba.short": "aaaabbbb oooooooo",
    "aj.short": "jjjjaaaa oooooooo",
    # two halfwords
    "da": "dddddddd oooooooo 00000000 aaaaaaaa",
    "dab": "dddddddd oooooooo bbbbbbbb aaaaaaaa",
    "dai": "dddddddd oooooooo iiiiiiii aaaaaaaa",
    "dau": "dddddddd oooooooo uuuuuuuu aaaaaaaa",
    "di": "dddddddd oooooooo iiiiiiii iiiiiiii",
    "dae": "dddddddd oooooooo eeeeeeee aaaaaaaa",
    "bae": "bbbbbbbb oooooooo eeeeeeee aaaaaaaa",
    "abc": "cccccccc oooooooo bbbbbbbb aaaaaaaa",
    "bai": "bbbbbbbb oooooooo iiiiiiii aaaaaaaa",
    "de": "dddddddd oooooooo eeeeeeee eeeeeeee",
    "be": "bbbbbbbb oooooooo eeeeeeee eeeeeeee",
    "dij": "dddddddd oooooooo jjjjjjjj iiiiiiii",
    "diuj": "dddddddd oooooooo iiiiiiii uuuuuuuu jjjjjjjj jjjjjjjj",
    "dibj": "dddddddd oooooooo iiiiiiii bbbbbbbb jjjjjjjj jjjjjjjj",
    "dg": "dddddddd oooooooo gggggggg gggggggg",
    "ag": "aaaaaaaa oooooooo gggggggg gggggggg",
    "dz": "dddddddd oooooooo zzzzzzzz zzzzzzzz",
    "az": "aaaaaaaa oooooooo zzzzzzzz zzzzzzzz",
    "abj": "aaaaaaaa oooooooo jjjjjjjj bbbbbbbb",
    "aij": "aaaaaaaa oooooooo jjjjjjjj iiiiiiii",
    "auj": "aaaaaaaa oooooooo jjjjjjjj uuuuuuuu",
    "duj": "uuuudddd oooooooo jjjjjjjj jjjjjjjj",
    "daj": "aaaadddd oooooooo jjjjjjjj jjjjjjjj",
    "aj": "aaaaaaaa oooooooo jjjjjjjj jjjjjjjj",
    "j.wide": "00000000 oooooooo jjjjjjjj jjjjjjjj",
    "an": "aaaaaaaa oooooooo nnnnnnnn nnnnnnnn",
    "kf": "kkkkkkkk oooooooo ffffffff ffffffff",
    "kh": "kkkkkkkk oooooooo hhhhhhhh hhhhhhhh",
    # three and four halfwords
    "di.wide": "dddddddd oooooooo iiiiiiii iiiiiiii iiiiiiii iiiiiiii",
    "dabc": "dddddddd oooooooo bbbbbbbb aaaaaaaa 00000000 cccccccc",
    "dabi": "dddddddd oooooooo bbbbbbbb aaaaaaaa iiiiiiii iiiiiiii",
    "dai.wide": "dddddddd oooooooo 00000000 aaaaaaaa iiiiiiii iiiiiiii",
    "bai.wide": "bbbbbbbb oooooooo 00000000 aaaaaaaa iiiiiiii iiiiiiii",
    "dae.wide": "dddddddd oooooooo 00000000 aaaaaaaa eeeeeeee eeeeeeee",
    "bae.wide": "bbbbbbbb oooooooo 00000000 aaaaaaaa eeeeeeee eeeeeeee",
    "kast": "kkkkkkkk oooooooo 00000000 aaaaaaaa ssssssss ssssssss tttttttt tttttttt",
    # the escape page
    "x:da": "oooooooo 11111111 dddddddd aaaaaaaa",
    "x:dab": "oooooooo 11111111 dddddddd aaaaaaaa 00000000 bbbbbbbb",
    "x:dae": "oooooooo 11111111 dddddddd aaaaaaaa eeeeeeee eeeeeeee eeeeeeee eeeeeeee",
    "x:j": "oooooooo 11111111 jjjjjjjj jjjjjjjj jjjjjjjj jjjjjjjj",
    "x:kf": "oooooooo 11111111 kkkkkkkk kkkkkkkk ffffffff ffffffff",
    "x:kh": "oooooooo 11111111 kkkkkkkk kkkkkkkk hhhhhhhh hhhhhhhh",
    "x:kast": "oooooooo 11111111 kkkkkkkk kkkkkkkk 00000000 aaaaaaaa ssssssss ssssssss tttttttt tttttttt",
    "x:d": "oooooooo 11111111 dddddddd 00000000",
    "x:x": "oooooooo 11111111 xxxxxxxx xxxxxxxx",
    "x:abc": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc",
    "x:abcx": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc xxxxxxxx xxxxxxxx",
    "x:abct": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc tttttttt tttttttt",
    "x:abcty": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc tttttttt tttttttt yyyyyyyy yyyyyyyy",
    "x:abcxt": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc xxxxxxxx xxxxxxxx tttttttt tttttttt",
    "x:f": "oooooooo 11111111 ffffffff ffffffff",
    "x:ka": "oooooooo 11111111 kkkkkkkk kkkkkkkk 00000000 aaaaaaaa",
    "x:none": "oooooooo 11111111",
    "x:kv": "oooooooo 11111111 kkkkkkkk kkkkkkkk vvvvvvvv vvvvvvvv",
    "x:k": "oooooooo 11111111 kkkkkkkk kkkkkkkk",
    "x:m": "oooooooo 11111111 mmmmmmmm mmmmmmmm",
    "x:abcmq": "oooooooo 11111111 bbbbbbbb aaaaaaaa 00000000 cccccccc mmmmmmmm mmmmmmmm qqqqqqqq qqqqqqqq",
    "x:dt": "oooooooo 11111111 dddddddd 00000000 tttttttt tttttttt",
    "x:dat": "oooooooo 11111111 dddddddd aaaaaaaa tttttttt tttttttt",
    "x:abt": "oooooooo 11111111 bbbbbbbb aaaaaaaa tttttttt tttttttt",
    "x:dabt": "oooooooo 11111111 dddddddd aaaaaaaa 00000000 bbbbbbbb tttttttt tttttttt",
}


@dataclass(frozen=True, eq=False)  # each row is itself and nothing else, and found quickly in a dict
class Row:
    """One instruction: name, picture of its bits, opcode, types of its slot operands, meaning, sentence."""

    name: str
    opcode: int
    format: str
    types: str
    meaning: str
    sentence: str
    calls: bool = False
    """Whether the handler in C calls functions, on one core at least: for what the core has no instruction."""
    since: int = 1
    feature: str = ""
    """One of FEATURES that a firmware may be built without; "" for what every firmware has."""

    @cached_property
    def bits(self) -> str:
        """The picture with the opcode drawn in, sixteen characters a halfword."""
        drawn = iter(f"{self.opcode:08b}")
        return "".join(next(drawn) if c == "o" else c for c in FORMATS[self.format].replace(" ", ""))

    @property
    def escaped(self) -> bool:
        """Whether the row stands on the escape page."""
        return self.format.startswith("x:")

    @property
    def halfwords(self) -> int:
        """Length; `br_table` is followed by n + 1 more."""
        return len(self.bits) // 16

    @cached_property
    def function(self) -> str:
        """The function of C that is all the row does to its operands, for rows of the escape page; else ""."""
        called = re.fullmatch(r"d = (vm_\w+)\(a(, b)?\)", self.meaning)
        return called[1] if called and self.escaped else ""

    @cached_property
    def in_place(self) -> bool:
        """Whether the row reads the slot that it writes."""
        return re.search(r"\bd [-+*&|^]= |\bd <<= |\bd >>= |: d$", self.meaning) is not None

    @cached_property
    def slot_types(self) -> dict[str, str]:
        """Slot operands in the order d, a, b, c and the type of each."""
        letters = [letter for letter in SLOT_LETTERS if letter in self.bits]
        return dict(zip(letters, self.types.split(), strict=True))


@dataclass(frozen=True)
class Trap:
    """Why a program stopped: number on the wire, name, the words of the WebAssembly test suite."""

    number: int
    name: str
    text: str


TRAPS = [
    Trap(number, name, text)
    for number, (name, text) in enumerate(
        [
            ("none", "no trap"),
            ("unreachable", "unreachable"),
            ("memory_out_of_bounds", "out of bounds memory access"),
            ("not_backed", "address not backed: raise --heap or --stack"),
            ("divide_by_zero", "integer divide by zero"),
            ("integer_overflow", "integer overflow"),
            ("invalid_conversion", "invalid conversion to integer"),
            ("table_out_of_bounds", "out of bounds table access"),
            ("undefined_element", "undefined element"),
            ("uninitialized_element", "uninitialized element"),
            ("indirect_call_type_mismatch", "indirect call type mismatch"),
            ("stack_exhausted", "call stack exhausted"),
            ("exit", "program ended"),
            ("stopped", "stopped"),
            ("read_only", "store to read-only data in flash: build without --rodata flash"),
            ("illegal_instruction", "illegal instruction"),
            ("null_reference", "null reference"),
            ("null_function_reference", "null function reference"),
            ("uncaught_exception", "uncaught exception"),
            ("exceptions_exhausted", "too many exceptions are alive"),
            ("fuel_used_up", "fuel used up"),
        ]
    )
]
TRAP_NUMBERS = {trap.name: trap.number for trap in TRAPS}

_rows: list[Row] = []


def _row(
    name: str, form: str, types: str, meaning: str, sentence: str, calls: bool = False, feature: str = "",
    since: int = 1,
) -> None:  # fmt: skip
    """Append a row; opcodes are given at the end."""
    _rows.append(Row(name, 0, form, types, meaning, sentence, calls, since, feature))


def _binary(type_: str, form: str, rows: dict[str, tuple[str, str]], result: str = "", calls: bool = False) -> None:
    for name, (meaning, sentence) in rows.items():
        _row(f"{type_}.{name}", form, f"{result or type_} {type_} {type_}", meaning, sentence, calls)


# control ------------------------------------------------------------------------------------------------------------

_row("halt", "", "", "STOP(0)", "Ends the call that the host began; the first halfword of every code section.")
_row(
    "leave_cross", "", "", "LEAVE_CROSS()", "Returns from a call into another module; the second halfword.", calls=True
)
_row("trap", "u", "", "TRAP(u)", "Traps with the given kind.")
_row("return", "", "", "LEAVE()", "Returns; the results lie in slot 0 and up.")
_row("br", "j", "", "BRANCH(j)", "Jumps.")
_row("br.wide", "j.wide", "", "BRANCH(j)", "Jumps further.")
_row("br_const", "duj", "i32", "d = u; PUT(d); BRANCH(j)", "Sets a small constant and jumps.")
_row("br_copy", "daj", "i32 i32", "d = a; PUT(d); BRANCH(j)", "Copies a slot and jumps.")
_row("br.far", "x:j", "", "BRANCH(j)", "Jumps anywhere.")
_row("br_if.short", "aj.short", "i32", "if (a != 0) BRANCH(j)", "Jumps when a is not zero.")
_row("br_unless.short", "aj.short", "i32", "if (a == 0) BRANCH(j)", "Jumps when a is zero.")
_row("br_if", "aj", "i32", "if (a != 0) BRANCH(j)", "Jumps when a is not zero.")
_row("br_unless", "aj", "i32", "if (a == 0) BRANCH(j)", "Jumps when a is zero.")
_row(
    "br_table",
    "an",
    "i32",
    "BRANCH(TABLE_ENTRY(a < n ? a : n))",
    "Jumps by the a-th of the n + 1 distances that follow, the last when a is n or more.",
)
_row("call", "kf", "", "ENTER(k, f)", "Calls a function of the same module whose frame begins at slot k.")
_row("call_host", "kh", "", "HOST(k, h)", "Calls a host function with its arguments at slot k.", calls=True)
_row("call_cross", "kf", "", "ENTER_CROSS(k, f)", "Calls a function of another module.", calls=True)
_row(
    "call_indirect",
    "kast",
    "i32",
    "ENTER_INDIRECT(k, a, s, t)",
    "Calls the a-th function of table t if its signature is s.",
    calls=True,
)
_row("call.wide", "x:kf", "", "ENTER(k, f)", "call, with a frame far away.")
_row("call_host.wide", "x:kh", "", "HOST(k, h)", "call_host, with arguments far away.", calls=True)
_row("call_cross.wide", "x:kf", "", "ENTER_CROSS(k, f)", "call_cross, with a frame far away.", calls=True)
_row("call_indirect.wide", "x:kast", "i32", "ENTER_INDIRECT(k, a, s, t)", "call_indirect, far away.", calls=True)

# moves --------------------------------------------------------------------------------------------------------------

_row("copy.short", "da.short", "i32 i32", "d = a", "Copies a slot.")
_row("copy", "da", "i32 i32", "d = a", "Copies a slot.")
_row("copy64", "da", "i64 i64", "d = a", "Copies two slots.")
_row("const.short", "du.short", "i32", "d = u", "Sets a small constant.")
_row("i32.const", "di", "i32", "d = (uint32_t)i", "Sets a constant of sixteen bits, sign-extended.")
_row("i32.const.wide", "di.wide", "i32", "d = (uint32_t)i", "Sets any constant; f32 and references too.")
_row("i64.const", "di", "i64", "d = (uint64_t)(int64_t)i", "Sets both slots to a sign-extended constant.")
_row("slot.load", "dz", "i32", "d = FAR_SLOT(z)", "Fetches a slot beyond the reach of eight bits.")
_row("slot.store", "az", "i32", "FAR_SLOT(z) = a", "Puts away a slot beyond the reach of eight bits.")
_row("i32.select", "dabc", "i32 i32 i32 i32", "d = c != 0 ? a : b", "Chooses between two slots.")
_row("i32.move_if", "dab", "i32 i32 i32", "d = b != 0 ? a : d", "Copies a slot when b is not zero.")
_row("i32.move_unless", "dab", "i32 i32 i32", "d = b == 0 ? a : d", "Copies a slot when b is zero.")
_row("i64.select", "dabc", "i64 i64 i64 i32", "d = c != 0 ? a : b", "Chooses between two pairs of slots.")
_row("global.get", "dg", "i32", "d = GLOBAL(g)", "Reads a global.")
_row("global.set", "ag", "i32", "GLOBAL(g) = a", "Writes a global.")
_row("global.get64", "dg", "i64", "d = GLOBAL64(g)", "Reads a global of two slots.")
_row("global.set64", "ag", "i64", "SET_GLOBAL64(g, a)", "Writes a global of two slots.")

# i32 ----------------------------------------------------------------------------------------------------------------

_row("i32.add.short", "da.short", "i32 i32", "d += a", "Adds in place.")
_row("i32.sub.short", "da.short", "i32 i32", "d -= a", "Subtracts in place.")
_row("i32.mul.short", "da.short", "i32 i32", "d *= a", "Multiplies in place.")
_row("i32.and.short", "da.short", "i32 i32", "d &= a", "Bitwise and in place.")
_row("i32.or.short", "da.short", "i32 i32", "d |= a", "Bitwise or in place.")
_row("i32.xor.short", "da.short", "i32 i32", "d ^= a", "Bitwise exclusive or in place.")
_row("i32.add_imm.short", "di.short", "i32", "d += (uint32_t)i", "Adds a small constant in place.")
_row("i32.and_imm.short", "du.short", "i32", "d &= u", "Bitwise and with a small constant in place.")
_row("i32.shl_imm.short", "du.short", "i32", "d <<= u", "Shifts left by a small constant in place.")
_row("i32.shr_u_imm.short", "du.short", "i32", "d >>= u", "Shifts right in place, zero in.")
_row("i32.extend8_u.short", "da.short", "i32 i32", "d = a & 0xff", "Zero-extends the low byte.")

_DIVISION = "TRAP_IF(b == 0, VM_TRAP_DIVIDE_BY_ZERO); "
_OVERFLOW32 = "TRAP_IF(a == 0x80000000u && b == 0xffffffffu, VM_TRAP_INTEGER_OVERFLOW); "
_binary(
    "i32",
    "dab",
    {
        "add": ("d = a + b", "Adds."),
        "sub": ("d = a - b", "Subtracts."),
        "mul": ("d = a * b", "Multiplies, low half."),
        "and": ("d = a & b", "Bitwise and."),
        "or": ("d = a | b", "Bitwise or."),
        "xor": ("d = a ^ b", "Bitwise exclusive or."),
        "shl": ("d = a << (b & 31)", "Shifts left."),
        "shr_s": ("d = (uint32_t)((int32_t)a >> (b & 31))", "Shifts right, sign in."),
        "shr_u": ("d = a >> (b & 31)", "Shifts right, zero in."),
        "rotl": ("d = vm_rotl32(a, b)", "Rotates left."),
        "rotr": ("d = vm_rotl32(a, 32u - b)", "Rotates right."),
    },
)
_binary(
    "i32",
    "dab",
    {
        "div_s": (_DIVISION + _OVERFLOW32 + "d = (uint32_t)((int32_t)a / (int32_t)b)", "Divides, signed."),
        "div_u": (_DIVISION + "d = a / b", "Divides, unsigned."),
    },
    calls=True,
)
_binary(
    "i32",
    "dab",
    {
        "eq": ("d = a == b", "1 when equal."),
        "ne": ("d = a != b", "1 when not equal."),
        "lt_s": ("d = (int32_t)a < (int32_t)b", "1 when less, signed."),
        "lt_u": ("d = a < b", "1 when less, unsigned."),
        "le_s": ("d = (int32_t)a <= (int32_t)b", "1 when less or equal, signed."),
        "le_u": ("d = a <= b", "1 when less or equal, unsigned."),
    },
)
_binary(
    "i32",
    "dab",
    {
        "rem_s": (
            _DIVISION + "d = b == 0xffffffffu ? 0 : (uint32_t)((int32_t)a % (int32_t)b)",
            "Remainder, sign of a.",
        ),
        "rem_u": (_DIVISION + "d = a % b", "Remainder, unsigned."),
    },
    calls=True,
)
for _name, _form, _meaning, _sentence in [
    ("add_imm", "dai", "d = a + (uint32_t)i", "Adds a constant."),
    ("add_imm.wide", "dai.wide", "d = a + (uint32_t)i", "Adds a constant of sixteen bits."),
    ("mul_imm", "dai", "d = a * (uint32_t)i", "Multiplies by a constant."),
    ("and_imm", "dai", "d = a & (uint32_t)i", "Bitwise and with a constant."),
    ("or_imm", "dai", "d = a | (uint32_t)i", "Bitwise or with a constant."),
    ("xor_imm", "dai", "d = a ^ (uint32_t)i", "Bitwise exclusive or with a constant."),
    ("sub_from_imm", "dai", "d = (uint32_t)i - a", "Subtracts from a constant."),
    ("shl_imm", "dau", "d = a << (u & 31)", "Shifts left by a constant."),
    ("shr_s_imm", "dau", "d = (uint32_t)((int32_t)a >> (u & 31))", "Shifts right by a constant, sign in."),
    ("shr_u_imm", "dau", "d = a >> (u & 31)", "Shifts right by a constant, zero in."),
    ("rotl_imm", "dau", "d = vm_rotl32(a, u)", "Rotates left by a constant."),
    ("eq_imm", "dai", "d = a == (uint32_t)i", "1 when equal to a constant."),
    ("ne_imm", "dai", "d = a != (uint32_t)i", "1 when not equal to a constant."),
    ("lt_s_imm", "dai", "d = (int32_t)a < i", "1 when less than a constant, signed."),
    ("lt_u_imm", "dai", "d = a < (uint32_t)i", "1 when less than a constant, unsigned."),
    ("gt_s_imm", "dai", "d = (int32_t)a > i", "1 when greater than a constant, signed."),
    ("gt_u_imm", "dai", "d = a > (uint32_t)i", "1 when greater than a constant, unsigned."),
]:
    _row(f"i32.{_name}", _form, "i32 i32", _meaning, _sentence)
for _name, _meaning, _sentence, _calls in [
    ("clz", "d = vm_clz32(a)", "Counts leading zeros, 32 for zero.", True),
    ("ctz", "d = vm_ctz32(a)", "Counts trailing zeros, 32 for zero.", True),
    ("extend8_s", "d = (uint32_t)(int8_t)a", "Sign-extends the low byte.", False),
    ("extend16_s", "d = (uint32_t)(int16_t)a", "Sign-extends the low halfword.", False),
    ("extend8_u", "d = a & 0xff", "Zero-extends the low byte.", False),
    ("extend16_u", "d = a & 0xffff", "Zero-extends the low halfword.", False),
]:
    _row(f"i32.{_name}", "da", "i32 i32", _meaning, _sentence, _calls)

_row("i32.popcnt", "x:da", "i32 i32", "d = vm_popcnt32(a)", "Counts ones.")
_row("i32.mul_add", "dabc", "i32 i32 i32 i32", "d = a * b + c", "Multiplies and adds.")
_row("i32.mul_imm_add", "dabi", "i32 i32 i32", "d = a * (uint32_t)i + b", "Multiplies by a constant and adds.")
for _suffix, _format, _types, _other, _sentence in [
    ("nz", "dij", "i32", "0", "Adds a constant, jumps unless the sum is zero."),
    ("ne", "dibj", "i32 i32", "b", "Adds a constant, jumps unless the sum is b."),
    ("ne_imm", "diuj", "i32", "u", "Adds a constant, jumps unless the sum is another constant."),
]:
    _row(f"i32.add_br_{_suffix}", _format, _types, f"d += (uint32_t)i; PUT(d); if (d != {_other}) BRANCH(j)", _sentence)
_CONDITIONS = [
    ("eq", "a == b", "equal"),
    ("ne", "a != b", "not equal"),
    ("lt_s", "(int{0}_t)a < (int{0}_t)b", "a < b, signed"),
    ("lt_u", "a < b", "a < b, unsigned"),
    ("ge_s", "(int{0}_t)a >= (int{0}_t)b", "a >= b, signed"),
    ("ge_u", "a >= b", "a >= b, unsigned"),
]
for _name, _meaning, _sentence in _CONDITIONS:
    _row(f"br_i32.{_name}", "abj", "i32 i32", f"if ({_meaning.format(32)}) BRANCH(j)", f"Jumps when {_sentence}.")
for _name, _meaning, _sentence in _CONDITIONS:
    _constant = _meaning.format(32).replace("b", "(uint32_t)i").replace("(int32_t)(uint32_t)i", "i")
    _row(f"br_i32.{_name}_imm", "aij", "i32", f"if ({_constant}) BRANCH(j)", f"Jumps when {_sentence}, b constant.")
_row("br_i32.any_imm", "auj", "i32", "if ((a & u) != 0) BRANCH(j)", "Jumps when a and a constant share a bit.")
_row("br_i32.none_imm", "auj", "i32", "if ((a & u) == 0) BRANCH(j)", "Jumps when a and a constant share no bit.")
for _name, _meaning, _sentence in _CONDITIONS:
    _meaning = f"if ({_meaning.format(64)}) BRANCH(j)"
    _row(f"br_i64.{_name}", "abj", "i64 i64", _meaning, f"Jumps when {_sentence}.")

# linear memory ------------------------------------------------------------------------------------------------------

_LOADS = [
    ("i32.load", "i32", 4, "d = vm_read32(p)", "Loads a word."),
    ("i32.load8_s", "i32", 1, "d = (uint32_t)(int8_t)*p", "Loads a byte, sign-extended."),
    ("i32.load8_u", "i32", 1, "d = *p", "Loads a byte."),
    ("i32.load16_s", "i32", 2, "d = (uint32_t)(int16_t)vm_read16(p)", "Loads a halfword, sign-extended."),
    ("i32.load16_u", "i32", 2, "d = vm_read16(p)", "Loads a halfword."),
    ("i64.load", "i64", 8, "d = vm_read64(p)", "Loads a double word."),
]
_STORES = [
    ("i32.store", "i32", 4, "vm_write32(p, b)", "Stores a word."),
    ("i32.store8", "i32", 1, "*p = (uint8_t)(b)", "Stores the low byte."),
    ("i32.store16", "i32", 2, "vm_write16(p, (uint16_t)(b))", "Stores the low halfword."),
    ("i64.store", "i64", 8, "vm_write64(p, b)", "Stores a double word."),
]
for _form, _suffix, _reach in [("{}ae", "", ""), ("{}ae.wide", ".wide", " Offset of 16 bits.")]:
    for _name, _type, _size, _meaning, _sentence in _LOADS:
        _meaning = f"ACCESS(a, e, {_size}); {_meaning}"
        _row(_name + _suffix, _form.format("d"), f"{_type} i32", _meaning, _sentence + _reach)
    for _name, _type, _size, _meaning, _sentence in _STORES:
        _meaning = f"ACCESS(a, e, VM_STORE | {_size}); {_meaning}"
        _row(_name + _suffix, _form.format("b"), f"i32 {_type}", _meaning, _sentence + _reach)

# An address that is a sum wraps around; it has no offset.
for _suffix, _sum, _forms, _index, _where in [
    ("sum", "a + b", ("dab", "abc"), " i32", "At a + b."),
    ("near", "a + (uint32_t)i", ("dai", "bai"), "", "At a + constant."),
    ("scaled", "a + (b << {})", ("dab", "abc"), " i32", "At a + b times its size."),
]:
    for _name, _type, _size, _meaning, _sentence in [*_LOADS, *_STORES]:
        if _suffix == "scaled" and _size == 1:
            continue
        _stores = ".store" in _name
        _types = f"i32{_index} {_type}" if _stores else f"{_type} i32{_index}"
        _value = "c" if _index else "b"
        _length = f"VM_STORE | {_size}" if _stores else f"{_size}"
        _meaning = f"ACCESS_SUM({_sum.format(_size.bit_length() - 1)}, {_length}); {_meaning}"
        _meaning = _meaning.replace("(b)", f"({_value})").replace("p, b)", f"p, {_value})") if _stores else _meaning
        _row(f"{_name}.{_suffix}", _forms[_stores], _types, _meaning, f"{_sentence} {_where}")

_row(
    "address.add",
    "x:dae",
    "i32 i32",
    "d = a + e; TRAP_IF(d < e, VM_TRAP_MEMORY_OUT_OF_BOUNDS)",
    "Adds an offset of more than 16 bits for an access at d.",
)

_WITHOUT = {
    "at": ("i32.load8_s", "i32.load16_s"),
    "near.wide": ("i32.load8_s", "i32.load16_s", "i64.load", "i64.store"),
    "short": ("i32.load8_s", "i32.load16_s", "i32.load16_u", "i32.store16", "i64.load", "i64.store"),
}
"""Forms that would be too rare to earn their flash."""
# At addresses alone, and with an operand less where the offset is zero.
for _form, _suffix, _place, _where in [
    ("{}e", "at", "(e)", "At a constant address."),
    ("{}ai.wide", "near.wide", "a + (uint32_t)i", "At a + constant of sixteen bits."),
    ("{}a.short", "short", "a", "At a."),
]:
    for _name, _type, _size, _meaning, _sentence in [*_LOADS, *_STORES]:
        if _name in _WITHOUT[_suffix]:
            continue
        _stores = ".store" in _name
        _length = f"VM_STORE | {_size}" if _stores else f"{_size}"
        _index = " i32" if _suffix != "at" else ""
        _types = f"i32 {_type}" if _stores and _index else _type + ("" if _stores else _index)
        _meaning = f"ACCESS_SUM({_place}, {_length}); {_meaning}"
        _row(f"{_name}.{_suffix}", _form.format("b" if _stores else "d"), _types, _meaning, f"{_sentence} {_where}")

_row("memory.size", "x:d", "i32", "d = vm_memory_size(VM)", "Pages of the linear memory.")
_row("memory.grow", "x:da", "i32 i32", "GROW(d, a)", "Adds pages; the old size, or -1.")
_row("memory.fill", "x:abc", "i32 i32 i32", "TRY(vm_memory_fill(VM, a, b, c))", "Sets c bytes at a to b.")
_row("memory.copy", "x:abc", "i32 i32 i32", "TRY(vm_memory_copy(VM, a, b, c))", "Copies c bytes from b to a.")
_row("memory.init", "x:abcx", "i32 i32 i32", "TRY(vm_memory_init(VM, x, a, b, c))", "Copies from a data segment.")
_row("data.drop", "x:x", "", "vm_data_drop(VM, x)", "Empties a data segment.")

# tables -------------------------------------------------------------------------------------------------------------

_row("table.get", "x:dat", "i32 i32", "TRY(vm_table_get(VM, t, a, &d))", "Reads a reference.")
_row("table.set", "x:abt", "i32 i32", "TRY(vm_table_set(VM, t, a, b))", "Writes a reference.")
_row("table.size", "x:dt", "i32", "d = vm_table_size(VM, t)", "Elements of a table.")
_row("table.grow", "x:dabt", "i32 i32 i32", "d = vm_table_grow(VM, t, a, b)", "Adds b elements a; old size, or -1.")
_row("table.fill", "x:abct", "i32 i32 i32", "TRY(vm_table_fill(VM, t, a, b, c))", "Sets c elements at a to b.")
_row("table.copy", "x:abcty", "i32 i32 i32", "TRY(vm_table_copy(VM, t, y, a, b, c))", "Copies c elements y[b] to t[a].")
_row("table.init", "x:abcxt", "i32 i32 i32", "TRY(vm_table_init(VM, x, t, a, b, c))", "Copies from an element segment.")
_row("elem.drop", "x:x", "", "vm_element_drop(VM, x)", "Empties an element segment.")

# i64 ----------------------------------------------------------------------------------------------------------------

_binary(
    "i64",
    "dab",
    {
        "add": ("d = a + b", "Adds."),
        "sub": ("d = a - b", "Subtracts."),
        "and": ("d = a & b", "Bitwise and."),
        "or": ("d = a | b", "Bitwise or."),
        "xor": ("d = a ^ b", "Bitwise exclusive or."),
    },
)
_binary(
    "i64",
    "dab",
    {
        "mul": ("d = a * b", "Multiplies, low half."),
        "shl": ("d = a << (b & 63)", "Shifts left."),
        "shr_s": ("d = (uint64_t)((int64_t)a >> (b & 63))", "Shifts right, sign in."),
        "shr_u": ("d = a >> (b & 63)", "Shifts right, zero in."),
    },
    calls=True,
)
_row("i64.add_imm", "dai", "i64 i64", "d = a + (uint64_t)(int64_t)i", "Adds a constant.")
_row("i64.and_imm", "dai", "i64 i64", "d = a & (uint64_t)(int64_t)i", "Bitwise and with a constant.")
_row("i64.shl_imm", "dau", "i64 i64", "d = a << (u & 63)", "Shifts left by a constant.", calls=True)
_row("i64.shr_s_imm", "dau", "i64 i64", "d = (uint64_t)((int64_t)a >> (u & 63))", "Shifts right, sign in.", calls=True)
_row("i64.shr_u_imm", "dau", "i64 i64", "d = a >> (u & 63)", "Shifts right, zero in.", calls=True)
_binary(
    "i64",
    "dab",
    {
        "eq": ("d = a == b", "1 when equal."),
        "ne": ("d = a != b", "1 when not equal."),
        "lt_s": ("d = (int64_t)a < (int64_t)b", "1 when less, signed."),
        "lt_u": ("d = a < b", "1 when less, unsigned."),
        "le_s": ("d = (int64_t)a <= (int64_t)b", "1 when less or equal, signed."),
        "le_u": ("d = a <= b", "1 when less or equal, unsigned."),
    },
    result="i32",
)
_row("i64.eqz", "da", "i32 i64", "d = a == 0", "1 when zero.")
_row("i64.extend_i32_s", "da", "i64 i32", "d = (uint64_t)(int64_t)(int32_t)a", "Sign-extends to 64 bits.")
_row("i64.extend_i32_u", "da", "i64 i32", "d = a", "Zero-extends to 64 bits.")

_binary(
    "i64",
    "x:dab",
    {
        "rotl": ("d = vm_rotl64(a, b)", "Rotates left."),
        "rotr": ("d = vm_rotr64(a, b)", "Rotates right."),
        "div_s": ("QUOTIENT(s)", "Divides, signed."),
        "div_u": ("QUOTIENT(u)", "Divides, unsigned."),
        "rem_s": ("REMAINDER(s)", "Remainder, sign of a."),
        "rem_u": ("REMAINDER(u)", "Remainder, unsigned."),
    },
)
for _name, _meaning, _sentence in [
    ("clz", "d = vm_clz64(a)", "Counts leading zeros, 64 for zero."),
    ("ctz", "d = vm_ctz64(a)", "Counts trailing zeros, 64 for zero."),
    ("popcnt", "d = vm_popcnt64(a)", "Counts ones."),
    ("extend8_s", "d = vm_extend8(a)", "Sign-extends the low byte."),
    ("extend16_s", "d = vm_extend16(a)", "Sign-extends the low halfword."),
    ("extend32_s", "d = vm_extend32(a)", "Sign-extends the low word."),
]:
    _row(f"i64.{_name}", "x:da", "i64 i64", _meaning, _sentence)


def _function(name: str, form: str, types: str, sentence: str) -> None:
    """A row that is a function of C on the bits of floats."""
    page = "" if name in _IN_ASSEMBLY else "x:"
    meaning = f"d = vm_{name.replace('.', '_')}({', '.join(form[1:])})"
    _row(name, page + form, types, meaning, sentence, calls=not page)


# f32 and f64 --------------------------------------------------------------------------------------------------------

_row("f32.add.short", "da.short", "f32 f32", "d += a", "Adds in place.", calls=True)
_row("f32.sub.short", "da.short", "f32 f32", "d -= a", "Subtracts in place.", calls=True)
_row("f32.mul.short", "da.short", "f32 f32", "d *= a", "Multiplies in place.", calls=True)
_row("f32.mul_add", "dabc", "f32 f32 f32 f32", "d = a * b; d = d + c", "Multiplies, rounds and adds.", calls=True)
for _type in ("f32", "f64"):
    _binary(
        _type,
        "dab",
        {
            "add": ("d = a + b", "Adds."),
            "sub": ("d = a - b", "Subtracts."),
            "mul": ("d = a * b", "Multiplies."),
            "div": ("d = a / b", "Divides."),
        },
        calls=True,
    )
    _binary(
        _type,
        "dab",
        {
            "eq": ("d = a == b", "1 when equal."),
            "ne": ("d = a != b", "1 when not equal or not ordered."),
            "lt": ("d = a < b", "1 when less."),
            "le": ("d = a <= b", "1 when less or equal."),
        },
        result="i32",
        calls=True,
    )
_IN_ASSEMBLY = frozenset(
    f"f32.{name}" for name in ("abs", "neg", "sqrt", "min", "max", "convert_i32_s", "convert_i32_u")
)
"""Functions that a core with an FPU has instructions for; they stand on the first page."""
for _type, _integer in [("f32", "i32"), ("f64", "i64")]:
    for _name, _sentence in [
        ("abs", "Clears the sign."),
        ("neg", "Flips the sign."),
        ("ceil", "Rounds up."),
        ("floor", "Rounds down."),
        ("trunc", "Rounds towards zero."),
        ("nearest", "Rounds to the nearest, ties to even."),
        ("sqrt", "Square root."),
    ]:
        _function(f"{_type}.{_name}", "da", f"{_integer} {_integer}", _sentence)
    for _name, _sentence in [
        ("copysign", "a with the sign of b."),
        ("min", "The lesser, -0 < +0, NaN wins."),
        ("max", "The greater, NaN wins."),
    ]:
        _types = f"{_integer} {_integer} {_integer}"
        _function(f"{_type}.{_name}", "dab", _types, _sentence)

for _integer in ("i32", "i64"):
    for _float in ("f32", "f64"):
        for _sign in ("s", "u"):
            _conversion = f"({_float}, {_integer}, {_sign})"
            _name = f"trunc_{_float}_{_sign}"
            _types = f"{_integer} {_float}"
            _sentence = "Rounds towards zero; traps when it does not fit."
            _row(f"{_integer}.{_name}", "x:da", _types, "TRUNCATE" + _conversion, _sentence)
            _sentence = "Rounds towards zero; the nearest when it does not fit, 0 for NaN."
            _row(f"{_integer}.{_name.replace('_', '_sat_', 1)}", "x:da", _types, "SATURATE" + _conversion, _sentence)
for _float, _bits in (("f32", "i32"), ("f64", "i64")):
    for _integer in ("i32", "i64"):
        for _sign, _sentence in (("s", "Converts, signed."), ("u", "Converts, unsigned.")):
            _name = f"convert_{_integer}_{_sign}"
            _function(f"{_float}.{_name}", "da", f"{_bits} {_integer}", _sentence)
_row("f32.demote_f64", "x:da", "i32 i64", "d = vm_f32_demote_f64(a)", "Narrows.")
_row("f64.promote_f32", "x:da", "i64 i32", "d = vm_f64_promote_f32(a)", "Widens.")

# tail calls, references, several memories --------------------------------------------------------------------------

_row(
    "tail_call",
    "x:f",
    "",
    "TAIL(f)",
    "Goes on in a function of the same module, whose parameters lie in slot 0 and up.",
    feature="tail_calls",
)
_row(
    "tail_call_indirect",
    "x:kast",
    "i32",
    "TAIL_INDIRECT(k, a, s, t)",
    "Goes on in the a-th function of table t; slot k is above this frame, for a callee of another module.",
    feature="tail_calls",
)
_row(
    "call_ref",
    "x:ka",
    "i32",
    "ENTER_REFERENCE(k, a)",
    "Calls the function that a refers to; k as for call.",
    feature="typed_references",
)
_row(
    "tail_call_ref",
    "x:ka",
    "i32",
    "TAIL_REFERENCE(k, a)",
    "Goes on in the function that a refers to.",
    feature="tail_calls",
)
_row(
    "leave_tail",
    "x:none",
    "",
    "LEAVE_TAIL()",
    "Returns from a tail call into another module; the third and last stub.",
    feature="tail_calls",
)
_row(
    "memory.use",
    "x:m",
    "",
    "USE_MEMORY(m)",
    "Makes m the linear memory of the accesses that follow.",
    feature="multiple_memories",
)
_row(
    "memory.copy_between",
    "x:abcmq",
    "i32 i32 i32",
    "TRY(vm_memory_copy_between(VM, m, q, a, b, c))",
    "Copies c bytes from b of memory q to a of memory m.",
    feature="multiple_memories",
)

# exceptions ---------------------------------------------------------------------------------------------------------

_row(
    "throw",
    "x:kv",
    "",
    "THROW(k, v)",
    "Throws an exception with tag v whose values lie at slot k.",
    feature="exceptions",
)
_row(
    "throw_ref",
    "x:k",
    "",
    "THROW_REFERENCE(k)",
    "Throws the exception that slot k refers to again.",
    feature="exceptions",
)

SHAPES = ("i32 i32", "i32 i64", "i64 i32", "i64 i64", "i32 i32 i32", "i64 i64 i64")
"""Types of rows that are a function of C: these stand last on the escape page, in this order, so that one piece of code
serves them all."""


def _numbered(rows: list[Row]) -> tuple[Row, ...]:
    """With opcodes in the order of the table, functions last; 0 stays free on both pages."""
    plain = [row for row in rows if not row.escaped]
    escaped = [row for row in rows if row.escaped and not row.function]
    functions = sorted((row for row in rows if row.function), key=lambda row: SHAPES.index(row.types))
    pages = (plain, escaped + functions)
    return tuple(replace(row, opcode=number) for page in pages for number, row in enumerate(page, start=1))


ROWS: tuple[Row, ...] = _numbered(_rows)
BY_NAME = {row.name: row for row in ROWS}
STUBS = ("halt", "leave_cross", "leave_tail")
"""The instructions that return links lead to, a halfword each; every code section begins with them."""
