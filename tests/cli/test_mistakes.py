"""What people get wrong, and what they are told: an exit code, one message, one next step, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcutool.cli import COMMANDS, main

EMPTY_MODULE = b"\0asm\x01\0\0\0"
# A function body that leaves nothing where an i32 is promised, at offset 0x1d.
ILL_TYPED = EMPTY_MODULE + bytes.fromhex("01050160 00017f 03020100 0a040102000b".replace(" ", ""))

# Exports "add" (i32 i32 -> i32) and "trap", which is unreachable.
ADDER = EMPTY_MODULE + bytes.fromhex(
    "010a0260027f7f017f600000" "03030200 01" "070e0203616464000004747261700001" "0a0d020700200020016a0b0300000b"
)

MISTAKES = [
    ("", ["nosuch"], 2, "there is no command 'nosuch'"),
    ("", ["build"], 2, "required: APP"),
    ("", ["build", "APP", "--nosuch"], 2, "--nosuch"),
    ("", ["build", "APP", "--memory", "much"], 2, "'much' is not a number"),
    ("", ["boards", "nosuch"], 2, "no board is called 'nosuch'"),
    ("empty", ["build", "APP", "--board", "nosuch"], 2, "no board is called 'nosuch'"),
    ("", ["build", "APP"], 2, "cannot read"),
    ("", ["run", "APP"], 2, "cannot read"),
    ("", ["info", "APP"], 2, "cannot read"),
    ("", ["disasm", "APP"], 2, "cannot read"),
    ("", ["flash", "APP", "--board", "microbit"], 2, "cannot read"),
    ("", ["flash", "APP", "--runtime"], 2, "which board?"),
    ("", ["flash", "--board", "microbit", "--runtime"], 2, "no serial bootloader"),
    ("", ["flash", "--board", "stm32f405"], 2, "nothing to install"),
    ("text", ["flash", "APP.bin", "--board", "stm32f405"], 2, "--address"),
    ("", ["wast", "APP"], 2, "there is no file"),
    ("text", ["build", "APP"], 13, "no WebAssembly file"),
    ("text", ["run", "APP"], 13, "no WebAssembly file"),
    ("text", ["info", "APP"], 13, "no WebAssembly file"),
    ("truncated", ["build", "APP"], 13, "byte offset"),
    ("ill typed", ["build", "APP"], 13, "byte offset"),
    ("ill typed", ["run", "APP"], 13, "byte offset"),
    ("empty", ["build", "APP", "--dump", "nosuch"], 2, "nosuch"),
    ("empty", ["run", "APP", "--invoke", "f", "1"], 2, "exports no function 'f'"),
    ("empty", ["run", "APP"], 2, "_start"),
    ("adder", ["run", "APP", "--invoke", "add", "1"], 2, "takes 2 arguments (i32 i32), 1 are given"),
    ("adder", ["run", "APP", "--invoke", "add", "1", "1.5"], 2, "'1.5' is not a value of type i32"),
    ("adder", ["run", "APP", "--invoke", "add", "1", "two"], 2, "unrecognized arguments: two"),
    ("adder", ["run", "APP", "--invoke=add", "-1"], 2, "1 are given"),
    ("adder", ["run", "APP", "--invoke=a=b"], 2, "exports no function 'a=b'"),
    ("adder", ["run", "APP", "--invoke", "trap", "--env", "HOME"], 2, "K=V"),
    ("adder", ["run", "APP", "--invoke", "add", "1", "2", "--fuel", "0"], 124, "fuel"),
    ("adder", ["run", "APP", "--invoke", "trap"], 134, "trap: unreachable"),
    ("empty", ["flash", "APP", "--port", "nosuchport"], 3, "nosuchport"),
    ("empty", ["monitor", "--port", "nosuchport"], 3, "nosuchport"),
    ("", ["emulate", "microbit", "--boot", "rom"], 2, "no serial bootloader"),
    ("", ["emulate", "nosuch"], 2, "no board is called 'nosuch'"),
]

CONTENTS = {
    "empty": EMPTY_MODULE,
    "text": b"hello\n",
    "truncated": ILL_TYPED[:20],
    "ill typed": ILL_TYPED,
    "adder": ADDER,
}


def prepared(contents: str, words: list[str], folder: Path) -> list[str]:
    """The command line with APP replaced by a file of these contents, absent when there are none."""
    app = folder / "app.wasm"
    if contents:
        app.write_bytes(CONTENTS[contents])
        app.with_suffix(".bin").write_bytes(CONTENTS[contents])
    return [word.replace("APP", str(app.with_suffix(""))) + ".wasm" * (word == "APP") for word in words]


@pytest.mark.parametrize(("contents", "words", "code", "message"), MISTAKES, ids=str)
def test_a_mistake(
    contents: str, words: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(prepared(contents, words, tmp_path)) == code
    out, err = capsys.readouterr()
    assert err.startswith("mcutool: ") and message in err and "Traceback" not in err
    assert out == "" and ("\n  next: " in err or code == 134)


@pytest.mark.parametrize(("contents", "words", "code", "message"), MISTAKES[1:4], ids=str)
def test_a_mistake_in_json(
    contents: str, words: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*prepared(contents, words, tmp_path), "--json"]) == code
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["error"].keys() == {"class", "message", "next_action"}
    assert said["error"]["class"] == "usage" and message in said["error"]["message"]


@pytest.mark.parametrize("damage", ["{", "[]", "\xff"])
def test_a_damaged_map_is_named(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(prepared("adder", ["build", "APP"], tmp_path)) == 0
    (tmp_path / "app.map.json").write_text(damage, encoding="latin-1")
    assert main(["info", str(tmp_path / "app.mcu")]) == 2
    assert "app.map.json is no map of an image" in capsys.readouterr().err


def test_a_bug_is_one_line_that_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcutool.devices.boards", lambda: 1 // 0)
    assert main(["boards"]) == 1
    assert "please report" in capsys.readouterr().err
    monkeypatch.setenv("MCUTOOL_DEBUG", "1")
    main(["boards"])
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_not_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mcutool.devices.boards", interrupt)
    assert main(["boards"]) == 130
    assert capsys.readouterr().err == ""


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        assert f"usage: mcutool {command}" in capsys.readouterr().out
