"""The Raspberry Pi Pico: its second stage bootloader, flash work while flash cannot be read, and files for its drive.

Emulated, like everything here: the boot ROM's part is a model after the datasheet.
"""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from firmware_runtime import build
from mcutool import devices
from mcutool.cli import main
from mcutool.emulator.drives import Uf2Bootloader
from mcutool.emulator.machine import Machine, Reason
from mcutool.errors import Error
from mcutool.flash.protocols import smp
from mcutool.image import boot2, state
from mcutool.image.containers import read_segments, to_uf2
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.firmware.test_build import symbols

BOARD = devices.board("pico")
CHIP = BOARD.chip
FLASH = CHIP.flash
SECTOR, PAGE = 0x1000, 0x100
SLOT = CHIP.map.slot.offset
RECORD = len(state.installed(0, CHIP.images))
ALLOW_INTERRUPTS = b"\x62\xb6\x70\x47"  # cpsie i; bx lr
LED, TX, RX = 25, 0, 1
Change = Callable[[str, int, bytes], bytes]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hello.wasm"


@pytest.fixture
def elf(firmware: Path) -> Path:
    return firmware / "pico.elf"


@pytest.fixture
def board(elf: Path) -> Emulated:
    """After its start."""
    emulated = Emulated(BOARD, elf, None)
    emulated.expect(b"[no program: there is no image]\r\n")
    return emulated


def reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


# --- The start --------------------------------------------------------------------------------------------------------


def test_the_second_stage_bootloader_has_its_checksum(elf: Path) -> None:
    """CRC-32/MPEG-2, by zlib's, which takes bits in the other order and inverts the result."""
    flash = read_segments("elf", elf.read_bytes())[0][1]
    turned = zlib.crc32(bytes(reversed_bits(byte, 8) for byte in flash[:252])) ^ 0xFFFFFFFF
    assert flash[252:256] == reversed_bits(turned, 32).to_bytes(4, "little")
    assert symbols(elf)["vectors"] == FLASH.base + 0x100


def test_a_second_stage_bootloader_that_is_too_long_does_not_link(tmp_path: Path) -> None:
    """The checksum stands in its bytes 252 to 255."""
    more = tmp_path / "more.c"
    more.write_text('__attribute__((section(".boot2"), used)) const char more[200];')
    with pytest.raises(Error, match="the second stage bootloader reaches into its checksum"):
        build.link(BOARD, tmp_path / "x.elf", [*build.firmware_sources(BOARD), str(more)], [])


@pytest.mark.parametrize("place", [0, 251, 252, 255])
def test_the_rom_starts_nothing_whose_checksum_is_wrong(elf: Path, place: int) -> None:
    machine = Machine(BOARD, elf)
    machine.flash.load(place, bytes([machine.flash[place : place + 1][0] ^ 1]))
    assert machine.run_for(0.01) is Reason.LOCKUP and "shows its drive" in machine.lockup
    assert machine.instructions == 0


def test_flash_cannot_be_read_before_the_ssi_knows_how(elf: Path) -> None:
    """Without the store that enables the SSI, the second stage bootloader fails where it reads the vectors."""
    machine = Machine(BOARD, elf)
    stage = machine.flash[:256]
    enable = stage.index(bytes.fromhex("11 60"), stage.index(bytes.fromhex("01 21")))  # movs r1, #1; str r1, [r2]
    machine.flash.load(0, boot2.sealed(stage[:enable] + b"\xc0\x46" + stage[enable + 2 :]))
    assert machine.run_for(0.01) is Reason.LOCKUP and 0 < machine.instructions < 50


def peripheral(machine: Machine, address: int) -> int:
    return machine._read_peripheral(address, 4)


def test_pins_and_clocks_are_what_console_and_light_need(board: Emulated) -> None:
    machine = board.machine
    board.client.install(programs.blinks(1))
    board.client.reset()
    board.expect(b"[exit 0]")
    functions = {pin: peripheral(machine, 0x40014004 + 8 * pin) & 0x1F for pin in (TX, RX, LED)}
    assert functions == {TX: 2, RX: 2, LED: 5}
    receiver, light = (peripheral(machine, 0x4001C004 + 4 * pin) for pin in (RX, LED))
    assert receiver & 1 << 6 and receiver & 1 << 3 and not light & 1 << 7  # input with a pull-up; output not disabled
    assert not peripheral(machine, 0x4000C000) & (1 << 5 | 1 << 8 | 1 << 22)  # IO_BANK0, PADS_BANK0, UART0
    assert peripheral(machine, 0x40008038) == 1 << 2 and peripheral(machine, 0x40024000) >> 12 == 0xFAB  # crystal > ref
    assert peripheral(machine, 0x40008044) == 1 << 1 and peripheral(machine, 0x40008048) == 1 << 11  # PLL > sys > UART
    factor, dividers = peripheral(machine, 0x40028008), peripheral(machine, 0x4002800C)
    assert 12e6 * factor / (dividers >> 16 & 7) / (dividers >> 12 & 7) == CHIP.uart.clock and 750 <= 12 * factor <= 1600
    assert abs(machine.uart.baud() / CHIP.uart.default_baud - 1) < 0.002


# --- Flash work -------------------------------------------------------------------------------------------------------


def test_what_runs_while_flash_cannot_be_read_lies_in_ram(elf: Path) -> None:
    """No branch leaves the section, and no constant of it is an address in flash."""
    code = next(ram for ram in CHIP.ram if ram.use == "code")
    with elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".ramcode")
        first, data = section["sh_addr"], section.data()
    assert code.base <= first < first + len(data) <= code.base + code.size - 256  # where the ROM puts the bootloader
    command = ["arm-none-eabi-objdump", "-d", "-j", ".ramcode", "--no-show-raw-insn", str(elf)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    targets = [int(target, 16) for target in re.findall(r"\tb\S*\t([0-9a-f]{8}) ", listing)]
    assert targets and all(first <= target < first + len(data) for target in targets)
    words = [int(word, 16) for word in re.findall(r"\.word\t0x([0-9a-f]{8})", listing)]
    assert words and not [word for word in words if 0 <= word - FLASH.base < FLASH.size]


def test_a_handler_in_flash_cannot_run_meanwhile(elf: Path) -> None:
    """When interrupts are not switched off, bytes that come while a sector is erased bring the core down."""
    board = Emulated(BOARD, elf, None)
    machine = board.machine
    mask = machine.firmware.symbols["platform_mask"]
    machine.flash.load(mask.address - FLASH.base, ALLOW_INTERRUPTS)
    board.expect(b"[no program: there is no image]\r\n")
    machine.flash.before_change = receiving(machine)
    board.client.send(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, **smp.upload_chunk(programs.adds(), 0, 400))
    assert machine.run_for(1.0) is Reason.LOCKUP and "HardFault" in machine.lockup


def receiving(machine: Machine) -> Change:
    """Bytes come whenever the flash is changed."""

    def feed(kind: str, offset: int, data: bytes) -> bytes:
        machine.uart.feed(b"\n" * 8)
        return data

    return feed


def test_bytes_that_come_meanwhile_wait(board: Emulated) -> None:
    board.machine.flash.before_change = receiving(board.machine)
    board.client.install(programs.writes(b"uploaded\n", 3))
    board.machine.flash.before_change = lambda kind, offset, data: data
    board.client.reset()
    board.expect(b"uploaded\n\r\n[exit 3]\r\n")


def test_work_takes_the_time_of_the_flash(board: Emulated) -> None:
    """Of two sectors and a page more, and of the record, whose words are written one by one; the rest is the firmware's
    own time, most of it for the line."""
    image = (programs.writes(b"x", 0) + bytes(range(1, 256)) * 40)[: 2 * SECTOR + PAGE]
    began = board.now()
    board.client.upload(image)
    assert board.machine.flash.wear == {CHIP.map.state.offset: 1, SLOT: 1, SLOT + SECTOR: 1, SLOT + 2 * SECTOR: 1}
    pages, words = board.machine.flash.operations - 4, RECORD // 4
    work = 4 * (0.045 + 0.000098) + pages * (0.0004 + 0.0001 + 0.000098)  # each time out of reading and back
    assert 33 + words <= pages <= 33 + 2 * 10 + words and work < board.now() - began < work + 0.1
    board.close()


@pytest.mark.parametrize("size", [100, 128, 333])
def test_pages_are_filled_part_after_part(board: Emulated, size: int) -> None:
    """Messages shorter than a page, as on a bad line; what is in flash afterwards is the image."""
    image = programs.writes(b"in parts\n", 4) + b"\xff" * 70 + bytes(range(256)) + b"odd"
    offset = 0
    while offset < len(image):
        chunk = smp.upload_chunk(image, offset, size)
        reply = board.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **chunk)
        assert reply["off"] > offset
        offset = reply["off"]
    assert reply["match"] is True and board.machine.flash[SLOT : SLOT + len(image)] == image
    board.close()  # nothing was programmed that had not been erased
    board.client.activate(board.client.images()[0]["hash"])
    board.client.reset()
    board.expect(b"in parts\n\r\n[exit 4]\r\n")


def test_a_reset_in_the_middle_of_flash_work_leaves_a_board_that_answers(board: Emulated) -> None:
    machine = board.machine

    def pull_the_pin(kind: str, offset: int, data: bytes) -> bytes:
        machine.reset()
        return data

    machine.flash.before_change = pull_the_pin
    board.client.send(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, **smp.upload_chunk(programs.adds(), 0, 400))
    board.expect(b"bytes for modules\r\n", times=2)
    machine.flash.before_change = lambda kind, offset, data: data
    board.client.install(programs.writes(b"again\n", 0))
    board.client.reset()
    board.expect(b"again\n\r\n[exit 0]\r\n")


# --- Files for the drive ----------------------------------------------------------------------------------------------


def copy_to_drive(console: Emulated, folder: Path, file: bytes) -> None:
    """Until the ROM has all blocks and starts the program."""
    drive = Uf2Bootloader(folder, BOARD, BOARD.loader[0], console.machine.flash, by_number=True)
    drive.on_start = console.machine.reset
    drive.show()
    (folder / "x.uf2").write_bytes(file)
    drive.poll()
    assert drive.started


def used_chip() -> Emulated:
    """A board with something else all over its flash."""
    console = Emulated(BOARD, None, None)
    console.machine.flash.load(0, b"\x5a\xa5" * (FLASH.size // 2))
    return console


def test_a_file_copied_to_the_drive_runs(tmp_path: Path) -> None:
    file = tmp_path / "x.uf2"
    assert main(["image", str(EXAMPLE), "--board", "pico", "-o", str(file)]) == 0
    console = used_chip()
    copy_to_drive(console, tmp_path / "RPI-RP2", file.read_bytes())
    assert b"Hello from 32-bit WebAssembly!" in console.expect(b"[exit 0]")
    console.close()
    assert not console.machine.unmodelled


def test_the_drive_needs_whole_sectors(elf: Path, tmp_path: Path) -> None:
    """Why `image` fills them: without that the ROM erases what it has written, or does not erase what it writes."""
    (start, runtime), *_ = read_segments("elf", elf.read_bytes())
    segments = [(start, runtime[: 14 * SECTOR + 3 * PAGE]), (CHIP.slot_address, programs.writes(b"x", 0) * 20)]
    console = used_chip()
    copy_to_drive(console, tmp_path / "RPI-RP2", to_uf2(segments, CHIP.uf2_family))
    held = console.machine.flash[SLOT : SLOT + len(segments[-1][1])]
    assert held != segments[-1][1] and console.machine.flash.violations


def test_the_module_begins_where_the_description_says(elf: Path) -> None:
    with elf.open("rb") as file:
        addresses = [segment["p_paddr"] for segment in ELFFile(file).iter_segments() if segment["p_filesz"]]
    assert min(addresses) == FLASH.base and struct.pack("<I", CHIP.slot_address) in elf.read_bytes()
