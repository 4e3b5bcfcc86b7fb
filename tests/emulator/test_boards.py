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
    client.install(image)
    assert machine.flash[machine.chip.map.slot.offset :][: len(image)] == image
    assert machine.flash.violations == []
    client.reset()
    text_until(client, b"[exit 5]", output)
    assert b"emulated text " in output
    assert not machine.unmodelled


# What the start has to leave for console and pins to work on the chip itself, as (address, bits, value). Written from
# the reference manuals: the emulator does not ask for all of it.
STM32F1 = (  # RM0008 and RM0041: RCC, GPIO, USART
    (0x40021018, 0x403C, 0x403C),  # RCC_APB2ENR: USART1EN, IOPAEN to IOPDEN
    (0x40010804, 0x00000FF0, 0x000008A0),  # GPIOA_CRH: PA9 alternate output 2 MHz, PA10 input with a pull
    (0x4001080C, 1 << 10, 1 << 10),  # GPIOA_ODR: that is a pull-up
    (0x40013808, 0xFFFF, 69),  # USART1_BRR: 8 MHz / 115200
    (0x4001380C, 0x202C, 0x202C),  # USART1_CR1: UE, RXNEIE, TE, RE
)
STM32F4_USART1 = (  # RM0090 and RM0383
    (0x40023844, 1 << 4, 1 << 4),  # RCC_APB2ENR: USART1EN
    (0x40020000, 0x003C0000, 0x00280000),  # GPIOA_MODER: PA9, PA10 alternate function
    (0x40020024, 0x00000FF0, 0x00000770),  # GPIOA_AFRH: AF7
    (0x4002000C, 0x00300000, 0x00100000),  # GPIOA_PUPDR: PA10 pull-up
    (0x40011008, 0xFFFF, 139),  # USART1_BRR: 16 MHz / 115200
    (0x4001100C, 0xA02C, 0x202C),  # USART1_CR1: UE, RXNEIE, TE, RE; not OVER8
)
START = {
    "bluepill": STM32F1,
    "stm32vldiscovery": STM32F1,
    "stm32f405": ((0x40023830, 0x1FF, 0x1FF), *STM32F4_USART1),  # RCC_AHB1ENR: GPIOA to GPIOI
    "blackpill-f411": ((0x40023830, 0x9F, 0x9F), *STM32F4_USART1),  # GPIOA to GPIOE, GPIOH
    "nucleo-f446re": (  # RM0390
        (0x40023830, 0xFF, 0xFF),  # RCC_AHB1ENR: GPIOA to GPIOH
        (0x40023840, 1 << 17, 1 << 17),  # RCC_APB1ENR: USART2EN
        (0x40020000, 0x000000F0, 0x000000A0),  # GPIOA_MODER: PA2, PA3 alternate function
        (0x40020020, 0x0000FF00, 0x00007700),  # GPIOA_AFRL: AF7
        (0x4002000C, 0x000000C0, 0x00000040),  # GPIOA_PUPDR: PA3 pull-up
        (0x40004408, 0xFFFF, 139),  # USART2_BRR: 16 MHz / 115200
        (0x4000440C, 0xA02C, 0x202C),  # USART2_CR1: UE, RXNEIE, TE, RE; not OVER8
    ),
}


@pytest.mark.parametrize(
    "machine", [board.name for board in devices.runtime_boards() if board.chip.port.startswith("stm32")], indirect=True
)
def test_the_start_leaves_the_registers_that_the_manuals_ask_for(machine):
    machine.run_for(0.1)
    expected = {address: value for address, _, value in START[machine.board.name]}
    found = {address: machine._read_peripheral(address, 4) & bits for address, bits, _ in START[machine.board.name]}
    assert found == expected


@pytest.mark.parametrize("machine", ["mps2-an386", "stm32f405", "microbit"], indirect=True)
def test_a_boot_repeats_to_the_digit(machine):
    def boot():
        machine.reset()
        before = machine.instructions, machine.clock.now
        machine.run_for(0.2)
        return machine.instructions - before[0], machine.clock.now - before[1]

    boot()
    assert boot() == boot()
