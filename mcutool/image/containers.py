"""Files for a chip's flash that other tools make and take, as pieces of memory: ELF, HEX, UF2, S-records, binaries.

This file decides what such a file says should lie where, and how to say it. It refuses to know which of it a chip has.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import Container
from elftools.elf.constants import P_FLAGS, SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

from mcutool.errors import UsageError, WrongChip

Segment = tuple[int, bytes]  # absolute address, contents

PLAIN = ".bin"
WITH_ADDRESSES = (".elf", ".hex", ".srec", ".s19", ".uf2")  # names of files that are never plain
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some editors put in front of a text

ELF_MAGIC = b"\x7fELF"
ELF_ALIGNMENT = 4
ELF_ARCHITECTURES = {
    11: "armv6-m",
    12: "armv6-m",
    10: "armv7-m",
    13: "armv7e-m",
    16: "armv8-m.base",
    17: "armv8-m.main",
}
"""Tag_CPU_arch of Arm's build attributes, as far as Cortex-M goes."""

UF2_BLOCK = struct.Struct("<IIIIIIII")  # magic, magic, flags, address, size, number, count, family
UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UF2_END = struct.pack("<I", 0x0AB16F30)
UF2_SIZE = 512
UF2_ROOM = UF2_SIZE - UF2_BLOCK.size - len(UF2_END)
UF2_PAGE = 256  # what every bootloader takes, at a multiple of it
UF2_NOT_FLASH, UF2_FILE, UF2_HAS_FAMILY = 1, 0x1000, 0x2000  # others tell more about a block, and do not change it

UF2_FAMILIES = {
    0x68ED2B88: "SAMD21", 0x55114460: "SAMD51", 0x1851780A: "SAML21", 0x1B57745F: "nRF52", 0xADA52840: "nRF52840",
    0x621E937A: "nRF52833", 0xE48BFF56: "RP2040", 0xE48BFF57: "RP2xxx (absolute)", 0xE48BFF58: "RP2xxx (data)",
    0xE48BFF59: "RP2350 (Arm)", 0xE48BFF5A: "RP2350 (RISC-V)", 0xE48BFF5B: "RP2350 (Arm, non-secure)",
    0x647824B6: "STM32F0", 0x5EE21072: "STM32F1", 0x5D1A0A2E: "STM32F2", 0x6B846188: "STM32F3", 0x57755A57: "STM32F4",
    0x6D0922FA: "STM32F407", 0x53B80F00: "STM32F7", 0x300F5633: "STM32G0", 0x4C71240A: "STM32G4", 0x6DB66082: "STM32H7",
    0x202E3A91: "STM32L0", 0x1E1F432D: "STM32L1", 0x00FF6919: "STM32L4", 0x04240BDF: "STM32L5", 0x70D16653: "STM32WB",
    0x21460FF0: "STM32WL", 0x2ABC77EC: "LPC55", 0x4FB2D5BD: "i.MX RT10xx", 0x7F83E793: "KL32L2", 0x1C5F21B0: "ESP32",
}  # fmt: skip
"""Microsoft's list of UF2 families (microsoft/uf2, utils/uf2families.json), as far as people call them by name."""

DAMAGED = (ELFError, AssertionError, AttributeError, LookupError, TypeError, ValueError, OverflowError, struct.error)
"""What reading a file raises that is not what it should be; most of it comes from pyelftools."""

HEX_RECORD = re.compile(":([0-9a-fA-F]{2})+")
HEX_LINE = 16  # bytes
HEX_DATA, HEX_END, HEX_SEGMENT, HEX_START_SEGMENT, HEX_LINEAR, HEX_START_LINEAR = range(6)

SREC_FIRST = re.compile(rb"S[0-3][0-9a-fA-F]{8}")  # a header, or data at once
SREC_RECORD = re.compile("S[0-9]([0-9a-fA-F]{2})+")
SREC_DATA = {"1": 2, "2": 3, "3": 4}  # bytes of the address
SREC_END = "789"


def read_segments(name: str, data: bytes, address: int | None = None, family: int | None = None) -> list[Segment]:
    """What the file `name` with these contents puts where, in ascending order, neighbouring pieces joined.

    `address` is for plain binaries, which do not say it; a file called .bin is one unless it begins as an ELF file
    does. Of a UF2 file with several families the blocks of `family` are taken, and those of none.
    Raises UsageError when the file is damaged or empty, WrongChip when it has blocks for other families only.
    """
    try:
        segments = join(_pieces(name, data, address, family))
    except DAMAGED as error:
        raise UsageError(f"{name} is damaged: {error}", next_action="make it again") from error
    if not segments:
        raise UsageError(f"{name} has nothing for a chip's memory", next_action="make it again")
    return segments


def _pieces(name: str, data: bytes, address: int | None, family: int | None) -> Iterable[Segment]:
    if not data:
        return []
    kind = _kind(name, data)
    if kind == ".elf":
        return _elf(data)
    if kind == ".uf2":
        return _uf2(name, data, family)
    if kind in TEXTS:
        return TEXTS[kind](data.removeprefix(BYTE_ORDER_MARK).decode("ascii"))
    if kind != PLAIN:
        raise ValueError("it does not begin like such a file: was something else saved under its name?")
    if address is None:
        raise UsageError(f"{name} does not say where its bytes belong", next_action="say it with --address A")
    return [(address, data)]


def is_plain(name: str, data: bytes) -> bool:
    """Whether the file is a plain binary, which says no addresses; one that only should say them is none."""
    return _kind(name, data) == PLAIN


def _kind(name: str, data: bytes) -> str:
    """The suffix for what the file is, by what it begins with; empty when it is nothing of what its name says."""
    suffix = PurePath(name).suffix.lower()
    if data.startswith(ELF_MAGIC):
        return ".elf"
    if suffix == PLAIN:
        return PLAIN
    if UF2_BLOCK.size <= len(data) and UF2_BLOCK.unpack_from(data)[:2] == UF2_MAGIC:
        return ".uf2"
    text = data.removeprefix(BYTE_ORDER_MARK).lstrip() if suffix in WITH_ADDRESSES else data
    if text.startswith(b":"):
        return ".hex"
    if SREC_FIRST.match(text):
        return ".srec"
    return "" if suffix in WITH_ADDRESSES else PLAIN


def _elf(data: bytes) -> Iterator[Segment]:
    """The loadable segments at their load addresses (p_paddr), which for data differ from those where they are used."""
    file = ELFFile(io.BytesIO(data))
    if file["e_machine"] != "EM_ARM":
        raise ValueError(f"it is not for Arm but for {file.get_machine_arch()}")
    if not file.little_endian:
        raise ValueError("it is big-endian")
    if file["e_type"] == "ET_REL":
        raise ValueError("it is an object file that has not been linked")
    sections = [section for section in file.iter_sections() if _is_loaded(section)]
    for segment in file.iter_segments("PT_LOAD"):
        start, end = segment["p_offset"], segment["p_offset"] + segment["p_filesz"]
        if end > len(data):
            raise ValueError("it is cut off")
        # A linker may put the file's own headers into the first segment; only sections are meant for the chip.
        spans = [(s["sh_offset"], s["sh_offset"] + s["sh_size"]) for s in sections if segment.section_in_segment(s)]
        first = max(start, min((at for at, _ in spans), default=start))
        last = min(end, max((at for _, at in spans), default=end))
        if first < last:
            yield segment["p_paddr"] + first - start, data[first:last]


def elf_architecture(data: bytes) -> str:
    """What an ELF file's build attributes say that it was compiled for; empty when they or it are none."""
    if not data.startswith(ELF_MAGIC):
        return ""
    try:
        attributes: Any = ELFFile(io.BytesIO(data)).get_section_by_name(".ARM.attributes")
        parts = [part for vendor in attributes.iter_subsections() for part in vendor.iter_subsubsections()]
        (tag,) = (tag for part in parts for tag in part.iter_attributes("TAG_CPU_ARCH"))
    except DAMAGED:
        return ""
    return ELF_ARCHITECTURES.get(tag.value, "")


def _is_loaded(section: Section) -> bool:
    has_contents = section["sh_size"] and section["sh_type"] != "SHT_NOBITS"
    return bool(has_contents and section["sh_flags"] & SH_FLAGS.SHF_ALLOC)


def _intel_hex(text: str) -> Iterator[Segment]:
    """Intel Hexadecimal Object File Format, revision A."""
    base, ended = 0, False
    for number, line in enumerate(text.split(), 1):
        record = bytes.fromhex(line[1:]) if HEX_RECORD.fullmatch(line) else b""
        if len(record) < 5 or len(record) != record[0] + 5 or sum(record) & 0xFF:
            raise ValueError(f"line {number} is wrong")
        offset, kind, content = int.from_bytes(record[1:3], "big"), record[3], record[4:-1]
        if ended:
            raise ValueError(f"line {number} comes after the end record: are these several files in one?")
        if kind > HEX_START_LINEAR:
            raise ValueError(f"line {number} is of kind {kind}, as in a universal HEX file for several boards")
        if kind == HEX_DATA:
            yield base + offset, content
        elif kind == HEX_LINEAR:
            base = int.from_bytes(content, "big") << 16
        elif kind == HEX_SEGMENT:
            base = int.from_bytes(content, "big") << 4
        ended = kind == HEX_END
    if not ended:
        raise ValueError("it has no end record")


def _s_records(text: str) -> Iterator[Segment]:
    """Motorola S-records."""
    ended = False
    for number, line in enumerate(text.split(), 1):
        record = bytes.fromhex(line[2:]) if SREC_RECORD.fullmatch(line) else b""
        if not record or record[0] != len(record) - 1 or sum(record) & 0xFF != 0xFF:
            raise ValueError(f"line {number} is wrong")
        if width := SREC_DATA.get(line[1]):
            yield int.from_bytes(record[1 : 1 + width], "big"), record[1 + width : -1]
        ended = line[1] in SREC_END
    if not ended:
        raise ValueError("it has no end record")


TEXTS: dict[str, Callable[[str], Iterator[Segment]]] = {".hex": _intel_hex, ".srec": _s_records}


def _uf2(name: str, data: bytes, family: int | None) -> Iterator[Segment]:
    """USB Flashing Format: blocks of 512 bytes, each with its address; each family's are numbered by themselves."""
    if len(data) % UF2_SIZE:
        raise ValueError("it is cut off")
    families: dict[int, list[tuple[int, ...]]] = {}
    for start in range(0, len(data), UF2_SIZE):
        block = UF2_BLOCK.unpack_from(data, start)
        ending = data[start + UF2_SIZE - len(UF2_END) : start + UF2_SIZE]
        if block[:2] != UF2_MAGIC or ending != UF2_END or block[4] > UF2_ROOM:
            raise ValueError(f"block {start // UF2_SIZE} is wrong")
        families.setdefault(block[7] if block[2] & UF2_HAS_FAMILY else 0, []).append((start, *block))
    if family is not None:
        families = _of_family(name, families, family)
    for blocks in families.values():
        _check_numbers(blocks)
        for start, _, _, flags, address, size, *_ in blocks:
            if not flags & (UF2_NOT_FLASH | UF2_FILE):
                content = start + UF2_BLOCK.size
                yield address, data[content : content + size]


def _of_family(name: str, families: dict[int, Any], family: int) -> dict[int, Any]:
    found = {number: blocks for number, blocks in families.items() if number in (0, family)}
    if not found:
        asked = f"not for {family_name(family)}" if family else "a chip that has no UF2 family is asked for"
        raise WrongChip(
            f"{name} is for {' and '.join(map(family_name, families))}, {asked}",
            next_action="take the file for this chip, or name the board that it is for with --board",
        )
    return found


def family_name(family: int) -> str:
    """A UF2 family as people call it."""
    return UF2_FAMILIES.get(family, f"the UF2 family {family:#010x}")


def _check_numbers(blocks: list[tuple[int, ...]]) -> None:
    """Raises ValueError when a family's blocks are not all there; their order does not matter."""
    numbers, counts = {block[6] for block in blocks}, {block[7] for block in blocks}
    if len(counts) > 1:
        raise ValueError(f"its blocks say that there are {' and '.join(map(str, sorted(counts)))} of them")
    (count,) = counts
    if missing := sorted(set(range(min(count, len(blocks) + 1))) - numbers):
        raise ValueError(f"block {missing[0]} of {count} is missing")
    if numbers != set(range(count)):
        raise ValueError(f"it has more than the {count} blocks that it says")


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
    return b"".join(uf2_blocks(sorted(pages.items()), family))


def uf2_blocks(pages: Sequence[Segment], family: int) -> list[bytes]:
    """A block for each page, numbered in this order."""
    flags = UF2_HAS_FAMILY if family else 0
    return [
        UF2_BLOCK.pack(*UF2_MAGIC, flags, start, len(page), number, len(pages), family)
        + page.ljust(UF2_ROOM, b"\0") + UF2_END
        for number, (start, page) in enumerate(pages)
    ]  # fmt: skip


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
    """The pieces in ascending order, neighbours joined; what is said twice has to be the same. Raises ValueError."""
    joined: list[tuple[int, bytearray]] = []
    for address, data in sorted(piece for piece in pieces if piece[1]):
        start, contents = joined[-1] if joined else (address, bytearray())
        overlap = start + len(contents) - address
        if overlap < 0 or not joined:
            joined.append((address, bytearray(data)))
            continue
        again = bytes(contents[address - start : address - start + len(data)])
        if not data.startswith(again):
            raise ValueError(f"it says two things about {address:#010x}")
        contents += data[len(again) :]
    return [(address, bytes(data)) for address, data in joined]
