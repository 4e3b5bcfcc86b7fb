"""Reading an exact number of bytes from an emulated serial line."""

from __future__ import annotations

from mcutool.emulator.link import EmulatedLink


def receive(link: EmulatedLink, size: int, timeout: float = 1.0) -> bytes:
    """`size` bytes, fewer when `timeout` seconds of the board's clock are over."""
    data, end = b"", link.now() + timeout
    while len(data) < size and link.now() < end:
        data += link.read(end - link.now())
    return data
