"""Requests that come at a bad moment or make no sense: none resets the board, or changes what another one is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.errors import ImageRefused
from mcutool.flash.protocols import smp
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.firmware.programs import op

FAULT = b"had a fault"
WILD = struct.pack("<30I", *[0x18000000] * 30)
"""Arguments that lead nowhere when they are taken for the links of frames."""
Start = Callable[[bytes], Emulated]


@pytest.fixture(params=["stm32f405", "microbit"])
def start(request: pytest.FixtureRequest, firmware: Path, tmp_path: Path) -> Start:
    """Boots a board with an image in its slot."""

    def boot(image: bytes) -> Emulated:
        (tmp_path / "image.mcu").write_bytes(image)
        board = devices.board(request.param)
        return Emulated(board, firmware / f"{board.name}.elf", tmp_path / "image.mcu")

    return boot


def traps_deep_down() -> bytes:
    """A program that traps in the eighth of nested calls."""
    bodies = [op("call", k=2, f=number + 1) + op("return") for number in range(1, 8)]
    return programs.image(*bodies, op("trap", u=1))


def wait(place: Emulated, seconds: float) -> None:
    end = place.now() + seconds
    while place.now() < end:
        place.client.receive(0.1)


def test_a_call_while_a_trap_is_printed(start: Start) -> None:
    place = start(traps_deep_down())
    place.expect(b"[trap unrea")
    place.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=0, a=WILD, n=0)
    wait(place, 3)
    assert FAULT not in place.output


def test_a_call_of_a_function_that_is_not_there_after_a_trap(start: Start) -> None:
    place = start(traps_deep_down())
    place.expect(b"[trap unrea")
    wait(place, 1)
    reply = place.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=9999, a=WILD, n=0)
    assert reply["t"] and len(reply.get("bt", b"")) <= 8
    wait(place, 1)
    assert FAULT not in place.output


def test_an_upload_of_nothing_leaves_no_program_behind(start: Start) -> None:
    place = start(programs.adds())
    place.expect(b"[exit 0]")
    client = place.client
    client.write(smp.RUNTIME, smp.RUNTIME_START)
    with pytest.raises(ImageRefused):
        client.write(smp.IMAGE, smp.IMAGE_UPLOAD, off=0, len=0, sha=bytes(32), data=b"x")
    client.write(smp.IMAGE, smp.IMAGE_UPLOAD, off=5, data=b"")
    assert client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["state"] == "none"


def test_a_refused_call_does_not_change_the_answer_to_the_one_before(start: Start) -> None:
    place = start(programs.adds())
    place.expect(b"[exit 0]")
    client = place.client
    client.write(smp.RUNTIME, smp.RUNTIME_START)
    call = client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=struct.pack("<2I", 40, 2), n=1)
    wait(place, 0.5)
    first = client.take(call)
    with pytest.raises(ImageRefused):
        client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=b"", n=2000000)
    place.write(smp.encode_lines(smp.encode_message(call)))
    wait(place, 0.5)
    assert first == client.take(call) == {"r": struct.pack("<I", 42)}
