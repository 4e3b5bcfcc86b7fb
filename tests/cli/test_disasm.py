"""The listing: names, cycles, and where each instruction comes from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.cli import main
from mcutool.emulator.estimate import estimates
from mcutool.isa import BY_NAME

(DIVISION,) = estimates(devices.board("mps2-an386")).cycles(BY_NAME["i32.div_s"])
LIFE = Path(__file__).resolve().parents[2] / "examples" / "life.wasm"
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


@pytest.fixture
def ratio(tmp_path: Path) -> str:
    (tmp_path / "ratio.c").write_text(SOURCE, encoding="utf-8")
    command = ["clang", "--target=wasm32", "-g", "-O1", "-nostdlib", "-Wl,--no-entry", "-Wl,--export=ratio"]
    subprocess.run([*command, "ratio.c", "-o", "ratio.wasm"], cwd=tmp_path, check=True)
    return str(tmp_path / "ratio.wasm")


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main(["disasm", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_line_says_what_it_costs_and_where_it_comes_from(ratio: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disasm", ratio]) == 0
    legend, *_ = said = capsys.readouterr().out.splitlines()
    assert "modelled cycles, zero wait states, cortex-m4f" in legend
    assert any(line.startswith("divide: ; function") for line in said)
    (division,) = [line for line in said if "i32.div_s" in line]
    assert f"[{DIVISION}]" in division and division.endswith("ratio.c:3")


def test_a_script_gets_the_same(ratio: str, capsys: pytest.CaptureFixture[str]) -> None:
    functions = {function["name"]: function["lines"] for function in listed(capsys, ratio)}
    (division,) = [line for line in functions["divide"] if line["text"].startswith("i32.div_s")]
    assert division["cycles"] == [DIVISION] and division["source"] == "ratio.c:3" and division["wasm_offset"] > 0
    (division,) = [
        line
        for function in listed(capsys, ratio, "--board", "microbit")
        for line in function["lines"]
        if line["text"].startswith("i32.div_s")
    ]
    assert division["cycles"] == [], "a Cortex-M0 has no instruction for it, so it is done in C"


def test_a_branch_has_two_figures(capsys: pytest.CaptureFixture[str]) -> None:
    branches = [
        line for function in listed(capsys, str(LIFE)) for line in function["lines"] if line["text"].startswith("br_i")
    ]
    assert branches and all(len(line["cycles"]) == 2 for line in branches)
    assert all(line["source"] is None for line in branches), "it has no debug information"


def test_without_a_firmware_there_are_no_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "firmware_folder", lambda: tmp_path)
    assert all(line["cycles"] is None for function in listed(capsys, str(LIFE)) for line in function["lines"])
    assert main(["disasm", str(LIFE)]) == 0
    assert "cycles" not in capsys.readouterr().out
