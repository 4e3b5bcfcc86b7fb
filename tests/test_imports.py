"""The room rules: who may import whom, and which room alone touches a third-party library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mcutool"

# Files below the first path import nothing that begins with one of the names.
FORBIDDEN = {
    "wasm": ("mcutool.ir", "mcutool.bytecode", "mcutool.image", "mcutool.isa", "mcutool.encoding", "mcutool.devices"),
    "ir": ("mcutool.bytecode", "mcutool.image", "mcutool.isa", "mcutool.encoding", "mcutool.devices"),
    "bytecode": ("mcutool.image", "mcutool.devices", "mcutool.emulator", "mcutool.flash"),
    "image": ("mcutool.emulator", "mcutool.flash", "mcutool.devices"),
    "flash/protocols": ("mcutool.devices", "mcutool.flash.link", "serial", "socket", "time", "select", "threading"),
    "flash": ("mcutool.wasm", "mcutool.ir", "mcutool.bytecode"),
    "emulator": ("mcutool.wasm", "mcutool.ir", "mcutool.bytecode"),
}

# The library on the left is imported by these files or folders alone.
OWNERS = {
    "serial": ("flash/link.py",),
    "unicorn": ("emulator",),
    "wasmtime": ("wasm/text.py",),
    "pytest": ("pytest_plugin.py",),
    "distributed": ("wast/campaign.py",),
    "tomllib": ("devices.py", "settings.py"),
    "shtab": ("cli/completion.py",),
    "argparse": ("cli", "generate.py"),
    # What Windows lacks; link.py does without it there.
    "termios": ("flash/link.py", "emulator/serve.py"),
    "pty": ("emulator/serve.py",),
    "tty": ("emulator/serve.py",),
    "fcntl": (),
    "resource": (),
    "pwd": (),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, at any depth, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_knows_nothing_of_the_rooms_behind_it(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imports(path)
        for prefix in FORBIDDEN[room]
        if is_within(name, prefix)
    ]
    assert not wrong


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    owners = [PACKAGE / owner for owner in OWNERS[library]]
    wrong = [
        str(path.relative_to(ROOT))
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(is_within(name, library) for name in imports(path))
        and not any(path == owner or owner in path.parents for owner in owners)
    ]
    assert not wrong


def test_the_portable_firmware_knows_no_register() -> None:
    pointer_from_number = re.compile(r"\*\s*\)\s*\(?\s*(0x|[1-9])")
    portable = sorted((ROOT / "firmware_runtime").glob("*.[ch]"))
    assert portable
    assert not [path.name for path in portable if pointer_from_number.search(path.read_text(encoding="utf-8"))]


def test_descriptions_of_hardware_hold_no_code() -> None:
    found = [path for folder in ("targets", "boards") for path in (ROOT / folder).rglob("*") if path.is_file()]
    code = {path.name for path in found if path.suffix != ".toml" and "__pycache__" not in path.parts}
    assert found and code == {"bringup.py"}, "a script about boards, which describes none"


@pytest.mark.parametrize("words", [["--help"], ["boards"], ["ports"], ["run", "--help"]], ids=" ".join)
def test_a_quick_command_imports_nothing_slow(words: list[str]) -> None:
    script = (
        "import sys; from mcutool.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('slow:', [name for name in ('unicorn', 'wasmtime', 'rich', 'construct') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "slow: []"
