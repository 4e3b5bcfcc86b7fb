"""What the directory names is damaged, is nonsense, or is not what runs: the board answers, and confirms neither."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.errors import ImageRefused
from mcutool.flash.protocols import smp
from mcutool.image import state
from mcutool.image.format import parse
from mcutool.image.mcuboot import read
from mcutool.image.state import Installed, Version
from mcutool.pipeline import build_image
from tests.firmware import keyed, programs
from tests.firmware.machines import Emulated
from tests.firmware.programs import op

BOARDS = ["stm32vldiscovery", "microbit"]
PLAIN = programs.image(op("return"))
OTHER = programs.writes(b"the other\n", 0)
HEAD, ENTRY = 12, 8  # bytes of a record before its first entry, of an entry before its first version
EIO = 29

Start = Callable[..., Emulated]


@pytest.fixture
def start(firmware: Path) -> Iterator[Start]:
    """start(board, record, offset in the part for modules and what is there...) -> the machine, after its banner."""
    running: list[Emulated] = []

    def run(name: str, record: bytes, *placed: tuple[int, bytes], elf: Path | None = None) -> Emulated:
        board = devices.board(name)
        machine = Emulated(board, elf or firmware / f"{name}.elf", None)
        machine.machine.flash.load(board.chip.state_areas[0].offset, record)
        for offset, data in placed:
            machine.machine.flash.load(board.chip.map.slot.offset + offset, data)
        machine.expect(b"bytes for modules\r\n")
        running.append(machine)
        return machine

    yield run
    for machine in running:
        machine.close()


def record(name: str, *versions: Version, counter: int = 0) -> bytes:
    """A directory with these versions of image 0."""
    chip = devices.board(name).chip
    first = Installed([*versions, Version()][: state.VERSIONS], counter=counter)
    return state.build([first] + [Installed() for _ in range(chip.images - 1)])


def changed(whole: bytes, place: int, value: int, form: str = "<I") -> bytes:
    """A number in it is another one, and the sum is right."""
    data = bytearray(whole[:-4])
    struct.pack_into(form, data, place, value)
    return bytes(data) + struct.pack("<I", zlib.crc32(data))


def half(name: str) -> int:
    return devices.board(name).chip.map.slot.size // 2


@pytest.mark.parametrize("name", BOARDS)
def test_a_version_that_is_damaged_is_listed_without_a_hash(start: Start, name: str) -> None:
    damaged = Version(half(name), len(OTHER), "candidate")
    whole = Version(0, len(PLAIN), "confirmed")
    machine = start(name, record(name, whole, damaged), (0, PLAIN), (half(name), bytes(64)))
    first, second = machine.client.images()
    assert first["hash"] == read("image", PLAIN).hash and first["bootable"] and first["active"]
    assert "hash" not in second and "bootable" not in second
    vectors = machine.machine.engine.read(devices.board(name).chip.flash.base, 32)
    with pytest.raises(ImageRefused):
        machine.client.activate(vectors)
    machine.client.write(smp.IMAGE, smp.IMAGE_ERASE, slot=1)
    assert len(machine.client.images()) == 1


@pytest.mark.parametrize("states", [("confirmed", "candidate"), ("candidate", "confirmed"), ("tried", "pending")])
@pytest.mark.parametrize("damaged", [(True, False), (False, True), (True, True)], ids=str)
def test_what_is_damaged_can_be_removed(start: Start, states: tuple[str, str], damaged: tuple[bool, bool]) -> None:
    name = "stm32vldiscovery"
    places = [(0, PLAIN), (half(name), OTHER)]
    versions = [Version(place, len(data), kind) for (place, data), kind in zip(places, states, strict=True)]
    there = [(place, bytes(64) if gone else data) for (place, data), gone in zip(places, damaged, strict=True)]
    machine = start(name, record(name, *versions), *there)
    machine.client.erase()
    assert machine.client.images() == []


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize(
    ("place", "value", "form"),
    [
        (HEAD + ENTRY, 0x9000_0000, "<I"),
        (HEAD + ENTRY, 2, "<I"),
        (HEAD + ENTRY + 4, 0xFFFF_FFFF, "<I"),
        (HEAD + ENTRY + 4, 0, "<I"),
        (HEAD + ENTRY + 8, 5, "<I"),
        (HEAD + 4, 0x9000_0000, "<I"),
        (HEAD - 2, 0xFFFF, "<H"),
    ],
    ids=["offset", "offset that is odd", "size", "no size", "state", "settings", "images"],
)
def test_a_directory_of_nonsense_is_none(start: Start, name: str, place: int, value: int, form: str) -> None:
    machine = start(name, changed(record(name, Version(0, len(PLAIN), "confirmed")), place, value, form), (0, PLAIN))
    machine.expect(b"[no program: ")
    assert machine.client.images() == [] and b"fault" not in machine.output
    machine.client.install(OTHER)
    machine.client.reset()
    machine.expect(b"the other\n")


@pytest.mark.parametrize("name", BOARDS)
def test_who_is_refused_at_its_trial_makes_way_at_once(start: Start, name: str) -> None:
    altered = bytearray(PLAIN)
    altered[40] ^= 1
    versions = Version(0, len(altered), "pending"), Version(half(name), len(OTHER), "confirmed")
    machine = start(name, record(name, *versions), (0, bytes(altered)), (half(name), OTHER))
    output = machine.expect(b"the other\n")
    assert output.index(b"[no program: ") < output.index(b"[rolled back: ")
    assert [entry.get("pending") for entry in machine.client.images()] == [None, None]


@pytest.mark.parametrize("name", BOARDS)
def test_a_trial_does_not_suffer_from_the_bad_starts_before_it(start: Start, name: str) -> None:
    traps = programs.traps()
    versions = Version(0, len(traps), "confirmed"), Version(half(name), len(OTHER), "candidate")
    machine = start(name, record(name, *versions), (0, traps), (half(name), OTHER))
    for beginning in range(1, 4):
        machine.expect(b"[trap unreachable ", times=beginning)
        machine.machine.reset()
    machine.expect(b"[program not started: ")
    machine.client.activate(read("image", OTHER).hash)
    machine.client.reset()
    machine.expect(b"the other\n")


CONFIRMS = """(module
  (import "mcu" "confirm" (func $confirm (result i32)))
  (memory 1)
  (func (export "asks") (result i32) (call $confirm)))"""


@pytest.mark.parametrize("name", BOARDS)
def test_a_program_confirms_itself_only(start: Start, tmp_path: Path, name: str) -> None:
    (tmp_path / "confirms.wat").write_text(CONFIRMS)
    image = build_image(tmp_path / "confirms.wat", devices.board(name), memory=256).image
    versions = Version(0, len(PLAIN), "tried"), Version(half(name), len(image), "candidate")
    machine = start(name, record(name, *versions), (0, PLAIN), (half(name), image))
    machine.client.write(smp.RUNTIME, smp.RUNTIME_START, hash=read("image", image).hash)
    asks = next(row["index"] for row in parse(image).exports if row["name"] == "asks")
    reply = machine.client.write(smp.RUNTIME, smp.RUNTIME_CALL, f=asks, n=1)
    assert reply == {"r": struct.pack("<I", EIO)}
    assert not any(entry.get("confirmed") for entry in machine.client.images())


@pytest.mark.parametrize("name", BOARDS)
def test_an_image_that_the_board_has_not_is_not_confirmed(start: Start, name: str) -> None:
    machine = start(name, record(name, Version(0, len(PLAIN), "tried")), (0, PLAIN))
    for number in (devices.board(name).chip.images, 4, 0x1_0000):
        with pytest.raises(ImageRefused):
            machine.client.confirm(number)
    assert not machine.client.images()[0].get("confirmed")
    machine.client.confirm()
    assert machine.client.images()[0]["confirmed"]


def test_a_version_that_is_older_than_what_was_confirmed_is_not_chosen(start: Start) -> None:
    """Else nothing would start."""
    name = "mps2-an386"
    newer, older = keyed.signed(OTHER, 5), keyed.signed(PLAIN, 4)
    versions = Version(0, len(newer), "confirmed"), Version(half(name), len(older), "candidate")
    directory = record(name, *versions, counter=5)
    machine = start(name, directory, (0, newer), (half(name), older), elf=keyed.firmware(name))
    machine.expect(b"the other\n")
    for confirm in (False, True):
        with pytest.raises(ImageRefused):
            machine.client.activate(read("image", older).hash, confirm=confirm)
    machine.client.reset()
    machine.expect(b"the other\n", times=2)
