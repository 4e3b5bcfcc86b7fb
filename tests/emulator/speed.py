"""How fast the emulator is here: `python tests/emulator/speed.py FIRMWARE.elf FUNCTION [BOARD]`, not a test.

Prints emulated Arm instructions per second of processor time, without and with counting.
"""

from __future__ import annotations

import sys
import time

from mcutool import devices
from mcutool.emulator.machine import Machine
from mcutool.emulator.profile import Profile


def speed(elf: str, board: str, function: str | None) -> tuple[float, int]:
    """Million instructions per second, and how many were executed, over at most 100 million."""
    machine = Machine(devices.board(board), elf)
    if function:
        Profile(machine, function)
    began = time.process_time()
    machine.run(instructions=100_000_000)
    return machine.instructions / (time.process_time() - began) / 1e6, machine.instructions


if __name__ == "__main__":
    elf, function, board = (*sys.argv[1:3], "mps2-an386", "mps2-an386")[:3] if len(sys.argv) < 4 else sys.argv[1:4]
    for label, counted in (("without counting", None), ("with counting", function)):
        rate, executed = speed(elf, board, counted)
        print(f"{label}: {rate:.0f} million instructions per second ({executed:,} executed)")
