"""The ports on emulated boards: clock, light, and what a fault of the firmware leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutool import devices
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.firmware.test_build import symbols

NAMES = [board.name for board in devices.runtime_boards()]
UNDEFINED = b"\x00\xde"  # UDF #0


def emulated(firmware: Path, name: str, image: Path | None = None) -> Emulated:
    return Emulated(devices.board(name), firmware / f"{name}.elf", image)


@pytest.mark.parametrize("milliseconds", [1, 250, 3000])
@pytest.mark.parametrize("name", NAMES)
def test_the_light_is_on_for_as_long_as_the_program_says(
    firmware: Path, tmp_path: Path, name: str, milliseconds: int
) -> None:
    """3 seconds are several periods of a 24-bit counter."""
    (tmp_path / "image.mcu").write_bytes(programs.blinks(milliseconds))
    board = emulated(firmware, name, tmp_path / "image.mcu")
    led = devices.board(name).led
    changes: list[tuple[float, bool]] = []

    def note(pin: int, level: int) -> None:
        if led and pin == led.pin:
            changes.append((board.now(), bool(level) == (led.active == "high")))

    board.machine.pins.on_change = note
    board.expect(b"[exit 0]")
    (on, was_on), (off, was_off) = changes[-2:]
    assert was_on and not was_off
    assert milliseconds <= (off - on) * 1000 <= milliseconds + 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_of_the_firmware_restarts_it(firmware: Path, name: str) -> None:
    """A request meets an instruction that does not exist."""
    board = emulated(firmware, name)
    board.expect(b"[no program: there is no image]\r\n")
    place = (symbols(firmware / f"{name}.elf")["smp_image_state"] & ~1) - devices.board(name).chip.flash.base
    board.machine.flash.load(place, UNDEFINED)
    board.client.send(0, 1, 0)
    board.expect(b"[the firmware had a fault]\r\n[no program: there is no image]\r\n")
    assert board.client.echo("well again") == "well again"
