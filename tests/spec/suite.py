"""The official test suite: its scripts, the failures that are known, and what every report of a script must obey.

WASM_TESTSUITE names the suite's folder. No file is left out by its name: what a module needs decides, module by module,
whether mcutool runs it or says what it does not support.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mcutool.wast.sexpr import read_groups

SUITE = os.environ.get("WASM_TESTSUITE")
KNOWN = Path(__file__).with_name("known_failures.txt")
UNSUPPORTED = (
    "SIMD",
    "memory64",
    "garbage collection",
    "threads",
    "wide arithmetic",
    "legacy exception handling",
    "text annotations",
)
"""All that an assertion may be skipped for."""


def scripts() -> list[Path]:
    """All scripts of the suite; none without the suite."""
    return sorted(Path(SUITE).rglob("*.wast")) if SUITE else []


def known_failures() -> dict[str, list[int]]:
    """Lines by script, each with a reason behind it in the file."""
    found: dict[str, list[int]] = {}
    for line in KNOWN.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, number, _reason = line.split(maxsplit=2)
            found.setdefault(name, []).append(int(number))
    return found


def count_assertions(text: str) -> int:
    """Lists that begin with a word `assert_...`, as they stand in the file."""
    return sum(group.head.startswith("assert_") for group in read_groups(text))


def reason(skip: dict[str, Any]) -> str:
    """What an assertion was skipped for, without the place in the module."""
    return skip["reason"].removeprefix("not supported: ").split(" (at ")[0]


def differences(path: Path, report: dict[str, Any]) -> list[str]:
    """What a script's report says that it should not."""
    found = []
    assert SUITE is not None
    known = known_failures().get(path.relative_to(SUITE).as_posix(), [])
    failed = [failure["line"] for failure in report["failures"]]
    found += [f"line {f['line']}: {f['message']}" for f in report["failures"] if f["line"] not in known]
    found += [f"line {line} is a known failure and passes" for line in known if line not in failed]
    found += [f"line {s['line']} is skipped: {s['reason']}" for s in report["skips"] if reason(s) not in UNSUPPORTED]
    counted = count_assertions(path.read_text(encoding="utf-8"))
    if not report["passed"] + report["failed"] + report["skipped"] == report["assertions"] == counted:
        found.append(f"{counted} assertions are in the script")
    return found
