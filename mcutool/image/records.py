"""The loader's twin: the records of an image, and whether every number in them names something that is there.

This file decides the same as firmware_runtime/image.c, in the same order. It refuses to know
instructions (verify.py) and how a board uses an image.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from mcutool import hostapi
from mcutool.encoding import STUB_CODE
from mcutool.image import format as layout
from mcutool.image.format import MEMORY_FLASH, NONE
from mcutool.isa import CROSS_LINK_SLOTS, FEATURES, ISA_VERSION

SMALLEST_STACK = CROSS_LINK_SLOTS + 16
LARGEST_PAGE = 16  # as a power of two
HASH_ROOM = 192
"""Bytes of the arena that hashing needs."""
MEMORY_GUARD = 8
"""Bytes of the arena before each linear memory."""


@dataclass(frozen=True)
class Surroundings:
    """What the verdict depends on beside the image: bytes of the arena and of the records that lie in it, the
    capabilities that the board grants as a mask, the features that its firmware has."""

    arena: int
    table_record: int = 12
    memory_record: int = 20
    grants: int = 0xFFFFFFFF
    features: int = sum(FEATURES.values())


AMPLE = Surroundings(1 << 32)
"""A board on which everything has room."""


class Fault(Exception):
    """The image is refused: a name of faults.FAULTS, and the halfword of the code where it is about one."""

    def __init__(self, name: str, place: int | None = None) -> None:
        super().__init__(name)
        self.name, self.place = name, place


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise Fault(fault)


# the container


def _size(fields: list[tuple[str, str]]) -> int:
    return struct.calcsize(_format(fields))


def _format(fields: list[tuple[str, str]]) -> str:
    return "<" + "".join({"uint8_t": "B", "uint16_t": "H", "uint32_t": "I"}[ctype] for ctype, _ in fields)


def _unpack(fields: list[tuple[str, str]], data: bytes, offset: int = 0) -> dict[str, int]:
    return dict(zip((name for _, name in fields), struct.unpack_from(_format(fields), data, offset), strict=True))


def payload_of(image: bytes, surroundings: Surroundings) -> bytes:
    """The payload of a container whose hash is right."""
    available, smallest = len(image), _size(layout.CONTAINER) + _size(layout.TLV_INFO)
    _require(available >= smallest, "ABSENT")
    head = _unpack(layout.CONTAINER, image)
    size = head["header_size"]
    _require(head["magic"] == layout.CONTAINER_MAGIC and size >= _size(layout.CONTAINER) and size % 4 == 0, "ABSENT")
    _require(head["image_size"] <= available, "ABSENT")
    end = size + head["image_size"]
    hashed = end + head["protected_tlv_size"]
    if head["protected_tlv_size"] != 0:
        _require(_tlvs_end(image, end, layout.TLV_PROTECTED_MAGIC) == hashed, "ABSENT")
    total = _tlvs_end(image, hashed, layout.TLV_MAGIC)
    _require(total != 0, "ABSENT")
    stored = _digest(image, hashed + _size(layout.TLV_INFO), total)
    _require(stored is not None, "UNHASHED")
    _require(surroundings.arena >= HASH_ROOM, "RAM")
    _require(hashlib.sha256(image[:hashed]).digest() == stored, "ALTERED")
    return image[size:end]


def _tlvs_end(image: bytes, start: int, magic: int) -> int:
    """Where the TLVs that begin at `start` end; 0 when they do not begin so or reach too far."""
    if start > len(image) - _size(layout.TLV_INFO):
        return 0
    tlvs = _unpack(layout.TLV_INFO, image, start)
    sound = tlvs["magic"] == magic and _size(layout.TLV_INFO) <= tlvs["size"] <= len(image) - start
    return start + tlvs["size"] if sound else 0


def _digest(image: bytes, position: int, total: int) -> bytes | None:
    while position + _size(layout.TLV) <= total:
        tlv = _unpack(layout.TLV, image, position)
        position += _size(layout.TLV)
        if tlv["length"] > total - position:
            return None
        if tlv["type"] == layout.TLV_SHA256 and tlv["length"] == hashlib.sha256().digest_size:
            return image[position : position + tlv["length"]]
        position += tlv["length"]
    return None


# the records


class Records:
    """The sections of a payload as lists of dictionaries, and what must hold of and between them."""

    def __init__(self, payload: bytes, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.payload = payload
        directory = _size(layout.HEADER)
        _require(len(payload) >= directory, "FOREIGN")
        self.header = header = _unpack(layout.HEADER, payload)
        _require(header["magic"] == layout.PAYLOAD_MAGIC, "FOREIGN")
        _require(1 <= header["format"] <= layout.FORMAT_VERSION, "FORMAT")
        _require(header["isa"] <= ISA_VERSION, "NEWER")
        _require(header["features"] & ~surroundings.features == 0, "FEATURE")
        names = layout.sections_of(header["format"])
        smallest = directory + len(names) * _size(layout.SECTION)
        _require(header["size"] == len(payload) >= smallest, "SIZE")
        self._places: dict[str, tuple[int, int]] = {}
        for number, name in enumerate(names):
            section = _unpack(layout.SECTION, payload, directory + number * _size(layout.SECTION))
            self._places[name] = section["offset"], section["count"]
            held = self._holds(*self._places[name], _size(layout.RECORDS[name]))
            _require(section["offset"] % 4 == 0 and held, "SECTION")
        self.code = array("H", self._bytes("code"))
        self.strings = self._bytes("strings")
        rows = {name: self._rows(name) for name in names if name not in ("code", "strings")}
        self.signatures, self.functions, self.imports = rows["signatures"], rows["functions"], rows["imports"]
        self.modules, self.memories, self.tables = rows["modules"], rows["memories"], rows["tables"]
        self.datas, self.elements = rows["datas"], rows["elements"]
        self.tags, self.handlers = rows["tags"], rows["handlers"]
        self._provenance = rows.get("provenance")

    def _holds(self, offset: int, number: int, item: int = 1) -> bool:
        return offset <= len(self.payload) and number <= (len(self.payload) - offset) // item

    def _bytes(self, name: str) -> bytes:
        offset, number = self._places[name]
        return self.payload[offset : offset + number * _size(layout.RECORDS[name])]

    def _rows(self, name: str) -> list[dict[str, int]]:
        fields = layout.RECORDS[name]
        names = [field for _, field in fields]
        return [dict(zip(names, row, strict=True)) for row in struct.iter_unpack(_format(fields), self._bytes(name))]

    def check(self) -> None:
        _require(self.strings.endswith(b"\0"), "NAMES")
        _require(self._provenance is None or len(self._provenance) == 1, "PROVENANCE")
        for check in (
            self._segments, self._functions, self._modules, self._memories, self._handlers, self._imports,
        ):  # fmt: skip
            check()
        _require(self.code[: len(STUB_CODE)].tolist() == list(STUB_CODE), "CODE")

    def _segments(self) -> None:
        good = all(self._holds(row["offset"], row["size"]) for row in self.datas)
        elements = (row["offset"] % 4 == 0 and self._holds(row["offset"], row["count"], 4) for row in self.elements)
        _require(good and all(elements), "SEGMENT")

    def _functions(self) -> None:
        for row in self.functions:
            host = row["module"] == NONE
            _require(row["code"] < len(self.imports if host else self.code), "FUNCTION")
            _require(row["signature"] < len(self.signatures), "FUNCTION")
            _require(host or row["module"] < len(self.modules), "FUNCTION")

    def _modules(self) -> None:
        for row in self.modules:
            _require(row["memory"] == NONE or row["memory"] < len(self.memories), "MODULE")
            _require(row["instantiate"] < len(self.functions), "MODULE")
            _require(row["start"] == NONE or row["start"] < len(self.functions), "MODULE")

    def _memories(self) -> None:
        for row in self.memories:
            declared = row["minimum"] << min(row["page_log2"], LARGEST_PAGE)
            good = row["page_log2"] <= LARGEST_PAGE and row["window_size"] <= row["capacity"]
            _require(good and row["window_low"] + row["window_size"] <= declared, "MEMORY")
            if row["flags"] & MEMORY_FLASH:
                number = row["flags"] >> 16
                good = number < len(self.datas) and self.datas[number]["size"] <= row["window_low"]
                _require(good, "MEMORY")

    def _handlers(self) -> None:
        sites = [row["site"] for row in self.handlers]
        _require(sites == sorted(sites), "HANDLER")
        for row in self.handlers:
            _require(row["target"] < len(self.code), "HANDLER")
            _require(row["tag"] == NONE or row["tag"] < len(self.tags), "HANDLER")
        _require(all(row["slots"] <= self.header["exception_slots"] for row in self.tags), "HANDLER")

    def _imports(self) -> None:
        granted = self.surroundings.grants
        if self._provenance:
            granted &= self._provenance[0]["grants"]
        for row in self.imports:
            known = row["host"] < len(hostapi.HOST_FUNCTIONS)
            host = hostapi.HOST_FUNCTIONS[row["host"] if known else 0]
            names = self._name(row["module_name"]), self._name(row["name"])
            _require(known and names == (host.module.encode(), host.name.encode()), "IMPORT")
            _require(row["signature"] < len(self.signatures), "IMPORT_TYPE")
            signature = self.signatures[row["signature"]]
            slots = hostapi.slots(host.parameters), hostapi.slots(host.results)
            _require((signature["parameter_slots"], signature["result_slots"]) == slots, "IMPORT_TYPE")
            _require(hostapi.mask([host.capability]) & ~granted == 0, "UNGRANTED")

    def _name(self, start: int) -> bytes | None:
        return self.strings[start : self.strings.index(0, start)] if start < len(self.strings) else None

    def slots_of(self, signature: int) -> int:
        """Slots that parameters and results of a function type take."""
        row = self.signatures[signature]
        return max(row["parameter_slots"], row["result_slots"])

    def lay_out(self) -> None:
        """Everything that changes has room in the arena, in the order and with the alignment of the loader."""
        header, arena = self.header, self.surroundings.arena
        exception = 4 * (1 + header["exception_slots"])
        good = max(header["global_slots"], header["stack_slots"]) <= arena // 4
        good = good and header["stack_slots"] >= SMALLEST_STACK and header["exceptions"] <= arena // exception
        _require(good, "RAM")
        used = 0
        for size in self._arena_sizes():
            used = (used + 7 & ~7) + size
            _require(used <= arena, "RAM")

    def _arena_sizes(self) -> Iterator[int]:
        header = self.header
        yield header["global_slots"] * 4
        yield (len(self.datas) + len(self.elements) + 7) // 8
        yield len(self.tables) * self.surroundings.table_record
        for table in self.tables:
            _require(table["capacity"] >= table["minimum"], "RAM")
            yield table["capacity"] * 4
        yield len(self.memories) * self.surroundings.memory_record
        for memory in self.memories:
            yield MEMORY_GUARD + memory["capacity"]
        yield header["exceptions"] * 4 * (1 + header["exception_slots"])
        yield header["stack_slots"] * 4
