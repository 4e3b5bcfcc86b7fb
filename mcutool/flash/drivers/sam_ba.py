"""The driver of SAM-BA monitors in front of a SAMD21's flash controller.

Decides which way data travels (`is_own_usb`), which command erases, how many rows are written at once, and what is
done about commands that have no checksum: what may have changed unasked is compared with what was there before, and
put right where its contents are known. Refuses to know the bytes of the commands (protocols/sam_ba.py), and what is to
be written. The reasons are in protocols/SAM_BA.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

from mcutool.devices import Board, Loader
from mcutool.errors import Disconnected, Protected, VerificationFailed, WriteFailed, WrongChip
from mcutool.flash.conversation import ATTEMPTS, Conversation
from mcutool.flash.link import Link, identity_of
from mcutool.flash.plan import SectorWork
from mcutool.flash.protocols import sam_ba
from mcutool.flash.protocols.exchange import LineError
from mcutool.flash.protocols.xmodem import BLOCK, Broken, checksum_of

log = logging.getLogger("mcutool")

Advance = Callable[[int], None]

CORE_ID = 0xE000ED00
CORES = {"cortex-m0plus": 0xC60, "cortex-m4f": 0xC24}  # the part number in it; chips of these have the next register
DEVICE_ID = 0x41002018
DIE_AND_REVISION = 0xFF00  # of the device id
RESET, RESET_KEY = 0xE000ED0C, 0x05FA0004

CONTROL, STATUS, ADDRESS = 0x00, 0x18, 0x1C  # of the flash controller
ERASE_ROW, WRITE_PAGE, LOCKED = 0xA502, 0xA504, 1 << 3

BUFFER = 4096  # bytes written, or read, by one command
MANY_ROWS = 8  # on a line that may lie one command that erases all is safer than so many pairs of them
REPAIRS = 6
ENOUGH = [blocks * BLOCK for blocks in (24, 16, 8, 4, 2) for _ in range(16)]
"""With how many bytes a transfer to RAM that broke off is content, at each attempt: where to go on costs an address."""
NOISY = 3  # repetitions after which what lies beside the plan is copied, so that it can be put back


def is_own_usb(link: Link, loader: Loader) -> bool:
    """Whether the port is the chip's own USB: data is sent as it is there, and by XMODEM everywhere else."""
    found = None if "://" in link.name else identity_of(link.name)
    return found is not None and found.usb in loader.usb


class SamBa:
    """A SAM-BA monitor at the other end of a link: see mcutool.flash.engine.Bootloader.

    `raw` is how data travels, by default as `is_own_usb` says.
    """

    reads = True

    def __init__(self, link: Link, board: Board, loader: Loader, raw: bool | None = None) -> None:
        self.raw = is_own_usb(link, loader) if raw is None else raw
        self.version = sam_ba.Version("", frozenset())
        self._board, self._loader, self._flash = board, loader, board.chip.flash
        self._talk = Conversation(link, lambda: sam_ba.resynchronise(self.raw), loader.enter or board.boot)
        self._may_lie = not (self.raw or link.lossless)
        self._buffer = board.chip.main_ram.base + board.chip.main_ram.size // 2
        self._first, self._end = self._flash.base + loader.offset, self._flash.base + self._flash.size
        self._planned: dict[int, SectorWork] = {}  # the rows that were to be erased, by address
        self._to_write: dict[int, SectorWork] = {}  # those of them that are blank so far
        self._beside: dict[tuple[int, int], list[int]] = {}  # CRCs of (address, length) that no plan touches
        self._confirmed: dict[int, bytes] = {}  # what was found in place, by address
        self._contents: dict[int, bytes] = {}  # of rows that no plan touches,
        self._saved = False  # once they have been read
        self._window = (0, b"")  # an address, and what was read there

    @property
    def retries(self) -> int:
        return self._talk.retries

    # --- getting there --------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Get into step, learn the commands, check the chip. Raises NoAnswer, WrongChip."""
        self._synchronise()
        self.version = self._talk.agreed(sam_ba.version)
        self._check(CORE_ID, 0xFFF0, CORES.get(self._board.chip.core.name, 0) << 4, "core id")
        self._check(DEVICE_ID, ~DIE_AND_REVISION, self._loader.product_id, "device id")
        if self._may_lie:
            self._note_what_lies_beside()

    def _check(self, register: int, mask: int, wanted: int, what: str) -> None:
        """Raises WrongChip unless the bits of `mask` in a register are those of `wanted`."""
        if not self._says(wanted & mask, lambda: self._register(register) & mask):
            raise WrongChip(
                f"the board has {what} {self._register(register):#010x}, {self._board.chip.name} has {wanted:#x}",
                next_action="choose the right board with --board",
            )

    def _synchronise(self) -> None:
        for _ in range(ATTEMPTS // 2):
            try:
                return self._talk.run(sam_ba.synchronise(self.raw))
            except LineError:
                self._talk.repeat()
        raise self._talk.no_answer("no SAM-BA monitor answers")

    def _register(self, address: int) -> int:
        return self._talk.attempt(lambda: sam_ba.read_number(address, 4))

    # --- looking --------------------------------------------------------------------------------------------

    def holds(self, address: int, data: bytes) -> bool:
        """Whether memory holds `data`: by its CRC, or read back where there is none or the line has proved to lie."""
        held = self._holds(address, data)
        if held:
            self._confirmed[address] = data
        return held

    def _holds(self, address: int, data: bytes) -> bool:
        if "Z" in self.version.capabilities and not (self._may_lie and self.retries):
            parts = (data, data[: len(data) // 2])  # one in 65,536 wrong rows has the right CRC, hardly any has both
            return all(self._says(checksum_of(part), partial(self._checksum, address, len(part))) for part in parts)
        blocks = ((place, data[place - address :][:length]) for place, length in _pieces(address, len(data)))
        return all(self._says(block, partial(self._look, place, len(block))) for place, block in blocks)

    def _look(self, address: int, length: int) -> bytes:
        """What is there: read together with what lies around it, so that few commands are needed for many rows."""
        start, contents = self._window
        if not start <= address <= address + length <= start + len(contents):
            start = address - address % BUFFER
            contents = self._read(start, BUFFER)
            self._window = (start, contents)
        return contents[address - start :][:length]

    def _says(self, wanted: object, ask: Callable[[], object]) -> bool:
        """Noise makes right answers look wrong, hardly ever the reverse: one that is as wanted counts."""
        seen: list[object] = []
        while len(seen) < ATTEMPTS:
            answer = ask()
            if answer == wanted or answer in seen:
                return answer == wanted
            seen.append(answer)
            self._forget()
        return False

    def _forget(self) -> None:
        """What was read is of no use any more: it was doubtful, or flash changes now."""
        self._window = (0, b"")

    def _checksum(self, address: int, length: int) -> int:
        return self._talk.attempt(lambda: sam_ba.checksum(address, length))

    def _read(self, address: int, length: int) -> bytes:
        return self._talk.attempt(lambda: sam_ba.read(address, length, self.raw))

    def _is_blank(self, address: int, size: int) -> bool:
        return self._holds(address, self._blank(size))

    def _blank(self, size: int) -> bytes:
        return bytes((self._flash.erased,)) * size

    # --- erasing --------------------------------------------------------------------------------------------

    def erase(self, sectors: Sequence[SectorWork], advance: Advance) -> None:
        """Erase what is not blank. Raises Protected, WriteFailed."""
        if below := [sector for sector in sectors if sector.address < self._first]:
            raise Protected(
                f"{below[0].address:#010x} belongs to the bootloader, which does not write itself",
                next_action=f"link the program for {self._first:#010x}",
            )
        if not sectors:
            return
        self._plan(sectors)
        self._to_write |= {sector.address: sector for sector in sectors}
        self._forget()
        if self._all_may_go(sectors):
            self._talk.attempt(lambda: sam_ba.erase_from(sectors[0].address))
        self._erase_rows(sectors, advance)

    def _plan(self, sectors: Sequence[SectorWork]) -> None:
        """Remember what is not to change from now on: all that no plan has named so far."""
        self._planned |= {sector.address: sector for sector in sectors}
        if list(self._spans_beside()) != list(self._beside):
            self._restore_what_lies_beside()
            self._note_what_lies_beside()

    def _note_what_lies_beside(self) -> None:
        """Before anything is compared all flash does: already then a command may become one that erases."""
        self._beside = {span: self._sure_checksums(*span) for span in self._spans_beside()}

    def _known(self) -> dict[int, SectorWork]:
        """What is to hold what we know, by address."""
        found = {address: SectorWork(0, address, len(data), data) for address, data in self._confirmed.items()}
        return found | self._planned

    def _spans_beside(self) -> Iterator[tuple[int, int]]:
        if "Z" not in self.version.capabilities:
            return  # without it this would take longer than the rest
        place = self._first
        for run in _runs(self._known().values()):
            if run[0].address > place:
                yield place, run[0].address - place
            place = run[-1].address + run[-1].size
        if place < self._end:
            yield place, self._end - place

    def _sure_checksum(self, address: int, length: int) -> int:
        """The CRC of erased cells, or an answer that came twice."""
        first, erased = self._checksum(address, length), checksum_of(self._blank(length))
        return first if first == erased else self._talk.agreed(lambda: sam_ba.checksum(address, length))

    def _sure_checksums(self, *span: int) -> list[int]:
        return [self._sure_checksum(*part) for part in self._parts(*span)]

    def _checksums(self, *span: int) -> list[int]:
        return [self._checksum(*part) for part in self._parts(*span)]

    def _checksums_of(self, address: int, contents: bytes) -> list[int]:
        parts = self._parts(address, len(contents))
        return [checksum_of(contents[place - address :][:length]) for place, length in parts]

    def _is_blank_by(self, checksums: list[int], address: int, length: int) -> bool:
        return checksums == self._checksums_of(address, self._blank(length))

    def _parts(self, address: int, length: int) -> Iterator[tuple[int, int]]:
        """Cut so that few flipped bits lead beyond the end of flash, where nothing is: none makes an F greater."""
        places = [address, address + length]
        if places[1] == self._end:
            cuts = (self._end // parts - 1 for parts in (8, 4, 2))
            places[1:1] = [next((cut for cut in cuts if cut > address), address), self._end - 2]
        return ((start, end - start) for start, end in pairwise(places) if start < end)

    def _all_may_go(self, sectors: Sequence[SectorWork]) -> bool:
        """Whether the command that erases up to the end of flash destroys nothing, and is worth its time."""
        if not {"X", "Z"} <= self.version.capabilities or len(sectors) != len(self._known()):
            return False
        if not all(self._is_blank_by(checksums, *span) for span, checksums in self._beside.items()):
            return False
        rows = (self._end - sectors[0].address) // sectors[0].size
        worth_it = 2 * len(sectors) > rows or (self._may_lie and len(sectors) > MANY_ROWS)
        return worth_it and any(not self._is_blank(*_extent(run)) for run in _runs(sectors))

    def _erase_rows(self, sectors: Iterable[SectorWork], advance: Advance = lambda _count: None) -> None:
        dirty: list[SectorWork] = []
        for run in _runs(sectors):
            if self._is_blank(*_extent(run)):
                advance(_extent(run)[1])
            else:
                dirty += run
        for _ in range(REPAIRS):
            for row in dirty:
                self._save_what_lies_beside()
                self._erase_row(row.address)
                advance(row.size)
            dirty, advance = [row for run in _runs(dirty) for row in self._dirty(run)], lambda _count: None
            if not dirty:
                return
        raise self._not_erased(dirty[0])

    def _dirty(self, run: list[SectorWork]) -> list[SectorWork]:
        """The rows that are not blank; most are, so that halves are asked for."""
        if self._is_blank(*_extent(run)):
            return []
        half = len(run) // 2
        return run if not half else self._dirty(run[:half]) + self._dirty(run[half:])

    def _erase_row(self, address: int) -> None:
        """A write to flash addresses the controller too, in a shorter command: so fewer go astray and stop the chip."""
        if self._saved:
            self._talk.run(sam_ba.write_number(address, 0xFFFFFFFF, 4))
        else:
            self._address_controller(address)
        self._write_register(CONTROL, ERASE_ROW, 2 * self._flash.sectors[0].erase_us / 1e6)
        self._forget()

    def _address_controller(self, address: int) -> None:
        """What the next command of the flash controller is for, in half-words; read back, for it decides what goes."""
        wanted = (address - self._flash.base) // 2
        for _ in range(ATTEMPTS):
            self._write_register(ADDRESS, wanted)
            try:
                if self._talk.run(sam_ba.read_again(4)) == wanted:
                    return
            except LineError:
                self._talk.repeat()
        raise self._talk.no_answer("the flash controller does not take an address")

    def _write_register(self, offset: int, value: int, seconds: float = sam_ba.SETTLED) -> None:
        self._talk.run(sam_ba.write_number(self._flash.registers + offset, value, 4, seconds))

    def _not_erased(self, row: SectorWork) -> Protected | WriteFailed:
        where = f"the row at {row.address:#010x}"
        if self._register(self._flash.registers + STATUS) & LOCKED:
            return Protected(f"{where} is locked", next_action="unlock the region with the vendor's tool")
        return WriteFailed(
            f"{where} is not blank after it was erased", next_action="repeat; if it stays, it is worn out"
        )

    # --- writing --------------------------------------------------------------------------------------------

    def write(self, sector: SectorWork, advance: Advance) -> None:
        """Program an erased row, and with it those below it that are to be written too. Raises WriteFailed."""
        if sector.address in self._to_write:
            run = self._run_up_to(sector)
            self._save_what_lies_beside()
            self._program(run[0].address, _joined(run))
            for row in run:
                del self._to_write[row.address]
        advance(len(sector.data))

    def _run_up_to(self, sector: SectorWork) -> list[SectorWork]:
        """Neighbours that fit into the buffer, without the first row: the program starts from it, so it comes last."""
        run, first = [sector], min(self._planned)
        while (len(run) + 1) * sector.size <= BUFFER and run[0].address > first:
            below = self._to_write.get(run[0].address - sector.size)
            if below is None or below.address == first:
                break
            run.insert(0, below)
        return run

    def _program(self, address: int, data: bytes) -> None:
        """Bring `data` into erased rows. Raises WriteFailed."""
        if data == self._blank(len(data)):
            return
        if "Y" not in self.version.capabilities:
            return self._insist(self._write_pages, address, data)
        data += self._blank(-len(data) % self._flash.sectors[0].size)
        self._forget()
        while data:
            count = self._fill_buffer(data)
            self._insist(self._copy, address, data[:count])
            address, data = address + count, data[count:]

    def _insist(self, write: Callable[[int, bytes], None], address: int, data: bytes) -> None:
        for _ in range(REPAIRS):
            try:
                return write(address, data)
            except LineError as failure:
                log.debug("writing %d bytes at %#010x: %s", len(data), address, failure)
            self._talk.repeat()
            if self._holds(address, data):
                return
            self._erase_rows(self._rows(address, data))
        raise WriteFailed(f"{len(data)} bytes at {address:#010x} cannot be written", next_action="repeat")

    def _rows(self, address: int, data: bytes) -> list[SectorWork]:
        size = self._flash.sectors[0].size
        numbers = range(0, len(data), size)
        return [SectorWork(0, address + start, size, data[start : start + size]) for start in numbers]

    def _copy(self, address: int, data: bytes) -> None:
        """From the buffer in RAM."""
        self._talk.run(sam_ba.copy(address, len(data)))
        self._forget()

    def _fill_buffer(self, data: bytes) -> int:
        """Bring the beginning of `data` into the buffer in RAM; returns how much, in rows.

        Its first piece comes last, so that the monitor knows from it where the buffer is.
        """
        count = 0
        for start, piece in reversed(list(self._harmless_pieces(data))):
            arrived = self._transfer(self._buffer + start, piece)
            count = arrived + (count if arrived == len(piece) else 0)
        self._talk.attempt(sam_ba.choose_buffer)
        return count - count % self._flash.sectors[0].size

    def _harmless_pieces(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """With where each begins."""
        start = 0
        while start < len(data):
            piece = data[start:] if self.raw else sam_ba.harmless(data[start:])
            yield start, piece
            start += len(piece)

    def _transfer(self, address: int, piece: bytes) -> int:
        """Bring `piece` into RAM; returns how much of it has arrived: all, or enough of its beginning.

        A transfer that the monitor has cancelled is begun again without its address, a digit of which may become one
        where nothing is: that stops the chip, while blocks sent twice take time alone.
        """
        again, silences = False, 0
        for enough in ENOUGH:
            try:
                self._talk.run(sam_ba.write(None if again else address, piece, self.raw))
                return len(piece)
            except Broken as broken:
                again, silences = broken.cancelled, 0
                if again:
                    self._talk.retries += 1
                else:
                    self._talk.repeat()
                if broken.done == len(piece) or (again and broken.done >= enough):
                    return broken.done
            except LineError:
                self._talk.repeat()
                silences += 1
                if silences > ATTEMPTS:
                    break
        raise self._talk.no_answer("the board stopped answering")

    def _write_pages(self, address: int, data: bytes) -> None:
        """Word by word into the flash controller's buffer of one page, where the monitor cannot copy."""
        page = self._flash.write_unit
        for start in range(0, len(data), page):
            for place in range(start, start + page, 4):
                word = int.from_bytes(data[place : place + 4], "little")
                self._talk.run(sam_ba.write_number(address + place, word, 4))
            self._address_controller(address + start)
            self._write_register(CONTROL, WRITE_PAGE, 2 * self._flash.program_us / 1e6)
        self._forget()

    # --- what lies beside the plan --------------------------------------------------------------------------------

    def _save_what_lies_beside(self) -> None:
        """Once the line has proved to lie, read what an erase that goes astray would destroy."""
        if not self._may_lie or self._talk.retries < NOISY or self._saved:
            return
        self._saved = bool(self._beside)
        for (address, length), checksums in self._beside.items():
            if self._is_blank_by(checksums, address, length):
                contents = self._blank(length)
            else:
                contents = b"".join(self._read(a, n) for a, n in _pieces(address, length))
            if self._checksums_of(address, contents) == checksums:
                row = self._row_of(address)
                contents = self._confirmed.get(row, b"")[: address - row] + contents
                self._contents |= {row.address: row.data for row in self._rows(row, contents)}

    def _row_of(self, address: int) -> int:
        return address - address % self._flash.sectors[0].size

    def _restore_what_lies_beside(self) -> bool:
        """Whether all is there that was there before. Raises VerificationFailed when it is lost."""
        for (address, length), checksums in self._beside.items():
            if self._says(checksums, partial(self._checksums, address, length)):
                continue
            log.warning("%d bytes at %#010x changed unasked; putting them right", length, address)
            places = range(self._row_of(address), address + length, self._flash.sectors[0].size)
            self._put_right([(place, self._contents[place]) for place in places if place in self._contents])
            if not self._says(checksums, partial(self._checksums, address, length)):
                raise VerificationFailed(
                    f"noise on the line has changed what was not to be touched, in {length} bytes at {address:#010x}",
                    next_action="repeat, and install again what else was there",
                )
            return False
        return True

    def _put_right(self, rows: Iterable[tuple[int, bytes]]) -> bool:
        """Erase and write those rows that do not hold what they should; whether there were none."""
        wrong = [(address, data) for address, data in rows if not self._holds(address, data)]
        for address, data in wrong:
            self._erase_rows(self._rows(address, data))
            self._program(address, data)
        return not wrong

    def _take_stock(self) -> None:
        """A last look at all that a command may have changed unasked, since the engine looked at its row."""
        for _ in range(REPAIRS):
            runs = [run for run in _runs(self._known().values()) if not self._holds(run[0].address, _joined(run))]
            rows = [(row.address, row.data) for run in runs for row in run]
            if self._put_right(rows) and self._restore_what_lies_beside():
                return
        raise VerificationFailed("flash changes while it is looked at", next_action="try a shorter cable")

    # --- leaving --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Reset the chip, which starts its program. Raises VerificationFailed, NoAnswer."""
        self._forget()
        if self._may_lie:
            self._take_stock()
        reset = sam_ba.restart if "K" in self.version.capabilities else _reset
        try:
            for _ in range(ATTEMPTS):
                self._talk.run(reset())
                if not any(self._answers() for _ in range(2)):
                    return
        except Disconnected:  # its USB port goes away with it
            return
        raise self._talk.no_answer("the board does not start its program")

    def _answers(self) -> bool:
        try:
            self._talk.run(sam_ba.binary(sam_ba.AWAKE))
        except LineError:
            return False
        return True


def _reset() -> sam_ba.Exchange[None]:
    return sam_ba.write_number(RESET, RESET_KEY, 4)


def _runs(sectors: Iterable[SectorWork]) -> Iterator[list[SectorWork]]:
    """Neighbouring sectors, in ascending order."""
    run: list[SectorWork] = []
    for sector in sorted(sectors, key=lambda sector: sector.address):
        if run and run[-1].address + run[-1].size != sector.address:
            yield run
            run = []
        run.append(sector)
    if run:
        yield run


def _extent(run: list[SectorWork]) -> tuple[int, int]:
    return run[0].address, sum(sector.size for sector in run)


def _joined(run: list[SectorWork]) -> bytes:
    """What the sectors hold when all is done."""
    return b"".join(row.data.ljust(row.size, bytes((row.erased,))) for row in run)


def _pieces(address: int, length: int) -> Iterator[tuple[int, int]]:
    """(Address, length) of the parts that one read brings."""
    end = address + length
    while address < end:
        following = min(address - address % BUFFER + BUFFER, end)
        yield address, following - address
        address = following
