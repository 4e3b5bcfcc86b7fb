"""Which serial ports are offered, in which order, and what their failures are called."""

from __future__ import annotations

import errno
import logging
from types import SimpleNamespace

import pytest
import serial

from mcutool.errors import NoPort, PermissionDenied, PortBusy, UsageError
from mcutool.flash import link


def info(device: str, usb: tuple[int, int] | None = None, description: str = "", hwid: str = "USB") -> SimpleNamespace:
    vid, pid = usb or (None, None)
    return SimpleNamespace(
        device=device, description=description, hwid=hwid, vid=vid, pid=pid, serial_number=None, location=None
    )


PORTS = [
    info("/dev/ttyS0", hwid="n/a"),
    info("COM10"),
    info("COM3"),
    info("/dev/ttyUSB1", (0x1A86, 0x7523)),
    info("/dev/ttyUSB0", (0x0403, 0x6001)),
    info("/dev/cu.Bluetooth-Incoming-Port"),
    info("/dev/tty.usbmodem1", (0x0403, 0x6001)),
]


@pytest.fixture
def present(monkeypatch) -> list:
    ports = list(PORTS)
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    return ports


def test_known_boards_come_first_and_bluetooth_never(present: list) -> None:
    devices = [port.device for port in link.list_ports(["1A86:7523"])]
    assert devices == ["/dev/ttyUSB1", "/dev/ttyUSB0", "COM3", "COM10"]


def test_one_known_board_is_chosen(present: list) -> None:
    assert link.choose_port(["1a86:7523"]) == "/dev/ttyUSB1"


def test_several_ports_need_a_choice(present: list) -> None:
    with pytest.raises(UsageError, match="/dev/ttyUSB0, /dev/ttyUSB1"):
        link.choose_port()


def test_no_port_is_told(present: list) -> None:
    present.clear()
    with pytest.raises(NoPort, match="no serial port found"):
        link.choose_port()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (serial.SerialException(errno.EACCES, "could not open port"), PermissionDenied),
        (serial.SerialException(errno.EBUSY, "could not open port"), PortBusy),
        (serial.SerialException("Could not exclusively lock port /dev/x: [Errno 11]"), PortBusy),
        (serial.SerialException("could not open port 'COM3': PermissionError(13, 'Access is denied.')"), PortBusy),
        (serial.SerialException(errno.ENOENT, "could not open port"), NoPort),
    ],
)
def test_what_the_system_says_becomes_one_of_our_errors(monkeypatch, failure: Exception, expected: type) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise failure

    monkeypatch.setattr("serial.serial_for_url", refuse)
    with pytest.raises(expected, match="/dev/x") as error:
        link.SerialLink("/dev/x", 115200)
    assert error.value.next_action


def test_a_line_without_control_lines_is_warned_of_once(monkeypatch, caplog) -> None:
    class Terminal:
        """A pseudo-terminal: no DTR, no RTS."""

        def __setattr__(self, name: str, value: object) -> None:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr("serial.serial_for_url", lambda *_arguments, **_options: Terminal())
    port = link.SerialLink("/dev/x", 115200)
    with caplog.at_level(logging.WARNING, "mcutool"):
        port.set_dtr(True)
        port.set_rts(False)
    assert len(caplog.records) == 1
