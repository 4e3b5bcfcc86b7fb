"""What flashing takes and how often it succeeds, counted on emulated lines and boards.

Decides which seconds are unavoidable: the bytes on the wire, the flash at work, and the turnarounds that the protocol
asks for (subjects.py says which). Refuses to know how figures are printed, and what a driver does.
"""

from __future__ import annotations

from mcutool.errors import Error
from mcutool.progress import Progress
from tests.flash.line import LATENCY, Account, Line, Noise
from tests.flash.smp_times import SIZE, Times
from tests.flash.subjects import Subject, image

BAUD = 115200


def times(subject: Subject, size: int = SIZE) -> dict[str, Times]:
    """Of writing so much over flash that holds something else, and of all that an installation does."""
    size = min(size, subject.room)
    chip, wanted = subject.chip(image(size, seed=2)), image(size)
    line = Line(subject.model(chip), baud=BAUD, locks=subject.locks)
    begun: list[tuple[str, float, Account]] = []

    def note(progress: Progress) -> None:
        if not begun or begun[-1][0] != progress.stage:
            begun.append((progress.stage, line.now(), line.account.copy()))

    subject.install(line, wanted, on_progress=note)
    assert subject.contents(chip, size) == wanted
    sectors = len(subject.order(wanted).plan.sectors)
    writing, verifying = subject.write_turnarounds(size, sectors), subject.verify_turnarounds(size, sectors)
    (_, start, before), (_, end, after) = begun[1], begun[3]
    nothing = Account()
    return {
        "erased and written": _times(end - start, before, after, writing),
        "compared, erased, written, verified, started": _times(line.now(), nothing, line.account, writing + verifying),
    }


def _times(measured: float, before: Account, after: Account, turnarounds: int) -> Times:
    return Times(measured, after.wire - before.wire, after.busy - before.busy, turnarounds * LATENCY)


def ending(subject: Subject, probability: float, kind: str, seed: int) -> str:
    """How one installation over another image ends on a line with noise: "installed", or what went wrong."""
    wanted, chip = image(seed=seed), subject.chip(image(seed=seed + 1000))
    try:
        subject.install(Line(subject.model(chip), noise=Noise(probability, seed, kind), locks=subject.locks), wanted)
    except Error as error:
        return f"{error.name}: {error.message}"
    return "installed" if subject.contents(chip, len(wanted)) == wanted else "says so, and is wrong"
