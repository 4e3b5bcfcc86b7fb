"""`python -m tests.attack`: offer damaged and forged images, as many of each, on one road; in parts if time is short.

A part is a thousand images of each kind, from a seed of its own. What it found is kept in build/attack, under a name
for all that it depends on, so that a campaign goes on where it was left.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

from mcutool import devices
from tests.attack import campaign, corpus
from tests.attack.campaign import KINDS, Tally

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "attack"
PART = 1000  # images of each kind
DECIDING = (
    "tests/attack/campaign.py", "tests/attack/forge.py", "tests/attack/mutate.py", "tests/attack/offer.c",
    "tests/attack/roads.py", "mcutool/checks.py", "mcutool/encoding.py", "mcutool/isa.py", "mcutool/hostapi.py",
    "mcutool/image/*.py", "mcutool/emulator/*.py", "firmware_runtime/*.[ch]", "firmware_runtime/generated/*",
)  # fmt: skip
"""Files that a verdict depends on."""


def folder(road: str) -> Path:
    """Where the parts of a road are kept: that is new for other images, another twin, firmware or emulator."""
    digest = hashlib.sha256(b"".join(corpus.images()))
    for path in sorted(path for pattern in DECIDING for path in ROOT.glob(pattern)):
        digest.update(path.read_bytes())
    if road != "pc":
        digest.update(devices.board(road).firmware.read_bytes())
    return KEPT / f"{road}-{digest.hexdigest()[:12]}"


def part(road: str, seed: int, size: int, kept: Path) -> dict[str, Tally]:
    """What one part found, by kind of image."""
    file = kept / f"{seed}-{size}.json"
    if not file.exists():
        tallies = campaign.part(road, seed, size)
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(campaign.to_json(tallies))
        unfinished.replace(file)
    return campaign.from_json(file.read_text())


def main() -> int:
    """The exit status: 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="images of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first part")
    parser.add_argument("--road", default="mps2-an386", help='"pc", or the name of a board to emulate')
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no part after so long")
    given = parser.parse_args()
    total = {kind: Tally() for kind in KINDS}
    kept = folder(given.road)
    end = time.monotonic() + given.seconds
    for number in range(0, given.count, PART):
        if time.monotonic() > end:
            print(f"{given.count - number} images of each kind are left: the same command goes on", flush=True)
            break
        for kind, tally in part(given.road, given.seed + number // PART, min(PART, given.count - number), kept).items():
            total[kind].add(tally)
    for kind, tally in total.items():
        print(f"{kind}, from seed {given.seed}, road {given.road}: {tally}", flush=True)
    return any(tally.findings for tally in total.values())


if __name__ == "__main__":
    sys.exit(main())
