"""What programs usually do, on a board with 128 KB of RAM: formats, heap, input, arguments, clock, errors, exit status.

The flags are those of examples/LANGUAGES.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import running
from toolchains import CLANG, TOOLCHAINS, Toolchain

HERE = Path(__file__).resolve().parent / "usual"
BY_NAME = {toolchain.name: toolchain for toolchain in TOOLCHAINS}
CLANG_CPP = Toolchain(
    "clang++", "", ("clang++", "--target=wasm32-wasi", "-fno-exceptions", "{source}", "-o", "{wasm}"), None
)
SMALL_STACK = ("-Os", "-Wl,-z,stack-size=4096")

# Toolchain, its flags, options of `mcutool run`, what is printed on standard output, and the status.
PROGRAMS = [
    (CLANG, SMALL_STACK, (), """\
-3  1.41 0.1 2.202647e+04 0x1p-1 1099511627776 ff last
[a] [b] [c] allocated 31 2.5
slept Fri Jan  2 00:00:00 1970
value: O
value: O
Capabilities insufficient
goodbye
""", 42),
    (CLANG_CPP, ("-Os", "-Wl,-z,stack-size=8192"), (), """\
constructed before main 12.5664 6
one=3
""", 3),
    (BY_NAME["rustc"], ("-Copt-level=z", "-Clto", "-Cpanic=abort"), ("--seed", "1"), """\
3.142 0.1 1.2345678e4 0xff
328350 true
{"one": 2} Ok("value")
["first", "last"]
true true
""", 45),
    (BY_NAME["zig"], ("-O", "ReleaseSmall"), (), """\
ff 101 12.566 117649 2.25
error: Deliberate
""", 1),
    (BY_NAME["assemblyscript"], ("-O",), (), """\
one;three;five 5
1,2,3 5.0 true
""", 0),
]  # fmt: skip
SOURCES = {"clang": "c", "clang++": "cpp", "rustc": "rs", "zig": "zig", "assemblyscript": "ts"}


@pytest.mark.parametrize(
    ("toolchain", "flags", "options", "output", "status"), PROGRAMS, ids=[row[0].name for row in PROGRAMS]
)
def test_it_works_with_the_flags_of_the_page(
    toolchain: Toolchain, flags: tuple[str, ...], options: tuple[str, ...], output: str, status: int, tmp_path: Path
) -> None:
    wasm = toolchain.compile(HERE / f"usual.{SOURCES[toolchain.name]}", tmp_path / "usual.wasm", *flags)
    command = [sys.executable, "-m", "mcutool", "run", "--board", "stm32f405", "--timeout", "60", "--env", "KEY=value"]
    words = [*command, *options, str(wasm), "--", "first", "last"]
    done = subprocess.run(words, input="one\none\n", capture_output=True, text=True, cwd=running.ROOT)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", status)


ENDLESS = "int f(int n) { volatile char b[99]; b[0] = n; return n ? f(n - 1) + b[0] : 0; }"
FAILURES = {
    "assert": ("#include <assert.h>\nint main(void) { assert(2 > 3); }", "Assertion failed: 2 > 3"),
    "long double": ('#include <stdio.h>\nint main(void) { printf("%Lf", 1.0L); }', "add -lc-printscan-long-double"),
    "abort": ("#include <stdlib.h>\nint main(void) { abort(); }", "in abort at "),
    "random": (
        "#include <stdlib.h>\n#include <unistd.h>\nint main(void) { char b[4]; if (getentropy(b, 4)) abort(); }",
        "no noise source for random numbers; --seed N",
    ),
    "division": ("int main(int n, char **v) { return 1 / (n - 1); }", "trap: integer divide by zero"),
    "recursion": (ENDLESS + "\nint main(void) { return f(9999); }", "a stack that overflowed"),
}


@pytest.mark.parametrize(("source", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failure_explains_itself(source: str, message: str, tmp_path: Path) -> None:
    """On the board as on a PC; -O0, so that a division that cannot be done stays."""
    (tmp_path / "f.c").write_text(source)
    wasm = CLANG.compile(tmp_path / "f.c", tmp_path / "f.wasm", "-Wl,-z,stack-size=4096")
    done = running.as_a_person(wasm, "stm32f405")
    assert done.returncode == 134 and message in done.stdout + done.stderr


def test_a_feature_that_boards_lack_is_named_with_its_flag(tmp_path: Path) -> None:
    (tmp_path / "f.c").write_text("int v[64];\nint main(void) { for (int i = 0; i < 64; i++) v[i] += 7; return v[5]; }")
    wasm = CLANG.compile(tmp_path / "f.c", tmp_path / "f.wasm", "-O3", "-msimd128")
    done = running.as_a_person(wasm, "stm32f405")
    assert done.returncode == 14 and "not supported: SIMD" in done.stderr and "leave out -msimd128" in done.stderr
