"""The machine boots, talks, sleeps and wakes; the same on every core."""

from __future__ import annotations

import time

import pytest
from line import receive

from mcutool import devices
from mcutool.devices import Board
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine, Reason

MPS2 = ["mps2-an386", "mps2-an385", "mps2-m0"]

HELLO = """
int main(void) { uart_start(); print("hello"); return 7; }
"""

ECHO = """
static volatile char ring[256];
static volatile unsigned head, tail, ticks;
void on_irq0(void) { ring[head++ % 256] = (char)UART_DATA; UART_INTERRUPT = 2; }
void on_tick(void) { ticks++; }
int main(void)
{
    uart_start();
    UART_CONTROL = 3 | 8;
    NVIC_ENABLE = 1;
    SYSTICK_RELOAD = 25000 - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7;
    print("ready\\n");
    for (;;) {
        while (tail != head)
            put((char)(ring[tail++ % 256] + 1));
        if (ticks == 1000)
            return 3;
        __asm__ volatile("wfi");
    }
}
"""


@pytest.mark.parametrize("board", MPS2)
def test_hello(boot, board):
    machine = boot(board, HELLO)
    output = bytearray()
    machine.uart.on_output = output.extend
    assert machine.run() is Reason.EXIT
    assert (output, machine.exit_status) == (b"hello", 7)


@pytest.mark.parametrize("board", MPS2)
@pytest.mark.parametrize("paced", [False, True])
def test_echo_by_interrupt(boot, board, paced):
    machine = boot(board, ECHO)
    machine.uart.paced = paced
    link = EmulatedLink(machine)
    assert receive(link, 6) == b"ready\n"
    link.write(b"HAL" * 20)
    assert receive(link, 60) == b"IBM" * 20


def test_a_timeout_of_virtual_time_costs_little(boot):
    machine = boot("mps2-an386", ECHO)
    link = EmulatedLink(machine)
    receive(link, 6)
    before, began = machine.clock.seconds, time.monotonic()
    assert receive(link, 1, 0.5) == b""
    assert machine.clock.seconds - before == pytest.approx(0.5, abs=1e-6)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("board", MPS2)
def test_systick_keeps_time(boot, board):
    machine = boot(board, ECHO)
    assert machine.run() is Reason.EXIT
    assert machine.exit_status == 3
    assert machine.clock.seconds == pytest.approx(1.0, abs=0.001)


def test_runs_repeat_to_the_digit(boot):
    def once():
        machine = boot("mps2-an386", ECHO)
        link = EmulatedLink(machine)
        receive(link, 6)
        link.write(b"abc")
        receive(link, 3)
        machine.run()
        return machine.instructions, machine.clock.now

    assert once() == once()


def test_code_that_was_changed_is_executed_as_it_is_then(boot):
    """Whether it lies in flash or in RAM, and however often it has been executed."""
    source = """
    static uint32_t copied[2];
    __attribute__((naked, aligned(4))) uint32_t answer(void) { __asm__("movs r0, #1; bx lr; nop; nop"); }
    int main(void)
    {
        copied[0] = REG((uint32_t)answer & ~3), copied[1] = REG(((uint32_t)answer & ~3) + 4);
        return (int)(answer() * 16 + ((uint32_t (*)(void))((uint32_t)copied | 1))());
    }
    """
    machine = boot("stm32f405", source)
    assert machine.run() is Reason.EXIT and machine.exit_status == 0x11
    place = machine.firmware.symbols["answer"].address - machine.chip.flash.base
    machine.flash.load(place, machine.flash[place : place + 8].replace(b"\x01", b"\x02"))
    machine.reset()
    assert machine.run() is Reason.EXIT and machine.exit_status == 0x22


def test_a_mistake_in_a_callback_is_not_swallowed(boot):
    def refuse(data):
        raise ValueError("this probe is broken")

    machine = boot("mps2-an386", HELLO)
    machine.uart.on_output = refuse
    with pytest.raises(ValueError, match="broken"):
        machine.run()


@pytest.mark.parametrize("board", devices.runtime_boards(), ids=lambda board: board.name)
def test_an_empty_flash_is_a_lockup_on_every_core(board: Board) -> None:
    assert Machine(board).run_for(0.001) is Reason.LOCKUP
