"""The arbiter and the CBOR reader against any bytes that a line may bring, on the PC under sanitizers."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import cbor2
import pytest

from mcutool.flash.protocols import smp

RUNTIME = Path(__file__).resolve().parent.parent.parent / "firmware_runtime"
SIZES = ["-DFRAME_SIZE=512", "-DINPUT_SIZE=128"]
ROUNDS = 300


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    (folder / "board.h").write_text("")
    sources = [Path(__file__).with_name("line_test.c"), RUNTIME / "console.c", RUNTIME / "cbor.c"]
    flags = [
        "-std=c11",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    command = ["gcc", *flags, *SIZES, f"-I{folder}", f"-I{RUNTIME}", *map(str, sources), "-o", str(folder / "line")]
    subprocess.run(command, check=True)
    return folder / "line"


def answer(program: Path, line: bytes) -> list[str]:
    """What the program says of the bytes; a complaint of a sanitizer fails."""
    done = subprocess.run([program], input=line, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def request(payload: dict) -> bytes:
    return smp.encode_lines(smp.encode_message(smp.Message(2, 0, 0, payload)))


def test_requests_and_input_are_told_apart(program: Path) -> None:
    long = bytes(range(256))
    line = (
        b"text\n" + request({"d": b"\1\2", "eof": True}) + b"more \x06\x09 text\n" + request({"data": long, "off": 5})
    )
    first, second, inputs = answer(program, line)
    assert first.endswith(" d=0102 eof") and second.endswith(f" data={long.hex()} off")
    assert inputs == f"input {len(b'text') + 1 + len(b'more .. text') + 1}"


def test_a_request_that_is_too_long_is_dropped_and_the_next_arrives(program: Path) -> None:
    lines = answer(program, request({"d": bytes(600)}) + request({"d": b"next"}))
    assert [line.split()[0] for line in lines] == ["request", "input"] and lines[0].endswith("d=" + b"next".hex())


def test_keys_are_found_behind_nested_values(program: Path) -> None:
    nested: dict = {"x": [[1, {"d": "no"}], [cbor2.CBORTag(1, 2)]], "y": -7, "d": "yes"}
    assert answer(program, request(nested))[0].endswith(f" d={b'yes'.hex()}")


def test_keys_are_found_behind_values_with_open_ends(program: Path) -> None:
    """{_ "x": [_ 1, [_ 2], {_ "d": 3}], "d": "yes"}"""
    body = bytes.fromhex("bf 6178 9f 01 9f02ff bf616403ff ff 6164 63796573 ff")
    header = struct.pack(">BBHHBB", 10, 0, len(body), 0, 0, 0)
    assert answer(program, smp.encode_lines(header + body))[0].endswith(f" d={b'yes'.hex()}")


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_do_harm(program: Path, seed: int) -> None:
    """Requests with bytes changed, lost and doubled, and CBOR with its bytes changed inside a sound frame."""
    choose = random.Random(seed)
    line = bytearray()
    for _ in range(ROUNDS):
        message = bytearray(
            smp.encode_message(smp.Message(2, 1, 1, {"off": 1, "data": bytes(40), "d": ["a", {"b": 2}]}))
        )
        for _ in range(choose.randrange(4)):
            message[choose.randrange(8, len(message))] = choose.randrange(256)
        sent = bytearray(smp.encode_lines(bytes(message)))
        for _ in range(choose.randrange(3)):
            place = choose.randrange(len(sent))
            sent[place : place + choose.randrange(2)] = choose.randbytes(choose.randrange(3))
        line += sent
    answer(program, bytes(line))
