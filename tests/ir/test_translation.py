"""Random programs mean the same as in wasmtime: built, optimised, and as bytecode in the interpreter on the PC."""

from __future__ import annotations

from collections.abc import Iterator

import wasmtime
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mcutool.bytecode import select
from mcutool.bytecode.layout import compile_function
from mcutool.image.link import CompiledModule, MemoryPlan, link
from mcutool.ir import allocate, build, law, passes
from mcutool.ir.dominance import reverse_postorder
from mcutool.ir.nodes import Function
from mcutool.ir.ranges import Ranges
from mcutool.pipeline import load
from mcutool.wasm.module import Module
from mcutool.wasm.text import assemble
from tests.ir.interpreter import Machine, Trap
from tests.ir.programs import FUNCTIONS, Program
from tests.pc import PcMachine

ARGUMENTS = [(0, 0, 0), (1, 2**64 - 1, 7), (0x80000000, 0x8000000000000000, 0xFFFFFFFF), (1000, 3, 33)]
GLOBALS = [5, 2**64 - 9]
DATA = {8: b"some bytes that programs read"}
FEW_SLOTS = 22
Answer = int | None
"""What a call gives, unsigned; None for a trap."""

programs = st.randoms(use_true_random=False).map(lambda random: Program(random).text())
few = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def calls() -> Iterator[tuple[int, tuple[int, ...]]]:
    for number in range(FUNCTIONS):
        for arguments in ARGUMENTS:
            yield number, arguments


def signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


def in_wasmtime(binary: bytes, module: Module) -> list[Answer]:
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, binary), [])
    answers: list[Answer] = []
    for number, arguments in calls():
        width = 64 if module.function_types[number].results == ("i64",) else 32
        a, b, c = arguments
        try:
            result = instance.exports(store)[f"f{number}"](store, signed(a, 32), signed(b, 64), signed(c, 32))
            answers.append(result % (1 << width))
        except wasmtime.Trap:
            answers.append(None)
    return answers


def interpreted(functions: list[Function]) -> list[Answer]:
    machine = Machine(functions, GLOBALS, DATA)
    for function in functions:
        machine.ranges.update(Ranges(function, reverse_postorder(function)).known)
    answers: list[Answer] = []
    for number, arguments in calls():
        try:
            answers.append(machine.call(number, list(arguments))[0])
        except Trap:
            answers.append(None)
    return answers


def as_bytecode(module: Module, functions: list[Function], folder, target: allocate.Target) -> list[Answer]:
    compiled = []
    for function in functions:
        select.select(function)
        allocation = allocate.allocate(function, target)
        law.check_allocation(function, allocation)
        compiled.append(compile_function(function, allocation))
    image = link([CompiledModule("", module, compiled, [MemoryPlan(0, 65536, 65536)])], 4096).image
    machine = PcMachine(image.build(), folder)
    assert machine.call(image.modules[0]["instantiate"], [], 0)[0] == "ok"
    exports = {export["name"]: export["index"] for export in image.exports}
    answers: list[Answer] = []
    for number, (a, b, c) in calls():
        slots = 2 if module.function_types[number].results == ("i64",) else 1
        state, words = machine.call(exports[f"f{number}"], [a, b & 0xFFFFFFFF, b >> 32, c], slots)
        answers.append(sum(word << 32 * i for i, word in enumerate(words)) if state == "ok" else None)
    machine.close()
    return answers


@few
@given(text=programs)
def test_every_stage_means_what_wasmtime_says(text, tmp_path_factory):
    binary = bytes(assemble(text))
    module = load(binary)
    expected = in_wasmtime(binary, module)
    functions = build.build(module)
    for function in functions:
        law.check_ssa(function)
    assert interpreted(functions) == expected
    for function in functions:
        passes.optimise(function)
        law.check_ssa(function)
    assert interpreted(functions) == expected
    assert as_bytecode(module, functions, tmp_path_factory.mktemp("pc"), select.TARGET) == expected


@few
@given(text=programs)
def test_slots_out_of_reach_change_nothing(text, tmp_path_factory):
    """With a target whose operands name few slots, most values live far away."""
    binary = bytes(assemble(text))
    module = load(binary)
    functions = build.build(module)
    narrow = allocate.Target(FEW_SLOTS, select.TARGET.links, select.TARGET.in_place)
    assert as_bytecode(module, functions, tmp_path_factory.mktemp("pc"), narrow) == in_wasmtime(binary, module)
