"""Damaged modules: never anything but a clear refusal, and the same verdict as wasmtime's.

What we call Unsupported has no verdict here, since wasmtime knows those proposals.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, Module, WasmtimeError, wat2wasm

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.reader import read_module
from mcutool.wasm.validate import validate
from tests.wasm.binary import SAMPLE

DATA = bytes(wat2wasm(SAMPLE))
CODE = DATA.index(b"\x0a", DATA.rindex(b"\x0c\x01\x02"))  # where the code section begins


def engine() -> Engine:
    config = Config()
    for feature in ("memory64", "multi_memory", "custom_page_sizes", "wide_arithmetic"):
        if hasattr(Config, f"wasm_{feature}"):
            setattr(config, f"wasm_{feature}", True)
    return Engine(config)


ENGINE = engine()


def ours(data: bytes) -> str | None:
    """Our verdict, or None when we have none."""
    try:
        validate(read_module(data))
    except InvalidModule as error:
        assert error.offset is not None and error.offset <= len(data)
        return f"invalid: {error}"
    except Unsupported:
        return None
    return "valid"


def wasmtimes(data: bytes) -> str:
    try:
        Module.validate(ENGINE, data)
    except WasmtimeError as error:
        return f"invalid: {error}"
    return "valid"


def check(data: bytes) -> None:
    verdict = ours(data)
    if verdict is None:
        return
    reference = wasmtimes(data)
    assert verdict.split(":")[0] == reference.split(":")[0], f"{verdict} but wasmtime says {reference}: {data.hex()}"


places = st.integers(8, len(DATA) - 1)
code_places = st.integers(CODE, len(DATA) - 1)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(DATA)
    for place, byte in changes:
        damaged[place] = byte
    check(bytes(damaged))


@settings(max_examples=600, derandomize=True, deadline=None)
@given(code_places, st.sampled_from(list(range(0xC5)) + [0xD0, 0xD1, 0xD2, 0xFC]))
def test_changed_opcodes(place: int, opcode: int) -> None:
    check(DATA[:place] + bytes([opcode]) + DATA[place + 1 :])


@settings(max_examples=200, derandomize=True, deadline=None)
@given(places, st.integers(0, 8), st.binary(max_size=8))
@example(8, 0, b"")
def test_replaced_stretches(place: int, length: int, inserted: bytes) -> None:
    check(DATA[:place] + inserted + DATA[place + length :])


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_random_code(body: bytes) -> None:
    size = len(body) + 2
    check(b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\x05\3\1\0\1\x0a" + bytes([size + 2, 1, size, 0]) + body + b"\x0b")
