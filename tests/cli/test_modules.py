"""`modules`, and what `flash` does with a module: installed beside another, tried, confirmed, rolled back. Emulated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import mcutool
from mcutool import install
from mcutool.board import Board
from mcutool.cli import main
from mcutool.errors import DoesNotFit, Trapped
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
    with pytest.raises(Trapped, match="trapped at its start .* what was installed before runs again"):
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
    ],
)
def test_mistakes(board: Board, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modules", *words, "--port", "P"]) == 2
    assert complaint in capsys.readouterr().err
