"""The vendors' ROM bootloaders, as the device's side of the serial line.

Decides what the STM32 ROM answers to AN3155 commands and how it treats flash: erase sets bits, programming only
clears them. Refuses to know the wire (bytes go in, bytes come out) and the core: what GO starts is told to whoever
owns the board. Emulated: a model of the application note, not a chip.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mcutool.devices import Flash
from mcutool.flash.protocols.an3155 import ACK, COMMANDS, NACK, SYNC, checksum_of, crc32_of

VERSION = 0x31
F4_COMMANDS = (
    "get", "get version", "get id", "read", "go", "write", "extended erase",
    "write protect", "write unprotect", "readout protect", "readout unprotect",
)  # fmt: skip

Serving = Generator[None, int, None]


def commands_of(version: int) -> Sequence[str]:
    """The commands of a bootloader that speaks that version: before 3.0 it erases pages by numbers of one byte."""
    return F4_COMMANDS if version >= 0x30 else [name.removeprefix("extended ") for name in F4_COMMANDS]


class Cells(Protocol):
    """Flash by offset: erasing sets bits, programming clears them (devices.FlashArray)."""

    size: int

    def __getitem__(self, span: slice) -> bytes: ...

    def program(self, offset: int, data: bytes) -> None: ...

    def erase(self, offset: int, size: int) -> None: ...


@dataclass
class Ram:
    """RAM by address; its first `reserved` bytes belong to the ROM."""

    base: int
    size: int
    reserved: int
    read: Callable[[int, int], bytes]
    write: Callable[[int, bytes], None]


class BootModel(Protocol):
    """The device's side of a bootloader's line.

    `started` is the address of a program that it was told to start, `reset` becomes true when it resets the chip;
    what comes afterwards is lost.
    """

    started: int | None
    reset: bool
    held_by_pin: bool
    """Whether a pin chooses it at every reset; else a valid program in flash starts, unless a person intervenes."""

    @property
    def busy(self) -> float:
        """Seconds that flash took so far."""

    @property
    def program_is_valid(self) -> bool:
        """Whether a reset starts what is in flash, where nothing holds it in the bootloader."""

    def restart(self) -> None:
        """A reset into the bootloader."""

    def feed(self, data: bytes) -> bytes:
        """Take received bytes, give back the sent ones."""


class BytewiseModel:
    """What the models that take byte after byte share: `_serve` gets them, and puts its answers into `_output`."""

    started: int | None
    reset: bool
    _output: bytearray

    def _serve(self) -> Serving:
        raise NotImplementedError

    def restart(self) -> None:
        """A reset into the bootloader: wait for the first byte of a session again."""
        self.started, self.reset = None, False
        self._serving = self._serve()
        next(self._serving)

    def feed(self, data: bytes) -> bytes:
        """Take received bytes, give back the answer; what comes after a start or a reset is lost, as on a chip."""
        for byte in data:
            if self.started is not None or self.reset:
                break
            self._serving.send(byte)
        answer = bytes(self._output)
        self._output.clear()
        return answer


@dataclass
class An3155Rom(BytewiseModel):
    """An STM32 in its ROM bootloader: see BootModel. `reset` is what a protection command does.

    `sectors` are (offset, size) pairs by page number. `timing` says how long they take.
    """

    flash: Cells
    flash_base: int
    ram: Ram
    sectors: Sequence[tuple[int, int]]
    product_id: int
    version: int = VERSION
    commands: Sequence[str] = F4_COMMANDS
    readout_protected: bool = False
    write_protected: set[int] = field(default_factory=set)
    started: int | None = None
    reset: bool = False
    timing: Flash | None = None
    busy: float = 0.0
    held_by_pin = True
    program_is_valid = True  # it does not look

    def __post_init__(self) -> None:
        self._output = bytearray()
        self._erase_us = [sector.erase_us for sector in self.timing.sector_spans()] if self.timing else []
        self._handlers = {COMMANDS[name]: (name, getattr(self, "_" + name.replace(" ", "_"))) for name in self.commands}
        self.restart()

    # --- one command after the other --------------------------------------------------------------------------

    def _serve(self) -> Serving:
        while (yield) != SYNC:
            pass
        self._say(ACK)
        while True:
            code = yield
            complement = yield
            name, handler = self._handlers.get(code, ("", None))
            if handler is None or code ^ complement != 0xFF or (self.readout_protected and name in _READOUT):
                self._say(NACK)
            else:
                self._say(ACK)
                yield from handler()

    def _say(self, *answer: int) -> None:
        self._output += bytes(answer)

    def _take(self, count: int) -> Generator[None, int, bytes]:
        data = bytearray()
        while len(data) < count:
            data.append((yield))
        return bytes(data)

    def _word(self) -> Generator[None, int, int | None]:
        """Four bytes and their XOR, acknowledged by the caller; None when the XOR is wrong."""
        data = yield from self._take(5)
        return None if checksum_of(data) else int.from_bytes(data[:4], "big")

    def _address(self) -> Generator[None, int, int | None]:
        """An address in flash or RAM, acknowledged; None when it was refused."""
        address = yield from self._word()
        if address is None or not (self._in_flash(address, 1) or self._in_ram(address, 1)):
            self._say(NACK)
            return None
        self._say(ACK)
        return address

    def _in_flash(self, address: int, length: int) -> bool:
        return self.flash_base <= address and address + length <= self.flash_base + self.flash.size

    def _in_ram(self, address: int, length: int) -> bool:
        return self.ram.base <= address and address + length <= self.ram.base + self.ram.size

    def _contents(self, address: int, length: int) -> bytes | None:
        """What is there, or None when that is neither flash nor RAM."""
        if self._in_flash(address, length):
            offset = address - self.flash_base
            return self.flash[offset : offset + length]
        return self.ram.read(address, length) if self._in_ram(address, length) else None

    # --- the commands -----------------------------------------------------------------------------------------

    def _get(self) -> Serving:
        codes = [COMMANDS[name] for name in self.commands]
        self._say(len(codes), self.version, *codes, ACK)
        yield from ()

    def _get_version(self) -> Serving:
        self._say(self.version, 0, 0, ACK)
        yield from ()

    def _get_id(self) -> Serving:
        self._say(1, *self.product_id.to_bytes(2, "big"), ACK)
        yield from ()

    def _read(self) -> Serving:
        address = yield from self._address()
        if address is None:
            return
        count, complement = yield from self._take(2)
        contents = self._contents(address, count + 1)
        if count ^ complement != 0xFF or contents is None:
            self._say(NACK)
        else:
            self._say(ACK, *contents)

    def _write(self) -> Serving:
        address = yield from self._address()
        if address is None:
            return
        count = yield
        data = yield from self._take(count + 2)
        done = not count ^ checksum_of(data) and self._program(address, data[:-1])
        self._say(ACK if done else NACK)

    def _program(self, address: int, data: bytes) -> bool:
        if address % 4 or len(data) % 4:
            return False
        if self._in_flash(address, len(data)):
            return self._program_flash(address - self.flash_base, data)
        if not self._in_ram(address, len(data)) or address < self.ram.base + self.ram.reserved:
            return False
        self.ram.write(address, data)
        return True

    def _program_flash(self, first: int, data: bytes) -> bool:
        last = first + len(data)
        touched = {n for n, (offset, size) in enumerate(self.sectors) if first < offset + size and offset < last}
        if touched & self.write_protected:
            return False
        self.flash.program(first, data)
        if self.timing:
            self.busy += len(data) / self.timing.write_unit * self.timing.program_us / 1e6
        return True

    def _erase(self) -> Serving:
        count = yield
        if count == 0xFF:
            self._erase_all((yield) == 0)
            return
        pages = yield from self._take(count + 2)
        self._erase_pages(list(pages[:-1]), not count ^ checksum_of(pages))

    def _extended_erase(self) -> Serving:
        head = yield from self._take(2)
        count = int.from_bytes(head, "big")
        if count >= 0xFFF0:
            self._erase_all((yield) == checksum_of(head) and count == 0xFFFF)
            return
        data = yield from self._take(2 * count + 3)
        pages = [int.from_bytes(data[i : i + 2], "big") for i in range(0, 2 * count + 2, 2)]
        self._erase_pages(pages, not checksum_of(head + data))

    def _erase_all(self, sound: bool) -> None:
        self._erase_pages(list(range(len(self.sectors))), sound)

    def _erase_pages(self, pages: list[int], sound: bool) -> None:
        if not sound or any(page >= len(self.sectors) for page in pages) or self.write_protected & set(pages):
            self._say(NACK)
            return
        for page in pages:
            self.flash.erase(*self.sectors[page])
            self.busy += self._erase_us[page] / 1e6 if self._erase_us else 0
        self._say(ACK)

    def _go(self) -> Serving:
        self.started = yield from self._address()

    def _checksum(self) -> Serving:
        address = yield from self._address()
        if address is None:
            return
        length = yield from self._word()
        contents = self._contents(address, length) if length and not length % 4 else None
        if contents is None:
            self._say(NACK)
            return
        value = crc32_of(contents).to_bytes(4, "big")
        self._say(ACK, ACK, *value, checksum_of(value))

    def _write_protect(self) -> Serving:
        count = yield
        sectors = yield from self._take(count + 2)
        if count ^ checksum_of(sectors):
            self._say(NACK)
            return
        self.write_protected |= set(sectors[:-1])
        self._reset_after()

    def _write_unprotect(self) -> Serving:
        self.write_protected.clear()
        self._reset_after()
        yield from ()

    def _readout_protect(self) -> Serving:
        self.readout_protected = True
        self._reset_after()
        yield from ()

    def _readout_unprotect(self) -> Serving:
        self.readout_protected = False
        self.flash.erase(0, self.flash.size)
        self.busy += sum(self._erase_us) / 1e6
        self._reset_after()
        yield from ()

    def _reset_after(self) -> None:
        self._say(ACK)
        self.reset = True


# What a readout-protected chip still answers is GET, GET VERSION, GET ID and READOUT UNPROTECT.
_READOUT = frozenset(COMMANDS) - {"get", "get version", "get id", "readout unprotect"}
