"""What is installed on a board, as its flash says it: one record is the whole directory; the newest sound one counts.

Records lie one behind the other in one of two areas; the valid one with the highest sequence number is what holds.
Numbers are little-endian, a record ends with the CRC-32 of all before it. `firmware_runtime/generated/state.h` is made
from these tables. The file refuses to know when a record is written (firmware_runtime/store.c) and where areas lie.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import cbor2
from construct import Array, Int32ul, Struct

from mcutool.image.format import struct_of

MAGIC = 0x5453434D  # "MCST"
VERSIONS = 2
"""Of each image: the one that runs, and another."""
STATES = ("empty", "candidate", "pending", "tried", "confirmed")
"""Of a version: nothing is there; it is installed; its trial begins at the next start; has begun; it is good."""

_U16, _U32 = "uint16_t", "uint32_t"
RECORD = [(_U32, "magic"), (_U32, "sequence"), (_U16, "size"), (_U16, "images")]
"""`size`: bytes of the record, CRC included, a multiple of 4. So many image records follow, then the settings of each
image, then zeros up to the CRC."""
VERSION = [(_U32, "offset"), (_U32, "size"), (_U32, "state")]
"""`offset` counts from the start of the part of flash that is for modules; `size` is that of the container."""
IMAGE = [(_U32, "counter"), (_U32, "settings_size")]
"""`counter`: the highest security counter of a version that was confirmed. The versions follow.

Settings are a CBOR map, of no bytes when there are none: `args` and `env`, arrays of texts; `fuel`, milliseconds of run
time for each start, 0 for no limit; `grants`, a mask of capabilities. Other keys mean nothing."""

_record, _version = struct_of(RECORD), struct_of(VERSION)
_image = Struct(*struct_of(IMAGE).subcons, "versions" / Array(VERSIONS, _version))
ALIGNMENT = 4


@dataclass
class Version:
    """One version of an image; `offset` from the start of the part of flash for modules, in bytes."""

    offset: int = 0
    size: int = 0
    state: str = "empty"


@dataclass
class Installed:
    """What is known of one image."""

    versions: list[Version] = field(default_factory=lambda: [Version() for _ in range(VERSIONS)])
    settings: dict[str, Any] = field(default_factory=dict)
    counter: int = 0


def build(images: list[Installed], sequence: int = 1) -> bytes:
    """The record of these images."""
    settings = [cbor2.dumps(image.settings) if image.settings else b"" for image in images]
    entries = b"".join(_image.build(_fields(image, len(blob))) for image, blob in zip(images, settings, strict=True))
    body = entries + b"".join(settings)
    body += bytes(-len(body) % ALIGNMENT)
    size = _record.sizeof() + len(body) + Int32ul.sizeof()
    head = _record.build(dict(magic=MAGIC, sequence=sequence, size=size, images=len(images)))
    return head + body + Int32ul.build(zlib.crc32(head + body))


def _fields(image: Installed, settings_size: int) -> dict[str, Any]:
    versions = [vars(version) | {"state": STATES.index(version.state)} for version in image.versions]
    return {"counter": image.counter, "settings_size": settings_size, "versions": versions}


def installed(size: int, images: int, sequence: int = 1) -> bytes:
    """The record of a board for so many images, which starts the container of `size` bytes that lies foremost."""
    first = Installed([Version(0, size, "confirmed"), Version()])
    return build([first] + [Installed() for _ in range(images - 1)], sequence)


def parse(area: bytes) -> tuple[int, list[Installed]] | None:
    """Sequence number and images of the newest sound record of an area; None when there is none."""
    found, start = None, 0
    while (record := _sound(area, start, found[0] if found else None)) is not None:
        found, start = record, start + _record.parse(area[start:]).size
    return found


def _sound(area: bytes, start: int, before: int | None) -> tuple[int, list[Installed]] | None:
    """The record there, which follows the one with the sequence number `before`."""
    if len(area) - start < _record.sizeof() + Int32ul.sizeof():
        return None
    head = _record.parse(area[start:])
    end = start + head.size - Int32ul.sizeof()
    if head.magic != MAGIC or not start + _record.sizeof() <= end <= len(area) - Int32ul.sizeof():
        return None
    if zlib.crc32(area[start:end]) != Int32ul.parse(area[end:]) or before not in (None, head.sequence - 1):
        return None
    entries = Array(head.images, _image).parse(area[start + _record.sizeof() :])
    position, images = start + _record.sizeof() + head.images * _image.sizeof(), []
    for entry in entries:
        versions = [Version(each.offset, each.size, STATES[each.state]) for each in entry.versions]
        blob = area[position : position + entry.settings_size]
        images.append(Installed(versions, cbor2.loads(blob) if blob else {}, entry.counter))
        position += entry.settings_size
    return head.sequence, images


def render_header() -> str:
    """`generated/state.h`: the same records as C structs."""
    lines = [
        "/* Made by mcutool/generate.py from mcutool/image/state.py; do not edit. */",
        "#ifndef STATE_FORMAT_H",
        "#define STATE_FORMAT_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define STATE_MAGIC {MAGIC:#x}u",
        f"#define STATE_VERSIONS {VERSIONS}u",
        f"#define STATE_ALIGNMENT {ALIGNMENT}u",
        "",
        "enum { " + ", ".join(f"STATE_{name.upper()}" for name in STATES) + " };",
    ]
    versions = [("struct state_version", "versions[STATE_VERSIONS]")]
    for name, fields in {"version": VERSION, "image": IMAGE + versions, "record": RECORD}.items():
        lines += ["", f"struct state_{name} {{", *(f"    {ctype} {field};" for ctype, field in fields), "};"]
    return "\n".join([*lines, "", "#endif", ""])
