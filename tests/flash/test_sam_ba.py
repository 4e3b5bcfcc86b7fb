"""SAM-BA: the codec against golden bytes, the driver against the emulated monitor, on clean and on noisy lines."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from loopback import LoopbackLink, drive
from samd21 import BOARD, FLASH, LOADER, REGION, ROW, START, attempt, install, monitor

from mcutool.errors import NoAnswer, Protected, VerificationFailed, WriteFailed, WrongChip
from mcutool.flash.drivers import sam_ba as driver
from mcutool.flash.plan import SectorWork
from mcutool.flash.protocols import sam_ba, xmodem
from mcutool.flash.protocols.exchange import Garbled, NoReply

BUFFER = 0x20004000


def program(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sent(exchange, *answers: bytes) -> bytes:
    """What an exchange puts on the line when the answers come back, and then nothing."""
    line, data, reply = b"".join(answers), b"", None
    try:
        while True:
            step = exchange.throw(NoReply()) if reply is False else exchange.send(reply)
            data += step.send
            reply, line = (line[: step.count], line[step.count :]) if len(line) >= step.count else (False, line)
    except StopIteration:
        return data


def uart(**traits):
    """A monitor on a UART that is in step."""
    device = monitor(**traits)
    drive(device, sam_ba.synchronise(raw=False))
    return device


# --- the codec ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "answers", "expected"),
    [
        (sam_ba.binary(), b"\n\r", b"N#"),
        (sam_ba.terminal(), b"\n\r", b"T#"),
        (sam_ba.version(), b"v2.0\n\r", b"V#"),
        (sam_ba.name_of_chip(), b"nRF52840-QIAA\n\r", b"I#"),
        (sam_ba.read_number(0x41002018, 4), b"\5\3\1\x10", b"w41002018,4#"),
        (sam_ba.read_number(0x20000002, 2), b"\5\3", b"h20000002,4#"),
        (sam_ba.read_number(0x20000001, 1), b"\5", b"o20000001,4#"),
        (sam_ba.read_again(4), b"\5\3\1\x10", b"w#"),
        (sam_ba.write_number(0xE000ED0C, 0x05FA0004, 4), b"", b"We000ed0c,5fa0004#"),
        (sam_ba.write_number(0x20000002, 0xABCD, 2), b"", b"H20000002,abcd#"),
        (sam_ba.write_number(0x20000001, 0xAB, 1), b"", b"O20000001,ab#"),
        (sam_ba.go(0x20001000), b"", b"G20001000#"),
        (sam_ba.restart(), b"", b"K#"),
        (sam_ba.read(0x2000, 4, raw=True), b"abcd", b"R2000,4#"),
        (sam_ba.read(0x2000, 100, raw=True), b"a" * 100, b"R2000,3f#R203f,25#"),
        (sam_ba.write(BUFFER, b"abcd", raw=True), b"", b"S20004000,4#abcd"),
        (sam_ba.erase_from(0x2000), b"X\n\r", b"X2000#"),
        (sam_ba.choose_buffer(), b"Y\n\r", b"Y#"),
        (sam_ba.copy(0x2000, 4096), b"Y\n\r", b"Y2000,1000#"),
        (sam_ba.checksum(0x2000, 4096), b"Z00001D0F#\n\r", b"Z2000,1000#"),
    ],
)
def test_golden_bytes(exchange, answers: bytes, expected: bytes) -> None:
    assert sent(exchange, answers) == expected


def test_golden_packets() -> None:
    packet = xmodem.packet(1, b"123456789")
    assert (
        packet.hex() == "0101fe" + b"123456789".hex() + "00" * 119 + xmodem.checksum_of(packet[3:-2]).to_bytes(2).hex()
    )
    assert xmodem.checksum_of(b"123456789") == 0x31C3
    assert xmodem.number_of(packet) == 1
    assert xmodem.number_of(packet[:-1] + b"\0") is None


def test_data_by_xmodem() -> None:
    data = bytes(130)
    packets = xmodem.packet(1, data[:128]) + xmodem.packet(2, data[128:])
    assert sent(sam_ba.write(BUFFER, data, raw=False), b"C\6\6\6") == b"S20004000,82#" + packets + b"\4"
    assert sent(sam_ba.read(0x2000, 130, raw=False), packets, b"\4") == b"R2000,82#C\6\6\6"


def test_a_packet_that_is_cancelled_says_what_has_arrived() -> None:
    with pytest.raises(xmodem.Broken) as broken:
        sent(sam_ba.write(BUFFER, bytes(300), raw=False), b"C\6\x18")
    assert broken.value.done == 128


def test_an_auto_baud_sequence_comes_first_on_a_uart_alone() -> None:
    assert sent(sam_ba.synchronise(raw=True), b"\n\r") == b"N#"
    device = monitor()
    heard = bytearray()
    feed = device.feed
    device.feed = lambda data: [heard.extend(data), feed(data)][1]
    drive(device, sam_ba.synchronise(raw=False))
    assert heard == b"\x80\x80#N#" and device.uart


def test_the_version_lists_the_capabilities() -> None:
    version = drive(uart(), sam_ba.version())
    assert version.text.startswith("v2.0 [Arduino:XYZ]") and version.capabilities == frozenset("XYZ")
    assert drive(uart(version="v1.1 Dec 15 2010 19:25:04\n\r"), sam_ba.version()).capabilities == frozenset()


@pytest.mark.parametrize(
    "text", [b"X#", b"..W12,\xff34#", b"G" + b"0" * 30 + b"#", b"a" * 120 + b"X20#", b"a" * 127 + b"X#"]
)
def test_no_packet_holds_a_command(text: bytes) -> None:
    data = (text * 100)[:2000]
    device = uart()
    while data:
        piece = sam_ba.harmless(data)
        assert piece and data.startswith(piece)
        for number, start in enumerate(range(0, len(piece), 128), 1):
            assert device.feed(xmodem.packet(number, piece[start : start + 128])[1:]) == b""
        device.feed(b"q")
        data = data[len(piece) :]
    assert device.cells.operations == 0 and device.started is None and not device.hung


def test_data_without_commands_is_left_alone() -> None:
    data = b"no # number sign follows a capital letter".ljust(500, b"\0")
    assert sam_ba.harmless(data) == data


@pytest.mark.parametrize("raw", [False, True], ids=["uart", "usb"])
@pytest.mark.parametrize(
    "broken", [b"", b"R2000,1000#", b"R2000,1000#C", b"S20004000,1000#", b"S20004000,1000#\1\1\xfeabc", b"W41", b"T#"]
)
def test_both_sides_come_back_into_step(raw: bool, broken: bytes) -> None:
    device = monitor()
    drive(device, sam_ba.synchronise(raw))
    device.feed(broken)
    drive(device, sam_ba.resynchronise(raw))
    assert drive(device, sam_ba.checksum(START, 256)) == xmodem.checksum_of(b"\xff" * 256)


def test_terminal_mode_is_left_again() -> None:
    device = uart()
    drive(device, sam_ba.terminal())
    assert device.feed(b"w41002018,4#") == b"\n\r0x10010305\n\r>"
    drive(device, sam_ba.binary())
    assert drive(device, sam_ba.read_number(0x41002018, 4)) == 0x10010305


def test_an_answer_of_another_command_is_none() -> None:
    with pytest.raises(Garbled):
        sent(sam_ba.checksum(0x2000, 4096), b"X\n\r")


# --- the monitor ----------------------------------------------------------------------------------------------


def test_programming_only_clears_bits_and_erasing_sets_a_row() -> None:
    device = uart(before=b"\xf0" * 512)
    drive(device, sam_ba.write(BUFFER, b"\x3c" * 64, raw=False))
    drive(device, sam_ba.choose_buffer())
    drive(device, sam_ba.copy(START, 64))
    assert device.cells[START : START + 65] == b"\x30" * 64 + b"\xf0"
    drive(device, sam_ba.write_number(FLASH.registers + 0x1C, START // 2, 4))
    drive(device, sam_ba.write_number(FLASH.registers, 0xA502, 4))
    assert device.cells[START : START + 257] == b"\xff" * 256 + b"\xf0"
    assert device.busy == pytest.approx((6_000 + 2_500) / 1e6)


def test_the_bootloader_is_protected() -> None:
    device = uart(before=b"\0" * ROW)
    drive(device, sam_ba.erase_from(0))
    assert device.cells[:START] == b"\xb0" * START and device.cells[START:] == b"\xff" * REGION.size
    assert drive(device, sam_ba.read_number(FLASH.registers + 0x18, 4)) & 8


def test_an_access_to_nowhere_stops_the_chip() -> None:
    device = uart()
    device.feed(b"w60000000,4#")
    assert device.hung and device.feed(b"N#") == b""
    device.restart()
    drive(device, sam_ba.synchronise(raw=False))


# --- the driver -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["uart", "usb"])
def raw(request) -> bool:
    return request.param


def test_install_erases_writes_verifies_and_starts(raw: bool) -> None:
    device, image = monitor(before=b"\xa5" * 100_000), program(20_001)
    line = LoopbackLink(device)
    outcome = install(line, image, raw=raw)
    assert device.cells[START : START + len(image)] == image
    assert device.cells[START + 79 * ROW : START + 100_000] == b"\xa5" * (100_000 - 79 * ROW)
    assert line.resets == 1 and device.program_is_valid and device.cells.violations == []
    assert (outcome.sectors, outcome.retries, sum(device.cells.wear.values())) == (79, 0, 79)


@pytest.mark.parametrize("erased_at_once", [True, False])
def test_one_command_erases_all_where_nothing_is_behind(erased_at_once: bool) -> None:
    device = monitor(before=bytes(20_000) + (b"" if erased_at_once else bytes(20_000)))
    install(LoopbackLink(device), program(20_000))
    assert len(device.cells.wear) == (REGION.size // ROW if erased_at_once else 79)


def test_what_is_there_already_is_not_written_again(raw: bool) -> None:
    image = program(20_000)
    device = monitor(before=image)
    line = LoopbackLink(device)
    outcome = install(line, image, raw=raw)
    assert device.cells.operations == 0 and outcome.unchanged == 79 and line.resets == 1


def test_one_changed_byte_erases_one_row(raw: bool) -> None:
    image = program(20_000)
    device = monitor(before=image[:5_000] + b"\0" + image[5_001:])
    assert install(LoopbackLink(device), image, raw=raw).sectors == 1
    assert device.cells.wear == {START + 5_000 // ROW * ROW: 1}
    assert device.cells[START : START + len(image)] == image


def test_a_row_whose_crc_is_right_by_chance_is_seen(raw: bool) -> None:
    polynomial = bytes(127) + bytes.fromhex("011021") + bytes(126)  # its CRC is 0, that of half of it is not
    wrong = bytes(byte ^ change for byte, change in zip(program(ROW), polynomial, strict=True))
    assert xmodem.checksum_of(wrong) == xmodem.checksum_of(program(ROW))
    device = monitor(before=wrong)
    assert install(LoopbackLink(device), program(ROW), raw=raw).sectors == 1
    assert device.cells[START : START + ROW] == program(ROW)


def test_the_row_that_the_program_starts_from_is_written_last(raw: bool) -> None:
    device, order = monitor(), []
    device.cells.before_change = lambda kind, offset, data: [order.append(offset), data][1]
    install(LoopbackLink(device), program(3_000), raw=raw)
    assert [offset for offset in order if offset < START + ROW] == order[-ROW // FLASH.write_unit :]


def test_a_monitor_without_arduinos_additions(raw: bool) -> None:
    device, image = monitor(before=b"\xa5" * 3_000, version="v1.1 Dec 15 2010 19:25:04\n\r"), program(2_000)
    line = LoopbackLink(device)
    install(line, image, raw=raw)
    assert device.cells[START : START + len(image)] == image and device.cells.violations == []
    assert line.resets == 1 and set(device.cells.wear.values()) == {1}


@pytest.mark.parametrize("traits", [{"device_id": 0x10010300}, {"core_id": 0x410FC241}], ids=["part", "core"])
def test_wrong_chip_is_refused_before_anything_is_erased(traits: dict) -> None:
    device = monitor(**traits)
    with pytest.raises(WrongChip, match="samd21g18"):
        install(LoopbackLink(device), program(1_000))
    assert device.cells.operations == 0


def test_the_bootloaders_own_flash_is_refused() -> None:
    bootloader = driver.SamBa(LoopbackLink(monitor()), BOARD, LOADER)
    bootloader.connect()
    with pytest.raises(Protected, match="0x00001f00"):
        bootloader.erase([SectorWork(31, 0x1F00, ROW, b"abcd")], lambda count: None)


def test_a_locked_row_is_told() -> None:
    device = monitor(before=bytes(ROW))
    device._controller._protected = START + ROW
    with pytest.raises(Protected, match="row at 0x00002000 is locked"):
        install(LoopbackLink(device), program(ROW))


def test_worn_flash_is_told() -> None:
    device = monitor(before=bytes(ROW))
    device.cells.before_change = lambda kind, offset, data: bytes((data[0] & 0x7F,)) + data[1:]
    with pytest.raises(WriteFailed, match="row at 0x00002000 is not blank"):
        install(LoopbackLink(device), program(ROW))


def test_no_answer_says_how_to_enter_the_bootloader() -> None:
    with pytest.raises(NoAnswer) as failure:
        install(LoopbackLink(SimpleNamespace(feed=lambda data: b"")), program(ROW))
    assert "press reset twice" in failure.value.next_action


@pytest.mark.parametrize("seed", range(8))
def test_install_on_a_noisy_line(seed: int) -> None:
    assert attempt(monitor(), program(20_000, seed), 1e-4, seed, "flip") == "installed"


@pytest.mark.parametrize("kind", ["flip", "drop", "double"])
@pytest.mark.parametrize("seed", range(4))
def test_noise_never_passes_for_success(seed: int, kind: str) -> None:
    """An address that is spoilt may stop the chip, as nothing protects it; then a reset and a second attempt help."""
    device, image = monitor(before=program(40_000, seed + 1_000)), program(8_000, seed)
    for again in range(6):
        end = attempt(device, image, 1e-3, 10 * seed + again, kind)
        if end == "installed":
            break
        assert end == "stopped"
        device.restart()
    assert device.cells[START : START + len(image)] == image


class OneBitFlips(LoopbackLink):
    """A line on which the first command that begins with `wanted` becomes one that begins with `got`."""

    def __init__(self, device, wanted: bytes, got: bytes, errors_before: int) -> None:
        super().__init__(device)
        self.wanted, self.got, self.errors_left = wanted, got, errors_before

    def write(self, data: bytes) -> None:
        if self.errors_left and data.startswith(b"Z"):
            self.errors_left -= 1
            data = b"z" + data[1:]
        elif self.wanted and data.startswith(self.wanted):
            data, self.wanted = self.got + data[len(self.wanted) :], b""
        super().write(data)


def test_a_checksum_that_becomes_an_erase_is_repaired_or_told() -> None:
    image = program(20_000)
    device = monitor(before=image)
    with pytest.raises(VerificationFailed, match="not to be touched"):
        install(OneBitFlips(device, b"Z5000,", b"X5000,", 0), image)
    device.restart()
    install(OneBitFlips(device, b"Z2000,100#", b"X2000,100#", 0), image)
    assert device.cells[START : START + len(image)] == image


def test_what_lies_beside_is_put_back_once_the_line_is_known_to_lie() -> None:
    before = program(60_000)
    device = monitor(before=before)
    image = b"new" + before[3:20_000]
    install(OneBitFlips(device, b"Y2000,", b"X2000,", 3), image)
    assert device.cells[START : START + 60_000] == image + before[20_000:]


def test_what_lies_beside_and_is_lost_is_told() -> None:
    device = monitor(before=program(60_000))
    with pytest.raises(VerificationFailed, match="not to be touched"):
        install(OneBitFlips(device, b"Y2000,", b"X2000,", 0), program(ROW, 2))
