"""Reading numbers, names and counts out of bytes (core specification, section "Binary Format", "Values").

This file decides when a number is encoded strictly enough. It refuses to know what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mcutool.errors import InvalidModule

T = TypeVar("T")


class Cursor:
    """A position in the bytes of a file; every read raises InvalidModule, with its offset, at the `end`."""

    __slots__ = ("data", "position", "end")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    def byte(self) -> int:
        position = self.position
        if position >= self.end:
            raise InvalidModule("unexpected end", position)
        self.position = position + 1
        return self.data[position]

    def take(self, length: int) -> bytes:
        if length > self.end - self.position:
            raise InvalidModule("unexpected end", self.end)
        start = self.position
        self.position = start + length
        return self.data[start : self.position]

    def u32(self) -> int:
        position = self.position
        if position < self.end and (byte := self.data[position]) < 0x80:  # nearly always
            self.position = position + 1
            return byte
        return self.unsigned(32)

    def unsigned(self, bits: int) -> int:
        """An unsigned LEB128 number of at most `bits` bits."""
        start, value, shift = self.position, 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if shift + 7 > bits:
                self._check_last_byte(start, byte, byte >> (bits - shift))
            if byte < 0x80:
                return value
            shift += 7

    def signed(self, bits: int) -> int:
        """A signed LEB128 number of at most `bits` bits, as a Python integer."""
        start, value, shift = self.position, 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if shift + 7 > bits:
                unused = (byte & 0x7F) >> (bits - shift - 1)  # the sign bit and what lies above it must agree
                all_ones = 0x7F >> (bits - shift - 1)
                self._check_last_byte(start, byte, 0 if unused in (0, all_ones) else 1)
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value

    def _check_last_byte(self, start: int, byte: int, excess: int) -> None:
        if byte >= 0x80:
            raise InvalidModule("integer representation too long", start)
        if excess:
            raise InvalidModule("integer too large", start)

    def bits(self, size: int) -> int:
        """A little-endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def name(self) -> str:
        start = self.position
        encoded = self.take(self.u32())
        try:
            return encoded.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidModule("malformed UTF-8 encoding", start) from error

    def vector(self, read: Callable[[], T]) -> list[T]:
        """A count and as many items; a count beyond the data ends in "unexpected end", so it costs no memory."""
        return [read() for _ in range(self.u32())]
