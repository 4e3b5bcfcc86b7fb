"""Our side of SMP against servers that are not ours: MCUboot's serial recovery and programs of Zephyr."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import smp_servers
from smp_servers import CORTEX_M0, NATIVE, RECOVERY, InQemu, Native

from mcutool import devices
from mcutool.devices import Loader
from mcutool.errors import Disconnected, DoesNotFit, ImageRefused, UsageError, VerificationFailed, WrongChip
from mcutool.flash import drivers
from mcutool.flash.drivers.mcuboot import McuBoot
from mcutool.flash.link import Link
from mcutool.image import mcuboot
from mcutool.image.format import contain
from mcutool.image.mcuboot import SignedImage
from mcutool.progress import OnProgress, Progress, ignore

LOADER = Loader("mcuboot", enter="hold button 1 and press reset")
BOARD = devices.board("nrf52840dk")
MICROBIT = devices.board("microbit")
Start = Callable[[Callable[[], InQemu | Native]], InQemu | Native]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, and stops them in the end."""
    running: list[InQemu | Native] = []

    def started(server: Callable[[], InQemu | Native]) -> InQemu | Native:
        running.append(server())
        return running[-1]

    yield started
    for server in running:
        server.stop()


def connected(server: InQemu | Native, board: devices.Board = BOARD, on_progress: OnProgress = ignore) -> McuBoot:
    return over(server, server.started(server.connect()), board, on_progress)


def reconnected(server: InQemu | Native, board: devices.Board = BOARD, on_progress: OnProgress = ignore) -> McuBoot:
    """Connected once more, without a restart of the server."""
    return over(server, server.connect(), board, on_progress)


def over(server: InQemu | Native, link: Link, board: devices.Board, on_progress: OnProgress) -> McuBoot:
    """After a reset too nothing is sent before the server is ready: see InQemu."""
    driver = McuBoot(link, board, LOADER)
    driver.client.on_progress = on_progress
    reset = driver.client.reset

    def reset_and_wait() -> None:
        reset()
        server.started(link)

    driver.client.reset = reset_and_wait  # type: ignore[method-assign]
    driver.connect()
    return driver


def image(server: str, version: int = 0) -> SignedImage:
    """The server's own image, with another version when one is given: that makes it another image."""
    data = bytearray(smp_servers.signed(server))
    data[20] = version
    data[-32:] = hashlib.sha256(data[:-40]).digest()
    return mcuboot.read(server, bytes(data))


def listed(driver: McuBoot, wanted: SignedImage) -> dict:
    return next(entry for entry in driver.client.images() if entry["hash"] == wanted.hash)


def in_recovery(server: InQemu | Native, on_progress: OnProgress = ignore) -> McuBoot:
    """MCUboot itself, with the program in its slot."""
    driver = connected(server, on_progress=on_progress)
    driver._enter_recovery()
    return driver


class CutOff:
    """Loses the line once `limit` bytes were uploaded; remembers where the upload began."""

    def __init__(self, limit: int) -> None:
        self.limit, self.began = limit, -1

    def __call__(self, progress: Progress) -> None:
        self.began = progress.done if self.began < 0 else self.began
        if progress.done >= self.limit:
            raise Disconnected("the line is cut")


def test_a_running_program_hands_over_to_recovery_which_takes_an_image(start: Start) -> None:
    driver = connected(start(smp_servers.program_with_recovery))
    driver.client.reset = lambda: None  # type: ignore[method-assign] # at a reset QEMU puts its first image back
    new = image(RECOVERY, 1)
    assert driver.running
    assert driver.update(new, recovery=True)
    assert not driver.running
    assert listed(driver, new)["version"] == "1.0.0"
    assert not driver.update(new)


def test_recovery_starts_what_it_has(start: Start) -> None:
    server = start(smp_servers.program_with_recovery)
    driver = in_recovery(server)
    assert not driver.update(image(RECOVERY))
    driver.client.link.close()
    assert reconnected(server).running


def test_recovery_goes_on_with_an_upload_that_was_cut_off(start: Start) -> None:
    server, new = start(smp_servers.program_with_recovery), image(RECOVERY, 1)
    first = in_recovery(server, on_progress=CutOff(40_000))
    with pytest.raises(Disconnected):
        first.update(new)
    first.client.link.close()
    watch = CutOff(10**9)
    second = reconnected(server, on_progress=watch)
    assert not second.running
    second.update(new)
    assert watch.began >= 40_000


def test_recovery_does_not_go_on_with_the_upload_of_another_image(start: Start) -> None:
    server, new = start(smp_servers.program_with_recovery), image(RECOVERY, 1)
    first = in_recovery(server, on_progress=CutOff(100_000))
    with pytest.raises(Disconnected):
        first.update(image(RECOVERY, 2))
    first.client.link.close()
    second = reconnected(server)
    second.client.reset = lambda: None  # type: ignore[method-assign]
    second.update(new)
    assert listed(second, new)


def test_an_image_that_is_not_listed_does_not_count_as_installed(start: Start) -> None:
    """This MCUboot copies programs to RAM and lists none before it has done so once."""
    driver = connected(start(smp_servers.recovery))
    with pytest.raises(VerificationFailed, match="does not list it"):
        driver.update(image(RECOVERY))


def test_recovery_refuses_what_it_has_no_slot_for(start: Start) -> None:
    driver = connected(start(smp_servers.recovery))
    with pytest.raises(ImageRefused, match="invalid value"):
        driver.update(image(RECOVERY), number=7)
    large = mcuboot.read("large", contain(bytes(600_000)))
    with pytest.raises(ImageRefused, match="invalid value"):
        driver.update(large)
    assert driver.client.images() == []


@pytest.mark.parametrize("test", [False, True])
def test_a_running_program_takes_an_image_that_starts_after_the_reset(start: Start, test: bool) -> None:
    server, new = start(smp_servers.program_that_swaps), image(CORTEX_M0, 1)
    driver = connected(server, MICROBIT)
    assert driver.update(new, test=test)
    assert driver.verified == "by SHA-256"  # and what starts, by asking it
    driver.client.link.close()
    again = reconnected(server, MICROBIT)
    found = listed(again, new)
    assert (found["slot"], found["active"], found["confirmed"]) == (0, True, not test)
    assert not again.update(new)
    assert listed(again, new)["confirmed"]


def test_a_program_goes_on_with_an_upload_that_was_cut_off(start: Start) -> None:
    server, new = start(smp_servers.program_that_swaps), image(CORTEX_M0, 1)
    first = connected(server, MICROBIT, on_progress=CutOff(20_000))
    with pytest.raises(Disconnected):
        first.update(new)
    first.client.link.close()
    progress: list[Progress] = []
    second = reconnected(server, MICROBIT, on_progress=progress.append)
    second.update(new)
    assert next(step.done for step in progress if step.done) >= 20_000


def test_what_is_there_already_is_written_again_when_asked_to(start: Start) -> None:
    driver = connected(start(smp_servers.program_that_swaps), MICROBIT)
    assert not driver.update(image(CORTEX_M0))
    assert driver.update(image(CORTEX_M0), full=True)


def test_a_program_refuses_what_it_has_no_slot_for(start: Start) -> None:
    driver = connected(start(smp_servers.program_that_swaps), MICROBIT)
    with pytest.raises(UsageError, match="takes no image 3, only 0"):
        driver.update(image(CORTEX_M0, 1), number=3)
    with pytest.raises(DoesNotFit, match="the image has 120072 bytes, the slot 106496"):
        driver.update(mcuboot.read("large", contain(bytes(120_000))))


def test_the_chip_that_a_program_was_built_for_is_compared(start: Start) -> None:
    with pytest.raises(WrongChip, match="is for qemu_cortex_m0/nrf51822, not for nrf52840"):
        connected(start(smp_servers.program_that_swaps))


@pytest.mark.parametrize("server", ["", "_noparams", "_buf2048", "_buf96"])
def test_a_program_that_takes_no_images_is_asked_to_restart(start: Start, server: str) -> None:
    """These have no MCUboot below: they end when they are asked to restart."""
    driver = connected(start(lambda: Native(NATIVE + server)))
    assert driver.running
    assert driver.client.echo("hello") == "hello"
    with pytest.raises(Disconnected):
        driver.update(image(RECOVERY))


def test_a_program_that_does_not_restart_into_mcuboot_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.mcuboot, "RESTART", 2.0)
    driver = connected(start(lambda: Native(NATIVE)))
    monkeypatch.setattr(driver.client, "write", lambda *_, **__: {})
    with pytest.raises(ImageRefused, match="takes no images, and does not restart into MCUboot") as refusal:
        driver.update(image(RECOVERY))
    assert refusal.value.next_action == LOADER.enter


def test_where_the_version_decides_a_lower_one_is_refused(start: Start) -> None:
    driver = connected(start(smp_servers.program_with_recovery))
    same = mcuboot.read("same", contain(bytes(10_000)))
    with pytest.raises(ImageRefused, match="the highest version, and 0.0.0 is not above 0.0.0"):
        driver.update(same)


def flash(file: Path, server: InQemu | Native) -> dict:
    """What `mcutool flash` says in JSON."""
    command = [sys.executable, "-m", "mcutool", "flash", str(file), "--board", BOARD.name, "--protocol", "mcuboot"]
    done = subprocess.run([*command, "--port", server.url, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_line_installs_once(start: Start, tmp_path: Path) -> None:
    server, new, file = start(smp_servers.program_with_recovery), image(RECOVERY, 1), tmp_path / "new.signed.bin"
    file.write_bytes(new.data)
    server.connect().close()
    assert flash(file, server)["rom"]["bytes"] == len(new.data)
    driver = reconnected(server)
    assert listed(driver, new)["active"]  # MCUboot copies the one with the highest version to RAM
    driver.client.link.close()
    assert flash(file, server)["rom"]["bytes"] == 0
