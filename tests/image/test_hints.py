"""The table of hints: each row shows where its cause is, disappears with the flag that it names, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.hints import HINTS, TOOLCHAINS, toolchain_of
from mcutool.pipeline import build_image, load
from mcutool.wasm.module import Module
from mcutool.wasm.text import assemble

BOARD = devices.board("microbit")
PRINTF = """#include <stdio.h>
int main(int argc, char **argv) { printf("%d\\n", argc); return 0; }"""
LIBRARY = """int table[100] = {1, 2, 3}; static char scratch[200];
__attribute__((noinline)) static int spare(int n) {
    for (int i = 0; i < 100; i++) {
        table[i] = table[(i * 7) % 100] * n + (table[i] ^ n) / (n | 1);
        scratch[i] = (char)(table[i] >> 3 ^ scratch[(i * 3) % 200] << 2) + (char)(table[99 - i] % (i | 5));
    }
    return table[n % 100];
}
__attribute__((export_name("other"))) int other(int n) { return spare(n) + spare(n + 1); }
__attribute__((export_name("_start"))) void start(void) {
    volatile char buffer[200];
    for (int i = 0; i < 200; i++) { buffer[i] = scratch[i]; }
    scratch[7] = buffer[5];
    table[1] = table[2];
}
"""
BARE = ("--target=wasm32", "-Os", "-nostdlib", "-ffreestanding", "-Wl,--no-entry")
WASI = ("--target=wasm32-wasi", "-Os")

# row -> source, flags that bring its cause about, flags that mend it
ROWS = {
    "stack": (LIBRARY, BARE, ("-Wl,-z,stack-size=256",)),
    "data address": (LIBRARY, (*BARE, "-Wl,--stack-first"), ("-Wl,-z,stack-size=256",)),
    "pages": (LIBRARY, (*BARE, "-Wl,--initial-memory=262144"), None),
    "optimise": (LIBRARY, (*BARE, "-O0"), ("-Os", "-flto")),
    "exports": (LIBRARY, BARE, None),
    "printf": (PRINTF, WASI, ("-lc-printscan-no-floating-point",)),
    "debug": (LIBRARY, (*BARE, "-g"), ("-g0",)),
}


def compiled(folder: Path, source: str, *flags: str) -> bytes:
    path = folder / "program.c"
    path.write_text(source)
    wasm = folder / "program.wasm"
    subprocess.run(["/usr/bin/clang", path, *flags, "-o", wasm], check=True, env={"PATH": "/usr/bin:/bin"})
    return wasm.read_bytes()


def hints(wasm: bytes) -> dict[str, dict]:
    """The hints of a report by their names."""
    return {hint["name"]: hint for hint in build_image(wasm, BOARD, refuse=False).report["hints"]}


@pytest.mark.parametrize("name", ROWS)
def test_clangs_flag_takes_the_cause_away(name: str, tmp_path: Path) -> None:
    source, flags, mended = ROWS[name]
    found = hints(compiled(tmp_path, source, *flags))
    assert name in found, found
    if mended is None:  # to be left out
        assert found[name]["flag"].startswith("leave out")
        source = source.replace('__attribute__((export_name("other")))', "static")
        flags, mended = BARE, ()
    elif name != "debug":
        assert found[name]["flag"] == " ".join(mended)
    assert name not in hints(compiled(tmp_path, source, *flags, *mended))


def test_the_advice_against_printf_is_worth_it(tmp_path: Path) -> None:
    source, flags, mended = ROWS["printf"]
    sizes = [len(build_image(compiled(tmp_path, source, *flags, *more), BOARD, refuse=False).image)
             for more in ((), mended)]  # fmt: skip
    assert sizes[1] < sizes[0] - 4000


def test_a_stack_above_the_data_that_nobody_bounds_is_named() -> None:
    wasm = assemble("""(module (memory 2) (global $sp (mut i32) (i32.const 66576)) (data (i32.const 1024) "x")
        (func $f (export "_start") (global.set $sp (i32.sub (global.get $sp) (i32.const 16))) (call $f)
          (global.set $sp (i32.add (global.get $sp) (i32.const 16)))))""")
    found = hints(wasm)
    assert "--stack-first" in found["order"]["flag"] and "(clang)" in found["order"]["flag"]
    assert "stack-size=4096" in found["stack"]["flag"]


def test_a_heap_that_ram_does_not_back_is_named() -> None:
    wasm = assemble("""(module (memory 1) (global (mut i32) (i32.const 2048)) (data (i32.const 2048) "x")
        (func (export "_start") (drop (memory.grow (i32.const 1)))))""")
    assert "--heap" in hints(wasm)["page"]["flag"]
    assert "page" not in hints(wasm.replace(b"\x40\x00\x1a", b"\x1a\x01\x01"))


def test_the_examples_need_no_hint() -> None:
    for wasm in (Path(__file__).resolve().parents[2] / "examples").glob("*.wasm"):
        report = build_image(wasm, devices.board("stm32f405")).report
        assert {hint["name"] for hint in report["hints"]} <= {"exports"}, wasm


def test_every_row_is_tested() -> None:
    assert {hint.name for hint in HINTS} == ROWS.keys() | {"order", "page"}
    assert all(hint.flags.keys() <= {"", *TOOLCHAINS} for hint in HINTS)


def custom(*fields: tuple[str, list[str]]) -> bytes:
    """A section `producers`; all strings are short."""

    def text(word: str) -> bytes:
        return bytes([len(word)]) + word.encode()

    values = [text(name) + bytes([len(words)]) + b"".join(text(w) + text("1") for w in words) for name, words in fields]
    return bytes([len(fields)]) + b"".join(values)


@pytest.mark.parametrize(
    ("section", "toolchain"),
    [
        (custom(("language", ["C11"]), ("processed-by", ["clang"])), "clang"),
        (custom(("language", ["C99"]), ("processed-by", ["Debian clang"])), "clang"),
        (custom(("language", ["C99", "Rust"]), ("processed-by", ["clang", "rustc"])), "rustc"),
        (custom(("language", ["C99"])), "zig"),
        (custom(("language", ["C11"]))[:-3], ""),
        (b"", ""),
    ],
)
def test_the_toolchain_is_read_off_the_module(section: bytes, toolchain: str) -> None:
    assert toolchain_of(Module(customs=[("producers", section, 0)])) == toolchain


def test_assemblyscript_is_known_by_its_imports() -> None:
    module = load(assemble('(module (import "env" "abort" (func (param i32 i32 i32 i32))))'))
    assert toolchain_of(module) == "assemblyscript"
