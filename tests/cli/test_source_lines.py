"""A trap is told by the line of C that it happened on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcutool.wasm.debug import source_lines
from mcutool.wasm.reader import read_module

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """\
__attribute__((noinline)) static int divide(int a, int b) {
    return
        a / b;
}

int ratio(int a) {
    return divide(a, a - 1)
         + 1;
}
"""


@pytest.fixture(params=["-gdwarf-4", "-gdwarf-5"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "ratio.c").write_text(SOURCE, encoding="utf-8")
    command = ["clang", "--target=wasm32", request.param, "-O1", "-nostdlib", "-Wl,--no-entry", "-Wl,--export=ratio"]
    subprocess.run([*command, "ratio.c", "-o", "ratio.wasm"], cwd=tmp_path, check=True)
    return tmp_path / "ratio.wasm"


def test_a_backtrace_names_lines(program: Path) -> None:
    command = [sys.executable, "-m", "mcutool", "run", "--json", str(program), "--invoke", "ratio", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    trap = json.loads(done.stdout.splitlines()[-1])["trap"]
    assert done.returncode == 134 and trap["source"] == "ratio.c:3"
    assert [(frame["function"], frame["source"]) for frame in trap["backtrace"]] == [
        ("divide", "ratio.c:3"), ("ratio", "ratio.c:7"),
    ]  # fmt: skip
    assert "in ratio at ratio.c:7 (at byte offset" in done.stderr or done.stderr == ""


@pytest.mark.parametrize("section", [".debug_line", ".debug_info", ".debug_abbrev"])
def test_damaged_debug_information_is_ignored(program: Path, section: str) -> None:
    module = read_module(program.read_bytes())
    for index in range(len(module.customs)):
        name, data, offset = module.customs[index]
        if name == section:
            for cut in range(0, len(data), 7):
                module.customs[index] = (name, data[:cut], offset)
                assert source_lines(module).keys() == {"files", "lines"}
                module.customs[index] = (name, data[:cut] + b"\xff" * (len(data) - cut), offset)
                assert source_lines(module).keys() == {"files", "lines"}
