"""Handlers of the interpreter written whole in assembly, for cores that run Armv7-M code.

This file decides which rows of isa.py have such a handler and which machine instructions it is made of. It refuses to
know what a row means beyond these instructions: tests hold every handler against the row's meaning in C.

Between two instructions of the bytecode the state lies in registers:

    r0   the 32 bits at pc: all of a short instruction
    r4   pc                 r7   host address of byte 0 of the memory's fast part
    r5   frame              r8   address in the linear memory where the fast part begins
    r6   table of handlers  r9   3 less than its size: an access of 4 bytes that begins below is inside
    r10  struct vm          r11  free, kept by C functions

A handler fetches its operands from slots, fetches the next 32 bits, works, puts the result away and jumps on. An access
outside the fast part takes the slow way, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutool.encoding import fields
from mcutool.isa import BY_NAME, TRAP_NUMBERS, Row

VM_FIELDS = {"code": 36, "functions": 40, "globals": 60, "stack_end": 72}
"""Offsets in struct vm that handlers read; the driver asserts them."""

DISPATCH = ["uxtb r2, r0", "ldr.w pc, [r6, r2, lsl #2]"]


@dataclass(frozen=True)
class Place:
    """Registers of an operand: its value, and the high half of one of 64 bits. The number of its slot comes first."""

    low: str
    high: str = ""


_I32 = {"a": Place("r1"), "b": Place("r2"), "c": Place("r12")}
_I64 = {"a": Place("r1", "r2"), "b": Place("r12", "lr"), "c": Place("r11")}

# --- what the rows do between operands and result ---------------------------------------------------------------------
# Operands: one slot in r1, r2, r12; with a first operand of two slots in r1:r2, r12:lr, r11. Immediates take the place
# of the next operand. Results: r1, or r1:r2. r3 holds the number of the result's slot, r0 the next instruction.

_IS_ZERO = "clz r1, r1; lsrs r1, r1, #5"


def _truth(condition: str, opposite: str) -> str:
    return f"ite {condition}; mov{condition} r1, #1; mov{opposite} r1, #0"


def _trap(label: str, kind: str) -> str:
    return f"{label}: mov r0, #{TRAP_NUMBERS[kind]}; b trap"


BODIES = {
    "copy.short": "",
    "copy": "",
    "copy64": "",
    "const.short": "",
    "i32.const": "",
    "i32.const.wide": "",
    "i64.const": "asrs r2, r1, #31",
    "slot.load": "ldr.w r1, [r5, r1, lsl #2]",
    "slot.store": "str.w r1, [r5, r2, lsl #2]",
    "i32.select": "cmp r12, #0; it eq; moveq r1, r2",
    "i64.select": "cmp r11, #0; itt eq; moveq r1, r12; moveq r2, lr",
    "global.get": "ldr.w r2, [r10, #{globals}]; ldr.w r1, [r2, r1, lsl #2]",
    "global.set": "ldr.w r12, [r10, #{globals}]; str.w r1, [r12, r2, lsl #2]",
    "global.get64": "ldr.w r2, [r10, #{globals}]; add.w r2, r2, r1, lsl #2; ldr r1, [r2]; ldr r2, [r2, #4]",
    "global.set64": "ldr.w lr, [r10, #{globals}]; add.w lr, lr, r12, lsl #2; str.w r1, [lr]; str.w r2, [lr, #4]",
    "i32.add": "add r1, r2",
    "i32.sub": "subs r1, r1, r2",
    "i32.mul": "muls r1, r2",
    "i32.and": "ands r1, r2",
    "i32.or": "orrs r1, r2",
    "i32.xor": "eors r1, r2",
    "i32.shl": "and r2, r2, #31; lsls r1, r2",
    "i32.shr_s": "and r2, r2, #31; asrs r1, r2",
    "i32.shr_u": "and r2, r2, #31; lsrs r1, r2",
    "i32.rotl": "negs r2, r2; rors r1, r2",
    "i32.rotr": "rors r1, r2",
    "i32.eq": f"subs r1, r1, r2; {_IS_ZERO}",
    "i32.ne": "subs r1, r1, r2; it ne; movne r1, #1",
    "i32.lt_s": f"cmp r1, r2; {_truth('lt', 'ge')}",
    "i32.lt_u": "subs r1, r1, r2; sbcs r1, r1; negs r1, r1",
    "i32.le_s": f"cmp r1, r2; {_truth('le', 'gt')}",
    "i32.le_u": f"cmp r1, r2; {_truth('ls', 'hi')}",
    "i32.add_imm": "add r1, r2",
    "i32.mul_imm": "muls r1, r2",
    "i32.and_imm": "ands r1, r2",
    "i32.add_imm.wide": "add r1, r2",
    "i32.extend8_u": "uxtb r1, r1",
    "i32.extend16_u": "uxth r1, r1",
    "i32.mul_imm_add": "mla r1, r1, r12, r2",
    "i32.move_if": "cmp r12, #0; it ne; movne r1, r2",
    "i32.move_unless": "cmp r12, #0; it eq; moveq r1, r2",
    "i32.mul_add": "mla r1, r1, r2, r12",
    "i32.or_imm": "orrs r1, r2",
    "i32.xor_imm": "eors r1, r2",
    "i32.sub_from_imm": "subs r1, r2, r1",
    "i32.shl_imm": "lsls r1, r2",
    "i32.shr_s_imm": "asrs r1, r2",
    "i32.shr_u_imm": "lsrs r1, r2",
    "i32.rotl_imm": "negs r2, r2; rors r1, r2",
    "i32.eq_imm": f"subs r1, r1, r2; {_IS_ZERO}",
    "i32.ne_imm": "subs r1, r1, r2; it ne; movne r1, #1",
    "i32.lt_s_imm": f"cmp r1, r2; {_truth('lt', 'ge')}",
    "i32.lt_u_imm": "subs r1, r1, r2; sbcs r1, r1; negs r1, r1",
    "i32.gt_s_imm": f"cmp r1, r2; {_truth('gt', 'le')}",
    "i32.gt_u_imm": f"cmp r1, r2; {_truth('hi', 'ls')}",
    "i32.clz": "clz r1, r1",
    "i32.ctz": "rbit r1, r1; clz r1, r1",
    "i32.extend8_s": "sxtb r1, r1",
    "i32.extend16_s": "sxth r1, r1",
    "i64.add": "adds.w r1, r1, r12; adc.w r2, r2, lr",
    "i64.sub": "subs.w r1, r1, r12; sbc.w r2, r2, lr",
    "i64.mul": "mul r2, r2, r12; mla r2, r1, lr, r2; umull r1, lr, r1, r12; add r2, lr",
    "i64.and": "and.w r1, r1, r12; and.w r2, r2, lr",
    "i64.or": "orr.w r1, r1, r12; orr.w r2, r2, lr",
    "i64.xor": "eor.w r1, r1, r12; eor.w r2, r2, lr",
    "i64.add_imm": "asr lr, r12, #31; adds.w r1, r1, r12; adc.w r2, r2, lr",
    "i64.and_imm": "asr lr, r12, #31; and.w r1, r1, r12; and.w r2, r2, lr",
    "i64.eq": f"eor.w r1, r1, r12; eor.w r2, r2, lr; orrs r1, r2; {_IS_ZERO}",
    "i64.ne": "eor.w r1, r1, r12; eor.w r2, r2, lr; orrs r1, r2; it ne; movne r1, #1",
    "i64.lt_s": f"cmp r1, r12; sbcs.w r2, r2, lr; {_truth('lt', 'ge')}",
    "i64.lt_u": f"cmp r1, r12; sbcs.w r2, r2, lr; {_truth('lo', 'hs')}",
    "i64.le_s": f"cmp r12, r1; sbcs.w lr, lr, r2; {_truth('ge', 'lt')}",
    "i64.le_u": f"cmp r12, r1; sbcs.w lr, lr, r2; {_truth('hs', 'lo')}",
    "i64.eqz": f"orrs r1, r2; {_IS_ZERO}",
    "i64.extend_i32_s": "asrs r2, r1, #31",
    "i64.extend_i32_u": "movs r2, #0",
}
BODIES |= {
    f"{name}.short": BODIES[name]
    for name in [
        *(f"i32.{name}" for name in ("add", "sub", "mul", "and", "or", "xor", "extend8_u")),
        *(f"i32.{name}_imm" for name in ("add", "and", "shl", "shr_u")),
    ]
}
_SHIFT = {
    "shl": "rsb lr, r12, #32; lsl r2, r2, r12; lsr lr, r1, lr; orr r2, r2, lr; "
    "subs lr, r12, #32; it pl; lslpl r2, r1, lr; lsl r1, r1, r12",
    "shr_u": "rsb lr, r12, #32; lsr r1, r1, r12; lsl lr, r2, lr; orr r1, r1, lr; "
    "subs lr, r12, #32; it pl; lsrpl r1, r2, lr; lsr r2, r2, r12",
    "shr_s": "rsb lr, r12, #32; lsr r1, r1, r12; lsl lr, r2, lr; orr r1, r1, lr; "
    "subs lr, r12, #32; it pl; asrpl r1, r2, lr; asr r2, r2, r12",
}
BODIES |= {f"i64.{name}": "and r12, r12, #63; b.w shift_" + name for name in _SHIFT}
BODIES |= {f"i64.{name}_imm": f"shift_{name}: {body}" for name, body in _SHIFT.items()}

TRAPPING = {
    "i32.div_s": "cbz r2, 8f; cmn r2, #1; bne 1f; cmp r1, #0x80000000; beq 9f; 1: sdiv r1, r1, r2",
    "i32.div_u": "cbz r2, 8f; udiv r1, r1, r2",
    "i32.rem_s": "cbz r2, 8f; sdiv r12, r1, r2; mls r1, r12, r2, r1",
    "i32.rem_u": "cbz r2, 8f; udiv r12, r1, r2; mls r1, r12, r2, r1",
}
"""Rows that may trap, as long as r4 still tells where: the next instruction is fetched behind the body."""
BEHIND = {
    "i32.div_s": f"{_trap('8', 'divide_by_zero')}; {_trap('9', 'integer_overflow')}",
    "i32.div_u": _trap("8", "divide_by_zero"),
    "i32.rem_s": _trap("8", "divide_by_zero"),
    "i32.rem_u": _trap("8", "divide_by_zero"),
    **dict.fromkeys(("f32.min", "f32.max"), "8: vadd.f32 s0, s0, s1; vmov r1, s0; b 1b"),  # a NaN, made quiet
}

_FLOAT_IN = "vmov s0, s1, r1, r2"
_COMPARED = f"{_FLOAT_IN}; vcmp.f32 s0, s1; vmrs APSR_nzcv, fpscr"
FLOAT_BODIES = {
    **{f"f32.{n}": f"{_FLOAT_IN}; v{n}.f32 s0, s0, s1; vmov r1, s0" for n in ("add", "sub", "mul", "div")},
    **{f"f32.{n}.short": f"{_FLOAT_IN}; v{n}.f32 s0, s0, s1; vmov r1, s0" for n in ("add", "sub", "mul")},
    "f32.abs": "bic r1, r1, #0x80000000",
    "f32.neg": "eor r1, r1, #0x80000000",
    "f32.sqrt": "vmov s0, r1; vsqrt.f32 s0, s0; vmov r1, s0",
    "f32.convert_i32_s": "vmov s0, r1; vcvt.f32.s32 s0, s0; vmov r1, s0",
    "f32.convert_i32_u": "vmov s0, r1; vcvt.f32.u32 s0, s0; vmov r1, s0",
    "f32.min": f"{_COMPARED}; bvs 8f; it eq; orreq r1, r1, r2; it gt; movgt r1, r2; 1:",
    "f32.max": f"{_COMPARED}; bvs 8f; it eq; andeq r1, r1, r2; it mi; movmi r1, r2; 1:",
    "f32.mul_add": f"{_FLOAT_IN}; vmul.f32 s0, s0, s1; vmov s1, r12; vadd.f32 s0, s0, s1; vmov r1, s0",
    "f32.eq": f"{_COMPARED}; {_truth('eq', 'ne')}",
    "f32.ne": f"{_COMPARED}; {_truth('ne', 'eq')}",
    "f32.lt": f"{_COMPARED}; {_truth('mi', 'pl')}",
    "f32.le": f"{_COMPARED}; {_truth('ls', 'hi')}",
}
"""Rows that need the FPU."""

DOUBLE_BODIES = {
    **{f"f64.{name}": [f"bl __aeabi_d{name}", "b double_result"] for name in ("add", "sub", "mul", "div")},
    **{f"f64.{name}": [f"bl __aeabi_dcmp{name}", "b truth_result"] for name in ("eq", "lt", "le")},
    "f64.ne": ["bl __aeabi_dcmpeq", "eor r0, r0, #1", "b truth_result"],
}
"""Rows that the run-time library of the ABI computes; the ways there and back are the driver's."""

_CONDITION = {"eq": "ne", "ne": "eq", "lt_s": "ge", "ge_s": "lt", "lt_u": "hs", "ge_u": "lo"}
"""Comparison -> machine condition under which it does not hold."""

_LOADS = {
    "i32.load": "ldr.w r1, [r7, r1]",
    "i32.load8_s": "ldrsb.w r1, [r7, r1]",
    "i32.load8_u": "ldrb.w r1, [r7, r1]",
    "i32.load16_s": "ldrsh.w r1, [r7, r1]",
    "i32.load16_u": "ldrh.w r1, [r7, r1]",
    "i64.load": "add r2, r7, r1; ldr r1, [r2]; ldr r2, [r2, #4]",
}
_STORES = {
    "i32.store": "str.w r3, [r7, r1]",
    "i32.store8": "strb.w r3, [r7, r1]",
    "i32.store16": "strh.w r3, [r7, r1]",
    "i64.store": "add r1, r7; str r3, [r1]; str.w r12, [r1, #4]",
}
_SIZES = {"load8_s": 1, "load8_u": 1, "store8": 1, "load16_s": 2, "load16_u": 2, "store16": 2}
"""Bytes of an access that is narrower than its type."""

SPECIAL = {
    "halt": "movs r0, #0; b trap",
    "trap": "ubfx r0, r0, #8, #8; b trap",
    "return": "ldr.w r4, [r5, #-4]; ldr.w r1, [r5, #-8]; ldr r0, [r4]; sub.w r5, r5, r1, lsl #2; {dispatch}",
    "br": "sbfx r1, r0, #8, #8; add.w r4, r4, r1, lsl #1; ldr r0, [r4]; {dispatch}",
    "br_const": "ubfx r3, r0, #8, #4; ubfx r2, r0, #12, #4; asrs r1, r0, #16; add.w r4, r4, r1, lsl #1; ldr r0, [r4]; "
    "str.w r2, [r5, r3, lsl #2]; {dispatch}",
    "br_copy": "ubfx r2, r0, #12, #4; asrs r1, r0, #16; ldr.w r2, [r5, r2, lsl #2]; ubfx r3, r0, #8, #4; "
    "add.w r4, r4, r1, lsl #1; ldr r0, [r4]; str.w r2, [r5, r3, lsl #2]; {dispatch}",
    "br.wide": "asrs r1, r0, #16; add.w r4, r4, r1, lsl #1; ldr r0, [r4]; {dispatch}",
    "br_table": "ubfx r1, r0, #8, #8; lsrs r2, r0, #16; ldr.w r1, [r5, r1, lsl #2]; cmp r1, r2; it hi; movhi r1, r2; "
    "add.w r1, r4, r1, lsl #1; ldrsh.w r1, [r1, #4]; add.w r4, r4, r1, lsl #1; ldr r0, [r4]; {dispatch}",
    "call": "ubfx r1, r0, #8, #8; add.w r2, r5, r1, lsl #2; add r3, r4, #4; str.w r1, [r2, #-8]; str.w r3, [r2, #-4]; "
    "lsrs r0, r0, #16; ldr.w r3, [r10, #{functions}]; ldr.w r12, [r10, #{code}]; ldr.w r3, [r3, r0, lsl #3]; "
    "ldr.w lr, [r10, #{stack_end}]; add.w r3, r12, r3, lsl #1; sub.w lr, lr, r2; ldrh.w r12, [r3]; "
    "ldr.w r0, [r3, #2]!; cmp.w r12, lr, asr #2; bhi 9f; mov r4, r3; mov r5, r2; {dispatch}; "
    f"{_trap('9', 'stack_exhausted')}",
}

ASSEMBLED = frozenset((*BODIES, *TRAPPING, *SPECIAL, *DOUBLE_BODIES))


def is_assembled(row: Row) -> bool:
    """Whether the row has a handler here on every Armv7-M core."""
    return not row.escaped and (
        row.name in ASSEMBLED
        or row.name.startswith(("br_i32.", "br_i64.", "i32.add_br"))
        or row.name.startswith(("br_if", "br_unless"))
        or _plain(row.name) in _LOADS
        or _plain(row.name) in _STORES
    )


def needs_fpu(row: Row) -> bool:
    """Whether the row has a handler here on cores with an FPU."""
    return row.name in FLOAT_BODIES


def _plain(name: str) -> str:
    """The row that the access has in common with others that reach the address differently."""
    return ".".join(name.split(".")[:2])


def handler(row: Row) -> list[str]:
    """The handler's machine instructions and labels."""
    if row.name in SPECIAL:
        text = SPECIAL[row.name].replace("{dispatch}", "; ".join(DISPATCH))
        return _lines(text)
    if row.name in DOUBLE_BODIES:
        return ["bl double_operands", *DOUBLE_BODIES[row.name]]
    if row.name.startswith("i32.add_br"):
        return _loop(row)
    if row.name.startswith("br_"):
        return _branch(row)
    if _plain(row.name) in _LOADS:
        return _load(row)
    if _plain(row.name) in _STORES:
        return _store(row)
    return _value(row)


def _lines(text: str) -> list[str]:
    for name, offset in VM_FIELDS.items():
        text = text.replace("{" + name + "}", str(offset))
    return [line.strip() for line in text.split(";") if line.strip()]


def _number(row: Row, letter: str, register: str) -> list[str]:
    """Take an operand's number out of the instruction."""
    field = fields(row)[letter]
    (halfword, low, width), *rest = field.parts
    if letter == "u" and row.name.startswith(("i32.sh", "i32.rot", "i64.sh")):
        width = min(width, 6 if row.name.startswith("i64") else 5)
    if halfword >= 2 or rest:
        if rest:
            return [f"ldr.w {register}, [r4, #{2 * halfword}]"]
        width_suffix = "b" if width == 8 else "h"
        sign = "s" if field.signed else ""
        return [f"ldr{sign}{width_suffix}.w {register}, [r4, #{2 * halfword + low // 8}]"]
    low += 16 * halfword
    if low + width == 32 and width in (8, 16, 4):
        shift = "asrs" if field.signed else "lsrs"  # the flags are free before the body, and this form is short
        return [f"{shift} {register}, r0, #{low}"]
    extract = "sbfx" if field.signed else "ubfx"
    return [f"{extract} {register}, r0, #{low}, #{width}"]


def _value(row: Row) -> list[str]:
    """A row that computes: operands, body, result."""
    types = row.slot_types
    reads = [letter for letter in "abc" if letter in types]
    wide = any(types[letter] in ("i64", "f64") for letter in reads)
    places = _I64 if wide else _I32
    if row.in_place:
        places = {"d": Place("r1"), "a": Place("r2"), "b": Place("r12")}
    lines: list[str] = []
    immediates = [letter for letter in fields(row) if letter in "iugz"]
    free = [place.low for place in places.values()][len(reads) + row.in_place :]
    for letter in reads:
        lines += _number(row, letter, places[letter].low)
    if "d" in types:
        lines += _number(row, "d", "r3")
    for letter, register in zip(immediates, free, strict=False):
        lines += _number(row, letter, register)
    for letter in reads:
        if types[letter] in ("i64", "f64"):
            lines.append(f"add.w {places[letter].low}, r5, {places[letter].low}, lsl #2")
    if row.in_place:
        lines.append("ldr.w r1, [r5, r3, lsl #2]")
    for letter in reads:
        place = places[letter]
        if types[letter] in ("i64", "f64"):
            lines += [f"ldr {place.high}, [{place.low}, #4]", f"ldr {place.low}, [{place.low}]"]
        else:
            lines.append(f"ldr.w {place.low}, [r5, {place.low}, lsl #2]")
    following = f"ldr.w r0, [r4, #{2 * row.halfwords}]!"
    if row.name in TRAPPING:
        lines += [*_lines(TRAPPING[row.name]), following]
    else:
        lines += [following, *_lines(BODIES.get(row.name) or FLOAT_BODIES.get(row.name, ""))]
    if "b.w shift_" in BODIES.get(row.name, ""):
        return lines
    if types.get("d") in ("i64", "f64"):
        lines += ["add.w r3, r5, r3, lsl #2", "str r1, [r3]", "str r2, [r3, #4]"]
    elif "d" in types:
        lines.append("str.w r1, [r5, r3, lsl #2]")
    return [*lines, *DISPATCH, *_lines(BEHIND.get(row.name, ""))]


def _loop(row: Row) -> list[str]:
    """Add a constant to a slot, then branch on it."""
    lines = [*_number(row, "d", "r3"), *_number(row, "i", "r2"), "ldr.w r1, [r5, r3, lsl #2]"]
    if "b" in row.slot_types:
        lines[2:2] = _number(row, "b", "r12")
        lines.append("ldr.w r12, [r5, r12, lsl #2]")
    if "u" in fields(row):
        lines[2:2] = _number(row, "u", "r12")
    distance = _number(row, "j", "lr")
    compare = ["adds r1, r1, r2"] if row.name.endswith("nz") else ["add r1, r2", "cmp r1, r12"]
    lines += [*distance, *compare, "str.w r1, [r5, r3, lsl #2]", f"beq.w behind_{row.halfwords}"]
    return [*lines, "add.w r4, r4, lr, lsl #1", "ldr r0, [r4]", *DISPATCH]


def _branch(row: Row) -> list[str]:
    """Compare, then go on at the target, or behind, which is the driver's; so no way has more than one branch."""
    wide = row.name.startswith("br_i64")
    places = _I64 if wide else _I32
    reads = [letter for letter in "ab" if letter in row.slot_types]
    lines: list[str] = []
    for letter in reads:
        lines += _number(row, letter, places[letter].low)
    for letter in (letter for letter in "iu" if letter in fields(row)):
        lines += _number(row, letter, "r2")
    lines += [f"add.w {places[x].low}, r5, {places[x].low}, lsl #2" for x in reads if wide]
    for letter in reads:
        place = places[letter]
        if wide:
            lines += [f"ldr {place.high}, [{place.low}, #4]", f"ldr {place.low}, [{place.low}]"]
        else:
            lines.append(f"ldr.w {place.low}, [r5, {place.low}, lsl #2]")
    lines += _number(row, "j", "r3")
    if row.name.startswith(("br_if", "br_unless")):
        name = "ne" if row.name.startswith("br_if") else "eq"
        lines.append("cmp r1, #0")
    elif row.name in ("br_i32.any_imm", "br_i32.none_imm"):
        name = "ne" if row.name == "br_i32.any_imm" else "eq"
        lines.append("tst r1, r2")
    else:
        name = row.name.partition(".")[2].removesuffix("_imm")
        if wide and name in ("eq", "ne"):
            lines += ["eor.w r1, r1, r12", "eor.w r2, r2, lr", "orrs r1, r2"]
        elif wide:
            lines += ["cmp r1, r12", "sbcs.w r2, r2, lr"]
        else:
            lines.append("cmp r1, r2")
    lines.append(f"b{_CONDITION[name]}.w behind_{row.halfwords}")
    return [*lines, "add.w r4, r4, r3, lsl #1", "ldr r0, [r4]", *DISPATCH]


def _address(row: Row, size: int, stores: bool) -> tuple[list[str], list[str], list[str]]:
    """Decoding and sum, the address in r1; the check; the slow way, which comes back behind the check."""
    wide = row.name.startswith("i64")
    indexed = row.name.endswith((".sum", ".scaled"))
    form = row.name.removeprefix(_plain(row.name))
    decode = _number(row, "e" if form == ".at" else "a", "r1")
    fetch = ["ldr.w r1, [r5, r1, lsl #2]"] if form != ".at" else []
    total = ["adds r1, r1, r2"]
    if indexed:
        decode += _number(row, "b", "r2")
        fetch.append("ldr.w r2, [r5, r2, lsl #2]")
    elif form in (".at", ".short"):
        total = []
    else:
        decode += _number(row, "e" if "e" in fields(row) else "i", "r2")
    if form == ".scaled":
        total = [f"add.w r1, r1, r2, lsl #{size.bit_length() - 1}"]
    total.append("sub.w r1, r1, r8")  # on the slow way too, and the carry lives through it
    if form == ".wide":
        total.append("bcs 8f")
    check = [*total, *(["add.w r11, r1, #4", "cmp r11, r9"] if wide else ["cmp r1, r9"]), "bhs 8f"]
    has_offset = form in ("", ".wide")  # elsewhere it is part of the sum
    slow = [f"8: bl slow_{'store' if stores else 'load'}{size}{'' if has_offset else '_sum'}", "b 1b"]
    return decode, [*fetch, *check, "1:"], slow


def _size(name: str) -> int:
    """Bytes that a row loads or stores."""
    type_, _, access = name.partition(".")
    return _SIZES.get(access, 8 if type_ == "i64" else 4)


def _load(row: Row) -> list[str]:
    name = _plain(row.name)
    decode, fast, slow = _address(row, _size(name), False)
    lines = [*decode, *_number(row, "d", "r3"), *fast, *_lines(_LOADS[name])]
    lines.append(f"ldr.w r0, [r4, #{2 * row.halfwords}]!")
    if name.startswith("i64"):
        lines += ["add.w r3, r5, r3, lsl #2", "str r1, [r3]", "str r2, [r3, #4]"]
    else:
        lines.append("str.w r1, [r5, r3, lsl #2]")
    return [*lines, *DISPATCH, *slow]


def _store(row: Row) -> list[str]:
    name = _plain(row.name)
    decode, fast, slow = _address(row, _size(name), True)
    value = list(row.slot_types)[-1]
    lines = [*decode, *_number(row, value, "r3")]
    if name.startswith("i64"):
        lines += ["add.w r3, r5, r3, lsl #2", "ldr.w r12, [r3, #4]", "ldr r3, [r3]"]
    else:
        lines += ["ldr.w r3, [r5, r3, lsl #2]"]
    lines += [*fast, f"ldr.w r0, [r4, #{2 * row.halfwords}]!", *_lines(_STORES[name])]
    return [*lines, *DISPATCH, *slow]


assert all(name in BY_NAME for name in (*ASSEMBLED, *FLOAT_BODIES, *_LOADS, *_STORES))
