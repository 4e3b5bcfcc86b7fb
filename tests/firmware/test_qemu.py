"""The built firmware in QEMU: it boots everywhere, and where QEMU has writable flash a module is installed over SMP.

QEMU has no STM32 flash controller, so there the module is laid into flash before the start.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutool import __version__, devices
from mcutool.errors import ImageRefused
from mcutool.flash.protocols import smp
from tests.firmware import programs
from tests.firmware.qemu import Qemu

BOARDS = [board.name for board in devices.boards() if board.qemu]
FLASHABLE = [name for name in BOARDS if name != "stm32f405"]

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="needs qemu-system-arm")


@pytest.fixture
def start(firmware: Path, tmp_path: Path) -> Iterator[Callable[..., Qemu]]:
    """start(board name, image=b"") -> the machine, after its banner."""
    running: list[Qemu] = []

    def run(name: str, image: bytes = b"") -> Qemu:
        board = devices.board(name)
        extra = []
        if image:
            (tmp_path / "image.mcu").write_bytes(image)
            extra = ["-device", f"loader,file={tmp_path / 'image.mcu'},addr={board.chip.slot_address:#x},force-raw=on"]
        running.append(Qemu(board.qemu, firmware / f"{name}.elf", *extra))
        running[-1].expect(b"bytes for modules\r\n")
        return running[-1]

    yield run
    for machine in running:
        machine.close()


@pytest.mark.parametrize("name", BOARDS)
def test_it_says_who_it_is(start: Callable[..., Qemu], name: str) -> None:
    machine, board = start(name), devices.board(name)
    machine.expect(b"[no program: there is no image]\r\n")
    banner = f"mcutool {__version__} {name} ({board.chip.core.name}), ISA 1, {board.chip.arena_size} bytes for modules"
    assert banner.encode() in machine.output


@pytest.mark.parametrize("name", BOARDS)
def test_it_answers_smp(start: Callable[..., Qemu], name: str) -> None:
    client = start(name).client
    assert client.echo("hello") == "hello"
    assert client.images() == []
    assert client.buffer_size() == devices.board(name).chip.ram_map["frame"]
    information = client.read(smp.RUNTIME, smp.RUNTIME_INFO)
    assert information["board"] == name and information["arena"] == devices.board(name).chip.arena_size
    with pytest.raises(ImageRefused, match="no such command"):
        client.read(99, 0)


@pytest.mark.parametrize("name", BOARDS)
def test_it_runs_what_lies_in_flash(start: Callable[..., Qemu], name: str) -> None:
    start(name, programs.writes(b"from flash\n", 7)).expect(b"from flash\n\r\n[exit 7]\r\n")


@pytest.mark.parametrize("name", FLASHABLE)
def test_a_module_is_installed_over_smp(start: Callable[..., Qemu], name: str) -> None:
    machine = start(name)
    image = programs.writes(b"uploaded\n", 0) + bytes(range(256)) * 20 + b"odd"  # what follows the TLVs is padding
    machine.client.upload(image)
    listed = machine.client.images()
    assert [(entry["slot"], entry["version"]) for entry in listed] == [(0, "1.2.3")]
    machine.client.write(smp.RUNTIME, smp.RUNTIME_START)
    trap = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=0, n=0)
    assert trap == {"r": b""}
    ended = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=1, n=0)
    assert (ended["t"], ended["x"]) == (12, 0) and b"uploaded\n" in machine.output
    machine.client.erase()
    assert machine.client.images() == []


def test_an_uploaded_program_starts_after_a_reset(start: Callable[..., Qemu]) -> None:
    machine = start("mps2-an386")
    machine.client.upload(programs.writes(b"uploaded\n", 3))
    machine.client.reset()
    machine.expect(b"uploaded\n\r\n[exit 3]\r\n")


def test_a_running_program_makes_way_for_an_upload(start: Callable[..., Qemu]) -> None:
    machine = start("mps2-an386")
    machine.client.upload(programs.writes_for_ever(b"tick\n"))
    machine.client.reset()
    machine.expect(b"tick\n", times=3)
    assert machine.client.echo("still here") == "still here"
    machine.client.upload(programs.writes(b"second\n", 0))
    machine.client.reset()
    machine.expect(b"second\n\r\n[exit 0]\r\n")


def test_an_interrupted_upload_goes_on_and_never_starts_half(start: Callable[..., Qemu]) -> None:
    machine = start("mps2-an386")
    image = programs.writes(b"whole\n", 0) + bytes(5000)
    first = smp.upload_chunk(image, 0, 1024)
    offset = machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first)["off"]
    assert 0 < offset == len(first["data"]) // 4 * 4
    wrong = smp.upload_chunk(image, offset + 512, 1024)
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **wrong)["off"] == offset
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first)["off"] == offset
    with pytest.raises(ImageRefused, match="does not fit"):
        machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, off=0, len=1 << 30, data=b"")
    machine.client.reset()
    machine.expect(b"[no program: ")
    machine.client.upload(image)


def test_a_trap_is_told_with_its_backtrace(start: Callable[..., Qemu]) -> None:
    output = start("mps2-an386", programs.traps()).expect(b"[at 1+")
    assert b"\r\n[trap unreachable function=2 pc=" in output


def test_a_function_is_called_over_smp(start: Callable[..., Qemu]) -> None:
    machine = start("mps2-an385", programs.adds())
    machine.expect(b"[exit 0]\r\n")
    client = machine.client
    client.write(smp.RUNTIME, smp.RUNTIME_START)
    arguments = struct.pack("<II", 40, 2)
    assert client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=arguments, n=1) == {"r": struct.pack("<I", 42)}
    with pytest.raises(ImageRefused, match="argument"):
        client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=bytes(1024), n=1)
    assert client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["stack"] > 0


def test_console_lines_and_smp_both_reach_the_program(start: Callable[..., Qemu]) -> None:
    machine = start("mps2-an386", programs.echoes())
    machine.write(b"typed\n")
    machine.expect(b"typed\n")
    binary = b"\x06\x09 \x04\x14 \x00\xff"
    assert machine.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=binary, eof=True) == {"n": len(binary)}
    machine.expect(b"\x06\x00\x09 \x04\x00\x14 \x00\xff\r\n[exit 0]")


@pytest.mark.parametrize("noise", [b"\x06", b"\x06\x09####\n", b"\x06\x09AAA", b"\x04\x14AAAA\n", b"\x06\x06\x09"])
def test_noise_does_not_stop_the_console(start: Callable[..., Qemu], noise: bytes) -> None:
    machine = start("mps2-an386", programs.writes_for_ever(b"tick\n"))
    machine.write(noise)
    assert machine.client.echo("still here") == "still here"
    machine.expect(b"tick\n", times=machine.output.count(b"tick\n") + 3)
