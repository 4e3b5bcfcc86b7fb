"""Programs of other people around drivers of ours: `python -m tests.bench.further [PROGRAM...]`, else all five.

They are no part of the suite, so nothing has been tuned to them: how much slower than native code they are, beside the
suite's mean, says whether the suite is like other programs. Their sources come with pip, from the source distributions
whose versions and hashes further-requirements.txt pins; only the drivers are ours. This file decides which programs
these are and how they are built. It refuses to know how anything is counted.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firmware_runtime.fetch import fetch
from tests.bench.figures import Figure, Suite, cycles, groups, size
from tests.bench.measure import BOARDS, HERE, Program, measure
from tests.bench.tables import WIDTH, new

DRIVERS = HERE / "further"
REQUIREMENTS = HERE / "further-requirements.txt"
FLAGS = ("-w", "-DNDEBUG", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-isystem",
         str(DRIVERS / "include"), f"-I{DRIVERS}")  # fmt: skip
STACK = 4096
GOAL = 1.25
"""How many times the suite's mean theirs may be."""
TITLES = ("integer and f32", "integer")
"""The means to which theirs, of integer programs all, are compared: the goal is about the first."""
FIGURES = [Figure(core, partial(cycles, "O2", on, 0)) for on, core in BOARDS.items()]


@dataclass(frozen=True)
class _Further:
    """Which files of a package are compiled, as patterns, and where its headers are."""

    package: str
    argument: int
    sources: tuple[str, ...]
    include: tuple[str, ...]
    flags: tuple[str, ...] = ()


SIGNAL, VAD = "cbits/webrtc/common_audio/signal_processing", "cbits/webrtc/common_audio/vad"
ALL = {
    "heatshrink": _Further(
        "heatshrink2", 2, ("heatshrink2/_heatshrink/*.c",), ("heatshrink2/_heatshrink",),
        ("-DHEATSHRINK_DYNAMIC_ALLOC=0",),
    ),
    "llhttp": _Further("httptools", 20, ("vendor/llhttp/src/*.c",), ("vendor/llhttp/include",), ("-U__wasm__",)),
    "base64": _Further(
        "pybase64", 20, ("base64/lib/arch/generic/codec.c", "base64/lib/tables/tables.c"),
        ("base64/include", "base64/lib"),
    ),
    "webrtcvad": _Further(
        "webrtcvad", 6, (f"{VAD}/vad_*.c", f"{SIGNAL}/*.c"), ("cbits",), ("-D__pnacl__", "-Dabs=__builtin_abs"),
    ),
    "xxhash": _Further("xxhash", 12, (), ("deps/xxhash",)),
}  # fmt: skip


def programs() -> dict[str, Program]:
    """All of them, their sources fetched."""
    fetched = fetch(REQUIREMENTS)
    return {name: _program(name, further, fetched) for name, further in ALL.items()}


def _program(name: str, further: _Further, fetched: Path) -> Program:
    (root,) = fetched.glob(f"{further.package}-*")
    sources = sorted(path for pattern in further.sources for path in root.glob(pattern))
    own = (DRIVERS / f"{name}.c", DRIVERS / "work.c", DRIVERS / "libc.c")
    headers = (f"-I{root / folder}" for folder in further.include)
    return Program(name, further.argument, (*own, *sources), (*FLAGS, *further.flags, *headers), STACK)


def apart(further: Suite, suite: Suite) -> dict[str, list[float]]:
    """Their mean on each core relative to the suite's means, the one that counts first."""
    parts = {title: programs for title, programs in groups(suite).items() if title in TITLES}
    return {title: [f.mean(further.values()) / f.mean(programs) for f in FIGURES] for title, programs in parts.items()}


def table(further: Suite, suite: Suite) -> Table:
    """A row a program, and how far they are from the suite, if that was counted."""
    title = "programs of other people, clang -O2 relative to gcc -O2: modelled cycles on emulated boards; bytes of code"
    cores = [figure.heading for figure in FIGURES]
    shown = new(title, ["program", "native cycles", *cores, "wasm code", "code", "code to wasm"])
    to_wasm = size("O2")[1]
    for name, levels in further.items():
        translated, native = levels["O2"].translated, levels["O2"].native[next(iter(BOARDS))]
        shown.add_row(
            name, f"{native.cost.cycles[0]:,}", *(f"{figure.ratio(levels):.2f}" for figure in FIGURES),
            f"{translated.wasm_code:,}", f"{translated.code:,}", f"{to_wasm.ratio(levels):.2f}",
        )  # fmt: skip
    shown.add_section()
    means = {"mean of these": list(further.values())}
    means |= {f"mean of the suite, {title}": groups(suite)[title] for title in apart(further, suite)}
    for title, programs in means.items():
        ratios = [f"{figure.mean(programs):.2f}" for figure in FIGURES]
        shown.add_row(title, "", *ratios, "", "", f"{to_wasm.mean(programs):.2f}")
    for title, ratios_to in apart(further, suite).items():
        goal = f" (at most {GOAL})" if title == TITLES[0] else ""
        shown.add_row(f"these to the suite, {title}{goal}", "", *(f"{ratio:.2f}" for ratio in ratios_to))
    return shown


def main(names: list[str]) -> int:
    found = programs()
    with tempfile.TemporaryDirectory() as folder:
        further: Suite = {name: {"O2": measure(found[name], "O2", Path(folder))} for name in names}
    Console(width=WIDTH).print(table(further, {}))
    return 0 if all(levels["O2"].agrees for levels in further.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(ALL)))
