"""Images for MCUboot, and the driver against servers of which there are none to run: modelled after the sources."""

from __future__ import annotations

import dataclasses

import pytest
from loopback import LoopbackLink, SmpServer

from mcutool import devices
from mcutool.devices import Loader
from mcutool.errors import ImageRefused, NoAnswer, UsageError, VerificationFailed, WrongChip
from mcutool.flash.drivers.mcuboot import McuBoot
from mcutool.flash.protocols import smp
from mcutool.image import mcuboot
from mcutool.image.format import contain
from mcutool.install import prepare

IMAGE = contain(bytes(range(256)) * 20, (1, 2, 3, 4))
SIGNED = mcuboot.read("app.signed.bin", IMAGE)
LOADER = Loader("mcuboot", enter="hold button 1 and press reset")
BOARD = devices.board("nrf52840dk")


def test_an_image_is_read() -> None:
    assert (SIGNED.version, SIGNED.hash) == ("1.2.3.4", IMAGE[-32:])
    assert mcuboot.read("padded", IMAGE + b"\xff" * 100).hash == SIGNED.hash


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it ends too early"),
        (bytes(100), "it begins with 00000000, not 3db8f396"),
        (IMAGE[:-1], "it ends too early"),
        (IMAGE[:-40], "it ends too early"),
        (IMAGE[:100] + b"\0" + IMAGE[101:], "its hash is wrong"),
        (IMAGE[:-36] + b"\x50" + IMAGE[-35:], "it has no hash"),
    ],
)
def test_what_is_no_whole_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=f"app.bin is no image for MCUboot: .*{reason}") as refusal:
        mcuboot.read("app.bin", data)
    assert "imgtool sign" in refusal.value.next_action


class Recovery(SmpServer):
    """MCUboot in its recovery: `lists` says which keys its list of images has, `lacks` which commands are missing."""

    def __init__(self, lists: tuple[str, ...] = ("slot", "version", "hash"), lacks: tuple = (), **answers) -> None:
        super().__init__()
        self.lists, self.lacks, self.answers = lists, lacks, answers
        self.valid = True
        self.asked: list[tuple[int, int]] = []

    def _answer(self, request: smp.Message) -> dict:
        command = request.group, request.command
        self.asked.append(command)
        if command in self.lacks:
            return {"rc": 8}
        if command == (smp.IMAGE, smp.IMAGE_STATE):
            return {"images": self.images()}
        if command == (smp.OS, smp.OS_RESET):
            return {"rc": 0}
        if "x".join(map(str, command)) in self.answers:
            return self.answers["x".join(map(str, command))]
        return super()._answer(request)

    def images(self) -> list[dict]:
        if self.image != IMAGE or not self.valid:
            return []
        whole = {"slot": 0, "version": SIGNED.version, "hash": self.image[-32:]}
        return [{key: whole[key] for key in self.lists}]

    def _upload(self, chunk: dict) -> dict:
        if chunk["off"] == 0:  # which begins anew
            self._sha = b""
        reply = super()._upload(chunk)
        reply.pop("match", None)
        return reply


def driver(server: SmpServer) -> McuBoot:
    made = McuBoot(LoopbackLink(server), BOARD, LOADER)
    made.connect()
    return made


@pytest.mark.parametrize("lists", [("slot", "version", "hash"), ("slot", "version")])
@pytest.mark.parametrize("lacks", [(), ((smp.OS, smp.OS_PARAMETERS), (smp.OS, smp.OS_ECHO))])
def test_recovery_takes_an_image_once(lists: tuple, lacks: tuple) -> None:
    server = Recovery(lists, lacks)
    assert driver(server).update(SIGNED)
    assert server.image == IMAGE
    assert server.asked[-1] == (smp.OS, smp.OS_RESET)
    assert not driver(server).update(SIGNED)


def test_an_upload_that_was_cut_off_goes_on() -> None:
    server = Recovery()
    server.image, server._length = IMAGE[:3000], len(IMAGE)
    driver(server).update(SIGNED)
    assert server.image == IMAGE and server.taken == len(IMAGE) - 3000


def test_an_upload_of_another_image_is_not_gone_on_with() -> None:
    server = Recovery()
    server.image, server._length = bytes(3000), len(IMAGE)
    driver(server).update(SIGNED)
    assert server.image == IMAGE


def test_an_image_that_mcuboot_does_not_validate_is_not_installed() -> None:
    server = Recovery()
    server.valid = False
    with pytest.raises(VerificationFailed, match="does not list it as valid"):
        driver(server).update(SIGNED)
    assert server.asked[-1] != (smp.OS, smp.OS_RESET)


def test_who_answers_is_found_out_before_anything_changes() -> None:
    for answers, message in (
        ({"64x0": {"board": "microbit", "isa": 1}}, "the runtime of mcutool answers on loopback, on board microbit"),
        ({"0x8": {"bootloader": "b0"}}, "the bootloader of the board on loopback is b0, not MCUboot"),
        ({"0x7": {"output": "microbit/nrf51822"}}, "is for microbit/nrf51822, not for nrf52840"),
    ):
        server = Recovery(**answers)
        with pytest.raises(WrongChip, match=message):
            driver(server)
        assert (smp.IMAGE, smp.IMAGE_UPLOAD) not in server.asked


def test_what_is_said_beyond_need_does_no_harm() -> None:
    answers: dict = {"64x0": {"r": b"a maker's own"}, "0x7": {"err": {"group": 0, "rc": 2}}, "0x8": {"rc": 3}}
    assert driver(Recovery(**answers)).update(SIGNED)


def test_silence_is_told_with_the_way_into_recovery() -> None:
    server = Recovery()
    server.requests_left = 0
    with pytest.raises(NoAnswer) as silence:
        driver(server)
    assert LOADER.enter in silence.value.next_action


def test_an_order_for_the_board_is_carried_out(tmp_path) -> None:
    (tmp_path / "app.signed.bin").write_bytes(IMAGE)
    order = prepare(BOARD, str(tmp_path / "app.signed.bin"), False, protocol="mcuboot").order
    assert order is not None and order.plan.sectors[0].address == 0xC000
    server = Recovery()
    outcome = McuBoot(LoopbackLink(server), BOARD, LOADER).install(order)
    assert (outcome.bytes, outcome.unchanged) == (len(IMAGE), 0) and server.image == IMAGE
    again = McuBoot(LoopbackLink(server), BOARD, LOADER).install(order)
    assert (again.bytes, again.sectors) == (0, 0) and again.unchanged > 0
    with pytest.raises(UsageError, match="is no image for MCUboot"):
        McuBoot(LoopbackLink(server), BOARD, LOADER).install(dataclasses.replace(order, segments=((0, b"raw"),)))


def test_a_refusal_is_told_in_the_servers_words() -> None:
    server = Recovery()
    server.refusal = "the slot is locked"
    with pytest.raises(ImageRefused, match="the slot is locked"):
        driver(server).update(SIGNED)
