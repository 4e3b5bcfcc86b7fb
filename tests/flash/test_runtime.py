"""The real firmware of an emulated board at the other end: installed through the ROM, then spoken to by SMP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from images import image_of
from loopback import NoisyLink
from test_serve import Running

import mcutool
from mcutool import devices, install
from mcutool.board import Board
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.errors import Disconnected, DoesNotFit, ImageRefused, NoAnswer, UsageError, WrongChip
from mcutool.flash.link import SerialLink
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.progress import Progress

NAMES = ["stm32f405", "mps2-an386", "microbit"]
STM32F405 = devices.board("stm32f405")
DATA = image_of(20_000, seed=3)


@pytest.fixture
def board() -> Iterator[Board]:
    with mcutool.open_board("stm32f405") as opened:
        yield opened


def slot(board: Board, machine: Machine, size: int) -> bytes:
    start = board.description.chip.map.slot.offset
    return machine.flash[start : start + size]


def machine_of(board: Board) -> Machine:
    assert isinstance(board.link, EmulatedLink)
    return board.link._machine


@pytest.mark.parametrize("name", NAMES)
def test_the_firmware_says_who_it_is_and_takes_an_upload(name: str) -> None:
    with mcutool.open_board(name) as board:
        assert board.info()["board"] == name
        board.expect(f"mcutool {mcutool.__version__} {name}".encode())
        assert board.client.echo("hello") == "hello"
        board.client.upload(DATA)
        assert slot(board, machine_of(board), len(DATA)) == DATA
        assert board.client.retries == 0
        board.reset()
        board.expect(f"mcutool {mcutool.__version__} {name}".encode())


def test_an_upload_on_a_noisy_line(board: Board) -> None:
    noisy = SmpClient(NoisyLink(board.link, 1e-4, seed=5))
    noisy.upload(DATA)
    assert noisy.retries > 0
    assert slot(board, machine_of(board), len(DATA)) == DATA


def test_an_upload_that_was_cut_off_goes_on(board: Board) -> None:
    size = board.client.buffer_size()
    reply = board.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **smp.upload_chunk(DATA, 0, size))
    progress: list[Progress] = []
    again = SmpClient(board.link, on_progress=progress.append)
    again.upload(DATA)
    assert next(step.done for step in progress if step.done) >= reply["off"] > 0
    assert slot(board, machine_of(board), len(DATA)) == DATA


class CutOnce:
    """Another link that is lost once, after so many bytes sent, and comes back."""

    def __init__(self, link, left: int) -> None:
        self._link, self._left = link, left
        self.reopened = 0

    def __getattr__(self, name: str):
        return getattr(self._link, name)

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.reopened:
            raise Disconnected("the connection was lost")
        self._link.write(data)

    def reopen(self, patience: float) -> None:
        self.reopened += 1


def test_a_module_goes_on_after_a_lost_line(board: Board) -> None:
    line = CutOnce(board.link, 8_000)
    done = install.install(install.Job(board.description, None, DATA), line)
    assert line.reopened == 1 and done["smp"]["reconnects"] == 1
    assert slot(board, machine_of(board), len(DATA)) == DATA


def test_what_was_removed_is_not_installed(board: Board) -> None:
    board.client.upload(DATA)
    assert [entry["slot"] for entry in board.client.images()] == [1]
    board.client.erase()
    assert board.client.images() == []


def test_what_no_start_would_take_is_not_installed(board: Board) -> None:
    with pytest.raises(ImageRefused, match="there is no image"):
        board.client.upload(DATA[32:])
    assert board.client.images() == []


def test_an_image_larger_than_the_slot_is_refused_by_the_board(board: Board) -> None:
    with pytest.raises(DoesNotFit, match="does not fit"):
        board.client.upload(bytes(board.description.chip.map.slot.size + 1))


def test_output_that_does_not_come_is_told_with_what_came(board: Board) -> None:
    with pytest.raises(NoAnswer, match="did not print b'never' in 2 s, but b'.*no program"):
        board.expect(b"never", timeout=2)


def test_a_call_needs_a_module(board: Board) -> None:
    with pytest.raises(UsageError, match="no module was installed"):
        board.call("f")


def test_another_board_is_noticed() -> None:
    machine = Machine(STM32F405, STM32F405.firmware)
    with pytest.raises(WrongChip, match="is stm32f405, not microbit"):
        Board(devices.board("microbit"), EmulatedLink(machine))


def test_from_the_bootloader_to_a_module_over_one_pseudo_terminal(tmp_path: Path) -> None:
    running = Running("pty", tmp_path)
    link = SerialLink(running.port.url, 115200)
    install.install(install.prepare(STM32F405, None, runtime=True), link)
    board = Board(STM32F405, link)
    board.reset()  # what it printed at first may have come together with the bootloader's last ACK
    board.expect(b"bytes for modules")
    board.client.upload(DATA)
    assert slot(board, running.machine, len(DATA)) == DATA
    board.close()
    running.stop()


def test_an_idle_board_leaves_the_processor_alone(tmp_path: Path) -> None:
    running = Running("pty", tmp_path, STM32F405.firmware)
    time.sleep(0.5)
    before = time.process_time()
    time.sleep(1)
    used = time.process_time() - before
    running.stop()
    assert used < 0.25
