"""A firmware in QEMU, with its console as a link: the second opinion to our own emulator."""

from __future__ import annotations

import select
import subprocess
import time
from pathlib import Path

from mcutool.errors import Disconnected
from mcutool.flash.engine import SmpClient

PATIENCE = 20.0  # seconds; the machine may be busy


class Qemu:
    """A running machine. `link` methods as in mcutool.flash.link.Link; `client` speaks SMP, `output` is its text."""

    def __init__(self, machine: str, elf: Path, *extra: str) -> None:
        self.name = f"QEMU {machine}"
        self.output = b""
        command = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-serial", "stdio"]
        self._process = subprocess.Popen(
            [*command, "-kernel", elf, *extra], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.client = SmpClient(self, on_text=self._collect)

    def _collect(self, text: bytes) -> None:
        self.output += text

    def now(self) -> float:
        return time.monotonic()

    def read(self, timeout: float) -> bytes:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            return b""
        data = self._process.stdout.read(4096)
        if not data:
            raise Disconnected("QEMU ended")
        return data

    def write(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)

    def set_baud(self, baud: int) -> None:
        pass

    def set_parity(self, even: bool) -> None:
        pass

    def set_dtr(self, state: bool) -> None:
        pass

    def set_rts(self, state: bool) -> None:
        pass

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def expect(self, text: bytes, times: int = 1) -> bytes:
        """Wait until the output holds `text` so many times; the output up to there."""
        deadline = self.now() + PATIENCE
        while self.output.count(text) < times:
            assert self.now() < deadline, f"{text!r} does not come; so far: {self.output[-500:]!r}"
            self.client.receive(0.1)
        return self.output
