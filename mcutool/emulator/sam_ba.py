"""The SAM-BA monitor of Arduino's bootloader for the SAMD21, as the device's side of the serial line.

Decides what the monitor answers, what its commands do to flash through the flash controller (erase by row, a page
buffer, programming that only clears bits, the bootloader's own rows protected) and which access stops the chip for
good. Refuses to know the wire (bytes go in, bytes come out) and the core: a start of the program is told to whoever
owns the board. Emulated: a model of the bootloader's source, not a chip.

It takes UART and USB for what they are by how a session begins: with 80 80 # on a UART, with a command on USB. As on
the chip its XMODEM receiver gives up at the first bad block, and its sender repeats a block until that is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from mcutool.devices import Flash, Sector
from mcutool.emulator.bootroms import Cells, Ram, Serving
from mcutool.flash.protocols.xmodem import ACK, BLOCK, CAN, EOT, NAK, PACKET, SOH, START, checksum_of, number_of, packet

VERSION = "v2.0 [Arduino:XYZ] Dec  7 2018 10:35:03\n\r"
HEXADECIMAL = b"0123456789ABCDEFabcdef"
CORTEX_M0_PLUS = 0x410CC601
RESET_KEY = 0x05FA0004
PERIPHERALS = (0x4000, 0x4100, 0x4200, 0xE000)  # upper halves of their addresses
AUXILIARY_ROWS = (0x00804, 0x00806)  # upper parts of addresses in flash that holds settings
SIZES = {"o": 1, "h": 2, "w": 4}


class Fault(Exception):
    """An access to where nothing is: the chip's fault handler does nothing for ever."""


class Nvmctrl:
    """The flash controller of the SAMD21 (DS40001882, section 22)."""

    CONTROL_A, CONTROL_B, PARAMETERS, INTERRUPT_FLAGS, STATUS, ADDRESS = 0x00, 0x04, 0x08, 0x14, 0x18, 0x1C
    KEY, ERASE_ROW, WRITE_PAGE, CLEAR_BUFFER = 0xA500, 0x02, 0x04, 0x44
    READY, MANUAL_WRITE, LOCK_ERROR, PROGRAM_ERROR = 1, 1 << 7, 1 << 3, 1 << 2

    def __init__(self, cells: Cells, flash: Flash, protected: int) -> None:
        """The first `protected` bytes of flash belong to the bootloader."""
        self.busy = 0.0
        self._cells, self._flash, self._protected = cells, flash, protected
        self._rows = {sector.offset: sector for sector in flash.sector_spans()}
        self.reset()

    def reset(self) -> None:
        self._registers = {self.CONTROL_B: self.MANUAL_WRITE, self.STATUS: 0, self.ADDRESS: 0}
        self._clear_buffer()

    def read(self, offset: int) -> int:
        pages = self._flash.size // self._flash.write_unit
        fixed = {self.INTERRUPT_FLAGS: self.READY, self.PARAMETERS: pages | self._page_size_code() << 16}
        return fixed.get(offset, self._registers.get(offset, 0))

    def _page_size_code(self) -> int:
        return self._flash.write_unit.bit_length() - 4

    def write(self, offset: int, value: int) -> None:
        if offset == self.CONTROL_A:
            self._command(value)
        elif offset == self.STATUS:
            self._registers[offset] &= ~value
        elif offset in self._registers:
            self._registers[offset] = value

    def store(self, offset: int, data: bytes) -> None:
        """A write to flash goes into the page buffer; unless writes are manual, a full page is written."""
        page = self._flash.write_unit
        for place, byte in enumerate(data, offset):
            self._buffer[place % page] &= byte
        self._registers[self.ADDRESS] = offset // 2
        if (offset + len(data)) % page == 0 and not self._registers[self.CONTROL_B] & self.MANUAL_WRITE:
            self._command(self.KEY | self.WRITE_PAGE)

    def _clear_buffer(self) -> None:
        self._buffer = bytearray(b"\xff" * self._flash.write_unit)

    def _command(self, value: int) -> None:
        commands = {
            self.ERASE_ROW: self._erase_row,
            self.WRITE_PAGE: self._write_page,
            self.CLEAR_BUFFER: lambda _offset: self._clear_buffer(),
        }
        offset = self._registers[self.ADDRESS] * 2 & 0x3FFFFF
        if value & 0xFF00 != self.KEY or value & 0xFF not in commands or offset >= self._flash.size:
            self._registers[self.STATUS] |= self.PROGRAM_ERROR
        elif value & 0xFF != self.CLEAR_BUFFER and offset < self._protected:
            self._registers[self.STATUS] |= self.LOCK_ERROR
        else:
            commands[value & 0xFF](offset)

    def _erase_row(self, offset: int) -> None:
        row: Sector = self._rows[offset - offset % self._flash.sectors[0].size]
        self._cells.erase(row.offset, row.size)
        self.busy += row.erase_us / 1e6

    def _write_page(self, offset: int) -> None:
        """With a clear buffer, as after a write that the last word of a page set off, there is nothing to program."""
        if self._buffer == b"\xff" * len(self._buffer):
            return
        self._cells.program(offset - offset % self._flash.write_unit, bytes(self._buffer))
        self.busy += self._flash.program_us / 1e6
        self._clear_buffer()

    # --- what the monitor does with it --------------------------------------------------------------------------

    def erase_from(self, offset: int) -> None:
        for start in range(offset, self._flash.size, self._flash.sectors[0].size):
            self.write(self.ADDRESS, start // 2)
            self.write(self.CONTROL_A, self.KEY | self.ERASE_ROW)

    def copy(self, offset: int, data: bytes) -> None:
        page = self._flash.write_unit
        self._registers[self.CONTROL_B] &= ~self.MANUAL_WRITE
        for start in range(0, len(data), page):
            self._clear_buffer()
            self.store(offset + start, data[start : start + page])
            self._command(self.KEY | self.WRITE_PAGE)


@dataclass
class SamBaMonitor:
    """A SAMD21 in Arduino's bootloader, whose first `offset` bytes of flash are the bootloader itself.

    See BootModel. `started` is the address of code that was called. `hung` is why only a reset helps.
    """

    cells: Cells
    flash: Flash
    ram: Ram
    offset: int
    device_id: int
    core_id: int = CORTEX_M0_PLUS
    version: str = VERSION
    started: int | None = None
    reset: bool = False
    hung: str = ""
    uart: bool = field(default=True, init=False)
    held_by_pin = False

    def __post_init__(self) -> None:
        self._output = bytearray()
        self._controller = Nvmctrl(self.cells, self.flash, self.offset)
        self._registers: dict[int, Callable[[], int]] = {
            0xE000ED00: lambda: self.core_id,
            0x41002018: lambda: self.device_id,
        }
        self.restart()

    @property
    def busy(self) -> float:
        """Seconds that flash took so far."""
        return self._controller.busy

    @property
    def program_is_valid(self) -> bool:
        """Whether a reset starts what is in flash; else the monitor stays."""
        return self.cells[self.offset + 4 : self.offset + 8] != b"\xff" * 4

    def restart(self) -> None:
        """What a reset with the monitor chosen does: wait for the beginning of a session."""
        self.started, self.reset, self.hung = None, False, ""
        self._controller.reset()
        self._pointer = self._number = self._source = 0
        self._letter = ord("z")
        self._terminal = False
        self._serving = self._serve()
        next(self._serving)

    def feed(self, data: bytes) -> bytes:
        """Take received bytes, give back the answer."""
        for byte in data:
            if self.started is not None or self.reset or self.hung:
                break
            try:
                self._serving.send(byte)
            except Fault as fault:
                self.hung = str(fault)
        answer = bytes(self._output)
        self._output.clear()
        return answer

    # --- one command after the other --------------------------------------------------------------------------

    def _serve(self) -> Serving:
        heard = b""
        while not heard.endswith(b"#"):
            heard = heard[-16:] + bytes(((yield),))
        self.uart = b"\x80" in heard
        for byte in b"" if self.uart else heard:
            yield from self._take(byte)
        while True:
            yield from self._take((yield))

    def _take(self, byte: int) -> Serving:
        """One byte outside of data, as the monitor's parser sees it."""
        if byte == 0xFF:
            return
        if byte == ord("#"):
            if self._terminal:
                self._say("\n\r")
            yield from self._execute(chr(self._letter))
            self._letter, self._number = ord("z"), 0
            if self._terminal:
                self._say(">")
        elif byte in HEXADECIMAL:
            self._number = (self._number << 4 | int(chr(byte), 16)) & 0xFFFFFFFF
        elif byte == ord(","):
            self._pointer, self._number = self._number, 0
        else:
            self._letter, self._number = byte, 0

    def _execute(self, letter: str) -> Serving:
        simple: dict[str, Callable[[], None]] = {
            "N": self._binary, "T": self._as_text, "V": lambda: self._say(self.version),
            "X": self._erase, "Y": self._copy, "Z": self._checksum, "G": self._go,
        }  # fmt: skip
        if letter in "XYZ" and letter not in self.version.partition("[Arduino:")[2]:
            return
        if letter in simple:
            simple[letter]()
        elif letter in SIZES:
            self._answer_number(SIZES[letter])
        elif letter.lower() in SIZES:
            self._store_number(SIZES[letter.lower()])
        elif letter == "R":
            yield from self._send(self._read(self._pointer, self._number))
        elif letter == "S":
            yield from self._receive()

    def _say(self, answer: str | bytes) -> None:
        self._output += answer.encode("latin-1") if isinstance(answer, str) else answer

    # --- memory -----------------------------------------------------------------------------------------------

    def _read(self, address: int, length: int) -> bytes:
        if self._in_flash(address, length):
            return self.cells[address - self.flash.base : address - self.flash.base + length]
        if self._in_ram(address, length):
            return self.ram.read(address, length)
        return self._register(address).to_bytes(4, "little")[:length]

    def _in_flash(self, address: int, length: int) -> bool:
        return self.flash.base <= address <= address + length <= self.flash.base + self.flash.size

    def _in_ram(self, address: int, length: int) -> bool:
        return self.ram.base <= address <= address + length <= self.ram.base + self.ram.size

    def _register(self, address: int) -> int:
        if address in self._registers:
            return self._registers[address]()
        if 0 <= address - self.flash.registers < 0x40:
            return self._controller.read(address - self.flash.registers)
        if address >> 16 in PERIPHERALS:
            return 0
        if address >> 12 in AUXILIARY_ROWS:
            return 0xFFFFFFFF
        raise Fault(f"an access to {address:#010x}")

    def _write(self, address: int, data: bytes) -> None:
        if self._in_flash(address, len(data)):
            if len(data) == 1:
                raise Fault("a byte written to flash")
            self._controller.store(address - self.flash.base, data)
        elif self._in_ram(address, len(data)):
            if address < self.ram.base + self.ram.reserved:
                raise Fault("the monitor's own memory is overwritten")
            self.ram.write(address, data)
        elif address == 0xE000ED0C:
            self.reset = int.from_bytes(data, "little") == RESET_KEY
        elif self._register(address) is not None:
            self._controller.write(address - self.flash.registers, int.from_bytes(data, "little"))

    # --- the commands -----------------------------------------------------------------------------------------

    def _binary(self) -> None:
        if not self._terminal:
            self._say("\n\r")
        self._terminal = False

    def _as_text(self) -> None:
        self._terminal = True
        self._say("\n\r")

    def _answer_number(self, size: int) -> None:
        if self._pointer % size:
            raise Fault(f"an unaligned access to {self._pointer:#010x}")
        data = self._read(self._pointer, size)
        self._say(f"0x{int.from_bytes(data, 'little'):0{2 * size}X}\n\r" if self._terminal else data)

    def _store_number(self, size: int) -> None:
        if self._pointer % size:
            raise Fault(f"an unaligned access to {self._pointer:#010x}")
        self._write(self._pointer, (self._number & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def _go(self) -> None:
        self._read(self._number, 8)
        self.started = self._number

    def _erase(self) -> None:
        self._controller.erase_from(self._number)
        self._say("X\n\r")

    def _copy(self) -> None:
        if self._number == 0:
            self._source = self._pointer
        elif self._number >= 4:
            size = self._number & ~3
            data = self._read(self._source, size)
            if not self._in_flash(self._pointer, size) or self._pointer % 4:
                raise Fault(f"a page for {self._pointer:#010x}")
            self._controller.copy(self._pointer - self.flash.base, data)
        self._say("Y\n\r")

    def _checksum(self) -> None:
        self._say(f"Z{checksum_of(self._read(self._pointer, self._number)):08X}#\n\r")

    # --- data -------------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> Serving:
        if not self.uart:
            self._say(data)
            return
        while (answer := (yield)) not in (NAK, START):
            if answer == ord("q"):
                return
        for start in range(0, len(data), BLOCK):
            answer = 0
            while answer != ACK:
                self._say(packet(start // BLOCK + 1, data[start : start + BLOCK]))
                answer = yield
        self._say(bytes((EOT,)))
        yield

    def _receive(self) -> Serving:
        place, left = self._pointer, self._number
        if not self.uart:
            while left:
                self._write(place, bytes(((yield),)))
                place, left = place + 1, left - 1
            return
        self._say(bytes((START,)))
        number = 1
        while (first := (yield)) == SOH:
            received = yield from self._take_bytes(PACKET - 1)
            for byte in received[2 : 2 + min(BLOCK, left)]:
                self._write(place, bytes((byte,)))
                place, left = place + 1, left - 1
            if number_of(bytes((SOH,)) + received) != number:
                self._say(bytes((CAN,)))
                return
            self._say(bytes((ACK,)))
            number = number + 1 & 0xFF
        if first == EOT:
            self._say(bytes((ACK,)))

    def _take_bytes(self, count: int) -> Generator[None, int, bytes]:
        data = bytearray()
        while len(data) < count:
            data.append((yield))
        return bytes(data)
