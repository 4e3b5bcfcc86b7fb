"""Prints how long flashing takes and what it survives, all of it emulated: `python -m tests.flash.report`.

Decides the tables and how often each thing is tried. Refuses to know how it is counted (figures.py, power.py,
smp_noise.py, smp_times.py) and what other tools do (stock.py). Exits with 1 when a limit is not kept.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from mcutool import devices
from tests.flash import power, stock
from tests.flash.figures import ending, times
from tests.flash.smp_noise import count as count_uploads
from tests.flash.smp_noise import to_the_runtime
from tests.flash.smp_times import Times, smp_times
from tests.flash.subjects import SUBJECTS

RUNS = 100  # of each installation on a noisy line
STOCK_RUNS = {"stm32flash": 100, "bossac": 20}  # bossac waits for seconds before it gives up
CLEAN_RUNS = 5  # of those tools, without noise
NOISES = {1e-4: ("1 in 10,000", 100), 1e-3: ("1 in 1,000", 95)}  # flipped bits in bytes, and how many of 100 succeed
MOST = 1.05  # times what is unavoidable
UPLOADS = {"stm32f405": MOST, "microbit": 1.06}
"""Boards to whose runtime modules are uploaded: one with a large buffer; one with a small buffer and a Cortex-M0, for
whose computing there is no allowance in MOST."""

Row = tuple[str, ...]


class Campaign:
    """Everything that is counted, begun at once on all processors."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self.failures: list[str] = []
        self.uploads = {name: pool.submit(smp_times, name) for name in UPLOADS}
        self.installations = {name: pool.submit(_times, name) for name in SUBJECTS}
        self.noisy = {(name, noise): self._endings(name, noise) for name in SUBJECTS for noise in NOISES}
        self.noisy_uploads = {noise: self._uploads(noise) for noise in NOISES}
        self.cuts = {board.name: pool.submit(_cuts, board.name) for board in power.boards()}

    def _endings(self, name: str, noise: float) -> list[Future[str]]:
        return [self._pool.submit(_ending, name, noise, seed) for seed in range(RUNS)]

    def _uploads(self, noise: float) -> list[Future[str]]:
        return [self._pool.submit(_upload, noise, seed) for seed in range(RUNS)]

    def _expect(self, kept: bool, what: str) -> str:
        if not kept:
            self.failures.append(what)
        return "" if kept else " (!)"

    # --- the tables -----------------------------------------------------------------------------------------

    def seconds(self) -> Iterator[Row]:
        for name, future in self.installations.items():
            subject = SUBJECTS[name]
            kilobytes = min(128 << 10, subject.room) >> 10
            for what, taken in future.result().items():
                yield self._seconds_row(f"{subject}, {kilobytes} KB", what, taken)
        for name, upload in self.uploads.items():
            yield self._seconds_row(f"SMP, {name}, 128 KB", "uploaded, verified", upload.result(), UPLOADS[name])

    def _seconds_row(self, who: str, what: str, taken: Times, most: float = MOST) -> Row:
        mark = self._expect(taken.ratio <= most, f"{who}, {what}: {taken.ratio:.3f} times what is unavoidable")
        mark = mark or (f" (over {MOST})" if taken.ratio > MOST else "")  # what is not reached is seen in the table
        parts = (taken.measured, taken.wire, taken.busy, taken.turnarounds)
        return who, what, *(f"{part:.2f}" for part in parts), f"{taken.ratio:.3f}{mark}"

    def noise(self) -> Iterator[Row]:
        for name, subject in SUBJECTS.items():
            for noise, (_, wanted) in NOISES.items():
                yield self._noise_row(f"mcutool, {subject}", noise, self.noisy[name, noise], wanted)
        for noise, (_, wanted) in NOISES.items():
            yield self._noise_row("mcutool, SMP, stm32f405", noise, self.noisy_uploads[noise], wanted)
        yield from _stock_rows()

    def _noise_row(self, who: str, noise: float, endings: Iterable[Future[str]], wanted: int) -> Row:
        words, _ = NOISES[noise]
        found = Counter(future.result() for future in endings)
        self._expect(found["installed"] >= wanted, f"{who}, {words}: {dict(found)}")
        return _ends_row(who, words, found)

    def power_cuts(self) -> Iterator[Row]:
        for name, future in self.cuts.items():
            starts = future.result()
            mark = self._expect(not starts["half"], f"{name}: {starts['half']} halves of a runtime started")
            parts = (starts.total(), starts["old"], starts["none"], f"{starts['half']}{mark}", starts.total())
            yield name, devices.board(name).chip.name, *map(str, parts)


def _stock_rows() -> Iterator[Row]:
    """Of tools whose time is real, so that nothing else may run beside them."""
    for tool in stock.TOOLS:
        who, runs = f"{tool.name}, {tool.subject}", STOCK_RUNS[tool.name]
        yield _ends_row(who, "none", stock.count(tool, 0, CLEAN_RUNS))
        for noise, (words, _) in NOISES.items():
            yield _ends_row(who, words, stock.count(tool, noise, runs))


def _ends_row(who: str, words: str, found: Counter[str]) -> Row:
    wrong = "says so, and is wrong"
    others = ", ".join(f"{count} x {end}" for end, count in found.items() if end not in ("installed", wrong))
    return who, words, f"{found['installed']} of {found.total()}", str(found[wrong]), others


def _times(name: str) -> dict[str, Times]:
    return times(SUBJECTS[name])


def _cuts(name: str) -> Counter[str]:
    return power.cuts(devices.board(name))


def _ending(name: str, noise: float, seed: int) -> str:
    logging.disable()
    return ending(SUBJECTS[name], noise, "flip", seed)


def _upload(noise: float, seed: int) -> str:
    logging.disable()
    found = count_uploads(to_the_runtime, noise, range(seed, seed + 1))
    return found.errors[0] if found.errors else "installed"


TABLES = (
    ("seconds", "Seconds at 115200 baud with 1 ms of latency",
     ("", "", "taken", "wire", "flash", "turnarounds", "of unavoidable")),
    ("power_cuts", "Power cut at each flash operation while the runtime is renewed, before it and in its middle",
     ("board", "chip", "cuts", "old runtime started", "nothing started", "half of one started", "installed again")),
    ("noise", "Images of 20,000 bytes on a line that flips bits",
     ("", "flipped bits in bytes", "succeeded", "wrong and not noticed", "how the others ended")),
)  # fmt: skip


def main() -> int:
    console, began = Console(width=max(Console().width, 170)), time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), initializer=partial(logging.disable)) as pool:
        campaign = Campaign(pool)
        for method, title, head in TABLES:
            table = Table(*head, title=title, box=MARKDOWN, title_justify="left")
            for row in getattr(campaign, method)():
                table.add_row(*row)
            console.print(table, "")
    for failure in campaign.failures:
        print(f"not kept: {failure}")
    print(f"All emulated. It took {time.monotonic() - began:.0f} seconds.")
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
