"""Calls of all kinds, and throws.

This file decides who is called and with which arguments. It refuses to know what a callee does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.fuzz import arithmetic, places
from tests.fuzz.vocabulary import DEEPEST

if TYPE_CHECKING:
    from tests.fuzz.body import Body
    from tests.fuzz.generate import Function, Signature, Table


def call_value(body: Body, kind: str, depth: int) -> str:
    """A function with this result alone."""
    functions = [f for f in callees(body) if f.signature.results == (kind,)]
    return call(body, body.random.choice(functions), depth) if functions else ""


def callees(body: Body) -> list[Function]:
    return [] if body.is_leaf else body.declared.functions


def tail_callees(body: Body) -> list[Function]:
    return [f for f in callees(body) if f.signature.results == body.results]


def call(body: Body, function: Function, depth: int) -> str:
    """A call, straight or through a table."""
    arguments = operands(body, function.signature.parameters, depth)
    tables = [table for table in body.declared.tables if table.element == "funcref"]
    if body.chance(0.2):
        return f"(call_ref $t{function.signature.number} {arguments} {typed(body, function.signature, depth)})"
    if body.chance(0.7) or not tables:
        return f"(call {function.name} {arguments})"
    table = body.random.choice(tables)
    if table.minimum and body.chance(0.5):
        before, index = _put(body, table, function)
    else:
        before, index = "", places.element_index(body, table, depth)
    return f"{before}(call_indirect {table.name} (type $t{function.signature.number}) {arguments} {index})"


def _put(body: Body, table: Table, function: Function) -> tuple[str, str]:
    """Instructions that put a function into a table, and its index there, which no translator knows beforehand."""
    place, name = body.random.randrange(table.minimum), body.local("i32", "x")
    index = f"(select (i32.const {place}) (i32.const 0) (global.get $fuel))"
    put = f"(table.set {table.name} (i32.const {place}) (ref.func {function.name}))"
    return f"{put} (local.set {name} {index}) ", f"(local.get {name})"


def typed(body: Body, signature: Signature, depth: int) -> str:
    """A reference of type (ref null $t), rarely null."""
    type_, functions = f"$t{signature.number}", [f for f in body.declared.functions if f.signature == signature]
    leaf = f"(ref.func {body.random.choice(functions).name})" if functions else f"(ref.null {type_})"
    choice = body.random.random()
    if choice < 0.4 or depth > DEEPEST:
        return leaf if choice < 0.38 else f"(ref.null {type_})"
    inner = typed(body, signature, depth + 1)
    if choice < 0.6:
        name = body.name("t")
        body.declarations.append(f"(local {name} (ref null {type_}))")
        return f"(local.tee {name} {inner})"
    if choice < 0.7:
        return f"(select (result (ref null {type_})) {inner} {leaf} {arithmetic.condition(body, depth)})"
    if choice < 0.8:
        return f"(ref.as_non_null {inner})"
    label = body.name("b")
    if choice < 0.9:
        return f"(block {label} (result (ref null {type_})) (br_on_non_null {label} {inner}) {leaf})"
    by_null = f"(block {label}n (br {label} (br_on_null {label}n {inner})))"
    return f"(block {label} (result (ref null {type_})) {by_null} {leaf})"


def operands(body: Body, types: Iterable[str], depth: int) -> str:
    types = tuple(types)
    depth = DEEPEST if len(types) > 8 else depth
    return " ".join(body.expression(kind, depth + 1) for kind in types)


def throw(body: Body, depth: int) -> str:
    tag = body.random.choice(body.declared.tags)
    return f"(throw {tag.name} {operands(body, tag.parameters, depth)})"


def maybe_throw(body: Body, depth: int) -> str:
    return f"(if {arithmetic.condition(body, depth)} (then {throw(body, depth)}))"
