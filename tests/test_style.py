"""Habits that a reader relies on: short functions, a head docstring, nothing unfinished, no machine's paths."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 80
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))
MACHINE_PATH = re.compile(r"(^|[^\w.])/(home|root|Users|work|farm)/\w")


def tracked(*suffixes: str) -> list[Path]:
    """The files of the project with one of the suffixes; in an unpacked archive without git, all that lie there."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    names = listed.stdout.splitlines() if listed.returncode == 0 else [str(path) for path in ROOT.rglob("*")]
    return [ROOT / name for name in names if Path(name).suffix in suffixes and (ROOT / name).is_file()]


def python_functions(paths: list[Path]) -> Iterator[tuple[str, int]]:
    """Where each function stands, and its number of lines."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def c_functions(paths: list[Path]) -> Iterator[tuple[str, int]]:
    """The same for C, where a function's braces stand in column 0 or end a line that begins there."""
    for path in paths:
        opened = 0
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"(\{|[A-Za-z].*\)\s*\{)\s*$", line):
                opened = number
            elif line.startswith("}") and opened:
                yield f"{path.relative_to(ROOT)}:{opened}", number - opened + 1
                opened = 0


def written_by_hand(paths: list[Path]) -> list[Path]:
    return [path for path in paths if "generated" not in path.parts]


def test_no_function_is_long() -> None:
    found = [*python_functions(tracked(".py")), *c_functions(written_by_hand(tracked(".c")))]
    assert [where for where, lines in found if lines > LONGEST] == []


def test_most_functions_are_short() -> None:
    python = sorted(lines for _, lines in python_functions([p for p in tracked(".py") if "tests" not in p.parts]))
    c = sorted(lines for _, lines in c_functions(written_by_hand(tracked(".c"))))
    assert statistics.median(python) <= 8 and statistics.median(c) <= 12
    assert max(python[int(len(python) * 0.9)], c[int(len(c) * 0.9)]) <= 35


def test_a_file_says_what_it_decides() -> None:
    for path in tracked(".py"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        assert not tree.body or ast.get_docstring(tree), f"{path}: no head docstring"
        assert not tree.body[1:] or "from __future__ import annotations" in text, path


def test_nothing_is_unfinished_and_no_path_is_of_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in tracked(".py", ".c", ".h", ".md", ".toml", ".sh", ".S", ".ld", ".mk", "")
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if UNFINISHED.search(line) or MACHINE_PATH.search(line)
    ]
    assert wrong == []
