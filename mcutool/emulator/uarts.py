"""UARTs: their registers for the program, a line of bytes for the host.

This file decides when a byte arrives, leaves or is lost. It refuses to know which chip has which UART, and what the
bytes mean. Sources: Arm CMSDK TRM (DDI0479) and PL011 TRM (DDI0183); ST RM0008 and RM0090; Nordic nRF51 Series
Reference Manual.
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool.emulator.clock import Clock, Event
from mcutool.emulator.registers import Device


class Uart(Device):
    """What all UARTs share: a line to the host with 10 bits per byte.

    `paced` lets bytes take their time at the programmed rate, and a receiver that is not emptied in time overruns.
    Otherwise bytes leave at once and arrive in bursts: as fast as the program takes them, with pauses in which it can
    work on them, so that no ring of a sensible size overflows.
    `feed` puts bytes on the line; `on_output` gets each byte that the program sends. Both pass `inwards` and
    `outwards`, the places to inject faults of a line.
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
        self.inwards: Callable[[bytes], bytes] = lambda data: data
        self.outwards: Callable[[bytes], bytes] = lambda data: data
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
        self.line += self.inwards(data)
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
        if self.paced:
            self.update()
        else:
            self._fill_receiver()
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
            self.on_output(self.outwards(bytes((byte & 0xFF,))))
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
        self.on_output(self.outwards(bytes((byte,))))
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


class Pl011Uart(Uart):
    """Arm's PL011 with FIFOs of 32 bytes, as RP2040 has it: interrupts for bytes received, and for a pause after few.

    The FIFOs are always on, and the receiver's lowest interrupt level is the only one.
    """

    DATA, FLAGS, RATE, FRACTION, LINE, CONTROL, LEVELS = 0x00, 0x18, 0x24, 0x28, 0x2C, 0x30, 0x34
    MASK, RAW, MASKED, CLEAR = 0x38, 0x3C, 0x40, 0x44
    BUSY, RECEIVE_EMPTY, SEND_FULL, RECEIVE_FULL, SEND_EMPTY = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7  # FLAGS
    ENABLED, TRANSMITTER, RECEIVER = 1 << 0, 1 << 8, 1 << 9  # CONTROL
    RECEIVED, PAUSED, OVERRUN = 1 << 4, 1 << 6, 1 << 10  # interrupts
    RECEIVER_DEPTH = 32
    TRANSMITTER_DEPTH = 33
    LEVEL, PAUSE_BITS = 4, 32
    STATE = (*Uart.STATE, "registers", "divider", "paused", "_pause")
    _pause: Event | None = None

    def reset(self) -> None:
        self.registers: dict[int, int] = {self.CONTROL: self.TRANSMITTER | self.RECEIVER, self.LEVELS: 0x12}
        self.divider = 0  # in 64ths; writing LINE takes it over
        self._end_pause()
        super().reset()

    def baud(self) -> float:
        return 4 * self.input_clock / self.divider if self.divider else 0

    def _on(self, bit: int) -> bool:
        return self.registers[self.CONTROL] & (self.ENABLED | bit) == self.ENABLED | bit

    def receiving(self) -> bool:
        return self._on(self.RECEIVER)

    def arrived(self) -> None:
        self._end_pause()
        bits = self.PAUSE_BITS / (self.baud() or 1)
        self._pause = self.clock.after(self.clock.cycles(bits), self._paused)

    def _end_pause(self) -> None:
        self.paused = False
        if self._pause:
            self._pause.cancelled = True
            self._pause = None

    def _paused(self) -> None:
        self._pause = None
        self.paused = bool(self.received)
        self.update()

    def raised(self) -> int:
        """The interrupts, whether masked or not."""
        flags = ((len(self.received) >= self.LEVEL, self.RECEIVED), (self.paused, self.PAUSED),
                 (self.overrun, self.OVERRUN))  # fmt: skip
        return sum(bit for on, bit in flags if on)

    def update(self) -> None:
        if not self.received:
            self._end_pause()
        self._set_line(self.irq, bool(self.raised() & self.registers.get(self.MASK, 0)))

    def flags(self) -> int:
        flags = (
            (bool(self.sending), self.BUSY),
            (not self.received, self.RECEIVE_EMPTY),
            (len(self.sending) >= self.TRANSMITTER_DEPTH, self.SEND_FULL),
            (len(self.received) >= self.RECEIVER_DEPTH, self.RECEIVE_FULL),
            (not self.sending, self.SEND_EMPTY),
        )
        return sum(bit for on, bit in flags if on)

    def read(self, offset: int) -> int:
        if offset == self.DATA:
            return self.take()
        if offset == self.FLAGS:
            return self.flags()
        if offset in (self.RAW, self.MASKED):
            return self.raised() & (self.registers.get(self.MASK, 0) if offset == self.MASKED else -1)
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.DATA:
            if self._on(self.TRANSMITTER):
                self.send(value)
        elif offset == self.CLEAR:
            self.paused = self.paused and not value & self.PAUSED
            self.overrun = self.overrun and not value & self.OVERRUN
        else:
            self.registers[offset] = value
            if offset == self.LINE:
                self.divider = self.registers.get(self.RATE, 0) << 6 | self.registers.get(self.FRACTION, 0)
            self._await_byte()
        self.update()

    def merged(self, offset: int) -> int:
        return self.registers.get(offset, 0)


UARTS: dict[str, type[Uart]] = {
    "cmsdk": CmsdkUart,
    "stm32-v1": Stm32Uart,
    "nrf51": Nrf51Uart,
    "pl011": Pl011Uart,
}
