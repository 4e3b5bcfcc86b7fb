"""`boards NAME`: what somebody needs to know who has the board on the table."""

from __future__ import annotations

import json

import pytest

from mcutool import devices
from mcutool.cli import main


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["boards", name]) == 0
    return {line[:13].strip(): line[13:] for line in capsys.readouterr().out.splitlines()}


def test_a_board_without_usb_tells_pins_adapter_and_jumper(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown("stm32f405", capsys)
    assert said["console"] == "USART1, TX PA9, RX PA10, 115200 baud 8N1" and said["port"] == "the pin headers"
    assert said["adapter"] == "USB to 3.3 V UART" and said["boot jumper"] == "BOOT0"
    assert said["bootloader"] == "pull BOOT0 high and press reset" and said["LED"] == "PC12, lit when low"
    assert said["flash"] == "1048576 bytes, 786432 of them for a module"
    assert said["flashed by"] == "an3155: pull BOOT0 high and press reset" and said["modules by"].startswith("smp")
    assert "never run on silicon" in said["hardware"]


def test_a_board_with_usb_needs_no_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown("microbit", capsys)
    assert said["adapter"] == "none needed: USB 0d28:0204" and said["boot jumper"] == "none"
    assert "mcutool image" in said["bootloader"] and said["emulated"] == "yes; QEMU has microbit"


@pytest.mark.parametrize("board", devices.boards(), ids=lambda board: board.name)
def test_every_board_says_everything(board: devices.Board, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(board.name, capsys)
    assert all(said.values()) and str(board.chip.arena_size) in said["RAM"]
    assert main(["boards", board.name, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["console"]["tx"] and told["silicon"] is False and told["flash"] and told["ram"]
    if board.chip.has_runtime:
        assert told["flash"] > told["flash_free"] > 0 and told["ram"] > told["ram_free"] > 0
        assert told["led"]["active"] in ("high", "low")


def test_the_table_says_what_is_supported_and_how_far_it_was_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    titles = ("RUNTIME", "FLASHED BY", "EMULATED", "CHECKED IN QEMU AS", "RUN ON SILICON")
    starts = [head.index(title) for title in titles]
    cells = {line.split()[0]: [line[start:].split("  ")[0].strip() for start in starts] for line in lines}
    assert len(cells) == len(devices.boards())
    assert cells["stm32f405"] == ["yes", "an3155, smp", "yes", "netduinoplus2", "never"]
    assert cells["arduino-zero"] == ["not yet", "sam-ba, uf2", "its bootloader", "no", "never"]
