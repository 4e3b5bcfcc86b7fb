"""What wasmtime makes of a script: a second opinion on what our own scripts expect.

This file decides how a script's commands are put to wasmtime, and how far its answer can be compared: Python's floats
carry no NaN payloads, and some traps have one code there. It refuses to know mcutool's translation.
"""

from __future__ import annotations

import math
import struct

import wasmtime

from mcutool.wast.script import (
    Action,
    AssertFailure,
    AssertModule,
    AssertReturn,
    Command,
    DefineModule,
    Expected,
    InstantiateModule,
    Register,
    Source,
    Value,
)

WIDTHS = {"i32": 32, "i64": 64}
FLOATS = {"f32": ("<I", "<f"), "f64": ("<Q", "<d")}
TRAPS = {
    wasmtime.TrapCode.STACK_OVERFLOW: ["call stack exhausted"],
    wasmtime.TrapCode.UNREACHABLE: ["unreachable"],
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: ["out of bounds memory access"],
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: ["out of bounds table access", "undefined element"],
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: ["uninitialized element"],
    wasmtime.TrapCode.BAD_SIGNATURE: ["indirect call type mismatch"],
    wasmtime.TrapCode.INTEGER_OVERFLOW: ["integer overflow"],
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: ["integer divide by zero"],
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: ["invalid conversion to integer"],
    wasmtime.TrapCode.NULL_REFERENCE: ["null reference", "null function reference"],
}
UNCAUGHT = "thrown Wasm exception"
"""What wasmtime says of an exception that nothing catches; it is no trap there."""


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_tail_call = True
    config.wasm_multi_memory = True
    config.wasm_custom_page_sizes = True
    config.wasm_function_references = True
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


class Opinion:
    """Takes the commands of a script one after another; `disagreements` are lines and what wasmtime says there."""

    def __init__(self) -> None:
        self.agreements = 0
        self.disagreements: list[tuple[int, str]] = []
        self._engine = _engine()
        self._store = wasmtime.Store(self._engine)
        self._store.set_wasi(wasmtime.WasiConfig())
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()
        self._instances: dict[str | None, wasmtime.Instance] = {}
        self._definitions: dict[str | None, Source] = {}

    def take(self, command: Command) -> None:
        """Carry out a command; what it asserts is compared."""
        if isinstance(command, DefineModule):
            self._definitions[command.source.name] = command.source
            if command.instantiate:
                self._instances[None] = self._instances[command.source.name] = self._instantiate(command.source)
        elif isinstance(command, InstantiateModule):
            source = self._definitions[command.definition]
            self._instances[None] = self._instances[command.name] = self._instantiate(source)
        elif isinstance(command, Register):
            self._linker.define_instance(self._store, command.name, self._instances[command.module])
        elif isinstance(command, AssertReturn):
            self._compare_results(command)
        elif isinstance(command, AssertModule) and command.failure == "unlinkable":
            self._note(self._is_unlinkable(command.source), command.line, "an instance")
        elif isinstance(command, AssertFailure | AssertModule):
            self._compare_trap(command)
        elif isinstance(command, Action):
            self._perform(command)

    def _instantiate(self, source: Source) -> wasmtime.Instance:
        module = wasmtime.Module(self._engine, source.assemble())
        return self._linker.instantiate(self._store, module)

    def _is_unlinkable(self, source: Source) -> bool:
        try:
            self._instantiate(source)
        except wasmtime.WasmtimeError:
            return True
        return False

    def _perform(self, action: Action) -> list:
        export = self._instances[action.module].exports(self._store)[action.name]
        if isinstance(export, wasmtime.Global):
            return [export.value(self._store)]
        assert isinstance(export, wasmtime.Func)
        results = export(self._store, *map(_argument, action.arguments))
        count = len(export.type(self._store).results)
        return results if count > 1 else [results][:count]  # type: ignore[return-value]

    def _compare_results(self, command: AssertReturn) -> None:
        try:
            results = self._perform(command.action)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            self.disagreements.append((command.line, str(error)))
            return
        if not ("reinterpret" in command.action.name and any(map(_is_nan, command.action.arguments))):
            same = len(results) == len(command.expected) and all(map(_agrees, command.expected, results))
            self._note(same, command.line, repr(results))

    def _compare_trap(self, command: AssertFailure | AssertModule) -> None:
        answer: object = "no trap"
        known: list[str] = []
        try:
            if isinstance(command, AssertModule):
                self._instantiate(command.source)
            else:
                answer = self._perform(command.action)
        except wasmtime.Trap as trap:
            answer, known = trap.message, TRAPS.get(trap.trap_code, [])  # type: ignore[arg-type]
        if command.failure == "exception":
            self._note(UNCAUGHT in str(answer), command.line, repr(answer))
        else:
            self._note(command.message in known, command.line, repr(answer))

    def _note(self, same: bool, line: int, answer: str) -> None:
        if same:
            self.agreements += 1
        else:
            self.disagreements.append((line, answer))


def _is_nan(value: Value) -> bool:
    return value.type in FLOATS and math.isnan(_float(value))


def _float(value: Value) -> float:
    integer, floating = FLOATS[value.type]
    return struct.unpack(floating, struct.pack(integer, value.bits))[0]


def _argument(value: Value) -> object:
    if value.type in FLOATS:
        return _float(value)
    if value.type in WIDTHS:
        half = 1 << WIDTHS[value.type] - 1
        return (value.bits + half) % (2 * half) - half
    if value.type == "externref":
        return wasmtime.Val.externref(value.bits - 1 if value.bits else None)
    assert value.bits == 0, "a function reference from outside is null"
    return wasmtime.Val.funcref(None)


def _agrees(expected: Expected, result: object) -> bool:
    return any(_is(value, result) for value in expected.alternatives)


def _is(value: Value, result: object) -> bool:
    if value.pattern == "null" or (value.type == "externref" and value.bits == 0):
        return result is None or (isinstance(result, wasmtime.Val) and result.value is None)
    if value.pattern == "reference":
        return result is not None
    if isinstance(result, float):
        return _same_float(value, result)
    assert isinstance(result, int)
    if value.type == "externref":
        return result == value.bits - 1
    return result % (1 << WIDTHS[value.type]) == value.bits


def _same_float(value: Value, result: float) -> bool:
    if value.pattern or _is_nan(value):
        return math.isnan(result)
    return struct.pack("<d", _float(value)) == struct.pack("<d", result)
