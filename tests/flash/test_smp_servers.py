"""Our side of SMP against servers that are not ours: MCUboot's serial recovery and programs of Zephyr."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest
import smp_servers
from smp_servers import CORTEX_M0, NATIVE, RECOVERY, InQemu, Native

from mcutool import devices
from mcutool.devices import Loader
from mcutool.errors import Disconnected, DoesNotFit, ImageRefused, UsageError, VerificationFailed, WrongChip
from mcutool.flash import drivers
from mcutool.flash.drivers.mcuboot import McuBoot
from mcutool.image import mcuboot
from mcutool.image.format import contain
from mcutool.image.mcuboot import SignedImage
from mcutool.progress import Progress

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


def connected(server: InQemu | Native, board: devices.Board = BOARD, **options) -> McuBoot:
    driver = McuBoot(server.started(server.connect()), board, LOADER, **options)
    driver.connect()
    return driver


def reconnected(server: InQemu | Native, board: devices.Board = BOARD, **options) -> McuBoot:
    """Connected once more, without a restart of the server."""
    driver = McuBoot(server.connect(), board, LOADER, **options)
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


def in_recovery(server: InQemu | Native, **options) -> McuBoot:
    """MCUboot itself, with the program in its slot."""
    driver = connected(server, **options)
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
    done = driver.install(new, recovery=True)
    assert (done.bytes, done.recovery) == (len(new.data), True)
    assert listed(driver, new)["version"] == "1.0.0"
    assert driver.install(new).bytes == 0


def test_recovery_starts_what_it_has(start: Start) -> None:
    server = start(smp_servers.program_with_recovery)
    driver = in_recovery(server)
    assert driver.install(image(RECOVERY)).bytes == 0
    driver.client.link.close()
    assert reconnected(server).running


def test_recovery_goes_on_with_an_upload_that_was_cut_off(start: Start) -> None:
    server, new = start(smp_servers.program_with_recovery), image(RECOVERY, 1)
    first = in_recovery(server, on_progress=CutOff(40_000))
    with pytest.raises(Disconnected):
        first.install(new)
    first.client.link.close()
    watch = CutOff(10**9)
    second = reconnected(server, on_progress=watch)
    assert not second.running
    second.install(new)
    assert watch.began >= 40_000


def test_recovery_does_not_go_on_with_the_upload_of_another_image(start: Start) -> None:
    server, new = start(smp_servers.program_with_recovery), image(RECOVERY, 1)
    first = in_recovery(server, on_progress=CutOff(100_000))
    with pytest.raises(Disconnected):
        first.install(image(RECOVERY, 2))
    first.client.link.close()
    second = reconnected(server)
    second.client.reset = lambda: None  # type: ignore[method-assign]
    second.install(new)
    assert listed(second, new)


def test_an_image_that_is_not_listed_does_not_count_as_installed(start: Start) -> None:
    """This MCUboot copies programs to RAM and lists none before it has done so once."""
    driver = connected(start(smp_servers.recovery))
    with pytest.raises(VerificationFailed, match="does not list it"):
        driver.install(image(RECOVERY))


def test_recovery_refuses_what_it_has_no_slot_for(start: Start) -> None:
    driver = connected(start(smp_servers.recovery))
    with pytest.raises(ImageRefused, match="invalid value"):
        driver.install(image(RECOVERY), number=7)
    large = mcuboot.read("large", contain(bytes(600_000)))
    with pytest.raises(ImageRefused, match="invalid value"):
        driver.install(large)
    assert driver.client.images() == []


@pytest.mark.parametrize("test", [False, True])
def test_a_running_program_takes_an_image_that_starts_after_the_reset(start: Start, test: bool) -> None:
    server, new = start(smp_servers.program_that_swaps), image(CORTEX_M0, 1)
    driver = connected(server, MICROBIT)
    done = driver.install(new, test=test)
    assert (done.bytes, done.recovery) == (len(new.data), False)
    server.started(driver.client.link)
    driver.client.link.close()
    again = reconnected(server, MICROBIT)
    found = listed(again, new)
    assert (found["slot"], found["active"], found["confirmed"]) == (0, True, not test)
    assert again.install(new).bytes == 0
    assert listed(again, new)["confirmed"]


def test_a_program_goes_on_with_an_upload_that_was_cut_off(start: Start) -> None:
    server, new = start(smp_servers.program_that_swaps), image(CORTEX_M0, 1)
    first = connected(server, MICROBIT, on_progress=CutOff(20_000))
    with pytest.raises(Disconnected):
        first.install(new)
    first.client.link.close()
    progress: list[Progress] = []
    second = reconnected(server, MICROBIT, on_progress=progress.append)
    second.install(new)
    assert next(step.done for step in progress if step.done) >= 20_000


def test_what_is_there_already_is_written_again_when_asked_to(start: Start) -> None:
    driver = connected(start(smp_servers.program_that_swaps), MICROBIT)
    assert driver.install(image(CORTEX_M0)).bytes == 0
    assert driver.install(image(CORTEX_M0), full=True).bytes == len(smp_servers.signed(CORTEX_M0))


def test_a_program_refuses_what_it_has_no_slot_for(start: Start) -> None:
    driver = connected(start(smp_servers.program_that_swaps), MICROBIT)
    with pytest.raises(UsageError, match="takes no image 3, only 0"):
        driver.install(image(CORTEX_M0, 1), number=3)
    with pytest.raises(DoesNotFit, match="the image has 120072 bytes, the slot 106496"):
        driver.install(mcuboot.read("large", contain(bytes(120_000))))


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
        driver.install(image(RECOVERY))


def test_a_program_that_does_not_restart_into_mcuboot_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.mcuboot, "RESTART", 2.0)
    driver = connected(start(lambda: Native(NATIVE)))
    monkeypatch.setattr(driver.client, "write", lambda *_, **__: {})
    with pytest.raises(ImageRefused, match="takes no images, and does not restart into MCUboot") as refusal:
        driver.install(image(RECOVERY))
    assert refusal.value.next_action == LOADER.enter
