"""Files damaged and boards confused at random: whatever is wrong, a command says so or does its work.

Never an internal error, never a long silence. The seed is fixed; another one, and more cases, by the environment:
MCUTOOL_SEED, MCUTOOL_CASES.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from situations import BOARD, NEW, ROOT, Babbler, Cable, elf, saying, uf2, wasm

from mcutool import devices
from mcutool.cli import main
from mcutool.image.containers import to_intel_hex
from mcutool.image.format import contain

SEED = int(os.environ.get("MCUTOOL_SEED", "4"))
CASES = int(os.environ.get("MCUTOOL_CASES", "30"))  # of each row
LONGEST = 20  # seconds
CONTAINER, HASH = 32, 40  # bytes around an image's payload

EVERYTHING = """(module (type $t (func (param i32) (result i32))) (tag $x (param i32))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "m") 1 2) (data (i32.const 5) "abc") (data $p "xyz") (global $g (export "g") (mut i32) (i32.const 5))
  (table 3 funcref) (elem (i32.const 0) $a $b)
  (func $a (param i32) (result i32) (local i64 f64)
    (loop (result i32) (br_if 0 (local.get 0)) (call_indirect (type $t) (local.get 0) (i32.const 1))))
  (func $b (param i32) (result i32)
    (memory.init $p (i32.const 0) (i32.const 0) (i32.const 1)) (block (br_table 0 0 (local.get 0)))
    (drop (f32.convert_i32_s (local.get 0))) (return_call $a (i32.const 1)))
  (func (export "_start") (call $exit (i32.const 0))))"""
SCRIPT = b"""(module (func (export "f") (result i32) (i32.const 1)))
(assert_return (invoke "f") (i32.const 2)) (register "a") (assert_trap (invoke "g" (f32.const nan:canonical)) "x")
(assert_malformed (module quote "a" "\\00") "b")"""
CHIP = f"--board {BOARD.name}"

ROWS = {  # what is damaged, by what it is called, and what is done with it
    "x.wasm": (wasm(EVERYTHING), ["build x.wasm", f"info x.wasm {CHIP}", "disasm x.wasm"]),
    "x.wat": (saying(NEW).encode(), ["build x.wat"]),
    "x.mcu": (b"", ["info x.mcu", f"flash x.mcu {CHIP} --dry-run"]),
    "tampered.mcu": (b"", ["info tampered.mcu", "disasm tampered.mcu", "run tampered.mcu --fuel 100000"]),
    "x.map.json": (b"", ["disasm x.mcu", f"run x.mcu {CHIP} --fuel 100000"]),
    "x.hex": (to_intel_hex([(BOARD.chip.flash.base, bytes(range(100)))]), [f"flash x.hex {CHIP} --dry-run"]),
    "x.uf2": (uf2(BOARD.chip.flash.base, 0), [f"flash x.uf2 {CHIP} --dry-run"]),
    "x.elf": (elf(40), [f"flash x.elf {CHIP} --dry-run"]),
    "x.wast": (SCRIPT, ["wast x.wast"]),
    "pyproject.toml": (b'[tool.mcutool]\nboard = "stm32f405"\nbaud = 9600\n', ["build x.wat"]),
}


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def give_up(*_arguments: object) -> None:
        raise TimeoutError(f"no answer after {LONGEST} seconds")

    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, give_up)
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def damaged(data: bytes, dice: random.Random) -> bytes:
    """The data with up to three things done to it."""
    result = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(result) + 1)
        kind = dice.randrange(6)
        if kind == 0:
            del result[at:]
        elif kind == 1:
            del result[at : at + dice.randrange(1, 9)]
        elif kind == 2:
            result[at:at] = dice.randbytes(dice.randrange(1, 5))
        elif kind == 3:
            result[at:at] = result[dice.randrange(len(result) + 1) :][: dice.randrange(1, 30)]
        elif at < len(result):
            result[at] = result[at] ^ 1 << dice.randrange(8) if kind == 4 else dice.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(result)


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_file_is_told_or_does(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, commands = ROWS[name]
    dice = random.Random(f"{SEED} {name}")
    Path("x.wat").write_text(saying(NEW), encoding="utf-8")
    assert main(f"build x.wat {CHIP}".split()) == 0
    image = Path("x.mcu").read_bytes()
    sound = {"x.mcu": image, "tampered.mcu": image[CONTAINER:-HASH], "x.map.json": Path("x.map.json").read_bytes()}
    for _ in range(CASES):
        spoilt = damaged(sound.get(name, data), dice)
        Path(name).write_bytes(contain(spoilt) if name == "tampered.mcu" else spoilt)
        command = dice.choice(commands)
        capfd.readouterr()
        signal.alarm(LONGEST)
        code = main(command.split())
        signal.alarm(0)
        err = capfd.readouterr().err
        assert code != 1 and "Traceback" not in err, f"{command} with {spoilt!r}: {err}"
        assert code in (0, 10, 124, 134) or err.startswith("mcutool: ")


ASKED = [
    f"flash x.wat {CHIP} --port babbler",
    "flash x.wat --port babbler",
    f"run x.wat {CHIP} --port babbler",
    f"run x.wat {CHIP} --port babbler --timeout 1",
    "monitor --port babbler --reset --timeout 1",
]


@pytest.mark.parametrize("command", ASKED)
def test_a_board_that_says_anything_is_told(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(f"{SEED} {command}")
    Path("x.wat").write_text(saying(NEW), encoding="utf-8")
    for _ in range(CASES):
        cable = Cable(Babbler(dice))
        monkeypatch.setattr("mcutool.flash.link.SerialLink", lambda *_, cable=cable, **_how: cable)
        monkeypatch.setattr("mcutool.run.SerialLink", lambda *_, cable=cable, **_how: cable)
        signal.alarm(LONGEST)
        code = main(command.split())
        signal.alarm(0)
        err = capfd.readouterr().err
        assert code != 1 and "Traceback" not in err, err


DESCRIPTIONS = [
    f"targets/cores/{BOARD.chip.core.name}.toml",
    f"targets/chips/{BOARD.chip.name}.toml",
    next(str(path.relative_to(ROOT)) for path in (ROOT / "boards").glob("*h405.toml")),
]


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_damaged_description_is_told_or_does(
    description: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in DESCRIPTIONS:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes((ROOT / path).read_bytes())
    monkeypatch.setattr(devices, "_ROOT", Path.cwd())
    sound, dice = Path(description).read_bytes(), random.Random(f"{SEED} {description}")
    for _ in range(CASES):
        Path(description).write_bytes(damaged(sound, dice))
        forget_descriptions()
        signal.alarm(LONGEST)
        code = main(["boards"])
        signal.alarm(0)
        err = capfd.readouterr().err
        assert code in (0, 2) and "Traceback" not in err, f"{Path(description).read_bytes()!r}: {err}"
    forget_descriptions()


def forget_descriptions() -> None:
    for read in (devices.core, devices.chip, devices.boards):
        read.cache_clear()
