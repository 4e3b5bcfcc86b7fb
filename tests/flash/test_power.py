"""Power cut while a runtime is renewed: a sample of the cuts, all of which `make flashing` makes."""

from __future__ import annotations

import pytest

from mcutool.devices import Board
from tests.flash.power import boards, cuts, torn

EVERY = 29  # prime to the two ways of cutting, so that both are in the sample


def test_a_torn_operation_leaves_old_new_and_doubtful_bits() -> None:
    found = torn(b"\xff" * 256, bytes(256), seed=1)
    new = len(found) - len(found.lstrip(b"\0"))
    assert 0 < new < 240 and found[new + 16 :] == b"\xff" * (240 - new)


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_after_a_cut_the_same_command_installs_it(board: Board) -> None:
    starts = cuts(board, EVERY)
    assert starts.total() > 10
    assert starts["half"] == 0  # no runtime that is not whole says anything
    assert starts["old"] >= 1  # before the first operation
