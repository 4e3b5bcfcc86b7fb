"""What people get wrong, and what they are told: an exit code, one message, one next step, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mistakes import MISTAKES, ODDITIES, Mistake
from situations import LINES, ROOT, Cable, make_files, situation

from mcutool.cli import COMMANDS, INTERRUPTED, main
from mcutool.errors import Error, Trapped
from mcutool.flash.link import SerialLink
from mcutool.run import ROOM_FOR_STRINGS

LONGEST = 30  # seconds that a command may take to notice a mistake
WITHOUT_JSON = ("monitor", "emulate", "completion")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, nobody at the keyboard, no ports of this machine, and an end to everything."""

    def give_up(*_arguments: object) -> None:
        raise TimeoutError(f"no answer after {LONGEST} seconds")

    def open_port(port: str, baud: int, **options: Any) -> Any:
        return Cable(LINES[port](), baud=baud) if port in LINES else SerialLink(port, baud, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    monkeypatch.setattr("mcutool.flash.link.SerialLink", open_port)
    monkeypatch.setattr("mcutool.run.SerialLink", open_port)
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def walk(command: str, *more: str) -> int:
    """The exit code of a command line, its files and ports made for it."""
    words = shlex.split(command)
    with situation(words, Path.cwd()):
        return main([words[0], *more, *words[1:]])


def name(row: Any) -> str:
    return row[0].replace(" ", "-")


@pytest.mark.parametrize("mistake", MISTAKES, ids=name)
def test_a_mistake(mistake: Mistake, capfd: pytest.CaptureFixture[str]) -> None:
    code = walk(mistake.command)
    out, err = capfd.readouterr()
    assert code == mistake.code, err
    message, _, advice = err.removeprefix("mcutool: ").partition("\n  next: ")
    assert err.startswith("mcutool: ") and "Traceback" not in err
    assert out == "" or "monitor" in mistake.command  # shows what the board said meanwhile
    assert re.search(mistake.says, message), message
    assert re.search(mistake.advice, advice) and (advice or code == Trapped.exit_code), advice


QUICK = [m for m in MISTAKES if m.command.split()[0] not in WITHOUT_JSON and not LINES.keys() & set(m.command.split())]


@pytest.mark.parametrize("mistake", QUICK, ids=name)
def test_a_mistake_in_json(mistake: Mistake, capfd: pytest.CaptureFixture[str]) -> None:
    assert walk(mistake.command, "--json") == mistake.code
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    if mistake.code == Trapped.exit_code:
        assert said["error"] is None and said["trap"]["kind"] and said["trap"]["backtrace"]
        return
    assert said["error"].keys() == {"class", "message", "next_action"}
    classes = {kind.name: kind.exit_code for kind in Error.__subclasses__()}
    assert classes[said["error"]["class"]] == mistake.code
    if mistake.command.split()[0] in COMMANDS and "gave" not in mistake.did:
        assert re.search(mistake.advice, said["error"]["next_action"])


@pytest.mark.parametrize("oddity", ODDITIES, ids=name)
def test_what_is_no_mistake(oddity: tuple[str, str, int], capfd: pytest.CaptureFixture[str]) -> None:
    assert walk(oddity[1]) == oddity[2]
    assert capfd.readouterr().err == ""


def test_the_table_has_every_command_and_every_exit_code() -> None:
    assert {mistake.command.split()[0] for mistake in MISTAKES} >= COMMANDS.keys()
    assert {mistake.code for mistake in MISTAKES} == {kind.exit_code for kind in Error.__subclasses__()}
    assert len({mistake.command for mistake in MISTAKES}) == len(MISTAKES)


def test_the_page_of_errors_has_every_exit_code() -> None:
    page = (ROOT / "examples" / "ERRORS.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (\w*) ?\|", page, re.MULTILINE))
    known = {str(kind.exit_code): kind.name for kind in [Error, *Error.__subclasses__()]}
    assert rows == known | {"0": "", str(INTERRUPTED): ""}


@pytest.mark.parametrize("end", range(0, 75, 3))
def test_a_module_cut_off_anywhere(end: int, capsys: pytest.CaptureFixture[str]) -> None:
    make_files(["add.wasm"], Path.cwd())
    module = Path("add.wasm")
    whole = module.read_bytes()
    module.write_bytes(whole[:end])
    code = main(["build", "add.wasm"])
    err = capsys.readouterr().err
    assert code == 13 or whole[end:].startswith(b"\0"), err  # between two sections nothing is missing
    assert "byte offset" in err or end == 0 or code == 0


# --- the process itself ----------------------------------------------------------------------------------------------


def started(*words: str, **pipes: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcutool", *words]
    return subprocess.Popen(command, env=environment, text=True, stdin=subprocess.DEVNULL, **pipes)


@pytest.mark.parametrize(
    "words",
    [["build", "slow.wasm"], ["run", "loop.wasm"], ["flash", "add.wasm", "--board", "stm32f405", "--port", "silent"]],
    ids=" ".join,
)
def test_ctrl_c_ends_without_a_word(words: list[str]) -> None:
    script = f"from mcutool.cli import main; print('started', flush=True); raise SystemExit(main({words}))"
    with situation(words, Path.cwd()):
        command = [sys.executable, "-c", script]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, text=True, **pipes)
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        time.sleep(0.7)  # in the middle of something
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LONGEST) == ("", "") and process.returncode == 130
    assert not Path("slow.mcu").exists()


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    make_files(["add.wasm"], Path.cwd())
    reading, writing = os.pipe()
    os.close(reading)
    process = started("disasm", "add.wasm", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.communicate(timeout=LONGEST)[1] == "" and process.returncode == 0


@pytest.mark.parametrize("command", ["info", "disasm", "build"])
def test_a_name_does_not_command_the_terminal(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert walk(f"{command} escape_export.wasm") == 0
    out = capfd.readouterr().out
    assert "\x1b" not in out and "u{1b}[2J" in out


@pytest.mark.parametrize("words", [["boards"], ["run", "add.wasm", "--invoke", "add", "1", "2"]], ids=" ".join)
def test_output_that_cannot_be_written_is_told(words: list[str]) -> None:
    make_files(words, Path.cwd())
    with open("/dev/full", "wb") as full:
        process = started(*words, stdout=full, stderr=subprocess.PIPE)
        err = process.communicate(timeout=LONGEST)[1]
    assert process.returncode == 2 and "Traceback" not in err
    assert err.startswith("mcutool: cannot write the output: No space left on device\n  next: ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_mistake(closed: str) -> None:
    make_files(["exit.wasm"], Path.cwd())
    line = f"{sys.executable} -m mcutool run exit.wasm {closed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, timeout=LONGEST)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")


def test_what_a_board_has_for_strings_is_what_its_runtime_has() -> None:
    source = (ROOT / "firmware_runtime" / "host.h").read_text(encoding="utf-8")
    assert f"#define HOST_STRINGS_SIZE {ROOM_FOR_STRINGS}u " in source


def test_a_bug_is_one_line_that_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcutool.devices.boards", lambda: 1 // 0)
    assert main(["boards"]) == 1
    assert "please report" in capsys.readouterr().err
    monkeypatch.setenv("MCUTOOL_DEBUG", "1")
    main(["boards"])
    assert "Traceback" in capsys.readouterr().err
