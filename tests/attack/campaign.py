"""Many images on one road: the verdict is what the twin says, and nothing escapes.

This file decides what counts as a finding. It refuses to know how images are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcutool.image.verify import verify
from tests.attack.roads import Escape, Road

FOUND = Path(__file__).with_name("found")
ARENAS = (8192, 8192, 8192, 3000, 700)
"""Bytes; the smallest is too small for most."""


@dataclass
class Tally:
    """What a campaign did; `findings` are (number of the image, what was wrong)."""

    refused: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    calls: int = 0
    findings: list[tuple[int, str]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return self.taken + sum(self.refused.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{name} {count}" for name, count in self.refused.most_common())
        return (
            f"{self.images} images: {len(self.findings)} findings; {self.taken} taken and run in {self.calls} calls, "
            f"refused: {reasons}"
        )


def run(images: Iterator[bytes], road: Road, tell: Callable[[str], None] = print) -> Tally:
    """Offers all of them; what is found is kept as a file."""
    tally = Tally()
    for number, image in enumerate(images):
        arena = ARENAS[number % len(ARENAS)]
        wrong = _offer(image, arena, road, tally)
        if wrong:
            tally.findings.append((number, wrong))
            FOUND.mkdir(exist_ok=True)
            kept = FOUND / f"{road.name}-{number}.mcu"
            kept.write_bytes(image)
            tell(f"image {number}, arena of {arena} bytes, kept as {kept}: {wrong}")
    return tally


def _offer(image: bytes, arena: int, road: Road, tally: Tally) -> str:
    """What is wrong; "" when nothing."""
    expected = verify(image, road.surroundings(arena))
    try:
        answer = road.offer(image, arena)
    except Escape as escape:
        return f"escaped: {escape}"
    tally.calls += len(answer.ends)
    if answer.verdict.fault:
        tally.refused[answer.verdict.fault] += 1
    else:
        tally.taken += 1
    return "" if answer.verdict == expected else f"{road.name} says {answer.verdict}, the twin {expected}"
