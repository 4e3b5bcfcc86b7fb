"""A trap is told by the line that it happened on, in C, Rust and Zig, with the functions that were inlined there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mcutool
from mcutool.errors import Trapped
from mcutool.isa import TRAPS
from mcutool.places import EXPLANATIONS, demangled
from mcutool.wasm.debug import Debug, source_lines
from mcutool.wasm.reader import read_module

ROOT = Path(__file__).resolve().parents[2]


def _rustc() -> str:
    """Debian's first: another one in PATH may lack the target."""
    return "/usr/bin/rustc" if Path("/usr/bin/rustc").exists() else "rustc"


SOURCE = """\
__attribute__((noinline)) static int divide(int a, int b) {
    return
        a / b;
}

int ratio(int a) {
    return divide(a, a - 1)
         + 1;
}
"""


@pytest.fixture(params=["-gdwarf-4", "-gdwarf-5"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "ratio.c").write_text(SOURCE, encoding="utf-8")
    command = ["clang", "--target=wasm32", request.param, "-O1", "-nostdlib", "-Wl,--no-entry", "-Wl,--export=ratio"]
    subprocess.run([*command, "ratio.c", "-o", "ratio.wasm"], cwd=tmp_path, check=True)
    return tmp_path / "ratio.wasm"


def test_a_backtrace_names_lines(program: Path) -> None:
    command = [sys.executable, "-m", "mcutool", "run", "--json", str(program), "--invoke", "ratio", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    trap = json.loads(done.stdout.splitlines()[-1])["trap"]
    assert done.returncode == 134 and trap["source"] == "ratio.c:3"
    assert [(frame["function"], frame["source"]) for frame in trap["backtrace"]] == [
        ("divide", "ratio.c:3"), ("ratio", "ratio.c:7"),
    ]  # fmt: skip
    assert "in ratio at ratio.c:7 (at byte offset" in done.stderr or done.stderr == ""


@pytest.mark.parametrize("section", [".debug_line", ".debug_info", ".debug_abbrev", ".debug_str"])
def test_damaged_debug_information_is_ignored(program: Path, section: str) -> None:
    module = read_module(program.read_bytes())
    (division,) = [step.offset for function in module.functions for step in function.body if "div" in step.opcode.name]
    assert Debug(source_lines(module)).calls(division) == [(None, "ratio.c:3")]
    for index in range(len(module.customs)):
        name, data, offset = module.customs[index]
        if name == section:
            for cut in range(0, len(data), 7):
                for end in (b"", b"\xff" * (len(data) - cut), bytes(len(data) - cut)):
                    module.customs[index] = (name, data[:cut] + end, offset)
                    assert Debug(source_lines(module)).calls(division)[-1][0] is None


# What each of these is compiled with, and the frames of ratio(1): name, line, whether it was inlined.
SOURCES = {
    "x.c": """\
static inline int divide(int a, int b) {
    return a / b;
}
static inline int middle(int a) {
    return 1 + divide(a, a - 1);
}
int ratio(int a) { return 2 * middle(a); }
""",
    "x.rs": """\
#![no_std]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { core::arch::wasm32::unreachable() }
#[inline(always)]
fn pick(items: &[i32], index: usize) -> i32 {
    items[index]
}
#[no_mangle]
pub extern "C" fn ratio(a: usize) -> i32 {
    pick(&[1, 2, 3], a + 3)
}
""",
    "x.zig": """\
fn divide(a: i32, b: i32) i32 {
    return @divTrunc(a, b);
}
export fn ratio(a: i32) i32 {
    return divide(a, a - 1);
}
""",
}
CLANG = ("clang", "--target=wasm32", "-g", "-nostdlib", "-Wl,--no-entry", "-Wl,--export=ratio", "x.c", "-o", "x.wasm")
RUSTC = (_rustc(), "-g", "--target=wasm32-wasi", "--crate-type=cdylib", "x.rs", "-o", "x.wasm")
ZIG = (
    sys.executable, "-m", "ziglang", "build-exe", "-target", "wasm32-freestanding", "-fno-entry", "--export=ratio",
    "-fno-strip", "x.zig", "-femit-bin=x.wasm",
)  # fmt: skip
CALLS = [("divide", "x.c:2", False), ("middle", "x.c:5", False), ("ratio", "x.c:7", False)]
INLINED = [("divide", "x.c:2", True), ("middle", "x.c:5", True), ("ratio", "x.c:7", False)]
PICKED = [("pick", "x.rs:6", True), ("ratio", "x.rs:10", False)]


@pytest.mark.parametrize(
    ("command", "kind", "last_frames"),
    [
        ((*CLANG, "-O0"), "divide_by_zero", CALLS),
        ((*CLANG, "-O2"), "divide_by_zero", INLINED),
        ((*CLANG, "-O2", "-gdwarf-5"), "divide_by_zero", INLINED),
        ((*RUSTC, "-C", "opt-level=0"), "unreachable", PICKED),
        ((*RUSTC, "-C", "opt-level=2"), "unreachable", PICKED),
        ((*ZIG, "-O", "Debug"), "unreachable", [("x.divide", "x.zig:2", False), ("x.ratio", "x.zig:5", False)]),
        ((*ZIG, "-O", "ReleaseSmall"), "divide_by_zero", [("divide", "x.zig:2", True), ("x.ratio", "x.zig:5", False)]),
    ],
    ids=["clang -O0", "clang -O2", "clang -O2 -gdwarf-5", "rustc", "rustc -O", "zig", "zig small"],
)
def test_frames_have_names_and_lines(
    command: tuple[str, ...], kind: str, last_frames: list[tuple[str, str, bool]], tmp_path: Path
) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run(command, cwd=tmp_path, check=True)
    with mcutool.open_board("mps2-an386") as board:
        board.install(tmp_path / "x.wasm")
        with pytest.raises(Trapped):
            board.call("ratio", 1)
        assert board.trap is not None and board.trap["kind"] == kind
        frames = [(frame["function"], frame["source"], "inlined" in frame) for frame in board.trap["backtrace"]]
    assert frames[-len(last_frames) :] == last_frames


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("_ZN1a4main17h431b03184827a291E", "a::main"),
        (
            "_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17ha5acb4f459faceeaE.llvm.314",
            "std::rt::lang_start::{{closure}}",
        ),
        ("_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$7reserve17h27c29cea2d33d984E", "alloc::raw_vec::RawVec<T,A>::reserve"),
        ("main", "main"),
        ("_ZN4vec9push_backEi", "_ZN4vec9push_backEi"),
    ],
)
def test_names_of_rust_are_readable(name: str, readable: str) -> None:
    assert demangled(name) == readable


def test_every_trap_that_a_program_can_cause_is_explained() -> None:
    never_the_programs_fault = {"none", "exit", "stopped", "exceptions_exhausted"}
    assert EXPLANATIONS.keys() == {trap.name for trap in TRAPS} - never_the_programs_fault
