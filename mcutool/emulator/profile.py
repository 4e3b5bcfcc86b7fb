"""Exact instruction counts and modelled cycles of one function of a firmware, in total and by function.

This file decides how counts become cycles, also those of flash with wait states, without a cache and with a prefetch
buffer that a branch makes useless, a rough model on top (`Counts.cycles_at`). It refuses to know how counts are taken
(`counter.py`) and what an instruction costs (`costs.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mcutool.emulator.costs import Cost, pair, table_of
from mcutool.emulator.counter import make_counter
from mcutool.emulator.machine import Machine


@dataclass
class Count:
    """Instructions, condition-failed IT slots included, and modelled cycles."""

    instructions: int = 0
    cycles: int = 0

    def add(self, instructions: int, cycles: int) -> None:
        self.instructions += instructions
        self.cycles += cycles


@dataclass
class Counts(Count):
    """The counts of a measured function and all it called; interrupts that came between are not in them."""

    calls: int = 0
    functions: dict[str, Count] = field(default_factory=dict)
    branches: int = 0  # taken, to and from flash or RAM
    flash_reads: int = 0  # words or parts of one, read as data; counted, as `unaligned` is, for who asked for it
    unaligned: int = 0

    def copy(self) -> Counts:
        return replace(self, functions={name: replace(count) for name, count in self.functions.items()})

    def cycles_at(self, wait_states: int) -> int:
        """With that many wait states of flash each taken branch and each word of data from flash waits so long, and an
        access that is not aligned takes a cycle more."""
        waits = wait_states * (self.branches + self.flash_reads)
        return self.cycles + (waits + self.unaligned if wait_states else 0)


class Profile:
    """Measures every call of `function` on `machine`, from its first instruction to its return.

    Attach it before the function runs. `accesses` asks for the counts of accesses to memory too, which cost speed.
    Raises KeyError when the firmware has no such function.
    """

    def __init__(self, machine: Machine, function: str = "vm_run", accesses: bool = False) -> None:
        self._machine = machine
        self._cost = table_of(machine.chip.core)
        flash = machine.chip.flash
        places = [(flash.base, flash.size), *((ram.base, ram.size) for ram in machine.chip.ram)]
        spans = (machine.firmware.code_span(base, size) for base, size in places)
        self._spans = [span for span in spans if span[1]]
        self._before = Counts()  # of the snapshot that was put back
        begin = machine.firmware.symbols[function].address
        self._counter = make_counter(machine.engine, self._spans, begin)
        if accesses:
            self._counter.watch(flash.base, flash.size)
        machine.on_slice = self._counter.settle
        machine.on_handler = self._counter.suspend

    @property
    def running(self) -> bool:
        """Whether the function has been entered and not left."""
        return self._counter.running

    def clear(self) -> None:
        """Start again at zero."""
        self._counter.clear()
        self._before = Counts()

    def state(self) -> Any:
        """What has been counted and whether the function runs, to be put back with a snapshot of the machine."""
        return self.counts(), self._counter.state()

    def restore(self, state: Any) -> None:
        self._counter.clear()
        self._before, position = state
        self._counter.restore(position)

    def branches(self) -> list[tuple[int, int]]:
        """(from, to) of the last branches that the function and what it calls have taken, oldest first."""
        return self._counter.branches()

    def counts(self) -> Counts:
        """What has been counted since the last `clear`."""
        total = self._before.copy()
        total.calls += self._counter.calls
        code = [(base, self._machine.engine.read(base, size)) for base, size in self._spans]
        total.add(self._counter.elsewhere, self._counter.elsewhere)
        total.flash_reads += self._counter.slow_reads
        total.unaligned += self._counter.unaligned
        before, end = Cost(), 0
        for address, site in self._counter.sites():
            here = self._cost(*self._halfwords(code, address, site.size))
            paired = site.sequential if address == end and pair(before, here) else 0
            cycles = site.executed * here.cycles + site.taken * here.branch + site.skipped - paired
            instructions = site.executed + site.skipped
            total.add(instructions, cycles)
            total.branches += site.taken
            name = self._machine.firmware.function_at(address)
            total.functions.setdefault(name, Count()).add(instructions, cycles)
            before, end = here, address + site.size
        return total

    def _halfwords(self, code: list[tuple[int, bytes]], address: int, size: int) -> tuple[int, int]:
        """An instruction; the second halfword is 0 when it has none. `code` saves reading each from the engine."""
        for base, contents in code:
            if base <= address < base + len(contents):
                data = contents[address - base : address - base + size]
                break
        else:
            data = self._machine.engine.read(address, size)
        return int.from_bytes(data[:2], "little"), int.from_bytes(data[2:], "little")
