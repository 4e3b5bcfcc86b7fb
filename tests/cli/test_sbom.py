"""`mcutool info --sbom`: a bill of materials that others can read, and that says what is true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mcutool import __version__
from mcutool.cli import main
from mcutool.image.format import parse
from mcutool.pipeline import load
from mcutool.provenance import for_format
from mcutool.wasm.producers import producers
from mcutool.wasm.text import assemble

MODULE = b"""(module (import "mcu" "led_set" (func (param i32) (result i32))) (func (export "_start"))
  (@producers (language "C11" "") (processed-by "clang" "14.0.6") (sdk "wasi" "19")))"""
WASM = assemble(MODULE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.wasm").write_bytes(WASM)
    return tmp_path


def bill(capsys: pytest.CaptureFixture[str], file: str) -> dict[str, Any]:
    """What the command prints about the file, which is what the standard's schema wants."""
    capsys.readouterr()
    assert main(["info", file, "--board", "stm32f405", "--sbom"]) == 0
    text = capsys.readouterr().out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def properties(component: dict[str, Any], name: str) -> list[str]:
    return [row["value"] for row in component["properties"] if row["name"] == f"mcutool:{name}"]


def test_of_a_module_and_of_its_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "app.wasm", "--board", "stm32f405"]) == 0
    of_module, of_image = bill(capsys, "app.wasm"), bill(capsys, "app.mcu")
    image = of_module["metadata"]["component"]
    assert image == of_image["metadata"]["component"] and of_module["serialNumber"] == of_image["serialNumber"]
    assert image["hashes"][0]["content"] == hashlib.sha256((folder / "app.mcu").read_bytes()).hexdigest()
    assert properties(image, "import") == ["mcu.led_set"] and properties(image, "grant") == ["led"]
    assert properties(image, "made-by") == [f"mcutool {__version__}"]
    wasm, *tools = of_module["components"]
    assert wasm["hashes"] == of_image["components"][0]["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(WASM).hexdigest()}
    ]  # fmt: skip
    assert properties(wasm, "language") == ["C11"]
    assert [(tool["name"], tool["version"], tool["scope"]) for tool in tools] == [
        ("clang", "14.0.6", "excluded"), ("wasi", "19", "excluded"),
    ]  # fmt: skip


def test_the_same_image_gives_the_same_bytes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bill(capsys, "app.wasm") == bill(capsys, "app.wasm")


def test_an_image_of_format_1_does_not_say_what_it_was_made_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "app.wasm", "--board", "stm32f405"]) == 0
    old = for_format((folder / "app.mcu").read_bytes(), 1)
    assert parse(old).provenance is None
    (folder / "old.mcu").write_bytes(old)
    said = bill(capsys, "old.mcu")
    assert said["components"] == [] and properties(said["metadata"]["component"], "made-by") == []
    assert len(properties(said["metadata"]["component"], "grant")) > 5, "it may do everything"


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_damaged_section_says_nothing(cut: int) -> None:
    module = load(WASM)
    ((name, contents, offset),) = [row for row in module.customs if row[0] == "producers"]
    assert producers(module)["sdk"] == [("wasi", "19")]
    module.customs = [(name, contents[:-cut], offset)]
    assert producers(module) == {}
