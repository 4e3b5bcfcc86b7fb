"""Flash memory: cells that only an erase sets, and the controllers that unlock, erase and program them.

This file decides what a store, a key and a command do to the cells, and how long they take. It refuses to know the
addresses of flash and of its controller. Sources: ST RM0090 section 3, PM0075; Nordic nRF51 Series Reference Manual;
RP2040 datasheet, sections 2.8.3 and 4.10.
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool.devices import Flash, Sector
from mcutool.emulator import rp2040_rom
from mcutool.emulator.clock import Clock
from mcutool.emulator.registers import Device
from mcutool.image import boot2


class FlashArray:
    """The cells: programming clears bits, erasing sets them; every change passes `change`, the place to inject faults.

    Offsets count from the start of flash. `wear` counts erases by sector offset, `violations` the offsets where a
    program tried to set a bit that only an erase can set.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None], size: int, erased: int = 0xFF
    ) -> None:
        self._read, self._write, self.size, self.erased = read, write, size, erased
        self.operations = 0
        self.wear: dict[int, int] = {}
        self.violations: list[int] = []
        self.before_change: Callable[[str, int, bytes], bytes] = lambda kind, offset, data: data
        self.dirty = False

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(self.size)
        return self._read(start, max(stop - start, 0))

    def load(self, offset: int, data: bytes) -> None:
        """Set cells as a debug probe or a factory would, without rules."""
        if offset + len(data) > self.size:
            raise IndexError(f"{len(data)} bytes at offset {offset:#x} do not fit into {self.size} bytes of flash")
        self._write(offset, data)
        self.dirty = True

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`."""
        old = self[offset : offset + len(data)]
        new = bytes(cell & byte for cell, byte in zip(old, data, strict=True))
        if new != data:
            self.violations.append(offset)
        self._change("program", offset, new)

    def erase(self, offset: int, size: int) -> None:
        self.wear[offset] = self.wear.get(offset, 0) + 1
        self._change("erase", offset, bytes((self.erased,)) * size)

    def _change(self, kind: str, offset: int, data: bytes) -> None:
        self.operations += 1
        self._write(offset, self.before_change(kind, offset, data))
        self.dirty = True


class FlashController(Device):
    """Registers that unlock, erase and program; while busy, code in flash stands still (`stall`).

    `store` gets the program's stores into flash, after the instruction: (offset, size, value). It may raise BusError.
    `readable` says whether the core can read flash and execute from it. Where code in a `ROM` at address 0 does the
    work, its vectors are the first, `boot` does what it does at a reset, `store_in_rom` gets its stores into itself and
    raises BusError for one that is no call.
    """

    STATE: tuple[str, ...] = ("busy_until",)
    ROM = b""
    readable = True

    def __init__(self, clock: Clock, cells: FlashArray, memory: Flash, stall: Callable[[int], None]) -> None:
        self.clock, self.cells, self._stall = clock, cells, stall
        self.base, self.sectors = memory.base, list(memory.sector_spans())
        self.program_us = memory.program_us
        self.read_memory: Callable[[int, int], bytes] = lambda address, size: b""
        self.write_memory: Callable[[int, bytes], None] = lambda address, data: None
        self.busy_until = 0
        self.reset()

    def erase(self, sectors: list[Sector]) -> None:
        """Erase sectors and be busy as long as that takes."""
        for sector in sectors:
            self.cells.erase(sector.offset, sector.size)
        self._occupy(sum(sector.erase_us for sector in sectors))

    def program(self, offset: int, size: int, value: int) -> None:
        """Clear bits of one write unit and be busy as long as that takes."""
        self.cells.program(offset, value.to_bytes(size, "little"))
        self._occupy(self.program_us)

    def _occupy(self, microseconds: int) -> None:
        self.busy_until = self.clock.now + self.clock.cycles(microseconds / 1e6)
        self._stall(self.busy_until)

    @property
    def busy(self) -> bool:
        return self.clock.now < self.busy_until

    def store(self, offset: int, size: int, value: int) -> None:
        raise NotImplementedError

    def boot(self) -> str:
        """At a reset: what prevents the program in flash from being started, if anything does."""
        return ""

    def store_in_rom(self, address: int, value: int) -> None:
        raise NotImplementedError


class BusError(Exception):
    """A store that the controller answers with an error on the bus: the core takes a fault."""


class Stm32Flash(FlashController):
    """What the flash interfaces of STM32F1, F2 and F4 share: two keys, a control and a status register."""

    KEY, STATUS, CONTROL = 0x04, 0x0C, 0x10
    KEYS = (0x45670123, 0xCDEF89AB)
    PROGRAM, ERASE_ONE, ERASE_ALL = 1, 1 << 1, 1 << 2
    BUSY, START, LOCKED = 0, 0, 0  # each family's own
    REGISTERS: dict[int, int] = {}  # the others, as they are after a reset
    STATE = (*FlashController.STATE, "control", "status", "key_index", "registers")

    def reset(self) -> None:
        self.control = self.LOCKED
        self.status = 0
        self.key_index = 0
        self.registers = dict(self.REGISTERS)

    def read(self, offset: int) -> int:
        if offset == self.STATUS:
            return self.status | (self.BUSY if self.busy else 0)
        return self.control if offset == self.CONTROL else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.KEY:
            self._unlock(value)
        elif offset == self.STATUS:
            self.status &= ~value
        elif offset == self.CONTROL:
            self._command(value)
        else:
            self.registers[offset] = value

    def merged(self, offset: int) -> int:
        return self.read(offset) if offset != self.STATUS else 0

    def _unlock(self, key: int) -> None:
        """The keys in order; a wrong one locks until the next reset."""
        if self.key_index < len(self.KEYS) and key == self.KEYS[self.key_index]:
            self.key_index += 1
            if self.key_index == len(self.KEYS):
                self.control &= ~self.LOCKED
        else:
            self.key_index = len(self.KEYS) + 1

    def _command(self, value: int) -> None:
        if self.control & self.LOCKED or self.busy:
            return
        self.control = value & ~self.START
        if value & self.LOCKED:
            self.key_index = 0
        if value & self.START and value & (self.ERASE_ONE | self.ERASE_ALL):
            self.start_erase(value)

    def start_erase(self, command: int) -> None:
        raise NotImplementedError


class Stm32f1Flash(Stm32Flash):
    """The flash interface (FPEC) of STM32F1 (PM0075 section 2): pages by address, halfwords, each only once."""

    ADDRESS = 0x14
    PROGRAMMING_ERROR, DONE = 1 << 2, 1 << 5
    BUSY, START, LOCKED = 1, 1 << 6, 1 << 7
    REGISTERS = {0x00: 0x30, 0x1C: 0x03FFFFFC, 0x20: 0xFFFFFFFF}
    ERASED = b"\xff\xff"

    def start_erase(self, command: int) -> None:
        offset = self.registers.get(self.ADDRESS, 0) - self.base
        if command & self.ERASE_ALL:
            self.erase(self.sectors[:1])  # all of it takes as long as a page
            for sector in self.sectors[1:]:
                self.cells.erase(sector.offset, sector.size)
        else:
            self.erase([sector for sector in self.sectors if sector.offset <= offset < sector.end])
        self.status |= self.DONE

    def store(self, offset: int, size: int, value: int) -> None:
        if not self.control & self.PROGRAM:
            return
        if size != 2 or offset % 2:
            raise BusError
        if self.cells[offset : offset + 2] != self.ERASED and value != 0:
            self.status |= self.PROGRAMMING_ERROR
        else:
            self.program(offset, size, value)
            self.status |= self.DONE


class Stm32f4Flash(Stm32Flash):
    """The flash interface of STM32F2 and F4 (RM0090 section 3): sectors by number, parallelism, error flags."""

    DONE, ALIGNMENT_ERROR, SIZE_ERROR, SEQUENCE_ERROR = 1, 1 << 5, 1 << 6, 1 << 7
    BUSY, START, LOCKED = 1 << 16, 1 << 16, 1 << 31
    REGISTERS = {0x14: 0x0FFFAAED}

    def start_erase(self, command: int) -> None:
        number = command >> 3 & 0xF
        if command & self.ERASE_ALL:
            chosen = self.sectors
        elif number < len(self.sectors):
            chosen = [self.sectors[number]]
        else:
            self.status |= self.SEQUENCE_ERROR
            return
        self.erase(chosen)
        self.status |= self.DONE

    def store(self, offset: int, size: int, value: int) -> None:
        if self.control & self.LOCKED or not self.control & self.PROGRAM:
            self.status |= self.SEQUENCE_ERROR
        elif size != 1 << (self.control >> 8 & 3):
            self.status |= self.SIZE_ERROR
        elif offset % size:
            self.status |= self.ALIGNMENT_ERROR
        else:
            self.program(offset, size, value)
            self.status |= self.DONE


class Nrf51Flash(FlashController):
    """The non-volatile memory controller of nRF51: a write or an erase enable, pages, whole words only."""

    READY, CONFIGURATION, ERASE_PAGE, ERASE_ALL = 0x400, 0x504, 0x508, 0x50C
    WRITE_ENABLED, ERASE_ENABLED = 1, 2
    STATE = (*FlashController.STATE, "configuration")

    def reset(self) -> None:
        self.configuration = 0

    def read(self, offset: int) -> int:
        if offset == self.READY:
            return int(not self.busy)
        return self.configuration if offset == self.CONFIGURATION else 0

    def write(self, offset: int, value: int) -> None:
        if offset == self.CONFIGURATION:
            self.configuration = value & 3
        elif self.configuration != self.ERASE_ENABLED or self.busy:
            return
        elif offset == self.ERASE_PAGE:
            self.erase([sector for sector in self.sectors if sector.offset <= value < sector.end])
        elif offset == self.ERASE_ALL and value & 1:
            self.erase(self.sectors[:1])  # all of it takes as long as a page
            for sector in self.sectors[1:]:
                self.cells.erase(sector.offset, sector.size)

    def store(self, offset: int, size: int, value: int) -> None:
        if self.configuration == self.WRITE_ENABLED and size == 4 and offset % 4 == 0:
            self.program(offset, size, value)


class Rp2040Flash(FlashController):
    """QSPI flash behind the SSI of RP2040, which erases and programs with functions of its boot ROM.

    It can be read once the SSI has been told how, and not between the ROM's EX and CX. The registers are the SSI's.
    """

    CONTROL, FRAMES, ENABLE, DIVIDER, READ_COMMAND = 0x00, 0x04, 0x08, 0x14, 0xF4
    READS = {CONTROL: 0x001F0300, FRAMES: 0, READ_COMMAND: 0x03000218}  # 32 bits at once, by command 03 on one line
    PAGE = 256
    EXIT_US = 98  # that the ROM's EX takes, which ends every way of reading that the flash may be in
    SSI_DIVIDER = 6  # of the core's clock, while the ROM talks to the flash
    SENDING = (PAGE + 4) * 8 * SSI_DIVIDER  # cycles for a page behind its command and address, on one line
    ROM = rp2040_rom.contents()
    STATE = (*FlashController.STATE, "registers", "arguments", "readable", "connected", "flushed")

    def reset(self) -> None:
        self.registers: dict[int, int] = {}
        self.arguments = [0] * rp2040_rom.ARGUMENTS
        self.readable = False
        self.connected = self.flushed = False

    def boot(self) -> str:
        stage = self.cells[: boot2.SIZE]
        if not boot2.is_whole(stage):
            return "the boot ROM has found no second stage bootloader in flash, and shows its drive"
        self.write_memory(rp2040_rom.BOOT2, stage)
        return ""

    def read(self, offset: int) -> int:
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """While the SSI is enabled its configuration cannot be written."""
        if offset == self.ENABLE or not self.registers.get(self.ENABLE, 0) & 1:
            self.registers[offset] = value
        if offset == self.ENABLE:
            self._set_readable(bool(value & 1) and self._reads())

    def _reads(self) -> bool:
        divider = self.registers.get(self.DIVIDER, 0)
        expected = all(self.registers.get(register) == value for register, value in self.READS.items())
        return expected and divider >= 2 and divider % 2 == 0

    def _set_readable(self, readable: bool) -> None:
        """Takes effect before the next instruction."""
        self.readable = readable
        self._stall(self.busy_until)

    def store(self, offset: int, size: int, value: int) -> None:
        """Flash cannot be stored to."""

    def store_in_rom(self, address: int, value: int) -> None:
        call = rp2040_rom.call_of(address)
        if call is None:
            raise BusError
        function, index = call
        self.arguments[index] = value
        if index == len(self.arguments) - 1:
            self.CALLS[function](self)

    def _connect(self) -> None:
        self.connected = True

    def _exit_xip(self) -> None:
        """The ROM has the SSI send single bytes from now on, and holds the flash's select line itself."""
        self.registers = {self.ENABLE: 1, self.CONTROL: 0x00070000, self.DIVIDER: self.SSI_DIVIDER}
        self.flushed = False
        self._occupy(self.EXIT_US)
        self._set_readable(False)

    def _listens(self) -> bool:
        return self.connected and not self.readable and self.registers.get(self.CONTROL) == 0x00070000

    def _erase(self) -> None:
        """In whole sectors; blocks are not modelled."""
        offset, count, *_ = self.arguments
        if self._listens():
            self.erase([sector for sector in self.sectors if offset <= sector.offset < offset + count])

    def _program(self) -> None:
        offset, source, count, _ = self.arguments
        for place in range(0, count if self._listens() and offset % self.PAGE == 0 else 0, self.PAGE):
            self._program_page(offset + place, self.read_memory(source + place, self.PAGE))

    def _program_page(self, offset: int, page: bytes) -> None:
        """What is erased at either end of a page is there to fill it up."""
        wanted = page.strip(b"\xff")
        self.cells.program(offset + len(page) - len(page.lstrip(b"\xff")), wanted)
        self._occupy(self.program_us, self.SENDING)

    def _occupy(self, microseconds: int, cycles: int = 0) -> None:
        """The ROM waits until one page is done before it begins the next."""
        cycles += self.clock.cycles(microseconds / 1e6)
        self.busy_until = max(self.busy_until, self.clock.now) + cycles
        self._stall(self.busy_until)

    def _flush(self) -> None:
        self.flushed = True

    def _enter_xip(self) -> None:
        """Without FC the select line is still held."""
        self.registers = {self.ENABLE: 1, self.DIVIDER: self.SSI_DIVIDER, **self.READS}
        self._set_readable(self.flushed)

    CALLS: dict[str, Callable[[Rp2040Flash], None]] = {
        "IF": _connect, "EX": _exit_xip, "RE": _erase, "RP": _program, "FC": _flush, "CX": _enter_xip,
    }  # fmt: skip


# Without a controller memory is simply written.
FLASH_CONTROLLERS: dict[str, type[FlashController] | None] = {
    "stm32f1": Stm32f1Flash,
    "stm32f4": Stm32f4Flash,
    "nrf51": Nrf51Flash,
    "rp2040": Rp2040Flash,
    "mps2-ram": None,
}
