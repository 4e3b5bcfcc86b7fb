"""THE PAGE: from a WebAssembly module to an image for a board, a stage a line.

Each stage is a room of its own; between two stages stands a law that is checked and a dump that can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcutool import fit, window
from mcutool.bytecode import select
from mcutool.bytecode.layout import CompiledFunction, compile_function
from mcutool.devices import Board
from mcutool.image.link import CompiledModule, link
from mcutool.ir import allocate, build, law, passes
from mcutool.progress import OnProgress, Progress, ignore
from mcutool.wasm.debug import source_lines
from mcutool.wasm.module import Module
from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.validate import validate

STAGES = ("ir", "optimised", "selected", "bytecode")
"""What `dump` may ask for."""

Dump = Callable[[str, object], None]


@dataclass(frozen=True)
class Built:
    """What came out: the image's bytes, the map that stays on the PC, and the report of what it takes."""

    image: bytes
    map: dict
    report: dict


def build_image(
    source: Path | bytes,
    board: Board,
    memory: int | None = None,
    heap: int | None = None,
    stack: int | None = None,
    dump: Dump = lambda stage, what: None,
    on_progress: OnProgress = ignore,
) -> Built:
    """Translate a module (.wasm, or .wat as a path or bytes) for a board.

    `memory`, `heap` and `stack` are sizes in bytes of parts of the linear memory; None leaves them to the tool.
    Raises InvalidModule, Unsupported or DoesNotFit.
    """
    module = load(source)
    stack_slots = fit.stack_slots(board)
    windows = window.plan_memory(module, fit.memory_room(module, board, stack_slots), memory, heap, stack)
    fit.lower_stack_pointers(module, windows)
    compiled = CompiledModule("", module, translate(module, dump, on_progress), [w.plan for w in windows])
    linker = link([compiled], stack_slots, fit.table_room(board))
    image = linker.image.build()
    report = fit.report(linker.image, len(image), board, module.code_size)
    return Built(image, linker.map() | source_lines(module), report)


def load(source: Path | bytes) -> Module:
    """Read and validate."""
    binary = source if isinstance(source, bytes) else source.read_bytes()
    if not binary.startswith(b"\0asm") and isinstance(source, Path) and source.suffix == ".wat":
        binary = assemble(binary)
    module = read_module(binary)
    validate(module)
    return module


def translate(
    module: Module, dump: Dump = lambda stage, what: None, on_progress: OnProgress = ignore
) -> list[CompiledFunction]:
    """The defined functions in order, then `instantiate`, as bytecode that is not linked yet."""
    functions: list[CompiledFunction] = []
    built = build.build(module)
    for function in built:
        on_progress(Progress("translate", len(functions), len(built)))
        law.check_ssa(function)
        dump("ir", function)
        passes.optimise(function)
        law.check_ssa(function)
        dump("optimised", function)
        select.select(function)
        dump("selected", function)
        allocation = allocate.allocate(function, select.TARGET)
        law.check_allocation(function, allocation)
        functions.append(compile_function(function, allocation))
        dump("bytecode", functions[-1])
    return functions
