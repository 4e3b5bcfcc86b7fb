"""Descriptions of hardware: the ones we have are sound, and each named check refuses what it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcutool import devices
from mcutool.devices import CHECKS, Board, Chip, ControlLines, Core, DescriptionError, FlashMap, Loader, Sectors, Span
from mcutool.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
F405 = devices.chip("stm32f405")
BOARD = devices.board("stm32f405")


def test_every_file_is_used_and_named_as_what_it_describes() -> None:
    chips = {path.stem for path in (ROOT / "targets" / "chips").glob("*.toml")}
    cores = {path.stem for path in (ROOT / "targets" / "cores").glob("*.toml")}
    assert {board.chip.name for board in devices.boards()} == chips
    assert {board.chip.core.name for board in devices.boards()} == cores
    assert len({board.name for board in devices.boards()}) == len(devices.boards())


def remapped(**spans: Span) -> Chip:
    return replace(F405, map=replace(F405.map, **spans))


BROKEN: dict[str, Any] = {
    "architecture_is_known": replace(F405.core, architecture="armv9-m"),
    "dispatch_suits_the_core": replace(F405.core, dispatch="goto"),
    "fpu_suits_the_architecture": replace(F405.core, architecture="armv7-m"),
    "sectors_cover_the_flash": replace(F405, flash=replace(F405.flash, sectors=(Sectors(0x4000, 4),))),
    "map_starts_with_the_runtime": remapped(runtime=Span(0x4000, 0x4000)),
    "map_is_in_flash": remapped(slot=Span(0xE0000, 0x40000)),
    "map_has_no_overlap": remapped(state=Span(0x0C000, 0x34000)),
    "map_is_in_whole_sectors": remapped(state=Span(0x10000, 0x8000)),
    "state_is_two_areas": remapped(state=Span(0x10000, 0x10000)),
    "images_are_counted": replace(F405, images=0),
    "rams_have_no_overlap": replace(F405, ram=F405.ram * 2),
    "ram_map_fits": replace(F405, ram_map={"c_stack": 1 << 20}),
    "runtime_has_its_maps": replace(F405, port=""),
    "arena_is_left": replace(F405, ram_map={"c_stack": F405.ram[0].size}),
    "interrupts_exist": replace(F405, irqs=1),
    "led_polarity_is_known": replace(BOARD, led=devices.Led(1, "bright", "PA1")),
    "led_hangs_on_the_chip": replace(BOARD, chip=replace(F405, gpio=None)),
    "console_reaches_the_pc": replace(BOARD, console=replace(BOARD.console, adapter="")),
    "bootloader_can_be_entered": replace(BOARD, boot_jumper=""),
    "loaders_begin_with_a_sector": replace(BOARD, loader=(Loader("uf2", offset=1, enter="press reset twice"),)),
    "loaders_can_be_entered": replace(BOARD, loader=(Loader("uf2"),)),
    "control_lines_are_understood": replace(BOARD, control_lines=ControlLines(reset=("dtr up",))),
    "usb_identities_are_hexadecimal": replace(BOARD, usb=("D28:204",)),
    "grants_are_known": replace(BOARD, grants=("gpio", "always")),
}


@pytest.mark.parametrize("check", [check for kind in CHECKS for check in CHECKS[kind]], ids=lambda c: c.__name__)
def test_each_check_says_what_for_passes_what_we_have_and_refuses_what_is_broken(check: Any) -> None:
    broken = BROKEN[check.__name__]
    sound = {Core: F405.core, Chip: F405, Board: BOARD}[type(broken)]
    assert check.__doc__ and check(sound) == "" and check(broken)


def test_slots_begin_and_end_inside_flash() -> None:
    assert F405.slot_address == 0x0804_0000
    assert F405.state_areas == (Span(0x10000, 0x10000), Span(0x20000, 0x20000))
    assert [sector.size for sector in F405.slot_sectors] == [0x20000] * 6
    assert [span.size for span in F405.flash.sector_spans()][:5] == [0x4000] * 4 + [0x10000]
    assert isinstance(F405.map, FlashMap) and F405.map.slot.end == F405.flash.size


def test_console_and_light_of_an_stm32_are_called_what_they_are() -> None:
    """Pin numbers count from PA0 through all ports, 16 to a port."""
    checked = 0
    for board in devices.runtime_boards():
        chip, console = board.chip, board.console
        if chip.port.startswith("stm32"):
            names = [(console.tx, chip.uart.tx), (console.rx, chip.uart.rx)]
            names += [(board.led.name.partition(",")[0], board.led.pin)] if board.led else []
            assert names == [(f"P{chr(ord('A') + pin // 16)}{pin % 16}", pin) for _, pin in names]
            assert chip.gpio and all(name[1] in chip.gpio.ports for name, _ in names)
            checked += 1
    assert checked >= 5


def test_what_needs_no_other_adapter_comes_first() -> None:
    """The ROM of the Nucleo listens on other pins than those of its console, which is on the debugger's USB."""
    nucleo = devices.board("nucleo-f446re")
    assert [loader.protocol for loader in nucleo.loaders] == ["drive", "an3155"] and not nucleo.rom_is_on_the_console
    assert BOARD.rom_is_on_the_console and BOARD.loaders[0].protocol == "an3155"
    assert not devices.board("microbit").rom_is_on_the_console


CORE = 'name = "x"\narchitecture = "armv6-m"\ngcc_flags = []\nunicorn_model = "m"\nfpu = false\ndispatch = "goto"\n'


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('"x"', "1", "name: expected str, found 1"),
        ("[]", "1", "gcc_flags: expected tuple, found 1"),
        ("name", "nam", "unknown key 'nam'"),
        ("fpu = false\n", "", "'fpu' is missing"),
        (CORE, 'name = "x"', "'architecture', 'gcc_flags', 'unicorn_model', 'fpu', 'dispatch' are missing"),
        ('"x"', "", "Invalid value"),
        ("armv6-m", "armv9", "architecture_is_known: 'armv9' is none of"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(right: str, wrong: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "cores").mkdir()
    path = tmp_path / "cores" / "core.toml"
    path.write_text(CORE.replace(right, wrong), encoding="utf-8")
    with pytest.raises(DescriptionError, match=f"^cores/core.toml: {complaint}") as caught:
        devices._load(Core, path, {})
    assert caught.value.next_action


def test_a_board_of_an_unknown_chip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('name = "x"\nchip = "stm32f40x"\n', encoding="utf-8")
    with pytest.raises(DescriptionError, match="board.toml: no chip is called 'stm32f40x'") as caught:
        devices._load(Board, path, {"chip": devices.chip})
    assert "did you mean stm32f405?" in caught.value.next_action


def test_an_unknown_board_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        devices.board("nosuch")
    assert "stm32f405" in caught.value.next_action
