"""The STM32 ROM bootloader over USART, as application note AN3155 describes it.

Decides which bytes each command sends and what each answer means. Refuses to know the wire, the clock and the chip:
page numbers, addresses and the set of commands come from the caller.

The line is 8E1 and the ROM finds the rate from the first byte. Every command is two bytes, the second the complement
of the first; addresses are big-endian; every block ends in the XOR of its bytes. READ answers carry no checksum at
all, so whoever reads compares twice.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import xor

from mcutool.flash.protocols.exchange import Exchange, Garbled, LineError, NoReply, Refused, Step

ACK, NACK, BUSY = 0x79, 0x1F, 0x76
SYNC = 0x7F
BLOCK = 256  # the largest READ or WRITE
BABBLE = 1024  # answers to fillers, and BUSY in a row, at most; what says more is no bootloader
PAGES_AT_ONCE = 511  # bootloaders of L0 and L1 parts refuse longer lists

COMMANDS = {
    "get": 0x00,
    "get version": 0x01,
    "get id": 0x02,
    "read": 0x11,
    "go": 0x21,
    "write": 0x31,
    "erase": 0x43,
    "extended erase": 0x44,
    "write protect": 0x63,
    "write unprotect": 0x73,
    "readout protect": 0x82,
    "readout unprotect": 0x92,
    "checksum": 0xA1,
}

ANSWER = 0.5  # the ROM answers at once
PROGRAM = 1.0  # one block of flash
MASS_ERASE = 35.0


@dataclass(frozen=True)
class Commands:
    """What GET answers: the bootloader's version (0x31 is 3.1) and the codes it takes."""

    version: int
    codes: frozenset[int]

    def has(self, name: str) -> bool:
        return COMMANDS[name] in self.codes


def checksum_of(data: bytes) -> int:
    """The XOR of all bytes, which closes every block."""
    return reduce(xor, data, 0)


def crc32_of(data: bytes) -> int:
    """The CRC unit's value over `data` (a multiple of 4 bytes): little-endian words, most significant bit first.

    It is zlib's polynomial fed with the bits of each word in the other order, without the final inversion.
    """
    words = array("I", data.translate(_REVERSED))
    words.byteswap()
    plain = zlib.crc32(words.tobytes()) ^ 0xFFFFFFFF
    return int(f"{plain:032b}"[::-1], 2)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


# --- the parts of an exchange ---------------------------------------------------------------------------------


def _acknowledge(data: bytes, command: str, stage: str, seconds: float = ANSWER) -> Exchange[None]:
    """Send `data` and wait for ACK. Raises Refused on NACK, Garbled on anything else."""
    answer = (yield Step(data, 1, seconds))[0]
    for _ in range(BABBLE):
        if answer != BUSY:
            break
        answer = (yield Step(b"", 1, seconds))[0]
    if answer == NACK:
        raise Refused(command, stage)
    if answer != ACK:
        raise Garbled(f"{command}: neither ACK nor NACK: {answer:#04x}", stage)


def _command(name: str) -> Exchange[None]:
    code = COMMANDS[name]
    yield from _acknowledge(bytes((code, code ^ 0xFF)), name, "command")


def _closed(data: bytes) -> bytes:
    return data + bytes((checksum_of(data),))


def _word(value: int) -> bytes:
    return _closed(value.to_bytes(4, "big"))


def _counted(name: str) -> Exchange[bytes]:
    """The answer of GET and GET ID: a count less one, that many bytes, ACK."""
    yield from _command(name)
    count = (yield Step(b"", 1, ANSWER))[0] + 1
    data = yield Step(b"", count, ANSWER)
    yield from _acknowledge(b"", name, "data")
    return data


# --- getting into step ----------------------------------------------------------------------------------------


def synchronise() -> Exchange[bool]:
    """The first byte after reset, from which the ROM takes the line's rate. True when it was the first one.

    NACK is as good as ACK: the ROM was in step already and took 7F for a command.
    """
    answer = (yield Step(bytes((SYNC,)), 1, ANSWER))[0]
    if answer not in (ACK, NACK):
        raise Garbled(f"synchronisation: {answer:#04x}")
    return answer == ACK


def resynchronise() -> Exchange[None]:
    """Bring the ROM back to the start of a command, wherever an exchange broke off.

    FF is safe in every state: as a command, a count, a page list or an address it fails its checksum, and as 256
    bytes of data it changes no flash bit. The run of FF doubles until the ROM says something; then single bytes show
    which half of a command it waits for, and leave it waiting for none.
    """
    for length in (1, 1, 2, 4, 8, 16, 32, 64, 128, 258, 258, 512):
        if (yield from _anything(b"\xff" * length, 0.1)):
            break
    else:
        raise NoReply("no answer to any filler")
    for _ in range(BABBLE):
        if not (yield from _anything(b"", 0.05)):
            break
    for _ in range(4):
        if (yield from _anything(b"\xff", 0.1)):
            return
    raise NoReply("no answer to a bad command")


def _anything(data: bytes, seconds: float) -> Exchange[bool]:
    try:
        yield Step(data, 1, seconds)
    except NoReply:
        return False
    return True


# --- the commands ---------------------------------------------------------------------------------------------


def get() -> Exchange[Commands]:
    """The bootloader's version and its commands; this decides which erase and whether a checksum is there."""
    data = yield from _counted("get")
    return Commands(data[0], frozenset(data[1:]))


def get_id() -> Exchange[int]:
    """The product id, 0x413 for example."""
    return int.from_bytes((yield from _counted("get id")), "big")


def read(address: int, length: int) -> Exchange[bytes]:
    """1 to 256 bytes of memory. Nothing protects them on the line."""
    yield from _command("read")
    yield from _acknowledge(_word(address), "read", "address")
    count = length - 1
    yield from _acknowledge(bytes((count, count ^ 0xFF)), "read", "data")
    return (yield Step(b"", length, PROGRAM))


def write(address: int, data: bytes) -> Exchange[None]:
    """Program 4 to 256 bytes at a word's address; `data` is a multiple of 4 long."""
    yield from _command("write")
    yield from _acknowledge(_word(address), "write", "address")
    yield from _acknowledge(_closed(bytes((len(data) - 1,)) + data), "write", "data", PROGRAM)


def erase(pages: Sequence[int], commands: Commands, seconds: float) -> Exchange[None]:
    """Erase pages or sectors by number, which takes `seconds` at most, with the command that this bootloader has."""
    name, width = ("extended erase", 2) if commands.has("extended erase") else ("erase", 1)
    for start in range(0, len(pages), PAGES_AT_ONCE if width == 2 else 255):
        batch = pages[start : start + (PAGES_AT_ONCE if width == 2 else 255)]
        numbers = b"".join(number.to_bytes(width, "big") for number in (len(batch) - 1, *batch))
        yield from _command(name)
        yield from _acknowledge(_closed(numbers), name, "data", seconds)


def mass_erase(commands: Commands) -> Exchange[None]:
    """Erase all of flash. Bootloaders of L0 and L1 parts refuse it."""
    if commands.has("extended erase"):
        yield from _command("extended erase")
        yield from _acknowledge(b"\xff\xff\x00", "extended erase", "data", MASS_ERASE)
    else:
        yield from _command("erase")
        yield from _acknowledge(b"\xff\x00", "erase", "data", MASS_ERASE)


def go(address: int) -> Exchange[None]:
    """Start the program whose vector table is at `address`."""
    yield from _command("go")
    yield from _acknowledge(_word(address), "go", "address")


def checksum(address: int, length: int) -> Exchange[int]:
    """The CRC unit's value over memory (compare with `crc32_of`), on bootloaders that have the command."""
    yield from _command("checksum")
    yield from _acknowledge(_word(address), "checksum", "address")
    yield from _acknowledge(_word(length), "checksum", "data")
    yield from _acknowledge(b"", "checksum", "data", MASS_ERASE)
    answer = yield Step(b"", 5, ANSWER)
    if checksum_of(answer):
        raise Garbled("checksum: the answer's own checksum is wrong")
    return int.from_bytes(answer[:4], "big")


def write_protect(sectors: Sequence[int]) -> Exchange[None]:
    """Protect sectors from writing; the chip resets afterwards."""
    yield from _command("write protect")
    yield from _acknowledge(_closed(bytes((len(sectors) - 1, *sectors))), "write protect", "data", PROGRAM)


def unprotect(name: str) -> Exchange[None]:
    """`name` is "write unprotect" or "readout unprotect"; the latter erases all flash. The chip resets afterwards.

    When the last ACK gets lost it has reset all the same, and fillers would spoil how it finds the rate.
    """
    yield from _command(name)
    with suppress(LineError):
        yield from _acknowledge(b"", name, "data", MASS_ERASE)


def readout_protect() -> Exchange[None]:
    """Close the flash to every reader; the chip resets afterwards."""
    yield from _command("readout protect")
    yield from _acknowledge(b"", "readout protect", "data", PROGRAM)
