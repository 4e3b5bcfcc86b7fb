"""Prints how long a person waits for the quick commands, warm: `python -m tests.bench.startup [ROUNDS]`.

Each command is a new process. The first round fills the caches of Python and of the system and does not count. Two of
them translate modules of about 30 and 3 KB of code, which are programs of the suite linked together; these are built
anew each time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mcutool import cache
from mcutool.wasm.reader import read_module
from tests.bench.measure import CLANG, PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
SMALL_MODULE = ("json", "base64", "crc32")


@dataclass(frozen=True)
class Command:
    """Words behind `mcutool`, how the table calls them, and the seconds that they may take."""

    title: str
    words: list[str]
    budget: float
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment."""


QUICK = [
    *(Command(words, words.split(), 0.3) for words in
      ("--help", "boards", "boards stm32f405", "ports", "run --help")),
    Command("run examples/hello.wasm", ["run", "examples/hello.wasm"], 1.0),
]  # fmt: skip


def builds(folder: Path) -> list[Command]:
    """Translations of a large and a small module, which are made in the folder."""
    made = []
    for title, names, budget in (("large", list(PROGRAMS), 1.5), ("small", list(SMALL_MODULE), 0.5)):
        wasm = link(names, folder / f"{title}.wasm")
        code = read_module(wasm.read_bytes()).code_size
        words = ["build", str(wasm), "-o", str(wasm.with_suffix(".mcu"))]
        made.append(Command(f"build: {code:,} bytes of code", words, budget, {cache.VARIABLE: "0"}))
    return made


def link(names: list[str], wasm: Path) -> Path:
    """Programs of the suite as one module that exports the `run` of each under its program's name."""
    objects = []
    for name in names:
        objects.append(wasm.with_name(f"{wasm.stem}-{name}.o"))
        source = PROGRAMS[name].sources[0]
        subprocess.run([*CLANG[:4], "-O2", "-c", f"-Drun=run_{name}", source, "-o", objects[-1]], check=True)
    exports = [f"-Wl,--export=run_{name}" for name in names]
    options = [option for option in CLANG if option != "-Wl,--export=run"]
    subprocess.run([*options, "-Wl,-z,stack-size=1024", *exports, *objects, "-o", wasm], check=True)
    return wasm


def measure(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds on the wall and of the processor for one run."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mcutool", *words], cwd=ROOT, env=environment, check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main(rounds: int) -> int:
    table = Table(
        title=f"median of {rounds} runs and the shortest, seconds; load of this machine {os.getloadavg()[0]:.1f}"
    )
    for heading in ("mcutool", "wall", "shortest", "processor", "budget"):
        table.add_column(heading, justify="left" if heading == "mcutool" else "right")
    late = []
    with tempfile.TemporaryDirectory() as folder:  # where Python keeps what it has compiled, whatever the user's habit
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for command in [*QUICK, *builds(Path(folder))]:
            _, *runs = [measure(command.words, environment | command.variables) for _ in range(rounds + 1)]
            walls, processor = [wall for wall, _ in runs], statistics.median(seconds for _, seconds in runs)
            late += [command.title] if statistics.median(walls) > command.budget else []
            numbers = (statistics.median(walls), min(walls), processor, command.budget)
            table.add_row(command.title, *(f"{number:.2f}" for number in numbers))
    console = Console(width=100)
    console.print(table)
    console.print(f"over budget: {', '.join(late)}" if late else "all within their budgets")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
