"""The peripherals that surround a chip's core beside UART, flash and pins: clocks, reset causes, timers, noise.

This file decides what their registers do, as far as the firmware touches them, and on which chips they stand. It
refuses to know boards. Sources: ST RM0008 and RM0090; Nordic nRF51 Series Reference Manual; RP2040 datasheet, sections
2.14 to 2.16.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from mcutool.emulator.clock import Clock, Event
from mcutool.emulator.registers import Device, Storage

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


class Rp2040Clocks(Storage):
    """CLOCKS: each multiplexer without glitches has switched at once."""

    PERIPHERALS, ENABLED = 0x48, 1 << 11
    SELECTED = {0x38: (0x30, 3), 0x44: (0x3C, 1)}  # of the reference and the system clock: where they are chosen

    def read(self, offset: int) -> int:
        if offset in self.SELECTED:
            control, mask = self.SELECTED[offset]
            return 1 << (super().read(control) & mask)
        return super().read(offset)

    @property
    def peripherals_have_one(self) -> bool:
        return bool(super().read(self.PERIPHERALS) & self.ENABLED)


class Rp2040Resets(Device):
    """RESETS: everything is held in reset at first, and is ready when it is let go and its clock runs.

    What has the reference or the system clock always has one; UARTs and SPI wait for the peripherals' clock.
    """

    RESET, DONE, ALL = 0x0, 0x8, 0x01FFFFFF
    OF_PERIPHERAL_CLOCK = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 23  # SPI0, SPI1, UART0, UART1
    STATE = ("held",)

    def __init__(self, clocks: Rp2040Clocks) -> None:
        self.clocks = clocks
        self.reset()

    def reset(self) -> None:
        self.held = self.ALL

    def read(self, offset: int) -> int:
        waiting = 0 if self.clocks.peripherals_have_one else self.OF_PERIPHERAL_CLOCK
        return {self.RESET: self.held, self.DONE: self.ALL & ~self.held & ~waiting}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == self.RESET:
            self.held = value & self.ALL


class Rp2040Crystal(Storage):
    """XOSC: stable as soon as it is enabled."""

    CONTROL, STATUS = 0x00, 0x04
    ENABLE, STABLE = 0xFAB, 1 << 31 | 1 << 12

    def read(self, offset: int) -> int:
        if offset == self.STATUS:
            return self.STABLE if super().read(self.CONTROL) >> 12 == self.ENABLE else 0
        return super().read(offset)


class Rp2040Pll(Storage):
    """PLL: locked as soon as it and its oscillator have power."""

    STATUS, POWER_DOWN, LOCKED = 0x0, 0x4, 1 << 31
    PLL_AND_OSCILLATOR = 0x21

    def read(self, offset: int) -> int:
        if offset == self.STATUS and not self.words.get(self.POWER_DOWN, -1) & self.PLL_AND_OSCILLATOR:
            return super().read(offset) | self.LOCKED
        return super().read(offset)


def _rp2040() -> dict[int, Device]:
    clocks = Rp2040Clocks()
    return {
        0x40008000: clocks,
        0x4000C000: Rp2040Resets(clocks),
        0x40014000: Storage(),  # which peripheral has a pin
        0x4001C000: Storage(),  # pulls and strengths of pins
        0x40024000: Rp2040Crystal(),
        0x40028000: Rp2040Pll(),
    }


# What stands on a chip beside what its file describes, by the `port` of the chip: address and maker.
SURROUNDINGS: dict[str, Callable[[Clock, Callable[[int, bool], None]], dict[int, Device]]] = {
    "stm32f1": lambda clock, set_line: {
        0x40021000: Stm32ResetAndClock(configuration=0x04, status=0x24),
    },
    "stm32f4": lambda clock, set_line: {
        0x40023800: Stm32ResetAndClock(configuration=0x08, status=0x74),
        0x40007000: Stm32Power(),
    },
    "nrf51": lambda clock, set_line: {
        0x40000000: Nrf51Clock(),
        0x40008000: Nrf51Timer(clock, set_line, 8),
        0x4000D000: Nrf51Noise(),
    },
    "rp2040": lambda clock, set_line: _rp2040(),
}
