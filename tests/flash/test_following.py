"""Ports that go away and come back: under another name, as another device, or not at all."""

from __future__ import annotations

import os
import pty
import termios
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

import pytest
from test_serve import Running

from mcutool import devices
from mcutool.emulator.serve import ControlLines
from mcutool.errors import Disconnected
from mcutool.flash import link
from mcutool.flash.link import Port, SerialLink, move_lines


class Socket:
    """A pseudo-terminal that the system lists as the serial port of a USB device."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.device = os.ttyname(slave)
        os.close(slave)

    def port(self, usb: str = "2341:804d", serial_number: str = "S1", location: str = "1-2:1.0") -> Port:
        return Port(self.device, "a board", usb, serial_number, location)

    def baud(self) -> int:
        return termios.tcgetattr(self.master)[5]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Port]:
    """The ports that the system lists; to be changed by the test."""
    ports: list[Port] = []
    monkeypatch.setattr(link, "list_ports", lambda known=(): list(ports))
    monkeypatch.setattr(link, "REAPPEARANCE", 0.01)
    return ports


def soon(action: Callable[[], None]) -> None:
    threading.Timer(0.1, action).start()


@pytest.mark.parametrize(
    "again",
    [
        {"usb": "2341:004d", "location": "1-3:1.0"},  # by its serial number, as its bootloader in another socket
        {"usb": "2341:004d", "serial_number": "", "location": "1-2:1.4"},  # by its place
    ],
)
def test_a_board_is_found_again_under_another_name(listed: list[Port], again: dict[str, str]) -> None:
    before, after, other = Socket(), Socket(), Socket()
    listed[:] = [other.port(serial_number="S2", location="1-4"), before.port()]
    line = SerialLink(before.device, 115200)
    assert line.usb == "2341:804d"
    listed.pop()
    soon(lambda: listed.append(after.port(**again)))
    line.reopen(5)
    assert line.name == after.device
    line.write(b"here")
    assert os.read(after.master, 4) == b"here"
    line.close()


def test_another_port_of_the_same_adapter_or_number_is_not_taken(listed: list[Port]) -> None:
    """An adapter with two lines; adapters that all have one number."""
    ours, theirs, third = Socket(), Socket(), Socket()
    listed[:] = [theirs.port(location="1-2:1.0"), ours.port(location="1-2:1.2")]
    line = SerialLink(ours.device, 115200)
    line.reopen(0.05)
    assert line.name == ours.device
    line.close()
    listed[:] = [theirs.port(location="1-4:1.0"), third.port(location="1-5:1.0")]
    with pytest.raises(Disconnected):
        line.reopen(0.05)


def test_a_board_that_does_not_come_back_is_told(listed: list[Port]) -> None:
    socket = Socket()
    listed[:] = [socket.port()]
    line = SerialLink(socket.device, 115200)
    listed.clear()
    with pytest.raises(Disconnected, match=r"was lost and did not come back in 0 seconds: .* is gone"):
        line.reopen(0.05)


def test_a_port_without_usb_is_opened_by_its_name(listed: list[Port]) -> None:
    socket = Socket()
    line = SerialLink(socket.device, 115200)
    line.reopen(1)
    assert line.name == socket.device and line.usb == ""
    line.close()


def test_a_touch_is_1200_baud_and_leaves_the_port_closed(listed: list[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "TOUCH_SECONDS", 0)
    socket = Socket()
    listed[:] = [socket.port()]
    line = SerialLink(socket.device, 115200)
    line.touch()
    assert socket.baud() == termios.B1200
    line.reopen(1)
    assert socket.baud() == termios.B115200
    line.close()


def test_control_lines_move_as_the_board_says() -> None:
    moves = []

    class Line:
        waited = 0.0

        def set_dtr(self, state: bool) -> None:
            moves.append(("dtr", state))

        def set_rts(self, state: bool) -> None:
            moves.append(("rts", state))

        def now(self) -> float:
            return self.waited

        def read(self, timeout: float) -> bytes:
            self.waited += timeout / 2  # something came: it is not the end of the wait
            return b"noise"

    line = Line()
    move_lines(line, ["rts off", "dtr on", "wait 100", "dtr off"])  # type: ignore[arg-type]
    assert moves == [("rts", False), ("dtr", True), ("dtr", False)]
    assert line.waited == pytest.approx(0.1, abs=1e-3)


def test_reading_waits_for_the_line_and_not_longer() -> None:
    socket = Socket()
    line = SerialLink(socket.device, 115200)
    soon(lambda: os.write(socket.master, b"late"))
    begun = time.monotonic()
    assert line.read(60)
    assert time.monotonic() - begun < 30  # the computer may be busy
    line.close()


@pytest.mark.parametrize(("board", "dtr"), [("stm32f405", False), ("microbit", True)])
def test_a_line_that_would_hold_the_board_in_reset_is_released(board: str, dtr: bool, tmp_path: Path) -> None:
    """As the port sees it when it is opened: its first word about DTR."""
    told: list[bool] = []

    class Port(ControlLines):
        @property
        def dtr(self) -> bool:
            return False

        @dtr.setter
        def dtr(self, state: bool) -> None:
            told.append(state)

    running = Running("rfc2217", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcutool.emulator.serve.ControlLines", Port)
        SerialLink(running.port.url, 115200, dtr=not devices.board(board).dtr_resets).close()
    running.stop()
    assert told[0] is dtr
