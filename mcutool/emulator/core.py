"""What surrounds the core inside an Armv6-M or Armv7-M processor: exceptions, NVIC, SysTick, SCB, DWT.

This file decides which exception is taken when, and builds and unwinds stack frames as the architecture manuals
(Armv6-M ARM, Armv7-M ARM chapter B1) say. It refuses to know instructions, and what raises an interrupt line.

Not modelled: the MPU, lazy floating-point stacking (frames are stacked at once), traps on division by zero.
"""

from __future__ import annotations

import copy
import ctypes
import struct
from collections.abc import Callable
from typing import Any

from unicorn import arm_const as arm

from mcutool.emulator.clock import Clock, Event
from mcutool.emulator.engine import Engine, Registers

NMI, HARD_FAULT, MEMORY_FAULT, BUS_FAULT, USAGE_FAULT = 2, 3, 4, 5, 6
SUPERVISOR_CALL, PENDING_SERVICE, SYSTEM_TICK, FIRST_INTERRUPT = 11, 14, 15, 16
CONFIGURABLE_FAULTS = {MEMORY_FAULT: 1 << 16, BUS_FAULT: 1 << 17, USAGE_FAULT: 1 << 18}  # enable bits in SHCSR
FIXED_PRIORITY = {NMI: -2, HARD_FAULT: -1}
LOWEST = 256  # thread mode with nothing masked

# Bits of CFSR.
EXECUTE_NEVER, FETCH_ERROR, PRECISE_ERROR, ADDRESS_VALID, STACKING_ERROR = 1 << 0, 1 << 8, 1 << 9, 1 << 15, 1 << 12
IMPRECISE_ERROR = 1 << 10
UNDEFINED, INVALID_STATE, INVALID_RETURN = 1 << 16, 1 << 17, 1 << 18
NO_COPROCESSOR, UNALIGNED = 1 << 19, 1 << 24
FORCED, VECTOR_ERROR = 1 << 30, 1 << 1  # HFSR

BASIC_FRAME, EXTENDED_FRAME = 0x20, 0x68  # bytes
THUMB, ALIGNED = 1 << 24, 1 << 9  # bits of xPSR
USE_PROCESS_STACK, FLOATING_CONTEXT = 1 << 1, 1 << 2  # bits of CONTROL
REFERENCE_DIVISOR = 8  # the SysTick reference clock, as on STM32

PART_NUMBERS = {"cortex-m0": 0x410CC200, "cortex-m3": 0x412FC231, "cortex-m4": 0x410FC241, "cortex-m7": 0x411FC270}


class Lockup(Exception):
    """A fault while HardFault or NMI runs: the processor stops until it is reset."""


class SystemTick:
    """The 24-bit down-counter; its value is computed from the clock, only an interrupt needs an event."""

    ENABLE, INTERRUPT, CORE_CLOCK, COUNTED = 1 << 0, 1 << 1, 1 << 2, 1 << 16

    def __init__(self, clock: Clock, pend: Callable[[int], None]) -> None:
        self._clock = clock
        self._pend = pend
        self._event: Event | None = None
        self.reset()

    def reset(self) -> None:
        self.control = self.reload = self.wraps_seen = 0
        self._origin = self._first = self._stopped_at = 0
        self._cancel()

    @property
    def _divisor(self) -> int:
        return 1 if self.control & self.CORE_CLOCK else REFERENCE_DIVISOR

    @property
    def _elapsed(self) -> int:
        return (self._clock.now - self._origin) // self._divisor

    @property
    def _wraps(self) -> int:
        """How often the counter has reached zero since it was started."""
        elapsed = self._elapsed
        return 0 if elapsed < self._first else 1 + (elapsed - self._first) // (self.reload + 1)

    @property
    def value(self) -> int:
        if not self.control & self.ENABLE:
            return self._stopped_at
        elapsed = self._elapsed
        if elapsed <= self._first:
            return min(self._first - elapsed, self.reload)
        return (self._first - elapsed) % (self.reload + 1)

    def read_control(self) -> int:
        counted = bool(self.control & self.ENABLE) and self._wraps > self.wraps_seen
        if counted:
            self.wraps_seen = self._wraps
        return self.control | (self.COUNTED if counted else 0)

    def write_control(self, value: int) -> None:
        self._stopped_at = self.value
        self.control = value & 7
        self._start(self._stopped_at)

    def write_reload(self, value: int) -> None:
        self._stopped_at = self.value
        self.reload = value & 0xFFFFFF
        self._start(self._stopped_at)

    def write_value(self, _value: int) -> None:
        self._stopped_at = 0
        self._start(0)

    def _start(self, value: int) -> None:
        """Count from `value`; zero is reloaded at the next tick."""
        self._cancel()
        if not self.control & self.ENABLE or not self.reload:
            return
        self._origin, self.wraps_seen = self._clock.now, 0
        self._first = value or self.reload + 1
        self._schedule(self._first)

    def _cancel(self) -> None:
        if self._event:
            self._event.cancelled = True
            self._event = None

    def _schedule(self, ticks: int) -> None:
        if self.control & self.INTERRUPT:
            self._event = self._clock.after(ticks * self._divisor, self._expire)

    def _expire(self) -> None:
        self._pend(SYSTEM_TICK)
        self._schedule(self.reload + 1)


class Core:
    """The private peripheral bus at 0xE0000000 and the exception model behind it.

    `pend` and `set_line` are for peripherals; `deliver`, `fault`, `supervisor_call` and `exception_return` for the
    machine's loop. `on_reset_request` is called when the program asks for a reset.
    """

    STATE = (
        "pending", "active", "enabled", "lines", "priorities", "vector_table", "priority_group", "system_control",
        "configuration", "handler_control", "fault_status", "hard_fault_status", "fault_address", "access_control",
        "floating_control", "event", "cycle_control", "cycle_origin", "debug_control",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, clock: Clock, model: str, priority_bits: int, irqs: int, vectors: int, movable: bool
    ) -> None:
        self.engine, self.clock, self.model = engine, clock, model
        self.mainline = model != "cortex-m0"  # ARMv7-M and later: faults with status, BASEPRI
        self.absent = absent_registers(self.mainline, movable)
        self.priority_mask = 0xFF & ~(0xFF >> priority_bits)
        self.irqs = irqs
        self.initial_vectors = vectors
        self.on_reset_request: Callable[[], None] = lambda: None
        self.on_floating_point: Callable[[bool], None] = lambda enabled: None
        self.systick = SystemTick(clock, self.pend)
        handle = engine.handle
        names = "R0 R1 R2 R3 R12 R14 R15 XPSR R13"
        self._frame = Registers(handle, tuple(getattr(arm, f"UC_ARM_REG_{name}") for name in names.split()))
        self._masks = Registers(handle, (arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_BASEPRI, arm.UC_ARM_REG_FAULTMASK))
        self._enter = Registers(
            handle, (arm.UC_ARM_REG_R13, arm.UC_ARM_REG_IEPSR, arm.UC_ARM_REG_R14, arm.UC_ARM_REG_R15)
        )
        self._leave = Registers(
            handle,
            tuple(getattr(arm, f"UC_ARM_REG_{name}") for name in "R0 R1 R2 R3 R12 R14 R15 XPSR_NZCVQG".split()),
        )
        self._stack = Registers(handle, (arm.UC_ARM_REG_R13,))
        self._process_stack = Registers(handle, (arm.UC_ARM_REG_PSP,))
        self._control = Registers(handle, (arm.UC_ARM_REG_CONTROL,))
        self._nzcv = Registers(handle, (arm.UC_ARM_REG_APSR_NZCV,))
        self._link = Registers(handle, (arm.UC_ARM_REG_R14,))
        floats = tuple(arm.UC_ARM_REG_D0 + index for index in range(8))
        self._floats = Registers(handle, floats, kind=ctypes.c_uint64)
        self._float_status = Registers(handle, (arm.UC_ARM_REG_FPSCR,))
        self._clear()

    # --- State --------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self.pending: set[int] = set()
        self.active: list[int] = []
        self.enabled: set[int] = set()
        self.lines: set[int] = set()  # level-sensitive inputs that are high
        self.priorities = [0] * (FIRST_INTERRUPT + self.irqs)
        self.vector_table = self.initial_vectors
        self.priority_group = 0
        self.system_control = 0
        self.configuration = 0x200  # STKALIGN
        self.handler_control = 0
        self.fault_status = 0
        self.hard_fault_status = 0
        self.fault_address = 0
        self.access_control = 0
        self.floating_control = 0xC0000000
        self.event = False
        self.cycle_control = 0
        self.cycle_origin = 0
        self.debug_control = 0

    def reset(self) -> int:
        """Put everything into its reset state and return the address of the first instruction."""
        self._clear()
        self.systick.reset()
        stack, entry = self.engine.word(self.vector_table), self.engine.word(self.vector_table + 4)
        if self.model == "cortex-m4":
            self.on_floating_point(False)
        self._masks.write(0, 0, 0)
        self._leave.write(0, 0, 0, 0, 0, 0xFFFFFFFF, entry, THUMB)
        self._control.write(0)
        self._stack.write(stack)
        self._rebuild_flags()
        return entry & ~1

    def state(self) -> dict[str, Any]:
        saved = {name: copy.copy(getattr(self, name)) for name in self.STATE}
        saved["systick"] = {k: v for k, v in vars(self.systick).items() if k not in ("_clock", "_pend")}
        return saved

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.STATE:
            setattr(self, name, copy.copy(state[name]))
        vars(self.systick).update(state["systick"])

    def _rebuild_flags(self) -> None:
        """Writing the flags with their own value makes the engine notice a change of mode."""
        self._nzcv.write(*self._nzcv.read())

    # --- Interrupt lines ----------------------------------------------------------------------------------------------

    def pend(self, number: int) -> None:
        """Make an exception pending; the slice that is running ends if it could be taken."""
        self.pending.add(number)
        self.event = True
        self.engine.limit()

    def set_line(self, irq: int, high: bool) -> None:
        """A peripheral's level-sensitive interrupt output; what is pending stays so when the line falls again."""
        number = FIRST_INTERRUPT + irq
        if not high:
            self.lines.discard(number)
        elif number not in self.lines:
            self.lines.add(number)
            if number not in self.active:
                self.pend(number)

    # --- Priorities ---------------------------------------------------------------------------------------------------

    def priority(self, number: int) -> int:
        return FIXED_PRIORITY[number] if number in FIXED_PRIORITY else self.priorities[number]

    def _group(self, priority: int) -> int:
        """The part of a priority that decides about pre-emption."""
        return priority if priority < 0 else priority & ~((2 << self.priority_group) - 1)

    def _execution_priority(self, primask: int, basepri: int, faultmask: int) -> int:
        priorities = [self._group(self.priority(number)) for number in self.active]
        priorities += [LOWEST]
        if basepri:
            priorities.append(self._group(basepri))
        if primask & 1:
            priorities.append(0)
        if faultmask & 1:
            priorities.append(-1)
        return min(priorities)

    def _candidate(self) -> int | None:
        """The pending and enabled exception of the highest priority."""
        ready = [n for n in self.pending if n < FIRST_INTERRUPT or n in self.enabled]
        return min(ready, key=lambda number: (self.priority(number), number)) if ready else None

    @property
    def masked(self) -> bool:
        """Whether an exception waits only because the program masks it: then every instruction may unmask it."""
        if not self.pending or (number := self._candidate()) is None:
            return False
        return self._group(self.priority(number)) < self._execution_priority(0, 0, 0)

    def wakes(self) -> bool:
        """Whether something pending ends a WFI: PRIMASK does not count there."""
        if not self.pending or (number := self._candidate()) is None:
            return False
        _, basepri, faultmask = self._masks.read()
        return self._group(self.priority(number)) < self._execution_priority(0, basepri, faultmask)

    def deliver(self) -> bool:
        """Take the pending exception that pre-empts what runs now, if there is one."""
        if not self.pending or (number := self._candidate()) is None:
            return False
        if self._group(self.priority(number)) >= self._execution_priority(*self._masks.read()):
            return False
        self.pending.discard(number)
        self._take(number)
        return True

    # --- Synchronous exceptions ---------------------------------------------------------------------------------------

    def supervisor_call(self) -> None:
        """SVC: the program counter is past it already."""
        self._synchronous(SUPERVISOR_CALL)

    def fault(self, number: int, status: int, address: int | None = None) -> None:
        """A fault at the program counter; `status` are bits of CFSR, `address` that of a failed data access."""
        if self.mainline:
            self.fault_status |= status
            if address is not None:
                self.fault_address = address
        self._synchronous(number)

    def _synchronous(self, number: int) -> None:
        """Take an exception that can't wait, or escalate it to HardFault."""
        current = self._execution_priority(*self._masks.read())
        enabled = number not in CONFIGURABLE_FAULTS or self.handler_control & CONFIGURABLE_FAULTS[number]
        if enabled and self._group(self.priority(number)) < current:
            return self._take(number)
        if current <= -1:
            raise Lockup(f"a fault at {self.engine.pc:#010x} while HardFault or NMI was running")
        self.hard_fault_status |= FORCED
        return self._take(HARD_FAULT)

    # --- Entry and return ---------------------------------------------------------------------------------------------

    def _take(self, number: int) -> None:
        """Push the frame and enter the handler (Armv7-M ARM B1.5.6)."""
        *general, pc, xpsr, stack = self._frame.read()
        control = self._control.read()[0]
        extended = bool(control & FLOATING_CONTEXT) and self.model != "cortex-m0"
        base = stack - (EXTENDED_FRAME if extended else BASIC_FRAME)
        padding = base & 4
        base -= padding
        frame = struct.pack("<8I", *general, pc, (xpsr & ~ALIGNED) | (ALIGNED if padding else 0))
        if extended:
            frame += struct.pack("<8Q", *self._floats.read()) + struct.pack("<2I", self._float_status.read()[0], 0)
        self._push(base & 0xFFFFFFFF, frame, number)
        thread = not self.active
        magic = 0xFFFFFFE1 if extended else 0xFFFFFFF1
        if thread:
            magic |= 0xC if control & USE_PROCESS_STACK else 0x8
        self.active.append(number)
        self.event = True
        self._enter.write(base, number | THUMB, magic, self._vector(number))
        self._control.write(control & ~FLOATING_CONTEXT)
        self._rebuild_flags()

    def _push(self, base: int, frame: bytes, number: int) -> None:
        try:
            self.engine.write(base, frame)
        except IndexError:
            self.fault_status |= STACKING_ERROR
            raise Lockup(f"no memory for the frame of exception {number}: stack pointer {base:#010x}") from None

    def _vector(self, number: int) -> int:
        try:
            return self.engine.word(self.vector_table + 4 * number)
        except IndexError:
            self.hard_fault_status |= VECTOR_ERROR
            raise Lockup(f"no vector for exception {number} at {self.vector_table:#010x}") from None

    def exception_return(self) -> None:
        """Unwind to what was interrupted (Armv7-M ARM B1.5.8); a bad EXC_RETURN is a UsageFault."""
        magic = self.engine.pc | 1
        if not self.active or magic & 0xF not in (0x1, 0x9, 0xD):
            self.engine.uc.reg_write(arm.UC_ARM_REG_PC, magic)
            return self.fault(USAGE_FAULT, INVALID_RETURN)
        extended = not magic & 0x10 and self.model != "cortex-m0"
        stack = self._process_stack.read()[0] if magic & 4 else self._stack.read()[0]
        size = EXTENDED_FRAME if extended else BASIC_FRAME
        try:
            frame = self.engine.read(stack, size)
        except IndexError:
            raise Lockup(f"no memory to unstack from: stack pointer {stack:#010x}") from None
        self._deactivate()
        self._unstack(frame, stack + size, to_process_stack=bool(magic & 4), extended=extended)
        return None

    def _deactivate(self) -> None:
        number = self.active.pop()
        self.event = True
        primask, basepri, faultmask = self._masks.read()
        if faultmask and number != NMI:
            self._masks.write(primask, basepri, 0)
        if number in self.lines:
            self.pend(number)

    def _unstack(self, frame: bytes, stack: int, to_process_stack: bool, extended: bool) -> None:
        *general, pc, xpsr = struct.unpack_from("<8I", frame)
        # The mode first: which stack pointer R13 is depends on it.
        self._leave.write(*general, pc | 1, (xpsr & 0xFF0FFC00) | (self.active[-1] if self.active else 0))
        control = self._control.read()[0] & ~(USE_PROCESS_STACK | FLOATING_CONTEXT)
        control |= (USE_PROCESS_STACK if to_process_stack else 0) | (FLOATING_CONTEXT if extended else 0)
        self._control.write(control)
        self._stack.write(stack + (4 if xpsr & ALIGNED else 0))
        if extended:
            self._floats.write(*struct.unpack_from("<8Q", frame, BASIC_FRAME))
            self._float_status.write(*struct.unpack_from("<I", frame, BASIC_FRAME + 64))
        self._rebuild_flags()

    @property
    def sleeps_on_exit(self) -> bool:
        return bool(self.system_control & 2) and not self.active

    # --- Registers ----------------------------------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        """A word of the private peripheral bus; what is not there reads as zero."""
        if 0xE100 <= offset < 0xE400:
            return self._read_interrupt_bits(offset)
        if 0xE400 <= offset < 0xE400 + 4 * ((self.irqs + 3) // 4):
            return self._read_priorities(FIRST_INTERRUPT + offset - 0xE400)
        if 0xED18 <= offset < 0xED24:
            return self._read_priorities(offset - 0xED14)
        if offset in self.absent:
            return 0
        reader = _READ.get(offset)
        return reader(self) & 0xFFFFFFFF if reader else 0

    def write(self, offset: int, value: int) -> None:
        if 0xE100 <= offset < 0xE300:
            self._write_interrupt_bits(offset, value)
        elif 0xE400 <= offset < 0xE400 + 4 * ((self.irqs + 3) // 4):
            self._write_priorities(FIRST_INTERRUPT + offset - 0xE400, value)
        elif 0xED18 <= offset < 0xED24:
            self._write_priorities(offset - 0xED14, value)
        elif offset in _WRITE and offset not in self.absent:
            _WRITE[offset](self, value)
        self.engine.limit()  # anything here may change what is to be taken

    def merged(self, offset: int) -> int:
        """What the other bytes of a narrow write keep."""
        return self.read(offset) if offset >= 0xE400 else 0

    def _read_interrupt_bits(self, offset: int) -> int:
        first = FIRST_INTERRUPT + (offset & 0x7F) * 8
        members = (self.enabled, self.enabled, self.pending, self.pending, self.active, self.active)[
            (offset - 0xE100) >> 7
        ]
        return sum(1 << bit for bit in range(32) if first + bit in members)

    def _write_interrupt_bits(self, offset: int, value: int) -> None:
        first = FIRST_INTERRUPT + (offset & 0x7F) * 8
        numbers = {first + bit for bit in range(32) if value >> bit & 1 and first + bit < FIRST_INTERRUPT + self.irqs}
        kind = (offset - 0xE100) >> 7
        if kind == 0:
            self.enabled |= numbers
        elif kind == 1:
            self.enabled -= numbers
        elif kind == 2:
            self.pending |= numbers
        else:
            self.pending -= numbers - self.lines

    def _read_priorities(self, first: int) -> int:
        return int.from_bytes(bytes(self.priorities[first : first + 4]).ljust(4, b"\0"), "little")

    def _write_priorities(self, first: int, value: int) -> None:
        for lane in range(4):
            if first + lane < len(self.priorities):
                self.priorities[first + lane] = value >> 8 * lane & self.priority_mask

    def _read_icsr(self) -> int:
        candidate = self._candidate() or 0
        value = (self.active[-1] if self.active else 0) | candidate << 12 | (len(self.active) == 1) << 11
        pending_bits = ((NMI, 31), (PENDING_SERVICE, 28), (SYSTEM_TICK, 26))
        return value | sum(1 << bit for number, bit in pending_bits if number in self.pending)

    def _write_icsr(self, value: int) -> None:
        for bit, number in ((31, NMI), (28, PENDING_SERVICE), (26, SYSTEM_TICK)):
            if value >> bit & 1:
                self.pend(number)
        for bit, number in ((27, PENDING_SERVICE), (25, SYSTEM_TICK)):
            if value >> bit & 1:
                self.pending.discard(number)

    def _write_aircr(self, value: int) -> None:
        if value >> 16 != 0x05FA:
            return
        self.priority_group = value >> 8 & 7 if self.mainline else 0
        if value & 4:
            self.on_reset_request()

    def _write_access_control(self, value: int) -> None:
        self.access_control = value & 0x00F00000 if self.model not in ("cortex-m0", "cortex-m3") else 0
        self.on_floating_point(self.access_control == 0x00F00000)

    def _write_vector_table(self, value: int) -> None:
        self.vector_table = value & 0xFFFFFF80

    def _write_fault_status(self, value: int) -> None:
        self.fault_status &= ~value

    def _write_hard_fault_status(self, value: int) -> None:
        self.hard_fault_status &= ~value

    def _write_cycle_control(self, value: int) -> None:
        self.cycle_control = value

    def _write_cycles(self, value: int) -> None:
        self.cycle_origin = self.clock.now - value

    def _read_cycles(self) -> int:
        return self.clock.now - self.cycle_origin if self.cycle_control & 1 else 0

    def _write_software_interrupt(self, value: int) -> None:
        if value & 0x1FF < self.irqs:
            self.pend(FIRST_INTERRUPT + (value & 0x1FF))


def absent_registers(mainline: bool, movable: bool) -> set[int]:
    """Offsets of what a core does not have; `movable` says whether the vector table can be moved."""
    return (set() if mainline else _MAINLINE_ONLY) | (set() if movable else _VECTOR_TABLE)


def _setter(name: str) -> Callable[[Core, int], None]:
    return lambda core, value: setattr(core, name, value)


# Registers that ARMv6-M does not have: SHCSR and the fault status, CPACR, the cycle counter, STIR.
_MAINLINE_ONLY = {0x1000, 0x1004, 0xED24, 0xED28, 0xED2C, 0xED34, 0xED38, 0xED88, 0xEF00, 0xEF34}

_VECTOR_TABLE = {0xED08}  # VTOR, which some cores of ARMv6-M have

# Offsets from 0xE0000000.
_READ: dict[int, Callable[[Core], int]] = {
    0x1000: lambda core: 0x40000000 | core.cycle_control & 1,
    0x1004: Core._read_cycles,
    0xE010: lambda core: core.systick.read_control(),
    0xE014: lambda core: core.systick.reload,
    0xE018: lambda core: core.systick.value,
    0xED00: lambda core: PART_NUMBERS.get(core.model, 0),
    0xED04: Core._read_icsr,
    0xED08: lambda core: core.vector_table,
    0xED0C: lambda core: 0xFA050000 | core.priority_group << 8,
    0xED10: lambda core: core.system_control,
    0xED14: lambda core: core.configuration,
    0xED24: lambda core: core.handler_control,
    0xED28: lambda core: core.fault_status,
    0xED2C: lambda core: core.hard_fault_status,
    0xED34: lambda core: core.fault_address,
    0xED38: lambda core: core.fault_address,
    0xED88: lambda core: core.access_control,
    0xEDFC: lambda core: core.debug_control,
    0xEF34: lambda core: core.floating_control,
}
_WRITE: dict[int, Callable[[Core, int], None]] = {
    0x1000: Core._write_cycle_control,
    0x1004: Core._write_cycles,
    0xE010: lambda core, value: core.systick.write_control(value),
    0xE014: lambda core, value: core.systick.write_reload(value),
    0xE018: lambda core, value: core.systick.write_value(value),
    0xED04: Core._write_icsr,
    0xED08: Core._write_vector_table,
    0xED0C: Core._write_aircr,
    0xED10: _setter("system_control"),
    0xED14: _setter("configuration"),
    0xED24: _setter("handler_control"),
    0xED28: Core._write_fault_status,
    0xED2C: Core._write_hard_fault_status,
    0xED88: Core._write_access_control,
    0xEDFC: _setter("debug_control"),
    0xEF00: Core._write_software_interrupt,
    0xEF34: _setter("floating_control"),
}
