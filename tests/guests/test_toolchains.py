"""Hello world of each guest toolchain, untuned: it runs, or the message names the flag that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
import running
from toolchains import TOOLCHAINS, Toolchain

ROOMY = ("mps2-an386", "stm32f405")
SMALL = "microbit"
ADVICE = ("--stack", "--heap", "--memory", "stack-size", "-Os", "-O ReleaseSmall", "opt-level")


@pytest.fixture(scope="module", params=TOOLCHAINS, ids=lambda toolchain: toolchain.name)
def hello(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    toolchain: Toolchain = request.param
    if toolchain.missing():
        pytest.skip(f"{toolchain.name} is not installed: {toolchain.install}")
    return toolchain.build(tmp_path_factory.mktemp(toolchain.name))


@pytest.mark.parametrize("board", ROOMY)
def test_hello_runs(hello: Path, board: str) -> None:
    assert running.on_board(hello, board).output == "Hello, world!\n"


def test_hello_runs_or_is_refused_with_advice(hello: Path) -> None:
    completed, record = running.run(hello, SMALL)
    assert record is not None, completed.stderr
    if record["error"] is None and record["trap"] is None:
        assert completed.stdout.startswith("Hello, world!\n")
    else:
        advice = f"{record['error']} {record['trap']}"
        assert any(flag in advice for flag in ADVICE), advice
