"""An emulated board: one chip put together from its description, and the loop that runs it.

This file decides which device stands where, and in which order host, events, exceptions and instructions follow each
other. It refuses to know what a register does (devices.py), how an exception is taken (core.py) and which program runs.

Time is virtual: one instruction is one cycle of the core's clock, and sleep jumps to the next event. So a run depends
only on the firmware, on the bytes fed and on the times they were fed at; it never depends on the host.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from mcutool.devices import Board
from mcutool.emulator import core as exceptions
from mcutool.emulator import devices, flash, pins, uarts
from mcutool.emulator.clock import Clock
from mcutool.emulator.core import Core, Lockup
from mcutool.emulator.engine import SEV, Engine, Stop
from mcutool.emulator.firmware import Firmware, missing_in_armv6m, read_firmware, uses_floating_point
from mcutool.emulator.flash_files import load_flash_file, save_flash_file
from mcutool.emulator.interrupt import deferred
from mcutool.emulator.registers import Device, Storage
from mcutool.errors import Unsupported
from mcutool.placement import placed

PERIPHERALS = (0x40000000, 0x20000000)  # base, size
PRIVATE = (0xE0000000, 0x100000)
CHUNK = 0x10000  # bytes of memory that snapshots share or do not
ZEROS = bytes(CHUNK)  # what most of a large RAM is: kept once, so that comparing with it does not wait for memory
SLICE = 1_000_000  # instructions; between slices Ctrl-C works
UNSET = bytes.fromhex("a55a3cc3")  # RAM at power-on: anything but the zeroes that a program must not rely on
UNSET_BYTES = 0x40000  # of each RAM; more would cost time and memory for every machine
SEMIHOSTING = 0xBEAB  # BKPT 0xAB
SEMIHOSTING_EXIT = 0x18


class Reason(Enum):
    """Why `Machine.run` returned."""

    TIME = auto()  # the cycles asked for have passed
    FUEL = auto()  # the instructions asked for have been executed
    STOPPED = auto()  # `stop` was called
    IDLE = auto()  # asleep, and nothing but the host could wake it
    EXIT = auto()  # the program ended itself through semihosting
    LOCKUP = auto()  # a fault inside a fault handler; only a reset helps


@dataclass
class Snapshot:
    """Everything that a machine is, to be put back with `Machine.restore`."""

    registers: Any
    memory: dict[int, bytes]  # by address; chunks that are equal to the last snapshot's are the same objects
    parts: dict[int, Any]
    facts: tuple[Any, ...]


class Machine:
    """An emulated board with an optional firmware ELF in its flash.

    `uart`, `pins` and `flash` are the outside of the chip: `uart.feed`, `uart.on_output`, `pins.apply`,
    `pins.on_change`, `flash[a:b]`. Raises Error when Unicorn does not emulate the core that the chip has.
    """

    def __init__(self, board: Board, firmware: Path | str | bytes | None = None) -> None:
        chip = board.chip
        self.board, self.chip = board, chip
        self.engine = Engine(chip.core.unicorn_model)
        self.clock = Clock(chip.uart.clock, self._progress, self._limit)  # the chips here have one clock
        self.core = Core(
            self.engine, self.clock, chip.core.unicorn_model, chip.priority_bits, chip.irqs, chip.flash.base,
            chip.core.vector_table,
        )  # fmt: skip
        self.core.on_reset_request = lambda: self._request_reset(devices.SOFTWARE)
        self.core.on_floating_point = self._set_floating_point
        self.pins = pins.Pins()
        self.unmodelled: set[int] = set()  # addresses of peripherals that are only storage here
        self.instructions = 0
        self.sleeping = False
        self.lockup = ""  # what led to it
        self.exit_status: int | None = None
        self.on_slice: Callable[[int, bool], None] = lambda address, completed: None
        self.on_handler: Callable[[bool], None] = lambda in_handler: None
        self._stop_requested = False
        self._reset_cause: str | None = devices.POWER_ON
        self._stall_until = 0
        self._stores: list[tuple[int, int, int]] = []
        self._flash_allowed = True
        self._floating_point = self._floating_point_allowed = True
        self._forbidden: list[int] = []  # handles of the instructions that stop while CPACR denies the unit
        self._devices: dict[int, Device] = {}
        self._last_memory: dict[int, bytes] = {}  # of the last snapshot
        self._map_memory()
        self._place_devices()
        self.firmware = Firmware()
        if firmware is not None:
            self.load(read_firmware(firmware))

    # --- Putting it together ------------------------------------------------------------------------------------------

    def _map_memory(self) -> None:
        memory, base = self.chip.flash, self.chip.flash.base
        kind = _model(flash.FLASH_CONTROLLERS, memory.controller, "flash controller")
        self.engine.map_code(base, memory.size, writable=kind is None)
        self.flash = flash.FlashArray(
            read=lambda offset, size: self.engine.read(base + offset, size),
            write=lambda offset, data: self.engine.write(base + offset, data),
            size=memory.size,
            erased=memory.erased,
        )
        self.flash.load(0, bytes((memory.erased,)) * memory.size)
        self.flash.dirty = False
        for ram in self.chip.ram:
            self.engine.map_data(ram.base, ram.size, executable=ram.use != "data")
            self.engine.write(ram.base, UNSET * (min(ram.size, UNSET_BYTES) // len(UNSET)))
        self.engine.on_protected_write = lambda address, size, value: self._stores.append((address, size, value))
        self.engine.map_peripherals(*PERIPHERALS, self._read_peripheral, self._write_peripheral)
        self.engine.map_peripherals(*PRIVATE, self._read_private, self._write_private)

    def _place_devices(self) -> None:
        chip = self.chip
        set_line = self.core.set_line
        kind = _model(uarts.UARTS, chip.uart.kind, "UART")
        self.uart: uarts.Uart = kind(self.clock, set_line, chip.uart.irq, chip.uart.clock)
        self._devices.update(devices.SURROUNDINGS.get(chip.port, lambda clock, line: {})(self.clock, set_line))
        self._devices[chip.uart.base] = self.uart
        self.controller: flash.FlashController | None = None
        if controller := flash.FLASH_CONTROLLERS[chip.flash.controller]:
            self.controller = controller(self.clock, self.flash, chip.flash, self._stall)
            self._devices[chip.flash.registers] = self.controller
            self._map_rom(self.controller)
        if chip.gpio:
            port, count, distance = _model(pins.GPIOS, chip.gpio.kind, "GPIO")
            for index in [ord(letter) - ord("A") for letter in chip.gpio.ports] or range(count):
                self._devices[chip.gpio.base + index * distance] = port(self.pins, index * port.WIDTH)
        self._order_devices()
        for base in self._bases:
            if not PERIPHERALS[0] <= base < sum(PERIPHERALS):
                self.engine.map_peripherals(base, 0x1000, self._read_peripheral, self._write_peripheral)

    def _order_devices(self) -> None:
        self._bases = sorted(self._devices)
        self._places: dict[int, tuple[Device, int]] = {}  # what `_find` has found of each register

    def _map_rom(self, controller: flash.FlashController) -> None:
        """What the flash controller needs beside its registers: memory, and on some chips code in ROM."""
        controller.read_memory, controller.write_memory = self.engine.read, self.engine.write
        if controller.ROM:
            self.engine.map_code(0, len(controller.ROM), writable=False)
            self.engine.write(0, controller.ROM)
            self.core.initial_vectors = 0

    def load(self, firmware: Firmware) -> None:
        """Put a firmware into flash as a probe would; the next run starts it."""
        for address, data in firmware.segments:
            self.flash.load(address - self.chip.flash.base, data)
        self.firmware = firmware
        self.engine.permit(self._forbidden)
        self._forbidden, self._floating_point_allowed = [], True
        if self.chip.core.architecture == "armv6-m":
            self.engine.forbid(firmware.find(missing_in_armv6m), Stop.UNDEFINED)
        self._request_reset(devices.POWER_ON)

    # --- The bus ------------------------------------------------------------------------------------------------------

    def _find(self, address: int) -> tuple[Device, int]:
        """The device at an address, and the offset in it, remembered."""
        if address not in self._places:
            self._places[address] = self._look_up(address)
        return self._places[address]

    def _look_up(self, address: int) -> tuple[Device, int]:
        """Unknown places are storage."""
        index = bisect_right(self._bases, address) - 1
        if index < 0 or address - self._bases[index] >= 0x1000:
            page = address & ~0xFFF
            self.unmodelled.add(page)
            self._devices[page] = Storage()
            self._order_devices()
            return self._devices[page], address - page
        return self._devices[self._bases[index]], address - self._bases[index]

    def _read_peripheral(self, address: int, size: int) -> int:
        device, offset = self._find(address & ~3)
        return _lane(device.read(offset), address, size)

    def _write_peripheral(self, address: int, size: int, value: int) -> None:
        device, offset = self._find(address & ~3)
        device.write(offset, _merge(device.merged(offset) if size < 4 else 0, address, size, value))

    def _read_private(self, address: int, size: int) -> int:
        return _lane(self.core.read(address & 0xFFFFC), address, size)

    def _write_private(self, address: int, size: int, value: int) -> None:
        offset = address & 0xFFFFC
        self.core.write(offset, _merge(self.core.merged(offset) if size < 4 else 0, address, size, value))

    def _perform_stores(self) -> None:
        """The stores into flash and ROM of the last instruction, now that it is complete."""
        stores, self._stores = self._stores, []
        for address, size, value in stores:
            try:
                self._perform_store(address, size, value)
            except flash.BusError:
                self._handle(lambda: self.core.fault(exceptions.BUS_FAULT, exceptions.IMPRECISE_ERROR))

    def _perform_store(self, address: int, size: int, value: int) -> None:
        """Only the ROM's own code may store into the ROM: that is how it calls the controller."""
        if self.controller and self._in_flash(address):
            self.controller.store(address - self.chip.flash.base, size, value)
        elif self.controller and self._in_rom(self.engine.pc):
            self.controller.store_in_rom(address, value)
        else:
            raise flash.BusError

    # --- Requests from devices ----------------------------------------------------------------------------------------

    def _progress(self) -> int:
        return self.engine.progress

    def _limit(self, cycles: int) -> None:
        self.engine.limit(cycles)

    def _stall(self, until: int) -> None:
        """The flash is busy until then; who executes from it waits."""
        self._stall_until = until
        self.engine.limit()

    def _request_reset(self, cause: str) -> None:
        self._reset_cause = cause
        self.engine.limit()

    def _set_floating_point(self, enabled: bool) -> None:
        """The program has written CPACR: takes effect before the next instruction."""
        self._floating_point = enabled or not self.chip.core.fpu

    def _switch_floating_point(self) -> None:
        """Unicorn never looks at CPACR: while it denies access, every instruction of the unit is made to stop."""
        self._floating_point_allowed = self._floating_point
        if self._floating_point:
            self.engine.permit(self._forbidden)
            self._forbidden = []
        else:
            self._forbidden = self.engine.forbid(self.firmware.find(uses_floating_point), Stop.NO_COPROCESSOR)

    # --- Running ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Make `run` return after the present instruction; for callbacks."""
        self._stop_requested = True
        self.engine.limit()

    def install(self, image: bytes) -> None:
        """Put a module into flash as the one that is installed, at once, as a debug probe would."""
        for area in self.chip.state_areas:
            self.flash.load(area.offset, bytes((self.chip.flash.erased,)) * area.size)
        for _, offset, data in placed(self.chip, image):
            self.flash.load(offset, data)

    def reset(self, cause: str = devices.PIN) -> None:
        """Reset the chip: RAM and flash keep their contents, the next `run` starts at the reset vector."""
        self._request_reset(cause)

    def run_for(self, seconds: float) -> Reason:
        """Run for a duration of virtual time."""
        return self.run(cycles=self.clock.cycles(seconds))

    def run(self, cycles: int | None = None, instructions: int | None = None) -> Reason:
        """Run until `cycles` of virtual time have passed, `instructions` were executed, or something else ends it."""
        with deferred(self.stop):
            return self._run(cycles, instructions)

    def _run(self, cycles: int | None, instructions: int | None) -> Reason:
        end = None if cycles is None else self.clock.base + cycles
        last = None if instructions is None else self.instructions + instructions
        while True:
            if reason := self._before_slice(end, last):
                self._stop_requested = False
                return reason
            if not self.sleeping:
                self._run_slice(end, last)
            elif not self._sleep(end):
                return Reason.IDLE

    def _before_slice(self, end: int | None, last: int | None) -> Reason | None:
        """Reset, events and exceptions; the reason to return, if there is one."""
        if self._reset_cause:
            self._perform_reset()
        self.clock.fire()
        if self._stop_requested:
            return Reason.STOPPED
        if self.lockup:
            return Reason.LOCKUP
        if self.exit_status is not None:
            return Reason.EXIT
        if end is not None and self.clock.base >= end:
            return Reason.TIME
        if last is not None and self.instructions >= last:
            return Reason.FUEL
        self._handle(self._deliver)
        return None

    def _deliver(self) -> None:
        if self.sleeping and self.core.wakes():
            self.sleeping = False
        if self.core.deliver():
            self.sleeping = False
            self.on_handler(True)

    def _sleep(self, end: int | None) -> bool:
        """Jump to the next event; False when there is none."""
        times = [time for time in (self.clock.next_time(), end) if time is not None]
        if not times:
            return False
        self.clock.base = max(self.clock.base, min(times))
        return True

    def _run_slice(self, end: int | None, last: int | None) -> None:
        pc = self.engine.pc
        if self._stall_until > self.clock.base and (self._in_flash(pc) or self._in_rom(pc)):
            self.clock.base = self._stall_until
            return
        if self._floating_point is not self._floating_point_allowed:
            self._switch_floating_point()
        if self.controller and self.controller.readable is not self._flash_allowed:
            self._flash_allowed = self.controller.readable
            self.engine.allow(self.chip.flash.base, self.chip.flash.size, self._flash_allowed)
        count = 1 if self.core.masked else SLICE
        times = (self.clock.next_time(), end)
        count = min([count, *(time - self.clock.base for time in times if time is not None)])
        if last is not None:
            count = min(count, last - self.instructions)
        stop = self.engine.run(pc, max(count, 1))
        self.clock.base += self.engine.executed
        self.instructions += self.engine.executed
        self.on_slice(self.engine.pc, stop is not Stop.LIMIT and not self.engine.refused)
        if self._stores:
            self._perform_stores()
        if stop is not Stop.LIMIT:
            self._handle(lambda: self._react(stop))
            self.on_handler(bool(self.core.active))

    def _in_flash(self, address: int) -> bool:
        return 0 <= address - self.chip.flash.base < self.chip.flash.size

    def _in_rom(self, address: int) -> bool:
        return self.controller is not None and address < len(self.controller.ROM)

    def _handle(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Lockup as lockup:
            self.lockup = f"{lockup}, in {self.firmware.function_at(self.engine.pc) or 'no function'}"

    def _react(self, stop: Stop) -> None:
        """What the core does after an instruction that the engine could not finish alone."""
        if stop is Stop.WAIT_FOR_INTERRUPT:
            self.sleeping = not self.core.wakes()
        elif stop is Stop.WAIT_FOR_EVENT:
            # Unicorn does not report SEV; what programs do is to send the event just before they take it.
            sent = self.core.event or self.engine.halfword(self.engine.pc - 4) == SEV
            self.core.event = False
            self.sleeping = not sent and not self.core.wakes()
        elif stop is Stop.EXCEPTION_RETURN:
            self.core.exception_return()
            self.sleeping = self.core.sleeps_on_exit
        elif stop is Stop.SUPERVISOR_CALL:
            self.core.supervisor_call()
        elif stop is Stop.BREAKPOINT and self._semihosting():
            self.uart.flush()
            self.exit_status = self.engine.argument(1)
        else:
            number, status = _FAULTS[stop]
            address = self.engine.fault_address if stop is Stop.DATA_FAULT else None
            self.core.fault(number, status, address)

    def _semihosting(self) -> bool:
        at_exit = self.engine.halfword(self.engine.pc) == SEMIHOSTING
        return at_exit and self.engine.argument(0) == SEMIHOSTING_EXIT

    def _perform_reset(self) -> None:
        cause, self._reset_cause = self._reset_cause or devices.PIN, None
        self.sleeping, self.lockup, self.exit_status = False, "", None
        self._stores.clear()
        for device in self._devices.values():
            device.reset()
            if isinstance(device, (devices.Stm32ResetAndClock, devices.Nrf51Clock)):
                device.set_cause(cause)
        self._handle(self._start)

    def _start(self) -> None:
        if self.controller and (complaint := self.controller.boot()):
            raise Lockup(complaint)
        try:
            self.core.reset()
        except IndexError as error:
            raise Lockup(f"no vectors at {self.chip.flash.base:#010x}: {error}") from None

    # --- Snapshots ----------------------------------------------------------------------------------------------------

    def _parts(self) -> dict[int, Any]:
        """By address, where negative ones stand for what has none."""
        return {-2: self.core, -1: self.clock, **self._devices}

    def _memory(self) -> Iterator[tuple[int, bytes]]:
        """All RAM and flash: address and contents of each chunk."""
        areas = [(ram.base, ram.size) for ram in self.chip.ram]
        for base, size in [*areas, (self.chip.flash.base, self.chip.flash.size)]:
            for offset in range(0, size, CHUNK):
                address = base + offset
                yield address, self.engine.read(address, min(CHUNK, size - offset))

    def snapshot(self) -> Snapshot:
        """Everything, between two instructions; the host's side (callbacks, probes) is not part of it."""
        last = self._last_memory
        memory = {at: _shared(data, last.get(at)) for at, data in self._memory()}
        self._last_memory = memory
        facts = (self.instructions, self.sleeping, self.lockup, self.exit_status, self._reset_cause, self._stall_until,
                 self._floating_point, dict(self.pins.outputs), dict(self.pins.inputs))  # fmt: skip
        parts = {address: part.state() for address, part in self._parts().items()}
        return Snapshot(self.engine.uc.context_save(), memory, parts, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this machine."""
        for address, data in self._memory():
            if data != snapshot.memory[address]:
                self.engine.write(address, snapshot.memory[address])
        self.engine.uc.context_restore(snapshot.registers)
        for address in self._devices.keys() - snapshot.parts.keys():  # met since
            del self._devices[address]
        self._order_devices()
        for address, part in self._parts().items():
            part.restore(snapshot.parts[address])
        (self.instructions, self.sleeping, self.lockup, self.exit_status, self._reset_cause, self._stall_until,
         self._floating_point, outputs, inputs) = snapshot.facts  # fmt: skip
        self.pins.outputs, self.pins.inputs = dict(outputs), dict(inputs)
        self._stores.clear()
        self._stop_requested = False

    # --- Flash files --------------------------------------------------------------------------------------------------

    def load_flash_file(self, path: Path) -> None:
        """Take over the flash contents that an earlier run or another tool left, if the file exists."""
        if path.exists():
            load_flash_file(self.flash, self.board, path)
            self._request_reset(devices.POWER_ON)

    def save_flash_file(self, path: Path) -> None:
        """Save the flash contents."""
        save_flash_file(self.flash, self.board, path)


_FAULTS: dict[Stop, tuple[int, int]] = {
    Stop.UNDEFINED: (exceptions.USAGE_FAULT, exceptions.UNDEFINED),
    Stop.NO_COPROCESSOR: (exceptions.USAGE_FAULT, exceptions.NO_COPROCESSOR),
    Stop.UNALIGNED: (exceptions.USAGE_FAULT, exceptions.UNALIGNED),
    Stop.INVALID_STATE: (exceptions.USAGE_FAULT, exceptions.INVALID_STATE),
    Stop.DATA_FAULT: (exceptions.BUS_FAULT, exceptions.PRECISE_ERROR | exceptions.ADDRESS_VALID),
    Stop.FETCH_FAULT: (exceptions.BUS_FAULT, exceptions.FETCH_ERROR),
    Stop.FETCH_FORBIDDEN: (exceptions.MEMORY_FAULT, exceptions.EXECUTE_NEVER),
    Stop.BREAKPOINT: (exceptions.HARD_FAULT, 0),
}


def _model(models: dict[str, Any], kind: str, what: str) -> Any:
    """The model of a peripheral. Raises Unsupported when nobody has written it."""
    if kind not in models:
        raise Unsupported(
            f"the emulator has no {what} of the kind {kind!r}",
            next_action=f"it has: {', '.join(models)}; how to write another: CONTRIBUTING.md, A chip",
        )
    return models[kind]


def _shared(data: bytes, last: bytes | None) -> bytes:
    """The same bytes, as an object that is there already if possible."""
    return ZEROS if data == ZEROS else data if last is None or last != data else last


def _lane(word: int, address: int, size: int) -> int:
    """The addressed bytes of a word."""
    if size == 4 and not address & 3:
        return word & 0xFFFFFFFF
    return (word >> 8 * (address & 3)) & ((1 << 8 * size) - 1)


def _merge(old: int, address: int, size: int, value: int) -> int:
    """The word after a store of `size` bytes into it."""
    shift = 8 * (address & 3)
    mask = ((1 << 8 * size) - 1) << shift
    return old & ~mask | value << shift & mask
