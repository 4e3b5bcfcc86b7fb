"""A firmware with a key takes what the key's owner has signed, and nothing else: on each core, emulated."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_runtime import build, stack
from mcutool import devices
from mcutool.emulator.machine import Machine
from mcutool.errors import DoesNotFit, Error, ImageRefused
from mcutool.image import keys, signing
from mcutool.image.format import TLV_COUNTER, TLV_ED25519, TLV_KEYHASH, TLV_MAGIC, TLV_SHA256
from mcutool.run import ROOM_FOR_STRINGS
from tests.attack.roads import Board
from tests.firmware import keyed, programs
from tests.firmware.keyed import BOARDS, OURS, THEIRS, signed
from tests.firmware.machines import Emulated

PLAIN = programs.image(programs.op("return"))
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group: adding it to the second half of a signature makes another one that careless checks take."""
ARENA = 8192
PAINT = 0xA5
HASHING = 192  # bytes of the arena below, where the hash was computed
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def area(magic: int, values: dict[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in values.items())
    return struct.pack("<HH", magic, 4 + len(body)) + body


def with_tlvs(image: bytes = PLAIN, **changed: bytes | None) -> bytes:
    """An image that is signed, with other TLVs; None leaves one out."""
    hashed = signing.prepare("image", image, None).hashed
    digest = hashlib.sha256(hashed).digest()
    found: dict[str, bytes | None] = {"hash": digest, "owner": keys.name_of(keys.raw_public(OURS))}
    found["signature"] = OURS.sign(digest)
    found |= changed
    kinds = {"hash": TLV_SHA256, "owner": TLV_KEYHASH, "signature": TLV_ED25519}
    return hashed + area(TLV_MAGIC, {kinds[name]: value for name, value in found.items() if value is not None})


def altered(image: bytes) -> bytes:
    """One bit of the payload changed, and the hash mended."""
    changed = bytearray(PLAIN)
    changed[40] ^= 1
    digest = hashlib.sha256(signing.prepare("image", PLAIN, None).hashed).digest()
    other = bytes(changed[:-32]) + hashlib.sha256(changed[:-40]).digest()
    return with_tlvs(other, signature=OURS.sign(digest))


def malleable(image: bytes) -> bytes:
    signature = image[-64:]
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    return image[:-32] + scalar.to_bytes(32, "little")


def with_a_lower_counter(image: bytes) -> bytes:
    """The counter of a signed image changed, and the hash mended."""
    good = bytearray(signed(PLAIN, 7))
    tlvs = struct.pack("<HHI", TLV_COUNTER, 4, 7)
    place = good.index(tlvs)
    good[place : place + 8] = struct.pack("<HHI", TLV_COUNTER, 4, 8)
    hashed = good[: place + 8]
    return bytes(good).replace(hashlib.sha256(signed(PLAIN, 7)[: place + 8]).digest(), hashlib.sha256(hashed).digest())


IMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "signed": ("", lambda good: good),
    "with a counter": ("", lambda good: signed(PLAIN, 7)),
    "without the name of the key": ("", lambda good: with_tlvs(owner=None)),
    "not signed": ("UNSIGNED", lambda good: PLAIN),
    "with a short signature": ("UNSIGNED", lambda good: with_tlvs(signature=good[-64:-1])),
    "signed by another": ("OWNER", lambda good: signed(PLAIN, key=THEIRS)),
    "by another who keeps quiet": ("SIGNATURE", lambda good: with_tlvs(owner=None, signature=THEIRS.sign(good[-32:]))),
    "by another in our name": ("SIGNATURE", lambda good: with_tlvs(signature=signed(PLAIN, key=THEIRS)[-64:])),
    "with the signature of another image": ("SIGNATURE", lambda good: with_tlvs(signature=signed(PLAIN, 7)[-64:])),
    "altered": ("SIGNATURE", altered),
    "with another counter": ("SIGNATURE", with_a_lower_counter),
    "with a signature of zeros": ("SIGNATURE", lambda good: with_tlvs(signature=bytes(64))),
    "with a malleable signature": ("SIGNATURE", malleable),
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_firmware_with_a_key(name: str, tmp_path: Path) -> None:
    """All in one test, so that it is built once."""
    board = Board(name, keyed.firmware(name))
    it_takes_only_what_the_owner_has_signed(board)
    it_takes_an_image_of_imgtool(board, tmp_path)
    checking_has_a_stack_of_its_own(name)
    the_table_in_the_readme_is_right(name)
    if BOARDS[name] == "Cortex-M4F":
        it_installs_an_image_of_imgtool(name, tmp_path)
        it_refuses_an_older_image(name)


def it_takes_only_what_the_owner_has_signed(board: Board) -> None:
    good = signed(PLAIN)
    said = {name: board.offer(make(good), ARENA).verdict.fault for name, (_, make) in IMAGES.items()}
    assert said == {name: fault for name, (fault, _) in IMAGES.items()}
    for bit in (0, 255, 256, 511):
        flipped = int.from_bytes(good[-64:], "little") ^ 1 << bit
        assert board.offer(good[:-64] + flipped.to_bytes(64, "little"), ARENA).verdict.fault == "SIGNATURE"
    room = stack.signature_stack()
    assert board.offer(good, room).verdict.fault == "" and board.offer(good, room - 8).verdict.fault == "RAM"


def it_takes_an_image_of_imgtool(board: Board, folder: Path) -> None:
    """Made of our payload, with its own header, by the tool that hands images to MCUboot."""
    made = keyed.made_by_imgtool(PLAIN, 9, folder)
    assert signing.counter_of(made) == 9
    assert board.offer(made, ARENA).verdict.fault == ""
    assert Board(board.name).offer(made, ARENA).verdict.fault == "", "also where there is no key"


def it_installs_an_image_of_imgtool(name: str, folder: Path) -> None:
    """Through SMP, where there is a key and where there is none."""
    made = keyed.made_by_imgtool(PLAIN, 9, folder)
    for elf in (keyed.firmware(name), devices.board(name).firmware):
        emulated = Emulated(devices.board(name), elf, None)
        emulated.client.install(made)
        emulated.client.reset()
        emulated.expect(b"[exit 0]")


def checking_has_a_stack_of_its_own(name: str) -> None:
    """The most that an emulated check has written is below what is proved."""
    description, elf = devices.board(name), keyed.firmware(name)
    bound, room = keyed.bound(name), stack.signature_stack()
    assert bound.total <= min(512, description.chip.ram_map["c_stack"])
    assert bound.on_other_stack <= room
    machine = Machine(description, elf)
    arena = description.chip.main_ram.base + description.chip.arena_offset  # a program's state is at its beginning
    arena += description.chip.ram_map["program"] - ROOM_FOR_STRINGS
    machine.engine.write(arena, bytes([PAINT]) * room)
    keyed.install(machine, with_tlvs(signature=signed(PLAIN, key=THEIRS)[-64:]))
    machine.run_for(3.0)
    used = len(machine.engine.read(arena + HASHING, room - HASHING).lstrip(bytes([PAINT])))
    assert 1024 < used <= bound.on_other_stack


def the_table_in_the_readme_is_right(name: str) -> None:
    rows = re.findall(r"^\| (Cortex-M\w+) \| ([\d,]+) \| ([\d.]+) million \| ([\d,]+) \|", README, re.MULTILINE)
    written = {core: [float(number.replace(",", "")) for number in numbers] for core, *numbers in rows}
    found = keyed.costs(name)
    assert written[BOARDS[name]] == pytest.approx([found.flash, found.cycles / 1e6, found.stack], rel=0.05)


def it_refuses_an_older_image(name: str) -> None:
    """What was once confirmed counts, also when it has been removed."""
    emulated = Emulated(devices.board(name), keyed.firmware(name), None)
    emulated.client.install(signed(PLAIN, 5))
    emulated.client.erase()
    for counter in (None, 4):
        with pytest.raises(ImageRefused, match="older than one that"):
            emulated.client.upload(signed(PLAIN, counter))
    assert emulated.client.images() == []
    emulated.client.install(signed(PLAIN, 5))
    emulated.client.reset()
    emulated.expect(b"[exit 0]")


def test_a_board_without_room_says_how_much_it_lacks() -> None:
    said = build.too_large(devices.board("bluepill"), Error("ld: region `runtime' overflowed by 3952 bytes"))
    room = devices.board("bluepill").chip.map.runtime.size
    assert isinstance(said, DoesNotFit)
    assert f"bluepill: the firmware has {room + 3952} bytes, 3952 more than the {room}" in said.message
    assert "stm32f103c8.toml" in said.next_action


def test_a_large_frame_is_counted_where_the_core_adds_it_from_a_register() -> None:
    """What gcc makes for ARMv6-M, and that a register which has got something else since is not believed."""
    texts = ["push\t{r4, lr}", "ldr\tr4, [pc, #8]", "add\tsp, r4", "ldr\tr3, [pc, #8]", "add\tsp, r3", "pop\t{r4, pc}"]
    code = [stack.Instruction(2 * i, *text.split("\t"), target=None) for i, text in enumerate(texts)]
    words = {12: 0xFFFFFBD4, 16: 0x42C}
    assert [i.pushed for i in stack.with_large_frames(code, words)] == [8, 0, 0x42C, 0, -0x42C, -8]
    code[3] = stack.Instruction(6, "movs", "r3, #4", None)
    with pytest.raises(SystemExit, match="what does it do to the stack"):
        [i.pushed for i in stack.with_large_frames(code, words)]
