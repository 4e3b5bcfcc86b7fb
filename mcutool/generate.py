"""Writes every generated file; `--check` only compares, and says which one is stale.

This file decides what is generated and from which table. It refuses to know what the tables say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mcutool import armv7m, checks, hostapi, isa, readme, smoke
from mcutool.encoding import ESCAPE, Field, TableError, check_table, fields
from mcutool.image import faults, state
from mcutool.image import format as image_format
from mcutool.isa import ROWS, TRAPS, Row
from mcutool.wasm.text import assemble

ROOT = Path(__file__).resolve().parent.parent
BANNER = "Made by mcutool/generate.py from mcutool/isa.py; do not edit."
C_TYPES = {"i32": "uint32_t", "i64": "uint64_t", "f32": "float", "f64": "double"}
HEX_DIGITS = 100  # on a line
BYTES = 20  # on a line
BY_PLACE = ("TRUNCATE", "SATURATE", "QUOTIENT", "REMAINDER")
"""Meanings that take the numbers of slots rather than what is in them."""
GROUPS = {
    "PLAIN": "Armv7-M has handlers in assembly; nothing is called",
    "CALLING": "Armv7-M has handlers in assembly; functions are called where they are C",
    "FLOAT": "Armv7-M with FPU has handlers in assembly; functions are called elsewhere",
    "CALLED": "functions are called everywhere",
    "ESCAPED": "the escape page",
}


def c_name(row: Row) -> str:
    """The row's name as a C identifier."""
    return row.name.replace(".", "_")


def group(row: Row) -> str:
    """Which part of handlers.inc holds the row; those that are functions have no handler of their own."""
    if row.function:
        return "FUNCTION"
    if row.escaped:
        return "ESCAPED"
    if armv7m.needs_fpu(row):
        return "FLOAT"
    if not armv7m.is_assembled(row):
        return "CALLED"
    return "CALLING" if row.calls else "PLAIN"


def render_isa_header() -> str:
    """isa.h: numbers and lists for the drivers."""
    lines = [f"/* {BANNER} */", "#ifndef ISA_H", "#define ISA_H", ""]
    lines += [f"#define ISA_VERSION {isa.ISA_VERSION}", f"#define ISA_ESCAPE {ESCAPE:#x}"]
    lines += [f"#define VM_LINK_SLOTS {isa.LINK_SLOTS}", f"#define VM_CROSS_LINK_SLOTS {isa.CROSS_LINK_SLOTS}"]
    lines += ["", "enum vm_trap {", *(f"    VM_TRAP_{t.name.upper()} = {t.number}," for t in TRAPS), "};"]
    lines += ["", "/* Parts that a firmware may be built without: -DVM_WITH_NAME=0. Bits as in an image's header. */"]
    lines += [line for name, bit in isa.FEATURES.items() for line in _feature_switch(name)]
    present = " + ".join(f"VM_WITH_{name.upper()} * {bit}" for name, bit in isa.FEATURES.items())
    lines += [f"#define VM_FEATURES ({present})"]
    for name in GROUPS:
        rows = [row for row in ROWS if group(row) == name]
        featured = [f"    ISA_{f.upper()}(X)" for f in isa.FEATURES if name == "ESCAPED"]
        items = [f"    X({c_name(row)}, {row.opcode:#04x})" for row in rows if not row.feature] + featured
        lines += ["", f"/* name, opcode: {GROUPS[name]} */", " \\\n".join([f"#define ISA_{name}(X)", *items])]
    functions = [row for row in ROWS if row.function]
    names = [f"    X({row.function.removeprefix('vm_')})" for row in functions]
    lines += ["", "/* the end of the escape page */", " \\\n".join(["#define ISA_FUNCTIONS(X)", *names])]
    lines += [f"#define ISA_FIRST_FUNCTION {functions[0].opcode}u"]
    for shape in isa.SHAPES[1:]:
        first = next(row.opcode for row in functions if row.types == shape)
        lines += [f"#define ISA_FIRST_{shape.replace(' ', '_').upper()} {first}u"]
    lines += [f"#define ISA_ESCAPED_ROWS {functions[-1].opcode + 1}u"]
    lines += [f"#define OP_HALT {isa.BY_NAME['halt'].opcode:#04x}"]
    lines += [f"#define OP_LEAVE_CROSS {isa.BY_NAME['leave_cross'].opcode:#04x}"]
    lines += [f"#define OP_LEAVE_TAIL {isa.BY_NAME['leave_tail'].opcode << 8 | ESCAPE:#06x}"]
    return "\n".join([*lines, "", "#endif", ""])


def _feature_switch(name: str) -> list[str]:
    """The rows of a feature, all of the escape page, as a list that is empty in a firmware without it."""
    rows = [row for row in ROWS if row.feature == name]
    assert all(row.escaped for row in rows)
    items = " ".join(f"X({c_name(row)}, {row.opcode:#04x})" for row in rows)
    upper = name.upper()
    return [
        f"#ifndef VM_WITH_{upper}",
        f"#define VM_WITH_{upper} 1",
        "#endif",
        f"#if VM_WITH_{upper}",
        f"#define ISA_{upper}(X) {items}",
        "#else",
        f"#define ISA_{upper}(X)",
        "#endif",
    ]


def render_trap_texts() -> str:
    """traps.inc: what the console says of each trap."""
    return "\n".join([f"/* {BANNER} */", *(f'"{trap.text}",' for trap in TRAPS), ""])


def render_handlers() -> str:
    """handlers.inc: the body of every instruction, in five groups that a driver includes one at a time."""
    lines = [f"/* {BANNER} */"]
    for number, name in enumerate(GROUPS):
        lines.append(f"#{'if' if number == 0 else 'elif'} defined(HANDLERS_{name})")
        for row in ROWS:
            if group(row) == name:
                lines += _optional(row.feature, render_handler(row))
    return "\n".join([*lines, "#endif", ""])


def render_assembly() -> str:
    """handlers_armv7m.inc: the handlers that are machine code from the first instruction to the last."""
    lines = [f"/* {BANNER} */"]
    for number, names in enumerate((("PLAIN", "CALLING"), ("FLOAT",))):
        lines += ["", f"#{'elif' if number else 'if'} defined(HANDLERS_{'FLOAT' if number else 'ASSEMBLED'})"]
        for row in ROWS:
            if group(row) in names:
                lines += [f"ASSEMBLED({c_name(row)},", *(f'    "{line}\\n"' for line in armv7m.handler(row)), ")"]
    facts = {f"offsetof(struct vm, {name})": offset for name, offset in armv7m.VM_FIELDS.items()}
    checks = [f'_Static_assert({what} == {number}, "armv7m.py");' for what, number in facts.items()]
    return "\n".join([*lines, "#endif", "", *checks, ""])


def _optional(feature: str, lines: list[str]) -> list[str]:
    return [f"#if VM_WITH_{feature.upper()}", *lines, "#endif"] if feature else lines


def render_handler(row: Row) -> list[str]:
    """One handler: operands fetched into named locals, the meaning, the result put away."""
    return [
        "",
        f"HANDLER({c_name(row)}, {row.opcode:#04x}) {{",
        f"    /* {row.sentence} */",
        *(f"    {line}" for line in _fetch(row)),
        f"    {_meaning(row)};",
        *(f"    {line}" for line in _store(row)),
        f"    NEXT({row.halfwords});",
        "}",
    ]


def _meaning(row: Row) -> str:
    """The meaning, with the place of the result where the row puts it away before it branches."""
    if "PUT(d)" not in row.meaning:
        return row.meaning
    return row.meaning.replace("PUT(d)", f"SET_{row.slot_types['d'].upper()}({_extract(fields(row)['d'])}, d)")


def _fetch(row: Row) -> Iterator[str]:
    if row.meaning.startswith(BY_PLACE):
        return
    for letter, operand in fields(row).items():
        if letter in isa.SLOT_LETTERS:
            continue
        ctype = "int32_t" if operand.signed else "uint32_t"
        yield f"const {ctype} {letter} = {_extract(operand)};"
    if any(letter in row.bits for letter in "k") or "call" in row.name or "throw" in row.name:
        yield f"enum {{ length = {row.halfwords} }};"
    for letter, slot_type in row.slot_types.items():
        place = _extract(fields(row)[letter])
        if letter != "d":
            yield f"const {C_TYPES[slot_type]} {letter} = GET_{slot_type.upper()}({place});"
        elif row.in_place:
            yield f"{C_TYPES[slot_type]} d = GET_{slot_type.upper()}({place});"
        else:
            yield f"{C_TYPES[slot_type]} d;"


def _store(row: Row) -> Iterator[str]:
    if "d" in row.slot_types and not row.meaning.startswith(BY_PLACE):
        yield f"SET_{row.slot_types['d'].upper()}({_extract(fields(row)['d'])}, d);"


def _extract(operand: Field) -> str:
    """C for an operand's value: `w` is the first halfword, pc[n] a later one."""
    pieces = []
    shift = 0
    for halfword, low, width in operand.parts:
        word = f"HALFWORD{halfword}" if halfword < 2 else f"pc[{halfword}]"
        piece = word if low == 0 else f"({word} >> {low})"
        if low + width < 16:
            piece = f"({piece} & {(1 << width) - 1:#x})"
        pieces.append(piece if shift == 0 else f"((uint32_t){piece} << {shift})")
        shift += width
    value = " | ".join(pieces)
    if not operand.signed:
        return value
    if operand.width == 32:
        return f"(int32_t)({value})"
    if operand.width in (8, 16):
        return f"(int{operand.width}_t)({value})"
    return f"(int32_t)((uint32_t)({value}) << {32 - operand.width}) >> {32 - operand.width}"


def render_verifier() -> str:
    """verify.inc: what the verifier asks of each row."""
    shapes, pages = checks.table()
    lines = [f"/* {BANNER} */", "", "/* Kinds of checks; mcutool/checks.py says what each is. */", "enum {"]
    lines += [f"    VERIFY_{kind.upper()} = {number}," for kind, number in checks.NUMBERS.items()]
    lines += ["};", "", "/* Checks in the second byte of a shape. */", "enum {"]
    lines += [f"    VERIFY_{kind.upper()}_{byte} = 1 << {bit}," for (kind, byte), bit in checks.FREQUENT.items()]
    lines += ["};", "", f"#define VERIFY_TRAPS {len(TRAPS) - 1}u /* kinds of traps, from 1 on */"]
    lines += [f"#define VERIFY_NO_ROW {checks.NO_ROW:#x} /* the first byte of the first shape */"]
    lines += ["", "/* Where the row's shape begins, by opcode, in halfwords; 0 where there is none. */"]
    lines += _bytes("verify_plain", pages[False]) + _bytes("verify_escaped", pages[True])
    lines += [
        "",
        "/* Shapes: a byte that says length (bits 0 to 2), whether the row ends a function (3), its feature (4 to 6)",
        "   and whether a jump table follows (7); one with the bits for frequent checks, and how many others follow (0",
        "   to 2); a byte for each of these, its kind and its place (0 to 2), the last first. */",
    ]
    return "\n".join([*lines, *_bytes("verify_shapes", shapes), ""])


def _bytes(name: str, numbers: list[int]) -> list[str]:
    """An array of C."""
    rows = [numbers[i : i + BYTES] for i in range(0, len(numbers), BYTES)]
    return [f"static const uint8_t {name}[] = {{", *("    " + ", ".join(map(str, row)) + "," for row in rows), "};"]


def render_manual() -> str:
    """The instruction tables of SPEC.md."""
    lines = ["<!-- instructions: made by mcutool/generate.py from mcutool/isa.py -->", ""]
    lines += ["| instruction | bits, each halfword from bit 15 | meaning | |", "|---|---|---|---|"]
    for row in ROWS:
        bits = " ".join(row.bits[i : i + 16] for i in range(0, len(row.bits), 16))
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.name}` | `{bits}` | `{meaning}` | {row.sentence} |")
    lines += ["", "| trap | name | text |", "|---|---|---|"]
    lines += [f"| {trap.number} | `{trap.name}` | {trap.text} |" for trap in TRAPS]
    return "\n".join([*lines, "", "<!-- end of instructions -->", ""])


def render_specification() -> str:
    """SPEC.md with its tables renewed; the prose around them is kept."""
    path = ROOT / "firmware_runtime/SPEC.md"
    head, rest = path.read_text().split("<!-- instructions:", 1)
    return head + render_manual() + rest.split("<!-- end of instructions -->\n", 1)[1]


def render_module(name: str) -> str:
    """A module of the smoke corpus, assembled, as lines of hexadecimal."""
    digits = assemble((smoke.FOLDER / f"{name}.wat").read_bytes()).hex()
    return "".join(digits[i : i + HEX_DIGITS] + "\n" for i in range(0, len(digits), HEX_DIGITS))


OUTPUTS: dict[str, Callable[[], str]] = {
    "firmware_runtime/generated/isa.h": render_isa_header,
    "firmware_runtime/generated/handlers.inc": render_handlers,
    "firmware_runtime/generated/handlers_armv7m.inc": render_assembly,
    "firmware_runtime/generated/traps.inc": render_trap_texts,
    "firmware_runtime/generated/verify.inc": render_verifier,
    "firmware_runtime/generated/image_faults.h": faults.render_header,
    "firmware_runtime/generated/image.h": image_format.render_header,
    "firmware_runtime/generated/state.h": state.render_header,
    "firmware_runtime/generated/hostapi.inc": hostapi.render_c_table,
    "examples/include/mcu.h": hostapi.render_guest_header,
    "examples/HOST_FUNCTIONS.md": hostapi.render_manual,
    "firmware_runtime/SPEC.md": render_specification,
    **{f"mcutool/smoke/{name}.hex": partial(render_module, name) for name in smoke.MODULES},
    "README.md": readme.render,
}


def stale() -> list[str]:
    """The generated files that are not what their tables say."""
    return [name for name, render in OUTPUTS.items() if _text(ROOT / name) != render()]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when a file is stale")
    only_check = parser.parse_args(arguments).check
    try:
        check_table(ROWS)
    except TableError as error:
        print(f"mcutool/isa.py: {error}", file=sys.stderr)
        return 1
    if only_check:
        names = stale()
        for name in names:
            print(f"stale: {name}; run: python -m mcutool.generate", file=sys.stderr)
        return 1 if names else 0
    for name, render in OUTPUTS.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
