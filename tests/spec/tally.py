"""A script's assertions by the feature of WebAssembly that they are about.

This file decides to which feature an assertion counts: to the newest that its module uses. It refuses to know what is
supported; what was skipped is counted by the reason that the runner gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mcutool.errors import Error
from mcutool.wasm.reader import read_module
from mcutool.wast.script import (
    Action,
    AssertFailure,
    AssertModule,
    AssertReturn,
    Command,
    DefineModule,
    InstantiateModule,
    Source,
)
from tests.spec.features import newest_feature
from tests.spec.suite import reason

REFUSED = "refused modules"
"""Where assertions count whose modules must not be accepted."""
NOT_RUN = "no module"
"""The feature of a module that mcutool does not take; assertions about it are skipped."""


class Tally:
    """Counts of a whole suite on one board: assertions and passed ones by feature, skipped ones by reason."""

    def __init__(self) -> None:
        self.assertions: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.delegated = 0

    def add(self, features: list[tuple[int, str]], report: dict[str, Any]) -> None:
        """Count a script's report; `features` is what `assertion_features` says of the script."""
        failed = Counter(failure["line"] for failure in report["failures"])
        skipped = Counter(skip["line"] for skip in report["skips"])
        for line, feature in features:
            if skipped[line]:
                skipped[line] -= 1
                continue
            self.assertions[feature] += 1
            if failed[line]:
                failed[line] -= 1
            else:
                self.passed[feature] += 1
        self.skipped.update(map(reason, report["skips"]))
        self.delegated += report["delegated"]


def assertion_features(commands: list[Command]) -> Iterator[tuple[int, str]]:
    """Line and feature of every assertion."""
    definitions: dict[str | None, str] = {}
    instances: dict[str | None, str] = {}
    for command in commands:
        if isinstance(command, DefineModule):
            definitions[None] = definitions[command.source.name] = _feature(command.source)
            if command.instantiate:
                instances[None] = instances[command.source.name] = definitions[None]
        elif isinstance(command, InstantiateModule):
            instances[None] = instances[command.name] = definitions[command.definition]
        elif isinstance(command, AssertReturn | AssertFailure):
            yield command.line, _of_action(command.action, instances)
        elif isinstance(command, AssertModule):
            runs = command.failure in ("unlinkable", "uninstantiable")
            yield command.line, _feature(command.source) if runs else REFUSED


def _of_action(action: Action, instances: dict[str | None, str]) -> str:
    return instances.get(action.module, NOT_RUN)


def _feature(source: Source) -> str:
    try:
        return newest_feature(read_module(source.assemble()))
    except Error:
        return NOT_RUN
