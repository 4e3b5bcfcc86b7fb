"""Files for a chip's flash: objcopy's ELF, HEX and binary of one firmware say the same; damaged ones are refused."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.errors import UsageError
from mcutool.image.containers import join, read_segments

FIRMWARE = devices.board("stm32f405").firmware


def objcopy(kind: str, output: Path) -> bytes:
    subprocess.run(["arm-none-eabi-objcopy", "-O", kind, str(FIRMWARE), str(output)], check=True)
    return output.read_bytes()


def uf2(segments: list[tuple[int, bytes]]) -> bytes:
    """Blocks of 256 bytes, as the drag-and-drop bootloaders take them."""
    pieces = [(address + i, data[i : i + 256]) for address, data in segments for i in range(0, len(data), 256)]
    blocks = (
        struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0, address, len(data), number, len(pieces), 0)
        + data.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30)
        for number, (address, data) in enumerate(pieces)
    )  # fmt: skip
    return b"".join(blocks)


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    binary = objcopy("binary", tmp_path / "f.bin")
    base = devices.chip("stm32f405").flash.base
    (segment,) = read_segments("f.elf", FIRMWARE.read_bytes())
    assert segment == (base, binary)
    assert read_segments("f.hex", objcopy("ihex", tmp_path / "f.hex")) == [segment]
    assert read_segments("f.bin", binary, base) == [segment]
    assert read_segments("f.uf2", uf2([segment])) == [segment]


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
        uf2([(0, bytes(300))])[:700],
        uf2([(0, bytes(300))]).replace(struct.pack("<I", 256), struct.pack("<I", 500)),
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
