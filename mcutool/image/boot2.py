"""The second stage bootloader of RP2040: the first bytes of its flash, which the boot ROM checks before it calls them.

This file decides what their checksum is and where it stands (RP2040 datasheet, section 2.8.1.3.1). It refuses to know
what the code does.
"""

from __future__ import annotations

SIZE = 256  # bytes, of which the last four are the checksum
CHECKED = SIZE - 4
POLYNOMIAL = 0x04C11DB7


def checksum(data: bytes) -> int:
    """CRC-32 of the data, the most significant bit of each byte first, beginning with ones, not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = value << 1 ^ (POLYNOMIAL if value >> 31 else 0)
            value &= 0xFFFFFFFF
    return value


def sealed(stage: bytes) -> bytes:
    """The code with its checksum behind it."""
    return stage[:CHECKED] + checksum(stage[:CHECKED]).to_bytes(4, "little")


def is_whole(stage: bytes) -> bool:
    """Whether the boot ROM would call it."""
    return stage[:SIZE] == sealed(stage)
