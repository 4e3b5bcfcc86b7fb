"""Boards that show a drive: the emulated ones take what is copied to them, or say why not.

The drives live in threads, in folders of their own. A drive that vanishes is a folder that does, so what
a real one does to an open file is told by a file system that fails.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutool import devices, flashfile, install
from mcutool.cli import main
from mcutool.devices import Board, Loader
from mcutool.emulator.drives import DapLink, Mps2Controller, Uf2Bootloader, Unplugged, running
from mcutool.emulator.flash import FlashArray
from mcutool.emulator.machine import Machine
from mcutool.emulator.serve import serve
from mcutool.errors import (
    Disconnected,
    DoesNotFit,
    NoAnswer,
    NoPort,
    PermissionDenied,
    UsageError,
    VerificationFailed,
    WriteFailed,
    WrongChip,
)
from mcutool.flash import volumes
from mcutool.flash.drivers import drive
from mcutool.flash.drivers.drive import Drive, Mps2Drive, ProbeDrive, Uf2Drive, edited, uf2_pieces, uf2_steps
from mcutool.flash.engine import Outcome
from mcutool.flash.link import SerialLink
from mcutool.flash.plan import Order, plan
from mcutool.image.containers import Segment, read_segments, to_intel_hex
from mcutool.progress import Progress, ignore

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello.wasm"
KIB = 1024
VECTORS = bytes.fromhex("0010002041200000") + bytes(range(8, 256))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("POLL", 0.002), ("GOING", 0.1), ("RETURN", 0.1), ("SETTLING", 0.3)):
        monkeypatch.setattr(drive, name, seconds)
    monkeypatch.setattr(os, "fsync", lambda _file: None)  # of a disk, which takes its time


def loader_of(board: Board, protocol: str) -> Loader:
    return next(loader for loader in board.loaders if loader.protocol == protocol)


ZERO = devices.board("arduino-zero")
ZERO_LOADER = loader_of(ZERO, "uf2")
PICO = devices.board("pico")
PICO_LOADER = loader_of(PICO, "uf2")
UF2_BOARDS = pytest.mark.parametrize(
    ("board", "loader"), [(ZERO, ZERO_LOADER), (PICO, PICO_LOADER)], ids=("arduino-zero", "pico")
)


def order(board: Board, loader: Loader, *segments: Segment) -> Order:
    """An order for segments whose addresses count from where the loader writes."""
    begin = board.chip.flash.base + loader.offset
    placed = tuple((begin + offset, data) for offset, data in segments)
    region = devices.Span(loader.offset, board.chip.flash.size - loader.offset)
    return Order(board, loader, "f.hex", b"", placed, plan(board.chip.flash, region, placed))


def program(length: int, seed: int = 1) -> bytes:
    return VECTORS + bytes((seed * number * number >> 3) & 0xFF for number in range(length - len(VECTORS)))


def flash_of(board: Board, contents: bytes = b"") -> FlashArray:
    size = board.chip.flash.size
    cells = bytearray(contents.ljust(size, b"\xff"))

    def write(offset: int, data: bytes) -> None:
        cells[offset : offset + len(data)] = data

    return FlashArray(lambda offset, length: bytes(cells[offset : offset + length]), write, size)


def holds(flash: FlashArray, wanted: Order) -> bool:
    base = wanted.board.chip.flash.base
    return all(flash[at - base : at - base + len(data)] == data for at, data in wanted.segments)


def bootloader(folder: Path, board: Board, loader: Loader, contents: bytes = b"") -> Uf2Bootloader:
    return Uf2Bootloader(folder, board, loader, flash_of(board, contents), by_number=board is PICO)


# --- UF2 bootloaders --------------------------------------------------------------------------------------------------


@UF2_BOARDS
@pytest.mark.parametrize("segments", [[(0, 5000)], [(0, 300), (9 * KIB, 700), (40 * KIB, 10_000)]], ids=("one", "gaps"))
def test_a_uf2_bootloader_takes_all_and_starts(
    board: Board, loader: Loader, segments: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Over an old program, whose rest in the sectors that are written is gone."""
    device = bootloader(tmp_path, board, loader, b"\x55" * board.chip.flash.size)
    wanted = order(board, loader, *((offset, program(length)) for offset, length in segments))
    told: list[Progress] = []
    with running(device):
        outcome = Uf2Drive(tmp_path, board, loader).install(wanted, False, told.append)
    assert device.started and holds(device.flash, wanted) and device.flash.violations == []
    assert "not by reading back" in outcome.verified and outcome.bytes == wanted.plan.size
    assert [p.stage for p in told] == ["copy"] * len(told) and told[-1].done == told[-1].total > 0
    assert device.flash[: loader.offset] == b"\x55" * loader.offset
    first = wanted.plan.sectors[0]
    start = first.address - board.chip.flash.base
    assert set(device.flash[start + len(first.data) : start + first.size]) <= {0xFF}


@UF2_BOARDS
def test_a_copy_that_breaks_off_leaves_a_board_that_shows_its_drive(
    board: Board, loader: Loader, tmp_path: Path
) -> None:
    """Cut at every change of flash but the last, with another program in it before."""
    wanted = order(board, loader, (0, program(9000, seed=3)))
    whole = bootloader(tmp_path / "whole", board, loader)
    with running(whole):
        Uf2Drive(tmp_path / "whole", board, loader).install(wanted, False, ignore)
    changes = whole.flash.operations
    assert changes > 30
    for cut in range(1, changes):
        folder = tmp_path / str(cut)
        old = b"\x55" * loader.offset + program(9000, seed=5)
        device = bootloader(folder, board, loader, old)
        device.flash.before_change = cut_after(device.flash, cut)
        device.show()
        for piece in uf2_pieces(wanted):
            with (folder / "MCUTOOL.UF2").open("ab") as file:
                file.write(piece)
            device.poll()
            if not device.mounted:
                break
        assert not device.started
        # The very first changes only erase; from then on nothing may start until the last block is there.
        assert not device.has_program or device.flash[loader.offset : loader.offset + 9000] == program(9000, seed=5), (
            cut
        )


def cut_after(flash: FlashArray, operations: int):
    def before(_kind: str, _offset: int, data: bytes) -> bytes:
        if flash.operations > operations:
            raise Unplugged
        return data

    return before


def test_the_beginning_is_blank_until_all_else_is_there() -> None:
    wanted = order(ZERO, ZERO_LOADER, (0, program(1000)))
    blank, rest, first = uf2_steps(wanted)
    assert blank == [(0x2000, b"\xff" * 256)] and first == [(0x2000, program(1000)[:256])]
    assert [address for address, _ in rest] == [0x2100, 0x2200, 0x2300]
    elsewhere = order(ZERO, ZERO_LOADER, (0x1000, b"data"))
    assert [len(step) for step in uf2_steps(elsewhere)] == [1]
    large = devices.board("stm32f405")
    begin = large.chip.flash.base
    blank, rest, first = uf2_steps(order(large, Loader("uf2"), (0, program(1000))))
    assert blank == [(begin, b"\xff" * 256)] and len(rest) == 3 and first == [(begin, program(1000)[:256])]


def test_sixteen_blocks_of_an_rp2040_are_one_sector() -> None:
    pieces = b"".join(uf2_pieces(order(PICO, PICO_LOADER, (0, program(5000)), (20 * KIB, b"more"))))
    blocks = [pieces[at : at + 512] for at in range(0, len(pieces), 512)]
    addresses = [int.from_bytes(block[12:16], "little") for block in blocks]
    assert len(blocks) == 16 * 4
    assert all(len({at & -4096 for at in addresses[n : n + 16]}) == 1 for n in range(0, len(blocks), 16))
    assert all(int.from_bytes(block[28:32], "little") == 0xE48BFF56 for block in blocks)


def test_a_program_without_vectors_comes_back_as_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, wanted = bootloader(tmp_path, ZERO, ZERO_LOADER), order(ZERO, ZERO_LOADER, (0, b"\xff" * 600))

    def sync(_file: int) -> None:
        device.poll()

    with monkeypatch.context() as patch, pytest.raises(VerificationFailed, match="drive at .* again") as caught:
        patch.setattr(os, "fsync", sync)
        patch.setattr(Drive, "is_there", property(lambda drive: next(there)))
        there = iter((True, True, False, False, True))
        device.show()
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(wanted, False, ignore)
    assert "place" in caught.value.next_action and not device.started and device.mounted


def test_another_board_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    device = bootloader(tmp_path, ZERO, dataclasses.replace(ZERO_LOADER, identity="SAMD51J19A-Metro-v0"))
    device.show()
    with pytest.raises(WrongChip, match="is SAMD51J19A-Metro-v0 .*, not SAMD21G18A-Zero-v0"):
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(600))), False, ignore)
    assert device.arrived() == []


def test_a_drive_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(NoAnswer, match="no INFO_UF2.TXT") as caught:
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(600))), False, ignore)
    assert "reset twice" in caught.value.next_action
    with pytest.raises(NoPort, match="no drive at"):
        Uf2Drive(tmp_path / "nothing", ZERO, ZERO_LOADER)


def test_blocks_that_a_bootloader_ignores_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "TAKING", 0.1)
    device = bootloader(tmp_path, ZERO, ZERO_LOADER)
    device.chip = dataclasses.replace(device.chip, uf2_family=0x55114460)
    with running(device), pytest.raises(WriteFailed, match="has not taken every block") as caught:
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(600))), False, ignore)
    assert "family" in caught.value.next_action and device.flash.operations == 0


def test_a_drive_that_is_unplugged_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "PIECE", 1024)
    device = bootloader(tmp_path, ZERO, ZERO_LOADER)
    device.show()

    def pull(progress: Progress) -> None:
        if progress.done > progress.total // 2:
            device.hide()

    with pytest.raises(Disconnected, match=r"was lost after \d+ of \d+ bytes") as caught:
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(9000))), False, pull)
    assert "repeat" in caught.value.next_action


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DoesNotFit), (errno.EROFS, PermissionDenied), (errno.EIO, Disconnected)],
)
def test_what_the_system_says_of_a_drive(
    number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    bootloader(tmp_path, ZERO, ZERO_LOADER).show()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(900))), False, ignore)


def test_a_system_that_fails_with_the_last_piece_may_have_delivered_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bootloader restarts while the system still writes what it knows of the file."""
    device = bootloader(tmp_path, ZERO, ZERO_LOADER)

    def sync(_file: int) -> None:
        device.poll()
        if device.started:
            raise OSError(errno.EIO, "gone")

    device.show()
    monkeypatch.setattr(os, "fsync", sync)
    Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(900))), False, ignore)
    assert device.started


def test_a_drive_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootloader(tmp_path, ZERO, ZERO_LOADER).show()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(1000))
    with pytest.raises(DoesNotFit, match="has 1000 bytes free, the file has 2560"):
        Uf2Drive(tmp_path, ZERO, ZERO_LOADER).install(order(ZERO, ZERO_LOADER, (0, program(900))), False, ignore)


# --- debug probes -----------------------------------------------------------------------------------------------------

MICROBIT = devices.board("microbit")
MICROBIT_LOADER = loader_of(MICROBIT, "drive")


def microbit_order(*segments: Segment) -> Order:
    return order(MICROBIT, MICROBIT_LOADER, *(segments or [(0, program(3000))]))


def test_daplink_programs_and_mounts_itself_anew(tmp_path: Path) -> None:
    device, wanted = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT)), microbit_order((0, program(700)), (9000, b"more"))
    with running(device):
        outcome = ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(wanted, False, ignore)
    assert holds(device.flash, wanted) and device.remounts == 1
    assert "by the interface chip" in outcome.verified


def test_settings_of_the_chip_go_to_a_probe_with_the_program(tmp_path: Path) -> None:
    """As in the files of MicroPython and of Nordic's tools."""
    settings = (0x1000_10C0, bytes(16))
    wanted = microbit_order((0, program(700)), settings)
    device = DapLink(tmp_path / "MICROBIT", MICROBIT, flash_of(MICROBIT))
    with running(device):
        ProbeDrive(device.folder, MICROBIT, MICROBIT_LOADER).install(wanted, False, ignore)
    assert device.flash[:700] == program(700)
    for name in ("SEGGER.HTM", "DETAILS.TXT"):
        (tmp_path / name).write_text("Version: 0221\r\n")
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(wanted, False, ignore)
        assert read_segments("f.hex", (tmp_path / "MCUTOOL.HEX").read_bytes()) == [(0, program(700)), settings]
        (tmp_path / "MCUTOOL.HEX").unlink()


FAILURES = [
    ("error: The transfer timed out.\r\ntype: transient, user\r\n", "says: error: The transfer timed out.", "repeat"),
    ("The interface firmware FAILED to reset/halt the target MCU\r\n", "FAILED to reset/halt", "power"),
    ("error: Flash is locked\r\ntype: target\r\n", "Flash is locked", "protected chip"),
]


@pytest.mark.parametrize(("text", "message", "advice"), FAILURES)
def test_what_daplink_says_of_a_failure_is_passed_on(text: str, message: str, advice: str, tmp_path: Path) -> None:
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    device.failure = text
    with running(device), pytest.raises(WriteFailed, match=message) as caught:
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert advice in caught.value.next_action


def test_a_failure_of_the_last_file_does_not_count_against_this_one(tmp_path: Path) -> None:
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    device.files["FAIL.TXT"] = FAILURES[0][0]
    with running(device):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert holds(device.flash, microbit_order())


def test_an_interface_chip_whose_own_program_stops(tmp_path: Path) -> None:
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    with running(device), pytest.raises(WriteFailed, match="own program stopped: Assert; File: vfs.c") as caught:
        device.assertion = "Assert\r\nFile: vfs.c\r\nLine: 7\r\n"
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert "firmware" in caught.value.next_action


def test_another_daplink_board_is_refused(tmp_path: Path) -> None:
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT), unique_id="99063602000528202e78ea8f7143163f")
    device.show()
    with pytest.raises(WrongChip, match="has the id 9906, not 9900 or 9901"):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert device.arrived() == []


def test_an_interface_chip_in_its_own_bootloader_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "DETAILS.TXT").write_text("Unique ID: 9900000052\r\nDaplink Mode: Bootloader\r\n")
    with pytest.raises(NoAnswer, match="own firmware") as caught:
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert "without holding" in caught.value.next_action


def test_a_daplink_that_does_not_react_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "PROGRAMMING", 0.1)
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    device.show()
    with pytest.raises(NoAnswer, match="does not say what became") as caught:
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)
    assert "FAIL.TXT" in caught.value.next_action


def test_a_probe_that_is_unplugged_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "PROGRAMMING", 0.1)
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    device.show()

    def pull(progress: Progress) -> None:
        if progress.done == progress.total:
            device.hide()

    with pytest.raises(Disconnected, match="did not come back"):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, pull)


NRF = devices.board("nrf52840dk")


def test_a_drive_that_never_mounts_anew_is_no_verification(tmp_path: Path) -> None:
    """SEGGER's does not say whether it has programmed anything."""
    (tmp_path / "SEGGER.HTM").write_text("")
    wanted = order(NRF, loader_of(NRF, "drive"), (0, program(600)))
    outcome = ProbeDrive(tmp_path, NRF, wanted.loader).install(wanted, False, ignore)
    assert outcome.verified.startswith("not at all")
    assert read_segments("f.hex", (tmp_path / "MCUTOOL.HEX").read_bytes()) == list(wanted.segments)


def test_a_drive_that_stays_and_fails_with_the_last_piece_has_not_taken_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe gets its file in one piece."""

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "SEGGER.HTM").touch()
    monkeypatch.setattr(os, "fsync", fail)
    wanted = order(NRF, loader_of(NRF, "drive"), (0, program(600)))
    with pytest.raises(WriteFailed, match="has not taken the file: Input/output error") as caught:
        ProbeDrive(tmp_path, NRF, wanted.loader).install(wanted, False, ignore)
    assert "FAIL.TXT" in caught.value.next_action


def test_a_name_that_is_shown_in_lower_case_is_no_new_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux shows short names with `shortname=lower`."""
    (tmp_path / "segger.htm").touch()
    names = Drive.names
    monkeypatch.setattr(Drive, "names", lambda drive: {name.lower() for name in names(drive)})
    wanted = order(NRF, loader_of(NRF, "drive"), (0, program(600)))
    outcome = ProbeDrive(tmp_path, NRF, wanted.loader).install(wanted, False, ignore)
    assert outcome.verified.startswith("not at all")


def test_a_drive_that_forgets_the_file_has_been_mounted_anew(tmp_path: Path) -> None:
    """One without a count."""

    def forget(progress: Progress) -> None:
        if progress.done == progress.total:
            (tmp_path / "MCUTOOL.HEX").unlink(missing_ok=True)

    (tmp_path / "SEGGER.HTM").touch()
    wanted = order(NRF, loader_of(NRF, "drive"), (0, program(600)))
    assert "mounted anew" in ProbeDrive(tmp_path, NRF, wanted.loader).install(wanted, False, forget).verified


def test_a_daplink_that_counts_has_to_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has become of the file's name."""
    monkeypatch.setattr(drive, "PROGRAMMING", 0.1)
    DapLink(tmp_path, MICROBIT, flash_of(MICROBIT)).show()

    def forget(progress: Progress) -> None:
        if progress.done == progress.total:
            (tmp_path / "MCUTOOL.HEX").unlink(missing_ok=True)

    with pytest.raises(NoAnswer, match="does not say what became"):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, forget)


def test_a_daplink_that_lost_its_power_meanwhile_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from 0 then."""
    monkeypatch.setattr(drive, "PROGRAMMING", 0.1)
    device = DapLink(tmp_path, MICROBIT, flash_of(MICROBIT))
    device.remounts = 3
    device._describe("")
    device.show()

    def replug(progress: Progress) -> None:
        if progress.done == progress.total:
            device.remounts = 0
            device._describe("")
            device.show()

    with pytest.raises(NoAnswer, match="does not say what became"):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, replug)


def test_an_empty_folder_is_no_probe(tmp_path: Path) -> None:
    """Such as one where nothing is mounted."""
    wanted = order(NRF, loader_of(NRF, "drive"), (0, program(600)))
    with pytest.raises(NoAnswer, match="is empty") as caught:
        ProbeDrive(tmp_path, NRF, wanted.loader).install(wanted, False, ignore)
    assert "mount the drive" in caught.value.next_action and not list(tmp_path.iterdir())


NUCLEO = devices.board("nucleo-f446re")


@pytest.mark.parametrize(("offset", "name"), [(0, "MCUTOOL.BIN"), (0x8000, "MCUTOOL.HEX")])
def test_an_st_link_gets_a_binary_where_one_says_it_all(offset: int, name: str, tmp_path: Path) -> None:
    (tmp_path / "DETAILS.TXT").write_text("Version: 0221\r\nBuild: Apr 29 2015 13:11:12\r\n")
    wanted = order(NUCLEO, loader_of(NUCLEO, "drive"), (offset, program(600)))
    ProbeDrive(tmp_path, NUCLEO, wanted.loader).install(wanted, False, ignore)
    data = (tmp_path / name).read_bytes()
    assert data == (program(600) if name.endswith("BIN") else to_intel_hex(wanted.segments))


def test_an_st_link_without_its_chip_says_so_although_it_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "FAIL.TXT").write_text(FAILURES[1][0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(12))
    with pytest.raises(WriteFailed, match="FAILED to reset/halt"):
        ProbeDrive(tmp_path, MICROBIT, MICROBIT_LOADER).install(microbit_order(), False, ignore)


# --- MPS2 -------------------------------------------------------------------------------------------------------------

AN505 = devices.board("mps2-an505")
AN505_LOADER = loader_of(AN505, "mps2-drive")


def test_an_mps2_loads_what_was_copied_at_its_next_start(tmp_path: Path) -> None:
    controller = Mps2Controller(tmp_path, "AN505")
    controller.show()
    wanted = order(AN505, AN505_LOADER, (0, program(700)), (0x10_0000, b"data" * 9))
    outcome = Mps2Drive(tmp_path, AN505, AN505_LOADER).install(wanted, False, ignore)
    for revision in controller.revisions:
        assert controller.load(revision) == list(wanted.segments)
        folder = tmp_path / "MB" / revision / "AN505"
        assert (folder / "images.bak").read_bytes() == Mps2Controller.IMAGES.encode()
    assert "when it is restarted" in outcome.verified
    again = order(AN505, AN505_LOADER, (0, program(900)))
    Mps2Drive(tmp_path, AN505, AN505_LOADER).install(again, False, ignore)
    assert controller.load("HBI0263C") == list(again.segments)
    assert (folder / "images.bak").read_bytes() == Mps2Controller.IMAGES.encode()


def test_the_list_of_images_keeps_what_it_was() -> None:
    text = edited(Mps2Controller.IMAGES, [(0x1000_0000, "A.BIN")])
    assert text.splitlines() == [
        "TITLE: Versatile Express Images Configuration File", "", "[IMAGES]",
        "TOTALIMAGES: 1 ; mcutool", "IMAGE0ADDRESS: 0x10000000 ; mcutool",
        "IMAGE0FILE: \\SOFTWARE\\A.BIN ; mcutool",
        ";TOTALIMAGES: 1                     ;Number of Images (Max: 32)", "",
        ";IMAGE0ADDRESS: 0x00000000", ";IMAGE0FILE: \\SOFTWARE\\selftest.axf    ; Self test",
    ]  # fmt: skip
    assert "\r\n" in text and edited(text, [(0x1000_0000, "A.BIN")]) == text
    assert edited("", []).splitlines() == ["[IMAGES]", "TOTALIMAGES: 0 ; mcutool"]


def test_without_an_identity_an_mps2_is_what_its_card_says(tmp_path: Path) -> None:
    controller, loader = Mps2Controller(tmp_path, "AN521"), dataclasses.replace(AN505_LOADER, identity="")
    controller.show()
    wanted = order(AN505, loader, (0, program(700)))
    Mps2Drive(tmp_path, AN505, loader).install(wanted, False, ignore)
    assert controller.load("HBI0263B") == list(wanted.segments)


def test_an_mps2_that_is_something_else_is_refused(tmp_path: Path) -> None:
    wanted = order(AN505, AN505_LOADER, (0, program(700)))
    with pytest.raises(NoAnswer, match="which has MB/HBI0263x"):
        Mps2Drive(tmp_path, AN505, AN505_LOADER).install(wanted, False, ignore)
    Mps2Controller(tmp_path, "AN521").show()
    with pytest.raises(WrongChip, match="is set up as AN521, not as AN505"):
        Mps2Drive(tmp_path, AN505, AN505_LOADER).install(wanted, False, ignore)


# --- which drive ------------------------------------------------------------------------------------------------------

MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
/dev/sdb1 /media/me/RPI-RP2 vfat rw 0 0
/dev/sdc1 /media/me/RPI-RP21 vfat rw 0 0
/dev/sdd1 /mnt/my\040board vfat rw 0 0
/dev/sde1 /srv/MICROBIT ext4 rw 0 0
"""


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with the drives of MOUNTS; returns the folder of labels."""
    (tmp_path / "mounts").write_text(MOUNTS)
    (tmp_path / "labels").mkdir()
    monkeypatch.setattr(volumes, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(volumes, "BY_LABEL", tmp_path / "labels")
    monkeypatch.setattr(volumes, "BY_PATH", tmp_path / "paths")
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "labels"


def test_a_drive_is_found_by_its_label(computer: Path) -> None:
    (computer / "ZERO\\x20BOOT").symlink_to("/dev/sdd1")
    assert volumes.find("ZERO BOOT", "") == Path("/mnt/my board")
    assert volumes.find("my board", "") == Path("/mnt/my board")
    with pytest.raises(UsageError, match="2 drives are called RPI-RP2: .*RPI-RP2, .*RPI-RP21"):
        volumes.find("RPI-RP2", "")


def test_without_a_drive_it_is_told_how_to_get_one(computer: Path) -> None:
    with pytest.raises(NoPort, match="no drive called MICROBIT is mounted") as caught:
        volumes.find("MICROBIT", "connect the board's USB")
    assert caught.value.next_action.startswith("connect the board's USB; without a desktop, mount it")
    (computer / "MICROBIT").touch()
    with pytest.raises(NoPort) as caught:
        volumes.find("MICROBIT", "connect the board's USB")
    assert f"udisksctl mount -b {computer / 'MICROBIT'}" in caught.value.next_action


def test_a_mount_that_outlives_its_device_is_no_drive(computer: Path, tmp_path: Path) -> None:
    """As without a desktop: the files are still listed when the board has restarted."""
    device, folder = tmp_path / "sdx", tmp_path / "drive"
    device.touch()
    folder.mkdir()
    (folder / "INFO_UF2.TXT").touch()
    volumes.MOUNTS.write_text(f"{device} {folder} vfat rw 0 0\n")
    mounted = Drive(folder, ZERO, ZERO_LOADER)
    assert mounted.is_there
    device.unlink()
    assert not mounted.is_there


@pytest.fixture
def board_drive(computer: Path, tmp_path: Path) -> Path:
    """The folder of a mounted UF2 bootloader's drive; its device is sdx in the folder above."""
    device, folder, paths = tmp_path / "sdx", tmp_path / "drive", tmp_path / "paths"
    device.touch()
    paths.mkdir()
    (paths / "usb-1-1").symlink_to(device)
    volumes.MOUNTS.write_text(f"{device} {folder} vfat rw 0 0\n")
    bootloader(folder, ZERO, ZERO_LOADER).show()
    return folder


def ending_with(folder: Path, end: Callable[[], object]) -> Outcome:
    """An installation at whose end something happens."""

    ends = [end]

    def at_the_end(progress: Progress) -> None:
        if progress.done == progress.total and ends:
            ends.pop()()

    wanted = order(ZERO, ZERO_LOADER, (0, program(600)))
    return Uf2Drive(folder, ZERO, ZERO_LOADER).install(wanted, False, at_the_end)


def test_a_drive_that_somebody_unmounts_has_not_restarted(board_drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "TAKING", 0.1)
    with pytest.raises(WriteFailed, match="did not restart"):
        ending_with(board_drive, lambda: shutil.rmtree(board_drive))


@pytest.mark.parametrize("has_label", [True, False], ids=("bootloader", "program"))
def test_a_drive_that_comes_back_is_noticed_although_nobody_mounts_it(
    has_label: bool, board_drive: Path, computer: Path
) -> None:
    """Under another number, since the old one is still mounted; a program may show a drive of its own."""
    first, second, place = board_drive.parent / "sdx", board_drive.parent / "sdy", board_drive.parent / "paths/usb-1-1"

    def restart() -> None:
        first.unlink()
        place.unlink()
        second.touch()
        place.symlink_to(second)
        if has_label:
            (computer / ZERO_LOADER.volume).symlink_to(second)

    if not has_label:
        assert "restarted" in ending_with(board_drive, restart).verified
        return
    with pytest.raises(VerificationFailed, match="shows its bootloader's drive"):
        ending_with(board_drive, restart)


def test_the_desktops_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "RPI-RP2 1").mkdir()
    monkeypatch.setattr(volumes, "MAC_VOLUMES", tmp_path)
    monkeypatch.setattr("sys.platform", "darwin")
    assert volumes.find("RPI-RP2", "") == tmp_path / "RPI-RP2 1"


# --- all of it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hello.wasm", "runtime.hex"])
def test_a_board_starts_what_was_copied_to_its_drive(name: str, tmp_path: Path) -> None:
    """The runtime with a module, or a file that another tool would copy, onto an emulated micro:bit."""
    machine, output = Machine(MICROBIT, None), bytearray()
    machine.uart.on_output = output.extend
    device, file = DapLink(tmp_path / "MICROBIT", MICROBIT, machine.flash), HELLO
    if name == "runtime.hex":
        file = tmp_path / name
        flashfile.write(file, MICROBIT, str(HELLO))
    job = install.prepare(MICROBIT, str(file), runtime=name == "hello.wasm")
    with running(device):
        done = install.install(job, None, folder=device.folder)
    assert "mounted anew" in install.render(done)
    machine.reset()
    machine.run_for(1)
    assert b"Hello from 32-bit WebAssembly!" in output


def test_a_drive_leaves_the_folders_beside_it_alone(tmp_path: Path) -> None:
    folder, others = tmp_path / "DRIVE", [tmp_path / "DRIVE.new", tmp_path / "DRIVE.old"]
    for other in others:
        other.mkdir()
    (others[1] / "kept.txt").write_text("kept")
    device = DapLink(folder, MICROBIT, Machine(MICROBIT, None).flash)
    for _ in range(2):
        device.show()
        assert (folder / "DETAILS.TXT").exists() and sorted(tmp_path.iterdir()) == [folder, *others]
    device.hide()
    assert sorted(tmp_path.iterdir()) == others and (others[1] / "kept.txt").exists()


def test_a_drive_where_no_folder_can_be_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot show a drive as") as caught:
        DapLink(tmp_path / "file" / "DRIVE", MICROBIT, Machine(MICROBIT, None).flash).show()
    assert "another folder" in caught.value.next_action


def test_a_bootloaders_drive_is_not_there_while_the_program_runs(tmp_path: Path) -> None:
    """Also where another bootloader of the board is the one to prefer."""
    seen: list[bool] = []

    def look(_url: str) -> None:
        seen.append((tmp_path / "DRIVE").exists())
        signal.raise_signal(signal.SIGINT)

    for boot0 in (False, True):
        serve(ZERO, boot0=boot0, drive=tmp_path / "DRIVE", announce=look)
    assert seen == [False, True]


@pytest.mark.parametrize(("name", "more"), [("microbit", []), ("pico", ["--boot", "rom"])])
def test_an_emulated_board_shows_its_drive(name: str, more: list[str], tmp_path: Path) -> None:
    """A drive in one process, what copies to it in another; the board starts what it got."""
    line, folder = str(tmp_path / "line"), tmp_path / "DRIVE"
    words = [sys.executable, "-m", "mcutool", "emulate", name, "--link", line, "--drive", str(folder), *more]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout and board.stdout.readline() == f"ready: {line}\n"
            console, said = SerialLink(line, 115200), b""
            words = ["flash", str(HELLO), "--runtime", "--board", name, "--port", str(folder)]
            assert main(words) == 0
            while b"Hello from 32-bit WebAssembly!" not in said:
                said += (received := console.read(20))
                assert received, said
            console.close()
        finally:
            board.terminate()
    assert board.returncode == 0 and not folder.exists()
