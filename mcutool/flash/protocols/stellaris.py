"""TI's serial boot loader of Stellaris and Tiva chips (SPMU301; StellarisWare's boot_loader), on a UART.

Decides which bytes each packet sends and what each answer means. Refuses to know the wire, the clock and the chip.

A packet is its size, the sum of its data, the data; the answer is 00 and ACK or NAK. Bytes 00 between packets are
skipped. The sum does not see bytes that change places, and a packet of data has no number: so whether one was taken
whose answer got lost is only told by the status, which is marked before (`mark`).
"""

from __future__ import annotations

from mcutool.flash.protocols.exchange import Exchange, Garbled, NoReply, Refused, Step

ACK, NAK = 0xCC, 0x33
AUTO_BAUD = b"\x55\x55"
PING, DOWNLOAD, RUN, GET_STATUS, SEND_DATA, RESET = range(0x20, 0x26)
UNKNOWN = 0x2F  # a command that no such boot loader has
LONGEST_DATA = 252  # of one packet; small boot loaders take 8
LONGEST_PACKET = 255

SUCCESS, UNKNOWN_COMMAND = 0x40, 0x41
STATUS_NAMES = {
    0x40: "success", 0x41: "unknown command", 0x42: "invalid command", 0x43: "invalid address",
    0x44: "flash failed", 0x45: "CRC failed",
}  # fmt: skip

ANSWER = 0.5  # seconds
ERASE = 30.0  # of all flash
QUIET = 0.03
BABBLE = 1024  # bytes that may come before there is silence
ATTEMPTS = 3


def name_of(status: int) -> str:
    """A status in words."""
    return STATUS_NAMES.get(status, f"status {status:#04x}")


def packet(command: int, data: bytes = b"") -> bytes:
    """The command and its data with their frame."""
    content = bytes((command,)) + data
    return bytes((len(content) + 2, sum(content) & 0xFF)) + content


def _is_ack(byte: int) -> bool:
    """ACK and NAK differ in every bit, so that one that is spoilt is still the one it is nearer to."""
    return (byte ^ ACK).bit_count() < 4  # of 8


def _answer(message: bytes, seconds: float = ANSWER) -> Exchange[None]:
    """Send a packet and wait for ACK. Raises Refused on NAK: the packet was spoilt, and nothing was done."""
    answer = (yield Step(message, 1, seconds))[0]
    for _ in range(BABBLE):
        if answer.bit_count() > 1:
            break
        answer = (yield Step(b"", 1, ANSWER))[0]  # after the 00 before it, spoilt perhaps
    else:
        raise Garbled("nothing but 00")
    if not _is_ack(answer):
        raise Refused(f"packet {message[:3].hex(' ')}", "data")


# --- getting into step ----------------------------------------------------------------------------------------


def synchronise() -> Exchange[None]:
    """The bytes from which a boot loader takes the line's rate after a reset. One that is in step is not answered."""
    yield from _answer(AUTO_BAUD)


def resynchronise(filler: int = 5) -> Exchange[None]:
    """Bring the boot loader back to where it waits for a packet, wherever one broke off; the status stays.

    It gets fillers until it complains about a packet, and then waits for the next one. Fillers alone make packets with
    a wrong sum, also when one of them is spoilt on the way (`_FILLERS`), while a row of 00 makes a right one. A filler
    that was not in the last packet spoils its sum for sure when a byte of that got lost.
    """
    for _ in range(ATTEMPTS):
        for count in (*[1] * (filler + 2), LONGEST_PACKET, *[1] * (filler + 2)):
            if (yield from _listen(bytes((filler,)) * count)) and count == 1:
                break
        try:
            yield from get_status()
            return
        except (Refused, Garbled, NoReply):
            continue
    raise NoReply("the status is not told")


def _is_safe(filler: int) -> bool:
    """Whether no packet of fillers, with one bit flipped at most, has the right sum."""
    flips = [0, *(1 << bit for bit in range(8))]
    sums = {(filler * (filler - 3) + sign * flip) % 256 for flip in flips for sign in (1, -1)}
    sizes = {filler * ((filler ^ flip) - 3) % 256 for flip in flips}
    return 0 not in sums | sizes


_FILLERS = [byte for byte in range(4, 64) if _is_safe(byte)]


def filler_for(data: bytes) -> int:
    """What `resynchronise` fills up a packet with `data` with: a byte that is not in it."""
    return next((byte for byte in _FILLERS if byte not in data), _FILLERS[0])


def _listen(message: bytes) -> Exchange[bytes]:
    """Everything that comes after `message` until the line is silent."""
    heard = b""
    while len(heard) < BABBLE:
        try:
            heard += yield Step(message, 1, QUIET)
        except NoReply:
            break
        message = b""
    return heard


# --- the commands ---------------------------------------------------------------------------------------------


def ping() -> Exchange[None]:
    """Whether it is there. It makes the status a success."""
    yield from _answer(packet(PING))


def mark() -> Exchange[None]:
    """Make the status that of an unknown command, so that it tells whether the next one was done."""
    yield from _answer(packet(UNKNOWN))


def download(address: int, size: int) -> Exchange[None]:
    """Erase what `size` bytes at `address` need, and take data for there. The status tells whether it was done."""
    yield from _answer(packet(DOWNLOAD, address.to_bytes(4, "big") + size.to_bytes(4, "big")), ERASE)


def send_data(data: bytes) -> Exchange[None]:
    """The next bytes, a multiple of 4 unless they are the last ones. The status tells whether they were taken."""
    yield from _answer(packet(SEND_DATA, data))


def get_status() -> Exchange[int]:
    """What became of the last command but this one."""
    yield from _answer(packet(GET_STATUS))
    answer = yield Step(b"", 3, ANSWER)
    yield Step(bytes((ACK,)), 0, 0)
    if answer[0] != 3 or answer[1] != answer[2]:
        raise Garbled(f"status: {answer.hex()}")
    return answer[2]


def run(address: int) -> Exchange[None]:
    """Jump to the code at `address`."""
    yield from _answer(packet(RUN, address.to_bytes(4, "big")))


def reset() -> Exchange[None]:
    """Reset the chip, which starts the program."""
    yield from _answer(packet(RESET))
