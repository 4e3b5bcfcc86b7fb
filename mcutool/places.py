"""Places in the bytecode told in the words of the source: functions by name, instructions by their line or their byte.

This file decides how a place and a trap are described, and what a programmer can do about each kind of trap. It refuses
to know how the board told them, except for the lines that it prints on its console.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from mcutool.errors import LARGER_BOARD, SMALLER_CODE, SMALLER_STACK
from mcutool.isa import TRAPS
from mcutool.wasm.debug import Debug

TEXTS = {trap.name: trap.text for trap in TRAPS}
NAMES = {trap.text: trap.name for trap in TRAPS}

TOLD = re.compile(rb"\[trap ([^\]\r\n]*?)(?: function=(\d+) pc=(\d+))?\]\r?\n((?:\[at \d+\+\d+\]\r?\n)*)")
"""What a board says when its program traps (firmware_runtime/module.c)."""
CALL = re.compile(rb"\[at (\d+)\+(\d+)\]")
RUST = re.compile(r"_ZN(.*)17h[0-9a-f]{16}E(\.llvm\.\d+)?")
RUST_ESCAPES = {
    "$LT$": "<", "$GT$": ">", "$RF$": "&", "$BP$": "*", "$C$": ",", "$u20$": " ", "$u7b$": "{", "$u7d$": "}",
    "$LP$": "(", "$RP$": ")", "..": "::",
}  # fmt: skip


class Explanation(NamedTuple):
    """What happened, in the words of who wrote the program, and what to do about it."""

    meaning: str
    advice: str


FUNCTION_POINTER = "check the pointer's initialisation, its index in the table and the casts it has gone through"

EXPLANATIONS = {
    "unreachable": Explanation(
        "the program gave up: abort(), a failed assertion, a panic, or a path that the compiler took for impossible",
        "see what the program printed last, and which of its functions called the one that gave up",
    ),
    "memory_out_of_bounds": Explanation(
        "an access outside linear memory: a wild pointer, an index too large, or a stack that overflowed",
        "check the pointer on that line; when its value makes sense, give the module more memory where it is linked, "
        "or a larger stack: -Wl,-z,stack-size=BYTES (clang, zig cc), -C link-arg=-zstack-size=BYTES (rustc)",
    ),
    "not_backed": Explanation(
        "the module declares this address, and the board has no RAM behind it: more heap or stack is used than was "
        "planned, or a pointer is null or wild",
        f"try a larger --stack or --heap; {SMALLER_CODE}; malloc claims all the memory that is declared, "
        f"so {SMALLER_STACK}; {LARGER_BOARD}",
    ),
    "read_only": Explanation(
        "the program writes to data that were taken for read-only, and stay in flash",
        "build it without --rodata flash, or make what is written on that line not const",
    ),
    "divide_by_zero": Explanation("the divisor is 0", "check the divisor on that line before it divides"),
    "integer_overflow": Explanation(
        "the result does not fit: the smallest integer divided by -1, or a float too large for an integer",
        "check the operands on that line; a saturating conversion does not trap (clang: -mnontrapping-fptoint)",
    ),
    "invalid_conversion": Explanation(
        "a float that is not a number was converted to an integer", "check it with isnan() before"
    ),
    "table_out_of_bounds": Explanation("an index beyond the end of a table of functions", FUNCTION_POINTER),
    "undefined_element": Explanation("a call through a pointer that is no function", FUNCTION_POINTER),
    "uninitialized_element": Explanation("a call through a null function pointer", FUNCTION_POINTER),
    "indirect_call_type_mismatch": Explanation(
        "a call through a pointer to a function of another type", FUNCTION_POINTER
    ),
    "stack_exhausted": Explanation(
        "calls are nested deeper than the board has stack for",
        f"look for a recursion without an end in the backtrace; {LARGER_BOARD}",
    ),
    "fuel_used_up": Explanation(
        "the program has run for as long as its settings allow", "give it more time, or see where it goes round"
    ),
    "illegal_instruction": Explanation(
        "the code in flash is damaged, or of another version", "build the module again and install it"
    ),
    "uncaught_exception": Explanation("an exception that nobody catches", "catch it, or see who throws it"),
    "null_reference": Explanation("a null reference was used", "check it with ref.is_null before"),
    "null_function_reference": Explanation("a null function reference was called", "check it with ref.is_null before"),
}


class Places:
    """A program's map, as `image/link.py` and `wasm/debug.py` make it; an empty one when it was lost: then places have
    no names.
    """

    def __init__(self, symbols: dict[str, Any]) -> None:
        self._functions = {row[0]: row for row in symbols.get("functions", [])}
        self._positions: list[list[int]] = symbols.get("positions", [])
        self._debug = Debug(symbols)

    def name(self, function: int) -> str:
        """The function's name."""
        row = self._functions.get(function)
        return demangled(row[1]) if row else f"function[{function}]"

    def wasm_offset(self, function: int, position: int) -> int | None:
        """The byte of the .wasm that the instruction at this halfword of the code was made from."""
        index = bisect_right(self._positions, position, key=lambda pair: pair[0]) - 1
        row = self._functions.get(function)
        if row is None or index < 0 or self._positions[index][0] < row[2]:
            return None
        return self._positions[index][1]

    def source(self, offset: int | None) -> str | None:
        """FILE:LINE of a byte of the .wasm, in the innermost function where some were inlined; None when unknown."""
        return None if offset is None else self._debug.line(offset)

    def trap(self, kind: str, frames: Iterable[tuple[int, int]]) -> dict[str, Any]:
        """The object that stands for a trap in `run --json`; `frames` are (function, halfword), innermost first.

        All frames but the first are at the halfword behind their call. A function that the compiler has inlined has a
        frame of its own, at the same place as the one it was inlined into.
        """
        backtrace: list[dict[str, Any]] = []
        for depth, (function, position) in enumerate(frames):
            backtrace += self._frames(function, position - (depth > 0))
        innermost = backtrace[0] if backtrace else {"function": None, "wasm_offset": None, "source": None}
        shown = {key: innermost[key] for key in ("function", "wasm_offset", "source")}
        return {"kind": kind, **shown, "backtrace": backtrace}

    def _frames(self, function: int, position: int) -> list[dict[str, Any]]:
        """One call, with what was inlined there, innermost first."""
        offset = self.wasm_offset(function, position)
        *inlined, (_, source) = self._debug.calls(offset) if offset is not None else [(None, None)]
        frames = [{"function": name, "wasm_offset": offset, "source": at, "inlined": True} for name, at in inlined]
        return [*frames, {"function": self.name(function), "wasm_offset": offset, "source": source}]

    def told(self, output: bytes) -> dict[str, Any] | None:
        """The last trap that a board has told of on its console, as `trap` gives it; None when there was none."""
        found = list(TOLD.finditer(output))
        if not found:
            return None
        text, function, position, calls = found[-1].groups()
        frames = [] if function is None else [(int(function), int(position))]
        frames += [(int(outer), int(behind)) for outer, behind in CALL.findall(calls)]
        return self.trap(NAMES.get(text.decode(errors="replace"), text.decode(errors="replace")), frames)


def render_trap(trap: dict[str, Any]) -> str:
    """A trap for people: what happened, the calls that led there, and what to do."""
    explanation = EXPLANATIONS.get(trap["kind"])
    lines = [f"trap: {TEXTS.get(trap['kind'], trap['kind'])}"]
    lines += map(render_frame, trap["backtrace"])
    lines += [f"  this means: {explanation.meaning}", f"  next: {explanation.advice}"] if explanation else []
    return "\n".join(lines)


def advice(trap: dict[str, Any]) -> str:
    """What to do about a trap."""
    explanation = EXPLANATIONS.get(trap["kind"])
    return explanation.advice if explanation else ""


def render_frame(frame: dict[str, Any]) -> str:
    """One call of a backtrace."""
    source = "" if frame["source"] is None else f" at {frame['source']}"
    if frame.get("inlined"):
        return f"  in {frame['function']}{source} (inlined)"
    offset = "" if frame["wasm_offset"] is None else f" (at byte offset {frame['wasm_offset']:#x})"
    return f"  in {frame['function']}{source}{offset}"


def demangled(name: str) -> str:
    """A function as its programmer knows it, when its name is one of rustc's; others are readable already."""
    match = RUST.fullmatch(name)
    if match is None:
        return name
    parts, rest = [], match[1]
    while part := re.match(r"\d+", rest):
        end = part.end() + int(part[0])
        parts.append(re.sub(r"^_(?=\$)", "", rest[part.end() : end]))
        rest = rest[end:]
    text = "::".join(parts)
    for escape, meaning in RUST_ESCAPES.items():
        text = text.replace(escape, meaning)
    return text
