"""The built firmware, on the emulated boards and in QEMU: it boots, runs what is installed, and answers SMP.

QEMU has no STM32 flash controller, so nothing can be installed there. All of this is emulation: no test here has seen
a board.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutool import __version__, devices
from mcutool.errors import DoesNotFit, ImageRefused
from mcutool.flash.protocols import smp
from mcutool.pipeline import build_image
from tests.firmware import programs
from tests.firmware.machines import Console, Emulated, Qemu
from tests.guests.running import on_wasmtime

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def board_of(place: str) -> devices.Board:
    return devices.board(place.split()[1])


ROADS = {"emulated": Emulated, "qemu": Qemu}
EVERYWHERE = [
    f"{road} {board.name}" for board in devices.runtime_boards() for road in ROADS if road == "emulated" or board.qemu
]
# QEMU has no flash controller of an STM32: it ignores what is stored there.
FLASHABLE = [place for place in EVERYWHERE if "qemu" not in place or "stm32" not in board_of(place).chip.port]
# hello takes 5 KB of linear memory, of which the smallest board has less.
EXAMPLES_IN_QEMU = [
    (place, name)
    for place in EVERYWHERE if place.startswith("qemu")
    for name in ("hello", "sha256", "mandelbrot", "life") if (place, name) != ("qemu stm32vldiscovery", "hello")
]  # fmt: skip
SOME = ["emulated stm32f405", "emulated microbit", "qemu mps2-an385"]

Start = Callable[..., Console]


@pytest.fixture
def start(firmware: Path, tmp_path: Path) -> Iterator[Start]:
    """start(place, image=b"") -> the machine, after its banner; `place` is "road board"."""
    running: list[Console] = []

    def run(place: str, image: bytes = b"") -> Console:
        road, name = place.split()
        file = tmp_path / "image.mcu" if image else None
        if file:
            file.write_bytes(image)
        running.append(ROADS[road](board_of(place), firmware / f"{name}.elf", file))
        running[-1].expect(b"bytes for modules\r\n")
        return running[-1]

    yield run
    for machine in running:
        machine.close()


@pytest.mark.parametrize("place", EVERYWHERE)
def test_it_says_who_it_is(start: Start, place: str) -> None:
    machine, board = start(place), board_of(place)
    machine.expect(b"[no program: there is no image]\r\n")
    banner = (
        f"mcutool {__version__} {board.name} ({board.chip.core.name}), ISA 1, {board.chip.arena_size} bytes for modules"
    )
    assert banner.encode() in machine.output


@pytest.mark.parametrize("place", EVERYWHERE)
def test_it_answers_smp(start: Start, place: str) -> None:
    client = start(place).client
    assert client.echo("hello") == "hello"
    assert client.images() == []
    assert client.buffer_size() == board_of(place).chip.ram_map["frame"]
    information = client.read(smp.RUNTIME, smp.RUNTIME_INFO)
    assert information["board"] == board_of(place).name and information["arena"] == board_of(place).chip.arena_size
    with pytest.raises(ImageRefused, match="no such command"):
        client.read(99, 0)


@pytest.mark.parametrize("place", EVERYWHERE)
def test_it_runs_what_lies_in_flash(start: Start, place: str) -> None:
    start(place, programs.writes(b"from flash\n", 7)).expect(b"from flash\n\r\n[exit 7]\r\n")


@pytest.mark.parametrize("place", FLASHABLE)
def test_a_module_is_installed_over_smp(start: Start, place: str) -> None:
    machine = start(place)
    image = programs.writes(b"uploaded\n", 0) + bytes(range(256)) * 20 + b"odd"  # what follows the TLVs is padding
    machine.client.install(image)
    listed = machine.client.images()
    assert [(entry["slot"], entry["version"]) for entry in listed] == [(0, "1.2.3")]
    machine.client.write(smp.RUNTIME, smp.RUNTIME_START)
    trap = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=0, n=0)
    assert trap == {"r": b""}
    ended = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=1, n=0)
    assert (ended["t"], ended["x"]) == (12, 0) and b"uploaded\n" in machine.output
    machine.client.erase()
    assert machine.client.images() == []


@pytest.mark.parametrize("place", SOME)
def test_an_uploaded_program_starts_after_a_reset(start: Start, place: str) -> None:
    machine = start(place)
    machine.client.install(programs.writes(b"uploaded\n", 3))
    machine.client.reset()
    machine.expect(b"uploaded\n\r\n[exit 3]\r\n")


@pytest.mark.parametrize("place", SOME)
def test_a_running_program_makes_way_for_an_upload(start: Start, place: str) -> None:
    machine = start(place)
    machine.client.install(programs.writes_for_ever(b"tick\n"))
    machine.client.reset()
    machine.expect(b"tick\n", times=3)
    assert machine.client.echo("still here") == "still here"
    machine.client.install(programs.writes(b"second\n", 0))
    machine.client.reset()
    machine.expect(b"second\n\r\n[exit 0]\r\n")


@pytest.mark.parametrize("place", SOME)
def test_a_program_that_never_listens_can_be_replaced(start: Start, place: str) -> None:
    machine = start(place)
    machine.client.install(programs.loops_for_ever())
    machine.client.reset()
    machine.expect(b"bytes for modules\r\n", times=2)
    assert machine.client.echo("busy") == "busy"
    machine.client.install(programs.writes(b"at last\n", 0))
    machine.expect(b"[trap stopped function=1 pc=")
    machine.client.reset()
    machine.expect(b"at last\n\r\n[exit 0]\r\n")


@pytest.mark.parametrize("place", SOME)
def test_an_interrupted_upload_goes_on_and_never_starts_half(start: Start, place: str) -> None:
    machine = start(place)
    image = programs.writes(b"whole\n", 0) + bytes(5000)
    first = smp.upload_chunk(image, 0, 400)
    offset = machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first)["off"]
    assert 0 < offset == len(first["data"]) // 4 * 4
    wrong = smp.upload_chunk(image, offset + 512, 400)
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **wrong)["off"] == offset
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first)["off"] == offset
    with pytest.raises(DoesNotFit):
        machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, off=0, len=1 << 30, data=b"")
    machine.client.reset()
    machine.expect(b"[no program: ")
    machine.client.install(image)


@pytest.mark.parametrize("place", SOME)
def test_what_is_loaded_in_the_middle_of_an_upload_is_gone_with_its_next_chunk(start: Start, place: str) -> None:
    """An upload that has written nothing yet leaves a whole image behind, which can be started again."""
    machine = start(place, programs.adds())
    first = smp.upload_chunk(programs.writes(b"next\n", 0), 0, 400)
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first | {"data": b""})["off"] == 0
    machine.client.write(smp.RUNTIME, smp.RUNTIME_START)
    assert machine.client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **first)["off"] > 0
    with pytest.raises(ImageRefused, match="no program is loaded"):
        machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=struct.pack("<II", 40, 2), n=1)


@pytest.mark.parametrize("place", SOME)
def test_a_trap_is_told_with_its_backtrace(start: Start, place: str) -> None:
    output = start(place, programs.traps()).expect(b"[at 1+")
    assert b"\r\n[trap unreachable function=2 pc=" in output


@pytest.mark.parametrize("place", SOME)
def test_a_function_is_called_over_smp(start: Start, place: str) -> None:
    machine = start(place, programs.adds())
    machine.expect(b"[exit 0]\r\n")
    client = machine.client
    client.write(smp.RUNTIME, smp.RUNTIME_START)
    arguments = struct.pack("<II", 40, 2)
    assert client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=arguments, n=1) == {"r": struct.pack("<I", 42)}
    with pytest.raises(ImageRefused, match="argument"):
        client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=bytes(3), n=1)
    assert client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["stack"] > 0


@pytest.mark.parametrize("place", SOME)
def test_console_lines_and_smp_both_reach_the_program(start: Start, place: str) -> None:
    machine = start(place, programs.echoes())
    machine.write(b"typed\n")
    machine.expect(b"typed\n")
    binary = b"\x06\x09 \x04\x14 \x00\xff"
    taken = machine.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=binary, eof=True)
    assert taken == {"n": len(binary), "off": len(binary)}
    machine.expect(b"\x06\x00\x09 \x04\x00\x14 \x00\xff\r\n[exit 0]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("9f 636f6e65 6374776f ff", {"rc": 0}),
        ("9f 636f6e65", {"rc": 3, "rsn": "an argument is missing or wrong"}),
        ("82 636f6e65 02", {"rc": 3, "rsn": "an argument is missing or wrong"}),
        ("81 790200" + "61" * 0x200, {"rc": 2, "rsn": "it does not fit"}),
    ],
    ids=["open-ended", "cut off", "a number", "too long"],
)
def test_arguments_are_taken_or_refused_for_what_they_are(start: Start, arguments: str, said: dict) -> None:
    machine = start("emulated stm32f405", programs.adds())
    body = b"\xa1\x64args" + bytes.fromhex(arguments)
    machine.write(smp.encode_lines(struct.pack(">BBHHBB", 10, 0, len(body), smp.RUNTIME, 0, smp.RUNTIME_START) + body))
    request = smp.Message(smp.WRITE, smp.RUNTIME, smp.RUNTIME_START)
    machine.client.receive(0.5)
    while machine.client.receive(0.01) or not machine.client._replies:
        assert machine.now() < 20
    reply = machine.client._replies.pop()
    assert reply.answers(request) and reply.payload == said


@pytest.mark.parametrize("noise", [b"\x06", b"\x06\x09####\n", b"\x06\x09AAA", b"\x04\x14AAAA\n", b"\x06\x06\x09"])
def test_noise_does_not_stop_the_console(start: Start, noise: bytes) -> None:
    machine = start("emulated stm32f405", programs.writes_for_ever(b"tick\n"))
    machine.write(noise)
    assert machine.client.echo("still here") == "still here"
    machine.expect(b"tick\n", times=machine.output.count(b"tick\n") + 3)


@pytest.mark.parametrize(("place", "name"), EXAMPLES_IN_QEMU)
def test_qemu_runs_the_examples_as_wasmtime_does(start: Start, place: str, name: str) -> None:
    """The same ELF and the same image as on the emulated boards."""
    wasm = EXAMPLES / f"{name}.wasm"
    machine = start(place, build_image(wasm, board_of(place)).image)
    output = machine.expect(b"\r\n[exit 0]\r\n")
    assert on_wasmtime(wasm).output.encode() in output
