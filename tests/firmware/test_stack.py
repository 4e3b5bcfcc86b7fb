"""The C stack: what firmware_runtime/stack.py proves is within the RAM map, and no emulated board uses more."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from firmware_runtime import stack
from mcutool import devices
from mcutool.flash.protocols import smp
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.firmware.programs import op

NAMES = [board.name for board in devices.runtime_boards()]
PAINT = 0xA5
MOST = 512  # bytes of C stack that a firmware may need
MOST_OF = {"pico": 768}  # its flash is changed by its ROM, also while a program runs: 216 bytes more, and it has them


def counts() -> bytes:
    """Function 2 goes round a loop as often as its argument says: calls, divisions of i64, sums of f64, stores."""
    body = op("call", k=16, f=3)
    body += op("i64.const", d=2, i=1000) + op("i64.const", d=4, i=7) + op("i64.div_s", d=2, a=2, b=4)
    body += op("f64.add", d=4, a=4, b=2) + op("i32.const", d=6, i=64) + op("i32.store", a=6, b=0, e=0)
    body += op("i32.add_imm", d=0, a=0, i=-1)
    loop = body + op("br_i32.ne_imm", a=0, i=0, j=-len(body))
    return programs.image(op("return"), loop + op("return"), op("return"))


CALLS = """
int leaf(volatile char *p) { volatile char local[100]; local[0] = *p; return local[0]; }
int middle(volatile char *p) { return leaf(p) + leaf(p + 1); }
int twice(int n) { return n < 1 ? 0 : twice(n - 1) + leaf(0) + twice(n - 2); }
int pointed(int (*f)(void)) { return f() + 1; }
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> stack.CallGraph:
    folder = tmp_path_factory.mktemp("calls")
    (folder / "calls.c").write_text(CALLS)
    flags = ["-mcpu=cortex-m3", "-mthumb", "-O1", "-fno-inline", "-nostdlib", "-Wl,--entry=0"]
    subprocess.run(["arm-none-eabi-gcc", *flags, "calls.c", "-o", "calls.elf"], cwd=folder, check=True)
    return stack.CallGraph(folder / "calls.elf")


def test_frames_add_up_along_a_call(graph: stack.CallGraph) -> None:
    leaf, middle = graph.worst("leaf"), graph.worst("middle")
    assert 100 <= leaf.total <= 112
    assert leaf.total + 8 <= middle.total <= leaf.total + 24 and middle.path[0][0] == "middle"


def test_a_recursion_and_an_unknown_call_are_errors(graph: stack.CallGraph) -> None:
    with pytest.raises(SystemExit, match="recursion: twice > twice"):
        graph.worst("twice")
    with pytest.raises(SystemExit, match="pointed.*whom does it call"):
        graph.worst("pointed")


class Painted(Emulated):
    """An emulated board whose C stack is painted before the start."""

    def __init__(self, name: str, firmware: Path) -> None:
        board = devices.board(name)
        super().__init__(board, firmware / f"{name}.elf", None)
        self.bottom, self.size = board.chip.runtime_ram.base, board.chip.ram_map["c_stack"]
        self.machine.engine.write(self.bottom, bytes([PAINT]) * self.size)

    def used(self) -> int:
        """Bytes of C stack that were ever written."""
        stack = self.machine.engine.read(self.bottom, self.size)
        return len(stack.lstrip(bytes([PAINT])))

    def count(self, rounds: int) -> int:
        """C stack after a call of `counts` with so many rounds."""
        self.client.write(smp.RUNTIME, smp.RUNTIME_START)
        arguments = struct.pack("<I", rounds)
        call = self.client.send(smp.WRITE, smp.RUNTIME, smp.RUNTIME_CALL, f=2, a=arguments, n=0)
        while (reply := self.client.take(call)) is None:
            self.client.receive(1.0)
        assert reply == {"r": b""}
        return self.used()


@pytest.mark.parametrize("name", ["mps2-m0", "mps2-an385", "mps2-an386"])
def test_a_million_instructions_use_no_more_stack_than_one(firmware: Path, name: str) -> None:
    board = Painted(name, firmware)
    board.client.install(counts())
    one = board.count(1)
    assert board.count(100_000) == one


@pytest.fixture(scope="module")
def bounds(firmware: Path) -> dict[str, tuple[int, int]]:
    """Bytes of C stack while a program runs and ever, as they are proved for each board."""
    found = {}
    for board in devices.runtime_boards():
        bound = stack.bound(board, firmware / f"{board.name}.elf")
        found[board.name] = bound.while_running, bound.total
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_c_stack_is_bounded(bounds: dict[str, tuple[int, int]], name: str) -> None:
    while_running, ever = bounds[name]
    assert while_running <= ever <= min(MOST_OF.get(name, MOST), devices.board(name).chip.ram_map["c_stack"])


@pytest.mark.parametrize("name", NAMES)
def test_no_more_is_used(firmware: Path, bounds: dict[str, tuple[int, int]], name: str) -> None:
    """The deepest ways we know: hashing, loading with arguments, a backtrace, SMP in host calls and in interrupts."""
    board = Painted(name, firmware)
    board.expect(b"bytes for modules\r\n")
    board.client.install(programs.traps())
    board.client.images()
    board.client.reset()
    board.expect(b"[at 1+")
    board.client.write(smp.RUNTIME, smp.RUNTIME_START, args=["one", "two"], env=["THREE=4"])
    board.client.install(programs.echoes())
    board.client.reset()
    board.expect(b"bytes for modules\r\n", times=3)
    board.client.images()
    board.client.write(smp.RUNTIME, smp.RUNTIME_INPUT, d=b"hello", eof=True)
    board.expect(b"hello\r\n[exit 0]")
    board.client.install(programs.loops_for_ever())
    board.client.reset()
    board.expect(b"bytes for modules\r\n", times=4)
    board.client.images()
    print(f"{name}: {board.used()} of {board.size} bytes of C stack")
    assert board.used() <= bounds[name][1]
