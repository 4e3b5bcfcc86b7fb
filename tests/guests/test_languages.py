"""examples/LANGUAGES.md, followed to the letter: what it writes is compiled and run, and prints what it says.

Only the commands that fetch a compiler are not executed; they name what `make test` has installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "examples" / "LANGUAGES.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
FETCH = ("sudo apt-get install ", "pip install ", "npm install --global ")


@dataclass(frozen=True)
class Section:
    """A program with the commands that compile and run it."""

    title: str
    files: dict[str, str]
    fetch: str
    commands: list[str]
    output: str


def sections() -> list[Section]:
    """The parts of the page that have commands."""
    found = []
    for part in PAGE.split("\n## ")[1:]:
        blocks = list(BLOCK.finditer(part))
        if blocks:
            *sources, shell, output = blocks
            fetch, *commands = shell["text"].splitlines()
            files = {source["file"]: source["text"] for source in sources}
            found.append(Section(part.splitlines()[0], files, fetch, commands, output["text"]))
    return found


SECTIONS = sections()


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH as in an activated environment on Debian, whether this one is called so or not."""
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("python", ""), ("mcutool", "-m mcutool")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), "/usr/bin", "/bin"])


def test_every_language_is_there() -> None:
    titles = " ".join(section.title for section in SECTIONS)
    assert all(language in titles for language in ("C ", "C with Zig", "C++", "Rust", "Zig", "AssemblyScript", "Text"))
    assert all(len(section.commands) == 2 for section in SECTIONS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_the_commands_do_what_the_page_says(section: Section, path: str, tmp_path: Path) -> None:
    for name, text in section.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = {**os.environ, "PATH": path}
    for command in section.commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (done.stdout, done.stderr) == (section.output, "")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_the_compiler_is_one_that_the_tests_install(section: Section) -> None:
    (start,) = [start for start in FETCH if section.fetch.startswith(start)]
    known = (ROOT / "Makefile").read_text() + (ROOT / "pyproject.toml").read_text()
    words = section.fetch.removeprefix(start).split()
    assert [word for word in words if not re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w+-])", known)] == []


DECLARATIONS = dict(re.findall(r"^\| ([\w, +]+) \| `([^`]+)`", PAGE, re.M))
# What makes a program of a declaration, and what compiles it: language, file, contents, command.
CALLERS = [
    ("C, C++", "f.c", '%s\n__attribute__((export_name("f"))) int f(void) { return mcu_led_set(1); }\n',
     f'clang --target=wasm32 -nostdlib -Wl,--no-entry -I"{ROOT}/examples/include" f.c -o f.wasm'),
    ("Zig", "f.zig", "%s\nexport fn f() i32 { return led_set(1); }\n",
     "python -m ziglang build-exe -target wasm32-freestanding -fno-entry -rdynamic f.zig -femit-bin=f.wasm"),
    ("AssemblyScript", "f.ts", "%s\nexport function f(): i32 { return led_set(1); }\n", "asc f.ts -o f.wasm"),
    ("text", "f.wat", '(module %s (func (export "f") (result i32) (call $led_set (i32.const 1))))',
     "mcutool build f.wat --board microbit -o f.wasm"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "name", "program", "compile_"), CALLERS, ids=lambda value: value[:4])
def test_a_declaration_is_good(
    language: str, name: str, program: str, compile_: str, path: str, tmp_path: Path
) -> None:
    """Rust's stands in a program above."""
    (tmp_path / name).write_text(program % DECLARATIONS[language], encoding="utf-8")
    command = f"{compile_} && mcutool run f.wasm --board microbit --invoke f"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["0"], f"{command}\n{done.stdout}{done.stderr}"
