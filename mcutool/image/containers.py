"""Files that other tools make for a chip's flash: ELF, Intel HEX, UF2 and plain binaries, as pieces of memory.

This file decides what such a file says should lie where. It refuses to know which of it a chip has.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from mcutool.errors import UsageError

Segment = tuple[int, bytes]  # absolute address, contents

UF2_BLOCK = struct.Struct("<IIIIIIII")  # magic, magic, flags, address, size, number, count, family
UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UF2_SIZE = 512
UF2_NOT_FLASH = 1

HEX_DATA, HEX_END, HEX_SEGMENT, HEX_START_SEGMENT, HEX_LINEAR, HEX_START_LINEAR = range(6)


def read_segments(name: str, data: bytes, address: int | None = None) -> list[Segment]:
    """What the file `name` with these contents puts where, neighbouring pieces joined.

    `address` is for plain binaries, which do not say it. Raises UsageError when the file is damaged.
    """
    try:
        return join(_pieces(name, data, address))
    except (ELFError, ValueError, struct.error) as error:
        raise UsageError(f"{name} is damaged: {error}", next_action="make it again") from error


def _pieces(name: str, data: bytes, address: int | None) -> Iterable[Segment]:
    if data.startswith(b"\x7fELF"):
        return _elf(data)
    if data.startswith(b":"):
        return _intel_hex(data.decode("ascii"))
    if UF2_BLOCK.size <= len(data) and UF2_BLOCK.unpack_from(data)[:2] == UF2_MAGIC:
        return _uf2(data)
    if address is None:
        raise UsageError(f"{name} does not say where its bytes belong", next_action="say it with --address A")
    return [(address, data)]


def _elf(data: bytes) -> Iterator[Segment]:
    """The loadable segments at their load addresses."""
    for segment in ELFFile(io.BytesIO(data)).iter_segments("PT_LOAD"):
        if segment["p_filesz"]:
            yield segment["p_paddr"], segment.data()


def _intel_hex(text: str) -> Iterator[Segment]:
    """Intel Hexadecimal Object File Format, revision A."""
    base = 0
    for number, line in enumerate(text.split(), 1):
        record = bytes.fromhex(line[1:]) if line.startswith(":") else b""
        if len(record) < 5 or len(record) != record[0] + 5 or sum(record) & 0xFF:
            raise ValueError(f"line {number} is wrong")
        offset, kind, content = int.from_bytes(record[1:3], "big"), record[3], record[4:-1]
        if kind == HEX_END:
            return
        if kind == HEX_DATA:
            yield base + offset, content
        elif kind == HEX_LINEAR:
            base = int.from_bytes(content, "big") << 16
        elif kind == HEX_SEGMENT:
            base = int.from_bytes(content, "big") << 4
    raise ValueError("it has no end record")


def _uf2(data: bytes) -> Iterator[Segment]:
    """USB Flashing Format: blocks of 512 bytes, each with its address."""
    if len(data) % UF2_SIZE:
        raise ValueError("it is cut off")
    for start in range(0, len(data), UF2_SIZE):
        first, second, flags, address, size, *_ = UF2_BLOCK.unpack_from(data, start)
        if (first, second) != UF2_MAGIC or size > UF2_SIZE - UF2_BLOCK.size:
            raise ValueError(f"block {start // UF2_SIZE} is wrong")
        if not flags & UF2_NOT_FLASH:
            content = start + UF2_BLOCK.size
            yield address, data[content : content + size]


def join(pieces: Iterable[Segment]) -> list[Segment]:
    """The pieces in ascending order, neighbours joined."""
    joined: list[tuple[int, bytearray]] = []
    for address, data in sorted(pieces):
        if joined and joined[-1][0] + len(joined[-1][1]) == address:
            joined[-1][1].extend(data)
        else:
            joined.append((address, bytearray(data)))
    return [(address, bytes(data)) for address, data in joined]
