"""`python -m tests.fuzz`: look for differences for some time, on one road."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.campaign import all_seeds, keep_smaller, run_seeds
from tests.fuzz.roads import road


def main() -> int:
    """The exit status: 1 when something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds, which are used one after another")
    parser.add_argument("--road", default="pc", help='"pc", or the name of a board to emulate')
    parser.add_argument("--shrink", type=int, metavar="SEED", help="only this seed, made as small as it goes")
    given = parser.parse_args()
    chosen = road(given.road)
    if given.shrink is not None:
        keep_smaller(given.shrink, chosen, print)
        return 0
    tally = run_seeds(all_seeds(given.seed), given.seconds, chosen, lambda text: print(text, flush=True))
    print(
        f"{tally.cases} cases, {tally.calls} calls on {chosen.name}: {len(tally.differences)} differences; "
        f"{tally.unanswered} cases ran too long to compare"
    )
    return bool(tally.differences)


if __name__ == "__main__":
    sys.exit(main())
