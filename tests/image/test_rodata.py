"""Read-only data in flash: every load finds them where it would in RAM, a store traps, and RAM is saved."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcutool import devices, rodata, run
from mcutool.emulator.session import EmulatedSession
from mcutool.errors import UsageError
from mcutool.image.format import EXPORT_KINDS, parse
from mcutool.isa import TRAP_NUMBERS
from mcutool.pipeline import Built, build_image, load
from mcutool.places import render_trap
from mcutool.wasm.module import Module
from mcutool.wasm.text import assemble
from tests.pc import PcMachine

BOARD = devices.board("mps2-an386")
BEGIN, SIZE = 80_003, 100
LOW = BEGIN + SIZE & -16  # the last bytes of the data are in RAM
CONTENT = "".join(f"\\{(37 * n + 129) % 256:02x}" for n in range(SIZE))
LOADS = {
    f"{type_}.{name}": size
    for type_, names in {
        "i32": {"load": 4, "load8_s": 1, "load8_u": 1, "load16_s": 2, "load16_u": 2},
        "i64": {"load": 8, "load32_s": 4, "load8_u": 1, "load16_s": 2},
        "f32": {"load": 4},
        "f64": {"load": 8},
    }.items()
    for name, size in names.items()
}
OFFSETS = (0, 300, 70_000)  # an end of eight, sixteen and more bits


def function(name: str, offset: int) -> str:
    """A load as i64 of its bits; the address comes without the offset."""
    load_ = f"({name} offset={offset} (local.get 0))"
    type_ = name[:3]
    value = {"i32": "(i64.extend_i32_u {})", "f32": "(i64.extend_i32_u (i32.reinterpret_f32 {}))", "i64": "{}",
             "f64": "(i64.reinterpret_f64 {})"}[type_].format(load_)  # fmt: skip
    return f'(func (export "{name} {offset}") (param i32) (result i64) {value})'


MODULE = f"""(module (memory 3)
  (data (i32.const {BEGIN}) "{CONTENT}") (data (i32.const {LOW + 32}) "variable")
  {" ".join(function(name, offset) for name in LOADS for offset in OFFSETS)}
  (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
  (func (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 1) (i32.const 2)))
  (func (export "copy") (param i32) (result i64) (memory.copy (i32.const 90000) (local.get 0) (i32.const 5))
    (i64.load (i32.const 90000))))"""


class Program:
    """The module on the interpreter on this PC, under sanitizers, with its read-only data in RAM or in flash."""

    def __init__(self, where: str, folder: Path) -> None:
        image = build_image(assemble(MODULE), BOARD, rodata=where).image
        parsed = parse(image)
        self._exports = {r["name"]: r["index"] for r in parsed.exports if r["kind"] == EXPORT_KINDS.index("function")}
        self.memory = parsed.memories[0]
        folder.mkdir()
        self._machine = PcMachine(image, folder)
        assert self._machine.call(parsed.modules[0]["instantiate"], [], 0)[0] == "ok"

    def call(self, name: str, address: int) -> tuple[str, list[int]]:
        results = 0 if name in ("store", "fill") else 2
        return self._machine.call(self._exports[name], [address & 0xFFFFFFFF], results)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Program]:
    folder = tmp_path_factory.mktemp("rodata")
    return Program("ram", folder / "ram"), Program("flash", folder / "flash")


def trap(kind: str) -> tuple[str, list[int]]:
    return "trap", [TRAP_NUMBERS[kind], 0]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("name", LOADS)
def test_a_load_finds_the_same(name: str, offset: int, programs: tuple[Program, Program]) -> None:
    """From the first byte in flash across the edge of RAM."""
    ram, flash = programs
    for address in range(BEGIN, LOW + 12):
        asked = f"{name} {offset}", address - offset
        assert flash.call(*asked) == ram.call(*asked), address


def test_beside_them_nothing_is_backed(programs: tuple[Program, Program]) -> None:
    _, flash = programs
    assert flash.memory["window_low"] == LOW
    assert flash.call("i32.load8_u 0", BEGIN - 1) == trap("not_backed")
    assert flash.call("i64.load 0", BEGIN - 1)[0] == "trap"
    assert flash.call("i64.load 0", 0xFFFFFFF8) == trap("memory_out_of_bounds")


def test_a_store_traps(programs: tuple[Program, Program]) -> None:
    _, flash = programs
    assert flash.call("store", BEGIN) == flash.call("store", LOW - 9) == trap("read_only")
    assert flash.call("fill", BEGIN) == flash.call("fill", LOW - 2) == trap("read_only")
    assert flash.call("store", BEGIN - 2) == trap("not_backed")
    assert flash.call("store", LOW + 200) == ("ok", [])


def test_memory_is_copied_from_flash(programs: tuple[Program, Program]) -> None:
    ram, flash = programs
    for address in (BEGIN, LOW - 5, LOW):
        assert flash.call("copy", address) == ram.call("copy", address)
    assert flash.call("copy", BEGIN - 1) == trap("not_backed")


# Programs of clang's, on boards (emulated) --------------------------------------------------------------------------

TABLES = """#include <stdio.h>
#include <string.h>
static const char *const words[] = {"flash", "ram", "read-only data that stay where they are"};
static const unsigned table[512] = {1, 2, 3, [500] = 7};
static unsigned counts[16];
int main(void) {
    volatile int two = 2;
    unsigned sum = 0;
    char copy[64];
    for (int i = 0; i < 512; i++) { sum = sum * 31 + table[i]; counts[table[i] & 15]++; }
    strcpy(copy, words[two]);
    puts(copy); puts(words[0]);
    printf("%u %u\\n", sum, counts[7]);
    if (STORE) { *(volatile unsigned *)&table[two] = 1; }
    return 0;
}"""


def compiled(folder: Path, *flags: str) -> Path:
    source, wasm = folder / "tables.c", folder / "tables.wasm"
    source.write_text(TABLES)
    command = ["/usr/bin/clang", "--target=wasm32-wasi", "-Os", "-Wl,-z,stack-size=2048"]
    command += [*(flags or ["-DSTORE=0"]), source, "-o", wasm]
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin"})
    return wasm


def played(built: Built, board: devices.Board) -> tuple[run.Outcome, bytes]:
    output = bytearray()
    session = EmulatedSession(board, output.extend)
    return run.run(session, built, board, run.Task(), None), bytes(output)


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an385", "microbit"])
def test_a_program_says_the_same(name: str, tmp_path: Path) -> None:
    board, wasm = devices.board(name), compiled(tmp_path)
    ram, flash = (build_image(wasm, board, rodata=where) for where in ("ram", "flash"))
    saved = flash.report["flash_bytes"]["read_only"]
    assert saved > 2048 and ram.report["flash_bytes"]["read_only"] == 0
    if name != "microbit":  # where the window takes all that there is
        assert ram.report["ram"]["linear_memory"] - flash.report["ram"]["linear_memory"] >= saved
    outcome, output = played(flash, board)
    assert outcome.exit_code == 0 and output.startswith(b"read-only data that stay")
    assert (outcome.exit_code, output) == (0, played(ram, board)[1])


def test_the_trap_names_the_option(tmp_path: Path) -> None:
    outcome, _ = played(build_image(compiled(tmp_path, "-DSTORE=1"), BOARD, rodata="flash"), BOARD)
    assert outcome.trap is not None and outcome.trap["kind"] == "read_only"
    assert "--rodata flash" in render_trap(outcome.trap)


def test_a_stack_below_them_moves_when_its_size_is_known(tmp_path: Path) -> None:
    built = build_image(
        compiled(tmp_path, "-Wl,--stack-first", "-Wl,--export=__heap_base", "-DSTORE=0"), BOARD, rodata="flash"
    )
    assert built.report["flash_bytes"]["read_only"] > 2048
    assert played(built, BOARD)[1].startswith(b"read-only data that stay")


def test_memory_ends_where_it_is_declared_to_end_when_the_stack_takes_nothing() -> None:
    wasm = assemble("""(module (memory 1) (global (mut i32) (i32.const 1024))
        (data (i32.const 1024) "01234567890123456789") (func (result i32) (i32.load (i32.const 65532))))""")
    (memory,) = parse(build_image(wasm, BOARD, rodata="flash").image).memories
    assert memory["window_low"] + memory["window_size"] == 65536


def test_a_stack_below_them_stays_where_malloc_is() -> None:
    wasm = assemble("""(module (memory 1) (global (mut i32) (i32.const 1024))
        (data (i32.const 1024) "01234567890123456789") (func (export "f") (drop (memory.grow (i32.const 1)))))""")
    with pytest.raises(UsageError, match="malloc works above"):
        build_image(wasm, BOARD, rodata="flash")


def test_the_names_of_segments_are_read() -> None:
    names = b"\x09" + bytes([17]) + b"\x02\x00\x07.rodata\x01\x05.data"
    module = load(
        assemble('(module (memory 1) (data (i32.const 8) "0123456789012345678901") (data (i32.const 64) "x"))')
    )
    module.customs.append(("name", names, 0))
    assert rodata.data_names(module) == {0: ".rodata", 1: ".data"}
    found = rodata.find(module)
    assert found is not None and (found.segment, found.low) == (0, 16)
    assert [data.bytes for data in found.module.datas] == [b"01234567", b"x", b"89012345678901"]
    module.customs[-1] = ("name", names[:9], 0)
    assert rodata.data_names(module) == {}


def test_nothing_to_find() -> None:
    assert rodata.find(Module()) is None
    assert rodata.find(load(assemble('(module (memory 1) (data (i32.const 1) "short"))'))) is None
