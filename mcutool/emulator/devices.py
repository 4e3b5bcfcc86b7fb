"""The peripherals of the chips, as far as the firmware and the tests touch them.

This file decides what each register does. It refuses to know the core, except for its clock and its interrupt inputs,
and it refuses to know boards: which device stands at which address, `machine.py` takes from the chip's file.

Sources: Arm CMSDK TRM (DDI0479) and AN386 for MPS2; ST RM0008 (F1) and RM0090 (F4);
Nordic nRF51 Series Reference Manual.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from mcutool.emulator.clock import Clock, Event


class Device:
    """A block of registers, one 32-bit word at a time; `STATE` names the attributes that a snapshot holds."""

    STATE: tuple[str, ...] = ()

    def reset(self) -> None:
        """The state after a reset of the chip."""

    def read(self, offset: int) -> int:
        raise NotImplementedError

    def write(self, offset: int, value: int) -> None:
        raise NotImplementedError

    def merged(self, offset: int) -> int:
        """What the untouched bytes of the word keep when a program writes a byte or a halfword."""
        return 0

    def state(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self, name)) for name in self.STATE}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, copy.copy(value))


class Storage(Device):
    """Registers that only remember what was written; stands in for what is not modelled."""

    STATE = ("words",)

    def __init__(self, initial: dict[int, int] | None = None) -> None:
        self.initial = initial or {}
        self.reset()

    def reset(self) -> None:
        self.words = dict(self.initial)

    def read(self, offset: int) -> int:
        return self.words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.words[offset] = value

    def merged(self, offset: int) -> int:
        return self.words.get(offset, 0)


# --- UARTs ------------------------------------------------------------------------------------------------------------


class Uart(Device):
    """What all UARTs share: a line to the host with 10 bits per byte.

    `paced` lets bytes take their time at the programmed rate, and a receiver that is not emptied in time overruns.
    Otherwise bytes leave at once and arrive in bursts: as fast as the program takes them, with pauses in which it can
    work on them, so that no ring of a sensible size overflows.
    `feed` puts bytes on the line; `on_output` gets each byte that the program sends.
    """

    BITS_PER_BYTE = 10
    BURST, PAUSE = 16, 2048  # bytes, cycles
    RECEIVER_DEPTH = 1
    TRANSMITTER_DEPTH = 2  # data register and shift register
    STATE: tuple[str, ...] = ("line", "received", "sending", "overrun", "_credit", "_arrival", "_departure")

    def __init__(self, clock: Clock, set_line: Callable[[int, bool], None], irq: int, input_clock: int) -> None:
        self.clock, self._set_line, self.irq, self.input_clock = clock, set_line, irq, input_clock
        self.paced = False
        self.on_output: Callable[[bytes], None] = lambda data: None
        self.line = bytearray()  # on its way to the chip
        self._arrival: Event | None = None
        self._departure: Event | None = None
        self.reset()

    def reset(self) -> None:
        self.received = bytearray()
        self.sending = bytearray()
        self.overrun = False
        self._credit = self.BURST  # bytes that may still arrive in this burst
        for event in (self._arrival, self._departure):
            if event:
                event.cancelled = True
        self._arrival = self._departure = None
        if self.line:
            self._await_byte()

    # What a kind of UART says.

    def baud(self) -> float:
        """The programmed rate in bits per second; 0 while there is none."""
        raise NotImplementedError

    def receiving(self) -> bool:
        """Whether the receiver is switched on."""
        raise NotImplementedError

    def update(self) -> None:
        """Set flags and interrupt lines after something has changed."""
        raise NotImplementedError

    def arrived(self) -> None:
        """A byte has entered `received`."""

    def departed(self) -> None:
        """A byte has left the shift register."""

    # From the host.

    def feed(self, data: bytes) -> None:
        """Bytes from the host; in paced mode each arrives a byte time after the one before."""
        self.line += data
        self._await_byte()

    def _byte_time(self) -> int:
        return self.clock.cycles(self.BITS_PER_BYTE / baud) if (baud := self.baud()) else 0

    def _await_byte(self) -> None:
        if not self.paced:
            self._fill_receiver()
        elif self.line and self._arrival is None:
            time = self._byte_time() or self.clock.cycles(0.0001)
            self._arrival = self.clock.after(time, self._byte_arrives)

    def _fill_receiver(self) -> None:
        """Not paced: whatever the receiver has room for is there."""
        while self.line and self._credit and self.receiving() and len(self.received) < self.RECEIVER_DEPTH:
            self._credit -= 1
            self.received.append(self.line.pop(0))
            self.arrived()
        if not self._credit and self._arrival is None:
            self._arrival = self.clock.after(self.PAUSE, self._next_burst)
        self.update()

    def _next_burst(self) -> None:
        self._arrival, self._credit = None, self.BURST
        self._fill_receiver()

    def _byte_arrives(self) -> None:
        self._arrival = None
        byte = self.line.pop(0)
        if self.receiving():
            if len(self.received) < self.RECEIVER_DEPTH:
                self.received.append(byte)
                self.arrived()
            else:
                self.overrun = True
        self._await_byte()
        self.update()

    # From the program.

    def take(self) -> int:
        """Read the data register."""
        byte = self.received.pop(0) if self.received else 0
        if not self.paced:
            self._fill_receiver()
        self.update()
        return byte

    def send(self, byte: int) -> None:
        """Write the data register."""
        if self.paced and self._byte_time():
            if len(self.sending) == self.TRANSMITTER_DEPTH:
                self.sending.pop()
            self.sending.append(byte & 0xFF)
            if self._departure is None:
                self._departure = self.clock.after(self._byte_time(), self._byte_departs)
        else:
            self.on_output(bytes((byte & 0xFF,)))
            self.departed()
        self.update()

    def flush(self) -> None:
        """The chip is about to stop: what it has begun to send still gets out."""
        while self.sending:
            self._byte_departs()

    def _byte_departs(self) -> None:
        if self._departure:
            self._departure.cancelled = True
        self._departure = None
        byte = self.sending.pop(0)
        if self.sending:
            self._departure = self.clock.after(self._byte_time(), self._byte_departs)
        self.on_output(bytes((byte,)))
        self.departed()
        self.update()


class CmsdkUart(Uart):
    """The UART of Arm's CMSDK on MPS2 boards; receive and transmit have an interrupt each, neighbours."""

    DATA, STATUS, CONTROL, INTERRUPT, DIVIDER = 0x00, 0x04, 0x08, 0x0C, 0x10
    TRANSMIT, RECEIVE = 1, 2  # bits of CONTROL (enable; interrupt enable two bits higher) and of INTERRUPT
    TRANSMITTER_DEPTH = 1
    STATE = (*Uart.STATE, "control", "divider", "latched")

    def reset(self) -> None:
        self.control = self.divider = self.latched = 0
        super().reset()

    def baud(self) -> float:
        return self.input_clock / self.divider if self.divider >= 16 else 0

    def receiving(self) -> bool:
        return bool(self.control & self.RECEIVE)

    def arrived(self) -> None:
        self.latched |= self.RECEIVE & self.control >> 2

    def departed(self) -> None:
        self.latched |= self.TRANSMIT & self.control >> 2

    def update(self) -> None:
        # The receive interrupt stays while a byte waits: in burst mode the next one is there before the old is cleared.
        waiting = self.control >> 2 & self.RECEIVE if self.received else 0
        self._set_line(self.irq, bool((self.latched | waiting) & self.RECEIVE))
        self._set_line(self.irq + 1, bool(self.latched & self.TRANSMIT))

    def read(self, offset: int) -> int:
        if offset == self.DATA:
            return self.take()
        if offset == self.STATUS:
            full = len(self.sending) >= self.TRANSMITTER_DEPTH
            return full | bool(self.received) << 1 | self.overrun << 3
        values = {self.CONTROL: self.control, self.INTERRUPT: self.latched, self.DIVIDER: self.divider}
        return values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.DATA:
            if self.control & self.TRANSMIT:
                self.send(value)
        elif offset == self.STATUS:
            self.overrun = self.overrun and not value & 8
        elif offset == self.CONTROL:
            self.control = value & 0x7F
            self._await_byte()
        elif offset == self.INTERRUPT:
            self.latched &= ~value
        elif offset == self.DIVIDER:
            self.divider = value & 0xFFFFF
        self.update()


class Stm32Uart(Uart):
    """The USART of STM32F1, F2, F4 and L1 in asynchronous mode."""

    STATUS, DATA, RATE, CONTROL1, CONTROL2, CONTROL3, GUARD = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
    OVERRUN, NOT_EMPTY, COMPLETE, EMPTY = 1 << 3, 1 << 5, 1 << 6, 1 << 7  # status; interrupt enables alike
    RECEIVER, TRANSMITTER, ENABLED = 1 << 2, 1 << 3, 1 << 13  # CONTROL1
    STATE = (*Uart.STATE, "registers", "status_was_read", "complete")

    def reset(self) -> None:
        self.registers = dict.fromkeys((self.RATE, self.CONTROL1, self.CONTROL2, self.CONTROL3, self.GUARD), 0)
        self.status_was_read = False
        self.complete = True
        super().reset()

    @property
    def _control(self) -> int:
        return self.registers[self.CONTROL1]

    def baud(self) -> float:
        rate = self.registers[self.RATE]
        return self.input_clock / rate if rate else 0

    def receiving(self) -> bool:
        return self._control & (self.ENABLED | self.RECEIVER) == self.ENABLED | self.RECEIVER

    def departed(self) -> None:
        self.complete = not self.sending

    @property
    def status(self) -> int:
        flags = (
            (self.overrun, self.OVERRUN),
            (bool(self.received), self.NOT_EMPTY),
            (self.complete and not self.sending, self.COMPLETE),
            (len(self.sending) < self.TRANSMITTER_DEPTH, self.EMPTY),
        )
        return sum(bit for on, bit in flags if on)

    def update(self) -> None:
        status = self.status | (self.NOT_EMPTY if self.overrun else 0)
        causes = self.NOT_EMPTY | self.COMPLETE | self.EMPTY
        self._set_line(self.irq, bool(self._control & self.ENABLED and status & self._control & causes))

    def read(self, offset: int) -> int:
        if offset == self.STATUS:
            self.status_was_read = True
            return self.status
        if offset == self.DATA:
            if self.status_was_read:
                self.overrun = self.status_was_read = False
            return self.take()
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.STATUS:
            self.complete = self.complete and bool(value & self.COMPLETE)
        elif offset == self.DATA:
            if self._control & self.TRANSMITTER and self._control & self.ENABLED:
                self.complete = False
                self.send(value)
        elif offset in self.registers:
            self.registers[offset] = value & 0xFFFF
            self._await_byte()
        self.update()

    def merged(self, offset: int) -> int:
        return self.registers.get(offset, 0)


class Nrf51Uart(Uart):
    """The UART of nRF51 (and the compatible one of nRF52) with its six-byte receive FIFO."""

    START_RECEIVER, STOP_RECEIVER, START_TRANSMITTER, STOP_TRANSMITTER = 0x000, 0x004, 0x008, 0x00C
    RECEIVED, SENT, ERROR = 0x108, 0x11C, 0x124  # events
    SET_INTERRUPTS, CLEAR_INTERRUPTS, ERROR_SOURCE, ENABLE = 0x304, 0x308, 0x480, 0x500
    RECEIVE_DATA, SEND_DATA, RATE = 0x518, 0x51C, 0x524
    RECEIVER_DEPTH = 6
    TRANSMITTER_DEPTH = 1
    STATE = (*Uart.STATE, "events", "interrupts", "registers", "receiver_on", "transmitter_on")

    def reset(self) -> None:
        self.events = dict.fromkeys((self.RECEIVED, self.SENT, self.ERROR), 0)
        self.interrupts = 0
        self.registers = {self.RATE: 0x04000000}
        self.receiver_on = self.transmitter_on = False
        super().reset()

    def _enabled(self) -> bool:
        return self.registers.get(self.ENABLE) == 4

    def baud(self) -> float:
        return self.registers[self.RATE] * 16_000_000 / (1 << 32)

    def receiving(self) -> bool:
        return self.receiver_on and self._enabled()

    def arrived(self) -> None:
        self.events[self.RECEIVED] = 1

    def departed(self) -> None:
        self.events[self.SENT] = 1

    def update(self) -> None:
        if self.overrun:
            self.events[self.ERROR] = 1
        raised = sum(1 << (event - 0x100 >> 2) for event, set_ in self.events.items() if set_)
        self._set_line(self.irq, bool(raised & self.interrupts))

    def read(self, offset: int) -> int:
        if offset == self.RECEIVE_DATA:
            byte = self.take()
            if self.received:
                self.events[self.RECEIVED] = 1
                self.update()
            return byte
        if offset in self.events:
            return self.events[offset]
        if offset in (self.SET_INTERRUPTS, self.CLEAR_INTERRUPTS):
            return self.interrupts
        return int(self.overrun) if offset == self.ERROR_SOURCE else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.SEND_DATA:
            if self.transmitter_on and self._enabled():
                self.send(value)
        elif offset in self.events:
            self.events[offset] = value & 1
        elif offset in (self.START_RECEIVER, self.STOP_RECEIVER):
            self.receiver_on = offset == self.START_RECEIVER
        elif offset in (self.START_TRANSMITTER, self.STOP_TRANSMITTER):
            self.transmitter_on = offset == self.START_TRANSMITTER
        elif offset == self.SET_INTERRUPTS:
            self.interrupts |= value
        elif offset == self.CLEAR_INTERRUPTS:
            self.interrupts &= ~value
        elif offset == self.ERROR_SOURCE:
            self.overrun = self.overrun and not value & 1
        else:
            self.registers[offset] = value
        self._await_byte()
        self.update()


UARTS: dict[str, type[Uart]] = {"cmsdk": CmsdkUart, "stm32-v1": Stm32Uart, "nrf51": Nrf51Uart}


# --- Flash ------------------------------------------------------------------------------------------------------------


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

    `store` gets the program's stores into flash, after the instruction: (offset, size, value).
    """

    STATE: tuple[str, ...] = ("busy_until",)

    def __init__(
        self, clock: Clock, cells: FlashArray, sectors: list[tuple[int, int]], stall: Callable[[int], None]
    ) -> None:
        self.clock, self.cells, self.sectors, self._stall = clock, cells, sectors, stall
        self.busy_until = 0
        self.reset()

    def occupy(self, seconds: float) -> None:
        """Be busy from now on for that long."""
        self.busy_until = self.clock.now + self.clock.cycles(seconds)
        self._stall(self.busy_until)

    @property
    def busy(self) -> bool:
        return self.clock.now < self.busy_until

    def store(self, offset: int, size: int, value: int) -> None:
        raise NotImplementedError


class Stm32f4Flash(FlashController):
    """The flash interface of STM32F2 and F4 (RM0090 section 3): two keys, sector erase, parallelism, error flags."""

    KEY, STATUS, CONTROL = 0x04, 0x0C, 0x10
    KEYS = (0x45670123, 0xCDEF89AB)
    DONE, ALIGNMENT_ERROR, SIZE_ERROR, SEQUENCE_ERROR, BUSY = 1, 1 << 5, 1 << 6, 1 << 7, 1 << 16
    PROGRAM, ERASE_SECTOR, ERASE_ALL, START, LOCKED = 1, 1 << 1, 1 << 2, 1 << 16, 1 << 31
    PROGRAM_SECONDS = 16e-6
    ERASE_SECONDS = {16 << 10: 0.25, 64 << 10: 0.55, 128 << 10: 1.0}
    STATE = (*FlashController.STATE, "control", "status", "key_index", "registers")

    def reset(self) -> None:
        self.control = self.LOCKED
        self.status = 0
        self.key_index = 0
        self.registers: dict[int, int] = {0x14: 0x0FFFAAED}

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
        if value & self.START and value & (self.ERASE_SECTOR | self.ERASE_ALL):
            self._erase(value)

    def _erase(self, command: int) -> None:
        number = command >> 3 & 0xF
        if command & self.ERASE_ALL:
            chosen = self.sectors
        elif number < len(self.sectors):
            chosen = [self.sectors[number]]
        else:
            self.status |= self.SEQUENCE_ERROR
            return
        for start, size in chosen:
            self.cells.erase(start, size)
        self.status |= self.DONE
        self.occupy(sum(self.ERASE_SECONDS.get(size, 0.25) for _, size in chosen))

    def store(self, offset: int, size: int, value: int) -> None:
        if self.control & self.LOCKED or not self.control & self.PROGRAM:
            self.status |= self.SEQUENCE_ERROR
        elif size != 1 << (self.control >> 8 & 3):
            self.status |= self.SIZE_ERROR
        elif offset % size:
            self.status |= self.ALIGNMENT_ERROR
        else:
            self.cells.program(offset, value.to_bytes(size, "little"))
            self.status |= self.DONE
            self.occupy(self.PROGRAM_SECONDS)


class Nrf51Flash(FlashController):
    """The non-volatile memory controller of nRF51: a write or an erase enable, pages, whole words only."""

    READY, CONFIGURATION, ERASE_PAGE, ERASE_ALL = 0x400, 0x504, 0x508, 0x50C
    WRITE_ENABLED, ERASE_ENABLED = 1, 2
    PROGRAM_SECONDS, ERASE_SECONDS = 46e-6, 22.3e-3
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
            self._erase([sector for sector in self.sectors if sector[0] <= value < sector[0] + sector[1]])
        elif offset == self.ERASE_ALL and value & 1:
            self._erase(self.sectors)

    def _erase(self, chosen: list[tuple[int, int]]) -> None:
        for start, size in chosen:
            self.cells.erase(start, size)
        self.occupy(self.ERASE_SECONDS)

    def store(self, offset: int, size: int, value: int) -> None:
        if self.configuration == self.WRITE_ENABLED and size == 4 and offset % 4 == 0:
            self.cells.program(offset, value.to_bytes(4, "little"))
            self.occupy(self.PROGRAM_SECONDS)


# A controller that is missing here ("mps2-ram") means memory that is simply written.
FLASH_CONTROLLERS: dict[str, type[FlashController]] = {"stm32f4": Stm32f4Flash, "nrf51": Nrf51Flash}


# --- Pins -------------------------------------------------------------------------------------------------------------


class Pins:
    """The electrical side of all pins: levels that the program drives and levels that the world applies.

    Numbers count from 0 through all ports, 16 or 32 to a port as the chip has it. `on_change(pin, level)` is a probe.
    """

    def __init__(self) -> None:
        self.outputs: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.on_change: Callable[[int, int], None] = lambda pin, level: None

    def drive(self, pin: int, level: int) -> None:
        """The program sets an output."""
        if self.outputs.get(pin, 0) != level:
            self.outputs[pin] = level
            self.on_change(pin, level)

    def drive_port(self, first: int, width: int, levels: int) -> None:
        for bit in range(width):
            self.drive(first + bit, levels >> bit & 1)

    def apply(self, pin: int, level: int) -> None:
        """The world holds a pin at a level: a button, a strap."""
        self.inputs[pin] = level

    def levels(self, first: int, width: int) -> int:
        return sum((self.inputs.get(first + bit, 0) & 1) << bit for bit in range(width))


class GpioPort(Device):
    """One port: an output register that can be written, set and cleared, and an input register.

    `direction` names the bits that are outputs; an output reads back its own level.
    """

    STATE = ("output", "registers")
    WIDTH = 16

    def __init__(self, pins: Pins, first: int) -> None:
        self.pins, self.first = pins, first
        self.reset()

    def reset(self) -> None:
        self.output = 0
        self.registers: dict[int, int] = {}

    def direction(self) -> int:
        raise NotImplementedError

    def set_output(self, value: int) -> None:
        self.output = value & ((1 << self.WIDTH) - 1)
        self.pins.drive_port(self.first, self.WIDTH, self.output & self.direction())

    def input(self) -> int:
        direction = self.direction()
        return (self.output & direction) | (self.pins.levels(self.first, self.WIDTH) & ~direction)

    def merged(self, offset: int) -> int:
        return self.registers.get(offset, 0)


class Stm32f4Gpio(GpioPort):
    """A port of STM32F2, F4 and later: MODER, IDR, ODR, BSRR."""

    MODE, INPUT, OUTPUT, SET_RESET = 0x00, 0x10, 0x14, 0x18

    def direction(self) -> int:
        mode = self.registers.get(self.MODE, 0)
        return sum(1 << bit for bit in range(16) if mode >> 2 * bit & 3 == 1)

    def read(self, offset: int) -> int:
        fixed = {self.INPUT: self.input(), self.OUTPUT: self.output}
        return fixed[offset] if offset in fixed else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.OUTPUT:
            self.set_output(value)
        elif offset == self.SET_RESET:
            self.set_output(self.output & ~(value >> 16) | value & 0xFFFF)
        else:
            self.registers[offset] = value
            self.set_output(self.output)


class Stm32f1Gpio(GpioPort):
    """A port of STM32F1: CRL, CRH, IDR, ODR, BSRR, BRR."""

    CONTROL_LOW, CONTROL_HIGH, INPUT, OUTPUT, SET_RESET, RESET = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14

    def direction(self) -> int:
        low, high = (self.registers.get(register, 0x44444444) for register in (self.CONTROL_LOW, self.CONTROL_HIGH))
        return sum(1 << bit for bit in range(16) if (high << 32 | low) >> 4 * bit & 3)

    def read(self, offset: int) -> int:
        fixed = {self.INPUT: self.input(), self.OUTPUT: self.output}
        return fixed[offset] if offset in fixed else self.registers.get(offset, 0x44444444 if offset < 8 else 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.OUTPUT:
            self.set_output(value)
        elif offset == self.SET_RESET:
            self.set_output(self.output & ~(value >> 16) | value & 0xFFFF)
        elif offset == self.RESET:
            self.set_output(self.output & ~value)
        else:
            self.registers[offset] = value
            self.set_output(self.output)


class Nrf51Gpio(GpioPort):
    """The one port of nRF51."""

    OUTPUT, SET, CLEAR, INPUT = 0x504, 0x508, 0x50C, 0x510
    DIRECTION, DIRECTION_SET, DIRECTION_CLEAR, CONFIGURATION = 0x514, 0x518, 0x51C, 0x700
    WIDTH = 32

    def direction(self) -> int:
        return self.registers.get(self.DIRECTION, 0)

    def read(self, offset: int) -> int:
        if offset in (self.OUTPUT, self.SET, self.CLEAR):
            return self.output
        if offset in (self.DIRECTION_SET, self.DIRECTION_CLEAR):
            return self.direction()
        return self.input() if offset == self.INPUT else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        directions = {
            self.DIRECTION: value,
            self.DIRECTION_SET: self.direction() | value,
            self.DIRECTION_CLEAR: self.direction() & ~value,
        }
        outputs = {self.OUTPUT: value, self.SET: self.output | value, self.CLEAR: self.output & ~value}
        if offset in directions:
            self.registers[self.DIRECTION] = directions[offset]
        elif self.CONFIGURATION <= offset < self.CONFIGURATION + 4 * self.WIDTH:
            self._configure((offset - self.CONFIGURATION) // 4, value)
        self.set_output(outputs.get(offset, self.output))

    def _configure(self, pin: int, value: int) -> None:
        self.registers[self.CONFIGURATION + 4 * pin] = value
        self.registers[self.DIRECTION] = self.direction() & ~(1 << pin) | (value & 1) << pin


class CmsdkGpio(GpioPort):
    """A GPIO block of Arm's CMSDK."""

    DATA, OUTPUT, ENABLE_SET, ENABLE_CLEAR = 0x00, 0x04, 0x10, 0x14

    def direction(self) -> int:
        return self.registers.get(self.ENABLE_SET, 0)

    def read(self, offset: int) -> int:
        if offset in (self.ENABLE_SET, self.ENABLE_CLEAR):
            return self.direction()
        fixed = {self.DATA: self.input(), self.OUTPUT: self.output}
        return fixed[offset] if offset in fixed else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.ENABLE_SET:
            self.registers[self.ENABLE_SET] = self.direction() | value
        elif offset == self.ENABLE_CLEAR:
            self.registers[self.ENABLE_SET] = self.direction() & ~value
        elif offset not in (self.DATA, self.OUTPUT):
            self.registers[offset] = value
        self.set_output(value if offset in (self.DATA, self.OUTPUT) else self.output)


class Mps2Fpgaio(GpioPort):
    """The FPGA's own register block on MPS2: pins 0 and 1 are its LEDs, 2 and 3 its buttons."""

    LEDS, BUTTONS = 0x00, 0x08
    WIDTH = 2

    def direction(self) -> int:
        return 3

    def read(self, offset: int) -> int:
        fixed = {self.LEDS: self.output, self.BUTTONS: self.pins.levels(self.first + 2, 2)}
        return fixed[offset] if offset in fixed else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.LEDS:
            self.set_output(value)
        else:
            self.registers[offset] = value


# By kind: the class, how many ports, and how far apart they stand.
GPIOS: dict[str, tuple[type[GpioPort], int, int]] = {
    "stm32f4": (Stm32f4Gpio, 9, 0x400),
    "stm32f1": (Stm32f1Gpio, 7, 0x400),
    "nrf51": (Nrf51Gpio, 1, 0x1000),
    "cmsdk": (CmsdkGpio, 4, 0x1000),
    "mps2-fpgaio": (Mps2Fpgaio, 1, 0x1000),
}


# --- Clocks, resets, timers, noise ------------------------------------------------------------------------------------

POWER_ON, PIN, SOFTWARE, LOCKUP = "power-on", "pin", "software", "lockup"  # causes of a reset


class Stm32ResetAndClock(Device):
    """RCC: every ready bit follows its enable at once, the clock switch answers, and the reset flags are kept."""

    CONTROL = 0x00
    READY = {0x00: ((0, 1), (16, 17), (24, 25), (26, 27))}  # register: (enable bit, ready bit)
    CAUSES = {POWER_ON: 0x0E000000, PIN: 0x04000000, SOFTWARE: 0x14000000, LOCKUP: 0x04000000}
    REMOVE_FLAGS = 1 << 24
    STATE = ("registers", "flags")

    def __init__(self, configuration: int, status: int) -> None:
        """The offsets of CFGR and CSR, which differ between the families."""
        self.configuration, self.status = configuration, status
        self.flags = 0
        self.reset()

    def reset(self) -> None:
        self.registers = {self.CONTROL: 0x83}

    def set_cause(self, cause: str) -> None:
        self.flags |= self.CAUSES[cause]

    def read(self, offset: int) -> int:
        value = self.registers.get(offset, 0)
        if offset == self.CONTROL:
            value = _mirror(value, self.READY[0x00])
        elif offset == self.configuration:
            value = value & ~0xC | (value & 3) << 2
        elif offset == self.status:
            value = _mirror(value & 0x00FFFFFF, ((0, 1),)) | self.flags
        return value

    def write(self, offset: int, value: int) -> None:
        if offset == self.status and value & self.REMOVE_FLAGS:
            self.flags = 0
        self.registers[offset] = value

    def merged(self, offset: int) -> int:
        return self.registers.get(offset, 0)


def _mirror(value: int, pairs: tuple[tuple[int, int], ...]) -> int:
    for enable, ready in pairs:
        value = value & ~(1 << ready) | (value >> enable & 1) << ready
    return value


class Stm32Power(Storage):
    """PWR: the regulator and the over-drive are always ready."""

    def read(self, offset: int) -> int:
        return super().read(offset) | (0x34000 if offset == 0x04 else 0)


class Nrf51Clock(Device):
    """CLOCK and POWER share a block: an oscillator runs as soon as it is started; the cause of the last reset."""

    STARTED = {0x000: 0x100, 0x008: 0x104}  # task: event
    RUNNING = {0x408: 0x00010001, 0x40C: 0x00010001, 0x418: 0x00010001}
    RESET_REASON = 0x400
    CAUSES = {POWER_ON: 0, PIN: 1, SOFTWARE: 4, LOCKUP: 8}
    STATE = ("registers", "reason")

    def __init__(self) -> None:
        self.reason = 0
        self.reset()

    def reset(self) -> None:
        self.registers: dict[int, int] = {}

    def set_cause(self, cause: str) -> None:
        self.reason |= self.CAUSES[cause]

    def read(self, offset: int) -> int:
        if offset == self.RESET_REASON:
            return self.reason
        return self.RUNNING.get(offset, self.registers.get(offset, 0))

    def write(self, offset: int, value: int) -> None:
        if offset == self.RESET_REASON:
            self.reason &= ~value
        elif offset in self.STARTED and value & 1:
            self.registers[self.STARTED[offset]] = 1
        else:
            self.registers[offset] = value


class Nrf51Timer(Device):
    """A timer of nRF51 in timer mode: prescaler, four compare registers, the clear-on-compare shortcut."""

    START, STOP, CLEAR, CAPTURE, COMPARE, SHORTS = 0x000, 0x004, 0x00C, 0x040, 0x140, 0x200
    SET_INTERRUPTS, CLEAR_INTERRUPTS, MODE, BITS, PRESCALER, CHANNELS = 0x304, 0x308, 0x504, 0x508, 0x510, 0x540
    WIDTHS = {0: 16, 1: 8, 2: 24, 3: 32}
    STATE = ("running", "origin", "held", "events", "compares", "shorts", "interrupts", "registers", "_event")

    def __init__(self, clock: Clock, set_line: Callable[[int, bool], None], irq: int) -> None:
        self.clock, self._set_line, self.irq = clock, set_line, irq
        self._event: Event | None = None
        self.reset()

    def reset(self) -> None:
        self.running = False
        self.origin = self.held = self.shorts = self.interrupts = 0
        self.events = [0] * 4
        self.compares = [0] * 4
        self.registers = {self.PRESCALER: 4}
        self._schedule()

    @property
    def _period(self) -> int:
        """Cycles of the core's clock (16 MHz as well) to a tick."""
        return 1 << (self.registers[self.PRESCALER] & 0xF)

    @property
    def _modulus(self) -> int:
        return 1 << self.WIDTHS[self.registers.get(self.BITS, 0) & 3]

    @property
    def value(self) -> int:
        ticks = (self.clock.now - self.origin) // self._period if self.running else 0
        return (self.held + ticks) % self._modulus

    def _restart(self, value: int) -> None:
        self.held, self.origin = value, self.clock.now
        self._schedule()

    def _schedule(self) -> None:
        """Wait for the next compare match."""
        if self._event:
            self._event.cancelled = True
            self._event = None
        if self.running:
            now = self.value
            distance = min((compare - now - 1) % self._modulus + 1 for compare in self.compares)
            done = (self.clock.now - self.origin) % self._period
            self._event = self.clock.after(distance * self._period - done, self._match)

    def _match(self) -> None:
        self._event = None
        value = self.value
        for channel, compare in enumerate(self.compares):
            if compare % self._modulus == value:
                self.events[channel] = 1
                if self.shorts >> channel & 1:
                    self._restart(0)
                if self.shorts >> 8 + channel & 1:
                    self._stop()
        self._schedule()
        self._update()

    def _stop(self) -> None:
        self.held = self.value
        self.running = False

    def _update(self) -> None:
        raised = sum(1 << 16 + channel for channel, event in enumerate(self.events) if event)
        self._set_line(self.irq, bool(raised & self.interrupts))

    def read(self, offset: int) -> int:
        if self.COMPARE <= offset < self.COMPARE + 16:
            return self.events[(offset - self.COMPARE) // 4]
        if self.CHANNELS <= offset < self.CHANNELS + 16:
            return self.compares[(offset - self.CHANNELS) // 4]
        values = {
            self.SHORTS: self.shorts,
            self.SET_INTERRUPTS: self.interrupts,
            self.CLEAR_INTERRUPTS: self.interrupts,
        }
        return values.get(offset, self.registers.get(offset, 0))

    def write(self, offset: int, value: int) -> None:
        if self.COMPARE <= offset < self.COMPARE + 16:
            self.events[(offset - self.COMPARE) // 4] = value & 1
        elif self.CHANNELS <= offset < self.CHANNELS + 16:
            self.compares[(offset - self.CHANNELS) // 4] = value
            self._schedule()
        elif self.CAPTURE <= offset < self.CAPTURE + 16:
            self.compares[(offset - self.CAPTURE) // 4] = self.value
            self._schedule()
        else:
            self._write_control(offset, value)
        self._update()

    def _write_control(self, offset: int, value: int) -> None:
        if offset == self.START and not self.running:
            self.running = True
            self._restart(self.held)
        elif offset == self.STOP:
            self._stop()
            self._schedule()
        elif offset == self.CLEAR:
            self._restart(0)
        elif offset == self.SHORTS:
            self.shorts = value
        elif offset == self.SET_INTERRUPTS:
            self.interrupts |= value
        elif offset == self.CLEAR_INTERRUPTS:
            self.interrupts &= ~value
        else:
            self.registers[offset] = value
            self._schedule()


class Noise(Device):
    """What random-number generators share: a seeded sequence, so that runs repeat."""

    STATE: tuple[str, ...] = ("generator",)

    def __init__(self, seed: int = 1) -> None:
        self.generator = random.Random(seed)

    def bits(self, count: int) -> int:
        return self.generator.getrandbits(count)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "generator": copy.deepcopy(self.generator)}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore({**state, "generator": copy.deepcopy(state["generator"])})


class Stm32Noise(Noise):
    """The RNG of STM32F4: enabled by a bit, always ready."""

    CONTROL, STATUS, DATA = 0x00, 0x04, 0x08
    ENABLED = 1 << 2
    STATE = (*Noise.STATE, "control")
    control = 0

    def reset(self) -> None:
        self.control = 0

    def read(self, offset: int) -> int:
        on = bool(self.control & self.ENABLED)
        if offset == self.DATA:
            return self.bits(32) if on else 0
        return {self.CONTROL: self.control, self.STATUS: int(on)}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.CONTROL:
            self.control = value


class Nrf51Noise(Noise):
    """The RNG of nRF51: a new byte is ready whenever the event was cleared."""

    START, STOP, READY, VALUE = 0x000, 0x004, 0x100, 0x508
    STATE = (*Noise.STATE, "running")
    running = False

    def reset(self) -> None:
        self.running = False

    def read(self, offset: int) -> int:
        if offset == self.READY:
            return int(self.running)
        return self.bits(8) if offset == self.VALUE and self.running else 0

    def write(self, offset: int, value: int) -> None:
        if offset in (self.START, self.STOP) and value & 1:
            self.running = offset == self.START


# What stands on a chip beside what its file describes, by the `port` of the chip: address and maker.
SURROUNDINGS: dict[str, Callable[[Clock, Callable[[int, bool], None]], dict[int, Device]]] = {
    "stm32f4": lambda clock, set_line: {
        0x40023800: Stm32ResetAndClock(configuration=0x08, status=0x74),
        0x40007000: Stm32Power(),
        0x50060800: Stm32Noise(),
    },
    "stm32f1": lambda clock, set_line: {0x40021000: Stm32ResetAndClock(configuration=0x04, status=0x24)},
    "nrf51": lambda clock, set_line: {
        0x40000000: Nrf51Clock(),
        0x40008000: Nrf51Timer(clock, set_line, 8),
        0x4000D000: Nrf51Noise(),
    },
}
