"""A case: a module, what is called, and the account of what happened; as an object and as a .wast file.

This file decides what two roads must agree on. It refuses to know how either comes to its account.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutool import values
from mcutool.wast.script import (
    Action,
    AssertFailure,
    AssertModule,
    AssertReturn,
    Command,
    DefineModule,
    Register,
    read_script,
)
from tests.fuzz import edges

NULLS = {"externref": "(ref.null extern)", "funcref": "(ref.null func)"}
SAME_TRAPS = {
    "undefined element": "out of bounds table access",
    "null function reference": "null reference",
}
"""wasmtime does not tell these apart."""

Outcome = str | tuple[int, ...]
"""The trap's text, or the results' bits; a reference is 0 for null, else its number plus one."""


@dataclass(frozen=True)
class Call:
    """A call of an export with (bits, type) arguments; `results` are the types of what it returns."""

    export: str
    arguments: tuple[tuple[int, str], ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A module in text format and the calls made one after another once it is instantiated.

    It may import from `library`, another module in text format.
    """

    text: str
    calls: tuple[Call, ...]
    library: str = ""


Account = list[Outcome]
"""The outcome of the instantiation, () when it succeeds, then those of the calls."""


def trap_class(text: str) -> str:
    """A trap's text, the same for those that nobody needs to tell apart."""
    return SAME_TRAPS.get(text, text)


def _value(bits: int, kind: str) -> str:
    if kind in NULLS:
        return f"(ref.extern {bits - 1})" if bits else NULLS[kind]
    return edges.constant(kind, bits)


def write_script(case: Case, account: Account) -> str:
    """The case with what it should give, as a .wast file."""
    first, *others = account
    lines = [case.library, '(register "library")'] if case.library else []
    if isinstance(first, str):
        return "\n".join([*lines, f'(assert_trap {case.text}\n  "{first}")\n'])
    lines.append(case.text)
    for call, outcome in zip(case.calls, others, strict=True):
        arguments = "".join(f" {_value(*argument)}" for argument in call.arguments)
        invoke = f'(invoke "{call.export}"{arguments})'
        if isinstance(outcome, str):
            lines.append(f'(assert_trap {invoke} "{outcome}")')
        else:
            results = "".join(f" {_value(*pair)}" for pair in zip(outcome, call.results, strict=True))
            lines.append(f"(assert_return {invoke}{results})")
    return "\n".join(lines) + "\n"


def read_case(text: str) -> tuple[Case, Account]:
    """The reverse of `write_script`."""
    commands = read_script(text)
    library = ""
    if len(commands) > 1 and isinstance(commands[1], Register):
        library = _text(commands[0])
        del commands[:2]
    first, *others = commands
    if isinstance(first, AssertModule):
        return Case(_text(first), (), library), [first.message]
    calls: list[Call] = []
    account: Account = [()]
    for command in others:
        if isinstance(command, AssertReturn):
            expected = [one.alternatives[0] for one in command.expected]
            calls.append(_call(command.action, tuple(one.type for one in expected)))
            account.append(tuple(one.bits for one in expected))
        elif isinstance(command, AssertFailure):
            calls.append(_call(command.action, ()))
            account.append(command.message)
    return Case(_text(first), tuple(calls), library), account


def _text(command: Command) -> str:
    assert isinstance(command, AssertModule | DefineModule)
    return command.source.contents.decode()


def _call(action: Action, results: tuple[str, ...]) -> Call:
    return Call(action.name, tuple((one.bits, one.type) for one in action.arguments), results)


def slots(call: Call) -> bytes:
    """The arguments as the interpreter takes them."""
    return values.to_slots(call.arguments)
