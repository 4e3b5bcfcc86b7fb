"""The words that generated programs are made of: types, operations by what they take and give, small phrases.

This file decides how operations are sorted for those who choose among them. It refuses to choose.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutool.wasm.opcodes import OPCODES, Opcode

NUMBERS = ("i32", "i64", "f32", "f64")
NULLS = {"funcref": "(ref.null func)", "externref": "(ref.null extern)"}
DEEPEST = 7
"""Most nesting, but for what must be nested."""
BY_NAME = {row.name: row for row in OPCODES}


def _computing() -> dict[str, list[Opcode]]:
    """Operations on numbers alone, by the type of their result."""
    found: dict[str, list[Opcode]] = {kind: [] for kind in NUMBERS}
    for row in OPCODES:
        if row.parameters and row.results and row.name[:3] in NUMBERS and not row.access:
            found[row.results[0]].append(row)
    return found


COMPUTING = _computing()
LOADS = {kind: [r for r in OPCODES if r.access and r.results == (kind,)] for kind in NUMBERS}
STORES = {kind: [r for r in OPCODES if r.access and r.parameters == ("i32", kind)] for kind in NUMBERS}
FROM_I32 = {
    "i32": "{}",
    "i64": "(i64.mul (i64.extend_i32_s {}) (i64.const 0x100000003))",
    "f32": "(f32.convert_i32_s {})",
    "f64": "(f64.convert_i32_u {})",
}
TO_I32 = {
    "i32": "{}",
    "i64": "(i32.wrap_i64 (i64.shr_u (i64.mul {} (i64.const 0x9e3779b97f4a7c15)) (i64.const 32)))",
    "f32": "(i32.trunc_sat_f32_s {})",
    "f64": "(i32.trunc_sat_f64_u {})",
    "funcref": "(ref.is_null {})",
    "externref": "(ref.is_null {})",
}
COMPARING = [row for row in COMPUTING["i32"] if row.name[4:6] in ("eq", "ne", "lt", "gt", "le", "ge")]


@dataclass(frozen=True)
class Label:
    """Where a branch may go, and what it takes along."""

    name: str
    types: tuple[str, ...]


def block_type(parameters: tuple[str, ...], results: tuple[str, ...]) -> str:
    words = (("param", parameters), ("result", results))
    return "".join(f" ({word} {' '.join(types)})" for word, types in words if types)
