"""Runs a script of the WebAssembly test suite on a board.

All modules of a script become one image: which module imports from which is known from the order of the commands, so
they are linked on the PC, and instantiated on the board one by one when the script says so. This file decides what
counts as passed, failed and skipped. It refuses to know how a board is reached: it is given a session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mcutool import fit, values
from mcutool.devices import Board
from mcutool.errors import Error, InvalidModule, Unsupported
from mcutool.flash.protocols import smp
from mcutool.image.format import EXPORT_KINDS, LETTERS
from mcutool.image.link import CompiledModule, Linker, LinkError, MemoryPlan, arena_bytes
from mcutool.isa import TRAP_NUMBERS, TRAPS
from mcutool.pipeline import load, translate
from mcutool.run import Session
from mcutool.wasm.module import MemoryType, Module
from mcutool.wasm.text import assemble
from mcutool.wast.script import (
    Action,
    AssertFailure,
    AssertModule,
    AssertReturn,
    Command,
    DefineModule,
    InstantiateModule,
    OtherCommand,
    Register,
    Source,
    read_script,
)
from mcutool.wast.sexpr import ScriptError

TYPES = {letter: kind for kind, letter in LETTERS.items()}
SPECTEST = b"""(module
  (func (export "print")) (func (export "print_i32") (param i32)) (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32)) (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32)) (func (export "print_f64_f64") (param f64 f64))
  (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6)) (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref) (memory (export "memory") 1 2))"""
"""The module that every script may import from (WebAssembly reference interpreter, "Spectest host module")."""
LATER_EXPORTS = {("spectest", "shared_memory"): "threads"}
"""What that module has where a later proposal is supported."""
LARGEST_MEMORY = 1 << 20
"""Bytes that RAM backs of a memory at its start; some scripts declare four gigabytes and touch none of them."""
TABLE_ROOM = 2048
ALIGNMENT = 8


@dataclass
class Report:
    """What became of a script's assertions; `failures` and `skips` are (line, message or reason), `problems` those of
    modules that no assertion expects to be wrong.

    `delegated` of those passed were decided by the assembler alone: text that it refused, as the script expects.
    """

    file: str
    assertions: int = 0
    passed: int = 0
    delegated: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    skips: list[tuple[int, str]] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """As `mcutool wast --json` prints it."""
        return {
            "file": self.file,
            "assertions": self.assertions,
            "passed": self.passed,
            "delegated": self.delegated,
            "failed": len(self.failures),
            "skipped": len(self.skips),
            "failures": [{"line": line, "message": message} for line, message in self.failures],
            "skips": [{"line": line, "reason": reason} for line, reason in self.skips],
            "problems": [{"line": line, "message": message} for line, message in self.problems],
        }


class _Failed(Exception):
    """The assertion does not hold."""


class _Skipped(Exception):
    """The assertion is about something that mcutool does not have, or that is not the board's."""


@dataclass
class _Instance:
    """A module of the script that may come to life: its number in the image, or why there is none."""

    number: int
    module: Module | None = None
    problem: Exception | None = None


@cache
def _spectest() -> Module:
    return load(bytes(assemble(SPECTEST)))


T = TypeVar("T")


def _named(modules: dict[str | None, T], name: str | None, command: Command) -> T:
    """The module of that name, the last one for None. Raises ScriptError when there is none."""
    if name not in modules:
        raise ScriptError(f"line {command.line}: there is no module {name!r}")
    return modules[name]


class Plan:
    """Every instance that the script makes, found before anything runs, and the image that holds them."""

    def __init__(self, commands: list[Command], board: Board) -> None:
        self.instances: dict[int, _Instance] = {}  # by the command's id(): several may stand in a line
        self.compiled: list[CompiledModule] = []
        self.registered: dict[str, _Instance] = {}
        self._definitions: dict[str | None, Source] = {}
        self._names: dict[str | None, _Instance] = {}
        self.linker = Linker(fit.LARGEST_STACK // 4, TABLE_ROOM)
        self.registered["spectest"] = self._compile("spectest", _spectest())
        for command in commands:
            self._look_at(command)
        self._share_ram(board)
        self.image = self.linker.finish()

    def _share_ram(self, board: Board) -> None:
        """What the board has left is for memories that grow, in equal parts."""
        image = self.linker.image
        memories = image.memories
        spare = board.chip.arena_size - arena_bytes(image) - (len(memories) + 1) * ALIGNMENT
        for memory in memories:
            largest = memory["maximum"] << memory["page_log2"]
            room = min(largest, memory["capacity"] + max(0, spare // len(memories)))
            memory["capacity"] = max(memory["capacity"], room + ALIGNMENT - 1 & -ALIGNMENT)

    def _look_at(self, command: Command) -> None:
        if isinstance(command, DefineModule):
            self._definitions[command.source.name] = self._definitions[None] = command.source
            if command.instantiate:
                self._instantiate(command, command.source, command.source.name)
        elif isinstance(command, InstantiateModule):
            self._instantiate(command, _named(self._definitions, command.definition, command), command.name)
        elif isinstance(command, AssertModule) and command.failure == "uninstantiable":
            self.instances[id(command)] = self._make(command.source)
        elif isinstance(command, Register):
            self.registered[command.name] = _named(self._names, command.module, command)

    def _instantiate(self, command: Command, source: Source, name: str | None) -> None:
        instance = self._make(source)
        self.instances[id(command)] = instance
        self._names[None] = instance
        if name:
            self._names[name] = instance

    def _make(self, source: Source) -> _Instance:
        try:
            return self._compile(source.name or "", load(bytes(source.assemble())))
        except Error as error:
            return _Instance(-1, problem=error)

    def _compile(self, name: str, module: Module) -> _Instance:
        compiled = CompiledModule(name, module, [], [self._memory(m) for m in module.memories], self._providers(module))
        self.linker.check(compiled)
        compiled.functions = translate(module)
        self.linker.add(compiled)
        self.compiled.append(compiled)
        return _Instance(len(self.compiled) - 1, module)

    def _memory(self, memory: MemoryType) -> MemoryPlan:
        backed = min(memory.limits.minimum * memory.page_size, LARGEST_MEMORY)
        return MemoryPlan(0, backed, backed, partial=True)

    def _providers(self, module: Module) -> dict[str, int]:
        """Raises Unsupported when a module that this one imports from is not there for that reason."""
        for item in module.imports:
            if later := LATER_EXPORTS.get((item.module, item.name)):
                raise Unsupported(f"not supported: {later} (at byte offset {item.offset:#x})")
        wanted = {
            item.module: self.registered[item.module] for item in module.imports if item.module in self.registered
        }
        for instance in wanted.values():
            if instance.problem is not None:
                raise instance.problem
        return {name: instance.number for name, instance in wanted.items()}

    def check_link(self, source: Source) -> None:
        """Raises LinkError when the module's imports are not satisfied by what is registered."""
        module = load(bytes(source.assemble()))
        self.linker.check(CompiledModule("", module, [], [], self._providers(module)))


class ScriptRunner:
    """One script on one board."""

    def __init__(self, path: Path, script: bytes, board: Board, make_session: Callable[[], Session]) -> None:
        self.report = Report(str(path))
        self._commands = read_script(script)
        self.plan = Plan(self._commands, board)
        self._session = make_session()
        self._names: dict[str | None, _Instance] = {}
        self.plan.registered = {"spectest": self.plan.registered["spectest"]}
        self._exports = {(e["module"], e["name"]): e for e in self.plan.image.exports}

    def run(self) -> Report:
        """Run all commands; every assertion ends in exactly one of passed, failed, skipped."""
        self._session.install(self.plan.image.build())
        self._session.client.write(smp.RUNTIME, smp.RUNTIME_START)
        self._call(self.plan.image.modules[0]["instantiate"], b"", 0)
        for command in self._commands:
            if isinstance(command, DefineModule | InstantiateModule | Register | Action):
                self._do(command)
            else:
                self._assert(command)
        return self.report

    def _do(self, command: Command) -> None:
        """A command that is no assertion: what goes wrong shows in the assertions that rest on it."""
        if isinstance(command, Register):
            self.plan.registered[command.name] = self._names[command.module]
        elif isinstance(command, Action):
            try:
                self._perform(command)
            except (_Failed, _Skipped):
                pass
        elif id(command) in self.plan.instances:
            self._begin(command)

    def _begin(self, command: Command) -> None:
        instance = self.plan.instances[id(command)]
        name = command.source.name if isinstance(command, DefineModule) else getattr(command, "name", None)
        self._names[None] = instance
        if name:
            self._names[name] = instance
        if instance.problem is None:
            trap, _ = self._call(self.plan.image.modules[instance.number]["instantiate"], b"", 0)
            if trap:
                instance.problem = _Failed(f"instantiation trapped: {trap}")
        if instance.problem is not None and not isinstance(instance.problem, _Skipped | Unsupported):
            self.report.problems.append((command.line, str(instance.problem)))

    def _assert(self, command: Command) -> None:
        self.report.assertions += 1
        try:
            self._check(command)
            self.report.passed += 1
        except _Failed as failure:
            self.report.failures.append((command.line, str(failure)))
        except (_Skipped, Unsupported) as reason:
            self.report.skips.append((command.line, str(reason)))
        except Error as error:
            self.report.failures.append((command.line, str(error)))

    def _check(self, command: Command) -> None:
        if isinstance(command, AssertReturn):
            self._check_return(command)
        elif isinstance(command, AssertFailure):
            self._check_failure(command)
        elif isinstance(command, AssertModule):
            self._check_module(command)
        else:
            keyword = command.keyword if isinstance(command, OtherCommand) else type(command).__name__
            raise _Skipped(f"not supported: {keyword}")

    def _check_return(self, command: AssertReturn) -> None:
        trap, results = self._perform(command.action)
        if trap:
            raise _Failed(f"trapped: {trap}")
        if len(results) != len(command.expected):
            raise _Failed(f"gave {len(results)} results, {len(command.expected)} are expected")
        for expected, (bits, kind) in zip(command.expected, results, strict=True):
            if any(a.pattern == "unsupported" for a in expected.alternatives):
                raise _Skipped(f"not supported: {expected.alternatives[0].type}")
            if not expected.matches(kind, bits):
                raise _Failed(f"gave {kind} {bits:#x}, expected {expected}")

    def _check_failure(self, command: AssertFailure) -> None:
        message = UNCAUGHT if command.failure == "exception" else command.message
        trap, _ = self._perform(command.action)
        if not trap or not _same_words(trap, message):
            raise _Failed(f"expected {message!r}, got {trap or 'a result'!r}")

    def _check_module(self, command: AssertModule) -> None:
        checks = {
            "malformed": self._refused,
            "invalid": self._refused,
            "malformed_custom": self._annotation_refused,
            "invalid_custom": self._annotation_refused,
            "unlinkable": self._unlinkable,
        }
        checks.get(command.failure, self._uninstantiable)(command)

    def _refused(self, command: AssertModule) -> None:
        binary = self._assembled(command)
        if binary is None:
            return
        try:
            load(binary)
        except InvalidModule:
            return
        raise _Failed(f"the module was accepted, expected {command.message!r}")

    def _annotation_refused(self, command: AssertModule) -> None:
        if self._assembled(command) is not None:
            raise _Skipped("not supported: text annotations")

    def _assembled(self, command: AssertModule) -> bytes | None:
        """The module's bytes, or None when the assembler has already refused its text."""
        try:
            return command.source.assemble()
        except InvalidModule:
            self.report.delegated += 1
            return None

    def _unlinkable(self, command: AssertModule) -> None:
        try:
            self.plan.check_link(command.source)
        except LinkError as error:
            if not _same_words(str(error), command.message):
                raise _Failed(f"expected {command.message!r}, got {error}") from None
            return
        raise _Failed(f"the module was linked, expected {command.message!r}")

    def _uninstantiable(self, command: AssertModule) -> None:
        instance = self.plan.instances[id(command)]
        if instance.problem is not None:
            raise instance.problem
        trap, _ = self._call(self.plan.image.modules[instance.number]["instantiate"], b"", 0)
        if not trap or not _same_words(trap, command.message):
            raise _Failed(f"expected {command.message!r}, got {trap or 'an instance'!r}")

    # actions

    def _perform(self, action: Action) -> tuple[str, list[tuple[int, str]]]:
        """The trap's text, or "" and the results as (bits, type)."""
        instance = self._names.get(action.module)
        if instance is None:
            raise _Failed(f"there is no module {action.module or ''}")
        if instance.problem is not None:
            kind = _Skipped if isinstance(instance.problem, Unsupported) else _Failed
            raise kind(str(instance.problem))
        export = self._exports.get((instance.number, action.name))
        if export is None:
            raise _Failed(f"the module does not export {action.name!r}")
        if EXPORT_KINDS[export["kind"]] == "global":
            return "", [self._global(instance, action.name, export["index"])]
        return self._invoke(export["index"], action)

    def _global(self, instance: _Instance, name: str, slot: int) -> tuple[int, str]:
        assert instance.module is not None
        export = instance.module.export(name)
        assert export is not None
        kind = instance.module.global_types[export.index].value
        reply = self._session.client.read(smp.RUNTIME, smp.RUNTIME_GLOBAL, i=slot, n=values.slots_of((kind,)))
        return values.from_slots(reply["r"], (kind,))[0], kind

    def _invoke(self, function: int, action: Action) -> tuple[str, list[tuple[int, str]]]:
        if any(argument.pattern == "unsupported" for argument in action.arguments):
            raise _Skipped("not supported: an argument's type")
        signature = self.plan.image.signatures[self.plan.image.functions[function]["signature"]]["text"]
        kinds = tuple(TYPES[letter] for letter in signature.partition(">")[2])
        slots = values.to_slots([(argument.bits, argument.type) for argument in action.arguments])
        trap, results = self._call(function, slots, values.slots_of(kinds))
        return trap, [] if trap else list(zip(values.from_slots(results, kinds), kinds, strict=True))

    def _call(self, function: int, slots: bytes, count: int) -> tuple[str, bytes]:
        client = self._session.client
        request = client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=function, a=slots, n=count)
        deadline = client.link.now() + PATIENCE
        while (reply := client.take(request)) is None:
            if client.link.now() > deadline:
                raise _Failed(f"no answer in {PATIENCE} emulated seconds")
            client.receive(PATIENCE)
        return (TRAPS[reply["t"]].text, b"") if "t" in reply else ("", reply["r"])


UNCAUGHT = TRAPS[TRAP_NUMBERS["uncaught_exception"]].text
PATIENCE = 60.0
"""Seconds of the board's clock that a call may take."""


def _same_words(given: str, expected: str) -> bool:
    """The suite's messages are prefixes, sometimes with a number behind."""
    return given.startswith(expected) or expected.startswith(given)


def run_script(path: Path, script: bytes, board: Board, make_session: Callable[[], Session]) -> Report:
    """The report of the script that came from `path`. One that cannot be read is an error of the user's."""
    return ScriptRunner(path, script, board, make_session).run()
