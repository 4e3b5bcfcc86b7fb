"""The official test suite's verdicts on modules, where WASM_TESTSUITE names its folder.

Each module of each script must be read and validated as the script says, or refused as using a later proposal. Only
the folders of proposals that change what is valid are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.reader import read_module
from mcutool.wasm.validate import validate
from mcutool.wast.script import AssertModule, Command, DefineModule, Source, read_script

SUITE = os.environ.get("WASM_TESTSUITE", "")
# threads: a copy of the 1.0 suite, where two tables and sizes that need more than 32 bits are still wrong.
OTHER_RULES = {"threads"}
NOTHING: frozenset[str] = frozenset()

pytestmark = pytest.mark.skipif(not SUITE, reason="WASM_TESTSUITE names no folder")


def scripts() -> list[Path]:
    return [path for path in sorted(Path(SUITE).rglob("*.wast")) if SUITE and path.parent.name not in OTHER_RULES]


def verdict(source: Source) -> str:
    """One of "valid", "invalid", "malformed" and "unsupported"."""
    try:
        data = source.assemble()
    except InvalidModule:
        return "malformed"
    except Unsupported:
        return "unsupported"
    try:
        module = read_module(data, refused=NOTHING)
    except InvalidModule as error:
        # An unknown type is found while reading, since blocks carry their resolved types.
        return "invalid" if "unknown type" in str(error) else "malformed"
    except Unsupported:
        return "unsupported"
    try:
        validate(module)
    except InvalidModule:
        return "invalid"
    return "valid"


def judged(commands: list[Command]) -> Iterator[tuple[int, str, str]]:
    """Line, what the script says and what we say, of each module that has a verdict."""
    for command in commands:
        if isinstance(command, AssertModule):
            if command.failure.endswith("_custom"):  # about annotations; the module itself is valid
                continue
            expected = command.failure if command.failure in ("invalid", "malformed") else "valid"
        elif isinstance(command, DefineModule):
            expected = "valid"
        else:
            continue
        yield command.line, expected, verdict(command.source)


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_verdicts_on_modules(path: Path) -> None:
    verdicts = list(judged(read_script(path.read_bytes())))
    assert [(line, said, ours) for line, said, ours in verdicts if ours not in (said, "unsupported")] == []


def test_most_of_the_suite_is_judged() -> None:
    """Unsupported is an answer too, so it must not swallow what is supported."""
    stems = {"binary", "align", "memory", "br_if", "i32", "imports", "return_call", "return_call_ref", "memory-multi"}
    stems |= {"ref_as_non_null", "br_on_null", "br_on_non_null", "throw", "imports2", "table", "elem", "instance"}
    supported = [path for path in scripts() if path.stem in stems and path.parent.name != "legacy"]
    for path in supported:
        verdicts = [ours for _, _, ours in judged(read_script(path.read_bytes()))]
        assert verdicts.count("unsupported") <= 0.1 * len(verdicts), path.name
