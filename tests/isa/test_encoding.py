"""The instruction table: round trips, overlaps, and tables that must be refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutool import generate, isa
from mcutool.encoding import TableError, check_table, decode, disassemble, encode, fields

ADD = isa.BY_NAME["i32.add"]


@pytest.mark.parametrize("row", isa.ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("pick", [lambda limits: limits[0], lambda limits: limits[-1]], ids=["least", "most"])
def test_round_trip_at_the_limits(row, pick):
    operands = {letter: pick(field.limits) for letter, field in fields(row).items()}
    if "n" in operands:
        operands["n"] = 2
    table = (-3, 0, 7) if "n" in operands else ()
    halfwords = encode(row, table, **operands)
    decoded = decode(halfwords)
    assert decoded is not None
    assert (decoded.row, decoded.operands, decoded.length, decoded.table) == (row, operands, len(halfwords), table)


@pytest.mark.parametrize("row", isa.ROWS, ids=lambda row: row.name)
def test_an_instruction_that_is_cut_off_is_not_decoded(row):
    halfwords = encode(row, (1,) if "n" in fields(row) else (), **dict.fromkeys(fields(row), 0))
    assert all(decode(halfwords[:length]) is None for length in range(len(halfwords)))


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=12))
@settings(max_examples=300, derandomize=True)
def test_any_halfwords_disassemble_and_encode_back(halfwords):
    for position, decoded, text in disassemble(halfwords):
        assert text
        if decoded is not None:
            back = encode(decoded.row, decoded.table, **decoded.operands)
            masked = decode(back)
            assert masked == decoded, (position, text)


def test_every_operand_that_does_not_fit_is_refused():
    for row in isa.ROWS:
        for letter, field in fields(row).items():
            operands = dict.fromkeys(fields(row), 0) | {letter: field.limits[-1] + 1}
            with pytest.raises(ValueError, match="does not fit"):
                encode(row, **operands)


def test_the_operands_must_be_those_of_the_row():
    with pytest.raises(ValueError, match="takes"):
        encode(ADD, d=1, a=2)


def test_the_table_makes_sense():
    check_table(isa.ROWS)


@pytest.mark.parametrize(
    "rows, words",
    [
        ([ADD, ADD], "stands twice"),
        ([ADD, replace(ADD, name="other")], "overlap"),
        ([ADD, replace(ADD, name="other", format="dai", types="i32 i32")], "overlap"),
        ([replace(ADD, opcode=0)], "neither 0 nor the escape"),
        ([replace(ADD, opcode=255)], "neither 0 nor the escape"),
        ([replace(ADD, types="i32 i32")], "needs a type"),
    ],
)
def test_bad_tables_are_refused(rows, words):
    with pytest.raises(TableError, match=words):
        check_table(rows)


@pytest.mark.parametrize(
    "picture, words",
    [
        ("dddddddd ooooooo", "whole halfwords"),
        ("", "whole halfwords"),
        ("ddaaddaa oooooooo", "torn apart"),
        ("dddddddd uuuuuuuu", "eight bits"),
    ],
)
def test_bad_pictures_are_refused(monkeypatch, picture, words):
    monkeypatch.setitem(isa.FORMATS, "bad", picture)
    with pytest.raises(TableError, match=words):
        check_table([replace(ADD, format="bad", types="i32")])


def test_a_row_says_what_it_does():
    for row in isa.ROWS:
        assert row.sentence.endswith(".") and row.meaning and row.since <= isa.ISA_VERSION, row.name


def test_generated_files_are_fresh():
    assert generate.stale() == [], "run: python -m mcutool.generate"


def test_a_handler_is_generated_to_the_letter():
    expected = """
HANDLER(i32_add, OPCODE) {
    /* Adds. */
    uint32_t d;
    const uint32_t a = GET_I32((HALFWORD1 & 0xff));
    const uint32_t b = GET_I32((HALFWORD1 >> 8));
    d = a + b;
    SET_I32((HALFWORD0 >> 8), d);
    NEXT(2);
}"""
    assert "\n".join(generate.render_handler(ADD)) == expected.replace("OPCODE", f"{ADD.opcode:#04x}")
