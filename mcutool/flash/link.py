"""The serial port: the only file that imports pyserial.

Decides how a port is opened (exclusively, with low latency where the driver can), in which order ports are offered,
and which of our errors each of the system's failures becomes. Refuses to know what the bytes mean.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import serial
import serial.tools.list_ports

from mcutool.errors import Disconnected, Error, NoPort, PermissionDenied, PortBusy, UsageError

try:
    from termios import error as TerminalError
except ImportError:  # Windows has no terminals
    TerminalError = OSError  # type: ignore[misc, assignment]

FAILURES = (serial.SerialException, OSError, TerminalError)
POLL = 0.02  # seconds; changing a port's timeout at every read would renegotiate an rfc2217 connection
WRITE_TIMEOUT = 10.0
REAPPEARANCE = 0.1  # seconds between looks for a port that is gone
TOUCH = 1200  # baud
TOUCH_SECONDS = 0.5  # Arduino's programs wait 250 ms before they restart

log = logging.getLogger("mcutool")


class Link(Protocol):
    """A byte stream to a board, real or emulated. Each method raises Disconnected when the line is gone."""

    name: str
    lossless: bool  # no byte is ever lost or changed on it
    baud: int
    baud_is_fixed: bool  # the user has chosen it, or nothing else is possible

    def now(self) -> float:
        """Seconds on the clock that timeouts are measured by; an emulated board has its own."""

    def read(self, timeout: float) -> bytes:
        """What has come; waits up to `timeout` seconds for the first byte. Empty when none came."""

    def write(self, data: bytes) -> None: ...

    def set_baud(self, baud: int) -> None: ...

    def set_parity(self, even: bool) -> None: ...

    def set_dtr(self, state: bool) -> None: ...

    def set_rts(self, state: bool) -> None: ...

    def reopen(self, patience: float) -> None:
        """Open it again after it was lost, within `patience` seconds; raises Disconnected when it stays away."""

    def close(self) -> None: ...


def move_lines(link: Link, steps: Iterable[str]) -> None:
    """Do what the words of devices.ControlLines say, one after the other."""
    for step in steps:
        what, _, value = step.partition(" ")
        if what == "wait":
            deadline = link.now() + int(value) / 1000
            while (left := deadline - link.now()) > 0:
                link.read(left)
        else:
            (link.set_dtr if what == "dtr" else link.set_rts)(value == "on")


class SerialLink:
    """A serial port by its name (/dev/ttyUSB0, COM3) or by a pyserial URL (rfc2217://127.0.0.1:2217)."""

    lossless = False

    def __init__(
        self, port: str, baud: int, *, even_parity: bool = False, baud_is_fixed: bool = False, dtr: bool = True
    ) -> None:
        """`dtr` is how that line is left: released where it reaches the board's reset, which it would hold."""
        self.name = port
        self.baud, self.baud_is_fixed = baud, baud_is_fixed
        self._dtr = dtr
        self._even_parity = even_parity
        self._control_lines_warned = False
        self._identity = None if "://" in port else identity_of(port)
        self._serial = self._open()

    def _open(self) -> Any:
        """The port, open. Raises NoPort, PermissionDenied, PortBusy, UsageError."""
        parity = serial.PARITY_EVEN if self._even_parity else serial.PARITY_NONE
        patience = None if "://" in self.name else WRITE_TIMEOUT  # pyserial has none for its URLs
        try:
            port = serial.serial_for_url(
                self.name, baudrate=self.baud, parity=parity, timeout=POLL, write_timeout=patience, exclusive=True,
                do_not_open=not self._dtr,
            )  # fmt: skip
            if not self._dtr:  # before it is opened: that would be too late
                port.dtr = False
                port.open()
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}", next_action="see the ports with: mcutool ports") from error
        except (*FAILURES, TypeError, AttributeError) as error:  # the last two when a URL lacks a part
            raise _open_error(self.name, error) from error
        with suppress(AttributeError, NotImplementedError, ValueError, *FAILURES):
            port.set_low_latency_mode(True)
        return port

    def reopen(self, patience: float) -> None:
        """A board keeps its USB serial number and its place when the system gives its port another name."""
        self.close()
        deadline = self.now() + patience
        while True:
            try:
                self.name = device_of(self._identity) if self._identity else self.name
                self._serial = self._open()
                return
            except (NoPort, PortBusy, PermissionDenied) as error:  # the last two while the system sets it up
                if self.now() >= deadline:
                    what = f"the connection to {self.name} was lost and did not come back in {patience:.0f} seconds"
                    raise Disconnected(f"{what}: {error.message}", next_action="plug it in and repeat") from error
            time.sleep(REAPPEARANCE)

    @property
    def usb(self) -> str:
        """VENDOR:PRODUCT of the device behind the port, empty when that is not known."""
        return self._identity.usb if self._identity else ""

    def touch(self) -> None:
        """Ask a running program to enter its bootloader, as Arduino's do: 1200 baud, then DTR released.

        The port is closed: it goes away and its bootloader's comes (`reopen`), or a drive does.
        """
        with suppress(Disconnected, *FAILURES):
            self._serial.baudrate = TOUCH
            self.set_dtr(False)
        self.close()
        time.sleep(TOUCH_SECONDS)

    def now(self) -> float:
        return time.monotonic()

    def read(self, timeout: float) -> bytes:
        deadline = self.now() + timeout
        while True:
            data = self._guarded(lambda: self._serial.read(self._serial.in_waiting or (1 if timeout > 0 else 0)))
            if data or self.now() >= deadline:
                return data

    def write(self, data: bytes) -> None:
        self._guarded(lambda: self._serial.write(data))

    def set_baud(self, baud: int) -> None:
        self.baud = baud
        self._guarded(lambda: setattr(self._serial, "baudrate", baud))

    def set_parity(self, even: bool) -> None:
        """Even parity or none; a pseudo-terminal has none whatever is asked for, and needs none."""
        try:
            self._serial.parity = serial.PARITY_EVEN if even else serial.PARITY_NONE
            self._even_parity = even
        except FAILURES as error:
            if not _is_unheard_of(error):
                raise self._lost(error) from error
            with suppress(*FAILURES):
                self._serial.parity = serial.PARITY_NONE

    def set_dtr(self, state: bool) -> None:
        self._set_control_line("dtr", state)

    def set_rts(self, state: bool) -> None:
        self._set_control_line("rts", state)

    def _set_control_line(self, line: str, state: bool) -> None:
        """A pseudo-terminal has no control lines; that is worth a word, not a failure."""
        try:
            setattr(self._serial, line, state)
        except FAILURES as error:
            if not _is_unheard_of(error):
                raise self._lost(error) from error
            if not self._control_lines_warned:
                log.warning("%s has no DTR and RTS lines: reset the board by hand where that is needed", self.name)
            self._control_lines_warned = True

    def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except FAILURES as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> Disconnected:
        return Disconnected(f"the connection to {self.name} was lost: {error}", next_action="plug it in and repeat")

    def close(self) -> None:
        with suppress(*FAILURES):
            self._serial.close()


def _is_unheard_of(error: Exception) -> bool:
    """Whether the driver says that it has no such setting. The error of termios keeps the number in its arguments."""
    return getattr(error, "errno", error.args[0] if error.args else None) in (errno.ENOTTY, errno.EINVAL)


def _open_error(port: str, error: Exception) -> Error:
    """What the system's refusal to open a port means to its user."""
    text = str(error)
    number = _system_number(error, text)
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "Access is denied" in text:
        return PortBusy(
            f"{port} is in use by another program",
            next_action=f"close the program that holds it (fuser -v {port} names it); when it is ModemManager, wait a"
            " minute, or: sudo systemctl stop ModemManager",
        )
    if number in (errno.EACCES, errno.EPERM):
        return PermissionDenied(
            f"no permission to open {port}",
            next_action=f"join the group {_group(port)}, which owns it: sudo adduser $USER {_group(port)},"
            " then log out and in again",
        )
    if number == errno.ENOTTY:
        return NoPort(f"{port} is no serial port", next_action="see the ports with: mcutool ports")
    if "://" in port and number is None:
        return UsageError(f"{port} is no URL of a port", next_action="write rfc2217://HOST:PORT or socket://HOST:PORT")
    advice = "see that its server runs" if "://" in port else "see the ports with: mcutool ports"
    reason = os.strerror(number) if number is not None and number > 0 else text
    return NoPort(f"cannot open {port}: {reason}", next_action=advice)


def _system_number(error: Exception, text: str) -> int | None:
    """The system's number for what went wrong; pyserial often leaves it in its text alone."""
    number = getattr(error, "errno", None)
    found = re.search(r"\[Errno (-?\d+)\]|\((\d+), '", text)
    return number if number is not None or found is None else int(found[1] or found[2])


def _group(port: str) -> str:
    """The group that may open the port, where that says something: dialout on Debian, uucp on Arch."""
    try:
        group = Path(port).group()
    except (OSError, KeyError, NotImplementedError):  # no file, a group without a name, a system without groups
        group = "root"
    return "dialout" if group in ("root", "nogroup", "nobody", "tty") else group


# --- which ports there are --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Port:
    """One serial port. `usb` is VENDOR:PRODUCT in hexadecimal, empty for other ports."""

    device: str
    description: str
    usb: str
    serial_number: str
    location: str


def list_ports(known_usb: Iterable[str] = ()) -> list[Port]:
    """The ports a board may be on: known boards first, then other USB ports, then the rest; no Bluetooth."""
    known = {identity.lower() for identity in known_usb}
    ports = [_port(info) for info in serial.tools.list_ports.comports() if _may_be_a_board(info)]
    return sorted(ports, key=lambda port: (port.usb not in known, not port.usb, _natural(port.device)))


def _port(info: Any) -> Port:
    usb = f"{info.vid:04x}:{info.pid:04x}" if info.vid is not None else ""
    return Port(info.device, info.description or "", usb, info.serial_number or "", info.location or "")


def _may_be_a_board(info: Any) -> bool:
    """Not Bluetooth, not the dial-in twin of a macOS port, not one of Linux's empty ttyS places."""
    text = f"{info.device} {info.description} {info.hwid}".lower()
    if "bluetooth" in text or "bthenum" in text or "debug-console" in text:
        return False
    return not info.device.startswith("/dev/tty.") and not (info.hwid == "n/a" and "/ttyS" in info.device)


def _natural(name: str) -> list[tuple[int, str]]:
    """COM3 before COM10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D+)(\d*)", name)]


def identity_of(device: str) -> Port | None:
    """What is known of the USB device behind a port; None when it is none."""
    path = os.path.realpath(device)
    found = (port for port in list_ports() if os.path.realpath(port.device) == path and port.usb)
    return next(found, None)


def device_of(identity: Port) -> str:
    """The name that the same USB device's port has now. Raises NoPort."""
    ports = [port for port in list_ports() if port.usb]
    numbered = [port for port in ports if identity.serial_number and port.serial_number == identity.serial_number]
    neighbours = [port for port in ports if identity.location and _place(port) == _place(identity)]
    for same in ([port for port in neighbours if port.location == identity.location], numbered, neighbours):
        if len(same) == 1:  # several ports of one adapter, or adapters that all have the same number, are not followed
            return same[0].device
    raise NoPort(f"{identity.device} is gone", next_action="plug it in and repeat")


def _place(port: Port) -> str:
    """The hub and its socket, without the interface of the device."""
    return port.location.partition(":")[0]


def choose_port(known_usb: Iterable[str] = ()) -> str:
    """The one port that a board can be on. Raises NoPort when there is none, UsageError when there are several."""
    known = {identity.lower() for identity in known_usb}
    ports = list_ports(known)
    candidates = [port for port in ports if port.usb in known] or [port for port in ports if port.usb] or ports
    if not candidates:
        raise NoPort("no serial port found", next_action="connect the board, or name a port with --port")
    if len(candidates) > 1:
        names = ", ".join(port.device for port in candidates)
        raise UsageError(f"several serial ports: {names}", next_action="choose one with --port")
    return candidates[0].device


def port_manager(port: Any, connection: Any) -> Any:
    """The server's half of an rfc2217 connection (the emulator offers its boards that way).

    `port` has pyserial's attributes, `connection` a `write(bytes)`.
    """
    from serial.rfc2217 import PortManager

    return PortManager(port, connection)
