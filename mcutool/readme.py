"""The map in README.md: one line for each file, taken from the head of the file itself.

This file decides which files the map shows and in which order. It refuses to know what they do: they say it themselves,
and only what has no head is described here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- map: made by mcutool/generate.py from the heads of the files -->\n", "<!-- end of map -->\n"

# Folders whose files are listed one by one, in the order in which a newcomer reads them.
FOLDERS = (
    ("mcutool", "the Python package; the rooms below know of each other only what tests/test_imports.py allows"),
    ("mcutool/wasm", ""),
    ("mcutool/ir", ""),
    ("mcutool/bytecode", ""),
    ("mcutool/image", ""),
    ("mcutool/emulator", ""),
    ("mcutool/flash", ""),
    ("mcutool/flash/protocols", ""),
    ("mcutool/wast", ""),
    ("mcutool/smoke", ""),
    ("mcutool/cli", ""),
    ("firmware_runtime", "the interpreter and the board's side, in C11; DESIGN.md says why, SPEC.md has every bit"),
    ("firmware_runtime/port/cortex_m", "what all ports share"),
    ("firmware_runtime/port/mps2", ""),
    ("firmware_runtime/port/nrf51", ""),
    ("firmware_runtime/port/rp2040", ""),
    ("firmware_runtime/port/stm32", "what the STM32 families share"),
    ("firmware_runtime/port/stm32f1", ""),
    ("firmware_runtime/port/stm32f4", ""),
    ("firmware_runtime/port/pc", ""),
)
FIRST = ("pipeline.py", "isa.py", "vm.h")
SUFFIXES = (".py", ".c", ".h")

OTHERS = {
    "firmware_runtime/generated/": "what mcutool/generate.py makes from the tables; never edited",
    "targets/": "cores and chips as data: `cores/NAME.toml`, `chips/NAME.toml`",
    "boards/": "boards as data: `VENDOR_NAME.toml`; bringup.py: a bring-up to copy and change",
    "examples/": "programs in C and Rust with their .wasm; README.md has the commands that build them",
    "examples/demo.sh": "what `make run` shows",
    "tests/": "a folder for each room; tests/guests runs compilers' output, tests/spec the WebAssembly test suite",
    "tests/attack/": "images that nobody should have made, offered to the firmware (`make attack`)",
    "tests/bench/": "figures: cycles relative to native code, size of the bytecode (`make bench`); "
    "pairs: what is executed most; wasm3: the same on wasm3; further: programs of other people; "
    "startup, fixtures: how long one waits",
    ".ci/": "run: what continuous integration runs; fresh-machine: the proof on a bare Debian; packages: installs",
    "setup.py": "what the wheel carries besides Python",
}


def render() -> str:
    """README.md with its map renewed; the prose around it is kept."""
    before, rest = (ROOT / "README.md").read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + "\n".join(map_lines()) + "\n\n" + END + rest.split(END)[1]


def map_lines() -> Iterator[str]:
    """The lines of the map."""
    for folder, sentence in FOLDERS:
        sentence = sentence or head_of(ROOT / folder / "__init__.py")
        yield f"- **{folder}/**" + (f": {sentence}" if sentence else "")
        for path in listed(folder):
            yield f"  - `{path.name}`: {head_of(path)}"
    for name, sentence in OTHERS.items():
        yield f"- **{name}**: {sentence}"


def listed(folder: str) -> list[Path]:
    """The files of a folder that the map names; a header stands for the file of the same name."""
    paths = [path for path in (ROOT / folder).iterdir() if path.suffix in SUFFIXES and path.name != "__init__.py"]
    paths = [path for path in paths if not (path.suffix == ".c" and path.with_suffix(".h") in paths)]
    return sorted(paths, key=lambda path: (path.name not in FIRST, path.name))


def head_of(path: Path) -> str:
    """The first sentence of the file's head comment, without its full stop; empty when there is no such file."""
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        comment = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.sub(r"\n\s*\**\s?", "\n", text[text.index("/*") + 2 : text.index("*/")])
    paragraph = " ".join(comment.strip().split("\n\n")[0].split())
    return re.split(r"\.(?:\s|$)", paragraph)[0]
