"""Reference types match as the specification says, and equal structures get equal numbers across modules."""

from __future__ import annotations

import pytest

from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.types import (
    Structures,
    has_default,
    heap_type,
    is_nullable,
    is_reference,
    matches,
    non_null,
    reference,
    renamed,
)

ORDERED = [  # each of a line matches those after it
    ["(ref 3)", "(ref null 3)", "funcref"],
    ["(ref 3)", "(ref func)", "funcref"],
    ["(ref extern)", "externref"],
    ["(ref exn)", "exnref"],
    ["i32"],
]


def test_matching_is_the_order_of_the_specification() -> None:
    kinds = {kind for line in ORDERED for kind in line}
    allowed = {(line[i], wider) for line in ORDERED for i in range(len(line)) for wider in line[i:]}
    for actual in kinds:
        for expected in kinds:
            assert matches(actual, expected) == ((actual, expected) in allowed), (actual, expected)


@pytest.mark.parametrize("heap", ["func", "extern", "exn", "12"])
@pytest.mark.parametrize("nullable", [False, True])
def test_a_reference_is_taken_apart_again(heap: str, nullable: bool) -> None:
    kind = reference(heap, nullable=nullable)
    assert is_reference(kind) and heap_type(kind) == heap
    assert is_nullable(kind) == has_default(kind) == nullable
    assert non_null(kind) == reference(heap, nullable=False)


def test_nullable_references_of_the_first_versions_keep_their_names() -> None:
    assert reference("func", nullable=True) == "funcref"
    assert reference("extern", nullable=True) == "externref"
    assert not is_reference("i32") and has_default("f64")


def types_of(text: str) -> list:
    return read_module(assemble(f"(module {text})"), refused=frozenset()).types


def test_of_equal_types_the_first_gives_the_number() -> None:
    types = types_of("(type (func)) (type (func)) (type (func (param (ref 0)))) (type (func (param (ref 1))))")
    assert types[0] == types[1] and types[2] == types[3]
    assert types[3].parameters == ("(ref 0)",)


def test_a_recursive_type_differs_from_one_that_refers_to_it() -> None:
    itself, other, again = types_of(
        "(type $a (func (param (ref $a)))) (type (func (param (ref $a)))) (type $b (func (param (ref $b))))"
    )
    assert itself.parameters == other.parameters == ("(ref 0)",)
    assert itself != other and itself == again


def test_structures_compare_modules() -> None:
    structures = Structures()
    first = structures.names(types_of("(type $i (func (param i32))) (type (func (result (ref null $i))))"))
    second = structures.names(types_of("(type (func)) (type (func (param i32))) (type (func (result (ref null 1))))"))
    assert first == {"0": "0", "1": "1"}
    assert second == {"0": "2", "1": "0", "2": "1"}
    assert renamed("(ref null 2)", second) == renamed("(ref null 1)", first)
    assert renamed("externref", first) == "externref" and renamed("i64", first) == "i64"


def test_structures_know_recursive_types() -> None:
    structures = Structures()
    first = structures.names(types_of("(type $a (func (param (ref $a)))) (type (func (param (ref $a))))"))
    second = structures.names(
        types_of(
            "(type (func)) (type $a (func (param (ref $a)))) (type (func (param (ref $a))))"
            "(type $b (func (param (ref $b))))"
        )
    )
    assert first["0"] != first["1"]
    assert (second["1"], second["2"], second["3"]) == (first["0"], first["1"], first["0"])
