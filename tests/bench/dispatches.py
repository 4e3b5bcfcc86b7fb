"""Counts how often each bytecode instruction of a program is executed, exactly.

Every road executes the same bytecode, so the fastest counts: the interpreter built for this PC, with a counter in its
loop. This file decides which instructions count: those of the program's functions, not the one that instantiates the
module and not the stub to which the call returns. It refuses to know what is made of the counts.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcutool.encoding import Decoded, decode
from mcutool.image.format import Image, parse
from mcutool.listing import listings
from tests.pc import ARENA, RUNTIME, SOURCES

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Place:
    """An instruction of a program, how often it was executed, and whether control comes to it from elsewhere than
    from the instruction before it."""

    position: int
    decoded: Decoded
    executed: int
    is_target: bool


@cache
def interpreter() -> Path:
    """The counting interpreter; compiled once a process."""
    path = Path(tempfile.mkdtemp(prefix="mcutool-counts-")) / "vm"
    counting: list[str | Path] = ["-include", HERE / "counts.h", HERE / "counts.c"]
    subprocess.run(["gcc", "-std=gnu11", "-O2", *counting, *SOURCES, "-lm", "-o", path], cwd=RUNTIME, check=True)
    return path


def count(image: bytes, argument: int) -> tuple[int, list[Place]]:
    """What `run(argument)` gives, and the instructions of the program in the order of its code."""
    parsed = parse(image)
    (module,) = parsed.modules
    run = next(row["index"] for row in parsed.exports if row["name"] == "run")
    with tempfile.NamedTemporaryFile() as file:
        file.write(image)
        file.flush()
        done = subprocess.run(
            [interpreter(), file.name, str(ARENA)], capture_output=True, text=True, check=True, timeout=60,
            input=f"call {module['instantiate']:x} 0\ncall {run:x} 1 {argument:x}\n",
        )  # fmt: skip
    _, answer, *lines = done.stdout.splitlines()
    status, checksum, *_ = answer.split()
    if status != "ok":
        raise RuntimeError(f"run({argument}) ended with {answer}")
    executed = {int(place, 16): int(number, 16) for place, number in map(str.split, lines)}
    return int(checksum, 16), places(parsed, executed)


def places(image: Image, executed: dict[int, int]) -> list[Place]:
    """The instructions of all functions but the instantiation, with their counts by position."""
    instantiations = {module["instantiate"] for module in image.modules}
    functions = [listing for listing in listings(image, {}) if listing.index not in instantiations]
    starts = {function.lines[0].position for function in functions}
    found = [(line.position, decode(image.code, line.position)) for f in functions for line in f.lines]
    pairs = [(position, decoded) for position, decoded in found if decoded]
    targets = starts.union(*(targets_of(position, decoded) for position, decoded in pairs))
    return [Place(at, decoded, executed.get(at, 0), at in targets) for at, decoded in pairs]


def targets_of(position: int, decoded: Decoded) -> set[int]:
    """Where an instruction may branch to."""
    distances = [*decoded.table, *(decoded.operands[letter] for letter in "j" if letter in decoded.operands)]
    return {position + distance for distance in distances}
