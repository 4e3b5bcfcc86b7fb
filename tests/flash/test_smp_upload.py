"""Uploads to servers that restart, take less than they say, answer late, or erase for long."""

from __future__ import annotations

import pytest
from images import image_of
from loopback import LoopbackLink, SmpServer

from mcutool.board import open_board
from mcutool.emulator.link import EmulatedLink
from mcutool.errors import DoesNotFit, NoAnswer, VerificationFailed, WriteFailed
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.flash.smp_upload import ERASING, LOSSES, WRITING, Pace

IMAGE = image_of(20_000, seed=11)


class Odd(SmpServer):
    """A server that restarts after `restarts` requests each, hears nothing longer than `hears`, and answers
    `late`: each reply only with the next request."""

    def __init__(self, restarts: tuple[int, ...] = (), hears: int = 10_000, late: int = 0) -> None:
        super().__init__()
        self.restarts, self.hears, self.late = list(restarts), hears, late
        self.requests = self.unheard = 0
        self._kept: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self.requests += 1
        if self.restarts and self.requests == self.restarts[0]:
            self.restarts.pop(0)
            self.requests = 0
            self.image, self._sha, self._length = b"", b"", 0
            return b"*** booting ***\r\n"
        if len(data) > self.hears:
            self.unheard += 1
            return b""
        self._kept.append(super().feed(data))
        return b"".join(self._kept.pop(0) for _ in range(len(self._kept) - self.late))


def upload(server: SmpServer) -> SmpClient:
    client = SmpClient(LoopbackLink(server))
    client.upload(IMAGE)
    assert server.image == IMAGE
    return client


@pytest.mark.parametrize("after", [(2,), (5,), (9, 9, 9)])
def test_a_board_that_restarts_gets_the_image_anew(after: tuple[int, ...]) -> None:
    upload(Odd(restarts=after))


def test_a_board_that_restarts_for_ever_is_given_up() -> None:
    with pytest.raises(WriteFailed, match="forgets the upload again and again"):
        upload(Odd(restarts=(9,) * 50))


def test_a_server_that_takes_less_than_it_says_is_seldom_asked_for_more() -> None:
    server = Odd(hears=400)
    upload(server)
    assert 2 < server.unheard < 12


def test_late_replies_are_told_from_those_that_are_waited_for() -> None:
    upload(Odd(late=1))


def test_an_old_reply_does_not_answer_the_same_number_later() -> None:
    server = SmpServer(buffer_size=128)
    client = SmpClient(LoopbackLink(server))
    client.send(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, off=1, data=b"")
    client.receive(0)  # its reply stays, since nobody takes it
    client.upload(2 * IMAGE)
    assert server.image == 2 * IMAGE and client.sent > 256 and client.retries == 0


def test_an_erase_is_waited_for_and_silence_is_not() -> None:
    server = SmpServer()
    link = LoopbackLink(server)
    client = SmpClient(link)
    client.buffer_size()
    server.requests_left = 0
    with pytest.raises(NoAnswer):
        client.upload(IMAGE)
    server.requests_left = 4
    began = link.now()
    with pytest.raises(NoAnswer):
        client.upload(IMAGE)
    assert WRITING <= link.now() - began < WRITING + 5 < ERASING


def test_a_chunk_that_never_arrives_ends_the_upload() -> None:
    server = Odd()
    server._upload = lambda chunk: {"off": 0}  # type: ignore[method-assign]
    with pytest.raises(WriteFailed, match="does not get beyond byte 0"):
        upload(server)
    assert server.requests <= LOSSES + 3


def test_a_hash_that_differs_is_told() -> None:
    server = SmpServer()
    take = server._upload
    server._upload = lambda chunk: take(chunk) | ({"match": False} if "match" in take(chunk) else {})  # type: ignore
    with pytest.raises(VerificationFailed):
        SmpClient(LoopbackLink(server)).upload(b"short")


class LosesTheVerdict(SmpServer):
    """Loses the reply that ends the first upload, and says of an image only once whether its hash is right."""

    def __init__(self, right: bool, repeats: bool) -> None:
        super().__init__()
        self.right, self.repeats = right, repeats
        self.verdicts = 0

    def _upload(self, chunk: dict) -> dict:
        if chunk["off"] == 0 and len(self.image) == self._length:
            self._sha = b""  # the upload has ended, another one begins
        reply = super()._upload(chunk)
        if "match" in reply:
            reply["match"] = self.right
            if not chunk["data"] and not self.repeats:
                del reply["match"]
        return reply

    def _reply(self, request: smp.Message) -> bytes:
        reply = super()._reply(request)
        if request.command == smp.IMAGE_UPLOAD and request.payload.get("data") and len(self.image) == self._length:
            self.verdicts += 1
            return b"" if self.verdicts == 1 else reply
        return reply


@pytest.mark.parametrize("repeats", [True, False])
def test_the_verdict_is_not_lost_with_a_reply(repeats: bool) -> None:
    server = LosesTheVerdict(False, repeats)
    with pytest.raises(VerificationFailed, match="SHA-256 of the image is not that of the file"):
        upload(server)
    right = LosesTheVerdict(True, repeats)
    upload(right)
    assert right.verdicts == 1 + (not repeats)


class LosesOnce:
    """A link that loses what brings the verdict, once."""

    lossless = False

    def __init__(self, link: EmulatedLink) -> None:
        self._link, self._lines, self.lost = link, smp.Demultiplexer(), 0

    def __getattr__(self, name: str):
        return getattr(self._link, name)

    def read(self, timeout: float) -> bytes:
        data = self._link.read(timeout)
        replies = [part for part in self._lines.feed(data) if isinstance(part, smp.Message)]
        if not self.lost and any("match" in reply.payload for reply in replies):
            self.lost += 1
            return b""
        return data


def test_a_runtime_whose_verdict_is_lost_is_asked_for_another() -> None:
    """Our own tells it once."""
    with open_board("stm32f405") as board:
        assert isinstance(board.link, EmulatedLink)
        link, progress = LosesOnce(board.link), []
        SmpClient(link, on_progress=lambda step: progress.append(step.done)).upload(IMAGE)
        assert link.lost == 1 and progress.count(0) == 2


def test_a_server_that_gives_no_verdict_is_not_believed() -> None:
    server = SmpServer()
    take = server._upload
    server._upload = lambda chunk: {"off": take(chunk)["off"]}  # type: ignore[method-assign]
    with pytest.raises(VerificationFailed, match="does not say whether"):
        SmpClient(LoopbackLink(server)).upload(IMAGE)


def test_an_offset_beyond_the_end_is_no_success() -> None:
    server = SmpServer()
    server._upload = lambda chunk: {"off": 10**6}  # type: ignore[method-assign]
    with pytest.raises(WriteFailed, match=f"wants byte 1000000 of an image of {len(IMAGE)}"):
        SmpClient(LoopbackLink(server)).upload(IMAGE)


@pytest.mark.parametrize("size", [0, 20, 65_535, 70_000])
def test_a_buffer_of_any_size_is_used_as_far_as_it_goes(size: int) -> None:
    server = SmpServer(buffer_size=size)
    SmpClient(LoopbackLink(server)).upload(6 * IMAGE)
    assert server.image == 6 * IMAGE and server.longest <= 65_535


@pytest.mark.parametrize("error", [{"rc": 2}, {"err": {"group": 1, "rc": 30}}, {"err": {"group": 1, "rc": 15}}])
def test_what_is_too_large_is_told_in_either_version(error: dict) -> None:
    server = SmpServer()
    server._upload = lambda chunk: error  # type: ignore[method-assign]
    with pytest.raises(DoesNotFit):
        SmpClient(LoopbackLink(server)).upload(IMAGE)


def test_an_emulated_board_that_restarts_in_the_middle() -> None:
    with open_board("stm32f405") as board:
        assert isinstance(board.link, EmulatedLink)
        machine, seen = board.link._machine, []

        def watch(progress) -> None:
            seen.append(progress.done)
            if progress.done > 8_000 and len(seen) < 8:
                machine.reset()

        board.link.lossless = False
        SmpClient(board.link, on_progress=watch).upload(IMAGE)
        start = board.description.chip.map.slot.offset
        assert machine.flash[start : start + len(IMAGE)] == IMAGE
        assert sorted(seen) != seen


def test_patience_follows_the_replies() -> None:
    pace = Pace()
    assert pace.patience(1000) == Pace.UNKNOWN
    for _ in range(40):
        pace.learn(1000, 0.2)
    assert 0.2 < pace.patience(1000) < 0.3 and pace.patience(100) < 0.1
    pace.learn(1000, 1.2)
    assert 1 < pace.patience(1000) < 2
