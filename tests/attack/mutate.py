"""Valid images with some damage, made whole again on the outside.

This file decides how images are damaged: bits, bytes, halfwords of the code, numbers in records, the directory of the
sections, the end, the container. It refuses to know what becomes of them.
"""

from __future__ import annotations

import struct
from random import Random

from mcutool.image.format import CONTAINER, HEADER, RECORDS, SECTION, contain

HEAD = 32
"""Bytes of the container's header."""
TAIL = 40
"""Bytes of what stands behind the payload."""
_FORMATS = {"uint8_t": "B", "uint16_t": "H", "uint32_t": "I"}
DIRECTORY = struct.calcsize("<" + "".join(_FORMATS[ctype] for ctype, _ in HEADER))
SECTION_SIZE = struct.calcsize("<" + "".join(_FORMATS[ctype] for ctype, _ in SECTION))
SIZES = {name: struct.calcsize("<" + "".join(_FORMATS[c] for c, _ in fields)) for name, fields in RECORDS.items()}
assert struct.calcsize("<" + "".join(_FORMATS[ctype] for ctype, _ in CONTAINER)) == HEAD


class Mutator:
    """An endless source of damaged images."""

    def __init__(self, seed: int, images: list[bytes]) -> None:
        self._random = Random(seed)
        self._images = images

    def image(self) -> bytes:
        """The next one."""
        chance = self._random
        image = chance.choice(self._images)
        if chance.random() < 0.05:
            return self._with_damaged_container(image)
        payload = bytearray(image[HEAD:-TAIL])
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            chance.choice(
                (self._flip, self._flip, self._set_byte, self._swap, self._retarget, self._change_record,
                 self._change_record, self._change_section, self._change_header, self._cut)
            )(payload)  # fmt: skip
        return contain(bytes(payload))

    def _with_damaged_container(self, image: bytes) -> bytes:
        """Without a new hash."""
        damaged = bytearray(image)
        choice = self._random.random()
        if choice < 0.3:
            return bytes(damaged[: self._random.randrange(len(damaged))])
        place = self._random.choice([*range(HEAD), *range(len(image) - TAIL, len(image))])
        damaged[place] = self._any_number(8)
        return bytes(damaged)

    def _any_number(self, bits: int) -> int:
        largest = (1 << bits) - 1
        chosen = (0, 1, 2, 3, 5, largest, largest - 1, largest >> 1, self._random.getrandbits(bits))
        return self._random.choice(chosen) & largest

    def _section(self, payload: bytearray, name: str) -> range:
        """The bytes of a section, as far as they are there."""
        place = DIRECTORY + list(RECORDS).index(name) * SECTION_SIZE
        if place + SECTION_SIZE > len(payload):
            return range(0)
        offset, count = struct.unpack_from("<II", payload, place)
        return range(min(offset, len(payload)), min(offset + count * SIZES[name], len(payload)))

    def _place(self, payload: bytearray) -> int:
        """A byte, mostly of the code."""
        code = self._section(payload, "code")
        return self._random.choice(code if code and self._random.random() < 0.7 else range(len(payload)))

    def _flip(self, payload: bytearray) -> None:
        payload[self._place(payload)] ^= 1 << self._random.randrange(8)

    def _set_byte(self, payload: bytearray) -> None:
        payload[self._place(payload)] = self._any_number(8)

    def _swap(self, payload: bytearray) -> None:
        """Two halfwords of the code change places."""
        code = self._section(payload, "code")
        if len(code) >= 4:
            a, b = (self._random.choice(code[::2][:-1]) for _ in range(2))
            payload[a : a + 2], payload[b : b + 2] = payload[b : b + 2], payload[a : a + 2]

    def _retarget(self, payload: bytearray) -> None:
        """A halfword of the code becomes another number."""
        code = self._section(payload, "code")
        if len(code) >= 4:
            place = self._random.choice(code[::2][:-1])
            old = struct.unpack_from("<H", payload, place)[0]
            new = self._random.choice((old + 1, old - 1, old + 256, old - 256, self._any_number(16)))
            struct.pack_into("<H", payload, place, new & 0xFFFF)

    def _change_record(self, payload: bytearray) -> None:
        """A number in a record of any section."""
        name = self._random.choice([name for name in RECORDS if name not in ("code", "strings")])
        section = self._section(payload, name)
        if len(section) < SIZES[name]:
            return
        fields = [_FORMATS[ctype] for ctype, _ in RECORDS[name]]
        number = self._random.randrange(len(fields))
        place = self._random.choice(section[:: SIZES[name]]) + struct.calcsize("<" + "".join(fields[:number]))
        self._change_number(payload, place, fields[number])

    def _change_number(self, payload: bytearray, place: int, letter: str) -> None:
        size = struct.calcsize("<" + letter)
        if place + size > len(payload):
            return
        old = struct.unpack_from("<" + letter, payload, place)[0]
        new = self._random.choice((old + 1, old - 1, old * 2, self._any_number(8 * size), self._any_number(4)))
        struct.pack_into("<" + letter, payload, place, new % (1 << 8 * size))

    def _change_section(self, payload: bytearray) -> None:
        place = DIRECTORY + self._random.randrange(len(RECORDS)) * SECTION_SIZE + self._random.choice((0, 4))
        self._change_number(payload, place, "I")

    def _change_header(self, payload: bytearray) -> None:
        letters = [_FORMATS[ctype] for ctype, _ in HEADER]
        number = self._random.randrange(len(letters))
        self._change_number(payload, struct.calcsize("<" + "".join(letters[:number])), letters[number])

    def _cut(self, payload: bytearray) -> None:
        """The end is missing; the size in the header is right again, now and then."""
        if self._random.random() < 0.3 and len(payload) > DIRECTORY:
            del payload[self._random.randrange(DIRECTORY, len(payload)) :]
            if self._random.random() < 0.7:
                struct.pack_into("<I", payload, 12, len(payload))
