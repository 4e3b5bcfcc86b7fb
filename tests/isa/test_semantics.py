"""Every arithmetic row against wasmtime, on edge values, in the interpreter built for the PC."""

from __future__ import annotations

import itertools
import struct

import pytest
import wasmtime

from mcutool.encoding import STUB_CODE, encode
from mcutool.image.format import NONE, Image
from mcutool.isa import BY_NAME, ROWS, TRAP_NUMBERS
from tests.pc import PcMachine

SLOTS = {"i32": 1, "f32": 1, "i64": 2, "f64": 2}
BITS = {"i32": 32, "f32": 32, "i64": 64, "f64": 64}
EDGES = {
    "i32": [0, 1, 2, 5, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF],
    "i64": [0, 1, 3, 31, 32, 63, 64, 0x80, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
            0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF],
    "f32": [struct.unpack("<I", struct.pack("<f", x))[0]
            for x in (0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.0, 1e-40, 3.4e38, 2147483648.0, -2147483648.0,
                      4294967296.0, 9.223372e18, 1.8446744e19, -0.99, float("inf"), float("-inf"))]
    + [0x7FC00000, 0x7FA00000, 0xFFC12345],
    "f64": [struct.unpack("<Q", struct.pack("<d", x))[0]
            for x in (0.0, -0.0, 0.5, -0.5, 2.5, -1.0, 5e-324, 1.7e308, 2147483647.9, -2147483648.9, 4294967295.9,
                      9.223372036854775e18, 1.8446744073709550e19, -0.999, 1e-46, float("inf"), float("-inf"))]
    + [0x7FF8000000000000, 0x7FF4000000000000, 0xFFF8000000012345],
}  # fmt: skip
ENGINE = wasmtime.Engine()


def wasm_type(name: str) -> tuple[list[str], str] | None:
    """Parameter types and result type when a row's name is that of a WebAssembly instruction without immediates."""
    row = BY_NAME[name]
    parameters = [t for letter, t in row.slot_types.items() if letter != "d"]
    if "d" not in row.slot_types or not parameters or "." not in name:
        return None
    result = row.slot_types["d"]
    if name.startswith(("f32", "f64")) and row.escaped:  # these work on bits
        kind, operation = name.split(".")
        source = {"convert": operation[8:11], "demote": "f64", "promote": "f32"}.get(operation.partition("_")[0], kind)
        parameters, result = [source] * len(parameters), kind
    text = text_of(name, parameters, result)
    try:
        wasmtime.Module.validate(ENGINE, wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError:
        return None
    return parameters, result


def text_of(name: str, parameters: list[str], result: str) -> str:
    """A module whose `f` takes and gives floats as integers of their bits."""
    plain = {"f32": "i32", "f64": "i64"}
    enter = {"f32": "f32.reinterpret_i32", "f64": "f64.reinterpret_i64"}
    leave = {"f32": "i32.reinterpret_f32", "f64": "i64.reinterpret_f64"}
    types = " ".join(plain.get(p, p) for p in parameters)
    body = " ".join(f"local.get {i} {enter.get(p, '')}" for i, p in enumerate(parameters))
    return (
        f'(module (func (export "f") (param {types}) (result {plain.get(result, result)}) '
        f"{body} {name} {leave.get(result, '')}))"
    )


ARITHMETIC = [row.name for row in ROWS if wasm_type(row.name)]


def test_most_rows_are_covered():
    assert len(ARITHMETIC) > 110


def image_of(name: str, parameters: list[str]) -> bytes:
    row = BY_NAME[name]
    places = list(itertools.accumulate([SLOTS[p] for p in parameters], initial=0))
    operands = {letter: place for letter, place in zip("ab", places, strict=False) if letter in row.slot_types}
    code = [*STUB_CODE, 16]
    code += encode(row, d=8, **operands)
    code += encode(BY_NAME["copy64"], d=0, a=8) + encode(BY_NAME["return"])
    image = Image(stack_slots=64, code=code)
    image.signatures = [dict(parameter_slots=places[-1], result_slots=2, text="")]
    image.functions = [dict(code=len(STUB_CODE), signature=0, module=0)]
    image.modules = [dict(memory=NONE, instantiate=0, start=NONE, flags=0)]
    return image.build()


def signed(value: int, type_: str) -> int:
    return value - (1 << BITS[type_]) if value >> (BITS[type_] - 1) else value


def is_nan(bits: int, type_: str) -> bool:
    return bits & 0x7FFFFFFF > 0x7F800000 if type_ == "f32" else bits & (2**63 - 1) > 0x7FF << 52


TRAP_TEXT = {
    "integer divide by zero": "divide_by_zero",
    "integer overflow": "integer_overflow",
    "invalid conversion to integer": "invalid_conversion",
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_row_does_what_webassembly_says(name, tmp_path):
    parameters, result = wasm_type(name)  # type: ignore[misc]
    store = wasmtime.Store(ENGINE)
    module = wasmtime.Module(ENGINE, text_of(name, parameters, result))
    oracle = wasmtime.Instance(store, module, []).exports(store)["f"]
    machine = PcMachine(image_of(name, parameters), tmp_path)
    for values in itertools.product(*(EDGES[p] for p in parameters)):
        words = [w for v, p in zip(values, parameters, strict=True) for w in (v & 0xFFFFFFFF, v >> 32)[: SLOTS[p]]]
        state, slots = machine.call(0, words, SLOTS[result])
        try:
            wanted = oracle(store, *(signed(v, p) for v, p in zip(values, parameters, strict=True)))
        except wasmtime.Trap as trap:
            kind = next(kind for text, kind in TRAP_TEXT.items() if text in trap.message)
            assert (state, slots[0]) == ("trap", TRAP_NUMBERS[kind]), (name, values)
            continue
        got = sum(slot << 32 * i for i, slot in enumerate(slots))
        wanted &= (1 << BITS[result]) - 1
        same = got == wanted or (result[0] == "f" and is_nan(got, result) and is_nan(wanted, result))
        assert state == "ok" and same, (name, [hex(v) for v in values], hex(got), hex(wanted))
    machine.close()
