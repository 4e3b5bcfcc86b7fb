"""Counts are exact, the same by both counters and by QEMU, and cycles follow the table to the digit."""

from __future__ import annotations

import pytest

from mcutool import devices
from mcutool.emulator import helper
from mcutool.emulator.counter import BRANCHES
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.profile import Profile

# Branches, IT blocks, loads of all kinds, a call, recursion and a switch through a table.
WORK = """
static uint32_t data[64];
static volatile uint32_t ticks;
void on_tick(void) { ticks++; }

__attribute__((noinline)) static uint32_t crc(uint32_t value, uint32_t rounds)
{
    while (rounds--)
        value = value & 1 ? (value >> 1) ^ 0xEDB88320u : value >> 1;
    return value;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

__attribute__((noinline)) static int32_t pick(int32_t a, int32_t b, uint32_t kind)
{
    switch (kind) {
    case 0: return a < b ? a : b;
    case 1: return a > b ? a : b;
    case 2: return a - b;
    case 3: return b ? a / b : 0;
    case 4: return a < 0 ? -a : a;
    case 5: return (int32_t)data[a & 63];
    default: return a ^ b;
    }
}

__attribute__((noinline)) uint32_t work(uint32_t seed)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 64; i++) {
        data[i] = seed = crc(seed + i, 8);
        if (seed & 4)
            data[i] += data[i >> 1];
        sum += (uint32_t)pick((int32_t)seed, (int32_t)sum, i & 7);
        if (sum > seed)
            sum -= data[63 - i];
    }
    return sum + fib(12);
}

int main(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < REPEAT; i++)
        sum += work(i);
    return (int)(sum & 0x7F);
}
"""
TICK = "    SYSTICK_RELOAD = 96; SYSTICK_VALUE = 0; SYSTICK_CONTROL = 7;\n"
TICKING = WORK.replace("int main(void)\n{\n", "int main(void)\n{\n" + TICK)


def measure(elf, board="mps2-an386", function="work", slices=None):
    machine = Machine(devices.board(board), elf)
    profile = Profile(machine, function)
    while (reason := machine.run(cycles=slices)) is Reason.TIME:
        pass
    assert reason is Reason.EXIT, machine.lockup
    return machine, profile.counts()


@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an385", "mps2-m0"])
def test_both_counters_agree(build, board, monkeypatch):
    elf = build(board, WORK, ("-DREPEAT=2",))
    assert helper.library() is not None
    _, fast = measure(elf, board)
    monkeypatch.setattr(helper, "library", lambda: None)
    _, slow = measure(elf, board)
    assert fast == slow
    assert fast.calls == 2
    assert sum(part.instructions for part in fast.functions.values()) == fast.instructions
    assert sum(part.cycles for part in fast.functions.values()) == fast.cycles


@pytest.mark.parametrize("library", [helper.library(), None], ids=["c", "python"])
def test_slices_and_interrupts_change_nothing(build, monkeypatch, library):
    monkeypatch.setattr(helper, "library", lambda: library)
    quiet, ticking = (build("mps2-an386", source, ("-DREPEAT=3",)) for source in (WORK, TICKING))
    undisturbed, whole = measure(quiet)
    for slices in (1, 7, 1001):
        assert measure(quiet, slices=slices)[1] == whole
    machine, interrupted = measure(ticking)
    assert machine.instructions > undisturbed.instructions * 1.05
    assert (interrupted.instructions, interrupted.cycles) == (whole.instructions, whole.cycles)


@pytest.mark.parametrize("library", [helper.library(), None], ids=["c", "python"])
def test_a_snapshot_holds_the_counts_and_the_last_branches(build, monkeypatch, library):
    monkeypatch.setattr(helper, "library", lambda: library)
    machine = Machine(devices.board("mps2-an386"), build("mps2-an386", WORK, ("-DREPEAT=2",)))
    profile = Profile(machine, "work")
    machine.run(instructions=20_000)  # in the middle of it
    saved, state, counts, branches = machine.snapshot(), profile.state(), profile.counts(), profile.branches()
    ends = []
    for _ in range(2):
        machine.run()
        ends.append((machine.instructions, profile.counts(), profile.branches()))
        machine.restore(saved)
        profile.restore(state)
        assert (profile.counts(), profile.branches()) == (counts, branches)
    assert ends[0] == ends[1] and ends[0][1].calls == 2
    met = {machine.firmware.function_at(address) for branch in branches for address in branch}
    assert len(branches) == BRANCHES and met <= {"work", "crc", "fib", "pick", "main"}


# Each line: instructions of one call of `work` (its return included), and their cycles by the table.
TABLE = [
    ("bx lr", 1, 3),
    ("nop; bx lr", 2, 4),
    ("mov r1, pc; adds r1, #3; bx r1; bx lr", 4, 1 + 1 + 3 + 3),
    ("mov r1, pc; adds r1, #7; push {r1}; ldr pc, [sp], #4; bx lr", 5, 1 + 1 + 2 + 4 + 3),
    ("ldr r0, [sp]; bx lr", 2, 5),
    ("ldr r0, [sp]; ldr r1, [sp, #4]; bx lr", 3, 6),
    ("mov r1, sp; ldr r1, [r1]; ldr r2, [r1]; bx lr", 4, 1 + 2 + 2 + 3),
    ("mov r1, sp; movs r2, #0; str r0, [r1, r2]; bx lr", 4, 1 + 1 + 2 + 3),
    ("sub r1, sp, #8; movs r2, #0; ldr r3, [r1]; str r0, [r1, r2]; bx lr", 5, 1 + 1 + 2 + 1 + 3),
    ("sub r1, sp, #8; str r0, [r1]; bx lr", 3, 1 + 1 + 3),
    ("push {r4, r5, lr}; pop {r4, r5, pc}", 2, 4 + 4 + 2),
    ("movs r0, #1; cmp r0, #1; ite eq; addeq r0, #1; subne r0, #1; bx lr", 6, 5 + 3),
    ("movs r0, #1; cmp r0, #2; itt eq; ldreq r0, [sp]; bxeq lr; bx lr", 6, 5 + 3),
    ("movs r0, #1; cmp r0, #1; it eq; bxeq lr", 4, 3 + 3),
    ("movs r0, #9; movs r1, #3; udiv r0, r0, r1; bx lr", 4, 1 + 1 + 7 + 3),
    ("ldrd r0, r1, [sp, #-8]; bx lr", 2, 3 + 3),
    ("b 1f; nop; 1: bx lr", 2, 3 + 3),
    ("movs r0, #0; beq 1f; nop; 1: bx lr", 3, 1 + 3 + 3),
    ("movs r0, #0; bne 1f; nop; 1: bx lr", 4, 1 + 1 + 1 + 3),
    ("movs r0, #0; cbz r0, 1f; nop; 1: bx lr", 3, 1 + 3 + 3),
    ("movs r0, #0; adr r1, 1f; tbb [pc, r0]; 1: .byte 1, 1; 2: bx lr", 4, 1 + 1 + 4 + 3),
    ("mul r0, r0, r1; umull r0, r1, r2, r3; mla r0, r1, r2, r3; bx lr", 4, 3 + 3),
    ("vadd.f32 s0, s1, s2; vmla.f32 s0, s1, s2; vfma.f32 s0, s1, s2; bx lr", 4, 1 + 3 + 3 + 3),
    ("vdiv.f32 s0, s1, s2; vsqrt.f32 s0, s1; vmov s0, s1, r0, r1; vmrs r0, fpscr; bx lr", 5, 14 + 14 + 2 + 1 + 3),
    ("vldr s0, [sp, #-8]; vldr s1, [sp, #-4]; ldr r0, [sp, #-8]; bx lr", 4, 2 + 1 + 1 + 3),
    ("vldr d0, [sp, #-8]; vstr s0, [sp, #-8]; vstr d0, [sp, #-8]; bx lr", 4, 3 + 2 + 3 + 3),
    ("vpush {d0, d1}; vpop {d0, d1}; bx lr", 3, 5 + 5 + 3),
]
SMALL_TABLE = [
    ("bx lr", 1, 2),
    ("mov r1, pc; add r1, #2; mov pc, r1; bx lr", 4, 1 + 1 + 2 + 2),
    ("push {r4, lr}; ldr r0, [sp]; str r0, [sp]; pop {r4, pc}", 4, 3 + 2 + 2 + 4),
    ("movs r0, #0; beq 1f; nop; 1: bne 1f; mov r0, r0; 1: bx lr", 5, 1 + 2 + 1 + 1 + 2),
    ("mov r3, lr; bl 1f; mov lr, r3; bx lr; 1: bx lr", 5, 1 + 3 + 2 + 1 + 2),
]
ONE_CALL = """
__attribute__((naked, noinline)) void work(void) {{ __asm__ volatile("{code}"); }}
int main(void) {{ CPACR = 0xF << 20; __asm__ volatile("dsb; isb"); work(); return 0; }}
"""


@pytest.mark.parametrize("code, instructions, cycles", TABLE)
def test_the_cycle_table(build, code, instructions, cycles):
    check(build, "mps2-an386", code, instructions, cycles)


@pytest.mark.parametrize("code, instructions, cycles", SMALL_TABLE)
def test_the_cycle_table_of_small_cores(build, code, instructions, cycles):
    check(build, "mps2-m0", code, instructions, cycles)


def check(build, board, code, instructions, cycles):
    source = ONE_CALL.format(code=code.replace("; ", "\\n"))
    _, counts = measure(build(board, source), board)
    assert (counts.instructions, counts.cycles) == (instructions, cycles)
