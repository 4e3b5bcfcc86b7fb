"""A program that never ends: the board answers SMP, and stops it exactly between two instructions, wherever it is."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.errors import ImageRefused
from mcutool.flash.protocols import smp
from mcutool.image.format import parse
from mcutool.isa import TRAP_NUMBERS
from mcutool.listing import instructions
from tests.firmware import programs
from tests.firmware.machines import Emulated, Qemu
from tests.firmware.programs import host, op
from tests.firmware.test_build import symbols

BOARDS = devices.runtime_boards()
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
        op("i32.const", d=0, i=programs.IOVEC), op("i32.const", d=1, i=4), op("i32.store", a=0, b=1, e=4),
        host(programs.FD_READ, 0, programs.IOVEC, 1, programs.COUNT),
    ],
    "a host function that writes": [
        op("i32.const", d=0, i=programs.IOVEC), op("i32.const", d=1, i=40), op("i32.store", a=0, b=1, e=4),
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


PLACES = [(name, loop) for name in ("mps2-m0", "mps2-an385", "mps2-an386") for loop in LOOPS]
PLACES += [
    (name, loop) for name in ("microbit", "stm32f405") for loop in ("br", "f64.add", "a host function that writes")
]


@pytest.mark.parametrize(("name", "loop"), PLACES)
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


def computes() -> bytes:
    """Function 2 goes round a loop as often as its argument says and gives a number that all of its work goes into."""
    body = op("i32.const", d=2, i=7) + op("i32.add_imm", d=4, a=0, i=100) + op("i32.div_u", d=6, a=4, b=2)
    body += op("i32.mul", d=6, a=6, b=4) + op("call", k=16, f=3) + op("i64.mul", d=8, a=8, b=4)
    body += op("i64.const", d=10, i=1000) + op("i64.div_u", d=10, a=8, b=10) + op("f64.convert_i32_u", d=12, a=6)
    body += op("f64.add", d=14, a=14, b=12) + op("i64.xor", d=8, a=8, b=14) + op("i64.add", d=8, a=8, b=6)
    body += op("i32.add_imm", d=0, a=0, i=-1)
    zeroes = [halfword for slot in (6, 7, 8, 9, 14, 15) for halfword in op("const.short", d=slot, u=0)]
    loop = zeroes + body + op("br_i32.ne_imm", a=0, i=0, j=-len(body))
    return programs.image(op("return"), loop + op("copy64", d=0, a=8) + op("return"), op("return"))


@pytest.mark.parametrize("name", NAMES)
def test_requests_leave_no_trace_in_what_a_program_computes(firmware: Path, tmp_path: Path, name: str) -> None:
    board = running(firmware, tmp_path, name, computes())

    def compute(disturb: bool) -> bytes:
        board.client.write(smp.RUNTIME, smp.RUNTIME_START)
        rounds = struct.pack("<I", 3000)
        call = board.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=rounds, n=2)
        board.client.receive(0.002)  # until the board has taken the request: it holds one at a time
        requests = 0
        while (reply := board.client.take(call)) is None:
            if disturb:
                assert board.client.echo("still here") == "still here"
                requests += 1
            board.client.receive(0.0003 + 0.00001 * requests)
        assert requests > 20 or not disturb
        return reply["r"]

    undisturbed = compute(False)
    assert len(undisturbed) == 8 and compute(True) == undisturbed


@pytest.mark.parametrize("name", IN_QEMU)
def test_it_stops_in_qemu(firmware: Path, tmp_path: Path, name: str) -> None:
    image = tmp_path / "image.mcu"
    for loop in ("br", "i32.div_u", "f64.add", "memory.fill"):
        image.write_bytes(programs.loops_for_ever(*LOOPS[loop]))
        board = Qemu(devices.board(name), firmware / f"{name}.elf", image)
        board.expect(b"bytes for modules\r\n")
        assert board.client.echo("still here") == "still here"
        assert board.client.write(smp.RUNTIME, smp.RUNTIME_STOP)["trap"] == STOPPED
        board.expect(b"\r\n[trap stopped function=")
        board.close()


@pytest.mark.parametrize("name", GOTO)
def test_a_handler_that_calls_fetches_the_table_again(firmware: Path, name: str) -> None:
    """Behind each call of a function outside the interpreter the table's register, r9, is set before the next dispatch,
    as far as the code goes straight on."""
    elf = firmware / f"{name}.elf"
    found = symbols(elf)
    begin, end = found["interpreter_begin"], found["interpreter_end"]
    span = [f"--start-address={begin:#x}", f"--stop-address={end:#x}"]
    command = ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", *span, str(elf)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    calls, stale = 0, False
    for target, text in re.findall(r"^ *[0-9a-f]+:\t(?:bl\t([0-9a-f]+) .*|(.*))$", listing, re.MULTILINE):
        outside = bool(target) and not begin <= int(target, 16) < end
        calls += outside
        if target or text.startswith(("mov\tr9, ", "b.n\t")):
            stale = outside
        assert not (stale and text.startswith("mov\tpc, ")), f"after {calls} calls"
    assert calls > 100


def test_a_stop_that_is_repeated_is_one_stop(firmware: Path, tmp_path: Path) -> None:
    board = running(firmware, tmp_path, "mps2-an386", programs.loops_for_ever())
    first = board.client.write(smp.RUNTIME, smp.RUNTIME_STOP)
    assert board.client.write(smp.RUNTIME, smp.RUNTIME_STOP) == first
    board.client.write(smp.RUNTIME, smp.RUNTIME_START)
    assert board.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, n=0) == {"r": b""}


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_to_a_program_that_never_ends_may_be_cut_off_anywhere(
    firmware: Path, tmp_path: Path, name: str
) -> None:
    """After each block the power fails: the board starts the program that it had, answers, and takes another."""
    board = running(firmware, tmp_path, name, programs.loops_for_ever())
    image = programs.writes(b"whole\n", 0)
    size, begun = 160, board.machine.snapshot()
    blocks = 0
    while True:
        board.machine.restore(begun)
        offset = 0
        for _ in range(blocks):
            chunk = smp.upload_chunk(image, offset, size)
            offset = board.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **chunk)["off"]
        board.machine.reset()
        board.output = b""
        board.expect(b"bytes for modules\r\n")
        assert board.client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["state"] == "running"
        installed = [entry["hash"] for entry in board.client.images()]
        assert len(installed) == 1 + (offset == len(image))
        if offset == len(image):
            board.client.activate(installed[1])
            board.client.reset()
            board.expect(b"whole\n\r\n[exit 0]\r\n")
            break
        board.client.install(programs.writes(b"second\n", 0))
        board.client.reset()
        board.expect(b"second\n\r\n[exit 0]\r\n")
        blocks += 1
    assert blocks > 4


NOT_STARTED = b"[program not started: its last 3 starts ended in a trap or a fault; install it again, "


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_traps_three_times_in_a_row_waits_to_be_told(firmware: Path, tmp_path: Path, name: str) -> None:
    board = running(firmware, tmp_path, name, programs.traps())
    for start in range(1, 4):
        board.expect(b"[at 1+", times=start)
        board.machine.reset()
    for refusal in range(1, 4):
        board.expect(NOT_STARTED, times=refusal)
        board.machine.reset()
    board.expect(NOT_STARTED, times=4)
    with pytest.raises(ImageRefused, match="no program is loaded"):
        board.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=1, n=0)
    board.client.write(smp.RUNTIME, smp.RUNTIME_START)
    board.machine.reset()
    board.expect(b"[trap unreachable ", times=4)


def test_a_new_program_is_started_whatever_the_old_one_did(firmware: Path, tmp_path: Path) -> None:
    board = running(firmware, tmp_path, "stm32f405", programs.traps())
    for _ in range(3):
        board.client.reset()
    board.expect(NOT_STARTED)
    board.client.install(programs.writes(b"new\n", 0))
    board.client.reset()
    board.expect(b"new\n\r\n[exit 0]\r\n")


def test_only_starts_that_go_wrong_count(firmware: Path, tmp_path: Path) -> None:
    """A program that never ends is reset, stopped and replaced by itself as often as anybody likes."""
    board = running(firmware, tmp_path, "microbit", programs.loops_for_ever())
    for start in range(2, 8):
        if start % 2:
            board.client.write(smp.RUNTIME, smp.RUNTIME_STOP)
        board.machine.reset()
        board.expect(b"bytes for modules\r\n", times=start)
        assert board.client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["state"] == "running"


@pytest.mark.parametrize("name", NAMES)
def test_a_program_whose_starts_break_the_firmware_waits_to_be_told(firmware: Path, tmp_path: Path, name: str) -> None:
    """An instruction that does not exist, in a host function: each start ends in a fault and a reset."""
    chip = devices.board(name).chip
    (tmp_path / "image.mcu").write_bytes(programs.blinks(1))
    board = Emulated(devices.board(name), firmware / f"{name}.elf", tmp_path / "image.mcu")
    place = (symbols(firmware / f"{name}.elf")["mcu_led_set"] & ~1) - chip.flash.base
    board.machine.flash.load(place, b"\x00\xde")  # UDF #0
    board.expect(NOT_STARTED)
    assert board.output.count(b"bytes for modules") == 4 and board.output.count(b"[the firmware had a fault]") == 3
    assert board.client.echo("well again") == "well again"
