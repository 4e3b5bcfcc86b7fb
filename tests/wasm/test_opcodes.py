"""The opcode table agrees with itself and with the specification's counts."""

from __future__ import annotations

import re

from mcutool.wasm.opcodes import BY_CODE, OPCODES, later_feature

VALUE_TYPES = {"i32", "i64", "f32", "f64", "funcref", "externref"}


def test_codes_and_names_are_used_once() -> None:
    assert len(BY_CODE) == len(OPCODES)
    assert len({row.name for row in OPCODES}) == len(OPCODES)


def test_each_feature_has_all_of_its_instructions() -> None:
    counts: dict[str, int] = {}
    for row in OPCODES:
        counts[row.feature] = counts.get(row.feature, 0) + 1
    assert counts == {
        "1.0": 172,
        "sign extension": 5,
        "non-trapping float-to-int conversions": 8,
        "bulk memory": 7,
        "reference types": 9,
        "tail calls": 2,
        "typed function references": 5,
        "exception handling": 3,
    }


def test_no_supported_opcode_is_named_a_later_one() -> None:
    assert not [row.name for row in OPCODES if later_feature(row.prefix, row.code)]
    assert later_feature(0xFD, 12) == "SIMD"
    assert later_feature(0x00, 0xFF) is None


def test_signatures_hold_value_types() -> None:
    for row in OPCODES:
        assert (row.parameters is None) == (row.results is None), row.name
        assert set((row.parameters or ()) + (row.results or ())) <= VALUE_TYPES, row.name


def test_a_name_says_operand_and_result_types() -> None:
    """`i64.extend_i32_s` takes an i32 and gives an i64; loads and stores touch as many bytes as their name says."""
    for row in OPCODES:
        kind, _, operation = row.name.partition(".")
        if kind not in VALUE_TYPES or row.results is None or row.parameters is None:
            continue
        if row.results and not re.match(r"(eqz?|ne|[lg][te](_[su])?)$", operation):
            assert row.results == (kind,), row.name
        if source := re.search(r"_([if]\d\d)", operation):
            assert row.parameters == (source[1],), row.name
        if width := re.match(r"(load|store)(\d*)", operation):
            assert row.access * 8 == int(width[2] or kind[1:]), row.name
        else:
            assert row.access == 0
