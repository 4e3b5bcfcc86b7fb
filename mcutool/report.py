"""What an image takes and needs of a board, as the record that `info` shows and --json prints.

This file decides what is told. It refuses to know how sizes were chosen (`fit.py`) and how the record looks.
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool import hints, hostapi, provenance
from mcutool.callgraph import Bound, CallGraph
from mcutool.devices import Board
from mcutool.fit import Plan, needed
from mcutool.image.format import EXPORT_KINDS, MEMORY_FLASH, NONE, Image
from mcutool.image.link import arena_parts
from mcutool.isa import FEATURES
from mcutool.places import demangled
from mcutool.wasm.module import Module
from mcutool.wasm.producers import producers
from mcutool.window import examine

LIFE = frozenset(("_start", "_initialize"))
"""The exports that a runtime calls unasked."""


def of_image(
    image: Image, size: int, board: Board, symbols: dict, calls: CallGraph, shadow: Callable[[int], Bound] | None = None
) -> dict:
    """What an image of `size` bytes takes and needs; sizes in bytes.

    `symbols` is its map, which may be empty; `shadow` bounds the stack in linear memory, where that is known.
    """
    functions = provenance.imported(image)
    granted = set(provenance.granted(image)) & set(board.grants)
    parts = arena_parts(image)
    missing = hostapi.unavailable(functions, capabilities(board))
    return {
        "board": board.name,
        "flash_bytes": {
            "image": size,
            "code": len(image.code) * 2,
            "data": sum(map(len, image.datas)) + sum(len(e) * 4 for e in image.elements),
            "read_only": sum(len(image.datas[m["flags"] >> 16]) for m in image.memories if m["flags"] & MEMORY_FLASH),
        },
        "ram_bytes": {
            "linear_memory": parts["linear_memory"],
            "stack": parts["frame_stack"],
            "other": sum(parts.values()) - parts["linear_memory"] - parts["growth"] - parts["frame_stack"],
        },
        "ram": {**parts, "total": image.ram},
        "arena": board.chip.arena_size,
        "slot": board.chip.map.slot.size,
        "short": {
            "flash": max(0, size - board.chip.map.slot.size),
            "ram": max(0, image.ram - board.chip.arena_size),
        },
        "fits": size <= board.chip.map.slot.size and image.ram <= board.chip.arena_size,
        "declared_memory": sum(_declared(memory) for memory in image.memories),
        "windows": [
            {"low": m["window_low"], "size": m["window_size"], "whole": m["window_size"] >= _declared(m)}
            for m in image.memories
        ],
        "imports": [f"{function.module}.{function.name}" for function in functions],
        "needs": hostapi.needed(functions),
        "granted": provenance.granted(image),
        "ungranted": [f"{f.module}.{f.name}" for f in hostapi.unavailable(functions, granted)],
        "tool": image.provenance and image.provenance.tool,
        "wasm_sha256": image.provenance and image.provenance.wasm.hex(),
        "missing": [f"{f.module}.{f.name}" for f in missing],
        "exports": [row["name"] for row in image.exports if row["kind"] == EXPORT_KINDS.index("function")],
        "isa": image.isa,
        "features": [name for name, bit in FEATURES.items() if image.features & bit],
        "frames": _bounds(image, symbols, calls, calls.bound),
        "shadow": shadow and _bounds(image, symbols, calls, shadow),
    }


def _bounds(image: Image, symbols: dict, calls: CallGraph, bound: Callable[[int], Bound]) -> list[dict]:
    """A row for each function that the host calls: the most bytes of a stack, None when there is no bound, and the
    chain or circle of calls by name."""
    names = {row[0]: demangled(row[1]) for row in symbols.get("functions", [])}
    names |= {number: image.imports[row["code"]]["name"] for number, row in enumerate(image.functions)
              if row["module"] == NONE}  # fmt: skip
    entries = {module["instantiate"]: "instantiate" for module in image.modules}
    entries |= {row["index"]: row["name"] for row in image.exports if row["kind"] == 0}
    rows = []
    for entry in calls.entries():
        found = bound(entry)
        rows.append(
            {
                "function": entries[entry],
                "bytes": found.size,
                "recursive": found.is_recursive,
                "indirect": found.indirect,
                "path": [names.get(number) or entries.get(number, f"function {number}") for number in found.path],
            }
        )
    return rows


def of_module(
    module: Module, plan: Plan, symbols: dict, calls: CallGraph, shadow: Callable[[int], Bound] | None
) -> dict:
    """What only the module tells: who made it, hints, and why the board has too little RAM, if it has."""
    memory = module.memories[0] if module.memories else None
    declared = memory.limits.minimum * memory.page_size if memory else 0
    facts = hints.Facts(
        module=module,
        layout=examine(module, declared) if memory else None,
        declared=declared,
        backed=plan.windows[0].plan.size if plan.windows else 0,
        stack_needed=shadow and needed(calls, shadow),
        spare_exports=_spare_exports(module, symbols, calls),
    )
    refusal = plan.problem
    return {
        "wasm_code": module.code_size,
        "producers": {field: list(map(list, rows)) for field, rows in producers(module).items()},
        "hints": hints.advise(facts),
        "refusal": refusal and {"message": refusal.message, "next_action": refusal.next_action},
    }


def _spare_exports(module: Module, symbols: dict, calls: CallGraph) -> dict[str, int]:
    """The bytes of code that run only when the host calls another export than `_start`; nothing in a library."""
    numbers = {export.name: export.index for export in module.exports if export.kind == "function"}
    if "_start" not in numbers:
        return {}
    sizes = {row[0]: 2 * (row[3] - row[2]) for row in symbols["functions"]}
    seen = calls.reached([*calls.entries()[:1], *(numbers.pop(name) for name in LIFE & numbers.keys())])
    found = {}
    for name, number in numbers.items():
        new = calls.reached([number]) - seen
        found[name] = sum(sizes.get(function, 0) for function in new)
        seen |= new
    return found


def _declared(memory: dict) -> int:
    return memory["minimum"] << memory["page_log2"]


def capabilities(board: Board) -> set[str]:
    """What of `hostapi.CAPABILITIES` the board has."""
    have = {"always", "console", "clock", "gpio"}
    if board.led is not None:
        have.add("led")
    if board.chip.random:
        have.add("random")
    return have
