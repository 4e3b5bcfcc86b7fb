"""`modules`, and what `flash` does with a module: installed beside another, tried, confirmed, rolled back. Emulated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mcutool
from mcutool import install
from mcutool.board import Board
from mcutool.cli import main, modules
from mcutool.errors import DoesNotFit, ImageRefused, Trapped, UsageError
from mcutool.flash.smp_client import NotSupported, SmpClient
from mcutool.image.format import parsed
from mcutool.image.link import arena_bytes
from tests.firmware import programs

GOOD, BETTER, BAD = programs.writes(b"good\n", 0), programs.writes(b"better\n", 0), programs.traps()


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board that every serial port leads to."""
    with mcutool.open_board("bluepill") as opened:
        opened.expect(b"[no program")
        monkeypatch.setattr("mcutool.flash.link.SerialLink", lambda *_given, **_named: opened.link)
        monkeypatch.setattr(opened.link, "close", lambda: None)  # by a command; others follow
        yield opened


def put(board: Board, image: bytes, **manner: Any) -> dict[str, Any]:
    return install.install(install.Job(board.description, None, image), board.link, install.Manner(**manner))["smp"]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["modules", *words, "--port", "P", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["images"]


def states(images: list[dict[str, Any]]) -> list[tuple[str, bool, bool, bool]]:
    return [(image["hash"][:8], image["active"], image["confirmed"], image["pending"]) for image in images]


def short(image: bytes) -> str:
    return image[-32:].hex()[:8]


def test_a_module_that_starts_well_is_confirmed(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    done = put(board, GOOD)
    assert (done["state"], done["written"], done["image"]) == ("confirmed", True, 0)
    assert states(said(capsys)) == [(short(GOOD), True, True, False)]
    assert put(board, GOOD)["written"] is False
    put(board, BETTER)
    assert states(said(capsys)) == [(short(BETTER), True, True, False), (short(GOOD), False, False, False)]


def test_a_module_that_traps_at_its_start_is_rolled_back(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, GOOD)
    with pytest.raises(Trapped, match="trapped at its start; it is not confirmed; what was installed before runs"):
        put(board, BAD)
    board.expect(b"[rolled back")
    board.expect(b"good\n")
    assert states(said(capsys)) == [(short(GOOD), True, True, False), (short(BAD), False, False, False)]


def test_a_trial_that_nobody_confirms_ends_with_the_next_start(board: Board) -> None:
    put(board, GOOD)
    assert put(board, BETTER, trial=True)["state"] == "trial"
    board.reset()
    board.expect(b"[rolled back")
    board.expect(b"good\n")


def test_what_traps_on_one_of_several_boards_has_one_line(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.wat"
    file.write_text('(module (func (export "_start") unreachable))')
    capsys.readouterr()
    assert main(["flash", str(file), "--board", "bluepill", "--all", "--port", "P"]) == 134
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("P: the program trapped at its start;") and "next: mend the program" in line


def greedy(start: list[int]) -> bytes:
    """A program that takes more than half of the board's RAM."""
    image = parsed(programs.image(start))
    image.stack_slots = 2500
    image.ram = arena_bytes(image)
    return image.build()


def test_a_module_that_is_not_started_is_rolled_back(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, greedy(programs.op("return")))
    put(board, GOOD, number=1)
    with pytest.raises(ImageRefused, match="more RAM .* it is not confirmed; what was installed before runs again"):
        put(board, greedy(2 * programs.op("return")), number=1)
    board.reset()
    board.expect(b"[1] good\n")
    assert states(said(capsys, "list", "--image", "1"))[0] == (short(GOOD), True, True, False)


def test_a_confirmed_module_that_traps_stays(board: Board) -> None:
    board.client.install(BAD)
    with pytest.raises(Trapped, match="trapped at its start; it is confirmed already, and stays"):
        put(board, BAD)


def test_an_older_runtime_keeps_one_module(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "check_runtime", lambda *_given: 1)
    for manner in ({"number": 1}, {"trial": True}):
        with pytest.raises(ImageRefused, match="too old for --image and --trial") as refused:
            put(board, GOOD, **manner)
        assert "mcutool flash --runtime --board bluepill" in refused.value.next_action
    assert board.client.images() == []


@pytest.mark.parametrize("manner", [{"number": 1}, {"trial": True}, {"replace": True}])
def test_what_is_for_modules_is_not_for_the_runtime(manner: dict[str, Any]) -> None:
    job = install.prepare(mcutool.devices.board("bluepill"), None, True)
    with pytest.raises(UsageError, match="are for a module"):
        install.check_manner(job, install.Manner(**manner))


def test_an_image_that_is_not_there_is_refused_before_the_runtime_is_written() -> None:
    job = install.Job(mcutool.devices.board("bluepill"), None, GOOD)
    with pytest.raises(UsageError, match="bluepill has no image 9"):
        install.check_manner(job, install.Manner(number=9))


def test_versions_are_activated_confirmed_and_removed(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, GOOD)
    board.client.upload(BETTER)
    assert states(said(capsys, "activate", short(BETTER)))[1] == (short(BETTER), False, False, True)
    board.reset()
    board.expect(b"better\n")
    assert states(said(capsys, "confirm")) == [(short(BETTER), True, True, False), (short(GOOD), False, False, False)]
    assert states(said(capsys, "remove", short(GOOD))) == [(short(BETTER), True, True, False)]
    assert said(capsys, "remove", "--all") == []
    assert main(["modules", "--port", "P"]) == 0
    assert "nothing is installed" in capsys.readouterr().out


def test_a_damaged_version_is_listed_and_removed(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, GOOD)
    board._probe.machine.flash.load(board.description.chip.map.slot.offset, bytes(64))
    capsys.readouterr()
    assert main(["modules", "list", "--port", "P"]) == 0
    assert capsys.readouterr().out.startswith("image 0  damaged  ")
    assert states(said(capsys)) == [("", True, True, False)]
    assert said(capsys, "remove", "--all") == []


def test_settings_are_kept_beside_a_module(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, GOOD)
    (image,) = said(capsys, "set", "--arg", "one", "--arg", "two", "--env", "K=V", "--fuel", "2.5")
    assert image["settings"] == {"args": ["one", "two"], "env": ["K=V"], "fuel": 2500}
    assert main(["modules", "--port", "P"]) == 0
    assert "set --arg one --arg two --env K=V --fuel 2.5" in capsys.readouterr().out
    assert said(capsys, "set")[0]["settings"] == {}


def test_two_images_lie_side_by_side(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    put(board, GOOD)
    board.client.install(BETTER, 1)
    assert [(image["image"], image["slot"], image["hash"][:8]) for image in said(capsys)] == [
        (0, 0, short(GOOD)), (1, 0, short(BETTER)),
    ]  # fmt: skip
    assert [image["hash"][:8] for image in said(capsys, "list", "--image", "1")] == [short(BETTER)]
    assert [image["image"] for image in said(capsys, "remove", "--all", "--image", "1")] == [0]


class Strange(SmpClient):
    """Answers that make no sense, or none."""

    def __init__(self, images: list[Any], settings: dict[str, Any] | None) -> None:
        self._told = images, settings

    def images(self) -> list[dict]:
        return self._told[0]

    def settings(self, number: int = 0) -> dict:
        if self._told[1] is None:
            raise NotSupported("this firmware has no such command")
        return self._told[1]


def test_answers_that_make_no_sense_are_left_out() -> None:
    board = Strange([7, {}, {"hash": "ab"}, {"hash": b"\xab"}], {"args": [b"x"], "env": 7, "fuel": "1", "grants": 3})
    damaged, entry = modules._listed(board)
    assert "hash" not in damaged
    assert (entry["image"], entry["slot"]) == (0, 0) and modules._settings(board, 0) == {"grants": 3}
    assert modules.render([entry | {"settings": {"grants": 3}}]).count("\n") == 1


def test_a_runtime_without_settings_is_listed() -> None:
    assert modules._settings(Strange([], None), 0) == {}


def test_what_does_not_fit_beside_the_old_one_can_replace_it(board: Board) -> None:
    large = programs.image(programs.op("return") * 2500)
    put(board, large)
    larger = programs.image(programs.op("return") * 2600)
    with pytest.raises(DoesNotFit) as refused:
        put(board, larger)
    assert "--replace" in refused.value.next_action
    assert put(board, larger, replace=True)["state"] == "confirmed"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["activate"], "activate which one?"),
        (["list", "12"], "list takes no hash"),
        (["confirm", "--arg", "x"], "confirm takes no settings"),
        (["remove", "ffff"], "nothing that is installed has a hash that begins with ffff"),
        (["confirm"], "nothing is installed as image 0"),
        (["confirm", "--all"], "confirm takes no --all"),
        (["set", "--image", "9"], "bluepill has no image 9"),
        (["set", "--fuel", "0.0001"], "'0.0001' is not between 0.001 and 4294967 seconds"),
        (["set", "--fuel", "inf"], "'inf' is not between"),
    ],
)
def test_mistakes(board: Board, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modules", *words, "--port", "P"]) == 2
    assert complaint in capsys.readouterr().err
