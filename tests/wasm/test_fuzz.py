"""Damaged modules: never anything but a clear refusal, and the same verdict as wasmtime's.

What we call Unsupported has no verdict here, since wasmtime knows those proposals.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, Module, WasmtimeError, wat2wasm

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.reader import read_module
from mcutool.wasm.validate import validate
from tests.wasm.binary import PROPOSALS, SAMPLE

SAMPLES = {"sample": bytes(wat2wasm(SAMPLE)), "proposals": bytes(wat2wasm(PROPOSALS))}
OPCODES = [*range(0xC5), 0xD0, 0xD1, 0xD2, 0xD4, 0xD5, 0xD6, 0xFC]


def engine() -> Engine:
    config = Config()
    features = "memory64 multi_memory custom_page_sizes wide_arithmetic tail_call function_references exceptions"
    for feature in features.split():
        setattr(config, f"wasm_{feature}", True)
    return Engine(config)


ENGINE = engine()


def ours(data: bytes) -> str | None:
    """Our verdict, or None when we have none."""
    try:
        validate(read_module(data, refused=frozenset()))
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


def code_start(data: bytes) -> int:
    """Where the code section begins."""
    return read_module(data, refused=frozenset()).functions[0].offset


places = st.floats(0, 1, exclude_max=True)  # a share of the bytes
samples = pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES.keys())


def position(data: bytes, start: int, place: float) -> int:
    return start + int(place * (len(data) - start))


@samples
def test_the_samples_are_valid(data: bytes) -> None:
    assert ours(data) == wasmtimes(data) == "valid"


@samples
@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes(data: bytes, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[position(data, 8, place)] = byte
    check(bytes(damaged))


@samples
@settings(max_examples=600, derandomize=True, deadline=None)
@given(places, st.sampled_from(OPCODES))
def test_changed_opcodes(data: bytes, place: float, opcode: int) -> None:
    start = position(data, code_start(data), place)
    check(data[:start] + bytes([opcode]) + data[start + 1 :])


@samples
@settings(max_examples=200, derandomize=True, deadline=None)
@given(places, st.integers(0, 8), st.binary(max_size=8))
@example(0, 0, b"")
def test_replaced_stretches(data: bytes, place: float, length: int, inserted: bytes) -> None:
    start = position(data, 8, place)
    check(data[:start] + inserted + data[start + length :])


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_random_code(body: bytes) -> None:
    size = len(body) + 2
    check(b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\x05\3\1\0\1\x0a" + bytes([size + 2, 1, size, 0]) + body + b"\x0b")
