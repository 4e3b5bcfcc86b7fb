"""The image format: what is built is parsed back, and what is damaged is refused, on the PC and by the firmware's C."""

from __future__ import annotations

import random
import subprocess

import pytest

from mcutool.encoding import STUB_CODE, encode
from mcutool.errors import InvalidModule
from mcutool.image.format import NONE, PAYLOAD_MAGIC, Image, Provenance, contain, parse
from mcutool.image.link import arena_bytes
from mcutool.isa import BY_NAME
from tests.pc import ARENA, program


def sample() -> Image:
    code = [*STUB_CODE, 8, *encode(BY_NAME["return"])]
    image = Image(stack_slots=64, global_slots=3, code=code, features=1, version=(1, 2, 3, 4))
    image.signatures = [dict(parameter_slots=1, result_slots=1, text="i>i")]
    image.functions = [dict(code=len(STUB_CODE), signature=0, module=0)]
    image.exports = [dict(name="f", kind=0, module=0, index=0), dict(name="ünï\0code", kind=3, module=0, index=1)]
    image.modules = [dict(memory=0, instantiate=0, start=NONE, flags=0)]
    memory = dict(minimum=1, maximum=2, page_log2=16, window_low=0, window_size=65536, capacity=131072)
    image.memories = [memory | dict(flags=0)]
    image.tables = [dict(minimum=2, maximum=9, capacity=4)]
    image.datas = [b"hello", b""]
    image.elements = [[1, 0], []]
    image.provenance = Provenance(bytes(range(32)), 0b110, "by hand")
    return image


def load_on_pc(data: bytes, folder, arena: int = ARENA) -> tuple[int, str]:
    """Exit status and message of the C loader under sanitizers."""
    file = folder / "image.mcu"
    file.write_bytes(data)
    done = subprocess.run([program(), file, str(arena)], input="", capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


def test_round_trip():
    assert parse(sample().build()) == sample()


def test_an_image_of_an_older_format_is_taken(tmp_path):
    image = sample()
    image.provenance = None
    assert image.format == 1 and parse(image.build()) == image
    assert load_on_pc(image.build(), tmp_path) == (0, "")


def test_the_firmware_takes_a_good_image(tmp_path):
    assert load_on_pc(sample().build(), tmp_path) == (0, "")


def test_the_arena_is_as_large_as_the_linker_says(tmp_path):
    """On a 64-bit PC the records are larger than on the board, so this holds there with room to spare only."""
    needed = arena_bytes(sample())
    assert load_on_pc(sample().build(), tmp_path, needed + 64)[0] == 0
    status, message = load_on_pc(sample().build(), tmp_path, needed - 64)
    assert status == 1 and "more RAM than this board has" in message


@pytest.mark.parametrize("step", range(1, 60, 7))
def test_a_truncated_image_is_refused(step, tmp_path):
    data = sample().build()
    cut = data[: len(data) * step // 60]
    with pytest.raises(InvalidModule):
        parse(cut)
    assert load_on_pc(cut, tmp_path)[0] == 1


def test_a_flipped_bit_is_refused(tmp_path):
    data = bytearray(sample().build())
    data[100] ^= 4
    with pytest.raises(InvalidModule, match="its hash is wrong"):
        parse(bytes(data))
    assert load_on_pc(bytes(data), tmp_path) == (1, "the image is damaged: its hash is wrong")


def test_another_payload_is_refused(tmp_path):
    data = contain(b"firmware of somebody else" * 20)
    with pytest.raises(InvalidModule, match="another format"):
        parse(data)
    assert load_on_pc(data, tmp_path) == (1, "the image does not hold a module for mcutool")


def test_a_newer_instruction_set_is_refused(tmp_path):
    image = sample()
    image.isa = 99
    assert "needs a newer firmware" in load_on_pc(image.build(), tmp_path)[1]


@pytest.mark.parametrize(
    "record, words",
    [
        (dict(host=9999, signature=0, module_name="mcu", name="fly"), "does not have: fly"),
        (dict(host=0, signature=0, module_name="mcu", name="fly"), "does not have: fly"),
        (
            dict(host=0, signature=0, module_name="wasi_snapshot_preview1", name="args_get"),
            "another type than this firmware gives it: args_get",
        ),
    ],
)
def test_an_import_that_is_not_there_is_named(record, words, tmp_path):
    image = sample()
    image.imports = [record]
    assert words in load_on_pc(image.build(), tmp_path)[1]


@pytest.mark.parametrize(
    "section, changes, words",
    [
        ("memories", dict(minimum=0), "a memory is backed where it does not reach"),
        ("memories", dict(window_low=0x10000000), "a memory is backed where it does not reach"),
        ("memories", dict(capacity=1), "a memory is backed where it does not reach"),
        ("memories", dict(page_log2=17), "a memory is backed where it does not reach"),
        ("handlers", dict(tag=1), "its exception handlers are wrong"),
        ("handlers", dict(target=99), "its exception handlers are wrong"),
        ("tags", dict(slots=9), "its exception handlers are wrong"),
    ],
)
def test_a_record_that_contradicts_another_is_refused(section, changes, words, tmp_path):
    image = sample()
    image.exceptions, image.exception_slots = 2, 8
    image.tags = [dict(slots=8, reserved=0)]
    image.handlers = [dict(site=4, target=4, tag=0, base=0, flags=0, reserved=0)]
    assert load_on_pc(image.build(), tmp_path) == (0, "")
    getattr(image, section)[0].update(changes)
    assert load_on_pc(image.build(), tmp_path) == (1, f"the image is damaged: {words}")


def test_room_for_exceptions_that_a_word_cannot_count_is_refused(tmp_path):
    """16384 of 65535 slots each and the tag make 2 to the 32 bytes: nothing at all, counted in a board's word."""
    image = sample()
    image.exceptions, image.exception_slots = 1 << 14, 0xFFFF
    assert "more RAM than this board has" in load_on_pc(image.build(), tmp_path)[1]


@pytest.mark.parametrize("seed", range(150))
def test_forged_payloads_never_reach_outside(seed, tmp_path):
    """Words of a good payload overwritten, the hash made right: refused or loaded, never a sanitizer's finding."""
    chance = random.Random(seed)
    payload = bytearray(sample().build()[32:-40])
    assert int.from_bytes(payload[:4], "little") == PAYLOAD_MAGIC
    for _ in range(chance.choice([1, 1, 2, 4])):
        place = chance.randrange(0, len(payload) - 4, 2)
        value = chance.choice([0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, len(payload), chance.getrandbits(32)])
        payload[place : place + 4] = value.to_bytes(4, "little")
    status, message = load_on_pc(contain(bytes(payload)), tmp_path)
    assert (status, bool(message)) in [(0, False), (1, True)], message
    assert "ERROR" not in message and "runtime error" not in message
    try:
        parse(contain(bytes(payload)))
    except InvalidModule:
        pass
