"""The driver of STM32 ROM bootloaders.

Decides how the bootloader is reached (the control lines, where the board has them wired), at which rate the line runs,
what is read twice because nothing protects it, and what a refusal means. Refuses to know the bytes of AN3155
(protocols/an3155.py), and what is to be written.

The rate: the ROM takes the rate of the first byte after a reset. Where the board's control lines have been seen to work
it is reset again for a faster one, and for a slower one when too much has to be repeated; else the rate stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mcutool.devices import Board, ControlLines, Loader
from mcutool.errors import Error, NoAnswer, Protected, WriteFailed, WrongChip
from mcutool.flash.conversation import ATTEMPTS, Conversation
from mcutool.flash.link import Link, move_lines
from mcutool.flash.plan import SectorWork, Segment
from mcutool.flash.protocols import an3155
from mcutool.flash.protocols.exchange import Exchange, Garbled, LineError, NoReply, Refused

Result = TypeVar("Result")
log = logging.getLogger("mcutool")

ERASED_AT_ONCE = 64 << 10  # bytes: seconds between two signs of life
FASTER, SLOWER = (460_800, 230_400), (115_200, 57_600, 19_200)  # baud, in the order in which they are tried
SPARE, SLOWEST = 2.0, 4  # seconds, and so many times the typical time, until a list of sectors is erased
UNTOLD = 5.0  # seconds for a sector whose typical time is not known
ENTRY = 8  # bytes at the start of flash: the stack pointer and the first instruction's address
PROBES = 8  # exchanges without an error that show that a rate is not too fast


class An3155:
    """An STM32 ROM bootloader at the other end of a link: see mcutool.flash.engine.Bootloader."""

    reads = True

    def __init__(self, link: Link, board: Board, loader: Loader) -> None:
        self.link = link
        self.commands = an3155.Commands(0, frozenset())
        self._board, self._loader = board, loader
        sectors = board.chip.flash.sector_spans()
        self._erase_seconds = [SLOWEST * sector.erase_us / 1e6 if sector.erase_us else UNTOLD for sector in sectors]
        self._lines = board.control_lines or ControlLines()
        self._talk = Conversation(link, an3155.resynchronise, loader.enter or board.boot)
        self._entered = False
        self._refusing: set[int] = set()  # sectors that have refused to be written once
        self._is_wired = False  # a fresh ACK has shown that the control lines reset the chip

    @property
    def retries(self) -> int:
        return self._talk.retries

    # --- getting there --------------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether a bootloader is there now. Asks once, with a byte that a program takes for input."""
        self.link.set_parity(True)
        try:
            self._talk.run(an3155.synchronise())
        except LineError:
            return False
        finally:
            self.link.set_parity(False)
        return True

    def connect(self) -> None:
        """Get into step, find the best rate, learn the commands, check the chip. Raises NoAnswer, WrongChip."""
        self.link.set_parity(True)
        self._synchronise()
        self._raise_rate()
        try:
            self.commands = self._talk.agreed(an3155.get)
            found, wanted = self._talk.agreed(an3155.get_id), self._loader.product_id
        except Refused as refusal:
            raise self._talk.no_answer(f"{refusal} by what answers") from refusal
        if found != wanted:
            raise WrongChip(
                f"the board has product id {found:#05x}, {self._board.chip.name} has {wanted:#05x}",
                next_action="choose the right board with --board",
            )

    def _synchronise(self) -> bool:
        """A lost byte, a block that an earlier session left unfinished, a board that is not in its bootloader."""
        for cure in (_nothing, self._talk.repeat, self._enter, _nothing, self._talk.repeat):
            try:
                return self._talk.run(an3155.synchronise())
            except LineError:
                cure()
        raise self._talk.no_answer("no bootloader answers")

    def _enter(self) -> None:
        move_lines(self.link, self._lines.enter)
        self._entered = True

    def _raise_rate(self) -> None:
        """The fastest rate at which a freshly reset bootloader understands us, where resetting it is in our hands."""
        usual = self.link.baud
        if not self._may_change_rate:
            return
        if not self._restarts(usual):  # by none of these lines, so that a bootloader was there already is all we know
            self._synchronise()
        elif not any(self._restarts(rate) for rate in FASTER if rate > usual):
            self._restart(usual)

    def _lower_rate(self) -> None:
        """After too much noise. The chip stays as it is: whatever was under way is tried again."""
        slower = [rate for rate in SLOWER if rate < self.link.baud]
        if self._talk.is_noisy and slower and self._may_change_rate and self._is_wired:
            log.warning("much noise at %d baud: going on with %d", self.link.baud, slower[0])
            self._restart(slower[0])
            self._talk.forget_noise()

    @property
    def _may_change_rate(self) -> bool:
        return bool(self._lines.enter) and not self.link.baud_is_fixed

    def _restart(self, rate: int) -> None:
        """Go on at this rate. Raises NoAnswer."""
        if not self._restarts(rate):
            self._synchronise()

    def _restarts(self, rate: int) -> bool:
        """Whether the control lines reset the chip into its bootloader, and it then understands this rate."""
        self.link.set_baud(rate)
        self._enter()
        try:
            fresh = self._talk.run(an3155.synchronise())
            self._is_wired |= fresh
            for _ in range(PROBES if fresh else 0):
                self._talk.run(an3155.get())
            return fresh
        except (LineError, Refused):
            return False

    def _attempt(self, make: Callable[[], Exchange[Result]], attempts: int = ATTEMPTS) -> Result:
        self._lower_rate()
        return self._talk.attempt(make, attempts)

    # --- flash ----------------------------------------------------------------------------------------------

    def erase(self, sectors: Sequence[SectorWork], advance: Callable[[int], None]) -> None:
        """Raises Protected or WriteFailed."""
        for batch in _batches(sectors):
            try:
                self._erase([sector.number for sector in batch])
            except Refused as refusal:
                if len(batch) == 1:
                    where = f"sector {batch[0].number} at {batch[0].address:#010x}"
                    raise _refusal(refusal, f"erasing {where}") from refusal
                for sector in batch:  # which of them it is
                    self.erase([sector], lambda _count: None)
            advance(sum(sector.size for sector in batch))

    def _erase(self, numbers: list[int]) -> None:
        seconds = SPARE + sum(self._erase_seconds[number] for number in numbers)
        self._attempt(lambda: an3155.erase(numbers, self.commands, seconds))

    def write(self, sector: SectorWork, advance: Callable[[int], None]) -> None:
        """Program what erasing has not made right already. Raises Protected or WriteFailed.

        A chip may refuse to program over what noise has put there. So the first time that a sector refuses, the rest
        of it is left to whoever verifies, who erases it and writes it again.
        """
        left = len(sector.data)
        try:
            for address, block in self._from_the_end(sector):
                if block.strip(bytes((sector.erased,))):
                    self._write_block(address, block)
                advance(len(block))
                left -= len(block)
        except Refused as refusal:
            if sector.number in self._refusing:
                raise _refusal(refusal, f"writing sector {sector.number} at {sector.address:#010x}") from refusal
            self._refusing.add(sector.number)
            advance(left)

    def _from_the_end(self, sector: SectorWork) -> Iterator[Segment]:
        """The sector's blocks. What the core needs to start comes when all else is there: no half of a program runs."""
        *others, (address, first) = reversed(list(sector.blocks(an3155.BLOCK)))
        yield from others
        size = ENTRY if address == self._board.chip.flash.base else 0
        yield address + size, first[size:]
        yield address, first[:size]

    def _write_block(self, address: int, data: bytes) -> None:
        """What noise kept from being written is left to whoever verifies: it may have cleared bits that only erasing
        sets. Raises Refused when that is all that the chip said."""
        failures: list[Refused | NoAnswer] = []
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(lambda: an3155.write(address, data), attempts=1)
            except (Refused, NoAnswer) as failure:
                log.debug("writing %d bytes at %#010x: %s", len(data), address, failure)
                failures.append(failure)
            if self.holds(address, data):
                return None
        log.warning("%d bytes at %#010x cannot be written", len(data), address)
        if all(isinstance(failure, Refused) for failure in failures):
            raise failures[-1]
        return None

    def holds(self, address: int, data: bytes) -> bool:
        """Whether memory holds `data` (a multiple of 4 bytes): by the CRC command where the ROM has it."""
        if self.commands.has("checksum"):
            return self._sums(address, data)
        blocks = ((start, data[start : start + an3155.BLOCK]) for start in range(0, len(data), an3155.BLOCK))
        return all(self._reads(address + start, block) for start, block in blocks)

    def _sums(self, address: int, data: bytes) -> bool:
        wanted = an3155.crc32_of(data)
        try:
            return any(self._attempt(lambda: an3155.checksum(address, len(data))) == wanted for _ in range(2))
        except Refused as refusal:
            raise _refusal(refusal, f"the CRC of {len(data)} bytes at {address:#010x}") from refusal

    def _reads(self, address: int, wanted: bytes) -> bool:
        """Noise makes right data look wrong, hardly ever the reverse: any reading that matches counts."""
        seen: list[bytes] = []
        while len(seen) < ATTEMPTS:
            data = self.read(address, len(wanted))
            if data == wanted:
                return True
            if data in seen:
                return False
            seen.append(data)
        return False

    def read(self, address: int, length: int) -> bytes:
        """Up to 256 bytes, as they came over an unprotected line. Raises Protected when the chip is closed."""
        try:
            return self._attempt(lambda: an3155.read(address, length))
        except Refused as refusal:
            raise _refusal(refusal, f"reading {length} bytes at {address:#010x}") from refusal

    def unprotect(self) -> None:
        """Remove both protections; that of reading erases all flash. The chip resets, and is connected anew.

        Raises Protected, NoAnswer.
        """
        for name in ("readout unprotect", "write unprotect"):
            if self.commands.has(name):
                self._unprotect(name)
                self.connect()

    def _unprotect(self, name: str) -> None:
        try:
            self._talk.attempt(lambda: an3155.unprotect(name))
        except Refused as refusal:
            raise Protected(
                f"the chip keeps its protection: {refusal}",
                next_action="see in its manual whether this protection can be removed; else take another chip",
            ) from refusal
        except NoAnswer as silence:  # it may have reset, and only its ACK got lost: connecting shows that
            log.debug("%s: %s", name, silence.message)

    # --- leaving --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the program in flash. Raises NoAnswer when the board does not take the command."""
        if self._entered:
            move_lines(self.link, self._lines.leave)
        if not self._leaves(an3155.go(self._board.chip.flash.base)):
            raise self._talk.no_answer("the board does not start its program")
        self.link.set_parity(False)
        self.link.set_baud(self._board.chip.uart.default_baud)  # --baud was for the ROM

    def _leaves(self, exchange: Exchange[None]) -> bool:
        for _ in range(ATTEMPTS):
            try:
                self._talk.run(exchange)
                return True
            except Garbled as failure:
                if failure.stage == "address":  # it has jumped; what was unreadable is its ACK
                    return True
            except (NoReply, Refused):
                pass
            if not self._talk.repeat():  # the bootloader is gone: only the ACK was lost
                return True
            exchange = an3155.go(self._board.chip.flash.base)
        return False


def _nothing() -> None:
    """Just try again."""


def _batches(sectors: Sequence[SectorWork]) -> Iterator[list[SectorWork]]:
    """The sectors in groups of ERASED_AT_ONCE bytes, or a single larger one."""
    batch: list[SectorWork] = []
    for sector in sectors:
        if batch and sum(other.size for other in batch) + sector.size > ERASED_AT_ONCE:
            yield batch
            batch = []
        batch.append(sector)
    if batch:
        yield batch


def _refusal(failure: Exception | None, doing: str) -> Error:
    """A chip that refuses a command outright is protected; one that refuses its data could not do it."""
    if isinstance(failure, Refused) and failure.stage == "command":
        return Protected(
            f"{doing}: the chip refuses, it is readout-protected",
            next_action="remove the protection with --unprotect, which erases the chip",
        )
    return WriteFailed(
        f"{doing}: {failure}",
        next_action="the sector may be write-protected: remove the protection with --unprotect, which erases the chip",
    )
