"""What counts as a use of a feature."""

from __future__ import annotations

import pytest

from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from tests.spec.features import FEATURES, features_of, newest_feature

MODULES = {
    "1.0": """(module (table 1 funcref) (memory 1) (elem (i32.const 0) $f) (data (i32.const 0) "a")
        (func $f (param i32) (result i32) (block (result i32) (call_indirect (result i32) (i32.const 0)))))""",
    "sign extension": "(module (func (result i32) (i32.extend8_s (i32.const 1))))",
    "float-to-int": "(module (func (result i32) (i32.trunc_sat_f32_s (f32.const 1))))",
    "multi-value": "(module (func (param i32) (local.get 0) (block (param i32) (drop))))",
    "bulk memory": '(module (memory 1) (data "a"))',
    "reference types": "(module (table 1 externref))",
    "extended constants": "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
    "custom page sizes": "(module (memory 1 (pagesize 1)))",
    "tail calls": "(module (func (return_call 0)))",
    "multiple memories": "(module (memory 1) (memory 1))",
    "typed function references": "(module (type $f (func)) (func (param (ref $f))))",
    "exceptions": "(module (tag))",
}
MORE = {
    "multi-value": ["(module (func (result i32 i32) (unreachable)))"],
    "bulk memory": ["(module (func $f) (elem func $f))", "(module (memory 1) (func (memory.fill (unreachable))))"],
    "reference types": [
        "(module (table 1 funcref) (table 1 funcref))",
        "(module (func (param funcref)))",
        "(module (func $f (drop (ref.func $f))) (elem declare func $f))",
        "(module (table 1 funcref) (elem (i32.const 0) funcref (ref.null func)))",
        "(module (func (drop (select (result i32) (unreachable)))))",
    ],
    "extended constants": ["(module (global $a i32 (i32.const 1)) (global i32 (global.get $a)))"],
    "typed function references": [
        "(module (func $f) (table 1 funcref (ref.func $f)))",
        "(module (type $f (func)) (func (call_ref $f (unreachable))))",
    ],
    "exceptions": ["(module (func (local exnref)))", "(module (func (block $b (try_table (catch_all $b)))))"],
}


def test_every_feature_has_a_module():
    assert tuple(MODULES) == FEATURES


@pytest.mark.parametrize("feature", FEATURES)
def test_newest_feature(feature):
    for text in (MODULES[feature], *MORE.get(feature, [])):
        assert newest_feature(read_module(assemble(text))) == feature, text


def test_all_features():
    text = "(module (memory 1) (memory 1) (func (result i32 i32) (i32.extend8_s (i32.const 1)) (i32.const 2)))"
    used = {"1.0", "sign extension", "multi-value", "multiple memories"}
    assert features_of(read_module(assemble(text))) == used
