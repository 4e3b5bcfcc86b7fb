"""Our own scripts: every instruction and every trap on each core, written from the WebAssembly specification.

The scripts in own/ owe nothing to the official suite. Here they run on the emulated boards, wasmtime is asked whether
it agrees with them, and the tables of opcodes and traps are compared with what they hold, so that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool.isa import TRAPS
from mcutool.wasm.features import UNTRANSLATED
from mcutool.wasm.module import Instruction, Module
from mcutool.wasm.opcodes import OPCODES
from mcutool.wasm.reader import read_module
from mcutool.wast.campaign import run_file
from mcutool.wast.script import Action, AssertFailure, AssertModule, AssertReturn, Command, DefineModule, read_script
from tests.spec import large
from tests.spec.wasmtime_opinion import Opinion

SCRIPTS = sorted(Path(__file__).with_name("own").glob("*.wast"))
BOARDS = ("mps2-m0", "mps2-an385", "mps2-an386")
NOT_BY_A_PROGRAM = {
    "none": "the number that says that all is well",
    "stopped": "a person or a limit of time stops a program",
    "host_error": "for host functions that can't do their work; none of today's gives it",
    "illegal_instruction": "only a damaged image holds one",
}
OURS = ("program ended", "address not backed", "too many exceptions are alive")
"""Traps that are no traps of the specification."""


def commands(path: Path) -> list[Command]:
    return read_script(path.read_bytes())


def modules(path: Path) -> list[Module]:
    """The modules that a script instantiates."""
    found = [command for command in commands(path) if isinstance(command, DefineModule)]
    return [read_module(command.source.assemble()) for command in found]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path, board):
    report = run_file(path, board)
    assert report["failures"] == [] and report["skips"] == []
    assert report["passed"] == report["assertions"] > 0


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", large.SCRIPTS)
def test_large_script(name, board, tmp_path):
    path = tmp_path / f"{name}.wast"
    path.write_text(large.SCRIPTS[name]())
    test_script(path, board)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_wasmtime_agrees(path):
    """A second opinion on what the scripts expect; what only a board does is left out."""
    check_opinion(commands(path))


@pytest.mark.parametrize("name", large.SCRIPTS)
def test_wasmtime_agrees_with_large_scripts(name):
    check_opinion(read_script(large.SCRIPTS[name]()))


def check_opinion(script: list[Command]) -> None:
    opinion = Opinion()
    for command in script:
        if not (isinstance(command, AssertFailure) and command.message in OURS):
            opinion.take(command)
    assert opinion.disagreements == []
    assert opinion.agreements > 0


def test_every_instruction_is_in_a_script():
    used = {i.opcode.name for path in SCRIPTS for module in modules(path) for i in instructions(module)}
    assert {opcode.name for opcode in OPCODES if opcode.feature not in UNTRANSLATED} - used == set()


def instructions(module: Module) -> Iterator[Instruction]:
    for function in module.functions:
        yield from function.body
    for global_ in module.globals:
        yield from global_.expression


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_exported_function_is_called(path):
    """So that an instruction that is in a script is executed by it."""
    called = {action.name for action in actions(commands(path))}
    imported = {item.name for module in modules(path) for item in module.imports}
    exported = {e.name for module in modules(path) for e in module.exports if e.kind == "function"}
    assert exported - called - imported == set()


def actions(script: list[Command]) -> Iterator[Action]:
    for command in script:
        if isinstance(command, Action):
            yield command
        elif isinstance(command, AssertReturn | AssertFailure):
            yield command.action


def test_every_trap_is_met():
    met = {
        "uncaught exception" if command.failure == "exception" else command.message
        for path in SCRIPTS
        for command in commands(path)
        if isinstance(command, AssertFailure | AssertModule)
    }
    missing = {trap.name for trap in TRAPS if not any(message and trap.text.startswith(message) for message in met)}
    assert missing == NOT_BY_A_PROGRAM.keys()
