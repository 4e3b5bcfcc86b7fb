"""The built firmware on every emulated board: it boots, answers, takes a module over the line and runs it."""

from __future__ import annotations

import pytest

from mcutool import devices
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.flash.smp_client import SmpClient
from tests.firmware import programs

BOARDS = [board.name for board in devices.runtime_boards() if board.emulated]


@pytest.fixture
def machine(request):
    board = devices.board(request.param)
    return Machine(board, board.firmware)


def text_until(client, text, output, seconds=10.0):
    """Let the board run until it has written `text`, or for some seconds of its own time."""
    end = client.link.now() + seconds
    while text not in output and client.link.now() < end:
        client.receive(0.1)
    assert text in output


@pytest.mark.parametrize("paced", [False, True], ids=["burst", "paced"])
@pytest.mark.parametrize("machine", BOARDS, indirect=True)
def test_a_module_travels_over_the_line(machine, paced):
    machine.uart.paced = paced
    output = bytearray()
    client = SmpClient(EmulatedLink(machine), on_text=output.extend)
    text_until(client, b"bytes for modules\r\n", output)
    assert client.echo("hello") == "hello"
    image = programs.writes(b"emulated text " * 15 + b"\n", 5)
    client.upload(image)
    assert machine.flash[machine.chip.map.slot.offset :][: len(image)] == image
    assert machine.flash.violations == []
    client.reset()
    text_until(client, b"[exit 5]", output)
    assert b"emulated text " in output
    assert not machine.unmodelled


@pytest.mark.parametrize("machine", ["mps2-an386", "stm32f405", "microbit"], indirect=True)
def test_a_boot_repeats_to_the_digit(machine):
    def boot():
        machine.reset()
        before = machine.instructions, machine.clock.now
        machine.run_for(0.2)
        return machine.instructions - before[0], machine.clock.now - before[1]

    boot()
    assert boot() == boot()
