"""An emulated board on a pseudo-terminal and on rfc2217: our own engine, stm32flash, and going away cleanly."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.devices import Board, Span
from mcutool.emulator.bare import BareChip
from mcutool.emulator.bootroms import BootModel
from mcutool.emulator.machine import Machine
from mcutool.emulator.serve import ControlLines, PseudoTerminal, Rfc2217, ServedBoard, Server, boot_loader
from mcutool.errors import Disconnected, NoAnswer, NoPort, PortBusy
from mcutool.flash import engine
from mcutool.flash.drivers.an3155 import An3155
from mcutool.flash.drivers.sam_ba import SamBa
from mcutool.flash.link import SerialLink
from mcutool.flash.plan import Order, plan

BOARD = devices.board("stm32f405")
IMAGE = random.Random(0).randbytes(20_000)
LOADER = BOARD.loaders[0]
WORK = plan(BOARD.chip.flash, BOARD.chip.map.runtime, [(BOARD.chip.flash.base, IMAGE)])


def install(link: SerialLink) -> engine.Outcome:
    return engine.install(An3155, link, Order(BOARD, LOADER, "", IMAGE, (), WORK))


class Running:
    """A server in a thread of this process; without a firmware the board waits in its bootloader."""

    def __init__(
        self, port: str, tmp_path: Path, firmware: Path | None = None, board: Board = BOARD, link: str = "board"
    ) -> None:
        self.machine = Machine(board, firmware) if board.chip.has_runtime else BareChip(board)
        self.board = ServedBoard(self.machine, boot0=firmware is None)
        self.port = PseudoTerminal(tmp_path / link) if port == "pty" else Rfc2217("127.0.0.1:0", self.board)
        self.server = Server(self.board, self.port)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join()
        self.port.close()


def model(running: Running) -> BootModel:
    assert running.board._rom is not None
    return running.board._rom


@pytest.fixture(params=["pty", "rfc2217"])
def running(request, tmp_path: Path) -> Iterator[Running]:
    served = Running(request.param, tmp_path)
    yield served
    served.stop()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Running]:
    served = Running("pty", tmp_path)
    yield served
    served.stop()


def test_our_engine_installs_over_a_port(running: Running) -> None:
    link = SerialLink(running.port.url, 115200)
    install(link)
    link.close()
    assert running.machine.flash[: len(IMAGE)] == IMAGE
    assert running.machine.flash.violations == []
    assert not running.board.in_rom and not running.board.boot0
    flash = BOARD.chip.flash
    seconds = sum(sector.erase_us for sector in flash.sector_spans() if sector.offset < len(IMAGE)) / 1e6
    assert model(running).busy == pytest.approx(seconds + len(IMAGE) / flash.write_unit * flash.program_us / 1e6)


def test_control_lines_lead_into_the_bootloader(tmp_path: Path) -> None:
    running = Running("rfc2217", tmp_path)
    running.board.boot0 = False
    running.board.reset()
    link = SerialLink(running.port.url, 115200)
    An3155(link, BOARD, LOADER).connect()
    assert running.board.in_rom
    link.close()
    running.stop()


@pytest.mark.parametrize(
    ("name", "entered", "restarted"),
    [("bluepill", True, True), ("blackpill-f411", False, True), ("nucleo-f446re", False, False),
     ("microbit", False, False)],
)  # fmt: skip
def test_control_lines_do_what_the_board_has_them_wired_for(name: str, entered: bool, restarted: bool) -> None:
    """DTR resets, RTS holds BOOT0, each where there is a wire; the others' RTS and DTR end at the interface chip."""
    board = devices.board(name)
    served = ServedBoard(Machine(board, board.firmware))
    lines = ControlLines(served)
    served.machine.run_for(0.2)
    assert b"no image]" in served.output
    served.output.clear()
    lines.dtr = True
    lines.rts = False
    lines.dtr = False
    assert served.in_rom is entered
    lines.rts = True
    lines.dtr = True
    lines.dtr = False
    served.machine.run_for(0.2)
    assert not served.in_rom and (b"no image]" in served.output) is restarted


@pytest.mark.parametrize("leave", [["-g", "0x08000000"], ["-R"]], ids=["go", "reset"])
def test_stm32flash_installs_verifies_and_starts(terminal: Running, tmp_path: Path, leave: list[str]) -> None:
    (tmp_path / "image.bin").write_bytes(IMAGE)
    command = ["stm32flash", "-m", "8n1", "-w", tmp_path / "image.bin", "-v", *leave, terminal.port.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Device ID    : 0x0413 (STM32F40xxx/41xxx)" in done.stdout
    assert "verified" in done.stdout
    assert terminal.machine.flash[: len(IMAGE)] == IMAGE
    assert not terminal.board.in_rom


def test_a_port_is_opened_once(terminal: Running) -> None:
    link = SerialLink(terminal.port.url, 115200)
    with pytest.raises(PortBusy, match="in use"):
        SerialLink(terminal.port.url, 115200)
    link.close()


def test_a_missing_port_is_named() -> None:
    with pytest.raises(NoPort, match="/dev/ttyNONE"):
        SerialLink("/dev/ttyNONE", 115200)
    with pytest.raises(NoPort):
        SerialLink("rfc2217://127.0.0.1:1", 115200)


def test_a_line_that_goes_away_is_told(tmp_path: Path) -> None:
    running = Running("pty", tmp_path)
    link = SerialLink(running.port.url, 115200)
    bootloader = An3155(link, BOARD, LOADER)
    bootloader.connect()
    running.stop()
    with pytest.raises(Disconnected, match="was lost"):
        engine.write(bootloader, WORK)
    link.close()


def test_a_board_that_runs_is_no_bootloader(tmp_path: Path) -> None:
    running = Running("pty", tmp_path)
    running.board.boot0 = False
    running.board.reset()
    link = SerialLink(running.port.url, 115200)
    with pytest.raises(NoAnswer) as failure:
        install(link)
    assert BOARD.boot in failure.value.next_action
    link.close()
    running.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_the_link_and_saves_the_flash(tmp_path: Path, number: int) -> None:
    link, flash_file = tmp_path / "board", tmp_path / "flash.bin"
    script = (
        "import sys; from pathlib import Path\n"
        "from mcutool import devices; from mcutool.emulator.serve import serve\n"
        "serve(devices.board('stm32f405'), boot0=True, link=Path(sys.argv[1]), flash_file=Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, link, flash_file], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"ready: {link}\n"
    port = SerialLink(str(link), 115200)
    install(port)
    port.close()
    process.send_signal(number)
    assert process.wait(60) == 0
    assert not link.is_symlink()
    assert flash_file.read_bytes()[: len(IMAGE)] == IMAGE


# --- a board that has a bootloader and no runtime -------------------------------------------------------------


ZERO = devices.board("arduino-zero")


@pytest.fixture(params=["pty", "rfc2217"])
def zero(request, tmp_path: Path) -> Iterator[Running]:
    served = Running(request.param, tmp_path, board=ZERO)
    yield served
    served.stop()


def fill(running: Running) -> engine.Outcome:
    loader = boot_loader(ZERO)
    assert loader is not None
    region = Span(loader.offset, ZERO.chip.flash.size - loader.offset)
    order = Order(ZERO, loader, "", IMAGE, (), plan(ZERO.chip.flash, region, [(loader.offset, IMAGE)]))
    link = SerialLink(running.port.url, 115200)
    try:
        return engine.install(SamBa, link, order)
    finally:
        link.close()


def test_a_board_without_a_runtime_is_filled_through_its_bootloader(zero: Running) -> None:
    fill(zero)
    assert zero.machine.flash[0x2000 : 0x2000 + len(IMAGE)] == IMAGE
    assert not zero.board.in_rom


def test_a_touch_with_1200_baud_leads_back_into_the_bootloader(zero: Running) -> None:
    fill(zero)
    for _ in range(2):
        link = SerialLink(zero.port.url, 115200)
        link.touch()
        link.reopen(5)
        link.close()
        assert zero.board.in_rom
        assert zero.machine.flash[0x2000:0x2100] == b"\xff" * 256
        assert fill(zero).sectors == 1
        assert not zero.board.in_rom


def test_another_rate_is_no_touch(zero: Running) -> None:
    fill(zero)
    SerialLink(zero.port.url, 9600).close()
    time.sleep(0.2)
    assert not zero.board.in_rom


def test_the_command_serves_a_board_without_a_runtime(tmp_path: Path) -> None:
    words = ["emulate", "arduino-zero", "--boot", "rom", "--link", "ttyACM0", "--flash-file", "flash.bin"]
    with subprocess.Popen(
        [sys.executable, "-m", "mcutool", *words], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready: ttyACM0\n"
        process.terminate()
        assert process.wait(60) == 0
    assert (tmp_path / "flash.bin").read_bytes() == b"\xff" * ZERO.chip.flash.size
