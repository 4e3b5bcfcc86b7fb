"""One seed after another on one road, until time is up; what differs is kept, smaller.

This file decides what counts as a difference and what becomes of it. It refuses to know how cases are made and run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcutool.errors import Error
from mcutool.ir.law import LawBroken
from tests.fuzz import oracle
from tests.fuzz.case import Account, Case, write_script
from tests.fuzz.generate import Generator
from tests.fuzz.mutate import Mutator, wrong_verdict
from tests.fuzz.roads import BoardRoad, PcRoad, RoadError, TooLarge
from tests.fuzz.shrink import shrink

DAMAGED_FOR_EACH_SEED = 400
MINUTE = 60.0  # seconds
FOUND = Path(__file__).with_name("found")
LIMITS = ("call stack exhausted", "too many exceptions are alive")
"""Traps that are no differences: wasmtime has other limits."""
Road = PcRoad | BoardRoad


@dataclass
class Tally:
    """What a campaign did; `differences` are (seed, what differs)."""

    cases: int = 0
    calls: int = 0
    unanswered: int = 0
    too_large: int = 0
    differences: list[tuple[int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        left_out = f"{self.unanswered} cases ran too long to compare, {self.too_large} were too large for the board"
        return f"{self.cases} cases, {self.calls} calls: {len(self.differences)} differences; {left_out}"


def difference(case: Case, expected: Account, road: Road) -> str:
    """In a few words what a road does otherwise; an empty string when nothing."""
    try:
        given = road.run(case)
    except (RoadError, Error, LawBroken, AssertionError, LookupError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    for number, (ours, right) in enumerate(zip(given, expected, strict=False)):
        if ours != right and ours in LIMITS:
            return ""
        if ours != right:
            name = f"call {number}, {case.calls[number - 1].export}" if number else "instantiation"
            return f"{name}: gave {_shown(ours)}, expected {_shown(right)}"
    return "" if len(given) == len(expected) else f"{len(given)} outcomes, expected {len(expected)}"


def _shown(outcome: object) -> str:
    return outcome if isinstance(outcome, str) else " ".join(f"{bits:#x}" for bits in outcome)  # type: ignore[attr-defined]


def run_seeds(seeds: Iterator[int], seconds: float, road: Road, tell: Callable[[str], None]) -> Tally:
    """Cases from the seeds until `seconds` have passed."""
    tally = Tally()
    return _until(seconds, _compare(seeds, road, tally, tell), tally, tell)


def _until(seconds: float, steps: Iterator[None], tally: Tally, tell: Callable[[str], None]) -> Tally:
    """Step by step until time is up or Ctrl-C; tells each minute how far it is."""
    start = now = told = time.monotonic()
    try:
        while now < start + seconds and next(steps, "end") is None:
            now = time.monotonic()
            if now >= told + MINUTE:
                tell(f"{now - start:.0f} s: {tally}")
                told = now
    except KeyboardInterrupt:
        tell("interrupted")
    return tally


def _compare(seeds: Iterator[int], road: Road, tally: Tally, tell: Callable[[str], None]) -> Iterator[None]:
    for seed in seeds:
        yield
        case = Generator(seed).case()
        try:
            expected = oracle.account(case)
            differs = difference(case, expected, road)
        except oracle.NoAnswer:
            tally.unanswered += 1
            continue
        except TooLarge:
            tally.too_large += 1
            continue
        tally.cases += 1
        tally.calls += len(expected) - 1
        if differs:
            tally.differences.append((seed, differs))
            tell(f"seed {seed}: {differs}")


def keep_smaller(seed: int, road: Road, tell: Callable[[str], None]) -> Path:
    """Shrink what a seed shows and write it down with what it should give."""
    case = shrink(Generator(seed).case(), road, difference)
    path = FOUND / f"seed{seed}.wast"
    path.write_text(write_script(case, oracle.account(case)))
    tell(f"{path.name}: {len(case.text)} characters")
    return path


def run_damaged(seed: int, seconds: float, tell: Callable[[str], None]) -> Tally:
    """Damaged modules for the validator until `seconds` have passed; a wrongly judged one is told in hexadecimal."""
    tally = Tally()
    return _until(seconds, _damage(seed, tally, tell), tally, tell)


def _damage(seed: int, tally: Tally, tell: Callable[[str], None]) -> Iterator[None]:
    while True:
        mutator = Mutator(seed)
        for _ in range(DAMAGED_FOR_EACH_SEED):
            yield
            damaged = mutator.module()
            tally.cases += 1
            if wrong := wrong_verdict(damaged):
                tally.differences.append((seed, wrong))
                tell(f"seed {seed}: {wrong}\n{damaged.hex()}")
        seed += 1
