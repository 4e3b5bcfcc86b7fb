"""Scripts are read into commands with their lines, values into bits."""

from __future__ import annotations

import pytest

from mcutool.errors import InvalidModule, Unsupported, UsageError
from mcutool.wast.script import (
    Action,
    AssertFailure,
    AssertModule,
    AssertReturn,
    DefineModule,
    Expected,
    InstantiateModule,
    OtherCommand,
    Register,
    Source,
    Value,
    read_script,
)
from mcutool.wast.sexpr import Atom, Group, String, read_groups

SCRIPT = r"""
(module $m (; a (; nested ;) comment ;) (func (export "f") (param i32) (result i32) (local.get 0)))
(register "lib" $m)
(module binary "\00asm" "\01\00\00\00")
(module $q quote "(func" ") ;; ;")
(module definition $d (memory 1))
(module instance $i $d)
(invoke "f" (i32.const -1))
(assert_return (invoke $m "f" (i32.const 0x7fff_ffff)) (i32.const 0x7fffffff))
(assert_return (get "g\u{e9}"))
(assert_trap (invoke "f") "unreachable")
(assert_exhaustion (invoke "f") "call stack exhausted")
(assert_invalid (module (func i32.add)) "type mismatch")
(assert_malformed (module quote "(func") "unexpected end")
(assert_unlinkable (module $u binary "") "unknown import")
(assert_trap (module (func $f unreachable) (start $f)) "unreachable")
(thread $t (invoke "f"))
"""


def test_every_command() -> None:
    commands = read_script(SCRIPT)
    assert [command.line for command in commands] == list(range(2, 18))
    (module, register, binary, quote, definition, instance, invoke, returns, get, trap, exhaustion) = commands[:11]
    assert isinstance(module, DefineModule) and module.source.name == "$m" and module.source.form == "text"
    assert module.source.contents.startswith(b"(module $m (;") and module.source.contents.endswith(b"0)))")
    assert register == Register(3, "lib", "$m")
    assert binary == DefineModule(4, Source("binary", None, b"\0asm\1\0\0\0"))
    assert quote == DefineModule(5, Source("quote", "$q", b"(func\n) ;; ;"))
    assert definition == DefineModule(6, Source("text", "$d", b"(module  $d (memory 1))"), instantiate=False)
    assert instance == InstantiateModule(7, "$i", "$d")
    assert invoke == Action(8, "invoke", None, "f", (Value("i32", 0xFFFFFFFF),))
    assert isinstance(returns, AssertReturn) and returns.action.module == "$m"
    assert returns.expected == (Expected((Value("i32", 0x7FFFFFFF),)),)
    assert isinstance(get, AssertReturn) and get.action == Action(10, "get", None, "gé") and get.expected == ()
    assert trap == AssertFailure(11, "trap", Action(11, "invoke", None, "f"), "unreachable")
    assert isinstance(exhaustion, AssertFailure) and exhaustion.failure == "exhaustion"


def test_modules_that_must_be_refused() -> None:
    *refused, other = read_script(SCRIPT)[11:]
    assert [command.failure for command in refused if isinstance(command, AssertModule)] == [
        "invalid",
        "malformed",
        "unlinkable",
        "uninstantiable",
    ]
    assert other == OtherCommand(17, "thread")


def test_a_file_of_fields_is_a_module() -> None:
    (command,) = read_script('(func (export "f")) (memory 0)')
    assert isinstance(command, DefineModule)
    assert command.source.assemble()[:4] == b"\0asm"


def value(text: str) -> Value:
    (command,) = read_script(f'(invoke "f" {text})')
    assert isinstance(command, Action)
    return command.arguments[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(i32.const 012)", Value("i32", 12)),
        ("(i64.const -0x8000_0000_0000_0000)", Value("i64", 1 << 63)),
        ("(f32.const -0x1.8p1)", Value("f32", 0xC0400000)),
        ("(f32.const 0x1.00000100000000001p-50)", Value("f32", 0x26800001)),
        ("(f64.const nan)", Value("f64", 0x7FF8000000000000)),
        ("(f64.const -nan:0x4_0000)", Value("f64", 0xFFF0000000040000)),
        ("(f32.const -inf)", Value("f32", 0xFF800000)),
        ("(ref.null extern)", Value("externref", 0, "null")),
        ("(ref.extern 0)", Value("externref", 1)),
        ("(ref.func)", Value("funcref", 0, "reference")),
        ("(v128.const i32x4 0 0 0 0)", Value("v128.const", 0, "unsupported")),
    ],
)
def test_values_are_bits(text: str, expected: Value) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "type", "bits", "matches"),
    [
        ("(f32.const nan:canonical)", "f32", 0xFFC00000, True),
        ("(f32.const nan:canonical)", "f32", 0x7FC00001, False),
        ("(f32.const nan:arithmetic)", "f32", 0x7FC00001, True),
        ("(f64.const nan:arithmetic)", "f64", 0x7FF0000000000001, False),
        ("(f32.const 0)", "f32", 0x80000000, False),
        ("(i32.const 0)", "i64", 0, False),
        ("(ref.null)", "funcref", 0, True),
        ("(ref.null func)", "externref", 0, False),
        ("(ref.extern)", "externref", 7, True),
        ("(ref.func)", "funcref", 0, False),
        ("(ref.func)", "(ref 3)", 1, True),
        ("(ref.func)", "(ref extern)", 1, False),
        ("(ref.null func)", "(ref null 3)", 0, True),
        ("(v128.const i32x4 0 0 0 0)", "v128", 0, False),
        ("(either (i32.const 1) (i32.const 2))", "i32", 2, True),
        ("(either (i32.const 1) (i32.const 2))", "i32", 3, False),
    ],
)
def test_results_match_what_is_expected(text: str, type: str, bits: int, matches: bool) -> None:
    (command,) = read_script(f'(assert_return (invoke "f") {text})')
    assert isinstance(command, AssertReturn)
    assert command.expected[0].matches(type, bits) == matches


def test_strings_hold_bytes_and_lists_their_places() -> None:
    text = '(a "\\00\\ff\\t\\u{20ac}é")(@note , ; [ ")") (b c;d (e))'
    first, second = read_groups(text)
    assert first.items[1] == String(b"\0\xff\t" + "€é".encode(), 1)
    assert second.items[1] == Atom("c;d", 1)
    inner = second.items[2]
    assert isinstance(inner, Group) and text[inner.start : inner.end] == "(e)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n(module", "line 2: `(` is never closed"),
        ("\n)", "line 2: `)` closes nothing"),
        ("(; (; ;)", "line 1: the comment is never closed"),
        ('("', "line 1: unexpected character"),
        ("module", "line 1: expected `(`"),
        ('\n\n(invoke "f" (i32.const x))', "line 3: 'x' is not a value of type i32"),
        ("(assert_return)", "line 1: this assert_return cannot be read"),
        ("(invoke f)", "line 1: expected a string"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_script(text)
    assert message in str(caught.value)


def test_deeply_nested_lists_cost_no_python_stack() -> None:
    assert read_groups("(" * 100_000 + ")" * 100_000)


def test_the_first_draft_of_exception_handling_is_no_malformed_text() -> None:
    text = '(module (func (try (do) (catch_all)))) (assert_malformed (module quote "(fun)") "unexpected")'
    legacy, malformed = read_script(text)
    assert isinstance(legacy, DefineModule) and isinstance(malformed, AssertModule)
    with pytest.raises(Unsupported, match="legacy exception handling"):
        legacy.source.assemble()
    with pytest.raises(InvalidModule):
        malformed.source.assemble()


def test_an_assertion_about_an_annotation() -> None:
    (command,) = read_script('(assert_malformed_custom (module quote "(@custom)") "missing section name")')
    assert isinstance(command, AssertModule) and command.failure == "malformed_custom"
