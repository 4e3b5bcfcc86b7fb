"""Many images on one road: the verdict is what the twin says, and nothing escapes.

This file decides what counts as a finding. It refuses to know how images are made.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mcutool.image.verify import verify
from mcutool.isa import TRAP_NUMBERS
from tests.attack import corpus
from tests.attack.forge import Forger
from tests.attack.mutate import Mutator
from tests.attack.roads import Escape, Road, road

FOUND = Path(__file__).with_name("found")
ARENAS = (8192, 8192, 8192, 3000, 700)
"""Bytes; the smallest is too small for most."""
KINDS = ("damaged", "forged")


@dataclass
class Tally:
    """What a campaign did; `findings` are (what the image is, what was wrong)."""

    refused: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    calls: int = 0
    stopped: int = 0
    """Calls that were told to stop when their fuel was used up, and did."""
    seconds: float = 0
    findings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return self.taken + sum(self.refused.values())

    def add(self, other: Tally) -> None:
        self.refused += other.refused
        self.taken += other.taken
        self.calls += other.calls
        self.stopped += other.stopped
        self.seconds += other.seconds
        self.findings += other.findings

    def __str__(self) -> str:
        reasons = ", ".join(f"{name} {count}" for name, count in self.refused.most_common())
        return (
            f"{self.images} images: {len(self.findings)} findings; {self.taken} taken and run in {self.calls} calls, "
            f"{self.stopped} of them stopped; {self.images / max(self.seconds, 0.001):.0f} a second; refused: {reasons}"
        )


def to_json(tallies: dict[str, Tally]) -> str:
    return json.dumps({kind: vars(tally) for kind, tally in tallies.items()})


def from_json(text: str) -> dict[str, Tally]:
    tallies = {kind: Tally(**values) for kind, values in json.loads(text).items()}
    for tally in tallies.values():
        tally.refused = Counter(tally.refused)
    return tallies


def endless(source: Callable[[], bytes]) -> Iterator[bytes]:
    while True:
        yield source()


def sources(seed: int) -> dict[str, Iterator[bytes]]:
    """Endless images of each kind."""
    return dict(zip(KINDS, (endless(Mutator(seed, corpus.images()).image), endless(Forger(seed).image)), strict=True))


def part(name: str, seed: int, size: int) -> dict[str, Tally]:
    """So many images of each kind on a road that is new: what it finds depends on nothing before."""
    tallies = {}
    for kind, images in sources(seed).items():
        place = road(name)
        tallies[kind] = run(islice(images, size), place, label=f"{kind}-{seed}")
        place.close()
    return tallies


def run(images: Iterator[bytes], place: Road, tell: Callable[[str], None] = print, label: str = "image") -> Tally:
    """Offers all of them; what is found is kept as a file."""
    tally, begin = Tally(), time.process_time()
    for number, image in enumerate(images):
        arena = ARENAS[number % len(ARENAS)]
        wrong = _offer(image, arena, place, tally)
        if wrong:
            tally.findings.append((f"{label}-{number}", wrong))
            FOUND.mkdir(exist_ok=True)
            kept = FOUND / f"{place.name}-{label}-{number}.mcu"
            kept.write_bytes(image)
            tell(f"{label}-{number}, arena of {arena} bytes, kept as {kept}: {wrong}")
    tally.seconds = time.process_time() - begin
    return tally


def _offer(image: bytes, arena: int, place: Road, tally: Tally) -> str:
    """What is wrong; "" when nothing."""
    expected = verify(image, place.surroundings(arena))
    try:
        answer = place.offer(image, arena)
    except Escape as escape:
        return f"escaped: {escape}"
    tally.calls += len(answer.ends)
    tally.stopped += answer.ends.count(TRAP_NUMBERS["stopped"])
    if answer.verdict.fault:
        tally.refused[answer.verdict.fault] += 1
    else:
        tally.taken += 1
    return "" if answer.verdict == expected else f"{place.name} says {answer.verdict}, the twin {expected}"
