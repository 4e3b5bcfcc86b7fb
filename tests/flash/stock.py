"""The flashing tools that people have, on the same models with the same noise: how often they succeed.

Decides how stm32flash and bossac are called and what counts as success: exit code 0, and flash that holds the file.
Refuses to know what they do. The line is a pseudo-terminal and time is real, with devices that need none; a run that
takes longer than LIMIT has failed.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

from mcutool.emulator.serve import PseudoTerminal
from tests.flash.line import Noise
from tests.flash.subjects import SUBJECTS, Subject, image

LIMIT = 20.0  # seconds of one run; without noise they take less than three
AT_ONCE = 2


@dataclass(frozen=True)
class Tool:
    """One program, whom it talks to, and its command line for a port and a file."""

    name: str
    subject: Subject
    command: Callable[[str, str], list[str]]


TOOLS = (
    Tool("stm32flash", SUBJECTS["stm32f405"],
         lambda port, file: ["-m", "8n1", "-w", file, "-v", "-g", "0x08000000", port]),
    Tool("bossac", SUBJECTS["arduino-zero"],
         lambda port, file: ["-p", port, "-o", "0x2000", "-e", "-w", "-v", "-R", file]),
)  # fmt: skip


@contextmanager
def served(device: Any, noise: Noise, folder: Path):
    """The device on a pseudo-terminal, whose name says nothing about USB."""
    port, ended = PseudoTerminal(folder / "board"), threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if select(port.files(), [], [], 0.002)[0]:
                port.send(noise(device.feed(noise(port.receive()))))
            elif not port.files():
                ended.wait(0.002)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port.url
    finally:
        ended.set()
        thread.join()
        port.close()


def attempt(tool: Tool, probability: float, seed: int) -> str:
    """How one run ends: "installed", "failed", "too late", or "says so, and is wrong"."""
    wanted = image(seed=seed)
    chip, noise = tool.subject.chip(image(seed=seed + 1000)), Noise(probability, seed)
    with tempfile.TemporaryDirectory() as folder, served(tool.subject.model(chip), noise, Path(folder)) as port:
        file = Path(folder) / "image.bin"
        file.write_bytes(wanted)
        command = [tool.name, *tool.command(port, str(file))]
        done = None
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, timeout=LIMIT)
    if done is None:
        return "too late"
    if done.returncode:
        return "failed"
    return "installed" if tool.subject.contents(chip, len(wanted)) == wanted else "says so, and is wrong"


def count(tool: Tool, probability: float, runs: int) -> Counter[str]:
    """How many runs end in which way."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(lambda seed: attempt(tool, probability, seed), range(runs)))
