"""Files for a chip's flash that other tools make and take, as pieces of memory: ELF, Intel HEX, UF2, plain binaries.

This file decides what such a file says should lie where, and how to say it. It refuses to know which of it a chip has.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterable, Iterator

from elftools.common.exceptions import ELFError
from elftools.construct import Container
from elftools.elf.constants import P_FLAGS, SH_FLAGS
from elftools.elf.elffile import ELFFile

from mcutool.errors import UsageError

Segment = tuple[int, bytes]  # absolute address, contents

ELF_ALIGNMENT = 4

UF2_BLOCK = struct.Struct("<IIIIIIII")  # magic, magic, flags, address, size, number, count, family
UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UF2_END = struct.pack("<I", 0x0AB16F30)
UF2_SIZE = 512
UF2_PAGE = 256  # what every bootloader takes, at a multiple of it
UF2_NOT_FLASH, UF2_HAS_FAMILY = 1, 0x2000

DAMAGED = (ELFError, AssertionError, AttributeError, LookupError, TypeError, ValueError, OverflowError, struct.error)
"""What reading a file raises that is not what it should be; most of it comes from pyelftools."""

HEX_RECORD = re.compile(":([0-9a-fA-F]{2})+")
HEX_LINE = 16  # bytes
HEX_DATA, HEX_END, HEX_SEGMENT, HEX_START_SEGMENT, HEX_LINEAR, HEX_START_LINEAR = range(6)


def read_segments(name: str, data: bytes, address: int | None = None) -> list[Segment]:
    """What the file `name` with these contents puts where, neighbouring pieces joined.

    `address` is for plain binaries, which do not say it; a file called .bin is one whatever it begins with.
    Raises UsageError when the file is damaged or empty.
    """
    try:
        segments = join(_pieces(name, data, address))
    except DAMAGED as error:
        raise UsageError(f"{name} is damaged: {error}", next_action="make it again") from error
    if not segments:
        raise UsageError(f"{name} has nothing for a chip's memory", next_action="make it again")
    return segments


def _pieces(name: str, data: bytes, address: int | None) -> Iterable[Segment]:
    if not data:
        return []
    if not name.endswith(".bin"):
        if data.startswith(b"\x7fELF"):
            return _elf(data)
        if data.startswith(b":"):
            return _intel_hex(data.decode("ascii"))
        if UF2_BLOCK.size <= len(data) and UF2_BLOCK.unpack_from(data)[:2] == UF2_MAGIC:
            return _uf2(data)
    if address is None:
        raise UsageError(f"{name} does not say where its bytes belong", next_action="say it with --address A")
    return [(address, data)]


def _elf(data: bytes) -> Iterator[Segment]:
    """The loadable segments at their load addresses."""
    file = ELFFile(io.BytesIO(data))
    if file["e_machine"] != "EM_ARM":
        raise ValueError(f"it is not for Arm but for {file.get_machine_arch()}")
    for segment in file.iter_segments("PT_LOAD"):
        contents = data[segment["p_offset"] :][: segment["p_filesz"]]
        if len(contents) < segment["p_filesz"]:
            raise ValueError("it is cut off")
        if contents:
            yield segment["p_paddr"], contents


def _intel_hex(text: str) -> Iterator[Segment]:
    """Intel Hexadecimal Object File Format, revision A."""
    base = 0
    for number, line in enumerate(text.split(), 1):
        record = bytes.fromhex(line[1:]) if HEX_RECORD.fullmatch(line) else b""
        if len(record) < 5 or len(record) != record[0] + 5 or sum(record) & 0xFF:
            raise ValueError(f"line {number} is wrong")
        offset, kind, content = int.from_bytes(record[1:3], "big"), record[3], record[4:-1]
        if kind == HEX_END:
            return
        if kind == HEX_DATA:
            yield base + offset, content
        elif kind == HEX_LINEAR:
            base = int.from_bytes(content, "big") << 16
        elif kind == HEX_SEGMENT:
            base = int.from_bytes(content, "big") << 4
    raise ValueError("it has no end record")


def _uf2(data: bytes) -> Iterator[Segment]:
    """USB Flashing Format: blocks of 512 bytes, each with its address."""
    if len(data) % UF2_SIZE:
        raise ValueError("it is cut off")
    for start in range(0, len(data), UF2_SIZE):
        first, second, flags, address, size, *_ = UF2_BLOCK.unpack_from(data, start)
        if (first, second) != UF2_MAGIC or size > UF2_SIZE - UF2_BLOCK.size:
            raise ValueError(f"block {start // UF2_SIZE} is wrong")
        if not flags & UF2_NOT_FLASH:
            content = start + UF2_BLOCK.size
            yield address, data[content : content + size]


# --- Writing ----------------------------------------------------------------------------------------------------------


def to_binary(segments: Iterable[Segment], erased: int = 0xFF) -> bytes:
    """From the first address to the last one; gaps hold what an erased cell holds."""
    (start, _), *_ = pieces = sorted(segments)
    contents = bytearray()
    for address, data in pieces:
        contents.extend(bytes((erased,)) * (address - start - len(contents)) + data)
    return bytes(contents)


def to_intel_hex(segments: Iterable[Segment]) -> bytes:
    """Records of 16 bytes, none of which crosses a boundary of 64 KiB."""
    base, lines = None, []
    for address, data in sorted(segments):
        for at, line in _cut(address, data, HEX_LINE):
            if at >> 16 != base:
                base = at >> 16
                lines.append(_hex_record(0, HEX_LINEAR, base.to_bytes(2, "big")))
            lines.append(_hex_record(at & 0xFFFF, HEX_DATA, line))
    return "".join([*lines, _hex_record(0, HEX_END, b"")]).encode()


def _hex_record(offset: int, kind: int, content: bytes) -> str:
    record = bytes((len(content),)) + offset.to_bytes(2, "big") + bytes((kind,)) + content
    return f":{record.hex()}{-sum(record) & 0xFF:02x}\n".upper()


def to_uf2(segments: Iterable[Segment], family: int = 0, erased: int = 0xFF) -> bytes:
    """Whole pages of 256 bytes, a block each; `family` is the chip's number in Microsoft's list, 0 for none."""
    pages: dict[int, bytes] = {}
    for address, data in segments:
        for at, piece in _cut(address, data, UF2_PAGE):
            start = at & -UF2_PAGE
            page = bytearray(pages.get(start, bytes((erased,)) * UF2_PAGE))
            page[at - start : at - start + len(piece)] = piece
            pages[start] = bytes(page)
    flags = UF2_HAS_FAMILY if family else 0
    return b"".join(
        UF2_BLOCK.pack(*UF2_MAGIC, flags, start, UF2_PAGE, number, len(pages), family)
        + page.ljust(UF2_SIZE - UF2_BLOCK.size - len(UF2_END), b"\0") + UF2_END
        for number, (start, page) in enumerate(sorted(pages.items()))
    )  # fmt: skip


def _cut(address: int, data: bytes, size: int) -> Iterator[Segment]:
    """The data in pieces that do not cross a multiple of `size`."""
    end = address + len(data)
    cuts = [address, *range((address // size + 1) * size, end, size), end]
    for start, stop in zip(cuts, cuts[1:], strict=False):
        yield start, data[start - address : stop - address]


WRITERS: dict[str, Callable[[Iterable[Segment]], bytes]] = {".hex": to_intel_hex, ".bin": to_binary, ".uf2": to_uf2}


def add_to_elf(elf: bytes, name: str, segment: Segment) -> bytes:
    """`elf` with one more section of that name, and a segment that loads it: some tools look at either alone.

    What was in the file stays where it was; the new contents and the new tables follow it.
    """
    file, (address, data) = ELFFile(io.BytesIO(elf)), segment
    sections, segments = [s.header for s in file.iter_sections()], [s.header for s in file.iter_segments()]
    names = file.get_section(file["e_shstrndx"]).data()
    longer_names = names + name.encode() + b"\0"
    where, contents = _appended(elf, [data, longer_names])
    sections[file["e_shstrndx"]].update(sh_offset=where[1], sh_size=len(longer_names))
    sections.append(
        Container(sh_name=len(names), sh_type="SHT_PROGBITS", sh_flags=SH_FLAGS.SHF_ALLOC, sh_addr=address,
                  sh_offset=where[0], sh_size=len(data), sh_link=0, sh_info=0, sh_addralign=ELF_ALIGNMENT, sh_entsize=0)
    )  # fmt: skip
    segments.append(
        Container(p_type="PT_LOAD", p_offset=where[0], p_vaddr=address, p_paddr=address, p_filesz=len(data),
                  p_memsz=len(data), p_flags=P_FLAGS.PF_R, p_align=ELF_ALIGNMENT)
    )  # fmt: skip
    build = file.structs
    tables = [b"".join(map(build.Elf_Phdr.build, segments)), b"".join(map(build.Elf_Shdr.build, sections))]
    where, contents = _appended(contents, tables)
    file.header.update(e_phoff=where[0], e_phnum=len(segments), e_shoff=where[1], e_shnum=len(sections))
    header = build.Elf_Ehdr.build(file.header)
    return header + contents[len(header) :]


def _appended(contents: bytes, parts: list[bytes]) -> tuple[list[int], bytes]:
    """The contents followed by the parts, each aligned, and where the parts lie."""
    offsets, result = [], bytearray(contents)
    for part in parts:
        result.extend(bytes(-len(result) % ELF_ALIGNMENT))
        offsets.append(len(result))
        result.extend(part)
    return offsets, bytes(result)


def join(pieces: Iterable[Segment]) -> list[Segment]:
    """The pieces in ascending order, neighbours joined."""
    joined: list[tuple[int, bytearray]] = []
    for address, data in sorted(pieces):
        if joined and joined[-1][0] + len(joined[-1][1]) == address:
            joined[-1][1].extend(data)
        else:
            joined.append((address, bytearray(data)))
    return [(address, bytes(data)) for address, data in joined]
