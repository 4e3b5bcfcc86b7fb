"""The interpreter built for this PC, with address and undefined-behaviour sanitizers, as a road."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

RUNTIME = Path(__file__).resolve().parent.parent / "firmware_runtime"
SOURCES = ["execute.c", "vm.c", "image.c", "verify.c", "arithmetic.c", "host.c", "sha256.c", "port/pc/main.c"]
FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ARENA = 4 << 20


@cache
def program() -> Path:
    """The program; compiled once a test process."""
    path = Path(mkdtemp(prefix="mcutool-pc-")) / "vm"
    subprocess.run(["gcc", *FLAGS, *SANITIZERS, *SOURCES, "-lm", "-o", path], cwd=RUNTIME, check=True)
    return path


class PcMachine:
    """A loaded image; `call` runs a function of the bundle by its number."""

    def __init__(self, image: bytes, folder: Path, arena: int = ARENA) -> None:
        file = folder / "image.mcu"
        file.write_bytes(image)
        self._process = subprocess.Popen(
            [program(), file, str(arena)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, function: int, arguments: list[int], results: int) -> tuple[str, list[int]]:
        """("ok", result slots) or ("trap", [kind, exit status]); arguments and results as unsigned 32-bit slots."""
        return self._ask("call", [function, results, *arguments])

    def globals(self, first: int, count: int) -> list[int]:
        """The slots of globals as they are now."""
        return self._ask("globals", [first, count])[1]

    def _ask(self, command: str, numbers: list[int]) -> tuple[str, list[int]]:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.stdin.write(" ".join([command, *(f"{number:x}" for number in numbers)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        assert answer, self._process.stderr.read()
        return answer[0], [int(word, 16) for word in answer[1:]]

    def close(self) -> str:
        """End it; the program's output. Raises AssertionError when a sanitizer complained."""
        _, errors = self._process.communicate()
        assert self._process.returncode == 0, errors
        return errors
