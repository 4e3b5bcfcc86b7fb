"""Filling a chip's flash through whatever bootloader gives access to it by address.

Decides what is compared before it is written, in which order sectors are erased and written, what is verified and
repaired, and what happens when the line is lost in the middle. Refuses to know ports (a Link is given), protocols (a
driver speaks them) and what is written where (the plan says).

Noise policy, of which the drivers do the lower half: a request that fails is repeated after resynchronising; a block
whose fate is unknown is read back before it is written again; what has no checksum on the line counts only when it is
what was wanted, or twice the same; a sector that verifies badly is erased and written once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mcutool.devices import Board, Loader
from mcutool.errors import Disconnected, Unsupported, VerificationFailed
from mcutool.flash.link import Link
from mcutool.flash.plan import Order, Plan, SectorWork
from mcutool.progress import OnProgress, Progress, ignore

Result = TypeVar("Result")
log = logging.getLogger("mcutool")

Advance = Callable[[int], None]
"""Told how many bytes more are done."""

REPAIRS = 4
LOST_LINES = 5  # of one installation
RECONNECT = 10.0  # seconds in which a lost port may come back


class Bootloader(Protocol):
    """A bootloader that gives access to flash by address, at the other end of a link.

    `retries` counts what had to be repeated. `reads` says whether it can tell what flash holds: where it cannot, every
    sector is written, and `holds` means that each of its packets was acknowledged. Every method raises Disconnected
    when the line is gone, NoAnswer when the bootloader is.
    """

    retries: int
    reads: bool

    def connect(self) -> None:
        """Get into step and identify the chip; changes nothing. Raises WrongChip, Protected."""

    def holds(self, address: int, data: bytes) -> bool:
        """Whether memory holds `data`; false too where the bootloader cannot tell."""

    def erase(self, sectors: Sequence[SectorWork], advance: Advance) -> None:
        """Raises Protected, WriteFailed."""

    def write(self, sector: SectorWork, advance: Advance) -> None:
        """Program an erased sector. Raises Protected, WriteFailed."""

    def start(self) -> None:
        """Leave the bootloader and start the program."""


class FileTaker(Protocol):
    """What takes a file as a whole: an SMP server, a drive. Made from a Link or the folder of a drive."""

    def install(self, order: Order, full: bool, on_progress: OnProgress) -> Outcome:
        """Bring the order's file there and start it. Raises what Bootloader's methods do."""


Driver = Callable[[Link, Board, Loader], Bootloader]


@dataclass
class Outcome:
    """What was done: sectors and bytes that had to be written, requests that had to be repeated, lines that were lost.

    `verified` says how it is known that flash holds what it should.
    """

    sectors: int = 0
    bytes: int = 0
    unchanged: int = 0  # sectors
    retries: int = 0
    reconnects: int = 0
    verified: str = ""


def install(
    driver: Driver, link: Link, order: Order, *, full: bool = False, on_progress: OnProgress = ignore
) -> Outcome:
    """Bring the plan's sectors into flash and start the program. `full` writes also what is in flash already.

    A line that is lost is waited for: what has been written by then is found in place. Raises WriteFailed,
    VerificationFailed, Protected, WrongChip, NoAnswer, Disconnected.
    """
    outcome, plan = Outcome(), order.plan
    written: set[int] = set()

    def fill() -> None:
        bootloader = driver(link, order.board, order.loader)
        try:
            bootloader.connect()
            write_all = not bootloader.reads or (full and not written)
            left = plan if write_all else changes(bootloader, plan, on_progress)
            written.update(sector.number for sector in left.sectors)
            write(bootloader, left, on_progress)
            bootloader.start()
        finally:
            outcome.retries += bootloader.retries

    try:
        _, outcome.reconnects = despite_lost_lines(fill, link)
    except Disconnected as lost:
        again = order.loader.enter or order.board.boot
        lost.next_action = f"plug it in, enter the bootloader again ({again}) and repeat: what was written stays"
        raise
    outcome.sectors, outcome.unchanged = len(written), len(plan.sectors) - len(written)
    outcome.bytes = sum(len(sector.data) for sector in plan.sectors if sector.number in written)
    return outcome


def despite_lost_lines(work: Callable[[], Result], link: Link) -> tuple[Result, int]:
    """What `work` returns, and how often the line was lost and waited for, after which it is begun anew."""
    for lost in range(LOST_LINES + 1):
        try:
            return work(), lost
        except Disconnected as loss:
            if lost == LOST_LINES:
                raise
            log.warning("%s; waiting %.0f seconds for it to come back", loss.message, RECONNECT)
            link.reopen(RECONNECT)
    raise AssertionError("unreachable")


def unprotect(driver: Driver, link: Link, order: Order) -> None:
    """Remove the chip's protection, which erases it. Raises Unsupported where the bootloader cannot."""
    bootloader = driver(link, order.board, order.loader)
    if not hasattr(bootloader, "unprotect"):
        raise Unsupported(
            f"{order.loader.protocol} cannot remove a protection", next_action="use the vendor's tool or a debug probe"
        )
    bootloader.connect()
    bootloader.unprotect()


def changes(bootloader: Bootloader, plan: Plan, on_progress: OnProgress = ignore) -> Plan:
    """The plan less the sectors that hold what they should."""
    advance = _stage("compare", plan.size, on_progress)
    changed = []
    for sector in plan.sectors:
        if not bootloader.holds(sector.address, sector.data):
            changed.append(sector)
        advance(len(sector.data))
    return Plan(tuple(changed))


def write(bootloader: Bootloader, plan: Plan, on_progress: OnProgress = ignore) -> None:
    """Erase, write, verify; repair what verifies badly. Raises WriteFailed, VerificationFailed, Protected."""
    bootloader.erase(plan.erase_order, _stage("erase", sum(sector.size for sector in plan.sectors), on_progress))
    advance = _stage("write", plan.size, on_progress)
    for sector in plan.write_order:
        bootloader.write(sector, advance)
    advance = _stage("verify", plan.size, on_progress)
    for sector in plan.write_order:
        _verify(bootloader, sector)
        advance(len(sector.data))


def _stage(name: str, total: int, on_progress: OnProgress) -> Advance:
    """A function that is told how many bytes more are done and reports the sum."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        on_progress(Progress(name, done, total))

    advance(0)
    return advance


def _verify(bootloader: Bootloader, sector: SectorWork) -> None:
    for repair in range(REPAIRS + 1):
        if bootloader.holds(sector.address, sector.data):
            return
        if repair < REPAIRS:
            log.warning("sector %d does not hold what was written; writing it again", sector.number)
            bootloader.erase([sector], _silently)
            bootloader.write(sector, _silently)
    raise VerificationFailed(
        f"sector {sector.number} at {sector.address:#010x} does not hold what was written to it",
        next_action="try a lower baud rate or a shorter cable; if it stays, the flash is worn out",
    )


def _silently(_count: int) -> None:
    """For work that has been counted before."""
