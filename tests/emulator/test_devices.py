"""Flash obeys the rules of its chip, pins can be probed, and a machine can be put back to where it was."""

from __future__ import annotations

import pytest
from line import receive

from mcutool import devices
from mcutool.emulator.devices import PIN, POWER_ON
from mcutool.emulator.flash import FlashArray
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine, Reason


def status(machine):
    """The value that `main` returned."""
    assert machine.run(instructions=5_000_000) is Reason.EXIT, machine.lockup
    return machine.exit_status


# --- Flash ------------------------------------------------------------------------------------------------------------

STM32 = """
#define KEY REG(0x40023C04)
#define STATUS REG(0x40023C0C)
#define CONTROL REG(0x40023C10)
#define AT(offset) REG(0x08020000 + (offset))
static void unlock(void) { KEY = 0x45670123; KEY = 0xCDEF89AB; }
static void erase(uint32_t sector)
{
    CONTROL = 0x202 | sector << 3;
    CONTROL |= 1 << 16;
    while (STATUS & 1 << 16)
        ;
    CONTROL = 0x201;
}
int main(void) { ACTION }
"""


def stm32(boot, action):
    return boot("stm32f405", STM32.replace("ACTION", action))


def test_stm32_program_clears_bits_and_erase_sets_them(boot):
    action = """
    unlock(); CONTROL = 0x201;
    AT(0) = 0xF0F0F0F0; AT(0) = 0xFF00FF00;
    if (AT(0) != 0xF000F000) return 1;
    AT(4) = 5;
    erase(5);
    if (AT(0) != 0xFFFFFFFF || AT(4) != 0xFFFFFFFF) return 2;
    AT(8) = 0x12345678;
    return AT(8) == 0x12345678 && !(STATUS & 0xF2) ? 0 : 3;
    """
    machine = stm32(boot, action)
    assert status(machine) == 0
    assert machine.flash.violations == [0x20000]  # the second word needed an erase
    assert machine.flash.wear == {0x20000: 1}
    assert machine.clock.seconds > 1.0  # a sector of 128 KiB takes a second, in which code in flash stands still
    assert machine.instructions < 1000


@pytest.mark.parametrize(
    "action, error",
    [
        ("CONTROL = 0x201; AT(0) = 1;", 0x80),  # locked
        ("KEY = 1; unlock(); CONTROL = 0x201; AT(0) = 1;", 0x80),  # a wrong key locks until reset
        ("unlock(); CONTROL = 0x200; AT(0) = 1;", 0x80),  # not programming
        ("unlock(); CONTROL = 0x201; *(volatile uint8_t *)0x08020000 = 1;", 0x40),  # another parallelism
        ("unlock(); CONTROL = 0x201; __asm__ volatile(\"str %0, [%0]\" : : \"r\"(0x08020002));", 0x60),  # misaligned
    ],
)
def test_stm32_refuses(boot, action, error):
    machine = stm32(boot, action + "return STATUS & 0xF2;")
    assert status(machine) == error
    assert machine.flash[0x20000:0x20008] == b"\xff" * 8


def test_stm32_store_multiple_and_in_an_it_block(boot):
    action = """
    uint32_t pointer = 0x08020000, total = 0;
    unlock(); CONTROL = 0x201;
    __asm__ volatile("mov r4, #1; mov r5, #2; stmia %0!, {r4, r5}; cmp %1, #0; itt eq; streq r4, [%0]; addeq %1, #5;"
                     "add %1, #1" : "+r"(pointer), "+r"(total) : : "r4", "r5", "memory", "cc");
    return pointer == 0x08020008 && total == 6 && AT(0) == 1 && AT(4) == 2 && AT(8) == 1 ? 0 : 1;
    """
    assert status(stm32(boot, action)) == 0


STM32F1 = """
#define KEY REG(0x40022004)
#define STATUS REG(0x4002200C)
#define CONTROL REG(0x40022010)
#define ADDRESS REG(0x40022014)
#define AT(offset) (*(volatile uint16_t *)(0x0800C000 + (offset)))
enum { PG = 0x01, PER = 0x02, MER = 0x04, STRT = 0x40, LOCK = 0x80, PGERR = 0x04, EOP = 0x20 };
static void unlock(void) { KEY = 0x45670123; KEY = 0xCDEF89AB; }
static void erase(uint32_t how, uint32_t offset)
{
    CONTROL = how;
    ADDRESS = 0x0800C000 + offset;
    CONTROL = how | STRT;
    while (STATUS & 1)
        ;
}
void on_hard_fault(void) { finish(CFSR); }
int main(void) { ACTION }
"""


def stm32f1(boot, action):
    return boot("bluepill", STM32F1.replace("ACTION", action))


def test_stm32f1_programs_each_halfword_once(boot):
    action = """
    unlock(); CONTROL = PG;
    AT(0) = 0x1234;
    if (AT(0) != 0x1234 || STATUS != EOP) return 1;
    STATUS = EOP;
    AT(0) = 0x1230; /* clears bits only, and is refused nevertheless */
    if (AT(0) != 0x1234 || STATUS != PGERR) return 2;
    STATUS = PGERR;
    AT(0) = 0; /* what may be programmed at any time */
    return AT(0) == 0 && AT(2) == 0xFFFF && STATUS == EOP ? 0 : 3;
    """
    machine = stm32f1(boot, action)
    assert status(machine) == 0
    assert machine.flash.violations == []
    assert machine.clock.seconds == pytest.approx(2 * 53e-6, abs=30e-6)


def test_stm32f1_erases_a_page_by_its_address_and_all(boot):
    action = """
    unlock(); CONTROL = PG;
    AT(0) = 1; AT(0x3FE) = 2; AT(0x400) = 3;
    erase(PER, 0x210);
    if (AT(0) != 0xFFFF || AT(0x3FE) != 0xFFFF || AT(0x400) != 3 || !(STATUS & EOP)) return 1;
    CONTROL = PG; AT(0) = 4;
    return AT(0) == 4 ? 0 : 2;
    """
    machine = stm32f1(boot, action)
    assert status(machine) == 0
    assert machine.flash.wear == {0xC000: 1}
    assert machine.clock.seconds == pytest.approx(0.02, abs=0.001)
    machine = stm32f1(boot, "unlock(); CONTROL = PG; AT(0) = 1; erase(MER, 0); return 0;")
    machine.run_for(0.03)  # it has erased itself
    assert machine.flash[:] == b"\xff" * 0x10000 and set(machine.flash.wear.values()) == {1}


@pytest.mark.parametrize(
    "action",
    [
        "CONTROL = PG; AT(0) = 1; erase(PER, -0x400);",  # locked
        "KEY = 1; unlock(); CONTROL = PG; AT(0) = 1;",  # a wrong key locks until reset
        "unlock(); AT(0) = 1; CONTROL = LOCK; CONTROL = PG; AT(0) = 1;",  # not programming, locked again
    ],
)
def test_stm32f1_does_nothing(boot, action):
    machine = stm32f1(boot, action + "return CONTROL == LOCK ? 0 : 1;")
    assert status(machine) == 0
    assert machine.flash[0xC000:0xC008] == b"\xff" * 8 and machine.flash.operations == 0


@pytest.mark.parametrize("kind", ["uint8_t", "uint32_t"])
def test_stm32f1_takes_halfwords_alone(boot, kind):
    machine = stm32f1(boot, f"unlock(); CONTROL = PG; *(volatile {kind} *)0x0800C000 = 0; return 0;")
    assert status(machine) == 1 << 10  # an imprecise error on the bus
    assert machine.flash.operations == 0


NRF51 = """
#define READY REG(0x4001E400)
#define CONFIGURATION REG(0x4001E504)
#define ERASE_PAGE REG(0x4001E508)
#define AT(offset) REG(0x20000 + (offset))
int main(void)
{
    AT(0) = 0; /* neither writing nor erasing is enabled */
    ERASE_PAGE = 0x20000;
    CONFIGURATION = 1;
    while (!READY)
        ;
    AT(0) = 0x0000FFFF;
    AT(0) = 0xFFFF00FF;
    AT(0x400) = 0x12345678;
    if (AT(0) != 0x000000FF) return 1;
    CONFIGURATION = 2;
    ERASE_PAGE = 0x20000;
    while (!READY)
        ;
    CONFIGURATION = 0;
    return AT(0) == 0xFFFFFFFF && AT(0x400) == 0x12345678 ? 0 : 2;
}
"""


def test_nrf51_flash(boot):
    machine = boot("microbit", NRF51)
    assert status(machine) == 0
    assert machine.flash.violations == [0x20000]
    assert machine.clock.seconds > 0.02


RP2040 = """
typedef void action(void);
typedef void change(uint32_t offset, const void *bytes, uint32_t size, uint32_t command);
typedef void *lookup(uint32_t table, uint32_t code);
static action *connect, *leave, *flush, *enter;
static change *erase, *program;
static uint32_t page[64], code[128];
#define AT(offset) REG(0x10020000 + (offset))

static uint32_t halfword(uint32_t address)
{
    __asm__ volatile("ldrh %0, [%0]" : "+l"(address) : : "memory");
    return address;
}

static void *find(char first, char second)
{
    return ((lookup *)halfword(0x18))(halfword(0x14), first | second << 8);
}

__attribute__((noinline)) int in_flash(void) { return REG(0xE000ED08); }

/* Runs as a copy in RAM. */
__attribute__((noinline)) int work(void)
{
    int (*volatile away)(void) = in_flash;
    (void)away;
    ACTION
}

int main(void)
{
    connect = find('I', 'F'), leave = find('E', 'X'), flush = find('F', 'C'), enter = find('C', 'X');
    erase = find('R', 'E'), program = find('R', 'P');
    if (find('?', '?'))
        return 100;
    for (int i = 0; i < 64; i++)
        page[i] = i < 62 ? 0xF0F0F000 + i : 0xFFFFFFFF;
    for (int i = 0; i < 128; i++)
        code[i] = REG(((uint32_t)work & ~3) + 4 * i);
    return ((int (*)(void))((uint32_t)code | 1))();
}
"""
PROGRAM = "program(0x20000, page, 256, 0);"
ERASE = "erase(0x20000, (void *)0x1000, 0x10000, 0xD8);"


def rp2040(boot, action):
    return boot("pico", RP2040.replace("ACTION", action))


def test_rp2040_flash(boot):
    """Pages are programmed and sectors erased in the flash's own time, for which the ROM waits."""
    action = f"""
    connect(); leave(); {PROGRAM} flush(); enter();
    if (AT(0) != 0xF0F0F000 || AT(4 * 61) != 0xF0F0F03D || AT(4 * 62) != 0xFFFFFFFF) return 1;
    page[0] = 0x00FFFFFF, page[1] = 0xFFFFFFFF;
    connect(); leave(); {PROGRAM} flush(); enter();
    if (AT(0) != 0x00F0F000) return 2;
    connect(); leave(); {ERASE} flush(); enter();
    return AT(0) == 0xFFFFFFFF && AT(4 * 61) == 0xFFFFFFFF && away() == 0x10000100 ? 0 : 3;
    """
    machine = rp2040(boot, action)
    assert status(machine) == 0
    assert machine.flash.violations == [0x20003]  # what fills the page up at its ends is none
    assert machine.flash.wear == {0x20000: 1}
    work = 0.045 + 2 * (0.0004 + 260 * 8 * 6 / 125e6) + 3 * 0.000098  # a sector, two pages, three times out of reading
    assert work < machine.clock.seconds < work + 0.0002 and machine.instructions < 5000


@pytest.mark.parametrize(
    "action", ["AT(0);", "away();", f"{PROGRAM} enter(); AT(0);"], ids=["read", "fetch", "select line held"]
)
def test_rp2040_flash_cannot_be_read_meanwhile(boot, action):
    machine = rp2040(boot, f"connect(); leave(); {action} flush(); enter(); return 0;")
    assert machine.run(instructions=5_000_000) is Reason.LOCKUP


@pytest.mark.parametrize(
    "action", [PROGRAM, f"connect(); {PROGRAM}", f"leave(); {PROGRAM} flush(); enter();", "AT(0) = 0;"],
    ids=["at once", "read meanwhile", "not connected", "store"],
)  # fmt: skip
def test_rp2040_refuses(boot, action):
    machine = rp2040(boot, f"{action} return AT(0) == 0xFFFFFFFF ? 0 : 1;")
    assert status(machine) == 0 and machine.flash.operations == 0


@pytest.mark.parametrize("address", [0, 0x40, 0xF00, 0xF0C, 0x3FFC])
def test_rp2040_cannot_store_into_its_rom(boot, address):
    """Not where the model's functions leave their arguments either."""
    machine = boot("pico", f"int main(void) {{ volatile uint32_t at = {address}; REG(at) = 1; return 0; }}")
    assert status(machine) == 255 and machine.core.active == [3]  # its hard fault's handler


def test_the_uart_of_rp2040_leaves_its_reset_when_its_clock_runs(boot):
    action = """
    REG(0x4000C000) = 0;
    if ((REG(0x4000C008) >> 20 & 7) != 3) return 1; // SYSINFO, TBMAN, but not UART0
    REG(0x40008048) = 1 << 11;
    return REG(0x4000C008) >> 22 & 1 ? 0 : 2;
    """
    assert status(boot("pico", f"int main(void) {{ {action} }}")) == 0


@pytest.mark.parametrize(("base", "result"), [("0x10000000", 255), ("0x20000000", 7)], ids=["CCM", "SRAM"])
def test_core_coupled_memory_of_stm32f4_holds_data_only(boot, base, result):
    action = f"""
    volatile uint32_t *code = (uint32_t *)({base} + 0x8000);
    code[0] = 0x47702007; // movs r0, #7; bx lr
    return ((int (*)(void))((uint32_t)code | 1))();
    """
    assert status(boot("stm32f405", f"int main(void) {{ {action} }}")) == result


def test_code_memory_of_mps2_is_plain_ram(boot):
    machine = boot("mps2-an386", "int main(void) { REG(0x200000) = 5; return REG(0x200000) - 5; }")
    assert status(machine) == 0
    assert machine.flash[0x200000:0x200004] == b"\5\0\0\0"


def test_every_change_passes_one_place():
    cells = bytearray(b"\xff" * 64)

    def write(offset, data):
        cells[offset : offset + len(data)] = data

    flash = FlashArray(lambda offset, size: bytes(cells[offset : offset + size]), write, len(cells))
    seen = []
    flash.before_change = lambda kind, offset, data: seen.append((kind, offset)) or data[:1] + b"\xff" * (len(data) - 1)
    flash.program(8, b"\0\0\0\0")
    flash.erase(8, 4)
    assert (seen, flash.operations) == ([("program", 8), ("erase", 8)], 2)
    flash.before_change = lambda kind, offset, data: data
    flash.program(8, b"\0\1")
    assert flash[6:12] == b"\xff\xff\0\1\xff\xff"
    with pytest.raises(IndexError):
        flash.load(60, b"12345")


def test_flash_survives_in_a_file(boot, tmp_path):
    action = "unlock(); CONTROL = 0x201; if (AT(0) == 42) return 9; AT(0) = 42; return 0;"
    machine, path = stm32(boot, action), tmp_path / "flash.bin"
    machine.load_flash_file(path)
    assert status(machine) == 0
    machine.save_flash_file(path)
    other = Machine(devices.board("stm32f405"))
    other.load_flash_file(path)
    assert status(other) == 9


# --- Pins, noise, reset causes ----------------------------------------------------------------------------------------

GPIO = {
    "stm32f405": "REG(0x40020800) = 1 << 24; REG(0x40020818) = 1 << 12; REG(0x40020818) = 1 << 28; "
    "return REG(0x40020810) & 1;",
    "bluepill": "REG(0x40011004) = 0x44244444; REG(0x40011010) = 1 << 13; REG(0x40011014) = 1 << 13; "
    "return REG(0x40011008) & 1;",
    "microbit": "REG(0x5000050C) = 1 << 12; REG(0x50000518) = 1 << 12; REG(0x50000508) = 1 << 12; "
    "REG(0x5000050C) = 1 << 12; return REG(0x50000510) >> 17 & 1;",
    "mps2-an386": "REG(0x40028000) = 1; REG(0x40028000) = 0; return REG(0x40028008) & 1;",
    "pico": "REG(0xD0000018) = 1 << 12; REG(0xD0000024) = 1 << 12; REG(0xD000001C) = 1 << 12; "
    "REG(0xD0000018) = 1 << 12; return REG(0xD0000004) >> 17 & 1;",
}
PROBED = {"stm32f405": (44, 32), "bluepill": (45, 32), "microbit": (12, 17), "mps2-an386": (0, 2), "pico": (12, 17)}


@pytest.mark.parametrize("board", GPIO)
def test_pins(boot, board):
    output, button = PROBED[board]
    machine = boot(board, f"int main(void) {{ {GPIO[board]} }}")
    seen = []
    machine.pins.on_change = lambda pin, level: seen.append((pin, level))
    machine.pins.apply(button, 1)
    assert status(machine) == 1
    assert seen == [(output, 1), (output, 0)]
    assert machine.pins.outputs[output] == 0


def test_pins_of_stm32f1_are_inputs_until_they_are_configured(boot):
    action = "REG(0x4001100C) = 1 << 13; REG(0x40011004) = 0x44A44444; return 0;"  # a peripheral has the pin
    machine = boot("bluepill", f"int main(void) {{ {action} }}")
    assert status(machine) == 0 and machine.pins.outputs.get(45, 0) == 0


def test_noise_repeats(boot):
    source = """
    int main(void) {
        REG(0x4000D000) = 1;
        uint32_t value = 0;
        for (int i = 0; i < 4; i++) {
            REG(0x4000D100) = 0;
            while (!REG(0x4000D100))
                ;
            value = value << 8 | REG(0x4000D508);
        }
        return (int)(value & 0x7FFFFFFF);
    }
    """
    first, second = (status(boot("microbit", source)) for _ in range(2))
    assert first == second != 0


def test_reset_causes(boot):
    machine = boot("stm32f405", "int main(void) { return REG(0x40023874) >> 25; }")
    assert status(machine) == 0x0E000000 >> 25
    machine.reset(PIN)
    assert status(machine) & 2
    assert status(boot("bluepill", "int main(void) { return REG(0x40021024) >> 25; }")) == 0x0E000000 >> 25
    nordic = boot("microbit", "int main(void) { return REG(0x40000400); }")
    assert status(nordic) == 0
    nordic.reset(PIN)
    assert status(nordic) == 1
    nordic.reset(POWER_ON)


# --- Serial line ------------------------------------------------------------------------------------------------------

SLOW = """
int main(void)
{
    uart_start();
    put('r');
    for (volatile int i = 0; i < 20000; i++)
        ;
    uint32_t status = UART_STATUS;
    put((char)UART_DATA);
    return (int)status;
}
"""


def test_a_byte_takes_its_time_and_an_overrun_shows(boot):
    machine = boot("mps2-an386", SLOW)
    machine.uart.paced = True
    sent = []

    machine.uart.on_output = lambda data: sent.append((data, machine.clock.now))
    machine.run(cycles=3000)
    assert sent == [(b"r", pytest.approx(10 * 217, rel=0.05))]
    machine.uart.feed(b"abc")
    assert status(machine) & 10 == 10  # a byte is there, others were lost
    assert sent[1][0] == b"a"


PL011 = """
#define UART(offset) REG(0x40034000 + (offset))
static volatile uint32_t seen, interrupts;
void on_uart(void)
{
    interrupts++;
    seen = seen << 8 | (UART(0x40) >> 4 & 7);
    while (!(UART(0x18) & 1 << 4))
        UART(0) = UART(0) + 1;
    UART(0x44) = 0x50;
}
int main(void)
{
    UART(0x24) = 6, UART(0x28) = 33, UART(0x2C) = 0x70, UART(0x30) = 0x301, UART(0x34) = 0, UART(0x38) = 0x50;
    NVIC_ENABLE = 1 << 20;
    while (interrupts < 3)
        ;
    while (UART(0x18) & 1 << 3)
        ;
    return (int)seen;
}
"""


@pytest.mark.parametrize("paced", [False, True], ids=["burst", "paced"])
def test_pl011_interrupts_when_four_bytes_are_there_and_after_a_pause(boot, paced):
    machine = boot("pico", PL011.replace("on_uart", "on_irq20"))
    machine.uart.paced = paced
    output = bytearray()
    machine.uart.on_output = output.extend
    for data in (b"a", b"HALL", b"bc"):
        machine.run_for(0.002)
        machine.uart.feed(data)
    assert status(machine) == 0x040104  # pause, four, pause
    assert output == b"bIBMMcd"


def test_bursts_lose_nothing(boot):
    machine = boot("mps2-an386", SLOW)
    link = EmulatedLink(machine)
    assert receive(link, 1) == b"r"
    link.write(b"abc")
    assert receive(link, 1) == b"a"
    assert bytes(machine.uart.line) == b"c"  # b waits in the receiver


# --- Snapshots --------------------------------------------------------------------------------------------------------

COUNTER = """
static volatile uint32_t count, ticks;
void on_tick(void) { ticks++; }
void on_irq0(void) { UART_DATA = UART_DATA + count++; UART_INTERRUPT = 3; }
int main(void)
{
    count = 0;
    uart_start();
    UART_CONTROL = 3 | 8;
    NVIC_ENABLE = 1;
    SYSTICK_RELOAD = 999;
    SYSTICK_CONTROL = 7;
    for (;;)
        __asm__ volatile("wfi");
}
"""


def test_snapshot_and_restore(boot):
    machine = boot("mps2-an386", COUNTER)
    link = EmulatedLink(machine)
    machine.run_for(0.001)
    saved = machine.snapshot()
    transcripts = []
    for _ in range(3):
        link.write(b"AAAA")
        transcripts.append((receive(link, 4), machine.instructions, machine.clock.now, machine.core.systick.value))
        machine.run_for(0.0123)
        machine.restore(saved)
    assert transcripts[0][0] == b"ABCD"
    assert transcripts[0] == transcripts[1] == transcripts[2]


@pytest.mark.parametrize("name", ["stm32f405", "pico"])
def test_a_reset_after_a_restore_cancels_what_was_on_its_way(name):
    """A byte on the line arrives once."""
    board = devices.board(name)
    machine = Machine(board, board.firmware)
    machine.run_for(0.1)
    machine.uart.paced = True
    machine.uart.feed(b"\n")
    machine.restore(machine.snapshot())
    machine.reset()
    machine.run_for(0.01)
    assert not machine.uart.line


def test_a_pause_after_a_restore_counts_from_the_last_byte(boot):
    """32 bits are 27 us at this rate."""
    machine = boot("pico", PL011.replace("NVIC_ENABLE = 1 << 20;", ""))
    machine.run_for(0.001)
    machine.uart.feed(b"a")
    machine.run_for(0.00002)
    machine.restore(machine.snapshot())
    machine.uart.feed(b"b")
    machine.run_for(0.00002)
    assert bytes(machine.uart.received) == b"ab" and not machine.uart.paused
    machine.run_for(0.00001)
    assert machine.uart.paused


def test_restore_brings_flash_back(boot):
    machine = stm32(boot, "unlock(); CONTROL = 0x201; if (AT(0) == 42) return 9; AT(0) = 42; return 0;")
    saved = machine.snapshot()
    assert status(machine) == 0
    machine.restore(saved)
    assert status(machine) == 0
    assert machine.flash[0x20000:0x20001] == b"\x2a"


def test_restore_forgets_registers_that_were_met_since_and_what_was_applied(boot):
    machine = stm32(boot, "*(volatile uint32_t *)0x40000004 += 1; return *(volatile uint32_t *)0x40000004;")
    saved = machine.snapshot()
    for _ in range(2):
        machine.pins.apply(3, 1)
        assert status(machine) == 1
        machine.restore(saved)
        assert machine.pins.inputs == {}


def test_snapshots_share_the_memory_that_is_equal(boot):
    machine = boot("mps2-an386", COUNTER)
    machine.run_for(0.001)
    first = machine.snapshot()
    machine.run_for(0.001)
    second = machine.snapshot()
    different = [address for address in first.memory if first.memory[address] is not second.memory[address]]
    assert 0 < len(different) <= 2
