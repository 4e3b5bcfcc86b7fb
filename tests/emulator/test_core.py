"""Exceptions, priorities, masks and faults, as the architecture manual says; Unicorn's traps stay shut."""

from __future__ import annotations

import struct

import pytest
from unicorn import arm_const as arm

from mcutool.emulator import engine, stores
from mcutool.emulator.machine import Reason
from mcutool.emulator.profile import Profile
from mcutool.errors import Error

ALL = ["mps2-an386", "mps2-an385", "mps2-m0"]
MAINLINE = ["mps2-an386", "mps2-an385"]


def run(boot, board, source, **limits):
    machine = boot(board, source)
    output = bytearray()
    machine.uart.on_output = output.extend
    reason = machine.run(**(limits or {"instructions": 2_000_000}))
    return machine, reason, output.decode()


def transcript(boot, board, source):
    machine, reason, output = run(boot, board, source)
    assert (reason, machine.exit_status) == (Reason.EXIT, 0), (reason, machine.exit_status, machine.lockup, output)
    return output


# --- Which core it is -------------------------------------------------------------------------------------------------

PROBES = {
    "movw": ((0xF240, 0x0000), "M3 M4 M7 M33"),
    "sdiv": ((0xFB90, 0xF0F1), "M3 M4 M7 M33"),
    "ldrd": ((0xE9D0, 0x1200), "M3 M4 M7 M33"),
    "clz": ((0xFAB0, 0xF080), "M3 M4 M7 M33"),
    "uadd8": ((0xFA80, 0xF041), "M4 M7 M33"),
    "vadd.f32": ((0xEE30, 0x0A20), "M4 M7 M33"),
    "vadd.f64": ((0xEE30, 0x0B01), "M7"),
    "vsel.f32": ((0xFE00, 0x0A20), "M7 M33"),
    "lda": ((0xE8D0, 0x0FAF), "M33"),
}


@pytest.mark.parametrize("name", PROBES)
def test_probe_matrix(name):
    code, cores = PROBES[name]
    accepted = {model for model in engine.MODELS if engine.accepts(model, *code)}
    assert accepted == {f"cortex-{core.lower()}" for core in cores.split()}


def test_another_core_is_noticed(monkeypatch):
    monkeypatch.setitem(engine.PROBES, "cortex-m3", ((0xF240, 0x0000), False))
    monkeypatch.setattr(engine, "_proven", set())
    with pytest.raises(Error, match="does not emulate cortex-m3"):
        engine.prove_model("cortex-m3")


# --- Exceptions -------------------------------------------------------------------------------------------------------

NESTING = """
static void nest(char name, int inner) { put(name); if (inner >= 0) NVIC_PEND = 1u << inner; put(name); }
void on_irq0(void) { nest('a', 1); }
void on_irq1(void) { nest('b', 2); }
void on_irq2(void) { nest('c', 3); }
void on_irq3(void) { nest('d', -1); }
void on_pending_service(void) { put('p'); }
void on_supervisor_call(void) { put('s'); ICSR = 1u << 28; NVIC_PEND = 1; put('s'); }
int main(void)
{
    uart_start();
    /* 0 is interrupted by 1; 2 has the priority of 1 and must wait for it; 3 is the most urgent. */
    REG(0xE000E400) = 0x00808080u | 0xC0u;
    REG(0xE000ED20) = 0x00C00000; /* PendSV as low as interrupt 0 */
    REG(0xE000ED1C) = 0xC0000000; /* SVC too */
    NVIC_ENABLE = 15;
    __asm__ volatile("svc 0");
    put('.');
    return 0;
}
"""


@pytest.mark.parametrize("board", ALL)
def test_nesting_and_priorities(boot, board):
    assert transcript(boot, board, NESTING) == "sspabbcddca."


STACKS = """
static uint32_t process_stack[64];
static volatile uint32_t seen[4];
void on_supervisor_call(void)
{
    uint32_t msp, ipsr;
    __asm__ volatile("mrs %0, msp; mrs %1, ipsr" : "=r"(msp), "=r"(ipsr));
    seen[0] = msp;
    seen[1] = ipsr;
}
int main(void)
{
    uint32_t before, after, r4 = 0x1234;
    uart_start();
    __asm__ volatile("msr psp, %0; movs r0, #2; msr control, r0; isb" : : "r"(&process_stack[63]) : "r0", "memory");
    __asm__ volatile("mov %0, sp; mov r4, %2; svc 3; mov %2, r4; mov %1, sp"
                     : "=&r"(before), "=&r"(after), "+&r"(r4) : : "r4", "memory");
    __asm__ volatile("movs r0, #0; msr control, r0; isb" : : : "r0", "memory");
    if (before != after || before != (uint32_t)&process_stack[63] || r4 != 0x1234) return 1;
    if (seen[1] != 11 || (seen[0] & ~0x3FFFu) != 0x20000000) return 2;
    print("ok");
    return 0;
}
"""


@pytest.mark.parametrize("board", ALL)
def test_the_process_stack(boot, board):
    assert transcript(boot, board, STACKS) == "ok"


MASKS = """
static volatile uint32_t count;
void on_irq0(void) { count++; }
int main(void)
{
    uart_start();
    NVIC_PRIORITY(0) = 0x80;
    NVIC_ENABLE = 1;
    for (int i = 0; i < 20; i++) { /* the window in which the interrupt may come is one instruction wide */
        __asm__ volatile("cpsid i");
        NVIC_PEND = 1;
        if (count != (uint32_t)i) return 1;
        __asm__ volatile("wfi; cpsie i; cpsid i"); /* a masked interrupt ends the sleep */
        if (count != (uint32_t)i + 1) return 2;
    }
    __asm__ volatile("cpsie i");
    print("ok");
    return 0;
}
"""
BASE_PRIORITY = """
static volatile uint32_t low, high;
void on_irq0(void) { low++; }
void on_irq1(void) { high++; }
static void mask(uint32_t priority) { __asm__ volatile("msr basepri, %0" : : "r"(priority) : "memory"); }
int main(void)
{
    uart_start();
    NVIC_PRIORITY(0) = 0x80;
    NVIC_PRIORITY(1) = 0x40;
    NVIC_ENABLE = 3;
    mask(0x60);
    NVIC_PEND = 3;
    if (low != 0 || high != 1) return 1;
    __asm__ volatile("cpsid f");
    NVIC_PEND = 2;
    if (high != 1) return 2;
    __asm__ volatile("cpsie f");
    if (low != 0 || high != 2) return 3;
    mask(0);
    if (low != 1) return 4;
    print("ok");
    return 0;
}
"""


@pytest.mark.parametrize("board", ALL)
def test_primask(boot, board):
    assert transcript(boot, board, MASKS) == "ok"


@pytest.mark.parametrize("board", MAINLINE)
def test_basepri_and_faultmask(boot, board):
    assert transcript(boot, board, BASE_PRIORITY) == "ok"


FLOATS = """
static volatile float garbage;
static volatile uint32_t count;
void on_irq0(void)
{
    garbage = garbage * 3.0f + 1.0f;
    __asm__ volatile("vmov s0, %0; vmov s15, %0" : : "r"(0));
    count++;
}
int main(void)
{
    uint32_t a, b;
    uart_start();
    CPACR = 0xF << 20;
    __asm__ volatile("dsb; isb");
    NVIC_ENABLE = 1;
    __asm__ volatile("vmov s0, %2; vmov s15, %3; str %4, [%5]; dsb; isb; vmov %0, s0; vmov %1, s15"
                     : "=&r"(a), "=&r"(b) : "r"(0x11111111), "r"(0x22222222), "r"(1), "r"(0xE000E200)
                     : "memory", "s0", "s15");
    if (a != 0x11111111 || b != 0x22222222 || count != 1) return 1;
    print("ok");
    return 0;
}
"""


def test_floating_point_frame(boot):
    assert transcript(boot, "mps2-an386", FLOATS) == "ok"


VECTORS = """
static uint32_t __attribute__((aligned(256))) table[48];
static void moved(void) { put('m'); }
int main(void)
{
    uart_start();
    for (int i = 0; i < 48; i++) table[i] = REG(4 * i);
    table[16] = (uint32_t)moved;
    REG(0xE000ED08) = (uint32_t)table;
    NVIC_ENABLE = 1;
    NVIC_PEND = 1;
    return 0;
}
"""


@pytest.mark.parametrize("board", MAINLINE)
def test_vectors_in_ram(boot, board):
    assert transcript(boot, board, VECTORS) == "m"


RESET = """
int main(void)
{
    uart_start();
    put('r');
    if (REG(0x20003000) == 0x600D) return 0; /* RAM survives */
    REG(0x20003000) = 0x600D;
    AIRCR = 0x05FA0004;
    for (;;)
        ;
}
"""


@pytest.mark.parametrize("board", ALL)
def test_reset_by_the_program(boot, board):
    assert transcript(boot, board, RESET) == "rr"


# --- Faults -----------------------------------------------------------------------------------------------------------

FAULTS = """
static void report(char name)
{
    uint32_t shown = CFSR;
    put(name);
    for (int i = 28; i >= 0; i -= 4) put("0123456789abcdef"[shown >> i & 15]);
    put(HFSR >> 30 & 1 ? 'F' : '-');
    put(BFAR == 0x90000000 ? 'A' : '-');
}
void on_hard_fault(void) { report('H'); finish(0); }
void on_bus_fault(void) { report('B'); finish(0); }
void on_usage_fault(void) { report('U'); finish(0); }
void on_memory_fault(void) { report('M'); finish(0); }
int main(void)
{
    uart_start();
    SHCSR = ENABLES;
    ACTION;
    return 1;
}
"""
LOAD, UNDEFINED = "REG(0x90000000)", '__asm__ volatile("udf 1")'
JUMP, ARM_STATE = '__asm__ volatile("bx %0" : : "r"(0x40000001))', '__asm__ volatile("bx %0" : : "r"(0x1000))'
FLOAT = '__asm__ volatile("vmov.f32 s0, s1")'


def fault(boot, board, action, enables="0"):
    return transcript(boot, board, FAULTS.replace("ACTION", action).replace("ENABLES", enables))


@pytest.mark.parametrize("board", MAINLINE)
def test_faults_with_their_status(boot, board):
    everything = "7 << 16"
    assert fault(boot, board, LOAD, everything) == "B00008200-A"
    assert fault(boot, board, LOAD) == "H00008200FA"
    assert fault(boot, board, UNDEFINED, everything) == "U00010000--"
    assert fault(boot, board, UNDEFINED) == "H00010000F-"
    assert fault(boot, board, JUMP, everything) == "M00000001--"
    assert fault(boot, board, ARM_STATE, everything) == "U00020000--"


def test_every_fault_of_a_small_core_is_a_hard_fault(boot):
    unaligned = '__asm__ volatile("str %0, [%0]" : : "r"(0x20000101) : "memory")'
    for action in (LOAD, UNDEFINED, JUMP, unaligned):
        assert fault(boot, "mps2-m0", action) == "H00000000--"  # it has no fault status registers


def test_floating_point_before_it_is_enabled(boot):
    assert fault(boot, "mps2-an386", FLOAT, "7 << 16") == "U00080000--"
    enabled = "CPACR = 0xF << 20; " + FLOAT + "; CPACR = 0; " + FLOAT
    assert fault(boot, "mps2-an386", enabled, "7 << 16") == "U00080000--"
    assert fault(boot, "mps2-an386", "CPACR = 0xF << 20; " + FLOAT + "; finish(0)") == ""


@pytest.mark.parametrize("code", ["ldmia r0, {r1, r2}", "strd r1, r2, [r0]", "ldrd r1, r2, [r0, #8]", "vldr s0, [r0]"])
def test_misaligned_transfers_of_several_words_fault_in_measured_code(boot, code):
    action = f'CPACR = 0xF << 20; __asm__ volatile("mov r0, %0; {code}" : : "r"(0x20001001) : "r0", "r1", "r2")'
    source = FAULTS.replace("ACTION", action).replace("ENABLES", "7 << 16")
    machine = boot("mps2-an386", source)
    Profile(machine, "main")
    output = bytearray()
    machine.uart.on_output = output.extend
    machine.run(instructions=100_000)
    assert output == b"U01000000--"


def test_instructions_that_armv6m_lacks(boot):
    for code in ("cbz r0, 1f; nop; 1:", "it eq; moveq r0, r0", "movw r0, #1", "sdiv r0, r0, r0"):
        action = f'__asm__ volatile(".arch armv7e-m; .syntax unified; {code}; .arch armv6-m")'
        assert fault(boot, "mps2-m0", action)[0] == "H", code


@pytest.mark.parametrize("board", ALL)
def test_lockup(boot, board):
    source = """
    void on_hard_fault(void) { REG(0x90000000); }
    int main(void) { REG(0x90000000); return 0; }
    """
    machine, reason, _ = run(boot, board, source)
    assert reason is Reason.LOCKUP
    assert "while HardFault" in machine.lockup and machine.lockup.endswith("in on_hard_fault")
    machine.reset()
    assert machine.run(instructions=3) is Reason.FUEL


def test_a_lost_stack_is_a_lockup(boot):
    source = 'int main(void) { __asm__ volatile("mov sp, %0; svc 0" : : "r"(0x10)); return 0; }'
    machine, reason, _ = run(boot, "mps2-m0", source.replace("0x10", "0x90000000"))
    assert (reason, "stack pointer" in machine.lockup) == (Reason.LOCKUP, True)


# --- Unicorn's silent mistakes ----------------------------------------------------------------------------------------

CANARY_IT = """
__attribute__((naked)) static uint32_t canary(uint32_t uart, uint32_t flag)
{
    __asm__ volatile("push {r4, lr}; sub sp, #16; movs r2, #0; cmp r1, #0; itt eq; ldreq r3, [r0, #4]; addeq r2, #1;"
                     "add sp, #16; adds r2, #2; mov r0, r2; pop {r4, pc}");
}
int main(void)
{
    uart_start();
    for (int i = 0; i < 100; i++)
        if (canary(0x40004000, 0) != 3 || canary(0x40004000, 1) != 2) return 1;
    return 0;
}
"""
CANARY_REPLAY = """
int main(void) /* every store and load is done once, though each transmitted byte stops the machine */
{
    uart_start();
    for (int i = 0; i < 10; i++) {
        uint32_t pointer = 0x40004000;
        __asm__ volatile("strb %1, [%0], #4" : "+r"(pointer) : "r"('0' + i) : "memory");
        if (pointer != 0x40004004) return 1;
    }
    return 0;
}
"""


@pytest.mark.parametrize("board", MAINLINE)
def test_peripheral_access_in_an_it_block(boot, board):
    for slices in (1, 3, 100000):
        machine = boot(board, CANARY_IT)
        while machine.run(cycles=slices) is Reason.TIME:
            pass
        assert machine.exit_status == 0


@pytest.mark.parametrize("board", MAINLINE)
def test_a_stop_repeats_no_access(boot, board):
    machine = boot(board, CANARY_REPLAY)
    output = bytearray()

    def collect(data):
        output.extend(data)
        machine.stop()

    machine.uart.on_output = collect
    reasons = []
    while not reasons or reasons[-1] is Reason.STOPPED:
        reasons.append(machine.run())
    assert (bytes(output), reasons[-1], machine.exit_status) == (b"0123456789", Reason.EXIT, 0)
    assert len(reasons) == 11


CODE_IN_RAM = """
int main(void) /* code is written to RAM, run, changed and run again; data lies in the same page */
{
    volatile uint16_t *code = (volatile uint16_t *)0x20003000;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 100; i++) {
        code[0] = (uint16_t)(0x2000 | i); /* movs r0, #i */
        code[1] = 0x4770;                 /* bx lr */
        code[8] = (uint16_t)i;
        __asm__ volatile("dsb; isb");
        sum += ((uint32_t (*)(void))0x20003001)() + code[8];
    }
    return sum == 9900 ? 0 : 1;
}
"""


@pytest.mark.parametrize("board", ALL)
def test_code_in_ram_may_change(boot, board):
    assert transcript(boot, board, CODE_IN_RAM) == ""


def test_stores_to_data_ram_are_opened_and_closed():
    core = engine.Engine("cortex-m4")
    core.map_code(0, 0x1000, writable=False)
    core.map_data(0x20000000, 0x4000)
    change = stores.opener(core.uc, [(0x20000000, 0x4000)])
    assert change is not None
    core.write(0, struct.pack("<4H", 0x6008, 0x3001, 0xE7FC, 0))  # str r0, [r1]; adds r0, #1; b to the first
    core.uc.reg_write(arm.UC_ARM_REG_R1, 0x20000010)
    for open_them in (False, True, True, False):
        core.run(0, 30)
        change(open_them)
        assert core.word(0x20000010) == (core.uc.reg_read(arm.UC_ARM_REG_R0) - 1)


@pytest.mark.parametrize("board", ALL)
def test_a_wait_for_event_after_a_sent_event(boot, board):
    source = 'int main(void) { __asm__ volatile("sev; wfe; yield; nop"); return 0; }'
    assert transcript(boot, board, source) == ""


def test_idle_and_fuel(boot):
    machine = boot("mps2-an386", 'int main(void) { __asm__ volatile("wfi"); for (;;) ; }')
    assert machine.run() is Reason.IDLE
    assert machine.run_for(1.0) is Reason.TIME
    assert machine.clock.seconds == pytest.approx(1.0, abs=1e-5)
    machine.core.pend(2)  # NMI: the handler ends the run
    assert machine.run(instructions=1) is Reason.FUEL
    assert machine.run() is Reason.EXIT
