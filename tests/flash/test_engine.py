"""The flashing engine against emulated bootloaders, on clean and on noisy lines."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from mcutool import devices
from mcutool.devices import Span
from mcutool.errors import (
    Disconnected,
    DoesNotFit,
    ImageRefused,
    NoAnswer,
    Protected,
    VerificationFailed,
    WriteFailed,
    WrongChip,
)
from mcutool.flash import engine
from mcutool.flash.drivers.an3155 import An3155
from mcutool.flash.plan import Order, Plan, plan
from mcutool.flash.protocols import an3155
from mcutool.flash.smp_client import SmpClient
from tests.flash.line import Line
from tests.flash.loopback import LoopbackLink, SmpServer, rom

KIB = 1024
BASE = 0x08000000
BOARD = devices.board("stm32f405")
FLASH = BOARD.chip.flash
LOADER = BOARD.loaders[0]
RUNTIME = Span(0, 64 * KIB)
NOISE = 1e-4  # one flipped bit in 10,000 bytes, each way


def program(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def install(link, work: Plan, **options) -> engine.Outcome:
    return engine.install(An3155, link, Order(BOARD, LOADER, "", b"", (), work), **options)


def contents(device, size: int) -> bytes:
    return device.flash[:size]


def test_install_erases_writes_verifies_and_starts() -> None:
    device, stages = rom(), []
    image = program(20_001)
    work = plan(FLASH, RUNTIME, [(BASE, image)])
    bootloader = install(LoopbackLink(device), work, on_progress=stages.append)
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert bootloader.retries == 0
    assert [stage.stage for stage in stages if stage.done == stage.total] == ["compare", "erase", "write", "verify"]


def test_what_is_there_already_is_not_written_again() -> None:
    device = rom()
    work = plan(FLASH, RUNTIME, [(BASE, program(40_000))])
    install(LoopbackLink(device), work)
    before = device.flash.operations
    device.restart()
    outcome = install(LoopbackLink(device), work)
    assert outcome.sectors == 0 and outcome.unchanged == 3 and device.flash.operations == before
    device.flash.load(20_000, b"\0")
    device.restart()
    outcome = install(LoopbackLink(device), work)
    assert outcome.sectors == 1 and outcome.unchanged == 2 and device.flash.wear[16 * KIB] == 2


def test_a_lost_line_is_waited_for_and_what_was_written_stays() -> None:
    device, image = rom(), program(60_000)
    link = Line(device, cuts=(40_000, 80_000))
    outcome = install(link, plan(FLASH, RUNTIME, [(BASE, image)]))
    assert contents(device, len(image)) == image and device.started == BASE
    assert outcome.reconnects == 2
    assert device.flash.wear == {0: 3, 16 * KIB: 3, 32 * KIB: 1, 48 * KIB: 1}  # the two that were written stayed


def test_a_line_that_stays_away_is_told_with_the_way_back() -> None:
    with pytest.raises(Disconnected) as lost:
        install(Line(rom(), cuts=range(5_000, 500_000, 5_000)), plan(FLASH, RUNTIME, [(BASE, program(60_000))]))
    assert "BOOT0" in lost.value.next_action


@pytest.mark.parametrize("seed", range(12))
def test_install_on_a_noisy_line(seed: int) -> None:
    device, image = rom(), program(20_000, seed)
    link = LoopbackLink(device, NOISE, seed)
    install(link, plan(FLASH, RUNTIME, [(BASE, image)]), full=True)
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert link.waited < 60


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(4))
def test_install_on_a_very_noisy_line(seed: int, kind: str) -> None:
    device, image = rom(commands=tuple(an3155.COMMANDS)), program(20_000, seed)
    link = LoopbackLink(device, 10 * NOISE, seed, kind)
    install(link, plan(FLASH, RUNTIME, [(BASE, image)]))
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert link.noise.spoilt > 5


def test_wrong_chip_is_refused_before_anything_is_erased() -> None:
    device = rom(product_id=0x410)
    with pytest.raises(WrongChip, match="0x410"):
        install(LoopbackLink(device), plan(FLASH, RUNTIME, [(BASE, b"abcd")]))
    assert contents(device, 4) == b"\xff" * 4


def test_too_big_is_refused_by_the_plan() -> None:
    with pytest.raises(DoesNotFit, match="70000 bytes at 0x08000000"):
        plan(FLASH, RUNTIME, [(BASE, bytes(70_000))])


def test_no_answer_says_how_to_enter_the_bootloader() -> None:
    silent = SimpleNamespace(feed=lambda data: b"")
    with pytest.raises(NoAnswer) as failure:
        An3155(LoopbackLink(silent), BOARD, LOADER).connect()
    assert "pull BOOT0 high" in failure.value.next_action


def test_a_babbling_board_is_no_bootloader() -> None:
    babbling = SimpleNamespace(feed=lambda data: b"hello\r\n")
    with pytest.raises(NoAnswer):
        An3155(LoopbackLink(babbling), BOARD, LOADER).connect()


def test_a_protected_chip_is_named_so() -> None:
    device = rom(readout_protected=True)
    with pytest.raises(Protected):
        install(LoopbackLink(device), plan(FLASH, RUNTIME, [(BASE, b"abcd")]))


def test_a_write_protected_sector_is_named() -> None:
    device = rom(write_protected={0})
    with pytest.raises(WriteFailed, match="sector 0 at 0x08000000"):
        install(LoopbackLink(device), plan(FLASH, RUNTIME, [(BASE, b"abcd")]))


def test_worn_flash_fails_verification() -> None:
    device = rom()
    program_flash = device._program_flash
    device._program_flash = lambda address, data: program_flash(address, bytes((data[0] & 0x7F,)) + data[1:])
    with pytest.raises(VerificationFailed, match="sector 0"):
        install(LoopbackLink(device), plan(FLASH, RUNTIME, [(BASE, b"\xffbcd")]))


def test_upload_negotiates_its_chunks() -> None:
    server, progress = SmpServer(buffer_size=512), []
    image = program(9_000)
    client = SmpClient(LoopbackLink(server), on_progress=progress.append)
    client.upload(image)
    assert server.image == image
    assert server.longest <= 512 - 4
    assert len(progress) < 9_000 / 400
    assert client.images()[0]["slot"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_upload_on_a_noisy_line(seed: int) -> None:
    server, image = SmpServer(), program(20_000, seed)
    client = SmpClient(LoopbackLink(server, NOISE, seed))
    client.upload(image)
    assert server.image == image
    assert client.echo("still in step") == "still in step"


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(4))
def test_upload_on_a_very_noisy_line(seed: int, kind: str) -> None:
    server, image = SmpServer(), program(8_000, seed)
    SmpClient(LoopbackLink(server, 10 * NOISE, seed, kind)).upload(image)
    assert server.image == image


def test_an_interrupted_upload_goes_on_where_it_stopped() -> None:
    server, image = SmpServer(), program(10_000)
    server.requests_left = 6
    with pytest.raises(NoAnswer):
        SmpClient(LoopbackLink(server)).upload(image)
    done = len(server.image)
    assert 0 < done < len(image)
    server.requests_left, server.taken = 1_000, 0
    SmpClient(LoopbackLink(server)).upload(image)
    assert server.image == image
    assert server.taken < len(image) - done + 400  # only what was missing, and the first chunk again


def test_a_refused_image_gives_the_boards_reason() -> None:
    server = SmpServer(refusal="no room")
    with pytest.raises(ImageRefused, match="no room"):
        SmpClient(LoopbackLink(server)).upload(b"image")


def test_program_output_is_told_from_replies() -> None:
    server, text = SmpServer(chatter=b"tick\r\n"), bytearray()
    SmpClient(LoopbackLink(server), on_text=text.extend).upload(program(2_000))
    assert text.startswith(b"tick\r\ntick\r\n") and not text.replace(b"tick\r\n", b"")
