"""Files for a chip's flash: objcopy's ELF, HEX and binary of one firmware say the same; damaged ones are refused.

What our writers write, our readers and binutils read.
"""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcutool import devices
from mcutool.errors import UsageError
from mcutool.image.containers import Segment, add_to_elf, join, read_segments, to_binary, to_intel_hex, to_uf2

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
        to_uf2([(0, bytes(300))])[:700],
        to_uf2([(0, bytes(300))]).replace(struct.pack("<I", 256), struct.pack("<I", 500)),
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="f.any is damaged"):
        read_segments("f.any", data)


def test_hex_addresses_reach_beyond_64_kilobytes() -> None:
    linear = b":020000040800F2\n:0100000001FE\n:020000021000EC\n:0100100002ED\n:00000001FF\n"
    assert read_segments("f.hex", linear) == [(0x10010, b"\2"), (0x0800_0000, b"\1")]


def test_neighbours_are_joined() -> None:
    assert join([(4, b"cd"), (0, b"ab"), (2, b"xy")]) == [(0, b"abxycd")]


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


@given(segments())
def test_intel_hex_is_read_back(pieces: list[Segment]) -> None:
    assert read_segments("f.hex", to_intel_hex(pieces)) == join(pieces)


@given(segments())
def test_a_binary_is_read_back(pieces: list[Segment]) -> None:
    (segment,) = read_segments("f.bin", to_binary(pieces, 0xA5), pieces[0][0])
    wanted = contents(pieces)
    assert all(byte == wanted.get(at, 0xA5) for at, byte in contents([segment]).items())
    assert len(segment[1]) == max(wanted) - min(wanted) + 1


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
