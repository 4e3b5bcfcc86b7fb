"""What an image says of itself: the module it was made of, the tool, its capabilities; and what stops it on the PC."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

import mcutool
from mcutool import devices, hostapi, install, program, provenance
from mcutool.errors import Unsupported
from mcutool.flash.smp_client import SmpClient
from mcutool.image.format import parse
from mcutool.pipeline import build_image

ROOT = Path(__file__).resolve().parents[2]
HELLO, BLINK = (ROOT / "examples" / f"{name}.wasm" for name in ("hello", "blink"))
BOARD = devices.board("stm32f405")


def test_an_image_says_where_it_comes_from_and_what_it_may_do() -> None:
    said = parse(build_image(HELLO, BOARD).image).provenance
    assert said and said.wasm == hashlib.sha256(HELLO.read_bytes()).digest()
    assert said.tool == f"mcutool {mcutool.__version__}" and hostapi.granted(said.grants) == ["console"]


def test_it_takes_little_room() -> None:
    image = build_image(HELLO, BOARD).image
    older = provenance.for_format(image, 1)
    assert len(image) - len(older) <= 64
    assert provenance.for_format(image, 2) == image and provenance.for_format(older, 1) == older


def test_more_than_is_imported_can_be_granted() -> None:
    built = program.load(HELLO, BOARD, grants=("console", "gpio"))
    assert built.report["granted"] == ["console", "gpio"] and built.report["needs"] == ["console"]
    assert built.image != program.load(HELLO, BOARD).image, "it comes from no cache of the other"


@pytest.mark.parametrize("grants", [(), ("console", "clock")])
def test_an_import_that_is_not_granted_stops_it_with_its_name(grants: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match=r"import not granted: \w+\.\w+ needs \w+") as wrong:
        program.load(BLINK, BOARD, grants=grants)
    (needed,) = wrong.value.next_action.split("--grant ")[1:]
    assert program.load(BLINK, BOARD, grants=tuple(needed.split(",")))


def test_a_board_that_grants_less_stops_modules_and_images(tmp_path: Path) -> None:
    strict = replace(BOARD, grants=("clock",))
    image = tmp_path / "hello.mcu"
    program.save(program.load(HELLO, BOARD), image)
    for file in (HELLO, image):
        with pytest.raises(Unsupported, match="import not granted on stm32f405: .*fd_write needs console"):
            program.load(file, strict)
        report = program.load(file, strict, refuse=False).report
        assert "wasi_snapshot_preview1.fd_write" in report["ungranted"], "what `info` shows"


def test_an_image_that_was_not_granted_what_it_imports(tmp_path: Path) -> None:
    image = parse(program.load(HELLO, BOARD).image)
    image.provenance = image.provenance and replace(image.provenance, grants=0)
    (tmp_path / "hello.mcu").write_bytes(image.build())
    with pytest.raises(Unsupported, match="import not granted by its image: "):
        program.load(tmp_path / "hello.mcu", BOARD)


def test_older_firmware_gets_the_older_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose runtime does not say which formats it reads."""
    sent: list[bytes] = []
    upload, read = SmpClient.upload, SmpClient.read

    def noted(client: SmpClient, image: bytes, *number: int) -> None:
        sent.append(image)
        upload(client, image, *number)

    def of_old(client: SmpClient, *request: int, **more: object) -> dict:
        return {key: value for key, value in read(client, *request, **more).items() if key != "format"}

    built = program.load(HELLO, BOARD)
    with mcutool.open_board(BOARD.name) as board:
        monkeypatch.setattr(SmpClient, "upload", noted)
        install.install(install.Job(BOARD, image=built.image), board.link)
        monkeypatch.setattr(SmpClient, "read", of_old)
        install.install(install.Job(BOARD, image=built.image), board.link)
        board.reset()
        board.expect(b"Hello")
    assert [parse(image).format for image in sent] == [2, 1]
    assert replace(parse(sent[0]), provenance=None) == parse(sent[1])
