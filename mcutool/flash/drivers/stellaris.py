"""The driver of TI's serial boot loader.

Decides that all is written in one download, from the place where programs begin: the boot loader takes no other, and
can neither read nor checksum. What it has acknowledged, with the status that it tells for each packet, is all that is
known of flash afterwards (protocols/STELLARIS.md). Refuses to know the packets (protocols/stellaris.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from mcutool.devices import Board, Loader
from mcutool.errors import Protected, Unsupported, WriteFailed
from mcutool.flash.conversation import ATTEMPTS, Conversation
from mcutool.flash.link import Link
from mcutool.flash.plan import SectorWork
from mcutool.flash.protocols import stellaris
from mcutool.flash.protocols.exchange import Exchange, LineError, Refused

log = logging.getLogger("mcutool")

Result = TypeVar("Result")
Advance = Callable[[int], None]

DOWNLOADS = 8  # begun anew, when it is not known what was taken
USUAL_DATA, NOISY_DATA, SMALLEST_DATA = 128, 16, 8  # bytes of one packet


class Stellaris:
    """TI's boot loader at the other end of a link: see mcutool.flash.engine.Bootloader."""

    reads = False

    def __init__(self, link: Link, board: Board, loader: Loader) -> None:
        self._board, self._flash = board, board.chip.flash
        self._begin = self._flash.base + loader.offset
        self._filler = stellaris.filler_for(b"")
        self._talk = Conversation(link, lambda: stellaris.resynchronise(self._filler), loader.enter or board.boot)
        self._to_write: list[SectorWork] = []
        self._written: dict[int, bytes] = {}

    @property
    def retries(self) -> int:
        return self._talk.retries

    def connect(self) -> None:
        """Get into step. Which chip it is cannot be asked. Raises NoAnswer."""
        for _ in range(ATTEMPTS // 2):
            try:
                self._talk.run(stellaris.synchronise())
            except (LineError, Refused):
                if not self._talk.repeat():
                    continue
            self._status()  # half of all bytes can be taken for an ACK, and hardly any text for a status
            return
        raise self._talk.no_answer("no boot loader answers")

    def holds(self, address: int, data: bytes) -> bool:
        """Whether `data` was written and each packet of it acknowledged: nothing else can be known."""
        return self._written.get(address) == data

    def erase(self, sectors: Sequence[SectorWork], advance: Advance) -> None:
        """Remember what to write: a download erases by itself. Raises Protected, Unsupported."""
        if not sectors:
            return
        first = min(sector.address for sector in sectors)
        if first < self._begin:
            raise Protected(
                f"{first:#010x} belongs to the boot loader", next_action=f"link the program for {self._begin:#010x}"
            )
        if first > self._begin:
            raise Unsupported(
                f"TI's boot loader writes from {self._begin:#010x} on, and would erase what is before {first:#010x}",
                next_action=f"link the program for {self._begin:#010x}, or write it with a debug probe",
            )
        self._to_write = sorted(sectors, key=lambda sector: sector.address)
        advance(sum(sector.size for sector in sectors))

    def write(self, sector: SectorWork, advance: Advance) -> None:
        """Write everything, at the first call. Raises WriteFailed, NoAnswer."""
        work, self._to_write = self._to_write, []
        if not work:
            return
        image = bytearray()
        for part in work:
            image = image.ljust(part.address - self._begin, bytes((part.erased,))) + part.data
        self._download(bytes(image))
        self._written = {part.address: part.data for part in work}
        advance(sum(len(part.data) for part in work))

    def _download(self, image: bytes) -> None:
        status = stellaris.UNKNOWN_COMMAND
        for _ in range(DOWNLOADS):
            status = self._status_after(partial(stellaris.download, self._begin, len(image)))
            if status == stellaris.SUCCESS:
                status = self._send(image)
            if status == stellaris.SUCCESS:
                return
            log.warning("the download is not taken: %s", stellaris.name_of(status))
        raise WriteFailed(
            f"{len(image)} bytes at {self._begin:#010x} are not taken: {stellaris.name_of(status)}",
            next_action="check that the boot loader was built for this address; else try a shorter cable",
        )

    def _send(self, image: bytes) -> int:
        """The status when all is sent, or the first that is an error.

        On a bad line packets are short: the more often they arrive, and the less their sum overlooks.
        """
        done, size, failures = 0, USUAL_DATA, 0
        while done < len(image):
            data = image[done : done + size]
            status = self._status_after(partial(stellaris.send_data, data), data)
            if status == stellaris.SUCCESS:
                done, failures = done + len(data), 0
            elif status != stellaris.UNKNOWN_COMMAND or failures == ATTEMPTS:
                return status
            else:
                size, failures = SMALLEST_DATA if failures else NOISY_DATA, failures + 1
                self._talk.retries += 1
        return stellaris.SUCCESS

    def _status_after(self, command: Callable[[], Exchange[None]], data: bytes = b"") -> int:
        """What became of a command that is given once; still that of an unknown command when it was not done."""
        self._attempt(stellaris.mark)
        self._filler = stellaris.filler_for(data)
        try:
            self._talk.run(command())
        except Refused:
            return stellaris.UNKNOWN_COMMAND
        except LineError:
            self._talk.repeat()
        return self._status()

    def _status(self) -> int:
        return self._attempt(stellaris.get_status)

    def _attempt(self, make: Callable[[], Exchange[Result]]) -> Result:
        """What no boot loader refuses for ever. Raises NoAnswer."""
        try:
            return self._talk.attempt(make)
        except Refused as refusal:
            raise self._talk.no_answer(f"{refusal} by what answers") from refusal

    def start(self) -> None:
        """Reset the chip, which starts its program. Raises NoAnswer."""
        for _ in range(ATTEMPTS):
            try:
                return self._talk.run(stellaris.reset())
            except (LineError, Refused):
                if not self._talk.repeat():  # it is gone: only the ACK was lost
                    return None
        raise self._talk.no_answer("the board does not start its program")
