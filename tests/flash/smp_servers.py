"""SMP servers that are not ours: MCUboot's serial recovery and programs of Zephyr, in QEMU and as Linux programs.

They come with the sources of smpclient on PyPI, fetched once per checkout (`python -m tests.flash.smp_servers`). This
file decides how each is started and reached. It refuses to know what is said to it.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from firmware_runtime.fetch import fetch
from mcutool.errors import NoPort
from mcutool.flash.link import SerialLink

REQUIREMENTS = Path(__file__).with_name("smp-servers-requirements.txt")
PATIENCE = 60.0  # seconds; the computer may be busy
RECOVERY = "zephyr_f33aa2bc4a43_smp_server_27c54835_mps2_an385_serial_recovery"
CORTEX_M0 = "zephyr_4.4.0_smp_server_0eae053d_qemu_cortex_m0_serial"
NATIVE = "zephyr_4.4.0_smp_server_0eae053d_native_sim_serial"


def folder() -> Path:
    """Where the servers lie."""
    return next(fetch(REQUIREMENTS, isolated=True).glob("*/tests/fixtures/smp-server"))


def signed(server: str) -> bytes:
    """The image that the server runs, as it is uploaded."""
    return (folder() / f"{server}.signed.bin").read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class InQemu:
    """A server in QEMU, its console on a socket. Its flash is written anew from `loads` at each reset.

    QEMU's UART of the micro:bit never receives again when something comes before the program is `ready`, as it prints.
    """

    def __init__(self, machine: str, *loads: str, ready: bytes = b"") -> None:
        self.ready = ready
        port = free_port()
        self.url = f"socket://127.0.0.1:{port}"
        console = f"socket,id=console,host=127.0.0.1,port={port},server=on,wait=on,nodelay=on"
        command = ["qemu-system-arm", "-machine", machine, "-display", "none", "-monitor", "none", "-chardev", console]
        command += ["-serial", "chardev:console", "-serial", "null"]
        command += [word for load in loads for word in ("-device", f"loader,file={folder() / load}")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def connect(self) -> SerialLink:
        """Open the console, as soon as QEMU offers it. The first time the machine starts then."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return SerialLink(self.url, 115200)
            except NoPort:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)

    def started(self, link: SerialLink) -> SerialLink:
        """Wait until the program is ready."""
        deadline, text = time.monotonic() + PATIENCE, b""
        while self.ready not in text:
            assert time.monotonic() < deadline, text
            text += link.read(0.1)
        return link

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Native:
    """A server that is a program of this computer, its console on a pseudo-terminal. It has no images."""

    def __init__(self, server: str) -> None:
        executable = folder() / f"{server}.exe"
        executable.chmod(0o755)
        self._files = tempfile.TemporaryDirectory()  # where it keeps its flash
        self.process = subprocess.Popen(
            [executable], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self._files.name
        )
        assert self.process.stdout is not None
        place = re.search(rb"pseudotty: (\S+)", self.process.stdout.readline())
        assert place is not None
        self.url = place[1].decode()

    def connect(self) -> SerialLink:
        return SerialLink(self.url, 115200)

    def started(self, link: SerialLink) -> SerialLink:
        return link

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._files.cleanup()


def recovery() -> InQemu:
    """MCUboot without a program, thus in its serial recovery; a Cortex-M3."""
    return InQemu("mps2-an385", f"{RECOVERY}.hex")


def program_with_recovery() -> InQemu:
    """A program of Zephyr that takes images, above an MCUboot with serial recovery; a Cortex-M3."""
    return InQemu("mps2-an385", f"{RECOVERY}.hex", f"{RECOVERY}.signed.bin,addr=0x20050000")


def program_that_swaps() -> InQemu:
    """A program of Zephyr that takes images, above an MCUboot that swaps its two slots; a Cortex-M0."""
    return InQemu("microbit", f"{CORTEX_M0}.merged.hex", ready=b"build time")


if __name__ == "__main__":
    folder()
