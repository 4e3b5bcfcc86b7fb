"""Places in the bytecode told in the words of the source: functions by name, instructions by their byte in the .wasm.

This file decides how a place and a trap are described. It refuses to know how the board told them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from mcutool.isa import TRAPS
from mcutool.window import LARGER_BOARD, SMALLER_CODE, SMALLER_STACK

TEXTS = {trap.name: trap.text for trap in TRAPS}
ADVICE = {
    "not_backed": f"try a larger --stack or --heap; {SMALLER_CODE}; malloc claims all the memory that is declared, "
    f"so {SMALLER_STACK}; {LARGER_BOARD}",
}


class Places:
    """A program's map, as `image/link.py` makes it; an empty one when it was lost: then places have no names."""

    def __init__(self, symbols: dict[str, Any]) -> None:
        self._functions = {row[0]: row for row in symbols.get("functions", [])}
        self._positions: list[list[int]] = symbols.get("positions", [])
        self._files: list[str] = symbols.get("files", [])
        self._lines: list[list[int]] = symbols.get("lines", [])

    def name(self, function: int) -> str:
        """The function's name."""
        row = self._functions.get(function)
        return row[1] if row else f"function[{function}]"

    def wasm_offset(self, function: int, position: int) -> int | None:
        """The byte of the .wasm that the instruction at this halfword of the code was made from."""
        index = bisect_right(self._positions, position, key=lambda pair: pair[0]) - 1
        row = self._functions.get(function)
        if row is None or index < 0 or self._positions[index][0] < row[2]:
            return None
        return self._positions[index][1]

    def source(self, wasm_offset: int | None) -> str | None:
        """FILE:LINE of a byte of the .wasm, None when the compiler did not leave it there."""
        index = bisect_right(self._lines, wasm_offset or 0, key=lambda row: row[0]) - 1
        if index < 0 or not self._lines[index][2]:
            return None
        _, file, line = self._lines[index]
        return f"{self._files[file]}:{line}"

    def trap(self, kind: str, frames: Iterable[tuple[int, int]]) -> dict[str, Any]:
        """The object that stands for a trap in `run --json`; `frames` are (function, halfword), innermost first.

        All frames but the first are at the halfword behind their call.
        """
        backtrace = [self._frame(function, position - (depth > 0)) for depth, (function, position) in enumerate(frames)]
        innermost = backtrace[0] if backtrace else {"function": None, "wasm_offset": None, "source": None}
        return {"kind": kind, **innermost, "backtrace": backtrace}

    def _frame(self, function: int, position: int) -> dict[str, Any]:
        wasm_offset = self.wasm_offset(function, position)
        return {"function": self.name(function), "wasm_offset": wasm_offset, "source": self.source(wasm_offset)}


def render_trap(trap: dict[str, Any]) -> str:
    """A trap for people: what, and the calls that led there."""
    lines = [f"trap: {TEXTS.get(trap['kind'], trap['kind'])}"]
    for frame in trap["backtrace"]:
        offset = "" if frame["wasm_offset"] is None else f" (at byte offset {frame['wasm_offset']:#x})"
        source = "" if frame["source"] is None else f" at {frame['source']}"
        lines.append(f"  in {frame['function']}{source}{offset}")
    lines += [f"  next: {ADVICE[trap['kind']]}"] if trap["kind"] in ADVICE else []
    return "\n".join(lines)
