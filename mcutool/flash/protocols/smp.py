"""SMP, the Simple Management Protocol of MCUmgr, over a console line.

Decides how a message becomes lines of text among a program's output and how it is found again there, what the header
and the CBOR map mean, and which chunk of an upload comes next. Refuses to know the wire, the clock and the board:
waiting and resending are the caller's.

A message is an 8-byte header (version and operation, flags, length, group, sequence, command) and a CBOR map. On the
line it is length, message, CRC-16/XMODEM in base64, cut into lines of at most 127 bytes; the first begins 06 09,
the following ones 04 14, each ends in LF.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cbor2

FIRST, NEXT = b"\x06\x09", b"\x04\x14"
LINE = 127  # marker, base64 and LF
TEXT_PER_LINE = (LINE - 3) // 4 * 4
FRAMING = 4  # length and CRC, counted in a server's buffer size

READ, READ_REPLY, WRITE, WRITE_REPLY = range(4)

OS, IMAGE, RUNTIME = 0, 1, 64
OS_ECHO, OS_RESET, OS_PARAMETERS, OS_INFO, OS_BOOTLOADER = 0, 5, 6, 7, 8
IMAGE_STATE, IMAGE_UPLOAD, IMAGE_ERASE, IMAGE_SLOTS = 0, 1, 5, 6
RUNTIME_INFO, RUNTIME_CALL, RUNTIME_INPUT, RUNTIME_START, RUNTIME_STATUS, RUNTIME_GLOBAL, RUNTIME_STOP = range(7)
RUNTIME_SETTINGS = 7

RESULT_NAMES = {
    1: "unknown error", 2: "out of memory", 3: "invalid value", 4: "timed out", 5: "no such entry", 6: "bad state",
    7: "message too long", 8: "not supported", 9: "corrupt payload", 10: "busy", 11: "access denied",
}  # fmt: skip
"""What `rc` means, in either version, whatever the command."""
IMAGE_RESULT_NAMES = {
    1: "unknown error", 2: "its flash map cannot be read", 3: "no image", 4: "the image has no TLVs",
    5: "invalid TLV", 6: "the image has several hashes", 7: "a TLV of the wrong size", 8: "the image has no hash",
    9: "no slot is free", 10: "the slot cannot be opened", 11: "the slot cannot be read", 12: "writing flash failed",
    13: "erasing flash failed", 14: "no such slot", 15: "out of memory", 16: "an upload is going on already",
    17: "no upload is going on", 18: "there is no flash device", 19: "invalid page offset", 20: "no offset",
    21: "no length", 22: "the image header is cut off", 23: "the image does not begin with MCUboot's header",
    24: "invalid hash", 25: "the image is linked for another address", 26: "no version of what runs",
    27: "what runs is newer", 28: "another image waits to be tried already", 29: "the image has no vector table",
    30: "the image is too large", 31: "more data than the image's length", 32: "this image cannot be confirmed",
    33: "what runs cannot be marked for a test", 34: "which slot runs is not known",
}  # fmt: skip
"""What `rc` in `err` of group image means, in SMPv2."""
NO_ROOM = ((None, 2), (IMAGE, 15), (IMAGE, 30))
"""Errors that a smaller image would not have met."""
NOT_SUPPORTED = (None, 8)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_NUMBERS = ("isa", "off", "n", "t", "x", "stack", "trap", "exit", "buf_size")
_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_NUMBERS, _is_number),
    **dict.fromkeys(("board", "state"), _is_text),
    "r": lambda value: isinstance(value, bytes | str),
    "bt": lambda value: isinstance(value, bytes) and len(value) % 8 == 0,
    "images": lambda value: isinstance(value, list),
    "settings": lambda value: isinstance(value, dict),
}
"""What the keys of a reply hold; others are never computed with."""
_NEEDED = {
    (IMAGE, IMAGE_UPLOAD): ("off",),
    (RUNTIME, RUNTIME_INFO): ("board", "isa"),
    (RUNTIME, RUNTIME_INPUT): ("off",),
    (RUNTIME, RUNTIME_STATUS): ("state",),
    (RUNTIME, RUNTIME_STOP): ("trap", "exit", "bt"),
}
"""The keys that the reply to a command has when it is no error."""


class Malformed(Exception):
    """Bytes that are not an SMP message."""


@dataclass(frozen=True)
class Message:
    """One request or reply. `version` 0 is the first SMP, 1 is SMPv2."""

    operation: int
    group: int
    command: int
    payload: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    version: int = 1

    @property
    def error(self) -> tuple[int | None, int]:
        """Group and code of a reply's error; the group is None for the codes that all groups share. Code 0: none."""
        error = self.payload.get("err")
        group = error.get("group", self.group) if isinstance(error, dict) else None
        code = error.get("rc") if isinstance(error, dict) else self.payload.get("rc", 0)
        return group, code if isinstance(code, int) else 1

    @property
    def reason(self) -> str:
        """The error in words: the server's own where it gives some."""
        group, code = self.error
        names = {None: RESULT_NAMES, IMAGE: IMAGE_RESULT_NAMES}.get(group, {})
        known = names.get(code, f"error {code}")
        return ": ".join(str(self.payload[key]) for key in ("rsn", "msg", "detail") if key in self.payload) or known

    def nonsense(self) -> str:
        """What is wrong with a reply that is no error; nothing when all that is needed is there."""
        for key in _NEEDED.get((self.group, self.command), ()):
            if key not in self.payload:
                return f"{key!r} is missing"
        for key, value in self.payload.items():
            if key in _KINDS and not _KINDS[key](value):
                return f"{key!r} is {value!r:.40}"
        return "" if "t" not in self.payload or "x" in self.payload else "'x' is missing"

    def answers(self, request: Message) -> bool:
        """Whether this is the reply to `request` and not to an earlier one."""
        return (self.operation, self.group, self.command, self.sequence) == (
            request.operation + 1, request.group, request.command, request.sequence,
        )  # fmt: skip


_HEADER = struct.Struct(">BBHHBB")


def encode_message(message: Message) -> bytes:
    """The header and the CBOR map."""
    body = cbor2.dumps(message.payload)
    first = message.version << 3 | message.operation
    return _HEADER.pack(first, 0, len(body), message.group, message.sequence & 0xFF, message.command) + body


def decode_message(data: bytes) -> Message:
    """The inverse of `encode_message`. Raises Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed("shorter than an SMP header")
    first, _flags, length, group, sequence, command = _HEADER.unpack_from(data)
    try:
        payload = cbor2.loads(data[_HEADER.size : _HEADER.size + length])
    except (cbor2.CBORDecodeError, EOFError, UnicodeDecodeError) as error:
        raise Malformed(f"not CBOR: {error}") from error
    if not isinstance(payload, dict):
        raise Malformed("the payload is not a map")
    return Message(first & 7, group, command, payload, sequence, first >> 3 & 3)


def encode_lines(data: bytes) -> bytes:
    """One message as console lines."""
    framed = struct.pack(">H", len(data) + 2) + data + struct.pack(">H", binascii.crc_hqx(data, 0))
    text = b64encode(framed)
    pieces = [text[start : start + TEXT_PER_LINE] for start in range(0, len(text), TEXT_PER_LINE)]
    return b"".join((NEXT if number else FIRST) + piece + b"\n" for number, piece in enumerate(pieces))


class Demultiplexer:
    """Parts SMP messages from the text around them.

    Feed it what the line brings; it gives back `bytes` for program output and `Message` for SMP. A frame that noise
    has broken is dropped and counted in `dropped`: the sender repeats it.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._pending = b""  # not yet known to be text or a line
        self._message = b""  # the decoded lines of an unfinished message

    def feed(self, data: bytes) -> list[bytes | Message]:
        self._pending += data
        return [part for part in self._parts() if part]

    def _parts(self) -> Iterator[bytes | Message]:
        while self._pending:
            start = _find_marker(self._pending)
            if start:
                yield self._pending[:start]
                self._pending = self._pending[start:]
                continue
            end = self._line_end()
            if end is None:
                return
            line, self._pending = self._pending[:end], self._pending[end:]
            message = self._line(line)
            if message is not None:
                yield message

    def _line_end(self) -> int | None:
        """Where the line at the start of the pending bytes ends; None when that is still to come.

        A line that grows too long has lost its LF; one with another marker in it has lost its tail.
        """
        if len(self._pending) < 2:
            return None
        end = self._pending.find(b"\n", 0, LINE) + 1
        again = _find_marker(self._pending[2 : end or LINE]) + 2
        if again < min(end or LINE, len(self._pending) - 1):
            return again
        if end:
            return end
        return LINE if len(self._pending) >= LINE else None

    def _line(self, line: bytes) -> Message | None:
        try:
            text = b64decode(line[2:].rstrip(b"\r\n"), validate=True)
            if line.startswith(FIRST):
                self._message = b""
            elif not self._message:
                raise Malformed("a continuation without its beginning")
            self._message += text
            return self._finished()
        except (Malformed, binascii.Error):
            self._message = b""
            self.dropped += 1
            return None

    def _finished(self) -> Message | None:
        if len(self._message) < 2:
            raise Malformed("no length")
        length = int.from_bytes(self._message[:2], "big")
        if len(self._message) < length + 2:
            return None
        framed, self._message = self._message[2 : length + 2], b""
        if length < 2 or binascii.crc_hqx(framed[:-2], 0) != int.from_bytes(framed[-2:], "big"):
            raise Malformed("wrong CRC")
        return decode_message(framed[:-2])


def _find_marker(data: bytes) -> int:
    """The position of the first marker, of half a marker at the very end, or the length."""
    found = [place for place in (data.find(FIRST), data.find(NEXT)) if place >= 0]
    if found:
        return min(found)
    return len(data) - 1 if data.endswith((FIRST[:1], NEXT[:1])) else len(data)


def upload_chunk(image: bytes, offset: int, message_size: int, number: int = 0) -> dict[str, Any]:
    """The payload that carries `image` from `offset` on, in a message of at most `message_size` bytes with framing.

    The reply says which offset the server wants next. The first chunk names the image, so sending it again after
    a broken line goes on where the server stopped (MCUboot begins again).
    """
    payload: dict[str, Any] = {"off": offset, "data": b""}
    if offset == 0:
        payload |= {"image": number, "len": len(image), "sha": hashlib.sha256(image).digest()}
    room = message_size - FRAMING - _HEADER.size - len(cbor2.dumps(payload)) - 2  # the length of `data` takes 2 more
    payload["data"] = image[offset : offset + max(room, 1)]
    return payload


def upload_question(offset: int) -> dict[str, Any]:
    """A chunk without data: its reply says which offset the server wants next. Offset 0 would begin an upload."""
    return {"off": max(offset, 1), "data": b""}
