"""A little of every campaign, from fixed seeds; and what campaigns found before, on every road."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.fuzz.campaign import FOUND, difference, run_seeds
from tests.fuzz.case import Account, Case, read_case, write_script
from tests.fuzz.generate import Generator
from tests.fuzz.mutate import Mutator, wrong_verdict
from tests.fuzz.oracle import account
from tests.fuzz.roads import BoardRoad, PcRoad, road
from tests.fuzz.shrink import shrink

BOARDS = ("mps2-an386", "mps2-m0")


def test_a_seed_always_gives_the_same_case() -> None:
    assert Generator(5).case() == Generator(5).case()
    assert Generator(5).case() != Generator(6).case()


def test_generated_modules_on_the_pc() -> None:
    tally = run_seeds(iter(range(25)), math.inf, PcRoad(), print)
    assert tally.differences == []
    assert tally.cases > 20


@pytest.mark.parametrize("board", BOARDS)
def test_generated_modules_on_an_emulated_board(board: str) -> None:
    tally = run_seeds(iter(range(1000, 1008)), math.inf, BoardRoad(board), print)
    assert tally.differences == []


def test_damaged_modules_get_the_verdict_of_wasmtime() -> None:
    mutator = Mutator(1)
    for _ in range(300):
        damaged = mutator.module()
        assert wrong_verdict(damaged) == "", damaged.hex()


@pytest.mark.parametrize("name", ("pc", *BOARDS))
def test_what_was_found_before(name: str) -> None:
    chosen = road(name)
    for path in sorted(FOUND.glob("*.wast")):
        case, expected = read_case(path.read_text())
        assert difference(case, expected, chosen) == "", path.name


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.wast")), ids=lambda path: path.stem)
def test_wasmtime_agrees_with_what_was_written_down(path: Path) -> None:
    case, expected = read_case(path.read_text())
    assert account(case) == expected
    assert read_case(write_script(case, expected)) == (case, expected)


def test_a_case_shrinks_to_what_differs() -> None:
    """Against a road that cannot run table.size."""

    def difference(case: Case, expected: Account, road: PcRoad | BoardRoad) -> str:
        return "call" if "table.size" in case.text else ""

    small = shrink(Generator(97).case(), PcRoad(), difference)
    assert "table.size" in small.text
    assert small.calls == ()
    assert len(small.text) < 150
