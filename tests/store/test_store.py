"""What is installed outlives a power cut at any moment: the firmware's store on each chip's geometry, by samples.

`python -m tests.store` goes through all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutool import devices
from mcutool.image import state
from mcutool.image.state import Installed, Version
from tests.store import boards
from tests.store.cuts import LEVELS, Store, changes, cuts, geometries

SIZE = 1100
SAMPLE = 97  # every so many-th cut; a prime, so that each way of a cut comes


@pytest.mark.parametrize("name", sorted(geometries()))
def test_after_a_cut_it_is_the_old_or_the_new(name: str) -> None:
    store, wrong, count = Store(geometries()[name]), [], 0
    for number, change in enumerate(changes(geometries()[name], SIZE)):
        for level in LEVELS:
            done, found = cuts(store, change, level, SAMPLE, number)
            count, wrong = count + done, wrong + found
    store.close()
    assert not wrong and count > 100


def test_every_chip_with_a_runtime_is_one_of_the_geometries() -> None:
    assert {"stm32f103c8", "nrf51822", "rp2040", "stm32f405", "mps2-an385"} <= geometries().keys()


def test_a_record_is_read_as_it_was_written() -> None:
    images = [
        Installed([Version(0x2000, 300, "confirmed"), Version(0x4000, 7, "pending")], {"args": ["a"], "fuel": 3}, 9),
        Installed(),
    ]
    first, second = state.build(images, 7), state.build([Installed(), Installed()], 8)
    assert state.parse(first + b"\xff" * 64) == (7, images)
    assert state.parse(first + second) == (8, [Installed(), Installed()])


def test_a_record_that_was_cut_off_is_none() -> None:
    first, second = state.installed(100, 2), state.installed(200, 2, 2)
    assert state.parse(b"\xff" * 200) is None
    for end in range(len(second)):
        found = state.parse(first + second[:end] + b"\xff" * (len(second) - end))
        assert found is not None and found[0] == 1


@pytest.mark.parametrize("name", ["bluepill", "microbit", "pico", "stm32f405"])
def test_an_emulated_board_runs_the_old_or_the_new_program_after_a_cut(name: str, tmp_path: Path) -> None:
    found = boards.cuts(devices.board(name), tmp_path, every=61)
    assert found["old"] and found["old"] + found["new"] == found.total() >= 5, found
