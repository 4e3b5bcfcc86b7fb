"""Images for MCUboot, and the driver against servers of which there are none to run: modelled after the sources."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import LoopbackLink, SmpServer

from mcutool import devices
from mcutool.devices import Loader
from mcutool.errors import Disconnected, ImageRefused, NoAnswer, UsageError, VerificationFailed, WrongChip
from mcutool.flash.drivers.mcuboot import McuBoot
from mcutool.flash.protocols import smp
from mcutool.image import mcuboot
from mcutool.image.format import contain
from mcutool.install import prepare

IMAGE = contain(bytes(range(256)) * 20, (1, 2, 3, 4))
SIGNED = mcuboot.read("app.signed.bin", IMAGE)
OLD = mcuboot.read("old.signed.bin", contain(bytes(5000), (1, 2, 3, 4)))  # another program, the same version
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
        """Whatever valid image lies there."""
        try:
            found = mcuboot.read("the slot", self.image)
        except UsageError:
            return []
        whole = {"slot": 0, "version": found.version, "hash": found.hash}
        return [{key: whole[key] for key in self.lists}] if self.valid else []

    def _upload(self, chunk: dict) -> dict:
        if chunk["off"] == 0:  # which begins anew
            self._sha = b""
        reply = super()._upload(chunk)
        reply.pop("match", None)
        return reply


class Program(Recovery):
    """A program that takes images into the other slot. `starts` says who answers after the reset: the "new" one, the
    "old" one, or nobody ("silence")."""

    def __init__(self, starts: str, lists: tuple[str, ...] = ("slot", "version", "hash")) -> None:
        super().__init__(lists)
        self.starts, self.runs = starts, OLD

    def images(self) -> list[dict]:
        other = [entry | {"slot": 1} for entry in super().images()]
        whole = {"slot": 0, "version": self.runs.version, "hash": self.runs.hash}
        return [{key: whole[key] for key in self.lists} | {"active": True, "confirmed": True}, *other]

    def feed(self, data: bytes) -> bytes:
        reply = super().feed(data)
        if self.asked and self.asked[-1] == (smp.OS, smp.OS_RESET):
            self.runs = SIGNED if self.starts == "new" else OLD
            self.requests_left = 0 if self.starts == "silence" else self.requests_left
        return reply


class UsbLink(LoopbackLink):
    """A port that goes away instead of the first reply to `command` when all of the image is there."""

    def __init__(self, server: Recovery, command: tuple[int, int], returns: bool = True) -> None:
        super().__init__(server)
        self.command, self.returns = command, returns
        self.losses, self.is_gone = 0, False

    def read(self, timeout: float) -> bytes:
        if not self.losses and self.device.image == IMAGE and self.device.asked[-1] == self.command:
            self.losses, self.is_gone = 1, True
        if self.is_gone:
            raise Disconnected("the port is gone")
        return super().read(timeout)

    def reopen(self, patience: float) -> None:
        if not self.returns:
            raise Disconnected("the port did not come back")
        super().reopen(patience)
        self.is_gone = False


def driver(server: SmpServer) -> McuBoot:
    return over(LoopbackLink(server))


def over(link: LoopbackLink) -> McuBoot:
    made = McuBoot(link, BOARD, LOADER)
    made.connect()
    return made


@pytest.mark.parametrize("lists", [("slot", "version", "hash"), ("slot", "version")])
@pytest.mark.parametrize("lacks", [(), ((smp.OS, smp.OS_PARAMETERS), (smp.OS, smp.OS_ECHO))])
def test_recovery_takes_an_image_once(lists: tuple, lacks: tuple) -> None:
    server = Recovery(lists, lacks)
    assert driver(server).update(SIGNED)
    assert server.image == IMAGE
    assert server.asked[-1] == (smp.OS, smp.OS_RESET)
    again = driver(server)
    assert again.update(SIGNED) == ("hash" not in lists)  # then nobody knows what lies there
    assert again.verified == ("by SHA-256" if "hash" in lists else "by its version only, the board lists no hashes")


@pytest.mark.parametrize("lists", [("slot", "version", "hash"), ("slot", "version")])
@pytest.mark.parametrize("kind", [Recovery, functools.partial(Program, "new")])
def test_a_changed_program_of_the_same_version_is_sent(kind: Callable[..., Recovery], lists: tuple) -> None:
    server = kind(lists=lists)
    server.image = OLD.data
    assert driver(server).update(SIGNED)
    assert server.image == IMAGE


def test_a_program_is_seen_to_run_what_was_sent() -> None:
    made = driver(Program("new"))
    assert made.running and made.update(SIGNED)
    assert made.verified == "by SHA-256"
    assert made.client.link.now() < 2


def test_what_mcuboot_does_not_start_is_not_installed() -> None:
    with pytest.raises(VerificationFailed, match="does not start the image: what ran before runs again") as failure:
        driver(Program("old")).update(SIGNED)
    assert "imgtool sign" in failure.value.next_action


def test_silence_after_the_reset_is_told() -> None:
    made = driver(Program("silence"))
    assert made.update(SIGNED)
    assert made.verified == "by SHA-256; whether it has started is not known"


def test_without_hashes_nobody_knows_what_runs() -> None:
    made = driver(Program("new", lists=("slot", "version")))
    assert made.update(SIGNED)
    assert made.verified.startswith("by its version only") and made.verified.endswith("is not known")


@pytest.mark.parametrize(
    ("server", "returns", "verified"),
    [
        (Recovery(), False, "by SHA-256"),
        (Program("new"), True, "by SHA-256"),
        (Program("new"), False, "by SHA-256; whether it has started is not known"),
    ],
)
def test_a_port_may_go_away_with_the_reset(server: Recovery, returns: bool, verified: str) -> None:
    link = UsbLink(server, (smp.OS, smp.OS_RESET), returns)
    made = over(link)
    assert made.update(SIGNED) and server.image == IMAGE
    assert link.losses == 1
    assert made.verified == verified


def test_the_reply_to_a_reset_may_be_lost_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Recovery()
    made = driver(server)
    monkeypatch.setattr(made, "_mark", lambda *_, **__: setattr(server, "requests_left", 0))
    assert made.update(SIGNED) and server.image == IMAGE
    assert made.verified == "by SHA-256; whether it has started is not known"


@pytest.mark.parametrize("full", [False, True])
def test_what_was_sent_is_neither_called_unchanged_nor_sent_again_after_a_lost_line(tmp_path: Path, full: bool) -> None:
    (tmp_path / "app.signed.bin").write_bytes(IMAGE)
    order = prepare(BOARD, str(tmp_path / "app.signed.bin"), False, protocol="mcuboot").order
    assert order is not None
    server = Recovery()
    outcome = McuBoot(UsbLink(server, (smp.IMAGE, smp.IMAGE_STATE)), BOARD, LOADER).install(order, full=full)
    assert (outcome.reconnects, outcome.bytes, outcome.unchanged) == (1, len(IMAGE), 0)
    assert server.taken == len(IMAGE)


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
        ({"64x0": {"board": "microbit", "isa": 1}}, "the runtime of mcutool answers on .*, on board microbit"),
        ({"0x8": {"bootloader": "b0"}}, "the bootloader of the board on .* is b0, not MCUboot"),
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
