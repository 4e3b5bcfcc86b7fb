"""The `.mcu` image, byte by byte; the only place that knows an offset.

An image is a payload inside an MCUboot container (32-byte header, payload, SHA-256 TLV), so that imgtool and every SMP
client take it as it is. The payload is a header, a directory of sections, and the sections. Numbers are little-endian;
section and string offsets count from the start of the payload, code offsets in halfwords from the start of the code.
`firmware_runtime/generated/image.h` is made from these tables. The file refuses to know how the contents are found.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from construct import ConstructError, Int8ul, Int16ul, Int32ul, Struct

from mcutool.errors import InvalidModule

CONTAINER_MAGIC = 0x96F3B83D
TLV_MAGIC = 0x6907
TLV_PROTECTED_MAGIC = 0x6908
TLV_KEYHASH = 0x01
TLV_SHA256 = 0x10
TLV_ED25519 = 0x24
TLV_COUNTER = 0x50
PAYLOAD_MAGIC = 0x3155434D  # "MCU1"
FORMAT_VERSION = 2
"""Format 1, which older firmware reads, has no provenance."""
NONE = 0xFFFF
"""In a record: no memory, no start function; as the module of a function: the host."""
UNLIMITED = 0xFFFFFFFF

MEMORY_PARTIAL, MEMORY_FLASH = 1, 2
"""Bits of a memory's flags: it may grow beyond what RAM backs; the data segment whose number is in the upper sixteen
bits lies below its window, read-only and in flash."""

EXPORT_KINDS = ("function", "table", "memory", "global", "tag")
LETTERS = {"i32": "i", "i64": "l", "f32": "f", "f64": "d", "funcref": "p", "externref": "e", "exnref": "x"}
"""Value types in the texts of signatures, as in "ii>l"."""

_U8, _U16, _U32 = "uint8_t", "uint16_t", "uint32_t"
_CONSTRUCT = {_U8: Int8ul, _U16: Int16ul, _U32: Int32ul}

CONTAINER = [
    (_U32, "magic"),
    (_U32, "load_address"),
    (_U16, "header_size"),
    (_U16, "protected_tlv_size"),
    (_U32, "image_size"),
    (_U32, "flags"),
    (_U8, "major"),
    (_U8, "minor"),
    (_U16, "revision"),
    (_U32, "build"),
    (_U32, "padding"),
]
TLV_INFO = [(_U16, "magic"), (_U16, "size")]
TLV = [(_U16, "type"), (_U16, "length")]
HEADER = [
    (_U32, "magic"),
    (_U16, "format"),
    (_U16, "isa"),
    (_U32, "features"),
    (_U32, "size"),
    (_U32, "stack_slots"),
    (_U32, "global_slots"),
    (_U32, "ram"),
    (_U16, "exceptions"),
    (_U16, "exception_slots"),
]
"""`features`: bits of isa.FEATURES that the code uses, so that a firmware without one refuses it. `ram`: bytes of the
arena that the module needs at its start, everything included. `exceptions`: how many may be
alive at a time, `exception_slots`: the values that each has room for."""
SECTION = [(_U32, "offset"), (_U32, "count")]

RECORDS: dict[str, list[tuple[str, str]]] = {
    "signatures": [(_U16, "parameter_slots"), (_U16, "result_slots"), (_U32, "text")],
    "functions": [(_U32, "code"), (_U16, "signature"), (_U16, "module")],
    "code": [(_U16, "halfword")],
    "imports": [(_U16, "host"), (_U16, "signature"), (_U32, "module_name"), (_U32, "name")],
    "exports": [(_U32, "name"), (_U16, "kind"), (_U16, "module"), (_U32, "index")],
    "modules": [(_U16, "memory"), (_U16, "instantiate"), (_U16, "start"), (_U16, "flags")],
    "memories": [
        (_U32, "minimum"),
        (_U32, "maximum"),
        (_U32, "page_log2"),
        (_U32, "window_low"),
        (_U32, "window_size"),
        (_U32, "capacity"),
        (_U32, "flags"),
    ],
    "tables": [(_U32, "minimum"), (_U32, "maximum"), (_U32, "capacity")],
    "datas": [(_U32, "offset"), (_U32, "size")],
    "elements": [(_U32, "offset"), (_U32, "count")],
    "tags": [(_U16, "slots"), (_U16, "reserved")],
    "handlers": [(_U32, "site"), (_U32, "target"), (_U16, "tag"), (_U16, "base"), (_U16, "flags"), (_U16, "reserved")],
    "strings": [(_U8, "byte")],
    "provenance": [(_U32, "grants"), (_U32, "tool"), *((_U32, f"wasm_{word}") for word in range(8))],
}
"""The sections in the order of the directory, each an array of records of these fields.

Memories: sizes in pages of 1 << page_log2 bytes; the window [window_low, window_low + window_size) is what RAM backs,
capacity is how many bytes it may grow to; `flags` are MEMORY_PARTIAL and MEMORY_FLASH. Modules:
`start` is the exported `_start`; with bit 0 of `flags` a function that runs is part of instantiating. Functions:
`code` is the halfword offset of the frame size before the instructions, or the number of a host function's import.
Globals of exports: `index` is a slot. Handlers, ascending by `site`, which is where a call or throw would go on: an
exception with `tag` (NONE: any) goes on at `target`, its values at slot `base`, followed by a reference to it if bit 0
of `flags` is set. Provenance, one record: `grants` is a mask of hostapi.CAPABILITIES, `tool` says what made the image,
the words `wasm` are the SHA-256 of the module that it was made of.
"""


def sections_of(format_: int) -> list[str]:
    """The sections in the directory of an image of that format."""
    return [name for name in RECORDS if name != "provenance" or format_ > 1]


def struct_of(fields: list[tuple[str, str]]) -> Struct:
    """What parses and builds a record of these fields."""
    return Struct(*(name / _CONSTRUCT[ctype] for ctype, name in fields))


_container = struct_of(CONTAINER)
_tlv_info = struct_of(TLV_INFO)
_tlv = struct_of(TLV)
_header = struct_of(HEADER)
_section = struct_of(SECTION)
_records = {name: struct_of(fields) for name, fields in RECORDS.items()}
_ELEMENT_ITEM = 4
_SMALLEST = _container.sizeof() + _header.sizeof() + len(sections_of(1)) * _section.sizeof()
_WORDS = struct.Struct("<8I")


def starts(module: dict) -> bool:
    """Whether a module of an image does anything when nobody calls it."""
    return module["start"] != NONE or bool(module["flags"] & 1)


@dataclass(frozen=True)
class Provenance:
    """What an image was made of, by what, and what it was granted."""

    wasm: bytes  # SHA-256 of the module
    grants: int  # a mask, see hostapi.mask
    tool: str


@dataclass
class Image:
    """A bundle of linked modules: records by section as dictionaries, blobs for data and element contents.

    `code` is a list of halfwords; `datas` a list of bytes; `elements` a list of lists of references; strings are
    Python strings wherever a record holds an offset. Without provenance it is of format 1.
    """

    stack_slots: int = 0
    global_slots: int = 0
    ram: int = 0
    features: int = 0
    isa: int = 1
    version: tuple[int, int, int, int] = (0, 0, 0, 0)
    code: list[int] = field(default_factory=list)
    signatures: list[dict] = field(default_factory=list)
    functions: list[dict] = field(default_factory=list)
    imports: list[dict] = field(default_factory=list)
    exports: list[dict] = field(default_factory=list)
    modules: list[dict] = field(default_factory=list)
    memories: list[dict] = field(default_factory=list)
    tables: list[dict] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)
    elements: list[list[int]] = field(default_factory=list)
    tags: list[dict] = field(default_factory=list)
    handlers: list[dict] = field(default_factory=list)
    exceptions: int = 0
    exception_slots: int = 0
    provenance: Provenance | None = None

    @property
    def format(self) -> int:
        """The version of the format that it needs."""
        return FORMAT_VERSION if self.provenance else 1

    def build(self) -> bytes:
        """The image as bytes, hashed."""
        return contain(_build_payload(self), self.version)


def contain(payload: bytes, version: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    """The payload in an MCUboot container with its SHA-256."""
    major, minor, revision, build = version
    head = _container.build(
        dict(
            magic=CONTAINER_MAGIC,
            load_address=0,
            header_size=_container.sizeof(),
            protected_tlv_size=0,
            image_size=len(payload),
            flags=0,
            major=major,
            minor=minor,
            revision=revision,
            build=build,
            padding=0,
        )
    )
    digest = hashlib.sha256(head + payload).digest()
    trailer = _tlv.build(dict(type=TLV_SHA256, length=len(digest))) + digest
    return head + payload + _tlv_info.build(dict(magic=TLV_MAGIC, size=_tlv_info.sizeof() + len(trailer))) + trailer


_STRING_FIELDS = {"signatures": ("text",), "imports": ("module_name", "name"), "exports": ("name",)}


_ZERO = b"\xc0\x80"
"""How a name spells U+0000, which would end it: two bytes that are no UTF-8."""


class _Strings:
    """Zero-terminated UTF-8, each string once."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self._known: dict[str, int] = {}

    def offset(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.bytes)
            self.bytes += text.encode().replace(b"\0", _ZERO) + b"\0"
        return self._known[text]


def _build_payload(image: Image) -> bytes:
    strings, names = _Strings(), sections_of(image.format)
    sections: dict[str, bytes] = {}
    for name, record in _records.items():
        if name in ("code", "datas", "elements", "strings", "provenance"):
            continue
        rows = [_with_offsets(name, row, strings) for row in getattr(image, name)]
        sections[name] = b"".join(record.build(row) for row in rows)
    sections["code"] = b"".join(h.to_bytes(2, "little") for h in image.code)
    if image.provenance:
        sections["provenance"] = _provenance_record(image.provenance, strings)
    sections["strings"] = bytes(strings.bytes)
    sizes = {name: len(blob) for name, blob in sections.items()}
    sizes["datas"] = len(image.datas) * _records["datas"].sizeof()
    sizes["elements"] = len(image.elements) * _records["elements"].sizeof()
    offsets, blobs = _place(names, sizes)
    sections["datas"], sections["elements"], tail = _place_blobs(image, blobs)
    directory = b"".join(
        _section.build(dict(offset=offsets[name], count=sizes[name] // _records[name].sizeof())) for name in names
    )
    head = _header.build(
        dict(
            magic=PAYLOAD_MAGIC,
            format=image.format,
            isa=image.isa,
            features=image.features,
            size=blobs + len(tail),
            stack_slots=image.stack_slots,
            global_slots=image.global_slots,
            ram=image.ram,
            exceptions=image.exceptions,
            exception_slots=image.exception_slots,
        )
    )
    body = bytearray(head + directory)
    for name in names:
        body += bytes(offsets[name] - len(body)) + sections[name]
    return bytes(body) + bytes(blobs - len(body)) + tail


def _provenance_record(provenance: Provenance, strings: _Strings) -> bytes:
    words = {f"wasm_{number}": word for number, word in enumerate(_WORDS.unpack(provenance.wasm))}
    return _records["provenance"].build(dict(grants=provenance.grants, tool=strings.offset(provenance.tool), **words))


def _provenance(row: dict, text: bytes) -> Provenance:
    words = (row[f"wasm_{number}"] for number in range(8))
    return Provenance(_WORDS.pack(*words), row["grants"], _string(text, row["tool"]))


def _with_offsets(section: str, row: dict, strings: _Strings) -> dict:
    named = {key: strings.offset(row[key]) for key in _STRING_FIELDS.get(section, ())}
    return row | named


def _aligned(offset: int) -> int:
    return offset + 3 & ~3


def _place(names: list[str], sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """Offset of each section, words aligned, and of what follows the last."""
    offset = _header.sizeof() + len(names) * _section.sizeof()
    offsets = {}
    for name in names:
        offsets[name] = offset = _aligned(offset)
        offset += sizes[name]
    return offsets, _aligned(offset)


def _place_blobs(image: Image, start: int) -> tuple[bytes, bytes, bytes]:
    """Data records, element records and the blobs themselves, which begin at `start`."""
    tail = bytearray()
    datas = elements = b""
    for references in image.elements:
        elements += _records["elements"].build(dict(offset=start + len(tail), count=len(references)))
        tail += b"".join(reference.to_bytes(_ELEMENT_ITEM, "little") for reference in references)
    for data in image.datas:
        datas += _records["datas"].build(dict(offset=start + len(tail), size=len(data)))
        tail += data
    return datas, elements, bytes(tail) + bytes(-len(tail) % 4)


def tlvs(data: bytes, start: int, magic: int = TLV_MAGIC) -> Iterator[tuple[int, bytes]]:
    """Kind and contents of the TLVs that begin at `start`. Raises ValueError when they do not, or end too early."""
    info = _tlv_info.parse(data[start:])
    end = start + info.size
    if info.magic != magic or end > len(data):
        raise ValueError("it ends too early")
    start += _tlv_info.sizeof()
    while start < end:
        head = _tlv.parse(data[start:end])
        start += _tlv.sizeof() + head.length
        yield head.type, data[start - head.length : start]


def digest_of(image: bytes) -> bytes:
    """The hash that a sound image carries; a signature may stand behind it."""
    head = _container.parse(image)
    return dict(tlvs(image, head.header_size + head.image_size + head.protected_tlv_size))[TLV_SHA256]


def parse(image: bytes) -> Image:
    """The contents of an image.

    Raises InvalidModule with the byte offset when the container, the hash or a section is damaged.
    """
    if len(image) < _SMALLEST:
        raise InvalidModule("the image is cut off", len(image), next_action="build it again")
    payload, version = _payload(image)
    try:
        return _parse_payload(payload, version)
    except (ConstructError, UnicodeDecodeError, IndexError, ValueError) as error:
        raise InvalidModule(f"the image is damaged: {error}", next_action="build it again") from None


@lru_cache(16)
def parsed(image: bytes) -> Image:
    """What `parse` gives, once for each image: for those who only read in it."""
    return parse(image)


def code_position(image: bytes) -> int:
    """The byte of a sound image at which its code begins."""
    head = _container.parse(image)
    section = list(RECORDS).index("code") * _section.sizeof()
    return head.header_size + _section.parse(image[head.header_size + _header.sizeof() + section :]).offset


def _payload(image: bytes) -> tuple[bytes, tuple[int, int, int, int]]:
    head = _container.parse(image)
    if head.magic != CONTAINER_MAGIC:
        raise InvalidModule("this is not a .mcu image", 0, next_action="build one with: mcutool build APP.wasm")
    end = head.header_size + head.image_size
    hashed = image[: end + head.protected_tlv_size]
    try:
        stored = dict(tlvs(image, len(hashed)))[TLV_SHA256]
    except (ConstructError, ValueError, KeyError):
        raise InvalidModule("the image is cut off", len(image), next_action="build it again") from None
    if hashlib.sha256(hashed).digest() != stored:
        raise InvalidModule("the image is damaged: its hash is wrong", end, next_action="build it again")
    return image[head.header_size : end], (head.major, head.minor, head.revision, head.build)


def _parse_payload(payload: bytes, version: tuple[int, int, int, int]) -> Image:
    head = _header.parse(payload)
    if head.magic != PAYLOAD_MAGIC or not 1 <= head.format <= FORMAT_VERSION:
        raise InvalidModule("this image is of another format", 32, next_action="build it again with this mcutool")
    sections = {name: _parse_section(payload, index, name) for index, name in enumerate(sections_of(head.format))}
    text = bytes(row["byte"] for row in sections["strings"])
    for name, keys in _STRING_FIELDS.items():
        for row in sections[name]:
            row.update({key: _string(text, row[key]) for key in keys})
    result = Image(head.stack_slots, head.global_slots, head.ram, head.features, head.isa, version)
    result.exceptions, result.exception_slots = head.exceptions, head.exception_slots
    for name in ("signatures", "functions", "imports", "exports", "modules", "memories", "tables", "tags", "handlers"):
        setattr(result, name, sections[name])
    result.code = [row["halfword"] for row in sections["code"]]
    result.datas = [payload[row["offset"] : row["offset"] + row["size"]] for row in sections["datas"]]
    result.elements = [_references(payload, row["offset"], row["count"]) for row in sections["elements"]]
    if head.format > 1:
        (row,) = sections["provenance"]
        result.provenance = _provenance(row, text)
    return result


def _string(text: bytes, start: int) -> str:
    return text[start : text.index(0, start)].replace(_ZERO, b"\0").decode()


def _parse_section(payload: bytes, index: int, name: str) -> list[dict]:
    place = _section.parse(payload[_header.sizeof() + index * _section.sizeof() :])
    size = _records[name].sizeof()
    if place.offset + place.count * size > len(payload):
        raise ValueError(f"section {name} ends beyond the payload")
    starts = range(place.offset, place.offset + place.count * size, size)
    if name in ("code", "strings"):  # long and plain: construct would take microseconds a byte
        key, letter = RECORDS[name][0][1], "BH"[size - 1]
        values = struct.unpack_from(f"<{place.count}{letter}", payload, place.offset)
        return [{key: value} for value in values]
    return [_plain(_records[name].parse(payload[start : start + size])) for start in starts]


def _plain(record: dict) -> dict:
    return {key: value for key, value in record.items() if not key.startswith("_")}


def _references(payload: bytes, offset: int, count: int) -> list[int]:
    if offset + count * _ELEMENT_ITEM > len(payload):
        raise ValueError("an element segment ends beyond the payload")
    return [
        int.from_bytes(payload[i : i + _ELEMENT_ITEM], "little")
        for i in range(offset, offset + count * _ELEMENT_ITEM, _ELEMENT_ITEM)
    ]


def render_header() -> str:
    """`generated/image.h`: the same records as C structs."""
    lines = [
        "/* Made by mcutool/generate.py from mcutool/image/format.py; do not edit. */",
        "#ifndef IMAGE_FORMAT_H",
        "#define IMAGE_FORMAT_H",
        "",
        "#include <stdint.h>",
        "",
    ]
    for name, value in [
        ("CONTAINER_MAGIC", CONTAINER_MAGIC),
        ("TLV_MAGIC", TLV_MAGIC),
        ("TLV_PROTECTED_MAGIC", TLV_PROTECTED_MAGIC),
        ("TLV_KEYHASH", TLV_KEYHASH),
        ("TLV_SHA256", TLV_SHA256),
        ("TLV_ED25519", TLV_ED25519),
        ("TLV_COUNTER", TLV_COUNTER),
        ("PAYLOAD_MAGIC", PAYLOAD_MAGIC),
        ("FORMAT_VERSION", FORMAT_VERSION),
        ("NONE", NONE),
        ("UNLIMITED", UNLIMITED),
        ("MEMORY_PARTIAL", MEMORY_PARTIAL),
        ("MEMORY_FLASH", MEMORY_FLASH),
    ]:
        lines.append(f"#define IMAGE_{name} {value:#x}u")
    singles = {"container": CONTAINER, "tlv_info": TLV_INFO, "tlv": TLV, "header": HEADER, "section": SECTION}
    rows = {name[:-1] if name.endswith("s") else name: fields for name, fields in RECORDS.items()}
    rows["memory"] = rows.pop("memorie")
    for name, fields in (singles | rows).items():
        if name not in ("code", "string"):
            lines += ["", f"struct image_{name} {{", *(f"    {ctype} {field};" for ctype, field in fields), "};"]
    lines += ["", "enum image_section_number {"]
    lines += [f"    IMAGE_{name.upper()}," for name in RECORDS]
    return "\n".join([*lines, "    IMAGE_SECTIONS", "};", "", "#endif", ""])
