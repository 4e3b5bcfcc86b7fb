"""One processor core: Unicorn, fenced off from its known traps.

This file decides how an instruction stream is started, stopped and classified. It refuses to know what an exception is,
which peripherals exist and what time it is: it counts instructions and says why it stopped.

Rules that look odd here each guard against a silent mistake of Unicorn 2.1.4:
- no UC_MODE_MCLASS: that flag forces a Cortex-M33 whatever model was asked for;
- peripherals by `mmio_map` only: other memory hooks corrupt the IT state of the block, unless they repair it;
- a count is always passed: without one the PC that callbacks see is wrong, and switching flushes all translations;
- never `emu_stop` from a peripheral: the access would be done again; the engine's own limit is lowered instead.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3 import unicorn as binding
from unicorn.unicorn_py3.unicorn import Uc

from mcutool.emulator import stores
from mcutool.errors import Error

MODELS = {
    "cortex-m0": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
}
# An instruction that the model must reject, and one that it must accept: (code, accepted).
PROBES = {
    "cortex-m0": ((0xF240, 0x0000), False),  # movw r0, #0 is not in ARMv6-M
    "cortex-m3": ((0xFA80, 0xF041), False),  # uadd8 r0, r0, r1 is a DSP instruction
    "cortex-m4": ((0xEE30, 0x0B01), False),  # vadd.f64 needs a double-precision unit
    "cortex-m7": ((0xEE30, 0x0B01), True),
    "cortex-m33": ((0xE8D0, 0x0FAF), True),  # lda r0, [r0] is ARMv8-M
}
_READ = unicorn.UC_PROT_READ
NEVER = 0xFFFFFFFE  # an `until` address that no program reaches
TRANSLATION_BUFFER = 16 << 20  # bytes; Unicorn reserves a gigabyte otherwise
EXECUTE_RETURN = 0xF0000000  # branching to or above this address in handler mode is an exception return

SHORT = 1000  # instructions
REMEDY = "install the version that this was made for: pip install unicorn==2.1.4"
_PROBE_ADDRESS = 0x1000_0000


class Stop(Enum):
    """Why the core stopped."""

    LIMIT = auto()  # the number of instructions is used up, or `limit` lowered it
    SUPERVISOR_CALL = auto()
    BREAKPOINT = auto()
    EXCEPTION_RETURN = auto()
    WAIT_FOR_INTERRUPT = auto()
    WAIT_FOR_EVENT = auto()
    UNDEFINED = auto()
    NO_COPROCESSOR = auto()
    UNALIGNED = auto()
    DATA_FAULT = auto()
    FETCH_FAULT = auto()
    FETCH_FORBIDDEN = auto()  # an execute-never region
    INVALID_STATE = auto()  # a branch to an address with bit 0 clear


_INTERRUPTS = {  # numbers of QEMU's EXCP_* that reach UC_HOOK_INTR
    1: Stop.UNDEFINED,
    2: Stop.SUPERVISOR_CALL,
    3: Stop.FETCH_FORBIDDEN,
    4: Stop.UNALIGNED,
    7: Stop.BREAKPOINT,
    8: Stop.EXCEPTION_RETURN,
    17: Stop.NO_COPROCESSOR,
    18: Stop.INVALID_STATE,
}
_THUMB = 1 << 24  # of EPSR
YIELD, WFE, WFI, SEV = 0xBF10, 0xBF20, 0xBF30, 0xBF40
_HINTS = {YIELD: Stop.LIMIT, WFE: Stop.WAIT_FOR_EVENT, WFI: Stop.WAIT_FOR_INTERRUPT, SEV: Stop.LIMIT}


class Registers:
    """A fixed set of registers, read and written in one call each (ten times faster than one by one)."""

    def __init__(self, handle: ctypes.c_void_p, numbers: tuple[int, ...], kind: Any = ctypes.c_uint32) -> None:
        count = len(numbers)
        self._handle = handle
        self._count = ctypes.c_int(count)
        self._numbers = (ctypes.c_int * count)(*numbers)
        self._values = (kind * count)()
        size = ctypes.sizeof(kind)
        start = ctypes.addressof(self._values)
        self._pointers = (ctypes.c_void_p * count)(*(start + size * index for index in range(count)))

    def read(self) -> list[int]:
        binding.uclib.uc_reg_read_batch(self._handle, self._numbers, self._pointers, self._count)
        return list(self._values)

    def write(self, *values: int) -> None:
        self._values[:] = values
        binding.uclib.uc_reg_write_batch(self._handle, self._numbers, self._pointers, self._count)


@dataclass(frozen=True)
class _Counters:
    """Where the engine keeps its instruction counter and its limit, as indices of 64-bit words."""

    counter: int
    limit: int


def _find_counters() -> _Counters:
    """Find the two words by running two known numbers of instructions; raises Error when that is ambiguous."""
    uc = _new(arm.UC_CPU_ARM_CORTEX_M3)
    uc.mem_map(0, 0x1000)
    uc.mem_write(0, struct.pack("<H", 0xBF00) * 0x800)
    words = (ctypes.c_uint64 * 400).from_address(_address(uc))  # well inside the engine's structure
    candidates: list[set[int]] = []
    for count in (777, 1313):
        uc.emu_start(1, NEVER, count=count)
        candidates.append({index for index, word in enumerate(words) if word == count})
        candidates.append({index for index, word in enumerate(words) if word == count + 1})
    limits, counters = candidates[0] & candidates[2], candidates[1] & candidates[3]
    if len(limits) != 1 or len(counters) != 1:
        raise Error("this build of unicorn is unknown: its instruction counter was not found", next_action=REMEDY)
    return _Counters(counters.pop(), limits.pop())


def _address(uc: Uc) -> int:
    return uc._uch.value or 0  # type: ignore[union-attr]  # there is a handle as long as the object lives


def _whole_pages(size: int) -> int:
    return (size + 0xFFF) & ~0xFFF


def _new(model: int) -> Uc:
    uc = Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB, model)
    uc.ctl_set_tcg_buffer_size(TRANSLATION_BUFFER)
    return uc


_counters: _Counters | None = None


def counters() -> _Counters:
    """The place of the counters in this build of Unicorn, found once per process."""
    global _counters
    if _counters is None:
        _counters = _find_counters()
    return _counters


def accepts(model: str, *halfwords: int) -> bool:
    """Whether the core executes an instruction without raising anything."""
    uc = _new(MODELS[model])
    uc.mem_map(_PROBE_ADDRESS, 0x1000)
    uc.mem_write(_PROBE_ADDRESS, struct.pack(f"<{len(halfwords)}H", *halfwords))
    uc.reg_write(arm.UC_ARM_REG_R0, _PROBE_ADDRESS + 0x800)
    raised: list[int] = []

    def on_interrupt(uc: Uc, number: int, data: object) -> None:
        raised.append(number)
        uc.emu_stop()

    uc.hook_add(unicorn.UC_HOOK_INTR, on_interrupt)
    try:
        uc.emu_start(_PROBE_ADDRESS | 1, NEVER, count=1)
    except unicorn.UcError:
        return False
    return not raised


_proven: set[str] = set()


def prove_model(model: str) -> None:
    """Run the probe instruction of `model`; raises Error when Unicorn gave us another core."""
    if model in _proven:
        return
    code, accepted = PROBES[model]
    if accepts(model, *code) != accepted:
        raise Error(f"this build of unicorn does not emulate {model}", next_action=REMEDY)
    _proven.add(model)


class Engine:
    """A core of the given model with its memory; knows instructions, not exceptions.

    `run` executes from `pc`; afterwards `executed` is the number of instructions that passed their condition.
    """

    def __init__(self, model: str) -> None:
        prove_model(model)
        self.uc = _new(MODELS[model])
        self.handle: ctypes.c_void_p = self.uc._uch  # type: ignore[assignment]  # set as long as it lives
        places = counters()
        self._words: ctypes.Array[ctypes.c_uint64] = (ctypes.c_uint64 * 400).from_address(_address(self.uc))
        self._counter_index, self._limit_index = places.counter, places.limit
        self._misaligned_index: int | None = None
        self.executed = 0
        self._never_code: set[int] = set()  # bases of those that the instruction bus does not reach
        self._data: list[tuple[int, int]] = []  # RAM from which nothing has been executed: (address, bytes)
        self._change_stores: Callable[[bool], None] | None = None
        self.fault_address = 0
        self.on_protected_write: Callable[[int, int, int], None] = lambda address, size, value: None
        self._interrupt: int | None = None
        self._forced: Stop | None = None  # what a forbidden instruction does instead of executing
        self._running = False
        self._program_counter = Registers(self.handle, (arm.UC_ARM_REG_PC,))
        self._epsr = Registers(self.handle, (arm.UC_ARM_REG_EPSR,))
        self._memory: list[tuple[int, mmap.mmap]] = []
        self._callbacks: list[tuple[object, object]] = []  # kept as long as the engine may call them
        self._hidden: tuple[int, int] | None = None  # memory that the program may not read now: address, bytes
        self._changed: list[tuple[int, int]] = []  # in it: address, bytes
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID & ~unicorn.UC_HOOK_MEM_WRITE_PROT, self._on_invalid)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, self._on_protected)

    # --- Memory -------------------------------------------------------------------------------------------------------

    def map_code(self, base: int, size: int, writable: bool) -> None:
        """Map memory that executes; sizes are rounded up to 4 KiB."""
        self._map(base, _whole_pages(size), unicorn.UC_PROT_ALL if writable else _READ | unicorn.UC_PROT_EXEC)

    def map_data(self, base: int, size: int, executable: bool = True) -> None:
        """Map RAM. It becomes executable when code is first executed from it; until then stores to it are fast.

        Where it is not `executable` the core's instruction bus does not reach it.
        """
        self._map(base, _whole_pages(size), _READ | unicorn.UC_PROT_WRITE)
        self._data.append((base, _whole_pages(size)))
        if not executable:
            self._never_code.add(base)
        self._change_stores = stores.opener(self.uc, self._data)

    def _map(self, base: int, size: int, permissions: int) -> None:
        """Memory of our own: reading it is ten times as fast as through Unicorn. Writing goes through it, since it
        must notice that code changes."""
        memory = mmap.mmap(-1, size)
        self._memory.append((base, memory))
        self.uc.mem_map_ptr(base, size, permissions, ctypes.addressof(ctypes.c_char.from_buffer(memory)))

    def _allow_execution_from_data(self) -> None:
        """From now on a store into the RAM around the program counter may change code."""
        if self._change_stores:
            self._change_stores(False)
        for base, size in self._data:
            if base <= self.pc < base + size:
                self.uc.mem_protect(base, size, unicorn.UC_PROT_ALL)
        self._data = [(base, size) for base, size in self._data if not base <= self.pc < base + size]
        self._change_stores = stores.opener(self.uc, self._data)

    def _may_become_code(self, pc: int) -> bool:
        return any(base <= pc < base + size for base, size in self._data if base not in self._never_code)

    def allow(self, base: int, size: int, allowed: bool) -> None:
        """Let the program read and execute memory from `map_code`, or not; only while nothing runs."""
        self.uc.mem_protect(base, _whole_pages(size), _READ | unicorn.UC_PROT_EXEC if allowed else unicorn.UC_PROT_NONE)
        self._hidden = None if allowed else (base, size)
        if allowed:
            changed, self._changed = self._changed, []
            for address, length in changed:
                self._forget(address, length)

    def _forget(self, address: int, length: int) -> None:
        """Throw away what Unicorn has translated of memory that has changed.

        That looks the page up for fetching, after which reading it is allowed, so it has to wait while it is not.
        """
        if self._hidden and self._hidden[0] <= address < sum(self._hidden):
            self._changed.append((address, length))
        else:
            self.uc.ctl_remove_cache(address, address + length)  # type: ignore[attr-defined]  # made at run time

    def map_peripherals(
        self, base: int, size: int, read: Callable[[int, int], int], write: Callable[[int, int, int], None]
    ) -> None:
        """Send accesses in [base, base + size) to `read(address, size)` and `write(address, size, value)`.

        Past the binding's own wrappers, which would cost as much as most peripherals do.
        """

        def on_read(handle: int, offset: int, width: int, data: object) -> int:
            try:
                return read(base + offset, width)
            except BaseException as error:
                return self._put_aside(error)

        def on_write(handle: int, offset: int, width: int, value: int, data: object) -> None:
            try:
                write(base + offset, width, value)
            except BaseException as error:
                self._put_aside(error)

        callbacks = binding.MMIO_READ_CFUNC(on_read), binding.MMIO_WRITE_CFUNC(on_write)
        self._callbacks.append(callbacks)
        status = binding.uclib.uc_mmio_map(self.handle, base, size, callbacks[0], None, callbacks[1], None)
        if status != unicorn.UC_ERR_OK:
            raise unicorn.UcError(status)

    def _put_aside(self, error: BaseException) -> int:
        """Stop for an exception in a peripheral, as the binding does: `run` raises it."""
        if self.uc._hook_exception is None:
            self.uc._hook_exception = error  # type: ignore[assignment]  # of any kind
        binding.uclib.uc_emu_stop(self.handle)
        return 0

    def read(self, address: int, size: int) -> bytes:
        """RAM and flash as the host sees them; raises IndexError where neither is."""
        for base, memory in self._memory:
            if base <= address and address + size <= base + len(memory):
                return memory[address - base : address - base + size]
        raise IndexError(f"no memory at {address:#010x}")

    def write(self, address: int, data: bytes) -> None:
        """Write memory, read-only memory too; raises IndexError when it is not mapped."""
        try:
            self.uc.mem_write(address, bytes(data))
        except unicorn.UcError:
            raise IndexError(f"no memory at {address:#010x}") from None
        if data and not any(base <= address < base + size for base, size in self._data):
            self._forget(address, len(data))

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    # --- Execution ----------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> int:
        """Instructions executed so far in the present `run`, for peripherals that want the exact time."""
        return max(self._words[self._counter_index] - 1, 0) if self._running else 0

    def limit(self, instructions: int = 0) -> None:
        """From a peripheral: stop `instructions` after the present one (or after its IT block), if not before."""
        if self._running:
            wanted = self._words[self._counter_index] + instructions
            self._words[self._limit_index] = min(self._words[self._limit_index], wanted)

    @property
    def refused(self) -> bool:
        """Whether the last `run` ended before a forbidden instruction."""
        return self._forced is not None

    @property
    def pc(self) -> int:
        return self._program_counter.read()[0]

    def run(self, pc: int, count: int) -> Stop:
        """Execute at most `count` instructions (an IT block is not divided) and say why it ended."""
        self._interrupt = None
        self._forced = None
        if pc == NEVER:  # where the vector of an empty flash leads; Unicorn would return at once for ever
            self.executed = 0
            return Stop.FETCH_FAULT
        if self._change_stores and self.executed > SHORT:  # the last slice may have met new pages
            self._change_stores(True)
        self._running = True
        status = binding.uclib.uc_emu_start(self.handle, pc | 1, NEVER, 0, self._prepare_counter(count))
        self._running = False
        self._raise_from_callbacks()
        if self._misaligned_index is not None and self._words[self._misaligned_index]:
            self._forced = Stop.UNALIGNED
        self.executed, limit = self._words[self._counter_index], self._words[self._limit_index]
        if self._forced is not None:
            self.executed -= 1
            return self._forced
        if self.executed > limit and self._interrupt is None and status == unicorn.UC_ERR_OK:
            self.executed -= 1  # the counter includes the instruction that was not begun any more
            return Stop.LIMIT
        return self._classify(status)

    def _raise_from_callbacks(self) -> None:
        """An exception in a peripheral has stopped the engine, and the binding has put it aside."""
        error, self.uc._hook_exception = self.uc._hook_exception, None
        if error is not None:
            raise error

    def _prepare_counter(self, count: int) -> int:
        """Set the limit; returns the count that Unicorn is to watch, 0 when another counter does it."""
        if self._misaligned_index is None:
            return count
        self._words[self._counter_index], self._words[self._limit_index] = 0, count
        self._words[self._misaligned_index] = 0
        return 0

    def count_by(self, words: ctypes.Array[ctypes.c_uint64]) -> None:
        """Let a code hook count: `words` are its counter, its limit, and whether it stopped a misaligned transfer.

        A code hook keeps the PC that callbacks see right, as a count does; to be called before anything has run.
        """
        self._words = words
        self._counter_index, self._limit_index, self._misaligned_index = 0, 1, 2

    def argument(self, index: int) -> int:
        """One of R0 to R3."""
        return self.uc.reg_read(arm.UC_ARM_REG_R0 + index)

    # --- Instructions that Unicorn executes and the core does not -----------------------------------------------------

    def forbid(self, addresses: list[int], stop: Stop) -> list[int]:
        """Make the instructions at these addresses stop with `stop` instead; returns handles for `permit`."""
        handles = [self.uc.hook_add(unicorn.UC_HOOK_CODE, self._refuse, stop, at, at) for at in addresses]
        self.uc.ctl_flush_tb()  # type: ignore[attr-defined]  # made at run time
        return handles

    def permit(self, handles: list[int]) -> None:
        """Take `forbid` back."""
        for handle in handles:
            self.uc.hook_del(handle)
        self.uc.ctl_flush_tb()  # type: ignore[attr-defined]

    def _refuse(self, uc: Uc, address: int, size: int, stop: Stop) -> None:
        self._forced = stop
        binding.uclib.uc_emu_stop(self.handle)

    def _classify(self, status: int) -> Stop:
        pc = self.pc
        if not self._epsr.read()[0] & _THUMB:
            return Stop.INVALID_STATE
        if self._interrupt is not None:
            stop = _INTERRUPTS.get(self._interrupt, Stop.UNDEFINED)
            return Stop.EXCEPTION_RETURN if stop is Stop.FETCH_FORBIDDEN and pc >= EXECUTE_RETURN else stop
        if status == unicorn.UC_ERR_OK:
            return _HINTS.get(self.halfword(pc - 2), Stop.LIMIT)
        if status == unicorn.UC_ERR_INSN_INVALID:
            return _HINTS.get(self.halfword(pc - 2), Stop.UNDEFINED)
        if status == unicorn.UC_ERR_FETCH_PROT and self._may_become_code(pc):
            self._allow_execution_from_data()
            return Stop.LIMIT
        if status in (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT):
            return Stop.EXCEPTION_RETURN if pc >= EXECUTE_RETURN else Stop.FETCH_FAULT
        if status == unicorn.UC_ERR_EXCEPTION:
            return Stop.INVALID_STATE
        return Stop.DATA_FAULT

    def halfword(self, address: int) -> int:
        try:
            return int.from_bytes(self.read(address, 2), "little")
        except IndexError:
            return 0

    def end_block(self) -> None:
        """For a memory hook: take away the IT state that would be carried into the next block."""
        self._epsr.write(self._epsr.read()[0] & ~((3 << 25) | (0x3F << 10)))

    # --- Callbacks ----------------------------------------------------------------------------------------------------

    def _on_interrupt(self, uc: Uc, number: int, data: object) -> None:
        self._interrupt = number
        binding.uclib.uc_emu_stop(self.handle)

    def _on_invalid(self, uc: Uc, access: int, address: int, size: int, value: int, data: object) -> bool:
        self.fault_address = address
        return False

    def _on_protected(self, uc: Uc, access: int, address: int, size: int, value: int, data: object) -> bool:
        """A store to read-only memory: swallowed and told to the flash controller."""
        self.end_block()
        self.on_protected_write(address, size, value & ((1 << (8 * size)) - 1))
        self.limit()
        return True
