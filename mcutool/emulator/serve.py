"""An emulated board offered to other programs as a serial port: what `mcutool emulate` runs.

Decides when the board is in its ROM bootloader and when its firmware runs, and how bytes pass between it and a
pseudo-terminal or an rfc2217 client, at the speed of the clock on the wall. Refuses to know protocols: who talks
to the board cannot tell it from a real one.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from mcutool import devices
from mcutool.devices import Board, Loader
from mcutool.emulator.bare import BareChip
from mcutool.emulator.bootroms import An3155Rom, BootModel, Ram, commands_of
from mcutool.emulator.drives import Folder, drive_loader, drive_of
from mcutool.emulator.link import run_in_real_time
from mcutool.emulator.machine import Machine
from mcutool.emulator.sam_ba import SamBaMonitor
from mcutool.emulator.stellaris import StellarisLoader
from mcutool.errors import UsageError
from mcutool.image.containers import WITH_ADDRESSES, WRITERS

LONGEST_WAIT = 0.1  # seconds; how late a signal may be noticed
TOUCH = 1200  # baud
RATE = 5  # where termios keeps it; the one before is the other direction's
NOBODY_THERE = 0.02  # seconds between looks at a pseudo-terminal that no program has open
CHUNK = 4096

log = logging.getLogger("mcutool")


# --- the board --------------------------------------------------------------------------------------------------


class ServedBoard:
    """A board with its reset and BOOT0 lines: in its bootloader, or running what is in flash.

    `boot0` is what a person does so that the bootloader is entered: holds a button, which is let go of once that
    answers, or presses reset twice. So whatever starts the program releases it. One line stands for all of a board's:
    where the ROM listens on other pins than the console's, for whichever the adapter is at.
    """

    def __init__(self, machine: Machine | BareChip, boot0: bool = False) -> None:
        self.machine = machine
        self.boot0 = boot0
        self.output = bytearray()  # sent by the board, not fetched yet
        self.rts_holds_boot0 = _rts_holds_boot0(machine.board)
        self._loader, self._rom = boot_model(machine)
        machine.uart.on_output = self.output.extend
        self.in_rom = False
        self.reset()

    def reset(self) -> None:
        """A pulse on the reset line."""
        self.in_rom = self._rom is not None and (self.boot0 or not self._rom.program_is_valid)
        if self._rom is not None and self.in_rom:
            self._rom.restart()
        else:
            self.machine.reset()

    def touch(self) -> None:
        """The port was opened with 1200 baud and closed: what a running program takes for a wish to be replaced."""
        if self._loader is not None and self._loader.touch and not self.in_rom:
            log.info("touched: the bootloader is entered")
            self.machine.flash.erase(self._loader.offset, self.machine.chip.flash.sectors[0].size)
            self.reset()

    def feed(self, data: bytes) -> None:
        """Bytes that the board receives."""
        if self._rom is None or not self.in_rom:
            self.machine.uart.feed(data)
            return
        self.output += self._rom.feed(data)
        if self._rom.started is not None or self._rom.reset:
            # A stub in RAM, as flashing tools start one, does nothing but reset the chip: it is taken for that.
            self.boot0 = self.boot0 and self._rom.held_by_pin and self._rom.started is None
            self.reset()


def _rts_holds_boot0(board: Board) -> bool:
    """Whether the board's way into or out of its bootloader takes the serial port's RTS line."""
    lines = board.control_lines or devices.ControlLines()
    return any(step.startswith("rts ") for step in (*lines.enter, *lines.leave))


def _an3155(machine: Machine | BareChip, loader: Loader) -> BootModel:
    chip = machine.chip
    sectors = [(span.offset, span.size) for span in chip.flash.sector_spans()]
    return An3155Rom(
        machine.flash, chip.flash.base, _ram(machine, loader), sectors, loader.product_id,
        loader.version, commands_of(loader.version), timing=chip.flash,
    )  # fmt: skip


def _sam_ba(machine: Machine | BareChip, loader: Loader) -> BootModel:
    memory = _ram(machine, loader)
    return SamBaMonitor(machine.flash, machine.chip.flash, memory, loader.offset, loader.product_id)


def _ram(machine: Machine | BareChip, loader: Loader) -> Ram:
    ram = machine.chip.main_ram
    return Ram(ram.base, ram.size, loader.ram_reserved, machine.engine.read, machine.engine.write)


def _stellaris(machine: Machine | BareChip, loader: Loader) -> BootModel:
    return StellarisLoader(machine.flash, machine.chip.flash, loader.offset)


MODELS: dict[str, Callable[[Machine | BareChip, Loader], BootModel]] = {
    "an3155": _an3155,
    "sam-ba": _sam_ba,
    "stellaris": _stellaris,
}
"""What a bootloader on a serial port does, by its protocol."""


def boot_loader(board: Board) -> Loader | None:
    """The first of the board's bootloaders that there is a model of."""
    return next((loader for loader in board.loaders if loader.protocol in MODELS), None)


def shows_drive_in_bootloader(board: Board) -> bool:
    """Whether the board's drive is its bootloader's, which is gone while the program runs."""
    loader = drive_loader(board)
    return loader is not None and loader.protocol == "uf2"


def boot_model(machine: Machine | BareChip) -> tuple[Loader | None, BootModel | None]:
    """The bootloader of the machine's board, and its model that works on the machine's flash and RAM."""
    loader = boot_loader(machine.board)
    return loader, MODELS[loader.protocol](machine, loader) if loader else None


# --- the two kinds of serial port -------------------------------------------------------------------------------


class Port(Protocol):
    """Where a client connects. `url` is what it opens."""

    url: str

    def files(self) -> list[Any]:
        """What to wait for, for `select`; empty when nothing can come."""

    def receive(self) -> bytes:
        """What the client has sent; never waits."""

    def send(self, data: bytes) -> None:
        """Pass on what the board says; lost when nobody listens, as on a real line."""

    def was_touched(self) -> bool:
        """Whether a client has opened it with 1200 baud and left, since this was asked last."""

    def close(self) -> None: ...


class PseudoTerminal:
    """A pseudo-terminal, with a symbolic link to it at `link`. Raises UsageError when `link` is taken."""

    def __init__(self, link: Path | None = None) -> None:
        import pty
        import tty

        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.url = os.ttyname(slave)
        os.close(slave)  # so that we notice whether a client has it open
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._link = link
        if link is not None:
            self._place_link(link)

    def _place_link(self, link: Path) -> None:
        try:
            if link.is_symlink():  # left behind by one that was killed
                link.unlink()
            link.symlink_to(self.url)
        except OSError as error:
            self._link = None
            self.close()
            raise UsageError(f"cannot make the link {link}: {error.strerror}", next_action="choose another") from error
        self.url = str(link)

    def _events(self) -> int:
        return sum(event for _, event in self._poll.poll(0))

    def _has_client(self) -> bool:
        return not self._events() & select.POLLHUP

    def files(self) -> list[Any]:
        """What a client said last can be read when it has gone."""
        events = self._events()
        return [self._master] if not events & select.POLLHUP or events & select.POLLIN else []

    def receive(self) -> bytes:
        try:
            return os.read(self._master, CHUNK)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN):  # nobody there, nothing there
                raise
            return b""

    def send(self, data: bytes) -> None:
        if self._has_client():
            with suppress(BlockingIOError):
                os.write(self._master, data)

    def was_touched(self) -> bool:
        """The settings stay when the client has gone."""
        import termios

        if self._has_client():
            return False
        settings = termios.tcgetattr(self._master)
        if settings[RATE] != termios.B1200:
            return False
        settings[RATE] = settings[RATE - 1] = termios.B115200
        termios.tcsetattr(self._master, termios.TCSANOW, settings)
        return True

    def close(self) -> None:
        os.close(self._master)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()


class ControlLines:
    """The board's side of a serial port's settings, with the attributes that pyserial's PortManager uses.

    Where the board's file has them wired, DTR pulls the reset line and RTS holds BOOT0 low, as a plain USB adapter
    does, whose outputs are inverted. A reset happens when DTR lets go. At 1200 baud that is a touch.
    """

    baudrate, bytesize, parity, stopbits = 115200, 8, "N", 1
    xonxoff = rtscts = break_condition = False
    cts = dsr = cd = True
    ri = False

    def __init__(self, board: ServedBoard) -> None:
        self._board = board
        self._dtr = False

    def reset_input_buffer(self) -> None:
        self._board.output.clear()

    def reset_output_buffer(self) -> None:
        """What was sent has arrived already."""

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, state: bool) -> None:
        if self._dtr and not state:
            if self.baudrate == TOUCH:
                self._board.touch()
            elif self._board.machine.board.dtr_resets:
                self._board.reset()
        self._dtr = state

    @property
    def rts(self) -> bool:
        return not self._board.boot0

    @rts.setter
    def rts(self, state: bool) -> None:
        if self._board.rts_holds_boot0:
            self._board.boot0 = not state


class Rfc2217:
    """A TCP port that speaks rfc2217, for one client at a time. `address` is HOST:PORT, or PORT on 127.0.0.1."""

    def __init__(self, address: str, board: ServedBoard) -> None:
        host, _, port = address.rpartition(":")
        host = host or "127.0.0.1"
        try:
            self._listener = socket.create_server((host, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(f"cannot listen on {address}: {error}", next_action="use HOST:PORT, PORT free") from error
        self.url = f"rfc2217://{host}:{self._listener.getsockname()[1]}"
        self._board = board
        self._client: socket.socket | None = None
        self._manager: Any = None

    def files(self) -> list[Any]:
        return [self._client or self._listener]

    def receive(self) -> bytes:
        if self._client is None:
            self._accept()
            return b""
        try:
            data = self._client.recv(CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return b"".join(self._manager.filter(data))

    def _accept(self) -> None:
        from mcutool.flash.link import port_manager

        if select.select([self._listener], [], [], 0)[0]:
            self._client, _ = self._listener.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._manager = port_manager(ControlLines(self._board), self)

    def write(self, data: bytes) -> None:
        """Bytes of the rfc2217 protocol itself."""
        if self._client is not None:
            with suppress(OSError):
                self._client.sendall(data)

    def send(self, data: bytes) -> None:
        if self._manager is not None:
            self.write(b"".join(self._manager.escape(data)))

    def was_touched(self) -> bool:
        """The control lines tell the board themselves."""
        return False

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def close(self) -> None:
        self._hang_up()
        self._listener.close()


# --- the loop ---------------------------------------------------------------------------------------------------


class Server:
    """Runs a board and passes bytes between it and a port until `stop` is called."""

    def __init__(self, board: ServedBoard, port: Port, drive: Folder | None = None) -> None:
        self.board = board
        self.port = port
        self.drive = drive
        self.waits_for_drive = False  # the bootloader runs, which shows one
        self._stopped = False
        self._lockup = ""

    def start_program(self) -> None:
        """What has come through the drive."""
        self.waits_for_drive = self.board.boot0 = False
        self.board.reset()

    def stop(self, *_signal: object) -> None:
        self._stopped = True

    def run(self) -> None:
        while not self._stopped:
            if self.waits_for_drive or self.board.in_rom or isinstance(self.board.machine, BareChip):
                self.exchange(LONGEST_WAIT)
            else:
                run_in_real_time(self.board.machine, self.exchange, lambda: self._stopped or self.board.in_rom)

    def exchange(self, wait: float) -> None:
        """Pass bytes both ways; returns after `wait` seconds, or as soon as the board has been told something."""
        self._tell_lockup()
        if self.drive is not None:
            self.drive.poll()
        if self.board.output:
            self.port.send(bytes(self.board.output))
            self.board.output.clear()
        files = self.port.files()
        if self.port.was_touched():
            self.board.touch()
        if not files:
            time.sleep(min(wait, NOBODY_THERE))
        elif select.select(files, [], [], min(wait, LONGEST_WAIT))[0]:
            self.board.feed(self.port.receive())

    def _tell_lockup(self) -> None:
        """A board that has stopped for good says nothing itself."""
        lockup = self.board.machine.lockup
        if lockup and lockup != self._lockup:
            log.warning("the emulated board has stopped until it is reset: %s", lockup)
        self._lockup = lockup


@contextmanager
def _signals(stop: Callable[..., None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `stop` inside."""
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(
    board: Board,
    *,
    boot0: bool = False,
    link: Path | None = None,
    rfc2217: str | None = None,
    flash_file: Path | None = None,
    drive: Path | None = None,
    announce: Callable[[str], None] = lambda url: print(f"ready: {url}", flush=True),
) -> None:
    """Emulate a board until SIGINT or SIGTERM. With `boot0` its flash is empty and its bootloader waits.

    `flash_file` keeps the flash between runs, `drive` is where the board's drive appears. `announce` gets the URL when
    a client may connect.
    """
    if boot0 and boot_loader(board) is None and not shows_drive_in_bootloader(board):
        what = f"{board.name} has no serial bootloader that is emulated"
        raise UsageError(what, next_action="emulate it without --boot rom")
    if boot0 and boot_loader(board) is None and drive is None:
        raise UsageError(f"the bootloader of {board.name} shows a drive", next_action="say where: --drive FOLDER")
    if flash_file is not None and flash_file.suffix.lower() in {*WITH_ADDRESSES} - WRITERS.keys():
        raise UsageError(f"{flash_file} could not be kept up to date", next_action="name a .bin, .hex or .uf2 file")
    machine = _machine(board, boot0)
    if flash_file is not None:
        _check_flash_file(flash_file)
        machine.load_flash_file(flash_file)
    served = ServedBoard(machine, boot0)
    shown = drive_of(board, machine.flash, drive) if drive else None
    port: Port = Rfc2217(rfc2217, served) if rfc2217 else PseudoTerminal(link)
    server = Server(served, port, shown)
    server.waits_for_drive = boot0 and boot_loader(board) is None
    try:
        with _signals(server.stop):
            if shown is not None and (boot0 or not shows_drive_in_bootloader(board)):
                shown.on_start = server.start_program
                shown.show()
            announce(port.url)
            server.run()
    finally:
        port.close()
        if shown is not None:
            shown.hide()
        if flash_file is not None:
            _save(machine, flash_file)


def _machine(board: Board, boot0: bool) -> Machine | BareChip:
    """Raises Unsupported when the board is to run a program and there is none for it."""
    if not board.chip.has_runtime and boot_loader(board) is not None:
        return BareChip(board)
    return Machine(board, None if boot0 else board.firmware)


def _check_flash_file(path: Path) -> None:
    """Raises UsageError when the flash could not be kept there: nobody should learn that at the end."""
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        raise UsageError(f"cannot keep the flash in {path}", next_action="name a file that can be written")


def _save(machine: Machine | BareChip, path: Path) -> None:
    try:
        machine.save_flash_file(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", next_action="choose another file") from error
