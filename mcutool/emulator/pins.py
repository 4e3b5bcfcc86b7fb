"""Pins and the GPIO ports that drive and read them.

This file decides which level a pin has. It refuses to know what is connected to it.
Sources: Arm AN386; ST RM0008 and RM0090; Nordic nRF51 Series Reference Manual; RP2040 datasheet section 2.3.1.
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool.emulator.registers import Device


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


class Stm32Gpio(GpioPort):
    """What the ports of all STM32 share: IDR, ODR, BSRR, at offsets of each family."""

    INPUT = OUTPUT = SET_RESET = -1

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


class Stm32f1Gpio(Stm32Gpio):
    """A port of STM32F1 (RM0008 section 9): CRL and CRH have four bits for a pin."""

    LOW, HIGH, INPUT, OUTPUT, SET_RESET, RESET = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
    FLOATING = 0x44444444  # eight pins of a configuration register

    def reset(self) -> None:
        super().reset()
        self.registers = {self.LOW: self.FLOATING, self.HIGH: self.FLOATING}

    def direction(self) -> int:
        """MODE says output, CNF that it is no peripheral's."""
        pins = self.registers[self.LOW] | self.registers[self.HIGH] << 32
        return sum(1 << bit for bit in range(16) if pins >> 4 * bit & 3 and not pins >> 4 * bit & 8)

    def write(self, offset: int, value: int) -> None:
        if offset == self.RESET:
            self.set_output(self.output & ~value)
        else:
            super().write(offset, value)


class Stm32f4Gpio(Stm32Gpio):
    """A port of STM32F2, F4 and later: MODER."""

    MODE, INPUT, OUTPUT, SET_RESET = 0x00, 0x10, 0x14, 0x18

    def direction(self) -> int:
        mode = self.registers.get(self.MODE, 0)
        return sum(1 << bit for bit in range(16) if mode >> 2 * bit & 3 == 1)


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


class Rp2040Gpio(GpioPort):
    """The pins of RP2040 as software drives them through SIO."""

    INPUT, OUTPUT, ENABLE = 0x04, 0x10, 0x20
    SET, CLEAR, TOGGLE = 0x4, 0x8, 0xC  # behind OUTPUT and ENABLE
    WIDTH = 30

    def direction(self) -> int:
        return self.registers.get(self.ENABLE, 0)

    def read(self, offset: int) -> int:
        fixed = {self.INPUT: self.input(), self.OUTPUT: self.output}
        return fixed[offset] if offset in fixed else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if self.OUTPUT <= offset <= self.OUTPUT + self.TOGGLE:
            self.set_output(self._changed(self.output, offset - self.OUTPUT, value))
        elif self.ENABLE <= offset <= self.ENABLE + self.TOGGLE:
            self.registers[self.ENABLE] = self._changed(self.direction(), offset - self.ENABLE, value)
            self.set_output(self.output)

    def _changed(self, old: int, how: int, value: int) -> int:
        return {0: value, self.SET: old | value, self.CLEAR: old & ~value, self.TOGGLE: old ^ value}[how]


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


# By kind: the class, how many ports there are at the most, and how far apart they stand.
GPIOS: dict[str, tuple[type[GpioPort], int, int]] = {
    "stm32f1": (Stm32f1Gpio, 7, 0x400),
    "stm32f4": (Stm32f4Gpio, 9, 0x400),
    "nrf51": (Nrf51Gpio, 1, 0x1000),
    "rp2040": (Rp2040Gpio, 1, 0x1000),
    "mps2-fpgaio": (Mps2Fpgaio, 1, 0x1000),
}
