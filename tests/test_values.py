"""Arguments as people type them, results as scripts read them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcutool import values
from mcutool.errors import UsageError


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("-5", "i32", "-5"),
        ("0xffffffff", "i32", "-1"),
        ("-0x10", "i64", "-16"),
        ("0xffffffffffffffff", "i64", "-1"),
        ("0.1", "f32", "0.1"),
        ("-0", "f32", "-0.0"),
        ("16777217", "f32", "16777216.0"),
        ("3.4028234663852886e38", "f32", "3.4028235e+38"),
        ("1e-45", "f32", "1e-45"),
        ("0x1.8p1", "f64", "3.0"),
        ("inf", "f32", '"inf"'),
        ("-inf", "f64", '"-inf"'),
        ("nan", "f32", '"nan:0x400000"'),
        ("-nan:0x1", "f64", '"-nan:0x1"'),
        ("null", "externref", "null"),
        ("7", "externref", "7"),
        ("null", "exnref", "null"),
    ],
)
def test_an_argument_comes_back_as_json(text: str, kind: str, shown: str) -> None:
    assert values.NUMBER.fullmatch(text)
    assert json.dumps(values.present(values.parse(text, kind), kind)) == shown


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4294967296", "i32"),
        ("-2147483649", "i32"),
        ("1.5", "i32"),
        ("1e39", "f32"),
        ("1e99999999", "f64"),
        ("0x1p-999999999", "f64"),
        ("nan:0x0", "f32"),
        ("x", "f64"),
    ],
)
def test_what_does_not_fit_the_type_is_refused(text: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"not a value of type {kind}"):
        values.parse(text, kind)


@pytest.mark.parametrize(
    ("text", "kind", "bits"),
    [
        ("0x1.00000100000000000001p0", "f32", 0x3F800001),  # just above a tie, where a double stands
        ("0x1.000001p0", "f32", 0x3F800000),
        ("0x1.000003p0", "f32", 0x3F800002),
        ("340282356779733661637539395458142568448", "f32", None),  # the tie between the largest number and infinity
        ("340282356779733661637539395458142568447", "f32", 0x7F7FFFFF),
        ("0x1p-1074", "f64", 1),
        ("0x1p-1075", "f64", 0),
        ("012", "i32", 12),
    ],
)
def test_a_number_is_rounded_once(text: str, kind: str, bits: int | None) -> None:
    if bits is None:
        with pytest.raises(UsageError):
            values.parse(text, kind)
    else:
        assert values.parse(text, kind) == bits


@given(st.integers(0, 2**32 - 1))
def test_every_f32_comes_back_from_its_shortest_text(bits: int) -> None:
    shown = values.present(bits, "f32")
    assert values.parse(str(shown), "f32") == bits


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from(["i32", "f32", "i64", "f64"]))))
def test_slots_hold_what_was_put_in(pairs: list[tuple[int, str]]) -> None:
    pairs = [(bits % (1 << values.WIDTHS[kind]), kind) for bits, kind in pairs]
    data = values.to_slots(pairs)
    assert len(data) == 4 * values.slots_of(kind for _, kind in pairs)
    assert values.from_slots(data, [kind for _, kind in pairs]) == [bits for bits, _ in pairs]
