"""What `build --dump` shows of each stage. MCUTOOL_BLESS=1 writes what it shows now into this file, to be looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcutool.cli import main
from mcutool.cli.build import DUMPS
from mcutool.dumps import ALL, STAGES

ROOT = Path(__file__).resolve().parents[2]
MODULE = """\
(module
  (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (memory 1 2)
  (global $count (mut i32) (i32.const 3))
  (table 2 funcref) (elem (i32.const 0) $double)
  (data (i32.const 16) "abc")
  (func $double (export "double") (param i32) (result i32) (local i64)
    (block (br_if 0 (i32.eqz (local.get 0))) (call $sleep (local.get 0)))
    (i32.add (local.get 0) (local.get 0))))
"""
GOLDEN = """\
; read
type 0 [i32] -> []
type 1 [i32] -> [i32]
import function "mcu" "sleep_ms" [i32] -> []
export function 1 "double"
table funcref 2..
memory 1..2 pages of 65536
global mutable i32 = i32.const 3
element 0 active (ref func) in 0 at i32.const 0: ref.func 1
data 0 active in 0 at i32.const 16: 3 bytes

function 1 double [i32] -> [i32] locals i64
    0x0005a    block [] -> []
    0x0005c      local.get 0
    0x0005e      i32.eqz
    0x0005f      br_if 0
    0x00061      local.get 0
    0x00063      call 0
    0x00065    end
    0x00066    local.get 0
    0x00068    local.get 0
    0x0006a    i32.add
    0x0006b  end

; ir
function double [i32] -> [i32]
b0(v0:i32):
    0x00057  v1:i64 = i64.const 0
    0x0005e  v2:i32 = i32.eqz v0
    0x0005f  br_if v2, b2(), b1()
b1():
    0x00063  call_import 0, v0
    0x00065  br b2()
b2():
    0x0006a  v3:i32 = i32.add v0, v0
    0x0006b  return v3

; optimised
function double [i32] -> [i32]
b0(v0:i32):
    0x0005f  br_if v0, b1(), b2()
b1():
    0x00063  call_import 0, v0
    0x00065  br b2()
b2():
    0x0006a  v3:i32 = i32.add v0, v0
    0x0006b  return v3

; selected
function double [i32] -> [i32]
b0(v0:i32):
    0x0005f  br_if v0, b1(), b2()
b1():
    0x00063  call_host h=0, v0
    0x00065  br b2()
b2():
    0x0006a  v3:i32 = i32.add v0, v0
    0x0006b  return v3

; allocated
function double [i32] -> [i32]
b0(v0@s0:i32):
    0x0005f  br_if v0@s0, b1(), b2()
b1():
    0x00063  call_host h=0, v0@s0
    0x00065  br b2()
b2():
    0x0006a  v3@s0:i32 = i32.add v0@s0, v0@s0
    0x0006b  return v3@s0
    frame of 7 slots

; bytecode
double:
       0  br_unless.short ->4, s0
       1  copy.short s0, s6
       2  call_host s6, import[0]
       4  i32.add.short s0, s0
       5  return

; ir
function instantiate [] -> []
b0():
    0x0003b  v0:i32 = i32.const 3
    0x00000  global.set 0, v0
    0x0004e  v1:i32 = i32.const 0
    0x00000  v2:i32 = i32.const 0
    0x00000  v3:i32 = i32.const 1
    0x00000  table.init 0, 0, v1, v2, v3
    0x00000  elem.drop 0
    0x00070  v4:i32 = i32.const 16
    0x00000  v5:i32 = i32.const 0
    0x00000  v6:i32 = i32.const 3
    0x00000  memory.init 0, 0, v4, v5, v6
    0x00000  data.drop 0
    0x00000  return

; optimised
function instantiate [] -> []
b0():
    0x0003b  v0:i32 = i32.const 3
    0x0004e  v1:i32 = i32.const 0
    0x00000  v3:i32 = i32.const 1
    0x00070  v4:i32 = i32.const 16
    0x00000  global.set 0, v0
    0x00000  table.init 0, 0, v1, v1, v3
    0x00000  elem.drop 0
    0x00000  memory.init 0, 0, v4, v1, v0
    0x00000  data.drop 0
    0x00000  return

; selected
function instantiate [] -> []
b0():
    0x00000  v7:i32 = i32.const i=3
    0x00000  global.set g=0, v7
    0x00000  v8:i32 = i32.const i=0
    0x00000  v9:i32 = i32.const i=1
    0x00000  table.init x=0, t=0, v8, v8, v9
    0x00000  elem.drop x=0
    0x00000  v10:i32 = i32.const i=16
    0x00000  memory.init x=0, v10, v8, v7
    0x00000  data.drop x=0
    0x00000  return

; allocated
function instantiate [] -> []
b0():
    0x00000  v7@s2:i32 = i32.const i=3
    0x00000  global.set g=0, v7@s2
    0x00000  v8@s0:i32 = i32.const i=0
    0x00000  v9@s1:i32 = i32.const i=1
    0x00000  table.init x=0, t=0, v8@s0, v8@s0, v9@s1
    0x00000  elem.drop x=0
    0x00000  v10@s1:i32 = i32.const i=16
    0x00000  memory.init x=0, v10@s1, v8@s0, v7@s2
    0x00000  data.drop x=0
    0x00000  return
    frame of 3 slots

; bytecode
instantiate:
       0  const.short #3, s2
       1  global.set s2, global[0]
       3  const.short #0, s0
       4  const.short #1, s1
       5  table.init s0, s0, s1, #0, table[0]
      10  elem.drop #0
      12  i32.const s1, #16
      14  memory.init s0, s1, s2, #0
      18  data.drop #0
      20  return

; linked
stack_slots=21 global_slots=1 ram=1114236
signatures 0: parameter_slots=1 result_slots=0 text=i>
signatures 1: parameter_slots=1 result_slots=1 text=i>i
signatures 2: parameter_slots=0 result_slots=0 text=>
imports 0: host=51 signature=0 module_name=mcu name=sleep_ms
exports 0: name=double kind=0 module=0 index=1
modules 0: memory=0 instantiate=2 start=65535 flags=0
memories 0: minimum=1 maximum=2 page_log2=16 window_low=0 window_size=65536 capacity=65536 flags=0
tables 0: minimum=2 maximum=4294967295 capacity=262137
datas 0: 3 bytes
elements 0: 2

double: ; function 1, frame of 7 slots
       4  400a                    br_unless.short ->8, s0                      ; 0x5f
       5  0612                    copy.short s0, s6                            ; 0x63
       6  060f 0000               call_host s6, import[0]                      ; 0x63
       8  0023                    i32.add.short s0, s0                         ; 0x6a
       9  0004                    return                                       ; 0x6b

instantiate: ; function 2, frame of 3 slots
      11  3215                    const.short #3, s2                           ; 0x0
      12  0220 0000               global.set s2, global[0]                     ; 0x0
      14  0015                    const.short #0, s0                           ; 0x0
      15  1115                    const.short #1, s1                           ; 0x0
      16  13ff 0000 0001 0000 ... table.init s0, s0, s1, #0, table[0]          ; 0x0
      21  14ff 0000               elem.drop #0                                 ; 0x0
      23  0116 0010               i32.const s1, #16                            ; 0x0
      25  0bff 0001 0002 0000     memory.init s0, s1, s2, #0                   ; 0x0
      29  0cff 0000               data.drop #0                                 ; 0x0
      31  0004                    return                                       ; 0x0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.wat").write_text(MODULE, encoding="utf-8")
    return tmp_path / "app.wat"


def dumped(stage: str, file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["build", str(file), "-o", "app.mcu", "--dump", stage]) == 0
    return capsys.readouterr().out.partition("\napp.mcu on ")[0]


def test_all_stages_look_like_this(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = dumped(ALL, module, capsys)
    if os.environ.get("MCUTOOL_BLESS"):
        here = Path(__file__)
        before, _, rest = here.read_text(encoding="utf-8").partition('GOLDEN = """\\\n')
        here.write_text(f'{before}GOLDEN = """\\\n{shown}{rest[rest.index(chr(34) * 3):]}', encoding="utf-8")
        pytest.skip("blessed: look at the difference")
    assert shown == GOLDEN


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_shown_alone_and_is_stable(stage: str, module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = dumped(stage, module, capsys)
    assert shown == dumped(stage, module, capsys)
    assert set(shown.splitlines()) <= set(GOLDEN.splitlines())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.wasm")), ids=lambda path: path.stem)
def test_every_example_can_be_shown(
    stage: str, example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(dumped(stage, example, capsys).splitlines()) > 10


def test_the_help_names_the_stages() -> None:
    assert DUMPS == f"{', '.join(STAGES)}, or {ALL}"


def test_a_stage_that_does_not_exist(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(module), "--dump", "optimized"]) == 2
    said = capsys.readouterr().err
    assert "did you mean optimised?" in said and all(stage in said for stage in STAGES)
