"""Hello world of each guest toolchain, untuned: it runs, or the message names the flag that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
import running
from toolchains import TOOLCHAINS, Toolchain

from mcutool.errors import DoesNotFit, Trapped

ROOMY = ("mps2-an386", "stm32f405")
SMALL = "microbit"
OPTIONS = ("--stack", "--heap", "--memory")


@pytest.fixture(scope="module", params=TOOLCHAINS, ids=lambda toolchain: toolchain.name)
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    if request.param.missing():
        pytest.skip(f"{request.param.name} is not installed: {request.param.install}")
    return request.param


@pytest.fixture(scope="module")
def hello(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toolchain.build(tmp_path_factory.mktemp(toolchain.name))


@pytest.mark.parametrize("board", ROOMY)
def test_hello_runs(hello: Path, board: str) -> None:
    assert running.on_board(hello, board).output == "Hello, world!\n"


def test_hello_runs_or_is_refused_with_advice(hello: Path) -> None:
    completed = running.as_a_person(hello, SMALL)
    if completed.returncode == 0:
        assert completed.stdout == "Hello, world!\n"
    else:
        assert completed.returncode in (DoesNotFit.exit_code, Trapped.exit_code)
        assert any(option in completed.stderr for option in OPTIONS), completed.stderr


def test_the_advice_is_good(toolchain: Toolchain, tmp_path: Path) -> None:
    if toolchain.small is None:
        pytest.skip(f"{toolchain.name}: its library's data alone is larger than the board's RAM")
    assert running.on_board(toolchain.build(tmp_path, *toolchain.small), SMALL).output == "Hello, world!\n"
