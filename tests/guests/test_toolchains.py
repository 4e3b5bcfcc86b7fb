"""Programs of each guest toolchain, untuned: they run, or the message names the flag that mends them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import running
from toolchains import CLANG, HERE, TOOLCHAINS, Toolchain

from mcutool.errors import DoesNotFit, Trapped

ROOMY, SMALL = "stm32f405", "microbit"


@pytest.fixture(params=TOOLCHAINS, ids=lambda toolchain: toolchain.name)
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    return request.param


def test_hello_runs_or_the_advice_is_good(toolchain: Toolchain, tmp_path: Path) -> None:
    hello = toolchain.build(tmp_path)
    assert running.on_board(hello, ROOMY).output == "Hello, world!\n"
    completed = running.as_a_person(hello, SMALL)
    if toolchain.small is None:
        assert completed.returncode == DoesNotFit.exit_code
        assert re.search(r"take \d+ bytes of it, the board has \d+", completed.stderr), completed.stderr
        assert "a board with more RAM" in completed.stderr
    elif not toolchain.small:
        assert (completed.returncode, completed.stdout) == (0, "Hello, world!\n"), completed.stderr
    else:
        assert completed.returncode in (DoesNotFit.exit_code, Trapped.exit_code)
        assert " ".join(toolchain.small) in completed.stderr
        assert running.on_board(toolchain.build(tmp_path, *toolchain.small), SMALL).output == "Hello, world!\n"


def test_malloc_runs_with_the_flag_that_is_advised(tmp_path: Path) -> None:
    """wasi-libc's allocator claims the declared memory to its end, which is more than the board's RAM with clang's
    stack of 64 KiB."""
    assert CLANG.small is not None
    source = HERE / "allocating.c"
    completed = running.as_a_person(CLANG.compile(source, tmp_path / "allocating.wasm"), ROOMY)
    assert completed.returncode == Trapped.exit_code
    assert "in malloc" in completed.stderr and " ".join(CLANG.small) in completed.stderr
    tuned = CLANG.compile(source, tmp_path / "tuned.wasm", *CLANG.small)
    assert running.on_board(tuned, ROOMY).output == "999 bytes\n"
