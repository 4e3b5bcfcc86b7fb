"""`python -m tests.fuzz`: look for differences for some time, on one road."""

from __future__ import annotations

import argparse
import sys
from itertools import count

from tests.fuzz.campaign import Tally, keep_smaller, run_damaged, run_seeds
from tests.fuzz.roads import road


def main() -> int:
    """The exit status: 1 when something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds, which are used one after another")
    parser.add_argument("--road", default="pc", help='"pc", the name of a board to emulate, or "validator"')
    parser.add_argument("--shrink", type=int, metavar="SEED", help="only this seed, made as small as it goes")
    given = parser.parse_args()
    if given.shrink is not None:
        keep_smaller(given.shrink, road(given.road), tell)
        return 0
    tally = campaign(given)
    print(f"road {given.road}: {tally}")
    return bool(tally.differences)


def campaign(given: argparse.Namespace) -> Tally:
    if given.road == "validator":
        return run_damaged(given.seed, given.seconds, tell)
    return run_seeds(count(given.seed), given.seconds, road(given.road), tell)


def tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
