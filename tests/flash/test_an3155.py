"""The AN3155 codec against golden bytes and against the emulated ROM."""

from __future__ import annotations

import pytest
from loopback import drive, rom

from mcutool.flash.protocols import an3155
from mcutool.flash.protocols.exchange import Garbled, NoReply, Refused

COMMANDS = an3155.Commands(0x31, frozenset({0x00, 0x44}))


def sent(exchange, answers: bytes = b"\x79" * 200) -> bytes:
    """What an exchange puts on the line when every byte that comes back is from `answers`."""
    data, position = b"", 0
    reply = None
    try:
        while True:
            step = exchange.send(reply)
            data += step.send
            reply = answers[position : position + step.count]
            position += step.count
    except StopIteration:
        return data


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (an3155.synchronise(), "7f"),
        (an3155.get_id(), "02fd"),
        (an3155.read(0x08000000, 256), "11ee 0800000008 ff00"),
        (an3155.write(0x08000100, b"\1\2\3\4"), "31ce 0800010009 03 01020304 07"),
        (an3155.erase([0, 1], COMMANDS, 1), "44bb 0001 0000 0001 00"),
        (an3155.erase([7], an3155.Commands(0x22, frozenset({0x43})), 1), "43bc 00 07 07"),
        (an3155.mass_erase(COMMANDS), "44bb ffff00"),
        (an3155.mass_erase(an3155.Commands(0x22, frozenset({0x43}))), "43bc ff00"),
        (an3155.go(0x08000000), "21de 0800000008"),
        (an3155.write_protect([1, 2]), "639c 01 0102 02"),
        (an3155.unprotect("write unprotect"), "738c"),
        (an3155.unprotect("readout unprotect"), "926d"),
        (an3155.readout_protect(), "827d"),
    ],
)
def test_golden_bytes(exchange, expected: str) -> None:
    assert sent(exchange) == bytes.fromhex(expected)


def test_a_bootloader_is_not_busy_for_ever() -> None:
    with pytest.raises(Garbled, match="0x76"):
        sent(an3155.go(0x08000000), bytes((an3155.BUSY,)) * 10_000)


def test_erase_lists_are_split() -> None:
    data = sent(an3155.erase(list(range(600)), COMMANDS, 1))
    assert data.count(bytes.fromhex("44bb")) == 2
    assert data[2:4] == (510).to_bytes(2, "big")


def slow_crc(data: bytes) -> int:
    """The CRC unit of the reference manual, bit by bit."""
    crc = 0xFFFFFFFF
    for start in range(0, len(data), 4):
        crc ^= int.from_bytes(data[start : start + 4], "little")
        for _ in range(32):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\1\2\3\4", bytes(range(256))])
def test_crc_is_that_of_the_crc_unit(data: bytes) -> None:
    assert an3155.crc32_of(data) == slow_crc(data)


def test_every_command_against_the_rom() -> None:
    device = rom(commands=tuple(an3155.COMMANDS))
    drive(device, an3155.synchronise())
    commands = drive(device, an3155.get())
    assert commands.version == 0x31 and commands.codes == frozenset(an3155.COMMANDS.values())
    assert drive(device, an3155.get_id()) == 0x413
    drive(device, an3155.write(0x08000000, b"abcd"))
    assert drive(device, an3155.read(0x08000000, 6)) == b"abcd\xff\xff"
    assert drive(device, an3155.checksum(0x08000000, 4)) == an3155.crc32_of(b"abcd")
    drive(device, an3155.erase([0], commands, 1))
    assert drive(device, an3155.read(0x08000000, 4)) == b"\xff" * 4
    drive(device, an3155.go(0x08000000))
    assert device.started == 0x08000000


def test_programming_only_clears_bits() -> None:
    device = rom()
    drive(device, an3155.synchronise())
    drive(device, an3155.write(0x08000000, b"\xf0" * 4))
    drive(device, an3155.write(0x08000000, b"\x3c" * 4))
    assert drive(device, an3155.read(0x08000000, 4)) == b"\x30" * 4


def test_a_second_session_finds_the_rom_in_step() -> None:
    device = rom()
    drive(device, an3155.synchronise())
    with pytest.raises(NoReply):
        drive(device, an3155.synchronise())
    drive(device, an3155.synchronise())
    assert drive(device, an3155.get_id()) == 0x413


def test_the_roms_own_ram_is_refused() -> None:
    device = rom()
    drive(device, an3155.synchronise())
    with pytest.raises(Refused, match="write refused at its data"):
        drive(device, an3155.write(0x20000000, b"abcd"))


def test_protections() -> None:
    device = rom()
    drive(device, an3155.synchronise())
    drive(device, an3155.write_protect([0]))
    device.restart()
    drive(device, an3155.synchronise())
    with pytest.raises(Refused):
        drive(device, an3155.write(0x08000000, b"abcd"))
    drive(device, an3155.readout_protect())
    device.restart()
    drive(device, an3155.synchronise())
    with pytest.raises(Refused, match="read refused at its command"):
        drive(device, an3155.read(0x08000000, 4))
    drive(device, an3155.unprotect("readout unprotect"))
    assert not device.readout_protected


@pytest.mark.parametrize(
    "unfinished", ["", "31", "31ce", "31ce08", "31ce0800000008", "31ce0800000008ff", "44bb01", "11ee"]
)
def test_resynchronisation_from_anywhere(unfinished: str) -> None:
    device = rom()
    drive(device, an3155.synchronise())
    drive(device, an3155.write(0x08000000, b"abcd"))
    device.feed(bytes.fromhex(unfinished))
    drive(device, an3155.resynchronise())
    assert drive(device, an3155.read(0x08000000, 8)) == b"abcd\xff\xff\xff\xff"
