"""Every error says what to do next: wherever one is made, it is given a next action."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mcutool import errors

PACKAGE = Path(errors.__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def name_of(node: ast.expr) -> str:
    """The name of a class that stands there, by itself or as one of `errors`; pytest has a UsageError too."""
    match node:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="errors"), attr=name):
            return name
    return ""


def classes_that_need_advice() -> set[str]:
    """Error and the classes below it, but for those that have advice for whoever gives none, or inherit it."""
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    classes = [node for node in classes if not any(map(is_advice, node.body))]
    found, before = {"Error"}, set()
    while found != before:
        before = set(found)
        found |= {node.name for node in classes if {name_of(base) for base in node.bases} & found}
    return found


def is_advice(statement: ast.stmt) -> bool:
    """Whether it gives a class its ADVICE, and that says something."""
    match statement:
        case ast.Assign(targets=[ast.Name(id="ADVICE")], value=ast.Constant(value=text)):
            return bool(text)
    return False


def made(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """Each call that makes an error."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node.func) in names)


def has_advice(call: ast.Call) -> bool:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    advice = given.get("next_action")
    return None in given or advice is not None and not (isinstance(advice, ast.Constant) and not advice.value)


def test_every_error_has_a_next_action() -> None:
    names = classes_that_need_advice()
    assert "UsageError" in names and not {"InvalidModule", "LinkError", "DescriptionError"} & names
    calls = [(path, call) for path, tree in TREES.items() for call in made(tree, names)]
    assert len(calls) > 50
    assert [f"{path.relative_to(PACKAGE)}:{call.lineno}" for path, call in calls if not has_advice(call)] == []
