"""Prints how long a person waits for the quick commands, warm: `python -m tests.bench.startup [ROUNDS]`.

Each command is a new process. The first round fills the caches of Python and of the system and does not count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = {
    "--help": 0.3, "boards": 0.3, "boards stm32f405": 0.3, "ports": 0.3, "run --help": 0.3,
"run examples/hello.wasm": 1.0,
}  # fmt: skip
"""Seconds that each command may take."""


def measure(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds on the wall and of the processor for one run."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mcutool", *words], cwd=ROOT, env=environment, check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
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
        for command, budget in BUDGETS.items():
            _, *runs = [measure(command.split(), environment) for _ in range(rounds + 1)]
            walls, processor = [wall for wall, _ in runs], statistics.median(seconds for _, seconds in runs)
            late += [command] if statistics.median(walls) > budget else []
            numbers = (statistics.median(walls), min(walls), processor, budget)
            table.add_row(command, *(f"{number:.2f}" for number in numbers))
    console = Console(width=100)
    console.print(table)
    console.print(f"over budget: {', '.join(late)}" if late else "all within their budgets")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
