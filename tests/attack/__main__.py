"""`python -m tests.attack`: offer damaged and forged images, as many of each, on one road."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import islice

from tests.attack import campaign, corpus
from tests.attack.forge import Forger
from tests.attack.mutate import Mutator
from tests.attack.roads import road


def endless(source: Callable[[], bytes]) -> Iterator[bytes]:
    while True:
        yield source()


def sources(seed: int) -> dict[str, Iterator[bytes]]:
    """Endless images of each kind."""
    return {"damaged": endless(Mutator(seed, corpus.images()).image), "forged": endless(Forger(seed).image)}


def main() -> int:
    """The exit status: 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="images of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--road", default="pc", help='"pc", or the name of a board to emulate')
    given = parser.parse_args()
    found = False
    for kind, images in sources(given.seed).items():
        place = road(given.road)
        tally = campaign.run(islice(images, given.count), place)
        place.close()
        found = found or bool(tally.findings)
        print(f"{kind}, seed {given.seed}, road {given.road}: {tally}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
