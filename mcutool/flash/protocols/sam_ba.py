"""SAM-BA, the monitor in the bootloaders of Microchip's SAM chips and of the boards that follow Arduino's.

Decides which bytes each command sends and what each answer means, on a UART (where data travels by XMODEM) and on USB
(`raw`: where it is sent as it is). Refuses to know the wire, the clock, and what lies at an address.

A command is a letter, numbers in hexadecimal, `#`. Nothing protects it on the line: a flipped bit makes another
command or another address of it, and a byte of data that is taken for a command is one. So data is cut where it
could be one (see `harmless`), and what a command has done is found out by whoever sends it. Bytes FF are ignored
between commands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mcutool.flash.protocols import xmodem
from mcutool.flash.protocols.exchange import Exchange, Garbled, NoReply, Step
from mcutool.flash.protocols.xmodem import listen

LINE_END = b"\n\r"
ANSWER = 0.5  # the monitor answers at once
COPY = 200e-6  # and so many seconds more for each byte copied into flash,
CHECKSUM = 20e-6  # or looked at
ERASE = 15.0  # of all flash
AWAKE = 0.1  # to see whether it listens
SETTLED = 0.002  # seconds between a command and its data on USB: in one packet they confuse some monitors
RAW_READ = 63  # some monitors spoil answers of 64 bytes and more on USB
LONGEST_VERSION = 128
PACKETS_AT_MOST = 600  # of an answer that nobody wants any more: 64 KB of it and some repetitions

# What the monitor would do if it took data for commands: those that change memory or jump, then numbers, then `#`.
# Without a number some do no harm where a transfer has left the address: they look there, or spoil what is sent again.
_COMMAND_IN_DATA = re.compile(rb"[XGK][0-9A-Fa-f,\xff]*#|[YOHWSR]\xff*[0-9A-Fa-f,][0-9A-Fa-f,\xff]*#")


@dataclass(frozen=True)
class Version:
    """What `V#` answers: its text, and the letters of the capabilities that the part in brackets lists."""

    text: str
    capabilities: frozenset[str]


def command(letter: str, *numbers: int) -> bytes:
    """The bytes of one command. A flipped bit makes a command of C (G, K, S) and of B (R), of no small letter."""
    return f"{letter}{','.join(f'{number:x}' for number in numbers)}#".encode()


# --- getting into step ----------------------------------------------------------------------------------------


def synchronise(raw: bool) -> Exchange[None]:
    """Begin a session: on a UART the bytes by which a monitor finds the rate, then binary answers on either."""
    if not raw:
        for byte in (b"\x80", b"\x80", b"#"):
            yield from listen(byte)  # older monitors send them back, or a prompt
    yield from binary()


def binary(seconds: float = ANSWER) -> Exchange[None]:
    """`N#`: numbers are answered as bytes. It is what is asked to see whether the monitor listens."""
    heard = yield from listen(command("N"), seconds)
    if not heard.endswith(LINE_END):
        raise Garbled(f"N#: {heard!r:.40}")


def terminal() -> Exchange[None]:
    """`T#`: numbers are answered as text, for people."""
    yield from _text(command("T"), ANSWER)


def resynchronise(raw: bool) -> Exchange[None]:
    """Bring the monitor back to where it waits for a command, wherever an exchange broke off.

    On a UART `q` ends a transfer that has not begun and one that waits for a block, a sender of blocks is listened to
    until it is done, and FF fills up a block of which a byte got lost. On USB FF fills up data that was announced.
    None of it is a command: `q` is none, and FF is ignored.
    """
    fillings = (64, 512, 4096) if raw else (0, xmodem.PACKET + 4)
    for count in fillings * 2:
        heard = yield from listen(b"q" + b"\xff" * count)
        if not raw and len(heard) >= xmodem.BLOCK:
            yield from _hear_out()
        try:
            return (yield from binary(AWAKE))
        except Garbled:
            continue
    raise NoReply("no answer to N#")


def _hear_out() -> Exchange[None]:
    """Acknowledge blocks until no more come."""
    for _ in range(PACKETS_AT_MOST):
        heard = yield from listen(bytes((xmodem.ACK,)), ANSWER)
        if not xmodem.BLOCK <= len(heard) < xmodem.BABBLE:
            break
    yield Step(bytes((xmodem.ACK,)), 0, 0)


def _text(message: bytes, seconds: float) -> Exchange[bytes]:
    """An answer that ends in LF CR, without that."""
    text = yield Step(message, 1, seconds)
    while not text.endswith(LINE_END):
        if len(text) > LONGEST_VERSION:
            raise Garbled(f"{message!r}: no end of line")
        text += yield Step(b"", 1, ANSWER)
    return text[: -len(LINE_END)]


def _done(message: bytes, seconds: float) -> Exchange[None]:
    """An answer that repeats the letter of the command."""
    text = yield from _text(message, seconds)
    if text != message[:1]:
        raise Garbled(f"{message!r}: {text!r}")


# --- the commands ---------------------------------------------------------------------------------------------


def version() -> Exchange[Version]:
    """`V#`: the monitor's version, on Arduino's with the letters of its additional commands."""
    text = (yield from _text(command("V"), ANSWER)).decode("ascii", "replace")
    found = re.search(r"\[Arduino:([A-Z]+)\]", text)
    return Version(text.strip(), frozenset(found[1]) if found else frozenset())


def name_of_chip() -> Exchange[str]:
    """`I#`, where the capabilities have I: the chip's name."""
    return (yield from _text(command("I"), ANSWER)).decode("ascii", "replace")


def read_number(address: int, size: int) -> Exchange[int]:
    """1, 2 or 4 bytes in one access, for registers. Nothing protects the answer."""
    return int.from_bytes((yield Step(command(_letter("ohw", size), address, 4), size, ANSWER)), "little")


def read_again(size: int) -> Exchange[int]:
    """What the last command was for; it needs no address, which the monitor still has."""
    return int.from_bytes((yield Step(command(_letter("ohw", size)), size, ANSWER)), "little")


def write_number(address: int, value: int, size: int, seconds: float = SETTLED) -> Exchange[None]:
    """1, 2 or 4 bytes in one access. There is no answer; it is done after `seconds`."""
    yield from _pause(command(_letter("OHW", size), address, value), seconds)


def _letter(letters: str, size: int) -> str:
    return letters[(1, 2, 4).index(size)]


def _pause(message: bytes, seconds: float = SETTLED) -> Exchange[None]:
    """What has no answer; the monitor is done before the next bytes come."""
    yield from listen(message, seconds)


def read(address: int, length: int, raw: bool) -> Exchange[bytes]:
    """Memory. On a UART the blocks have a CRC, the address in the command has none."""
    if not raw:
        return (yield from xmodem.receive(length, command("R", address, length)))
    data = b""
    while len(data) < length:
        count = min(length - len(data), RAW_READ)
        data += yield Step(command("R", address + len(data), count), count, ANSWER)
    return data


def write(address: int | None, data: bytes, raw: bool) -> Exchange[None]:
    """Memory other than flash; None is where the last transfer began. Raises xmodem.Broken when it broke off.

    Any other LineError says that it did not begin.
    """
    message = command("S", len(data)) if address is None else command("S", address, len(data))
    if raw:
        yield from _pause(message)
        yield Step(data, 0, 0)
        return
    answer = yield Step(message, 1, ANSWER)
    if answer[0] != xmodem.START:
        raise Garbled(f"S: {answer!r}")
    yield from xmodem.send(data)


def go(address: int) -> Exchange[None]:
    """Call the code whose initial stack pointer is at `address` and whose entry at the next word."""
    yield from _pause(command("G", address))


def restart() -> Exchange[None]:
    """`K#`, where the capabilities have K: reset."""
    yield from _pause(command("K"))


# --- Arduino's additions --------------------------------------------------------------------------------------


def erase_from(address: int) -> Exchange[None]:
    """`X`: erase from `address` to the end of flash, whatever lies there."""
    yield from _done(command("X", address), ERASE)


def choose_buffer() -> Exchange[None]:
    """`Y` with neither address nor length: the next `copy` finds its data where the last `write` began."""
    yield from _done(command("Y"), ANSWER)


def copy(address: int, length: int) -> Exchange[None]:
    """`Y`: `length` bytes from the buffer into erased flash at `address`."""
    yield from _done(command("Y", address, length), ANSWER + COPY * length)


def checksum(address: int, length: int) -> Exchange[int]:
    """`Z`: the CRC-16 of memory (compare with `xmodem.checksum_of`). Nothing protects the answer."""
    text = yield from _text(command("Z", address, length), ANSWER + CHECKSUM * length)
    found = re.fullmatch(rb"Z0000([0-9A-F]{4})#", text)
    if not found:
        raise Garbled(f"Z: {text!r}")
    return int(found[1], 16)


# --- data that cannot be taken for commands ---------------------------------------------------------------------


def harmless(data: bytes) -> bytes:
    """So much of `data`, from its beginning, that no packet of it holds what could be a command.

    A monitor that misses the first byte of an XMODEM packet takes the others for commands. It stops at a packet's
    end, so a command is harmless when its letter and its `#` are in two packets.
    """
    for start in range(0, len(data), xmodem.BLOCK):
        block = data[start : start + xmodem.BLOCK]
        while found := _COMMAND_IN_DATA.search(xmodem.packet(start // xmodem.BLOCK + 1, block), 3):
            block = block[: min(found.start() - 2, len(block) - 1)]
        if len(block) < min(xmodem.BLOCK, len(data) - start):
            return data[: start + len(block)]
    return data
