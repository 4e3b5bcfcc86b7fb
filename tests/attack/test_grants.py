"""Grants and provenance: what the loader refuses, what its twin does, and what a board says of it."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_runtime import build
from mcutool import devices, hostapi
from mcutool.encoding import STUB_CODE
from mcutool.errors import ImageRefused
from mcutool.image.faults import FAULTS
from mcutool.image.format import NONE, Image, Provenance, contain, sections_of
from mcutool.image.verify import Verdict, verify
from tests.attack import roads
from tests.attack.mutate import DIRECTORY, SECTION_SIZE
from tests.firmware.machines import Emulated

ARENA = 8192
ALL = sum(hostapi.GRANTS.values())
LED = hostapi.BY_NAME["mcu", "led_set"]
EXIT = hostapi.BY_NAME["wasi_snapshot_preview1", "proc_exit"]
ROADS = ("pc", "mps2-m0", "mps2-an386")


def importing(host: hostapi.HostFunction, grants: int | None) -> bytes:
    """An image that does nothing but import; None makes it one of format 1."""
    image = Image(stack_slots=64, code=[*STUB_CODE, 8, 0x0004], ram=1024)
    slots = dict(parameter_slots=hostapi.slots(host.parameters), result_slots=hostapi.slots(host.results), text="")
    image.signatures = [dict(parameter_slots=0, result_slots=0, text=""), slots]
    image.imports = [dict(host=host.number, signature=1, module_name=host.module, name=host.name)]
    image.functions = [dict(code=len(STUB_CODE), signature=0, module=0)]
    image.modules = [dict(memory=NONE, instantiate=0, start=NONE, flags=0)]
    image.provenance = None if grants is None else Provenance(bytes(32), grants, "by hand")
    return image.build()


def with_directory(provenance: tuple[int, int]) -> bytes:
    """The entry for the provenance in the directory of the sections: where it lies and how often it is there."""
    payload = bytearray(importing(EXIT, ALL)[32:-40])
    struct.pack_into("<II", payload, DIRECTORY + sections_of(2).index("provenance") * SECTION_SIZE, *provenance)
    return contain(bytes(payload))


def cut(sections: int, format_: int) -> bytes:
    """Whose directory has so many entries and is all there is."""
    payload = bytearray(importing(EXIT, ALL)[32:-40][: DIRECTORY + sections * SECTION_SIZE])
    struct.pack_into("<H", payload, 4, format_)
    struct.pack_into("<I", payload, 12, len(payload))
    return contain(bytes(payload))


IMAGES = {
    "granted": ("", importing(LED, ALL)),
    "granted alone": ("", importing(LED, hostapi.mask(["led"]))),
    "granted everything else": ("UNGRANTED", importing(LED, ALL & ~hostapi.mask(["led"]))),
    "of format 1": ("", importing(LED, None)),
    "what needs no grant": ("", importing(EXIT, 0)),
    "what the board holds back": ("UNGRANTED", importing(hostapi.BY_NAME["wasi_snapshot_preview1", "proc_raise"], ALL)),
    "the same of format 1": ("UNGRANTED", importing(hostapi.BY_NAME["wasi_snapshot_preview1", "proc_raise"], None)),
    "no provenance": ("PROVENANCE", with_directory((DIRECTORY, 0))),
    "two of them": ("PROVENANCE", with_directory((DIRECTORY, 2))),
    "provenance outside": ("SECTION", with_directory((0x10000, 1))),
    "provenance askew": ("SECTION", with_directory((DIRECTORY + 2, 1))),
    "a directory that is cut off": ("SIZE", cut(13, 2)),
    "one of format 1": ("SIZE", cut(12, 1)),
    "format 0": ("FORMAT", cut(13, 0)),
    "format 3": ("FORMAT", cut(14, 3)),
}


@pytest.mark.parametrize("road", ROADS)
def test_firmware_and_twin_agree(road: str) -> None:
    place = roads.road(road)
    for what, (fault, image) in IMAGES.items():
        assert verify(image, place.surroundings(ARENA)) == Verdict(fault), what
        assert place.offer(image, ARENA).verdict == Verdict(fault), what
    place.close()


def test_a_board_that_grants_less_names_the_import(tmp_path: Path) -> None:
    board = replace(devices.board("mps2-m0"), grants=("console",))
    place = Emulated(board, build.build(board, tmp_path), None)
    place.expect(b"bytes for modules\r\n")
    with pytest.raises(ImageRefused, match=f"{FAULTS['UNGRANTED']}: led_set"):
        place.client.upload(importing(LED, ALL))
