"""Counting of executed instructions by address: in C where the helper is, else in Python.

This file decides which of the two counters is used and hides the difference. It refuses to know cycles and functions.
The one in C runs at the engine's speed; the one in Python gives the same counts about fifty times slower.
"""

from __future__ import annotations

import ctypes
import logging
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3 import unicorn as binding

from mcutool.emulator import helper
from mcutool.emulator.engine import Engine

log = logging.getLogger("mcutool")

NOWHERE = (1 << 64) - 1
_IT_SLOTS = 4
_SITE = struct.Struct("@4Q2B6x")  # `struct site` of helper.c; `base` is nobody's business here
_CHUNK = 1024  # sites; many of them were never met
BRANCHES = 32  # remembered


@dataclass
class Site:
    """The counts of one instruction; the fields are those of `struct site` in helper.c."""

    executed: int = 0
    skipped: int = 0
    taken: int = 0
    sequential: int = 0
    size: int = 0
    slots: int = 0


class _SiteStructure(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("executed", "skipped", "taken", "sequential")),
        ("size", ctypes.c_uint8),
        ("slots", ctypes.c_uint8),
        ("base", ctypes.c_int8),
    ]


class _RegionStructure(ctypes.Structure):
    _fields_ = [("base", ctypes.c_uint64), ("size", ctypes.c_uint64), ("sites", ctypes.c_void_p)]


class _BranchStructure(ctypes.Structure):
    _fields_ = [("source", ctypes.c_uint64), ("target", ctypes.c_uint64)]


class _CounterStructure(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("progress", "limit", "misaligned")),
        ("regions", _RegionStructure * 2),
        *((name, ctypes.c_void_p) for name in ("read_registers", "read_memory", "stop")),
        *((name, ctypes.c_int) for name in ("first_register", "stack_register", "link_register")),
        *((n, ctypes.c_uint64) for n in ("begin", "end", "stack", "calls", "elsewhere", "previous", "next")),
        ("running", ctypes.c_bool),
        ("suspended", ctypes.c_bool),
        ("was_sequential", ctypes.c_bool),
        ("branch_count", ctypes.c_uint64),
        ("branches", _BranchStructure * BRANCHES),
        *((name, ctypes.c_uint64) for name in ("slow_base", "slow_size", "slow_reads", "unaligned")),
        ("write_register", ctypes.c_void_p),
        ("status_register", ctypes.c_int),
    ]


_POSITION = ("running", "suspended", "end", "stack", "previous", "next", "was_sequential", "branch_count")


class FastCounter:
    """Counts through helper.c; `begin` is the address whose execution starts the counting."""

    def __init__(self, engine: Engine, loaded: ctypes.CDLL, spans: list[tuple[int, int]], begin: int) -> None:
        self._library = loaded
        self._arrays = [(_SiteStructure * (size // 2))() for _, size in spans]
        self._spans = spans
        counter = self._counter = _CounterStructure(begin=begin, previous=NOWHERE, next=NOWHERE)
        for region, (base, size), array in zip(counter.regions, spans, self._arrays, strict=False):
            region.base, region.size, region.sites = base, size, ctypes.addressof(array)
        counter.read_registers = ctypes.cast(binding.uclib.uc_reg_read_batch, ctypes.c_void_p)
        counter.read_memory = ctypes.cast(binding.uclib.uc_mem_read, ctypes.c_void_p)
        counter.stop = ctypes.cast(binding.uclib.uc_emu_stop, ctypes.c_void_p)
        counter.first_register = arm.UC_ARM_REG_R0
        counter.stack_register, counter.link_register = arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR
        self._settle = loaded.counter_settle
        self._settle.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_bool]
        self._pointer, self._handle = ctypes.addressof(counter), engine.handle
        self._hook(unicorn.UC_HOOK_CODE, loaded.counter_on_instruction)
        engine.count_by((ctypes.c_uint64 * 3).from_buffer(counter))

    def _hook(self, kind: int, function: Any) -> None:
        handle = ctypes.c_size_t()
        status = binding.uclib.uc_hook_add(
            self._handle, ctypes.byref(handle), kind, ctypes.cast(function, ctypes.c_void_p),
            ctypes.c_void_p(self._pointer), ctypes.c_uint64(1), ctypes.c_uint64(0),
        )  # fmt: skip
        if status != unicorn.UC_ERR_OK:
            raise RuntimeError(f"unicorn refused the counter: error {status}")

    def watch(self, base: int, size: int) -> None:
        """Count also `slow_reads`, the words read as data from these bytes, and accesses that are `unaligned`."""
        counter = self._counter
        counter.slow_base, counter.slow_size = base, size
        counter.write_register = ctypes.cast(binding.uclib.uc_reg_write, ctypes.c_void_p)
        counter.status_register = arm.UC_ARM_REG_EPSR
        self._hook(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, self._library.counter_on_access)

    @property
    def running(self) -> bool:
        return self._counter.running

    @property
    def calls(self) -> int:
        return self._counter.calls

    @property
    def elsewhere(self) -> int:
        """Instructions executed outside flash and RAM."""
        return self._counter.elsewhere

    @property
    def slow_reads(self) -> int:
        return self._counter.slow_reads

    @property
    def unaligned(self) -> int:
        return self._counter.unaligned

    def suspend(self, suspended: bool) -> None:
        """While suspended nothing is counted: an exception handler runs."""
        self._counter.suspended = suspended

    def settle(self, address: int, completed: bool) -> None:
        """The slice has ended at `address`; `completed` unless the instruction there was only announced."""
        self._settle(self._pointer, address, completed)

    def clear(self) -> None:
        """Forget all counts and end the measurement that runs."""
        for array in self._arrays:
            ctypes.memset(array, 0, ctypes.sizeof(array))
        counter = self._counter
        counter.calls = counter.elsewhere = counter.branch_count = counter.slow_reads = counter.unaligned = 0
        counter.running = False
        counter.previous = counter.next = NOWHERE

    def state(self) -> list[Any]:
        """Whether and where a measurement runs, and the last branches, for a machine's snapshot; no counts."""
        return [*(getattr(self._counter, name) for name in _POSITION), bytes(self._counter.branches)]

    def restore(self, state: list[Any]) -> None:
        *position, branches = state
        for name, value in zip(_POSITION, position, strict=True):
            setattr(self._counter, name, value)
        ctypes.memmove(self._counter.branches, branches, len(branches))

    def branches(self) -> list[tuple[int, int]]:
        """(from, to) of the last taken branches, oldest first."""
        counter = self._counter
        count = counter.branch_count
        order = range(max(0, count - BRANCHES), count)
        return [(b.source, b.target) for b in (counter.branches[index % BRANCHES] for index in order)]

    def sites(self) -> Iterator[tuple[int, Site]]:
        """Every address that was executed or skipped, in order."""
        for (base, _), array in zip(self._spans, self._arrays, strict=True):
            view = memoryview(array).cast("B")
            for first in range(0, len(view), _CHUNK * _SITE.size):
                chunk = bytes(view[first : first + _CHUNK * _SITE.size])
                if chunk.count(0) == len(chunk):
                    continue
                for index, fields in enumerate(_SITE.iter_unpack(chunk), first // _SITE.size):
                    if fields[0] or fields[1]:
                        yield base + 2 * index, Site(*fields)


class SlowCounter:
    """The same counts in Python, where the comments of helper.c apply."""

    def __init__(self, engine: Engine, begin: int) -> None:
        self._engine, self._begin = engine, begin
        self._sites: dict[int, Site] = {}
        self._suspended = False
        self.elsewhere = 0
        self._branches: deque[tuple[int, int]] = deque(maxlen=BRANCHES)
        self.clear()
        engine.uc.hook_add(unicorn.UC_HOOK_CODE, self._on_instruction)

    def clear(self) -> None:
        self._sites.clear()
        self._branches.clear()
        self.calls = self.slow_reads = self.unaligned = 0
        self.running = False
        self._previous = self._next = self._end = self._stack = NOWHERE

    def suspend(self, suspended: bool) -> None:
        self._suspended = suspended

    def watch(self, base: int, size: int) -> None:
        self._slow = range(base, base + size)
        self._engine.uc.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, self._on_access)

    def state(self) -> tuple:
        position = self.running, self._suspended, self._end, self._stack, self._previous, self._next
        return *position, list(self._branches)

    def restore(self, state: tuple) -> None:
        self.running, self._suspended, self._end, self._stack, self._previous, self._next, branches = state
        self._branches.extend(branches)

    def branches(self) -> list[tuple[int, int]]:
        return list(self._branches)

    def sites(self) -> Iterator[tuple[int, Site]]:
        return iter(sorted(item for item in self._sites.items() if item[1].executed or item[1].skipped))

    def _halfword(self, address: int) -> int:
        return int.from_bytes(self._engine.read(address, 2), "little")

    def _on_instruction(self, uc: object, address: int, size: int, data: object) -> None:
        read = self._engine.uc.reg_read
        if not self.running:
            if address != self._begin:
                return
            self.running = True
            self.calls += 1
            self._stack, self._end = read(arm.UC_ARM_REG_SP), read(arm.UC_ARM_REG_LR) & ~1
            self._previous = self._next = NOWHERE
        elif self._suspended:
            return
        elif address == self._end and read(arm.UC_ARM_REG_SP) == self._stack:
            self._close_sequence(address)
            self.running = False
            return
        self._count(address)

    def _site(self, address: int) -> Site:
        if address not in self._sites:
            first = self._halfword(address)
            self._sites[address] = Site(size=4 if first >> 11 >= 0x1D else 2)
            if first & 0xFF00 == 0xBF00 and first & 0xF:
                self._mark_block(address, first)
        return self._sites[address]

    def _mark_block(self, address: int, it: int) -> None:
        for slots in range(_IT_SLOTS - ((it & -it).bit_length() - 1), -1, -1):
            site = self._site(address)
            site.slots = slots
            address += site.size

    def _count(self, address: int) -> None:
        in_order = self._next == address
        if not in_order and self._previous != NOWHERE:
            self._jumped(address)
        site = self._site(address)
        self._previous, self._next = address, address + site.size
        site.executed += 1
        site.sequential += in_order

    def _jumped(self, address: int) -> None:
        site = self._sites[self._previous]
        if not site.slots or not self._next <= address <= self._next + 4 * site.slots:
            site.taken += 1
            self._branches.append((self._previous, address))
            return
        slot = self._next
        while slot < address:
            self._site(slot).skipped += 1
            slot += self._site(slot).size

    def _close_sequence(self, address: int) -> None:
        if self._previous != NOWHERE and address != self._next:
            self._jumped(address)
        self._previous = self._next = NOWHERE

    def _on_access(self, uc: object, kind: int, address: int, size: int, value: int, data: object) -> None:
        self._engine.end_block()
        if self.running and not self._suspended:
            if kind == unicorn.UC_MEM_READ and address in self._slow:
                self.slow_reads += 2 if size == 8 else 1
            self.unaligned += address & (min(size, 4) - 1) != 0

    def settle(self, address: int, completed: bool) -> None:
        # Unicorn's own counter comes first: what it does not begin is not announced here, so there is nothing to undo.
        if completed and self.running and not self._suspended:
            self._close_sequence(address)


def make_counter(engine: Engine, spans: list[tuple[int, int]], begin: int) -> FastCounter | SlowCounter:
    """The best counter that this computer can run; `spans` are (address, bytes) of code, the first two count."""
    loaded = helper.library()
    if loaded is None:
        log.warning("no C compiler and no built helper: counting instructions in Python, slower, with the same result")
    made = FastCounter(engine, loaded, spans[:2], begin) if loaded else SlowCounter(engine, begin)
    engine.uc.ctl_flush_tb()  # type: ignore[attr-defined]  # made at run time
    return made
