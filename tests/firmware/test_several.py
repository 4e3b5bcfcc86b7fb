"""Several programs side by side: each has its turns, its memory and its end, whatever the others do."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcutool import devices
from mcutool.flash.protocols import smp
from mcutool.image import state
from mcutool.image.format import parse
from mcutool.image.mcuboot import read
from mcutool.isa import TRAP_NUMBERS
from mcutool.pipeline import build_image
from tests.firmware import programs
from tests.firmware.machines import Emulated, Qemu
from tests.firmware.programs import FD_WRITE, IOVEC, SLEEP, host, op
from tests.firmware.test_stop import computes

NAMES = [board.name for board in devices.runtime_boards()]
CORES = ["mps2-an386", "mps2-an385", "mps2-m0"]
SOME = ["stm32vldiscovery", "microbit"]  # a core of either kind, and the least RAM
TICK = b"[0] tick\n"
WORD = 64  # an address

Start = Callable[..., Emulated]


def placed(board: devices.Board, images: tuple[bytes, ...], fuel: int = 0) -> Iterator[tuple[int, bytes]]:
    """Offsets in flash and what is there when the images are installed beside each other, `fuel` being the second's."""
    chip = board.chip
    installed = [state.Installed() for _ in range(chip.images)]
    for number, image in enumerate(images):
        offset = number * chip.map.slot.size // 2
        installed[number].versions[0] = state.Version(offset, len(image), "confirmed")
        yield chip.map.slot.offset + offset, image
    installed[1].settings = {"fuel": fuel}
    yield chip.state_areas[0].offset, state.build(installed)
    yield chip.state_areas[1].offset, bytes((chip.flash.erased,)) * 4


@pytest.fixture
def start(firmware: Path) -> Iterator[Start]:
    """start(board, image 0, image 1) -> the machine, after its banner."""
    running: list[Emulated] = []

    def run(name: str, *images: bytes, fuel: int = 0) -> Emulated:
        board = devices.board(name)
        machine = Emulated(board, firmware / f"{name}.elf", None)
        for offset, data in placed(board, images, fuel):
            machine.machine.flash.load(offset, data)
        machine.expect(b"bytes for modules\r\n")
        running.append(machine)
        return machine

    yield run
    for machine in running:
        machine.close()


def ticks(milliseconds: int = 5, text: bytes = b"tick\n") -> bytes:
    body = programs._iovec(programs.TEXT, len(text)) + host(FD_WRITE, 1, IOVEC, 1, programs.COUNT)
    body += host(SLEEP, milliseconds)
    return programs.image(body + op("br", j=-len(body)), data=text)


def recurses() -> bytes:
    return programs.image(op("call", k=2, f=1) + op("return"))


def counts() -> bytes:
    """Adds one to a word of its memory for ever; function 2 gives the word."""
    body = op("i32.const", d=0, i=WORD) + op("i32.load", d=1, a=0, e=0) + op("i32.add_imm", d=1, a=1, i=1)
    body += op("i32.store", a=0, b=1, e=0)
    given = op("i32.const", d=0, i=WORD) + op("i32.load", d=0, a=0, e=0) + op("return")
    return programs.image(body + op("br", j=-len(body)), given)


def watches(value: int) -> bytes:
    """Puts a value into its memory, sleeps, and traps when another one is there then."""
    body = op("i32.const", d=0, i=WORD) + op("i32.const", d=1, i=value) + op("i32.store", a=0, b=1, e=0)
    body += host(SLEEP, 1) + op("i32.load", d=2, a=0, e=0)
    check = op("br_i32.ne", a=1, b=2, j=0)
    back = op("br", j=-(len(body) + len(check)))
    return programs.image(body + op("br_i32.ne", a=1, b=2, j=len(check) + len(back)) + back + op("trap", u=1))


def status(machine: Emulated, image: int) -> dict[str, Any]:
    return machine.client.read(smp.RUNTIME, smp.RUNTIME_STATUS, image=image)


def goes_on(machine: Emulated) -> None:
    before = machine.output.count(TICK)
    machine.expect(TICK, times=before + 20)


@pytest.mark.parametrize("name", NAMES)
def test_one_loops_for_ever_and_the_other_goes_on(start: Start, name: str) -> None:
    machine = start(name, ticks(), programs.loops_for_ever())
    goes_on(machine)
    assert status(machine, 1)["state"] == "running" and status(machine, 0)["state"] == "running"
    assert machine.client.echo("still here") == "still here"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("other", "kind"), [(programs.traps(), "unreachable"), (recurses(), "call stack exhausted")], ids=["trap", "stack"]
)
def test_one_traps_and_the_other_goes_on(start: Start, name: str, other: bytes, kind: str) -> None:
    machine = start(name, ticks(), other)
    machine.expect(b"[1] [trap " + kind.encode() + b" function=")
    goes_on(machine)
    ended = status(machine, 1)
    assert ended["state"] == "ended" and ended["trap"] in (TRAP_NUMBERS["unreachable"], TRAP_NUMBERS["stack_exhausted"])
    assert ended["bt"] and status(machine, 0)["state"] == "running"


@pytest.mark.parametrize("name", NAMES)
def test_each_keeps_its_memory(start: Start, name: str) -> None:
    machine = start(name, watches(0x1111), watches(0x2222))
    machine.client.receive(0.1)
    assert [status(machine, image)["state"] for image in (0, 1)] == ["running", "running"]


@pytest.mark.parametrize("name", NAMES)
def test_two_that_never_wait_get_the_same_time(start: Start, name: str) -> None:
    machine = start(name, counts(), counts())
    end = machine.now() + 0.2
    while machine.now() < end:
        machine.client.receive(0.1)
    machine.client.write(smp.RUNTIME, smp.RUNTIME_STOP)
    machine.expect(b"[0] [trap stopped function=1")
    machine.expect(b"[1] [trap stopped function=1")
    replies = [machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, n=1, image=image)["r"] for image in (0, 1)]
    first, second = (int.from_bytes(reply, "little") for reply in replies)
    assert min(first, second) > 1000 and 0.8 < first / second < 1.25


@pytest.mark.parametrize("name", SOME)
def test_fuel_ends_one_and_the_other_goes_on(start: Start, name: str) -> None:
    machine = start(name, ticks(), programs.loops_for_ever(), fuel=40)
    machine.expect(b"[1] [trap fuel used up function=1 ")
    assert 0.04 < machine.now() < 0.2
    goes_on(machine)
    assert status(machine, 1)["trap"] == TRAP_NUMBERS["fuel_used_up"]


def writes_much() -> bytes:
    """Writes 14 times 100 bytes in one call, which takes several turns."""
    count, text = 14, b"x" * 99 + b"\n"
    iovecs = struct.pack("<II", programs.TEXT + 8 * count, len(text)) * count
    return programs.image(host(FD_WRITE, 1, programs.TEXT, count, programs.COUNT) + op("return"), data=iovecs + text)


@pytest.mark.parametrize("name", SOME)
def test_one_writes_much_and_the_other_goes_on(start: Start, name: str) -> None:
    machine = start(name, ticks(), writes_much())
    machine.expect(b"[1] [exit 0]")
    output = machine.output.partition(b"for modules\r\n")[2]
    assert output.count(b"x") == 14 * 99 + 1  # that of "exit" too
    assert output.index(TICK) < output.rindex(b"xxx")


def test_who_writes_does_not_outlive_its_fuel(start: Start) -> None:
    machine = start("microbit", programs.blinks(1), writes_much(), fuel=3)
    machine.expect(b"[1] [trap fuel used up function=1 ")
    assert machine.output.count(b"xxx\n") < 14


def test_waiting_uses_no_fuel(start: Start) -> None:
    machine = start("microbit", programs.blinks(1), ticks(50), fuel=40)
    machine.expect(b"[1] tick\n", times=10)


@pytest.mark.parametrize("name", SOME)
def test_one_that_sleeps_wakes_in_time(start: Start, name: str) -> None:
    machine = start(name, ticks(20), programs.loops_for_ever())
    machine.expect(TICK)
    begun = machine.now()
    machine.expect(TICK, times=11)
    assert 0.2 <= machine.now() - begun < 0.24


def test_when_all_wait_the_core_sleeps(start: Start) -> None:
    machine = start("stm32f405", ticks(20), ticks(30))
    machine.expect(TICK)
    before, begun = machine.machine.instructions, machine.now()
    machine.expect(TICK, times=11)
    assert machine.machine.instructions - before < 0.1 * machine.machine.clock.cycles(machine.now() - begun)


@pytest.mark.parametrize("name", SOME)
def test_lines_say_whose_they_are(start: Start, name: str) -> None:
    machine = start(name, ticks(5, b"one "), ticks(7, b"two\ntwo\n"))
    machine.expect(b"two", times=20)
    text = machine.output[machine.output.index(b"[0] ") :]
    assert re.fullmatch(rb"((\[0\] (one )+\r\n)|(\[1\] two\n))*(\[0\] |\[1\] )?[onetw ]*\n?", text)


def test_the_first_reads_the_console_and_the_other_its_end(start: Start) -> None:
    machine = start("microbit", programs.echoes(), programs.echoes())
    machine.expect(b"[1] [exit 0]\r\n")
    machine.write(b"typed\n")
    machine.expect(b"[0] typed\n")
    machine.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=b"", eof=True)
    machine.expect(b"[0] [exit 0]\r\n")


@pytest.mark.parametrize("other", [programs.loops_for_ever(), ticks(500, b"tock\n")], ids=["computes", "sleeps"])
def test_input_wakes_who_waits_for_it(start: Start, other: bytes) -> None:
    machine = start("microbit", programs.echoes(), other)
    machine.client.receive(0.05)
    begun = machine.now()
    machine.write(b"typed\n")
    machine.expect(b"[0] typed\n")
    assert machine.now() - begun < 0.02


def test_a_refused_image_does_not_keep_the_other_from_running(start: Start) -> None:
    broken = bytearray(ticks())
    broken[60] ^= 1
    machine = start("stm32f405", bytes(broken), programs.writes(b"here\n", 0))
    machine.expect(b"[0] [no program: ")
    machine.expect(b"[1] here\n\r\n[1] [exit 0]\r\n")


@pytest.mark.parametrize("name", SOME)
def test_one_is_started_alone_by_its_hash(start: Start, name: str) -> None:
    machine = start(name, ticks(), programs.adds())
    machine.expect(b"[1] [exit 0]\r\n")
    machine.client.write(smp.RUNTIME, smp.RUNTIME_START, hash=read("", programs.adds()).hash)
    machine.expect(b"[0] [trap stopped function=1")
    assert (status(machine, 0)["state"], status(machine, 1)["state"]) == ("none", "loaded")
    arguments = struct.pack("<II", 40, 2)
    reply = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=arguments, n=1, image=1)
    assert reply == {"r": struct.pack("<I", 42)}


@pytest.mark.parametrize("name", SOME)
def test_a_function_is_called_while_another_program_runs(start: Start, name: str) -> None:
    machine = start(name, programs.loops_for_ever(), programs.adds())
    machine.expect(b"[1] [exit 0]\r\n")
    arguments = struct.pack("<II", 40, 2)
    for _ in range(3):
        reply = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=arguments, n=1, image=1)
        assert reply == {"r": struct.pack("<I", 42)}
    assert (status(machine, 0)["state"], status(machine, 1)["state"]) == ("running", "ended")


@pytest.mark.parametrize("name", CORES)
def test_turns_leave_no_trace_in_what_a_program_computes(start: Start, name: str) -> None:
    machine = start(name, programs.loops_for_ever(), computes())
    machine.expect(b"[1] [exit 0]\r\n")
    asked = dict(f=2, a=struct.pack("<I", 3000), n=2, image=1)

    def compute() -> tuple[bytes, float]:
        begun = machine.now()
        call = machine.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, **asked)
        while (reply := machine.client.take(call)) is None:
            machine.client.receive(0.01)
        return reply["r"], machine.now() - begun

    interrupted, long = compute()
    machine.client.write(smp.RUNTIME, smp.RUNTIME_STOP)
    alone, short = compute()
    assert interrupted == alone and long > 1.8 * short > 0.036


def test_bad_starts_are_counted_for_each(start: Start) -> None:
    machine = start("microbit", ticks(), programs.traps())
    for beginning in range(1, 4):
        machine.expect(b"[1] [trap unreachable ", times=beginning)
        machine.machine.reset()
    machine.expect(b"[1] [program not started: its last 3 starts ended in a trap or a fault; ")
    goes_on(machine)


WAITS = """(module
  (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (import "mcu" "confirm" (func $confirm (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table funcref (elem $sleep))
  (type $sleeps (func (param i32)))
  (func $nap (param i32) (return_call $sleep (local.get 0)))
  (func $nap_by_table (param i32) (return_call_indirect (type $sleeps) (local.get 0) (i32.const 0)))
  (func (export "_start")
    (call $sleep (i32.const 3))
    (call_indirect (type $sleeps) (i32.const 3) (i32.const 0))
    (call $nap (i32.const 3))
    (call $nap_by_table (i32.const 3))
    (drop (call $yield))
    (i32.store (i32.const 24) (i32.const 3000000))
    (call $exit (i32.or (call $confirm) (i32.or (i32.mul (i32.const 16)
      (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (i32.ne (i32.load (i32.const 128)) (i32.const 1)))))))"""


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside"])
def test_every_way_to_wait(start: Start, tmp_path: Path, name: str, alone: bool) -> None:
    (tmp_path / "waits.wat").write_text(WAITS)
    waits = build_image(tmp_path / "waits.wat", devices.board(name)).image
    machine = start(name, waits) if alone else start(name, programs.loops_for_ever(), waits)
    begun = machine.now()
    machine.expect(b"[exit 0]\r\n")
    assert 0.015 <= machine.now() - begun < 0.06


@pytest.mark.parametrize("name", ["mps2-an386", "microbit"])
def test_a_host_function_that_a_request_calls_may_wait(start: Start, tmp_path: Path, name: str) -> None:
    wat = '(module (import "mcu" "sleep_ms" (func (param i32))) (memory 1) (export "sleep" (func 0)))'
    (tmp_path / "sleeps.wat").write_text(wat)
    sleeps = build_image(tmp_path / "sleeps.wat", devices.board(name), memory=1024)
    machine = start(name, ticks(), sleeps.image)
    machine.expect(b"[1] [exit 0]\r\n")
    begun = machine.now()
    exported = next(row["index"] for row in parse(sleeps.image).exports if row["name"] == "sleep")
    asked = dict(f=exported, a=struct.pack("<I", 50), n=0, image=1)
    call = machine.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, **asked)
    while (reply := machine.client.take(call)) is None:
        machine.client.receive(0.01)
    assert reply == {"r": b""} and 0.05 <= machine.now() - begun < 0.08
    goes_on(machine)


def test_it_is_so_in_qemu(firmware: Path) -> None:
    board = devices.board("mps2-an385")
    machine = Qemu(board, firmware / f"{board.name}.elf", None)
    for number, image in enumerate((ticks(), programs.loops_for_ever())):
        machine.client.install(image, number)
    machine.client.reset()
    machine.expect(TICK, times=20)
    machine.close()
