"""TI's boot loader: packets against golden bytes, the driver against the emulated loader, with and without noise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lm3s import BOARD, FLASH, LOADER, START, VECTORS, board, install, program
from loopback import LoopbackLink, drive

from mcutool.devices import Span
from mcutool.errors import NoAnswer, Protected, Unsupported, WriteFailed
from mcutool.flash import engine
from mcutool.flash.drivers.stellaris import Stellaris
from mcutool.flash.plan import Order, plan
from mcutool.flash.protocols import stellaris
from mcutool.flash.protocols.exchange import Refused
from tests.flash.line import Line


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (stellaris.packet(stellaris.PING), "032020"),
        (stellaris.packet(stellaris.DOWNLOAD, bytes.fromhex("0000100000000400")), "0b35 21 00001000 00000400"),
        (stellaris.packet(stellaris.RUN, bytes.fromhex("00001009")), "073b 22 00001009"),
        (stellaris.packet(stellaris.GET_STATUS), "032323"),
        (stellaris.packet(stellaris.SEND_DATA, b"\xff\xff\1\2"), "0725 24 ffff0102"),
        (stellaris.packet(stellaris.RESET), "032525"),
    ],
)
def test_golden_packets(packet: bytes, expected: str) -> None:
    assert packet == bytes.fromhex(expected)


def test_every_command_against_the_loader() -> None:
    device = board(before=bytes(1_000))
    assert device.feed(b"\x55\x55") == b"\0\xcc"
    drive(device, stellaris.ping())
    drive(device, stellaris.download(START, 8))
    assert drive(device, stellaris.get_status()) == stellaris.SUCCESS
    drive(device, stellaris.send_data(VECTORS))
    assert device.cells[START : START + 1_024] == VECTORS + b"\xff" * 1_016
    assert device.busy == pytest.approx((20_000 + 2 * 20) / 1e6)
    drive(device, stellaris.mark())
    assert drive(device, stellaris.get_status()) == stellaris.UNKNOWN_COMMAND
    drive(device, stellaris.run(START + 9))
    assert device.started == START + 9


@pytest.mark.parametrize("address", [0, START + 1_024, FLASH.size])
def test_a_download_elsewhere_is_refused(address: int) -> None:
    device = board(before=bytes(2_000))
    device.feed(b"\x55\x55")
    drive(device, stellaris.download(address, 8))
    assert stellaris.name_of(drive(device, stellaris.get_status())) == "invalid address"
    assert device.cells.operations == 0


def test_a_spoilt_packet_is_refused() -> None:
    device = board()
    device.feed(b"\x55\x55")
    assert device.feed(b"\3\x20\x21") == b"\0\x33"
    with pytest.raises(Refused):
        drive(SimpleNamespace(feed=lambda data: b"\0\x33"), stellaris.ping())


@pytest.mark.parametrize("spoilt", [b"\0\xcd", b"\1\xcc", b"\xcc", b"\0\0\xcc"])
def test_a_spoilt_acknowledgement_is_one(spoilt: bytes) -> None:
    drive(SimpleNamespace(feed=lambda data: spoilt if data else b""), stellaris.ping())


@pytest.mark.parametrize("broken", [b"", b"\3", b"\x80\x12abc", stellaris.packet(stellaris.GET_STATUS), b"\x55\x55"])
def test_both_sides_come_back_into_step(broken: bytes) -> None:
    device = board()
    device.feed(b"\x55\x55")
    device.feed(broken)
    drive(device, stellaris.resynchronise())
    drive(device, stellaris.ping())


def test_install_writes_everything_and_starts() -> None:
    device, image = board(before=bytes(5_000)), program(20_001)
    link = LoopbackLink(device)
    outcome = install(link, image)
    assert device.cells[START : START + len(image)] == image and device.cells.violations == []
    assert device.cells[:START] == b"\xb0" * START
    assert link.is_running and device.program_is_valid
    assert (outcome.sectors, outcome.retries) == (20, 0) and len(device.cells.wear) == 20


def test_gaps_between_segments_are_blank() -> None:
    device = board()
    order = Order(
        BOARD, LOADER, "", b"", (), plan(FLASH, Span(0, FLASH.size), [(START, program(100)), (START + 5_000, b"abcd")])
    )
    engine.install(Stellaris, LoopbackLink(device), order)
    assert device.cells[START + 5_000 : START + 5_004] == b"abcd"
    assert set(device.cells[START + 100 : START + 5_000]) == {0xFF}


def test_a_loader_of_short_packets() -> None:
    device, image = board(longest_data=8), program(2_000)
    install(LoopbackLink(device), image)
    assert device.cells[START : START + len(image)] == image


def test_a_second_session_finds_the_loader_in_step() -> None:
    device = board()
    device.feed(b"\x55\x55")
    install(LoopbackLink(device), program(1_000))
    assert device.cells[START : START + 1_000] == program(1_000)


def test_the_loader_and_what_lies_before_a_program_are_spared() -> None:
    with pytest.raises(Protected, match="0x00000000"):
        install(LoopbackLink(board()), program(100), address=0)
    with pytest.raises(Unsupported, match="from 0x00001000 on"):
        install(LoopbackLink(board()), program(100), address=0x2000)


def test_an_address_that_the_loader_was_not_built_for_is_told() -> None:
    device = board()
    device.offset = 0x2000
    with pytest.raises(WriteFailed, match="invalid address"):
        install(LoopbackLink(device), program(100))


def test_no_answer_says_how_to_enter_the_loader() -> None:
    with pytest.raises(NoAnswer) as failure:
        install(LoopbackLink(SimpleNamespace(feed=lambda data: b"")), program(100))
    assert "SELECT" in failure.value.next_action


@pytest.mark.parametrize(
    "text", [b"temperature 21.5\r\n", b"0.0 0.0\r\n", b"error\r\n", b"Hello 3333\r\n", b"\xcc", b"3", b"\0"]
)
def test_a_program_that_prints_is_no_loader(text: bytes) -> None:
    chatting = LoopbackLink(SimpleNamespace(feed=lambda data: text * 10))
    with pytest.raises(NoAnswer):
        Stellaris(chatting, BOARD, LOADER).connect()
    silent = SimpleNamespace(feed=lambda data: b"", busy=0.0, reset=False)
    chatting = Line(silent, chatter=text)
    with pytest.raises(NoAnswer):
        Stellaris(chatting, BOARD, LOADER).connect()
    assert chatting.now() < 60


@pytest.mark.parametrize("refused", [stellaris.UNKNOWN, stellaris.GET_STATUS])
def test_what_refuses_for_ever_is_no_loader(refused: int) -> None:
    device = board()
    moody = SimpleNamespace(feed=lambda data: b"\0\x33" if data[2:3] == bytes((refused,)) else device.feed(data))
    with pytest.raises(NoAnswer):
        install(LoopbackLink(moody), program(100))
    assert device.cells.operations == 0


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(6))
def test_install_on_a_noisy_line(seed: int, kind: str) -> None:
    device, image = board(), program(20_000, seed)
    link = LoopbackLink(device, 1e-4, seed, kind)
    install(link, image)
    assert device.cells[START : START + len(image)] == image and link.is_running


class LostAnswers(LoopbackLink):
    """A line on which the answer to every tenth packet of data gets lost."""

    packets = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.packets += data[2:3] == b"\x24"
        if data[2:3] == b"\x24" and self.packets % 10 == 0:
            self._incoming.clear()


def test_a_packet_whose_answer_is_lost_is_not_given_twice() -> None:
    device, image = board(), program(10_000)
    outcome = install(LostAnswers(device), image)
    assert device.cells[START : START + len(image)] == image
    assert outcome.retries and len(device.cells.wear) == 10 and set(device.cells.wear.values()) == {1}
