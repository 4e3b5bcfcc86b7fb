"""`mcutool info`: what it says before anything is flashed is what the board then tells, on three boards (emulated)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool import devices, program, run
from mcutool.cli import main
from mcutool.emulator.session import EmulatedSession
from mcutool.errors import DoesNotFit
from mcutool.fit import SMALLEST_FRAMES
from mcutool.flash.protocols import smp
from tests.bench.measure import PROGRAMS, compile_wasm

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.wasm"))
BOARDS = ("mps2-an386", "stm32f405", "microbit")
WHOLE_PAGE = {"fir", "sort", "list", "lz", "fixed", "distance", "huffman", "switch"}
"""Benchmarks without a stack pointer: nobody knows where their data end, so all of their page is asked for."""
Board = tuple[devices.Board, EmulatedSession]


@pytest.fixture(scope="module", params=BOARDS)
def session(request: pytest.FixtureRequest) -> Iterator[Board]:
    board = devices.board(request.param)
    yield board, EmulatedSession(board, lambda text: None)


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bench")
    return [compile_wasm(program, "O2", folder) for program in PROGRAMS.values()]


def check(board: devices.Board, session: EmulatedSession, wasm: Path, task: run.Task) -> None:
    """The report against what the board says after a run."""
    built = program.load(wasm, board)
    report = built.report
    assert report["fits"] and report["flash_bytes"]["image"] == len(built.image)
    outcome = run.run(session, built, board, task, None)
    assert outcome.trap is None and outcome.error is None, (wasm.name, outcome.trap, outcome.error)
    status = session.client.read(smp.RUNTIME, smp.RUNTIME_STATUS)
    parts = dict(report["ram"])
    assert parts.pop("total") == sum(parts.values()) == status["arena_used"]
    bounds = {row["function"]: row["bytes"] for row in report["frames"]}
    used = 4 * status["stack"]
    assert used == outcome.stack <= report["ram"]["frame_stack"]
    if None not in bounds.values():
        assert used <= max(bounds["instantiate"], bounds[task.invoke or "_start"])
        assert max(SMALLEST_FRAMES, *bounds.values()) == report["ram"]["frame_stack"]


@pytest.mark.parametrize("wasm", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_takes_what_is_said(session: Board, wasm: Path) -> None:
    check(*session, wasm, run.Task())


def test_a_benchmark_takes_what_is_said(session: Board, benchmarks: list[Path]) -> None:
    refused = []
    for wasm in benchmarks:
        try:
            check(*session, wasm, run.Task(invoke="run", arguments=("1",)))
        except DoesNotFit:
            refused.append(wasm.stem)
    assert set(refused) == (WHOLE_PAGE if session[0].name == "microbit" else set())


def info(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["info", *words])
    return code, capsys.readouterr().out


def test_the_image_is_as_large_as_the_report_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "sha256.mcu"
    assert main(["build", str(EXAMPLES[-1]), "-o", str(image), "--board", "microbit"]) == 0
    capsys.readouterr()
    said = [json.loads(info(capsys, str(file), "--board", "microbit", "--json")[1]) for file in (EXAMPLES[-1], image)]
    assert [report["flash_bytes"]["image"] for report in said] == [image.stat().st_size] * 2
    assert said[0]["frames"] == said[1]["frames"] and said[0]["ram"] == said[1]["ram"]


def test_a_report_ends_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = info(capsys, str(EXAMPLES[-1]), "--board", "stm32f405")
    assert code == 0 and out.splitlines()[-1].startswith("fits: ")
    assert "digest_word > " in out and "wasi_snapshot_preview1  " in out


def test_what_does_not_fit_says_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "large.wat"
    module.write_text('(module (memory 3) (func (export "f")))')
    code, out = info(capsys, str(module), "--board", "microbit")
    assert code == DoesNotFit.exit_code
    needed = json.loads(info(capsys, str(module), "--board", "microbit", "--json")[1])
    short = needed["ram"]["total"] - needed["arena"]
    assert needed["short"] == {"flash": 0, "ram": short} and short > 3 * 65536 - 16384
    assert out.splitlines()[-1].startswith(f"does not fit: {short:,} bytes of RAM are missing; ")


def test_a_recursion_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "fib.wat"
    module.write_text("""(module (func $fib (export "fib") (param i32) (result i32)
        (i32.add (call $fib (local.get 0)) (call $fib (local.get 0)))))""")
    assert "recursive  fib > fib" in info(capsys, str(module))[1]
