"""A program that never ends: the board answers SMP, and stops it exactly between two instructions, wherever it is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.flash.protocols import smp
from mcutool.image.format import parse
from mcutool.isa import TRAP_NUMBERS
from mcutool.listing import instructions
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.firmware.programs import host, op

BOARDS = devices.boards()
NAMES = [board.name for board in BOARDS]
IN_QEMU = [board.name for board in BOARDS if board.qemu]
GOTO = [board.name for board in BOARDS if board.chip.core.dispatch == "goto"]
SOON = 0.02  # seconds of the board's clock
PHASES = 6  # of the loop at which a request is begun
STOPPED = TRAP_NUMBERS["stopped"]

SEVEN = op("i32.const", d=2, i=7)
LOOPS = {
    "br": [],
    "i32.add": [op("i32.add_imm", d=0, a=0, i=1)],
    "i32.div_u": [SEVEN, op("i32.div_u", d=0, a=0, b=2)],
    "i32.clz": [op("i32.clz", d=0, a=0)],
    "i64.mul": [op("i64.mul", d=4, a=4, b=4)],
    "i64.div_u": [op("i64.const", d=2, i=7), op("i64.div_u", d=4, a=4, b=2)],
    "f64.add": [op("f64.add", d=4, a=4, b=4)],
    "memory.fill": [op("i32.const", d=0, i=0), op("i32.const", d=2, i=programs.WINDOW)]
    + [op("memory.fill", a=0, b=0, c=2)],
    "call": [op("call", k=8, f=2)],
    "a host function that returns at once": [host(programs.LED_SET, 1)],
    "a host function that sleeps": [host(programs.SLEEP, 0x7FFF)],
    "a host function that reads": [
        op("i32.const", d=0, i=programs.IOVEC), op("i32.const", d=1, i=4), op("i32.store", a=0, b=1, e=8),
        host(programs.FD_READ, 0, programs.IOVEC, 1, programs.COUNT),
    ],
    "a host function that writes": [
        op("i32.const", d=0, i=programs.IOVEC), op("i32.const", d=1, i=40), op("i32.store", a=0, b=1, e=8),
        host(programs.FD_WRITE, 1, programs.IOVEC, 1, programs.COUNT),
    ],
}  # fmt: skip


def running(firmware: Path, folder: Path, name: str, image: bytes) -> Emulated:
    """A board whose program has begun."""
    (folder / "image.mcu").write_bytes(image)
    board = Emulated(devices.board(name), firmware / f"{name}.elf", folder / "image.mcu")
    board.expect(b"bytes for modules\r\n")
    board.client.receive(0.1)
    return board


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loop", LOOPS)
def test_it_stops_wherever_it_is(firmware: Path, tmp_path: Path, name: str, loop: str) -> None:
    image = programs.loops_for_ever(*LOOPS[loop])
    board = running(firmware, tmp_path, name, image)
    between = {position for position in instructions(parse(image))}
    begun = board.machine.snapshot()
    for phase in range(PHASES):
        board.machine.restore(begun)
        board.machine.run(instructions=1 + 7 * phase)
        start = board.now()
        assert board.client.echo("still here") == "still here"
        stopped = board.client.write(smp.RUNTIME, smp.RUNTIME_STOP)
        assert (stopped["state"], stopped["trap"]) == ("ended", STOPPED)
        assert board.now() - start < SOON + 0.01 * ("writes" in loop)
        places = struct.iter_unpack("<II", stopped["bt"])
        assert all(function in (1, 2) and position in between for function, position in places)
    assert board.client.retries == 0
    board.expect(b"\r\n[trap stopped function=")
