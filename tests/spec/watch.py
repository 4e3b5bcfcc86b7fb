"""Which instructions of an image an emulated core executes, one by one, and which traps it meets.

This file decides how that is seen: when a handler of the interpreter is entered, a register holds the address of the
instruction that it was entered for. It refuses to know what the instructions were made from.
"""

from __future__ import annotations

from typing import Any

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const as arm

from mcutool.devices import Board
from mcutool.emulator.session import EmulatedSession
from mcutool.image.format import code_position, parse
from mcutool.isa import ROWS

TABLES = ("primary_table", "primary")
"""The table of handlers by opcode, as the two drivers name it; the first of the escape page is one of them."""
ESCAPE = 0xFF
REGISTERS = (arm.UC_ARM_REG_R4, arm.UC_ARM_REG_R5, arm.UC_ARM_REG_R6, arm.UC_ARM_REG_R7)
"""One of them always holds the instruction's address when a handler is entered; which one gcc may choose."""
OPCODES = [row.opcode for row in ROWS if not row.escaped] + [ESCAPE]


class WatchedSession(EmulatedSession):
    """A session for one image; `traps`: the kinds that were met, by number."""

    def __init__(self, board: Board) -> None:
        super().__init__(board, lambda text: None)
        self.traps: set[int] = set()
        self.code: list[int] = []
        self._entered: dict[int, set[int]] = {register: set() for register in REGISTERS}
        self._slot = board.chip.flash.base + board.chip.map.slot.offset
        self._start = 0
        self._take = self.client.take
        self.client.take = self._noting  # type: ignore[method-assign]
        core = self._machine.engine.uc
        for opcode, address in handlers(board, self._machine.engine.read).items():
            core.hook_add(unicorn.UC_HOOK_BLOCK, self._on_entry, opcode, address, address)
        core.ctl_flush_tb()  # type: ignore[attr-defined]  # made at run time

    @property
    def executed(self) -> set[int]:
        """Positions of instructions whose own handler was entered, in halfwords of the code.

        Raises ValueError when no register told them.
        """
        (positions,) = self._entered.values()
        return positions

    def install(self, image: bytes) -> None:
        super().install(image)
        self.code = parse(image).code
        self._start = self._slot + code_position(image)

    def _noting(self, request: Any) -> dict | None:
        reply = self._take(request)
        if reply and "t" in reply:
            self.traps.add(reply["t"])
        return reply

    def _on_entry(self, core: unicorn.Uc, address: int, size: int, opcode: int) -> None:
        """Leaves out a register as soon as it points elsewhere than to an instruction with this opcode."""
        for register in list(self._entered):
            position = core.reg_read(register) - self._start >> 1
            if 0 <= position < len(self.code) and self.code[position] & 0xFF == opcode:
                self._entered[register].add(position)
            else:
                del self._entered[register]


def handlers(board: Board, read: Any) -> dict[int, int]:
    """The address of the handler of each opcode of the first page, and of the escape's."""
    with board.firmware.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        (table,) = (s["st_value"] for s in symbols if s.name.partition(".")[0] in TABLES)
    data = read(table, 4 * 256)
    return {opcode: int.from_bytes(data[4 * opcode :][:4], "little") & ~1 for opcode in OPCODES}
