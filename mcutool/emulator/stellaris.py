"""TI's serial boot loader for Stellaris chips, as the device's side of the serial line.

Decides what the boot loader in the first sectors of flash answers and how it treats the rest: a download erases what
it needs, and begins where the program does or is refused. Refuses to know the wire (bytes go in, bytes come out) and
the core. Emulated: a model of TI's published source, not a chip.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from mcutool.devices import Flash
from mcutool.emulator.bootroms import BytewiseModel, Cells, Serving
from mcutool.flash.protocols import stellaris as codec

INVALID_COMMAND, INVALID_ADDRESS = 0x42, 0x43


@dataclass
class StellarisLoader(BytewiseModel):
    """A chip in its boot loader, which is the first `offset` bytes of flash: see bootroms.BootModel.

    `longest_data` is how much data of one packet it takes.
    """

    cells: Cells
    flash: Flash
    offset: int
    longest_data: int = codec.LONGEST_DATA
    started: int | None = None
    reset: bool = False
    busy: float = 0.0
    held_by_pin = False

    def __post_init__(self) -> None:
        self._output = bytearray()
        self.restart()

    @property
    def program_is_valid(self) -> bool:
        """A stack pointer in RAM and an entry point in flash, as TI's check has it."""
        vectors = self.cells[self.offset : self.offset + 8]
        stack, entry = (int.from_bytes(vectors[at : at + 4], "little") for at in (0, 4))
        return stack >> 20 == 0x200 and self.offset < entry < self.flash.size

    def restart(self) -> None:
        self._status = codec.SUCCESS
        self._address = self._left = 0
        super().restart()

    # --- packets ----------------------------------------------------------------------------------------------

    def _serve(self) -> Serving:
        before = 0
        while (byte := (yield)) != 0x55 or before != 0x55:
            before = byte
        self._say(0, codec.ACK)
        while True:
            content = yield from self._packet()
            if content:
                yield from self._execute(content[0], content[1:])
            else:
                self._say(0, codec.NAK)

    def _say(self, *answer: int) -> None:
        self._output += bytes(answer)

    def _packet(self) -> Generator[None, int, bytes]:
        """The data of the next packet; empty when its sum is wrong, or when there is no room for it."""
        size = yield from self._not_zero()
        total = yield
        content = bytearray()
        while len(content) < (size - 2) % 256:
            content.append((yield))
        sound = sum(content) & 0xFF == total and len(content) <= self.longest_data + 1
        return bytes(content) if sound else b""

    def _not_zero(self) -> Generator[None, int, int]:
        while not (byte := (yield)):
            pass
        return byte

    def _execute(self, command: int, data: bytes) -> Serving:
        if command == codec.GET_STATUS:
            self._say(0, codec.ACK, 3, self._status, self._status)
            yield from self._not_zero()
            return
        self._status = codec.SUCCESS
        if command == codec.DOWNLOAD:
            self._download(data)
        elif command == codec.SEND_DATA:
            self._take(data)
        elif command == codec.RUN:
            self._run(data)
        elif command == codec.RESET:
            self.reset = True
        elif command != codec.PING:
            self._status = codec.UNKNOWN_COMMAND
        self._say(0, codec.ACK)

    # --- the commands -----------------------------------------------------------------------------------------

    def _download(self, data: bytes) -> None:
        if len(data) != 8:
            self._status = INVALID_COMMAND
            return
        self._address, self._left = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")
        if self._address != self.flash.base + self.offset or self._left > self.flash.size - self.offset:
            self._status, self._left = INVALID_ADDRESS, 0
            return
        for sector in self.flash.sector_spans():
            if self.offset <= sector.offset < self.offset + self._left:
                self.cells.erase(sector.offset, sector.size)
                self.busy += sector.erase_us / 1e6

    def _take(self, data: bytes) -> None:
        if len(data) > self._left:
            self._status = INVALID_ADDRESS
            return
        self.cells.program(self._address - self.flash.base, data)
        self.busy += -(-len(data) // self.flash.write_unit) * self.flash.program_us / 1e6
        self._address, self._left = self._address + len(data), self._left - len(data)

    def _run(self, data: bytes) -> None:
        address = int.from_bytes(data, "big")
        if len(data) == 4 and address < self.flash.size:
            self.started = address
        else:
            self._status = INVALID_COMMAND if len(data) != 4 else INVALID_ADDRESS
