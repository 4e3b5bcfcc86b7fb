"""The flashing engine against emulated bootloaders, on clean and on noisy lines."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from loopback import F405_SECTORS, LoopbackLink, SmpServer, rom

from mcutool.devices import Flash, Sectors, Span
from mcutool.errors import DoesNotFit, ImageRefused, NoAnswer, Protected, VerificationFailed, WriteFailed, WrongChip
from mcutool.flash import engine
from mcutool.flash.plan import plan
from mcutool.flash.protocols import an3155

KIB = 1024
BASE = 0x08000000
_SECTORS = (Sectors(16 * KIB, 4), Sectors(64 * KIB, 1), Sectors(128 * KIB, 7))
FLASH = Flash(BASE, sum(F405_SECTORS), "stm32f4", 4, _SECTORS)
RUNTIME = Span(0, 64 * KIB)
CHIP = SimpleNamespace(name="stm32f405", flash=FLASH, bootrom=SimpleNamespace(product_id=0x413))
NOISE = 1e-4  # one flipped bit in 10,000 bytes, each way


def program(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def contents(device, size: int) -> bytes:
    return device.flash[:size]


def test_install_erases_writes_verifies_and_starts() -> None:
    device, stages = rom(), []
    image = program(20_001)
    work = plan(FLASH, RUNTIME, [(BASE, image)])
    bootloader = engine.install_runtime(LoopbackLink(device), CHIP, work, on_progress=stages.append)
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert bootloader.retries == 0
    assert [stage.stage for stage in stages if stage.done == stage.total] == ["compare", "erase", "write", "verify"]


def test_what_is_there_already_is_not_written_again() -> None:
    device = rom()
    work = plan(FLASH, RUNTIME, [(BASE, program(40_000))])
    engine.install_runtime(LoopbackLink(device), CHIP, work)
    bootloader = engine.RomBootloader(LoopbackLink(device))
    device.restart()
    bootloader.identify()
    assert bootloader.changes(work).sectors == ()
    device.flash.load(20_000, b"\0")
    changed = bootloader.changes(work)
    assert [sector.number for sector in changed.sectors] == [0, 1]  # the boot sector comes with any change


@pytest.mark.parametrize("seed", range(12))
def test_install_on_a_noisy_line(seed: int) -> None:
    device, image = rom(), program(20_000, seed)
    link = LoopbackLink(device, NOISE, seed)
    engine.install_runtime(link, CHIP, plan(FLASH, RUNTIME, [(BASE, image)]), full=True)
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert link.waited < 60


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(4))
def test_install_on_a_very_noisy_line(seed: int, kind: str) -> None:
    device, image = rom(commands=tuple(an3155.COMMANDS)), program(8_000, seed)
    link = LoopbackLink(device, 10 * NOISE, seed, kind)
    engine.install_runtime(link, CHIP, plan(FLASH, RUNTIME, [(BASE, image)]))
    assert contents(device, len(image)) == image
    assert device.started == BASE
    assert link.noise.spoilt > 5


def test_wrong_chip_is_refused_before_anything_is_erased() -> None:
    device = rom(product_id=0x410)
    with pytest.raises(WrongChip, match="0x410"):
        engine.install_runtime(LoopbackLink(device), CHIP, plan(FLASH, RUNTIME, [(BASE, b"abcd")]))
    assert contents(device, 4) == b"\xff" * 4


def test_too_big_is_refused_by_the_plan() -> None:
    with pytest.raises(DoesNotFit, match="70000 bytes at 0x08000000"):
        plan(FLASH, RUNTIME, [(BASE, bytes(70_000))])


def test_no_answer_says_how_to_enter_the_bootloader() -> None:
    silent = SimpleNamespace(feed=lambda data: b"")
    with pytest.raises(NoAnswer) as failure:
        engine.RomBootloader(LoopbackLink(silent), boot_hint="hold BOOT0").identify()
    assert "hold BOOT0" in failure.value.next_action


def test_a_babbling_board_is_no_bootloader() -> None:
    babbling = SimpleNamespace(feed=lambda data: b"hello\r\n")
    with pytest.raises(NoAnswer):
        engine.RomBootloader(LoopbackLink(babbling)).identify()


def test_a_protected_chip_is_named_so() -> None:
    device = rom(readout_protected=True)
    with pytest.raises(Protected):
        engine.install_runtime(LoopbackLink(device), CHIP, plan(FLASH, RUNTIME, [(BASE, b"abcd")]))


def test_a_write_protected_sector_is_named() -> None:
    device = rom(write_protected={0})
    with pytest.raises(WriteFailed, match="sector 0 at 0x08000000"):
        engine.install_runtime(LoopbackLink(device), CHIP, plan(FLASH, RUNTIME, [(BASE, b"abcd")]))


def test_worn_flash_fails_verification() -> None:
    device = rom()
    program_flash = device._program_flash
    device._program_flash = lambda address, data: program_flash(address, bytes((data[0] & 0x7F,)) + data[1:])
    with pytest.raises(VerificationFailed, match="sector 0"):
        engine.install_runtime(LoopbackLink(device), CHIP, plan(FLASH, RUNTIME, [(BASE, b"\xffbcd")]))


def test_upload_negotiates_its_chunks() -> None:
    server, progress = SmpServer(buffer_size=512), []
    image = program(9_000)
    client = engine.SmpClient(LoopbackLink(server), on_progress=progress.append)
    client.upload(image)
    assert server.image == image
    assert server.longest <= 512 - 4
    assert len(progress) < 9_000 / 400
    assert client.images()[0]["slot"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_upload_on_a_noisy_line(seed: int) -> None:
    server, image = SmpServer(), program(20_000, seed)
    client = engine.SmpClient(LoopbackLink(server, NOISE, seed))
    client.upload(image)
    assert server.image == image
    assert client.echo("still in step") == "still in step"


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(4))
def test_upload_on_a_very_noisy_line(seed: int, kind: str) -> None:
    server, image = SmpServer(), program(8_000, seed)
    engine.SmpClient(LoopbackLink(server, 10 * NOISE, seed, kind)).upload(image)
    assert server.image == image


def test_an_interrupted_upload_goes_on_where_it_stopped() -> None:
    server, image = SmpServer(), program(10_000)
    server.requests_left = 6
    with pytest.raises(NoAnswer):
        engine.SmpClient(LoopbackLink(server)).upload(image)
    done = len(server.image)
    assert 0 < done < len(image)
    server.requests_left, server.taken = 1_000, 0
    engine.SmpClient(LoopbackLink(server)).upload(image)
    assert server.image == image
    assert server.taken < len(image) - done + 400  # only what was missing, and the first chunk again


def test_a_refused_image_gives_the_boards_reason() -> None:
    server = SmpServer(refusal="no room")
    with pytest.raises(ImageRefused, match="no room"):
        engine.SmpClient(LoopbackLink(server)).upload(b"image")


def test_program_output_is_told_from_replies() -> None:
    server, text = SmpServer(chatter=b"tick\r\n"), bytearray()
    engine.SmpClient(LoopbackLink(server), on_text=text.extend).upload(program(2_000))
    assert text.startswith(b"tick\r\ntick\r\n") and not text.replace(b"tick\r\n", b"")
