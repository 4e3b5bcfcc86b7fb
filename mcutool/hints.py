"""The table of hints: what usually makes a program too large, how it shows, and the flag that mends it.

A row is a cause, a test on what is known of the module, and a flag for each toolchain; the toolchain is read off the
module itself. This file refuses to know how anything was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mcutool.errors import InvalidModule
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.module import Function, Module
from mcutool.window import Layout, grows

USUAL_STACK = 4096
LARGE_STACK = 8192
LARGE_EXPORTS = 128
"""Bytes of bytecode that are worth a word."""
ASSEMBLYSCRIPT_IMPORTS = frozenset(("abort", "seed", "console.log", "console.error"))


@dataclass(frozen=True)
class Facts:
    """What the tests look at; sizes in bytes.

    `layout` and `declared` are of the first linear memory, `backed` is how much of it RAM backs; `stack_needed` bounds
    the stack in it, None when that is not known; `spare_exports` maps an export beside `_start` to the bytecode that
    only it needs.
    """

    module: Module
    layout: Layout | None
    declared: int
    backed: int
    stack_needed: int | None
    spare_exports: dict[str, int]

    @property
    def stack_size(self) -> int:
        """What the linker set aside."""
        return 0 if self.layout is None else self.layout.stack_size

    @property
    def stack_wanted(self) -> int:
        return USUAL_STACK if self.stack_needed is None else max(256, self.stack_needed + 255 & -256)


@dataclass(frozen=True)
class Hint:
    """`test` gives the cause in words, or nothing; the flags may name {stack}. `smaller`: the flag helps where the
    program does not fit."""

    name: str
    test: Callable[[Facts], str]
    flags: dict[str, str]
    smaller: bool = False


def _stack(facts: Facts) -> str:
    if facts.stack_size < LARGE_STACK or facts.stack_size <= facts.stack_wanted:
        return ""
    pages = f" of {facts.declared // 65536} pages" if facts.declared > 65536 else ""
    needed = "" if facts.stack_needed is None else f"; the program needs {facts.stack_needed} at the most"
    return f"{facts.stack_size:,} bytes{pages} of linear memory are stack{needed}"


def _order(facts: Facts) -> str:
    if facts.layout is None or facts.layout.stack_first or facts.stack_needed is not None:
        return ""
    return "the stack lies above the data: when it overflows it overwrites them, and nothing traps"


def _high_data(facts: Facts) -> str:
    if facts.layout is None or facts.layout.statics < 1 << 16:
        return ""
    return f"the data begin at address {facts.layout.statics:#x}: each address in the code takes a halfword more"


def _pages(facts: Facts) -> str:
    unused = (
        0 if facts.layout is None else facts.declared - max(facts.layout.statics_end, facts.layout.stack_pointer or 0)
    )
    if unused < 1 << 16:
        return ""
    return f"{unused // 65536} of {facts.declared // 65536} pages of linear memory hold neither data nor stack"


def _page(facts: Facts) -> str:
    if facts.backed >= facts.declared or not grows(facts.module):
        return ""
    return (
        f"RAM backs {facts.backed:,} of {facts.declared:,} bytes of linear memory: malloc takes the rest for usable,"
        " and traps there"
    )


def _debug(facts: Facts) -> str:
    size = sum(len(data) for name, data, _ in facts.module.customs if name.startswith(".debug_"))
    return f"{size:,} bytes of debug sections stay on the PC, for traps with source lines" if size else ""


def _exports(facts: Facts) -> str:
    spare = {name: size for name, size in facts.spare_exports.items() if size}
    if sum(spare.values()) < LARGE_EXPORTS:
        return ""
    named = sorted(spare, key=lambda name: -spare[name])
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{sum(spare.values()):,} bytes of code are there for the exports {', '.join(named[:3])}{more} alone"


def _unoptimised(facts: Facts) -> str:
    first = len(facts.module.imported("function"))
    found = [
        facts.module.function_name(first + number)
        for number, function in enumerate(facts.module.functions)
        if is_unoptimised(function)
    ]
    if not found:
        return ""
    subject = f"{found[0]} seems" if len(found) == 1 else f"{found[0]} and {len(found) - 1} more seem"
    return f"{subject} to be compiled without optimisation"


def is_unoptimised(function: Function) -> bool:
    """Compilers that optimise keep values on the operand stack; else each goes into a local and out again."""
    count = Counter(instruction.opcode.name for instruction in function.body)
    size = len(function.body)
    return not count["local.tee"] and (size >= 200 or size >= 30 and count["local.set"] > 0.15 * size)


def _float_printf(facts: Facts) -> str:
    """wasi-libc's formatting of floating-point numbers is the part of printf that calls frexp."""
    if not {"printf_core", "frexp"} <= set(facts.module.function_names.values()):
        return ""
    return "printf brings the formatting of floating-point numbers along"


_LLVM_STACK = {
    "clang": "-Wl,-z,stack-size={stack}",
    "zig": "--stack {stack}",
    "rustc": "-C link-arg=-zstack-size={stack}",
}
HINTS = (
    Hint("stack", _stack, _LLVM_STACK | {"assemblyscript": "--stackSize {stack}"}, True),
    Hint("order", _order, {"clang": "-Wl,--stack-first", "rustc": "-C link-arg=--stack-first"}),
    Hint("data address", _high_data, _LLVM_STACK),
    Hint(
        "pages", _pages,
        {
            "clang": "leave out -Wl,--initial-memory", "zig": "leave out --initial-memory",
            "rustc": "leave out -C link-arg=--initial-memory", "assemblyscript": "--initialMemory 1",
        },
    ),
    Hint("page", _page, {"": "--heap BYTES to back more of it, or a board with more RAM"}),
    Hint(
        "optimise", _unoptimised,
        {
            "clang": "-Os -flto", "zig": "-O ReleaseSmall", "assemblyscript": "-Oz",
            "rustc": "-C opt-level=z -C lto -C panic=abort",
        }, True,
    ),
    Hint(
        "exports", _exports,
        {
            "clang": "leave out -Wl,--export-all, -Wl,--export and export_name",
            "zig": "leave out -rdynamic and --export",
            "rustc": "leave out #[no_mangle]", "assemblyscript": "leave out the word export",
        },
    ),
    Hint("printf", _float_printf, {"clang": "-lc-printscan-no-floating-point"}),
    Hint(
        "debug", _debug,
        {"": "nothing to do; the image is the same without"},
    ),
)  # fmt: skip
TOOLCHAINS = ("clang", "zig", "rustc", "assemblyscript")


def advise(facts: Facts) -> list[dict]:
    """The hints that apply: `name`, `cause`, `smaller`, and what to do, `flag`, for the toolchain of the module."""
    toolchain = toolchain_of(facts.module)
    return [
        {
            "name": hint.name,
            "cause": cause,
            "flag": _flag(hint, toolchain).format(stack=facts.stack_wanted),
            "smaller": hint.smaller,
        }
        for hint in HINTS
        if (cause := hint.test(facts)) and _flag(hint, toolchain)
    ]


def _flag(hint: Hint, toolchain: str) -> str:
    """The flag of one toolchain, or of all, when nobody knows which it was."""
    if "" in hint.flags:
        return hint.flags[""]
    if toolchain:
        return hint.flags.get(toolchain, "")
    return "; ".join(f"{flag} ({name})" for name, flag in hint.flags.items())


def toolchain_of(module: Module) -> str:
    """One of TOOLCHAINS, or nothing: most say it in the section `producers`, which stripping takes away."""
    if any(item.module == "env" and item.name in ASSEMBLYSCRIPT_IMPORTS for item in module.imports):
        return "assemblyscript"
    said = producers(module)
    for toolchain in ("rustc", "clang"):
        if any(toolchain in name for name in said.get("processed-by", ())):
            return toolchain
    return "zig" if said else ""


def producers(module: Module) -> dict[str, list[str]]:
    """The fields of the section `producers` (tool conventions, "Producers Section"); empty when it is damaged."""
    section = next((data for name, data, _ in module.customs if name == "producers"), b"\0")
    found: dict[str, list[str]] = {}
    cursor = Cursor(section)
    try:
        for _ in range(cursor.u32()):
            values = found.setdefault(cursor.name(), [])
            for _ in range(cursor.u32()):
                values.append(cursor.name())
                cursor.name()  # its version
    except InvalidModule:
        return {}
    return found
