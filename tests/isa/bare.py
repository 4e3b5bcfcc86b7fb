"""The interpreter of a board's firmware on its emulated core, with nothing around it: code, slots and memory are ours.

This file decides where they lie. It refuses to know what any row does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from unicorn import arm_const as arm

from mcutool import devices
from mcutool.emulator.machine import Machine

RAM = 0x2100_0000
VM, DECLARED, RECORD, FLASH = RAM, RAM + 0x100, RAM + 0x200, RAM + 0x300
STACK, SLOTS = RAM + 0x1000, 256
CODE = RAM + 0x8_0000
MEMORY = RAM + 0x20_0000
GUARD = 64
"""Bytes before and behind the window that are looked at; the interpreter has eight before it of its own."""
FUEL = 1_000_000


@dataclass(frozen=True)
class Outcome:
    """How a run ended: kind of trap, halfword at which, and the slots."""

    trap: int
    position: int
    slots: tuple[int, ...]


class BareCore:
    """`run` executes bytecode from `position` until it halts or traps."""

    def __init__(self, board: str, firmware: Path | None = None) -> None:
        elf = firmware or devices.board(board).firmware
        self._machine = Machine(devices.board(board), elf)
        self._machine.run_for(0.1)  # the FPU is on then
        self._engine = self._machine.engine
        self._core = self._engine.uc
        with elf.open("rb") as file:
            symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
            places = {s.name: s["st_value"] for s in symbols if s.name in ("vm_execute", "vm_call")}
        self._execute, self._end = places["vm_execute"] | 1, places["vm_call"] & ~1
        self._stack = self._core.reg_read(arm.UC_ARM_REG_SP)
        self._length = 0

    def write(self, address: int, *words: int) -> None:
        self._engine.write(address, struct.pack(f"<{len(words)}I", *words))

    def load(self, code: list[int]) -> None:
        self._engine.write(CODE, struct.pack(f"<{len(code)}H", *code))

    def set_memory(self, low: int, content: bytes, pages: int, capacity: int = 0) -> None:
        """A linear memory of pages of one byte whose window begins at `low`."""
        self.write(DECLARED, 0, 0xFFFFFFFF, 0, low, len(content), capacity or len(content), 0)
        self.write(RECORD, MEMORY, low, len(content), pages, DECLARED)
        self._engine.write(MEMORY - GUARD, bytes(GUARD) + content + bytes(GUARD))

    def memory(self, size: int) -> bytes:
        """The window with the guards."""
        return self._engine.read(MEMORY - GUARD, size + 2 * GUARD)

    def run(self, position: int = 0, slots: tuple[int, ...] = ()) -> Outcome:
        fields = [0] * 25
        fields[0], fields[1], fields[9] = CODE + 2 * position, STACK, CODE
        fields[13], fields[17], fields[18] = RECORD, STACK, STACK + 4 * SLOTS
        self.write(VM, *fields)
        if slots:
            self.write(STACK, *slots)
        core = self._core
        core.reg_write(arm.UC_ARM_REG_R0, VM)
        core.reg_write(arm.UC_ARM_REG_SP, self._stack)
        core.reg_write(arm.UC_ARM_REG_LR, self._end | 1)
        core.emu_start(self._execute, self._end, count=FUEL)
        assert core.reg_read(arm.UC_ARM_REG_PC) & ~1 == self._end
        assert core.reg_read(arm.UC_ARM_REG_SP) == self._stack
        trap = self._engine.word(VM + 24)
        slots = struct.unpack(f"<{SLOTS}I", self._engine.read(STACK, 4 * SLOTS))
        return Outcome(trap, (self._engine.word(VM) - CODE) // 2, slots)
