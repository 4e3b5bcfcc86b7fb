"""The SMP codec: golden bytes, and frames found again in any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcutool.flash.protocols import smp

ECHO = smp.Message(smp.WRITE, smp.OS, smp.OS_ECHO, {"d": "hello"}, sequence=7)


def test_golden_bytes() -> None:
    assert smp.encode_message(ECHO) == bytes.fromhex("0a 00 0009 0000 07 00 a1 6164 6568656c6c6f")
    assert smp.encode_lines(smp.encode_message(ECHO)) == b"\x06\x09ABMKAAAJAAAHAKFhZGVoZWxsb4vC\n"


def test_lines_are_cut_at_127_bytes_and_whole_groups() -> None:
    lines = smp.encode_lines(bytes(300)).splitlines(keepends=True)
    assert [line[:2] for line in lines] == [b"\x06\x09", b"\x04\x14", b"\x04\x14", b"\x04\x14"]
    assert [len(line) for line in lines] == [127, 127, 127, 39]


@pytest.mark.parametrize(
    ("payload", "error", "reason"),
    [
        ({"rc": 0}, (None, 0), "error 0"),
        ({"rc": 3}, (None, 3), "invalid value"),
        ({"err": {"group": 1, "rc": 3}}, (1, 3), "no image"),
        ({"err": {"group": 0, "rc": 3}}, (0, 3), "error 3"),
        ({"err": {"rc": []}}, (1, 1), "unknown error"),
        ({"rc": 1, "rsn": "the flash is worn"}, (None, 1), "the flash is worn"),
    ],
)
def test_both_versions_spell_their_errors(payload: dict, error: tuple, reason: str) -> None:
    reply = smp.Message(smp.WRITE_REPLY, smp.IMAGE, smp.IMAGE_UPLOAD, payload)
    assert (reply.error, reply.reason) == (error, reason)


def test_a_reply_answers_one_request() -> None:
    reply = smp.Message(smp.WRITE_REPLY, smp.OS, smp.OS_ECHO, {"r": "hello"}, sequence=7)
    assert reply.answers(ECHO)
    assert not smp.Message(smp.WRITE_REPLY, smp.OS, smp.OS_ECHO, {}, sequence=6).answers(ECHO)


@pytest.mark.parametrize("data", [b"", b"\x0b\0\0\1\0\0\0", b"\x0b\0\0\1\0\0\0\0\xff", b"\x0b\0\0\1\0\0\0\0\x01"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(smp.Malformed):
        smp.decode_message(data)


def test_broken_frames_are_dropped_and_counted() -> None:
    lines = smp.encode_lines(smp.encode_message(ECHO))
    demultiplexer = smp.Demultiplexer()
    assert demultiplexer.feed(lines[:10] + b"?" + lines[11:]) == []
    assert demultiplexer.feed(lines[:12] + lines) == [ECHO]  # the end of the first one was lost
    assert demultiplexer.dropped == 2


def test_a_frame_may_follow_text_on_the_same_line() -> None:
    lines = smp.encode_lines(smp.encode_message(ECHO))
    assert smp.Demultiplexer().feed(b"count: 5" + lines + b"\x06 and on") == [b"count: 5", ECHO, b"\x06 and on"]


plain_text = st.binary(max_size=60).filter(lambda text: smp.FIRST not in text and smp.NEXT not in text)
payloads = st.dictionaries(st.text(max_size=5), st.binary(max_size=300) | st.integers(0, 2**40), max_size=4)


@given(st.lists(st.tuples(plain_text, payloads), max_size=4), st.integers(1, 200))
def test_any_text_and_any_message_come_apart_again(parts: list, size: int) -> None:
    # A byte of a marker at the end of a text may pair with the next frame's first byte: programs' output is kept apart.
    parts = [(text.rstrip(b"\x06\x04"), payload) for text, payload in parts]
    messages = [smp.Message(smp.READ_REPLY, 64, n, payload) for n, (_, payload) in enumerate(parts)]
    framed = [smp.encode_lines(smp.encode_message(message)) for message in messages]
    stream = b"".join(text + lines for (text, _), lines in zip(parts, framed, strict=True))
    demultiplexer = smp.Demultiplexer()
    found = [part for at in range(0, len(stream), size) for part in demultiplexer.feed(stream[at : at + size])]
    assert [part for part in found if isinstance(part, smp.Message)] == messages
    assert b"".join(part for part in found if isinstance(part, bytes)) == b"".join(text for text, _ in parts)


@given(st.binary(max_size=400))
def test_noise_never_breaks_the_demultiplexer(noise: bytes) -> None:
    demultiplexer = smp.Demultiplexer()
    demultiplexer.feed(noise + b"\n")
    assert demultiplexer.feed(b"\n" + smp.encode_lines(smp.encode_message(ECHO)))[-1] == ECHO


@given(st.binary(min_size=1, max_size=3000), st.integers(128, 2048))
def test_upload_chunks_keep_to_the_servers_size(image: bytes, size: int) -> None:
    offset, received = 0, b""
    while offset < len(image):
        chunk = smp.upload_chunk(image, offset, size)
        message = smp.Message(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, chunk)
        assert len(smp.encode_message(message)) + smp.FRAMING <= size
        received += chunk["data"]
        offset = len(received)
    assert received == image
