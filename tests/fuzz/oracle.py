"""What wasmtime says: the account of a case, and the verdict on a module.

This file decides how wasmtime is set up and how its values and traps are read. It refuses to know mcutool's side.
"""

from __future__ import annotations

from typing import Any

import wasmtime

from tests.fuzz.case import Account, Call, Case, Outcome

FUEL = 3_000_000
"""Instructions that all calls of a case may take; so much takes emulated boards some seconds."""
UNCAUGHT = "thrown Wasm exception"
TRAPS = {
    None: "uncaught exception",
    wasmtime.TrapCode.UNREACHABLE: "unreachable",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "out of bounds table access",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "uninitialized element",
    wasmtime.TrapCode.BAD_SIGNATURE: "indirect call type mismatch",
    wasmtime.TrapCode.NULL_REFERENCE: "null reference",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "integer overflow",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "invalid conversion to integer",
}
MASKS = {"i32": (1 << 32) - 1, "i64": (1 << 64) - 1}


class NoAnswer(Exception):
    """The case says nothing: it runs too long or too deep, or calls what is not there."""


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = True
    config.cranelift_opt_level = "none"
    config.wasm_custom_page_sizes = True
    config.wasm_multi_memory = True
    config.wasm_tail_call = True
    config.wasm_function_references = True
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


ENGINE = _engine()


def account(case: Case) -> Account:
    """What the case should give. Raises NoAnswer, or wasmtime.WasmtimeError when the module is not valid."""
    module = _module(case.text)
    store = wasmtime.Store(ENGINE)
    store.set_fuel(FUEL)
    imports = _imports(store, case.library)
    try:
        instance = wasmtime.Instance(store, module, [imports[item.name or ""] for item in module.imports])
    except KeyError as missing:
        raise NoAnswer(f"there is no {missing} in the library") from None
    except wasmtime.Trap as trap:
        return [_trap(trap)]
    except wasmtime.WasmtimeError as error:  # so it says it of a start function
        if UNCAUGHT not in str(error):
            raise
        return [TRAPS[None]]
    exports = instance.exports(store)
    if any(call.export not in exports for call in case.calls):
        raise NoAnswer("there is no such export")
    return [(), *(_call(store, exports[call.export], call) for call in case.calls)]


def _module(text: str) -> wasmtime.Module:
    return wasmtime.Module(ENGINE, bytes(wasmtime.wat2wasm(text)))


def _imports(store: wasmtime.Store, text: str) -> dict[str, Any]:
    """The host function, and what a library exports. Raises NoAnswer when that traps."""
    host = {"sched_yield": wasmtime.Func(store, wasmtime.FuncType([], [wasmtime.ValType.i32()]), lambda: 0)}
    if not text:
        return host
    try:
        module = _module(text)
        instance = wasmtime.Instance(store, module, [host[item.name or ""] for item in module.imports])
        return {**host, **instance.exports(store)}
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        raise NoAnswer(str(error)) from None


def _call(store: wasmtime.Store, function: object, call: Call) -> Outcome:
    assert isinstance(function, wasmtime.Func)
    try:
        results = function(store, *(_argument(*argument) for argument in call.arguments))
    except wasmtime.Trap as trap:
        return _trap(trap)
    if results is None and not call.results:
        return ()
    listed = results if isinstance(results, list) else [results]
    return tuple(_bits(value, kind) for value, kind in zip(listed, call.results, strict=True))


def _trap(trap: wasmtime.Trap) -> str:
    if trap.trap_code not in TRAPS or trap.trap_code is None and UNCAUGHT not in trap.message:
        raise NoAnswer(trap.message)
    return TRAPS[trap.trap_code]


def _argument(bits: int, kind: str) -> object:
    if kind == "externref":
        return wasmtime.Val.externref(bits - 1 if bits else None)
    return bits - (MASKS[kind] + 1) if bits > MASKS[kind] >> 1 else bits


def _bits(value: object, kind: str) -> int:
    if kind == "externref":
        return 0 if value is None else int(value) + 1  # type: ignore[call-overload]
    return int(value) & MASKS[kind]  # type: ignore[call-overload]
