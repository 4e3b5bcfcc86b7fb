"""Parallel copies: every permutation and overlap of a few slots gives what copying at once would."""

from __future__ import annotations

from itertools import product
from random import Random

from mcutool.ir.copies import Copy, sequentialise

SLOTS = 12
SPARE = SLOTS


def run(copies: list[Copy]) -> list[int]:
    frame = list(range(SLOTS + 1))
    for copy in sequentialise(copies, lambda: SPARE):
        frame[copy.to : copy.to + copy.slots] = frame[copy.source : copy.source + copy.slots]
    return frame[:SLOTS]


def at_once(copies: list[Copy]) -> list[int]:
    frame = list(range(SLOTS))
    before = list(frame)
    for copy in copies:
        frame[copy.to : copy.to + copy.slots] = before[copy.source : copy.source + copy.slots]
    return frame


def test_all_assignments_of_four_slots() -> None:
    for sources in product(range(4), repeat=4):
        copies = [Copy(to, source) for to, source in enumerate(sources)]
        assert run(copies) == at_once(copies), sources


def test_pairs_that_overlap_in_every_way() -> None:
    random = Random(1)
    for _ in range(3000):
        copies, to = [], random.randrange(3)
        while to < SLOTS - 2:
            slots = random.choice((1, 2))
            copies.append(Copy(to, random.randrange(SLOTS - 1), slots))
            to += slots + random.randrange(2)
        assert run(copies) == at_once(copies), copies


def test_a_chain_needs_no_spare_slot() -> None:
    copies = [Copy(0, 1), Copy(1, 2), Copy(2, 3)]
    assert sequentialise(copies, lambda: 1 // 0) == copies


def test_copies_to_themselves_vanish() -> None:
    assert sequentialise([Copy(3, 3), Copy(4, 4, 2)], lambda: SPARE) == []
