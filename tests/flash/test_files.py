"""Files that binutils, zig and a writer of UF2 made go to the right addresses of every chip, and of no other.

A small program (vectors, code, constants, initialised data) is linked for each chip by GNU ld and by zig's lld, and
converted by both objcopys.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from functools import cache
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mcutool import devices, flashfile, install
from mcutool.devices import Board, Chip, Loader, Span
from mcutool.errors import DoesNotFit, Error, UsageError, WrongChip
from mcutool.flash.fitness import check_file
from mcutool.flash.plan import plan
from mcutool.image.containers import Segment, to_intel_hex

PROGRAM = """
extern unsigned stack_top, data_load, data_start, data_end;
volatile unsigned counter = 0x12345678;
volatile unsigned table[40] = {1, 2, 3};
static const char text[300] = "constant";
void reset(void) {
    unsigned *from = &data_load;
    for (unsigned *to = &data_start; to < &data_end;) *to++ = *from++;
    for (;;) counter += text[counter & 7] + table[0];
}
__attribute__((section(".vectors"), used)) void *const vectors[16] = {&stack_top, reset, reset, reset};
"""
LINKER_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = BASE, LENGTH = 32K  RAM (rwx) : ORIGIN = RAM_BASE, LENGTH = RAM_SIZE }
ENTRY(reset)
stack_top = ORIGIN(RAM) + LENGTH(RAM);
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(4); } > FLASH
  .data : { data_start = .; *(.data*) . = ALIGN(4); data_end = .; } > RAM AT > FLASH
  .nothing : { . = .; } > FLASH
  data_load = LOADADDR(.data);
  /DISCARD/ : { *(.ARM.ex*) *(.comment*) }
}
"""
FLAGS = ("-O1", "-mthumb", "-ffreestanding", "-fno-builtin", "-nostdlib", "-Wno-main")
ZIG = (sys.executable, "-m", "ziglang")
LINKERS = {
    "gcc": ("arm-none-eabi-gcc", "-mcpu=cortex-CORE", *FLAGS),
    "zig": (*ZIG, "cc", "-target", "thumb-freestanding-eabi", "-mcpu=cortex_CORE", *FLAGS),
}
OBJCOPIES = {"gnu": ("arm-none-eabi-objcopy",), "zig": (*ZIG, "objcopy")}
FORMATS = {"hex": {"gnu": "ihex", "zig": "hex"}, "bin": {"gnu": "binary", "zig": "binary"}, "srec": {"gnu": "srec"}}

BOARDS = list({board.chip.name: board for board in devices.boards()}.values())
EVERY_CHIP = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.chip.name)
EVERY_LINKER = pytest.mark.parametrize("linker", LINKERS)


FOLDER = TemporaryDirectory(prefix="mcutool-files-")


def folder() -> Path:
    return Path(FOLDER.name)


def run(*words: str) -> None:
    subprocess.run(words, check=True, cwd=folder(), stderr=subprocess.DEVNULL)


@cache
def linked(linker: str, base: int, ram_base: int, ram_size: int, script: str = LINKER_SCRIPT, core: str = "m0") -> Path:
    """The program for a geometry and a core, an ELF file."""
    output = folder() / f"{linker}-{core}-{base:x}-{ram_base:x}-{ram_size:x}-{abs(hash(script)):x}.elf"
    for name, value in (("RAM_BASE", ram_base), ("RAM_SIZE", ram_size), ("BASE", base)):
        script = script.replace(name, hex(value))
    output.with_suffix(".ld").write_text(script)
    (folder() / "program.c").write_text(PROGRAM)
    command = [word.replace("CORE", core) for word in LINKERS[linker]]
    run(*command, f"-Wl,-T,{output.with_suffix('.ld')}", "program.c", "-o", str(output))
    return output


@cache
def converted(elf: Path, objcopy: str, kind: str) -> bytes:
    output = elf.with_suffix(f".{objcopy}.{kind}")
    run(*OBJCOPIES[objcopy], "-O", FORMATS[kind][objcopy], str(elf), str(output))
    return output.read_bytes()


def program(chip: Chip, linker: str, offset: int = 0) -> Path:
    ram = chip.main_ram
    return linked(linker, chip.flash.base + offset, ram.base, ram.size)


def uf2(segment: Segment, family: int = 0, flags: int = 0, count: int | None = None) -> list[bytes]:
    """The blocks of a UF2 file, after the text of its specification."""
    address, data = segment
    pieces = [data[at : at + 256] for at in range(0, len(data), 256)]
    return [
        struct.pack(
            "<IIIIIIII476sI", 0x0A324655, 0x9E5D5157, flags | (0x2000 if family else 0), address + 256 * number,
            len(piece), number, len(pieces) if count is None else count, family, piece, 0x0AB16F30,
        )
        for number, piece in enumerate(pieces)
    ]  # fmt: skip


def files(chip: Chip, linker: str, offset: int = 0) -> dict[str, bytes]:
    """The program in every format, by file name."""
    elf = program(chip, linker, offset)
    made = {f"{tool}.{kind}": converted(elf, tool, kind) for kind, tools in FORMATS.items() for tool in tools}
    whole = (chip.flash.base + offset, made["gnu.bin"])
    family = {"family.uf2": b"".join(uf2(whole, chip.uf2_family))} if chip.uf2_family else {}
    return {"f.elf": elf.read_bytes(), "f.uf2": b"".join(uf2(whole))} | family | made


def filled(segments: list[Segment], base: int) -> bytes:
    """The bytes from `base`; gaps hold 0, as in binutils' binaries."""
    contents = bytearray()
    for address, data in segments:
        contents += bytes(address - base - len(contents)) + data
    return bytes(contents)


def initial_data(elf: Path) -> tuple[int, bytes]:
    """Where readelf sees the initialised data loaded, and what they are."""
    text = subprocess.run(["arm-none-eabi-readelf", "-lW", str(elf)], capture_output=True, text=True, check=True).stdout
    for offset, virtual, physical, size in re.findall(r"LOAD +(0x\w+) (0x\w+) (0x\w+) (0x\w+)", text):
        if virtual != physical:
            start = int(offset, 16)
            return int(physical, 16), elf.read_bytes()[start : start + int(size, 16)]
    raise AssertionError("no segment of data")


# --- the right addresses ----------------------------------------------------------------------------------------------


@EVERY_CHIP
@EVERY_LINKER
def test_every_format_goes_to_the_chips_flash(board: Board, linker: str) -> None:
    base, elf = board.chip.flash.base, program(board.chip, linker)
    wanted, (data_address, data) = converted(elf, "gnu", "bin"), initial_data(elf)
    assert data.find(bytes.fromhex("78563412")) >= 0 and wanted[data_address - base :].startswith(data)
    for name, contents in files(board.chip, linker).items():
        segments = check_file(board, None, name, contents)
        assert segments[0][0] == base, name
        assert filled(segments, base) == wanted, name


WITH_OFFSET = [(board, loader) for board in devices.boards() for loader in board.loaders if loader.offset]


@pytest.mark.parametrize(("board", "loader"), WITH_OFFSET, ids=lambda x: getattr(x, "name", "") or x.protocol)
def test_behind_a_bootloader_a_program_begins_where_the_bootloader_puts_it(board: Board, loader: Loader) -> None:
    begin = board.chip.flash.base + loader.offset
    for name, contents in files(board.chip, "gcc", loader.offset).items():
        assert check_file(board, loader, name, contents)[0][0] == begin, name
    for name, contents in files(board.chip, "gcc").items():
        with pytest.raises(DoesNotFit, match="where the board's bootloader lies") as caught:
            check_file(board, loader, name, contents)
        assert f"link the program for {begin:#010x}" in caught.value.next_action, name


@pytest.mark.parametrize("board", devices.runtime_boards(), ids=lambda board: board.name)
def test_our_own_runtime_is_for_its_board(board: Board) -> None:
    parts = flashfile.contents(board, bytes(100))
    for suffix in flashfile.SUFFIXES:
        segments = check_file(board, None, "f" + suffix, flashfile.encode(board, parts, suffix))
        assert segments[0][0] == board.chip.flash.base, suffix


# --- the wrong chip ---------------------------------------------------------------------------------------------------


def suits(program_of: Chip, chip: Chip) -> bool:
    """Whether nothing in a plain file tells that it is for another chip: same flash, and a stack in this one's RAM."""
    stack = program_of.main_ram.base + program_of.main_ram.size
    in_ram = any(ram.base < stack <= ram.base + ram.size for ram in chip.ram)
    return program_of.flash.base == chip.flash.base and in_ram


@pytest.mark.parametrize(("other", "board"), list(permutations(BOARDS, 2)), ids=lambda board: board.chip.name)
def test_another_chips_file_is_refused(other: Board, board: Board) -> None:
    """As far as it can be known: by its addresses, where its stack is, and its UF2 family."""
    for name, contents in files(other.chip, "gcc").items():
        of_family = name == "family.uf2" and other.chip.uf2_family != board.chip.uf2_family
        if suits(other.chip, board.chip) and not of_family:
            assert check_file(board, None, name, contents)
            continue
        with pytest.raises(WrongChip) as caught:
            check_file(board, None, name, contents)
        assert caught.value.next_action, name


CORES = ("m0", "m3", "m4", "m33")
RUNS = {"armv6-m": 1, "armv7-m": 2, "armv7e-m": 3, "armv8-m.main": 4}  # how many of them


@EVERY_CHIP
@EVERY_LINKER
def test_an_elf_for_a_core_with_more_instructions_is_refused(board: Board, linker: str) -> None:
    ram, runs = board.chip.main_ram, RUNS[board.chip.core.architecture]
    for core in CORES[runs - 1 : runs]:
        elf = linked(linker, board.chip.flash.base, ram.base, ram.size, core=core)
        assert check_file(board, None, "f.elf", elf.read_bytes())
    for core in CORES[runs : runs + 1]:
        data = linked(linker, board.chip.flash.base, ram.base, ram.size, core=core).read_bytes()
        with pytest.raises(WrongChip, match=f"compiled for armv.*; the {board.chip.core.name} of .* is armv") as caught:
            check_file(board, None, "f.elf", data)
        assert "-mcpu=" in caught.value.next_action and "--address" in caught.value.next_action
        assert check_file(board, None, "f.elf", data, board.chip.flash.base)


def test_both_families_are_named() -> None:
    blocks = b"".join(uf2((0x1000_0000, bytes(300)), 0xE48BFF56))
    with pytest.raises(WrongChip, match="x.uf2 is for RP2040, not for STM32F4"):
        check_file(devices.board("stm32f405"), None, "x.uf2", blocks)
    with pytest.raises(WrongChip, match="for RP2040, a chip that has no UF2 family"):
        check_file(devices.board("microbit"), None, "x.uf2", blocks)


FAMILIES = {"stm32f4": 0x57755A57, "stm32f1": 0x5EE21072, "nrf52840": 0xADA52840, "samd21": 0x68ED2B88,
            "rp2040": 0xE48BFF56}  # fmt: skip


@EVERY_CHIP
def test_a_chips_family_is_that_of_microsofts_list(board: Board) -> None:
    wanted = [family for name, family in FAMILIES.items() if board.chip.name.startswith(name)]
    assert board.chip.uf2_family == (wanted[0] if wanted else 0)


def test_a_file_for_other_addresses_names_the_boards_that_have_them() -> None:
    stm32, nrf = devices.board("stm32f405"), devices.board("nrf52840dk")
    with pytest.raises(WrongChip, match="f.hex is for 0x08000000 to .* flash of nrf52840dk is 0x00000000") as caught:
        check_file(nrf, None, "f.hex", files(stm32.chip, "gcc")["gnu.hex"])
    assert "stm32f405" in caught.value.next_action


def test_a_program_that_runs_from_ram_is_told_of() -> None:
    data = to_intel_hex([(0x2000_0000, bytes(100))])
    with pytest.raises(WrongChip, match="is for 0x20000000 to 0x20000063, where it has RAM; the flash of stm32f405"):
        check_file(devices.board("stm32f405"), None, "f.hex", data)


# --- settings beside flash --------------------------------------------------------------------------------------------

WITH_SETTINGS = [(board, board.chip.flash.settings[0].base) for board in BOARDS if board.chip.flash.settings]


def with_settings(board: Board, address: int, size: int = 16) -> bytes:
    """The program as a HEX file for a probe: with the chip's settings."""
    begin = board.chip.flash.base
    return to_intel_hex([(begin, files(board.chip, "gcc")["gnu.bin"]), (address, bytes(range(size)))])


@pytest.mark.parametrize(("board", "address"), WITH_SETTINGS, ids=lambda x: getattr(x, "name", ""))
def test_settings_go_through_a_debug_probe_alone(board: Board, address: int, tmp_path: Path) -> None:
    file = tmp_path / "f.hex"
    file.write_bytes(with_settings(board, address + 0xC0))
    job = install.prepare(board, str(file), runtime=False, protocol="drive")
    assert job.order and job.order.segments[-1] == (address + 0xC0, bytes(range(16)))
    assert job.order.plan.size == len(files(board.chip, "gcc")["gnu.bin"])
    assert f"\nsettings at {address + 0xC0:#010x}: write 16" in job.describe()
    others = [None, Loader("uf2"), *(loader for loader in board.loaders if loader.protocol not in ("drive", "mcuboot"))]
    for loader in others:
        with pytest.raises(DoesNotFit, match="which only a debug probe writes") as caught:
            check_file(board, loader, "f.hex", file.read_bytes())
        assert "debug probe" in caught.value.next_action


@pytest.mark.parametrize(("board", "address"), WITH_SETTINGS, ids=lambda x: getattr(x, "name", ""))
def test_what_is_neither_flash_nor_settings_does_not_fit(board: Board, address: int, tmp_path: Path) -> None:
    size, file = board.chip.flash.settings[0].size, tmp_path / "f.hex"
    for start, length in ((address - 4, 4), (address - 4, 8), (address + size - 4, 8), (address + size, 4)):
        file.write_bytes(with_settings(board, start, length))
        with pytest.raises(DoesNotFit, match=f"{length} bytes at {start:#010x} do not fit"):
            install.prepare(board, str(file), runtime=False, protocol="drive")


def test_settings_do_not_go_through_a_bootloader_with_a_part_of_flash(tmp_path: Path) -> None:
    file, board = tmp_path / "f.hex", devices.board("nrf52840dk")
    file.write_bytes(to_intel_hex([(0xC000, bytes(100)), (0x1000_10C0, bytes(16))]))
    with pytest.raises(DoesNotFit, match="16 bytes at 0x100010c0 do not fit"):
        install.prepare(board, str(file), runtime=False, protocol="mcuboot")


def test_a_plan_tells_what_it_erases_in_front_of_a_file() -> None:
    chip = F405.chip
    whole = Span(0, chip.flash.size)
    (line,) = str(plan(chip.flash, whole, [(BASE + 0x1_8000, b"abcd")])).splitlines()
    assert line == (
        "sector   4 at 0x08010000: erase 65536 bytes, write 32772; the 32768 bytes before 0x08018000 are erased too"
    )
    first, second = str(plan(chip.flash, whole, [(BASE + 0x1_C000, bytes(0x8000))])).splitlines()
    assert first.endswith("; the 49152 bytes before 0x0801c000 are erased too") and "before" not in second
    assert "before" not in str(plan(chip.flash, whole, [(BASE, b"abcd"), (BASE + 0x100, b"abcd")]))


# --- the user's word --------------------------------------------------------------------------------------------------

F405 = devices.board("stm32f405")
BASE = F405.chip.flash.base


def foreign_stack() -> dict[str, bytes]:
    """A program whose stack is in a RAM that this chip has not."""
    elf = linked("gcc", BASE, 0x3000_0000, 0x1000)
    return {"f.elf": elf.read_bytes()} | {f"f.{kind}": converted(elf, "gnu", kind) for kind in FORMATS}


@pytest.mark.parametrize("name", foreign_stack())
def test_an_address_overrides_the_vector_table(name: str) -> None:
    contents = foreign_stack()[name]
    with pytest.raises(WrongChip, match="wants its stack below 0x30001000") as caught:
        check_file(F405, None, name, contents)
    assert "--address" in caught.value.next_action
    assert check_file(F405, None, name, contents, BASE)[0][0] == BASE


def test_an_address_that_the_file_contradicts_is_refused() -> None:
    with pytest.raises(UsageError, match="begins at 0x08000000, not at 0x08004000"):
        check_file(F405, None, "f.hex", files(F405.chip, "gcc")["gnu.hex"], BASE + 0x4000)


def test_a_binary_of_something_else_needs_an_address() -> None:
    for contents in (bytes(range(256)), b"", b"abc", bytes(1000), b"\xff" * 1000):
        with pytest.raises(UsageError) as caught:
            check_file(F405, None, "f.bin", contents)
        assert caught.value.exit_code == 2
    assert check_file(F405, None, "f.bin", b"abc", BASE + 0x8000) == [(BASE + 0x8000, b"abc")]


def test_a_binary_that_was_linked_for_another_place_is_refused() -> None:
    moved = converted(program(F405.chip, "gcc", 0x1_0000), "gnu", "bin")
    with pytest.raises(WrongChip, match="starts at 0x0801.*, which it would not hold") as caught:
        check_file(F405, None, "f.bin", moved)
    assert "--address" in caught.value.next_action
    assert check_file(F405, None, "f.bin", moved, BASE + 0x1_0000)


def test_a_vector_table_may_lie_behind_a_second_stage_of_booting() -> None:
    """As on an RP2040."""
    moved, stage = converted(program(F405.chip, "gcc", 0x100), "gnu", "bin"), bytes(range(256))
    assert check_file(F405, None, "f.bin", stage + moved) == [(BASE, stage + moved)]
    foreign = converted(linked("gcc", BASE + 0x100, 0x3000_0000, 0x1000), "gnu", "bin")
    with pytest.raises(WrongChip, match="wants its stack"):
        check_file(F405, None, "f.hex", to_intel_hex([(BASE, stage + foreign)]))


@EVERY_LINKER
def test_data_without_a_place_in_flash_are_refused(linker: str) -> None:
    elf = linked(linker, BASE, 0x2000_0000, 0x2_0000, LINKER_SCRIPT.replace(" AT > FLASH", ""))
    with pytest.raises(DoesNotFit, match="at 0x20000000 do not fit into flash: that is RAM") as caught:
        check_file(F405, None, "f.elf", elf.read_bytes())
    assert "RAM AT > FLASH" in caught.value.next_action


def test_a_file_that_was_cut_off_is_refused() -> None:
    """A binary goes as far as it goes; another may have lost what is not for the chip, such as a last line's end."""
    for name, contents in files(F405.chip, "gcc").items():
        whole = filled(check_file(F405, None, name, contents), BASE)
        for length in range(0, len(contents), max(len(contents) // 50, 1)):
            try:
                segments = check_file(F405, None, name, contents[:length])
            except Error as error:
                assert error.next_action and error.exit_code in (2, 7), (name, length)
            else:
                assert name.endswith(".bin") or filled(segments, BASE) == whole, (name, length)
