"""Defaults of the user: which one counts, what the help says of it, and what a wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcutool.cli import command_of, main
from mcutool.cli.parser import parse
from mcutool.settings import NAMES, variable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a project, without variables of whoever runs the tests."""
    for name in NAMES:
        monkeypatch.delenv(variable(name), raising=False)
    here = tmp_path / "project" / "deep" / "down"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return here


def configure(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def option(command: str, name: str, *words: str) -> Any:
    return getattr(parse(command, command_of(command), list(words)), name)


def test_the_nearer_default_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert option("flash", "board", "a.wasm") is None
    assert option("build", "board", "a.wasm") == "mps2-an386"
    configure(folder.parents[1], '[tool.mcutool]\nboard = "microbit"\nport = "far"\nbaud = 9600\n')
    assert [option("flash", name, "a.wasm") for name in NAMES] == ["microbit", "far", 9600]
    configure(folder.parents[0], '[project]\nname = "no word of the tool"\n')
    assert option("monitor", "port") == "far"
    configure(folder, '[tool.mcutool]\nport = "near"\n')
    assert option("monitor", "port") == "near" and option("monitor", "baud") is None
    monkeypatch.setenv("MCUTOOL_PORT", "nearest")
    monkeypatch.setenv("MCUTOOL_BAUD", "19200")
    assert option("monitor", "port") == "nearest" and option("monitor", "baud") == 19200
    assert option("monitor", "port", "--port", "given") == "given"
    monkeypatch.setenv("MCUTOOL_PORT", "")
    assert option("monitor", "port") == "near", "an empty variable is none"


def test_run_without_a_port_stays_emulated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCUTOOL_PORT", "nosuchport")
    assert option("run", "port", "a.wasm") is None


def test_the_help_says_where_a_default_comes_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(folder, "[tool.mcutool]\nbaud = 9600\n")
    monkeypatch.setenv("MCUTOOL_BOARD", "microbit")
    monkeypatch.setenv("MCUTOOL_PORT", "COM3")
    with pytest.raises(SystemExit):
        main(["flash", "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert "microbit,fromMCUTOOL_BOARD" in said and "COM3,fromMCUTOOL_PORT" in said
    assert f"9600,from[tool.mcutool]in{path}" in said


WRONG = [
    ("MCUTOOL_BOARD", "micro-bit", "no board is called 'micro-bit'", "did you mean microbit?"),
    ("MCUTOOL_BAUD", "fast", "baud is 'fast'", "bits per second"),
    ("MCUTOOL_BAUD", "-9600", "baud is '-9600'", "bits per second"),
    ("pyproject.toml", "board = 405", "board is 405", "text in quotes"),
    ("pyproject.toml", 'board = "stm32"', "no board is called 'stm32'", "stm32f405"),
    ("pyproject.toml", 'baud = "9600"', "baud is '9600'", "bits per second"),
    ("pyproject.toml", "baud = true", "baud is True", "bits per second"),
    ("pyproject.toml", 'bord = "microbit"', "no setting 'bord'", "did you mean board?"),
    ("pyproject.toml", "board = ", "Invalid value (at line 2, column 9)", "mend the file"),
]


@pytest.mark.parametrize(("place", "value", "message", "advice"), WRONG, ids=str)
def test_a_wrong_default_names_its_place(
    place: str, value: str, message: str, advice: str,
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if place == "pyproject.toml":
        configure(folder, f"[tool.mcutool]\n{value}\n")
    else:
        monkeypatch.setenv(place, value)
    assert main(["flash", "a.wasm", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)["error"]
    assert place in said["message"] and message in said["message"] and advice in said["next_action"]
    assert main(["boards"]) == 0, "who does not need it is not disturbed"
    with pytest.raises(SystemExit) as left:
        main(["flash", "--help"])
    assert left.value.code == 0 and "wrong" in capsys.readouterr().out
