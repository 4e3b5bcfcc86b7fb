"""An upload takes no longer than the line and the flash need."""

from __future__ import annotations

import pytest

from tests.flash.smp_times import smp_times


@pytest.mark.parametrize("board", ["stm32f405", "mps2-an386"])
def test_little_time_is_lost_on_the_way(board: str) -> None:
    times = smp_times(board, 32 * 1024)
    assert times.ratio <= 1.05, times
