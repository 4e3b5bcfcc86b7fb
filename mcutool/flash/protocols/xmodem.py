"""XMODEM with CRC-16: blocks of 128 bytes that are acknowledged one by one.

Decides what a block looks like and what each side does about a bad one. Refuses to know the wire, the clock and what
is transferred. SAM-BA monitors use it on a UART; their receiver gives up at the first bad block, so whoever sends
learns how much has arrived (`Broken.done`) and begins another transfer there.
"""

from __future__ import annotations

import binascii

from mcutool.flash.protocols.exchange import Exchange, Garbled, LineError, NoReply, Step

SOH, EOT, ACK, NAK, CAN = 0x01, 0x04, 0x06, 0x15, 0x18
START = ord("C")
BLOCK = 128
PACKET = BLOCK + 5  # SOH, number, its complement, the block, CRC
ATTEMPTS = 12  # for one block
ANSWER = 0.3  # seconds of silence in which an answer, or the next bytes of a packet, should have come
QUIET = 0.03  # seconds of silence after which nothing more comes
BABBLE = 4096  # bytes that may come before there is silence


class Broken(LineError):
    """A transfer did not come to its end; `done` bytes are known to have arrived.

    `cancelled` says that the receiver has told so, after the whole of a bad packet: it took none of it for commands.
    """

    def __init__(self, message: str, done: int, cancelled: bool = False) -> None:
        super().__init__(message)
        self.done = done
        self.cancelled = cancelled


class Cancelled(Garbled):
    """The receiver has given up."""


def checksum_of(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 1021, starting with 0."""
    return binascii.crc_hqx(data, 0)


def packet(number: int, data: bytes) -> bytes:
    """One block with its frame; what is missing of 128 bytes is filled with 00."""
    block = data.ljust(BLOCK, b"\0")
    return bytes((SOH, number & 0xFF, ~number & 0xFF)) + block + checksum_of(block).to_bytes(2, "big")


def number_of(received: bytes) -> int | None:
    """The number of a packet, None when it is none or has been spoilt."""
    if len(received) != PACKET or received[0] != SOH or received[1] ^ received[2] != 0xFF:
        return None
    return received[1] if checksum_of(received[3:]) == 0 else None


def listen(send: bytes, seconds: float = QUIET) -> Exchange[bytes]:
    """Everything that comes after `send` until the line is silent; the first byte may take `seconds`."""
    heard = b""
    while len(heard) < BABBLE:
        try:
            heard += yield Step(send, 1, QUIET if heard else seconds)
        except NoReply:
            break
        send = b""
    return heard


def send(data: bytes) -> Exchange[None]:
    """Send `data` to a receiver that has said START. Raises Broken."""
    done = 0
    try:
        for start in range(0, len(data), BLOCK):
            yield from _acknowledged(packet(start // BLOCK + 1, data[start : start + BLOCK]))
            done = min(start + BLOCK, len(data))
        yield from _acknowledged(bytes((EOT,)))
    except LineError as failure:
        message, cancelled = f"XMODEM after {done} of {len(data)} bytes: {failure}", isinstance(failure, Cancelled)
        raise Broken(message, done, cancelled) from failure


def _acknowledged(message: bytes) -> Exchange[None]:
    try:
        answer = (yield Step(message, 1, ANSWER))[0]
    except NoReply:
        answer = (yield Step(b"\xff", 1, QUIET))[0]  # in place of a byte that got lost; alone it says nothing
    while answer == START:  # said once more before it saw the first block
        answer = (yield Step(b"", 1, ANSWER))[0]
    if _is_almost(answer, CAN):
        raise Cancelled("the receiver cancels")
    if not _is_almost(answer, ACK):
        raise Garbled(f"no acknowledgement: {answer:#04x}")


def _is_almost(answer: int, wanted: int) -> bool:
    """Whether they differ in one bit at most; ACK and CAN do in four."""
    return (answer ^ wanted).bit_count() <= 1


def receive(length: int, request: bytes) -> Exchange[bytes]:
    """What the sender sends after `request`, `length` bytes of it. A bad block is asked for again."""
    data, wanted, failures = b"", 1, 0
    answer = request + bytes((START,))
    while len(data) < length:
        received = yield from _packet(answer)
        number = number_of(received)
        if number == wanted & 0xFF:
            data, wanted, failures = data + received[3:-2], wanted + 1, 0
        elif (failures := failures + 1) == ATTEMPTS:
            raise Garbled(f"XMODEM: block {wanted} does not arrive")
        again = number is not None and number == wanted - 1 & 0xFF  # or it is new, or our ACK got lost
        answer = bytes((ACK if again else START if wanted == 1 else NAK,))
    yield from _end()
    return data[:length]


def _packet(answer: bytes) -> Exchange[bytes]:
    try:
        received = yield Step(answer, PACKET, ANSWER)
    except NoReply:
        return b""
    if number_of(received) is None:
        yield from listen(b"")
    return received


def _end() -> Exchange[None]:
    """Acknowledge the last block, then the sender's EOT, for which it waits without an end."""
    for _ in range(ATTEMPTS):
        heard = yield from listen(bytes((ACK,)), ANSWER)
        if heard in (bytes((EOT,)), b""):
            yield Step(bytes((ACK,)), 0, 0)
            return
    raise Garbled("XMODEM: the sender does not stop")
