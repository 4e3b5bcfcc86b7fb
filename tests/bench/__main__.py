"""Prints the figures of the suite, of wasm3 beside it and of programs that are not ours: `python -m tests.bench`; with
names of programs, only the suite's figures of those: `python -m tests.bench PROGRAM...`.

All of it also goes into build/bench: figures.json, and bar charts in SVG. Boards are emulated, cycles are modelled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from firmware_runtime.fetch import fetch
from tests.bench import further, plot, tables, wasm3
from tests.bench.figures import Figure, Suite, cycles, groups, record, size, slow_programs, waiting
from tests.bench.measure import BOARDS, LEVELS, PROGRAMS, WAIT_STATES, measure

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"


class Campaign:
    """Everything that is counted, on all processors; what needs a package index is left out where none answers."""

    def __init__(self, names: list[str], with_others: bool, directory: Path) -> None:
        self.suite: Suite = {}
        self.wasm3: dict[str, wasm3.Interpreted] = {}
        self.version = ""
        self.missing: list[str] = []
        own = directory / "further"  # some are called as programs of the suite are
        own.mkdir()
        found = further.programs() if with_others and self._fetched(further.REQUIREMENTS) else {}
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            building = (
                pool.submit(wasm3.Wasm3, directory) if with_others and self._fetched(wasm3.REQUIREMENTS) else None
            )
            tasks = {(n, level): pool.submit(measure, PROGRAMS[n], level, directory) for n in names for level in LEVELS}
            others = {name: pool.submit(measure, program, "O2", own) for name, program in found.items()}
            for (name, level), task in track(tasks.items(), "counting", transient=True):
                self.suite.setdefault(name, {})[level] = task.result()
            if building is not None:
                self._count_wasm3(pool, building.result(), directory)
            self.further: Suite = {name: {"O2": task.result()} for name, task in others.items()}

    def _fetched(self, requirements: Path) -> bool:
        try:
            fetch(requirements)
        except subprocess.CalledProcessError:
            self.missing.append(requirements.stem)
            return False
        return True

    def _count_wasm3(self, pool: ProcessPoolExecutor, built: wasm3.Wasm3, directory: Path) -> None:
        tasks = {name: pool.submit(built.count, PROGRAMS[name], directory) for name in self.suite}
        self.wasm3 = {name: task.result() for name, task in track(tasks.items(), "wasm3", transient=True)}
        self.version = built.version

    def wrong(self) -> list[str]:
        """What has not computed the same on all roads."""
        measured = [m for levels in (*self.suite.values(), *self.further.values()) for m in levels.values()]
        found = [f"{m.program} -{m.level}" for m in measured if not m.agrees]
        return found + [f"{name} on wasm3" for name in wasm3.wrong(self.suite, self.wasm3)]


def show(console: Console, done: Campaign) -> None:
    """All tables."""
    for on in BOARDS:
        console.print(tables.of_speed(done.suite, on))
    for level in LEVELS:
        console.print(tables.of_size(done.suite, level))
    console.print(tables.of_waiting(done.suite))
    if done.wasm3:
        console.print(wasm3.table(done.suite, done.wasm3, done.version))
        console.print(wasm3.remark(done.wasm3))
    if done.further:
        console.print(further.table(done.further, done.suite))
    console.print(tables.of_firmware())
    for where, slow in slow_programs(done.suite).items():
        console.print(f"above 16 times native, {where}: {', '.join(slow)}")
    console.print("Every board is emulated and every number of cycles is modelled; wait states are a rough model.")


def everything(done: Campaign) -> dict[str, Any]:
    """For programs: counts, figures and means."""
    told: dict[str, Any] = {"about": "emulated boards, modelled cycles", "suite": record(done.suite)}
    if done.wasm3:
        means = {
            figure.heading: {title: figure.mean(programs) for title, programs in groups(done.suite).items()}
            for figure in wasm3.figures(done.wasm3)
        }
        programs = {name: asdict(theirs) for name, theirs in done.wasm3.items()}
        told["wasm3"] = {"version": done.version, "programs": programs, "geometric_mean": means}
    if done.further:
        told["further"] = {
            "programs": {name: asdict(levels["O2"]) for name, levels in done.further.items()},
            "geometric_mean": {f.heading: f.mean(done.further.values()) for f in further.FIGURES},
            "to_the_suite": {
                title: dict(zip(BOARDS.values(), ratios, strict=True))
                for title, ratios in further.apart(done.further, done.suite).items()
            },
        }
    return told


def charts(done: Campaign) -> dict[str, str]:
    """SVG by file name."""
    suite, cores = done.suite, list(BOARDS.values())
    speeds = [Figure(core, partial(cycles, "O2", on, 0)) for on, core in BOARDS.items()]
    sizes = [size(level)[0] for level in LEVELS]
    counting = next(iter(groups(suite).values()))
    waits = {core: [figure.mean(counting) for figure in waiting(on)] for on, core in BOARDS.items()}
    found = {
        "cycles": plot.bars("modelled cycles relative to native code, -O2", cores, _rows(speeds, suite), 16),
        "size": plot.bars("bytes of bytecode, functions relative to wasm code", list(LEVELS), _rows(sizes, suite), 1),
        "wait-states": plot.bars("mean of modelled cycles by wait states", list(map(str, WAIT_STATES)), waits),
    }
    if done.wasm3:
        both = wasm3.figures(done.wasm3)[:2]
        title = f"modelled cycles on the M4F relative to native code: wasm3 {done.version} and mcutool"
        found["wasm3"] = plot.bars(title, [figure.heading for figure in both], _rows(both, suite))
    if done.further:
        title = "programs of other people: modelled cycles relative to native code, -O2"
        found["further"] = plot.bars(title, cores, _rows(further.FIGURES, done.further), 16)
    return found


def _rows(figures: list[Figure], suite: Suite) -> dict[str, list[float]]:
    return {name: [figure.ratio(levels) for figure in figures] for name, levels in suite.items()}


def main(names: list[str]) -> int:
    console = Console(width=tables.WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        done = Campaign(names or list(PROGRAMS), not names, Path(folder))
    show(console, done)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "figures.json").write_text(json.dumps(everything(done), indent=1), encoding="utf-8")
    for name, chart in charts(done).items():
        (BUILD / f"{name}.svg").write_text(chart, encoding="utf-8")
    for what in done.missing:
        console.print(f"left out, since pip did not fetch it: tests/bench/{what}.txt")
    if done.wrong():
        console.print(f"checksums differ: {', '.join(done.wrong())}")
    return 1 if done.wrong() or done.missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
