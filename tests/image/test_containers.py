"""Files for a chip's flash: objcopy's ELF, HEX and binary of one firmware say the same; damaged ones are refused.

What our writers write, our readers and binutils read.
"""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutool import devices
from mcutool.errors import UsageError, WrongChip
from mcutool.image.containers import (
    WITH_ADDRESSES,
    Segment,
    add_to_elf,
    is_plain,
    join,
    read_segments,
    to_binary,
    to_intel_hex,
    to_uf2,
)

FIRMWARE = devices.board("stm32f405").firmware


def objcopy(kind: str, output: Path) -> bytes:
    subprocess.run(["arm-none-eabi-objcopy", "-O", kind, str(FIRMWARE), str(output)], check=True)
    return output.read_bytes()


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    binary = objcopy("binary", tmp_path / "f.bin")
    base = devices.chip("stm32f405").flash.base
    (segment,) = read_segments("f.elf", FIRMWARE.read_bytes())
    assert segment == (base, binary)
    assert read_segments("f.hex", objcopy("ihex", tmp_path / "f.hex")) == [segment]
    assert read_segments("f.bin", binary, base) == [segment]


def test_a_binary_has_to_be_placed() -> None:
    with pytest.raises(UsageError, match="does not say where") as caught:
        read_segments("f.bin", b"abc")
    assert "--address" in caught.value.next_action


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF",
        b":0400000001020304F2\n",
        b":0400000001020304F3\n:00000001FF\n",
        b":04000000010203\n",
        b":zz\n",
        b":0100000001FE\n:00000001FF\n:0100010002FC\n",
        b":0100000001FE\n:0100000002FD\n:00000001FF\n",
        b":0400000A9900C0DEBB\n:00000001FF\n",
        b"S00600004844521B\nS1040000AB50\n",
        b"S00600004844521B\nS1040000AB51\nS9030000FC\n",
        to_uf2([(0, bytes(300))])[:700],
        to_uf2([(0, bytes(300))])[:512],
        to_uf2([(0, bytes(300))])[512:],
        to_uf2([(0, bytes(300))]) * 2 + to_uf2([(0, bytes(700))]),
        to_uf2([(0, bytes(300))]).replace(struct.pack("<I", 256), struct.pack("<I", 500)),
        to_uf2([(0, bytes(300))]).replace(struct.pack("<I", 0x0AB16F30), bytes(4)),
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="f.any is damaged"):
        read_segments("f.any", data)


HEX = to_intel_hex([(0x0800_0000, b"abcd")])
WEB_PAGE, POINTER = b"<!DOCTYPE html><html>404</html>\n" * 40, b"version https://git-lfs.github.com/spec/v1\n"


@pytest.mark.parametrize("data", [WEB_PAGE, POINTER, bytes(600), b"\n", b"S9030000FC\n"])
@pytest.mark.parametrize("suffix", [*WITH_ADDRESSES, ".HEX", ".Uf2"])
@pytest.mark.parametrize("address", [None, 0x0800_0000])
def test_a_file_that_is_not_what_its_name_says_is_refused(data: bytes, suffix: str, address: int | None) -> None:
    assert not is_plain("f" + suffix, data)
    with pytest.raises(UsageError, match=f"f{suffix} is damaged: it does not begin like such a file"):
        read_segments("f" + suffix, data, address)


@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n \t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
@pytest.mark.parametrize("name", ["f.hex", "F.HEX", "f.srec", "f.s19", "F.S19"])
def test_a_text_may_begin_with_white_space_or_a_byte_order_mark(before: bytes, name: str) -> None:
    text = HEX if "hex" in name.lower() else srec()
    for address in (None, 0x0800_0000):
        assert read_segments(name, before + text, address) == [(0x0800_0000, b"abcd")]


def srec() -> bytes:
    """Without a header, as some tools write it."""
    first = s_record("3", (0x0800_0000).to_bytes(4, "big") + b"abcd")
    return "\n".join([first, s_record("7", (0x0800_0000).to_bytes(4, "big"))]).encode()


@pytest.mark.parametrize("name", ["f.elf", "f.ELF", "f.bin", "f.BIN", "f", "f.hex"])
def test_an_elf_file_is_one_whatever_its_name(name: str) -> None:
    assert not is_plain(name, FIRMWARE.read_bytes())
    assert read_segments(name, FIRMWARE.read_bytes()) == read_segments("f.elf", FIRMWARE.read_bytes())


def test_a_plain_binary_may_begin_with_anything_else() -> None:
    for data in (HEX, srec(), to_uf2([(0, b"a")]), WEB_PAGE):
        assert read_segments("f.bin", data, 0) == read_segments("f.BIN", data, 0) == [(0, data)]
    assert is_plain("f", b"\n:") and is_plain("f.any", bytes(600))


def test_hex_addresses_reach_beyond_64_kilobytes() -> None:
    linear = b":020000040800F2\n:0100000001FE\n:020000021000EC\n:0100100002ED\n:00000001FF\n"
    assert read_segments("f.hex", linear) == [(0x10010, b"\2"), (0x0800_0000, b"\1")]


def test_s_records_have_three_widths_of_address() -> None:
    text = "S00600004844521B\nS1040000AB50\nS2060801001122BD\nS30608000000F700\nS5030003F9\nS70508000000F2\n"
    records = [line for line in text.split()]
    records[3] = s_record("3", bytes.fromhex("08000000F7"))
    assert read_segments("f.srec", "\n".join(records).encode()) == [
        (0, b"\xab"), (0x080100, bytes.fromhex("1122")), (0x0800_0000, b"\xf7"),
    ]  # fmt: skip


def s_record(kind: str, content: bytes) -> str:
    record = bytes((len(content) + 1,)) + content
    return f"S{kind}{record.hex()}{~sum(record) & 0xFF:02x}"


def test_neighbours_are_joined() -> None:
    assert join([(4, b"cd"), (0, b"ab"), (2, b"xy"), (9, b"")]) == [(0, b"abxycd")]


def test_what_is_said_twice_has_to_be_the_same() -> None:
    assert join([(0, b"abcd"), (1, b"bc"), (2, b"cdef"), (0, b"ab")]) == [(0, b"abcdef")]
    with pytest.raises(ValueError, match="two things about 0x00000002"):
        join([(0, b"abcd"), (2, b"cx")])


# --- what else ELF files and UF2 files have ---------------------------------------------------------------------------


def patched_elf(offset: int, value: bytes) -> bytes:
    data = bytearray(FIRMWARE.read_bytes())
    data[offset : offset + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched_elf(16, b"\1"), "an object file"),  # e_type
        (patched_elf(18, b"\xf3"), "not for Arm but for RISC-V"),  # e_machine
        (FIRMWARE.read_bytes()[:4000], "it is cut off|damaged"),
    ],
)
def test_an_elf_file_that_no_chip_can_start_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_segments("f.elf", data)


def compiled(folder: Path, *flags: str) -> bytes:
    """Four bytes of data, linked at 0x8000 by GNU ld without a linker script."""
    (folder / "f.s").write_text('.data\n.global _start\n_start: .byte 1, 2, 3, 4\n.section .empty,"a"\n.text\n')
    command = ("arm-none-eabi-gcc", "-nostdlib", *flags, "f.s", "-o", "f.elf")
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return (folder / "f.elf").read_bytes()


def test_a_big_endian_elf_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is big-endian"):
        read_segments("f.elf", compiled(tmp_path, "-mbig-endian"))


def test_headers_in_a_segment_are_not_for_the_chip(tmp_path: Path) -> None:
    """Some linker scripts put the file's own headers into the first segment, in front of the first section."""
    script = "SECTIONS { . = 0x8000 + SIZEOF_HEADERS; .data : { *(.data) } /DISCARD/ : { *(.ARM.attributes) } }"
    (tmp_path / "f.ld").write_text(script)
    data = compiled(tmp_path, "-Wl,-T,f.ld")
    (tmp_path / "f.elf").write_bytes(data)
    assert "LOAD           0x000000 0x00008000" in readelf("-l", tmp_path / "f.elf")
    ((address, contents),) = read_segments("f.elf", data)
    assert contents == bytes((1, 2, 3, 4)) and address > 0x8000


F4, RP2040 = 0x57755A57, 0xE48BFF56


def blocks(data: bytes) -> list[bytes]:
    return [data[start : start + 512] for start in range(0, len(data), 512)]


def with_flags(block: bytes, flags: int) -> bytes:
    return block[:8] + struct.pack("<I", flags) + block[12:]


def test_the_blocks_of_a_family_are_taken_and_those_of_none() -> None:
    mixed = to_uf2([(0, b"a" * 256)], F4) + to_uf2([(0x1000, b"b" * 512)], RP2040)
    assert read_segments("f.uf2", mixed, family=F4) == [(0, b"a" * 256)]
    assert read_segments("f.uf2", mixed, family=RP2040) == [(0x1000, b"b" * 512)]
    assert len(read_segments("f.uf2", mixed)) == 2
    assert read_segments("f.uf2", to_uf2([(0, b"a" * 256)]), family=F4) == [(0, b"a" * 256)]
    with pytest.raises(WrongChip, match="f.uf2 is for STM32F4 and RP2040, not for SAMD21"):
        read_segments("f.uf2", mixed, family=0x68ED2B88)
    with pytest.raises(WrongChip, match="the UF2 family 0x12345678, not for STM32F4"):
        read_segments("f.uf2", to_uf2([(0, b"a")], 0x12345678), family=F4)


def test_the_order_of_blocks_does_not_matter() -> None:
    data = to_uf2([(0x100, bytes(range(256)) * 5)], F4)
    assert read_segments("f.uf2", b"".join(reversed(blocks(data)))) == [(0x100, bytes(range(256)) * 5)]


@pytest.mark.parametrize("flags", [0x2001, 0x3000])
def test_blocks_that_are_not_for_flash_count_and_are_left_out(flags: int) -> None:
    first, second = blocks(to_uf2([(0, b"a" * 512)], F4))
    assert read_segments("f.uf2", first + with_flags(second, flags)) == [(0, b"a" * 256)]
    with pytest.raises(UsageError, match="nothing for a chip"):
        read_segments("f.uf2", with_flags(first, flags) + with_flags(second, flags))


def test_a_checksum_and_extension_tags_change_nothing() -> None:
    first, second = blocks(to_uf2([(0, b"a" * 512)], F4))
    tags = bytes.fromhex("0af6d9b2") + b"1.2.3\0" + bytes(6)  # 10 bytes of kind 0x9FC7BC's length, and the end
    tagged = with_flags(first, 0xE000)[: 32 + 256] + tags + first[32 + 256 + len(tags) :]
    assert read_segments("f.uf2", tagged + second) == [(0, b"a" * 512)]


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Some pieces that do not overlap; gaps and pieces reach over the boundaries of pages and of 64 KiB."""
    address, pieces = draw(st.integers(0, 0xFFFF_0000)), []
    for _ in range(draw(st.integers(1, 4))):
        address += draw(st.integers(0, 700) | st.just(0xFE00))
        pieces.append((address, draw(st.binary(min_size=1, max_size=700))))
        address += len(pieces[-1][1])
    return [(address & 0xFFFF_FFFF, data) for address, data in pieces if address + len(data) <= 1 << 32]


def contents(pieces: list[Segment]) -> dict[int, int]:
    return {address + i: byte for address, data in pieces for i, byte in enumerate(data)}


@settings(deadline=None)  # a busy machine is no failure
@given(segments())
def test_intel_hex_is_read_back(pieces: list[Segment]) -> None:
    assert read_segments("f.hex", to_intel_hex(pieces)) == join(pieces)


@settings(deadline=None)  # a busy machine is no failure
@given(segments())
def test_a_binary_is_read_back(pieces: list[Segment]) -> None:
    (segment,) = read_segments("f.bin", to_binary(pieces, 0xA5), pieces[0][0])
    wanted = contents(pieces)
    assert all(byte == wanted.get(at, 0xA5) for at, byte in contents([segment]).items())
    assert len(segment[1]) == max(wanted) - min(wanted) + 1


@settings(deadline=None)  # a busy machine is no failure
@given(segments(), st.sampled_from([0, 0x57755A57]))
def test_uf2_is_read_back(pieces: list[Segment], family: int) -> None:
    """Whole pages, each once, in ascending order, numbered."""
    data = to_uf2(pieces, family, 0xA5)
    blocks = [struct.unpack_from("<8I", data, start) for start in range(0, len(data), 512)]
    assert [block[5] for block in blocks] == list(range(len(blocks))) and {block[6] for block in blocks} == {
        len(blocks)
    }
    assert {(block[2], block[4], block[7]) for block in blocks} == {(0x2000 if family else 0, 256, family)}
    assert all(block[3] % 256 == 0 for block in blocks)
    assert all(data[end - 4 : end] == bytes.fromhex("306fb10a") for end in range(512, len(data) + 1, 512))
    wanted, found = contents(pieces), contents(read_segments("f.uf2", data))
    assert len(found) == 256 * len(blocks) == 256 * len({at // 256 for at in wanted})
    assert all(byte == wanted.get(at, 0xA5) for at, byte in found.items())


@pytest.mark.parametrize("board", devices.runtime_boards(), ids=lambda board: board.name)
def test_an_elf_gets_one_more_segment_and_keeps_the_rest(board: devices.Board, tmp_path: Path) -> None:
    before = board.firmware.read_bytes()
    address, data = board.chip.slot_address, bytes(range(252))
    after = add_to_elf(before, ".module", (address, data))
    assert read_segments("f.elf", after) == join([*read_segments("f.elf", before), (address, data)])
    (tmp_path / "f.elf").write_bytes(after)
    assert symbols(tmp_path / "f.elf") == symbols(board.firmware)
    headers = readelf("-lS", tmp_path / "f.elf")
    assert f".module           PROGBITS        {address:08x}" in headers and re.search(r"\d\d     \.module", headers)


def readelf(option: str, file: Path) -> str:
    done = subprocess.run(["arm-none-eabi-readelf", "-W", option, file], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def symbols(file: Path) -> str:
    return readelf("-s", file)
