"""What the validator accepts and refuses, rule by rule of the specification."""

from __future__ import annotations

import pytest

from mcutool.errors import InvalidModule
from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.validate import validate
from tests.wasm.binary import module_with_body, section, vector

VALID = {
    "unreachable gives any type": "(func (result i32) unreachable)",
    "operands of unreachable code": "(func (result i32) unreachable i32.add)",
    "select in unreachable code": "(func (result f64) unreachable select)",
    "branch leaves values behind": "(func (result i32) i32.const 1 i32.const 2 br 0)",
    "br_table meets at the bottom": """(func
        (block (result f64) (block (result f32) (unreachable) (br_table 0 1 1 (i32.const 1))) (drop) (f64.const 0))
        (drop))""",
    "loop takes its parameters": "(func (param i32) local.get 0 (loop (param i32) br_if 1 i32.const 1 br 0))",
    "if without else keeps its parameter": "(func (param i32) (result i32) local.get 0 i32.const 1 (if (param i32) "
    "(result i32) (then)))",
    "results": "(func (result i32 i64) (block (result i32 i64) i32.const 1 i64.const 2))",
    "extended constants": "(global i32 (i32.mul (i32.const 2) (i32.sub (i32.const 3) (i32.const 1))))"
    "(global i64 (i64.add (i64.const 2) (i64.const 3)))",
    "global of an earlier global": "(global $a i32 (i32.const 1)) (global i32 (global.get $a))",
    "reference to an exported function": '(func $f (export "f")) (func (drop (ref.func $f)))',
    "reference in a global": "(func $f) (global funcref (ref.func $f)) (func (drop (ref.func $f)))",
    "table of externref": "(table 1 externref) (func (table.set (i32.const 0) (ref.null extern)))",
    "page size of one byte": "(memory 0 (pagesize 1)) (func (drop (i32.load8_u (i32.const 0))))",
    "largest memory": "(memory 65536 65536)",
    "tail call": "(func $f (param i32) (result i64) (return_call $f (i32.const 1)))",
    "tail call in a block": "(func $f (param i32) (block (result f32) (return_call $f (i32.const 1))) (drop))",
    "tail call leaves values behind": "(func $f (i64.const 1) (return_call $f))",
    "indirect tail call": """(type $t (func (param i32) (result i64))) (table 1 funcref)
        (func (result i64) (return_call_indirect (type $t) (i32.const 1) (i32.const 0)))""",
    "several memories": """(memory 1) (memory $b 1 (pagesize 1)) (data (memory 1) (i32.const 0) "x") (data $p "y")
        (func (drop (i64.load $b offset=4 (i32.const 0))) (i32.store8 1 (i32.const 0) (i32.const 0))
        (memory.copy 0 $b (i32.const 0) (i32.const 0) (i32.const 0)) (drop (memory.grow 1 (memory.size 1)))
        (memory.fill $b (i32.const 0) (i32.const 0) (i32.const 0))
        (memory.init $b $p (i32.const 0) (i32.const 0) (i32.const 0)))""",
    "call of a reference": """(type $t (func (param i32) (result i64)))
        (func (param (ref null $t)) (result i64) (call_ref $t (i32.const 1) (local.get 0)))""",
    "tail call of a reference": """(type $t (func (param i32) (result (ref func))))
        (func (param (ref $t)) (result funcref) (return_call_ref $t (i32.const 1) (local.get 0)))""",
    "a function's type is known": """(type $t (func (result i32))) (elem declare func $f)
        (func $f (type $t) (call_ref $t (ref.func $f)))""",
    "equal structures": """(type $a (func (param i32))) (type $b (func (param i32)))
        (type $c (func (result (ref $a)))) (type $d (func (result (ref $b))))
        (func (param (ref $c)) (result (ref null $d)) (local.get 0))""",
    "types that refer to themselves": """(type $a (func (param (ref null $a)))) (type $b (func (param (ref null $b))))
        (func $f (type $a) (call_ref $b (local.get 0) (ref.null $a)))""",
    "references match what is more general": """(type $t (func))
        (func (param (ref $t)) (result (ref null $t) (ref func) funcref) (local.get 0) (local.get 0) (local.get 0))""",
    "null and not null": """(func (param externref) (result (ref extern))
        (block (result (ref extern)) (br_on_non_null 0 (local.get 0)) (ref.as_non_null (local.get 0))))""",
    "branch on null": """(func (param funcref) (result (ref func)) (local (ref func))
        (block (local.set 1 (br_on_null 0 (local.get 0))) (return (local.get 1))) unreachable)""",
    "references in unreachable code": """(type $t (func)) (func unreachable br_on_null 0 call_ref $t)
        (func (result externref) unreachable ref.as_non_null) (func unreachable ref.is_null drop)""",
    "a local is set before it is read": """(func (param (ref func)) (local (ref func) (ref null func))
        (drop (local.get 2)) (block (drop (local.tee 1 (local.get 0))) (block (drop (local.get 1))))
        (local.set 1 (local.get 0)) (drop (local.get 1)))""",
    "typed select": """(func (param (ref func))
        (drop (select (result funcref) (local.get 0) (local.get 0) (i32.const 0))))""",
    "table with an initial value": """(import "m" "g" (global $g (ref extern))) (func $f)
        (table 3 (ref func) (ref.func $f)) (table 3 (ref extern) (global.get $g)) (func (drop (ref.func $f)))""",
    "elements of a typed table": """(type $t (func)) (func $f) (table 1 (ref null $t)) (table 1 funcref)
        (elem (table 0) (i32.const 0) (ref $t) (ref.func $f)) (elem $p (ref $t) (ref.func $f))
        (func (table.init 0 $p (i32.const 0) (i32.const 0) (i32.const 1))
        (table.copy 1 0 (i32.const 0) (i32.const 0) (i32.const 1))
        (table.set 0 (i32.const 0) (ref.func $f)) (call_indirect 0 (type $t) (i32.const 0)))""",
    "function indices are never null": """(func $f) (table 1 (ref func) (ref.func $f))
        (elem (table 0) (i32.const 0) func $f)""",
    "an if that widens": "(func (param (ref func)) (result funcref) (local.get 0) "
    "(if (param (ref func)) (result funcref) (i32.const 0) (then)))",
    "throw": "(tag $e (param i32 i64)) (func (result f32) (throw $e (i32.const 1) (i64.const 2)))",
    "throw a caught exception": "(func (param exnref) (result i32) (throw_ref (local.get 0)))",
    "catch": """(import "m" "e" (tag $e (param i32 i64))) (tag $f (export "f"))
        (func (result i32 i64) (block $f (block $e (result i32 i64)
          (try_table (result f32) (catch $e $e) (catch $f $f) (catch_all $f) (f32.const 0)) (drop) (br $f)) (return))
        (throw $f))""",
    "catch with a reference": """(tag $e (param i32)) (func (result i32 exnref)
        (block (result (ref exn)) (try_table (result i32) (catch_ref $e 1) (catch_all_ref 0) (i32.const 1))
        (ref.null exn) (return)) (i32.const 0) (throw_ref (ref.null exn)))""",
    "try_table takes parameters": """(func (param i32) (local.get 0)
        (try_table (param i32) (br_if 0 (local.get 0)) (drop)))""",
    "labels of catches are outside": "(func (result i32) (block (try_table (catch_all 0) (br 1))) (i32.const 1))",
    "exnref in tables, locals and globals": """(table 1 exnref) (global (mut exnref) (ref.null exn))
        (func (local exnref) (table.set (i32.const 0) (local.get 0)) (global.set 0 (local.get 0))
        (drop (ref.is_null (global.get 0))))""",
    "data count without data": "(memory 1) (data) (func (data.drop 0))",
}


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    validate(read_module(assemble(f"(module {VALID[name]})"), refused=frozenset()))


INVALID = {
    "(func (result i32))": "type mismatch, expected i32 but the stack is empty",
    "(func (result i32) i64.const 0)": "type mismatch, expected i32 but found i64",
    "(func i32.const 0)": "type mismatch, 1 values remain",
    "(func (drop (i32.add (i32.const 1) (f32.const 1))))": "expected i32 but found f32: i32.add in function 0",
    "(func $sum i32.add drop)": "in function 0 (sum)",
    "(func (result i32) unreachable i64.const 0)": "type mismatch",
    "(func unreachable i32.const 0 i64.add drop)": "type mismatch",
    "(func (block br 2))": "unknown label 2",
    "(func (block (result i32) i32.const 0 i32.const 0 br_table 0 1) drop)": "another number of values",
    "(func (result i32) (if (result i32) (i32.const 1) (then (i32.const 1))))": "needs an else",
    "(func (param i64) (if (local.get 0) (then)))": "type mismatch",
    "(func (drop (select (ref.null func) (ref.null func) (i32.const 0))))": "select without a type",
    "(func (drop (select (i32.const 1) (i64.const 1) (i32.const 0))))": "type mismatch",
    "(func (drop (ref.is_null (i32.const 1))))": "expected a reference",
    "(func (drop (local.get 0)))": "unknown local 0",
    "(func (throw 0))": "unknown tag 0",
    "(tag $e (param i32)) (func (throw $e (i64.const 0)))": "expected i32 but found i64: throw in function 0",
    "(type $t (func (result i32))) (tag (type $t))": "non-empty tag result type: tag 0 has type [] -> [i32]",
    '(import "m" "t" (tag (result i32)))': "non-empty tag result type",
    '(tag) (export "e" (tag 1))': "unknown tag 1 in export 'e'",
    "(func (throw_ref (ref.null extern)))": "expected exnref but found externref",
    "(func (throw_ref))": "the stack is empty",
    "(func (try_table (catch 0 0)))": "unknown tag 0",
    "(func (try_table (catch_all 1)))": "unknown label 1",
    "(tag (param i32)) (func (try_table (catch 0 0)))": "catch gives [i32] but label 0 takes []",
    "(tag (param i32)) (func (result i32) (try_table (catch_ref 0 0)) unreachable)": "gives [i32 (ref exn)] but",
    "(func (result exnref) (try_table (catch_all 0)) unreachable)": "catch_all gives [] but label 0 takes [exnref]",
    "(func (result externref) (try_table (catch_all_ref 0)) unreachable)": "catch_all_ref gives [(ref exn)] but",
    "(func (result i32) (try_table (result i32)))": "the stack is empty",
    "(func (local (ref exn)) (drop (local.get 0)))": "uninitialized local 0",
    "(func $f (param i32) (return_call $f (i64.const 0)))": "expected i32 but found i64: return_call in function 0",
    "(func (return_call 1))": "unknown function 1",
    "(func $f (result i32 i64) unreachable) (func (result i64) (return_call $f))": "gives [i32 i64] but [i64] is",
    "(func (result i32) (return_call_indirect (i32.const 0))) (table 1 funcref)": "gives [] but [i32] is returned",
    "(func (return_call_indirect (i32.const 0)))": "unknown table 0",
    "(func (return_call_indirect (i32.const 0))) (table 1 externref)": "needs a table of funcref",
    "(memory 1) (memory 1) (func (drop (i32.load 2 (i32.const 0))))": "unknown memory 2",
    "(memory 1) (memory 1) (func (drop (memory.size 2)))": "unknown memory 2",
    "(memory 1) (func (memory.copy 0 1 (i32.const 0) (i32.const 0) (i32.const 0)))": "unknown memory 1",
    '(memory 1) (memory 1) (data (memory 2) (i32.const 0) "")': "unknown memory 2",
    "(memory 1) (memory 2 1)": "size minimum must not be greater than maximum",
    "(func (call 1))": "unknown function 1",
    "(func (drop (global.get 0)))": "unknown global 0",
    "(global i32 (i32.const 0)) (func (global.set 0 (i32.const 0)))": "immutable global 0",
    "(type (func)) (func (call_indirect (type 0) (i32.const 0)))": "unknown table 0",
    "(table 1 externref) (func (call_indirect (i32.const 0)))": "needs a table of funcref",
    "(func (drop (i32.load (i32.const 0))))": "unknown memory 0",
    "(memory 1) (func (drop (i32.load align=8 (i32.const 0))))": "alignment must not be larger than natural",
    "(memory 1) (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))": "unknown data segment 0",
    "(table 1 funcref) (func (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))": "unknown elem segment 0",
    "(table 1 externref) (elem funcref) (func (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))": "funcref",
    "(table $a 1 externref) (table $b 1 funcref) (func (table.copy $a $b (i32.const 0) (i32.const 0) (i32.const 0)))": (
        "funcref elements cannot go to a table of externref"
    ),
    "(func $f) (func (drop (ref.func $f)))": "undeclared function reference 0",
    "(global i32 (i32.popcnt (i32.const 0)))": "constant expression required: i32.popcnt",
    "(global (mut i32) (i32.const 0)) (global i32 (global.get 0))": "constant expression required: global.get",
    "(global i32 (global.get 0))": "unknown global 0",
    "(global i32 (i64.const 0))": "type mismatch",
    "(global i32 (i32.const 0) (i32.const 1))": "type mismatch, 1 values remain",
    '(func (export "a") (export "a"))': "duplicate export name 'a'",
    '(export "a" (memory 0))': "unknown memory 0 in export 'a'",
    "(func $f (param i32)) (start $f)": "start function must have type [] -> [], not [i32] -> []",
    "(start 3)": "unknown function 3 as start function",
    "(memory 2 1)": "size minimum must not be greater than maximum",
    "(memory 65537)": "memory size must be at most 65536 pages",
    "(memory 1 (pagesize 2))": "invalid custom page size 2",
    "(table 2 1 funcref)": "size minimum must not be greater than maximum",
    "(elem (i32.const 0) func)": "unknown table 0",
    '(data (i32.const 0) "")': "unknown memory 0",
    '(memory 1) (data (i64.const 0) "")': "type mismatch",
    "(table 1 externref) (func $f) (elem (i32.const 0) $f)": "(ref func) elements cannot go to a table of externref",
    "(type $t (func)) (func $f (param funcref) (call $f (ref.null extern)))": "expected funcref but found externref",
    "(type $t (func)) (func (param funcref) (call_ref $t (local.get 0)))": "expected (ref null 0) but found funcref",
    "(type $t (func (param i32))) (func (call_ref $t (ref.null $t)))": "expected i32 but the stack is empty",
    "(type $a (func)) (type $b (func (param i32))) (func (param (ref $a)) (call_ref $b (local.get 0)))": (
        "expected (ref null 1) but found (ref 0)"
    ),
    "(type $t (func (result i32))) (func (param (ref $t)) (return_call_ref $t (local.get 0)))": "but [] is returned",
    "(func (param (ref null func)) (result (ref func)) (local.get 0))": "expected (ref func) but found funcref",
    "(func (drop (ref.as_non_null (i32.const 0))))": "expected a reference but found i32",
    "(func unreachable ref.as_non_null i32.eqz drop)": "expected i32 but found (ref bottom)",
    "(func (local (ref func)) (drop (local.get 0)))": "uninitialized local 0",
    "(func (local (ref extern)) (block (local.set 0 (unreachable))) (drop (local.get 0)))": "uninitialized local 0",
    """(func (param (ref func)) (local (ref func)) (if (i32.const 1) (then (local.set 1 (local.get 0)))
        (else (drop (local.get 1)))))""": "uninitialized local 1",
    "(func (block (br_on_null 0 (i32.const 0)) (drop)))": "expected a reference but found i32",
    "(func (param funcref) (block (br_on_non_null 0 (local.get 0))))": "label 0 takes no reference as its last value",
    "(func (param funcref) (result i32) (br_on_non_null 0 (local.get 0)) unreachable)": "found (ref func)",
    "(func (param funcref) (result externref) (br_on_null 0 (local.get 0)))": "the stack is empty",
    "(table 1 (ref func))": "a table of (ref func) needs an initial value",
    "(table 1 (ref func) (ref.null func))": "expected (ref func) but found funcref",
    "(global funcref (ref.null func)) (table 1 funcref (global.get 0))": "unknown global 0",
    "(type $t (func)) (table 1 (ref null $t)) (elem (i32.const 0) funcref)": "funcref elements cannot go to a table of",
    "(type $t (func)) (table 1 funcref) (table 1 (ref null $t)) (func (table.copy 1 0 (i32.const 0) (i32.const 0) "
    "(i32.const 0)))": "funcref elements cannot go to a table of (ref null 0)",
    "(type $t (func (param i32))) (func $f) (global (ref $t) (ref.func $f))": "expected (ref 0) but found (ref 1)",
    "(type $a (func (param (ref $a)))) (type $b (func (param (ref $a)))) (func (param (ref $a)) (result (ref $b)) "
    "(local.get 0))": "expected (ref 1) but found (ref 0)",
    "(table 1 funcref) (elem (i32.const 0) funcref (ref.null extern))": "type mismatch",
}


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    data = assemble(f"(module {text})")
    with pytest.raises(InvalidModule) as caught:
        validate(read_module(data, refused=frozenset()))
    assert INVALID[text] in str(caught.value)
    assert caught.value.offset is not None and 8 <= caught.value.offset < len(data)


def test_the_offset_is_that_of_the_instruction() -> None:
    with pytest.raises(InvalidModule) as caught:
        validate(read_module(module_with_body(b"\x41\0\x42\0\x6a\x1a\x0b")))
    assert caught.value.offset == 0x1B


def test_an_offset_of_33_bits_is_out_of_range() -> None:
    memory = section(5, vector(b"\0\1"))
    body = b"\x41\0\x28\2\x80\x80\x80\x80\x10\x1a\x0b"
    with pytest.raises(InvalidModule, match="offset out of range"):
        validate(read_module(module_with_body(body, more=memory)))
