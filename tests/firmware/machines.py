"""A firmware in QEMU or in our emulator, with its console as a link, so that both run the same tests."""

from __future__ import annotations

import select
import subprocess
import time
from pathlib import Path

from mcutool.devices import Board
from mcutool.emulator.machine import Machine
from mcutool.errors import Disconnected
from mcutool.flash.smp_client import SmpClient
from mcutool.placement import placed

PATIENCE = 20.0  # seconds; the computer may be busy


class Console:
    """What both have: `client` speaks SMP over the console line, `output` is the text between."""

    name = ""
    lossless = False

    def __init__(self) -> None:
        self.output = b""
        self.client = SmpClient(self, on_text=self._collect)

    def _collect(self, text: bytes) -> None:
        self.output += text

    def now(self) -> float:
        raise NotImplementedError

    def read(self, timeout: float) -> bytes:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def set_baud(self, baud: int) -> None:
        pass

    def set_parity(self, even: bool) -> None:
        pass

    def set_dtr(self, state: bool) -> None:
        pass

    def set_rts(self, state: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def expect(self, text: bytes, times: int = 1) -> bytes:
        """Wait until the output holds `text` so many times; the output up to there."""
        deadline = self.now() + PATIENCE
        while self.output.count(text) < times:
            assert self.now() < deadline, f"{text!r} does not come; so far: {self.output[-500:]!r}"
            self.client.receive(0.1)
        return self.output


def qemu_loaders(board: Board, image: Path) -> list[str]:
    """Options that put an image, and the record of it, into QEMU's flash; it has no file for parts of a memory."""
    words = []
    for number, (_, offset, data) in enumerate(placed(board.chip, image.read_bytes())):
        part = image.with_suffix(f".{number}")
        part.write_bytes(data)
        words += ["-device", f"loader,file={part},addr={board.chip.flash.base + offset:#x},force-raw=on"]
    return words


class Qemu(Console):
    """The second opinion. An image is put into the slot at every reset."""

    def __init__(self, board: Board, elf: Path, image: Path | None) -> None:
        super().__init__()
        self.name = f"QEMU {board.qemu}"
        command = ["qemu-system-arm", "-M", board.qemu, "-display", "none", "-monitor", "none", "-serial", "stdio"]
        if image:
            command += qemu_loaders(board, image)
        self._process = subprocess.Popen(
            [*command, "-kernel", str(elf)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

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

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Emulated(Console):
    """Our own emulator; its clock is the board's."""

    def __init__(self, board: Board, elf: Path, image: Path | None) -> None:
        super().__init__()
        self.name = f"emulated {board.name}"
        self._received = bytearray()
        self.machine = Machine(board, elf)
        self.machine.uart.on_output = self._take
        if image:
            self.machine.install(image.read_bytes())

    def _take(self, data: bytes) -> None:
        self._received += data
        self.machine.stop()

    def now(self) -> float:
        return self.machine.clock.seconds

    def read(self, timeout: float) -> bytes:
        if not self._received:
            self.machine.run_for(timeout)
        data = bytes(self._received)
        self._received.clear()
        return data

    def write(self, data: bytes) -> None:
        self.machine.uart.feed(data)

    def close(self) -> None:
        assert not self.machine.flash.violations, "flash was programmed that had not been erased"
