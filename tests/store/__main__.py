"""Power cuts at every flash operation of module updates: `python -m tests.store [CHIP...]`."""

from __future__ import annotations

import argparse
import sys

from tests.store.cuts import LEVELS, Store, changes, cuts, geometries

SIZE = 1100  # bytes of a module: two of the smallest sectors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chip", nargs="*", help="default: every geometry")
    parser.add_argument("--every", type=int, default=1, help="only every N-th cut")
    options = parser.parse_args()
    total = wrong = 0
    for name, board in geometries().items():
        if options.chip and name not in options.chip:
            continue
        store = Store(board)
        print(f"{name}: write unit {board.chip.flash.smallest_write}, {board.chip.images} images")
        for change in changes(board, SIZE):
            counted = [cuts(store, change, level, options.every) for level in LEVELS]
            count, found = sum(number for number, _ in counted), [text for _, texts in counted for text in texts]
            print(f"  {change.name:24} {count:6} cuts, {len(found)} wrong", *found[:3], sep="\n      " if found else "")
            total, wrong = total + count, wrong + len(found)
        store.close()
    print(f"{total} cuts, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
