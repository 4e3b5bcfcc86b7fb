"""THE PAGE: from a WebAssembly module to an image for a board, a stage a line.

Each stage is a room of its own; between two stages stands a law that is checked and a dump that can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from mcutool import fit, provenance, report
from mcutool.built import Built
from mcutool.bytecode import select
from mcutool.bytecode.layout import CompiledFunction, compile_function
from mcutool.callgraph import CallGraph
from mcutool.devices import Board
from mcutool.image.link import CompiledModule, link
from mcutool.image.verify import check_built
from mcutool.ir import allocate, build, law, passes
from mcutool.ir.nodes import Function
from mcutool.progress import OnProgress, Progress, ignore
from mcutool.rodata import find as find_read_only
from mcutool.shadow import ShadowStack
from mcutool.wasm.debug import source_lines
from mcutool.wasm.module import Module
from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.validate import validate
from mcutool.window import Wishes

Dump = Callable[[str, object], None]
"""Is told of each stage of dumps.py, with what it gave."""


def build_image(
    source: Path | bytes,
    board: Board,
    memory: int | None = None,
    heap: int | None = None,
    stack: int | None = None,
    rodata: str = "ram",
    grants: Collection[str] | None = None,
    dump: Dump = lambda stage, what: None,
    refuse: bool = True,
    on_progress: OnProgress = ignore,
) -> Built:
    """Translate a module (.wasm, or .wat as a path or bytes) for a board.

    `memory`, `heap` and `stack` are sizes in bytes of parts of the linear memory; None leaves them to the tool.
    `rodata` is where read-only data lie, "ram" or "flash"; `grants` are the capabilities that the module may use, None
    grants what it imports.
    Raises InvalidModule, Unsupported or DoesNotFit; with `refuse` off neither for linear memory nor for what the board
    does not grant: the report then says what is missing.
    """
    on_progress(Progress("read", 0, 1))
    wasm = binary(source)
    module = load(wasm)
    dump("read", module)
    shadow = ShadowStack(module)
    functions = translate(module, shadow.listening(dump), on_progress)
    on_progress(Progress("link", 0, 1))
    calls = CallGraph(link([CompiledModule("", module, functions, fit.no_plan(module))], 0).image)
    stays = find_read_only(module) if rodata == "flash" else None
    wishes = Wishes(memory, heap, stack, stays, shadow.needed(calls))
    plan = fit.plan(module, board, fit.needed(calls, calls.bound), wishes)
    if refuse or plan.refusal:
        plan.check()
    placed = fit.lower_stack_pointers(stays.module if stays else module, plan.windows)
    if placed is not module:
        functions[-1:] = lower([build.build_instantiation(placed)])
    compiled = CompiledModule("", placed, functions, [window.plan for window in plan.windows])
    linker = link([compiled], plan.stack_slots, fit.table_room(board))
    linker.image.provenance = provenance.of(wasm, linker.image, grants)
    dump("linked", linker)
    provenance.check(linker.image, grants)
    if refuse:
        provenance.check_board(linker.image, board)
    image = linker.image.build()
    if not plan.problem:
        check_built(image)
    symbols = linker.map() | source_lines(module)
    told = report.of_image(linker.image, len(image), board, symbols, calls, shadow.bounds(calls))
    return Built(image, symbols, told | report.of_module(module, plan, symbols, calls, shadow.bounds(calls)))


def load(source: Path | bytes) -> Module:
    """Read and validate."""
    module = read_module(binary(source))
    validate(module)
    return module


def binary(source: Path | bytes) -> bytes:
    """The bytes of a .wasm; assembled, when they are the text of a .wat."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    is_text = isinstance(source, Path) and source.suffix == ".wat" and not data.startswith(b"\0asm")
    return assemble(data) if is_text else data


def translate(
    module: Module, dump: Dump = lambda stage, what: None, on_progress: OnProgress = ignore
) -> list[CompiledFunction]:
    """The defined functions in order, then `instantiate`, as bytecode that is not linked yet."""
    return lower(build.build(module), dump, on_progress)


def lower(
    built: list[Function], dump: Dump = lambda stage, what: None, on_progress: OnProgress = ignore
) -> list[CompiledFunction]:
    """Functions as they were built -> bytecode."""
    functions: list[CompiledFunction] = []
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
        dump("allocated", (function, allocation))
        functions.append(compile_function(function, allocation))
        dump("bytecode", functions[-1])
    return functions
