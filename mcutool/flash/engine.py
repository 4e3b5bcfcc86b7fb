"""Getting bytes into a board over a line that may lie.

Decides what is tried again and how often, how both sides come back into step, what is verified, and which error a
user sees in the end. Refuses to know ports (a Link is given), bytes on the line (the codecs do) and what is written
where (the plan says).

Noise policy: a request that fails is repeated after resynchronising; a block whose fate is unknown is read back
before it is written again; what READ returns counts only when it is what was wanted, or twice the same; a sector
that verifies badly is erased and written once more.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from mcutool.devices import Chip
from mcutool.errors import (
    DoesNotFit,
    Error,
    ImageRefused,
    NoAnswer,
    Protected,
    VerificationFailed,
    WriteFailed,
    WrongChip,
)
from mcutool.flash.link import Link
from mcutool.flash.plan import Plan, SectorWork
from mcutool.flash.protocols import an3155, smp
from mcutool.flash.protocols.exchange import Exchange, Garbled, LineError, NoReply, Refused
from mcutool.progress import OnProgress, Progress, ignore

Result = TypeVar("Result")
log = logging.getLogger("mcutool")


# --- STM32 ROM bootloader ---------------------------------------------------------------------------------------

ATTEMPTS = 8
RESET_PULSE = 0.1  # seconds
REPAIRS = 4
READ_LIMIT = an3155.BLOCK


class RomBootloader:
    """An STM32 ROM bootloader at the other end of a link (AN3155). `retries` counts what had to be repeated.

    `boot_hint` is what to do when nothing answers: how this board enters its bootloader.
    """

    def __init__(self, link: Link, *, boot_hint: str = "", on_progress: OnProgress = ignore) -> None:
        self.link = link
        self.retries = 0
        self.commands = an3155.Commands(0, frozenset())
        self._boot_hint = boot_hint or "set BOOT0 high and press reset"
        self._progress = on_progress
        self._received = b""
        self._by_control_lines = False

    # --- one exchange ---------------------------------------------------------------------------------------

    def _run(self, exchange: Exchange[Result]) -> Result:
        """One exchange, once. What came unasked before it is dropped."""
        self._received = b""
        self.link.read(0)
        try:
            step = next(exchange)
            while True:
                if step.send:
                    self.link.write(step.send)
                reply = self._read_exactly(step.count, step.seconds)
                step = exchange.send(reply) if len(reply) == step.count else exchange.throw(NoReply("no reply"))
        except StopIteration as done:
            return done.value

    def _read_exactly(self, count: int, patience: float) -> bytes:
        """`count` bytes, or fewer when the line is silent for `patience` seconds."""
        while len(self._received) < count:
            data = self.link.read(patience)
            if not data:
                break
            self._received += data
        reply, self._received = self._received[:count], self._received[count:]
        return reply

    def _attempt(self, make: Callable[[], Exchange[Result]], attempts: int = ATTEMPTS) -> Result:
        """An exchange, repeated until it succeeds. Raises the last Refused, or NoAnswer."""
        refused: Refused | None = None
        for _ in range(attempts):
            try:
                return self._run(make())
            except Refused as refusal:  # a byte may have been flipped on the way there
                refused = refusal
            except LineError as failure:
                log.debug("%s: %s", self.link.name, failure)
            self._repeat()
        raise refused or self._no_answer("the board stopped answering")

    def _repeat(self) -> bool:
        """Get into step for another attempt; false when nothing answers."""
        self.retries += 1
        try:
            self._run(an3155.resynchronise())
        except LineError as failure:
            log.debug("%s: %s", self.link.name, failure)
            return False
        return True

    def _no_answer(self, what: str) -> NoAnswer:
        return NoAnswer(f"{what} on {self.link.name}", next_action=f"to enter the bootloader: {self._boot_hint}")

    def _agreed(self, make: Callable[[], Exchange[Result]]) -> Result:
        """An answer that came twice: nothing protects it on the line."""
        last = self._attempt(make)
        for _ in range(ATTEMPTS):
            previous, last = last, self._attempt(make)
            if previous == last:
                return last
        raise self._no_answer("no two answers agree")

    # --- commands -------------------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether a bootloader is there now. Asks once, with a byte that a program takes for input."""
        try:
            self._run(an3155.synchronise())
        except LineError:
            return False
        return True

    def identify(self) -> int:
        """Get into step and return the product id. Raises NoAnswer."""
        self._synchronise()
        self.commands = self._agreed(an3155.get)
        return self._agreed(an3155.get_id)

    def _synchronise(self) -> None:
        """A lost byte, a block that an earlier session left unfinished, a board that is not in its bootloader."""
        for cure in (self._nothing, self._repeat, self._enter_by_control_lines, self._nothing, self._repeat):
            try:
                return self._run(an3155.synchronise())
            except LineError as failure:
                log.debug("%s: %s", self.link.name, failure)
                cure()
        raise self._no_answer("no bootloader answers")

    def _nothing(self) -> bool:
        """Just try again."""
        return True

    def _enter_by_control_lines(self) -> bool:
        """Where the adapter's outputs are wired: RTS released lets BOOT0 go high, a pulse on DTR resets."""
        self._by_control_lines = True
        self.link.set_rts(False)
        self.link.set_dtr(True)
        self.link.read(RESET_PULSE)
        self.link.set_dtr(False)
        self.link.read(RESET_PULSE)
        return True

    def erase(self, sector: SectorWork) -> None:
        """Erase one sector. Raises Protected or WriteFailed."""
        try:
            self._attempt(lambda: an3155.erase([sector.number], self.commands))
        except Refused as refusal:
            raise _refusal(refusal, f"erasing sector {sector.number} at {sector.address:#010x}") from refusal

    def write(self, address: int, data: bytes) -> None:
        """Program one block. Raises Protected or WriteFailed."""
        last: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(lambda: an3155.write(address, data), attempts=1)
            except (Refused, NoAnswer) as failure:
                last = failure
            if self.holds(address, data):
                return None
        raise _refusal(last, f"writing {len(data)} bytes at {address:#010x}") from last

    def holds(self, address: int, data: bytes) -> bool:
        """Whether memory holds `data` (a multiple of 4 bytes)."""
        if self.commands.has("checksum"):
            wanted = an3155.crc32_of(data)
            return any(self._attempt(lambda: an3155.checksum(address, len(data))) == wanted for _ in range(2))
        blocks = ((start, data[start : start + READ_LIMIT]) for start in range(0, len(data), READ_LIMIT))
        return all(self._reads(address + start, block) for start, block in blocks)

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

    def go(self, address: int) -> None:
        """Start the program at `address`. Raises NoAnswer when the board does not take the command."""
        if self._by_control_lines:
            self.link.set_rts(True)  # BOOT0 low again
        for _ in range(ATTEMPTS):
            try:
                return self._run(an3155.go(address))
            except Garbled as failure:
                if failure.stage == "address":  # it has jumped; what was unreadable is its ACK
                    return None
            except (NoReply, Refused) as failure:
                log.debug("go: %s", failure)
            if not self._repeat():  # the bootloader is gone: only the ACK was lost
                return None
        raise self._no_answer("the board does not start its program")

    # --- a whole plan ---------------------------------------------------------------------------------------

    def changes(self, plan: Plan) -> Plan:
        """The plan less the sectors that hold what they should."""
        advance = self._stage("compare", plan.size)
        unchanged = []
        for sector in plan.sectors:
            if self.holds(sector.address, sector.data):
                unchanged.append(sector)
            advance(len(sector.data))
        return plan.without(unchanged)

    def install(self, plan: Plan) -> None:
        """Erase, write, verify; repair what verifies badly. Raises WriteFailed, VerificationFailed, Protected."""
        advance = self._stage("erase", sum(sector.size for sector in plan.sectors))
        for sector in plan.erase_order:
            self.erase(sector)
            advance(sector.size)
        advance = self._stage("write", plan.size)
        for sector in plan.write_order:
            self._write_sector(sector, advance)
        advance = self._stage("verify", plan.size)
        for sector in plan.write_order:
            self._verify_sector(sector)
            advance(len(sector.data))

    def _stage(self, name: str, total: int) -> Callable[[int], None]:
        """A function that is told how many bytes more are done and reports the sum."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._progress(Progress(name, done, total))

        advance(0)
        return advance

    def _write_sector(self, sector: SectorWork, advance: Callable[[int], None]) -> None:
        for address, block in sector.blocks(an3155.BLOCK):
            if block.strip(bytes((sector.erased,))):  # erasing has made the others right
                self.write(address, block)
            advance(len(block))

    def _verify_sector(self, sector: SectorWork) -> None:
        for _ in range(REPAIRS):
            if self.holds(sector.address, sector.data):
                return
            log.warning("sector %d does not hold what was written; writing it again", sector.number)
            self.erase(sector)
            self._write_sector(sector, lambda _count: None)
        raise VerificationFailed(
            f"sector {sector.number} at {sector.address:#010x} does not hold what was written to it",
            next_action="try a lower baud rate or a shorter cable; if it stays, the flash is worn out",
        )


def _refusal(failure: Exception | None, doing: str) -> Error:
    """A chip that refuses a command outright is protected; one that refuses its data could not do it."""
    if isinstance(failure, Refused) and failure.stage == "command":
        return Protected(
            f"{doing}: the chip refuses, it is readout-protected",
            next_action="remove the protection with the vendor's tool (this erases the chip)",
        )
    return WriteFailed(
        f"{doing}: {failure}",
        next_action="the sector may be write-protected: remove the protection with the vendor's tool",
    )


def check_chip(found: int, chip: Chip) -> None:
    """Raises WrongChip when the product id is not that of `chip`."""
    if chip.bootrom is not None and found != chip.bootrom.product_id:
        raise WrongChip(
            f"the board has product id {found:#05x}, {chip.name} has {chip.bootrom.product_id:#05x}",
            next_action="choose the right board with --board",
        )


def install_runtime(
    link: Link, chip: Chip, plan: Plan, *, boot_hint: str = "", full: bool = False, on_progress: OnProgress = ignore
) -> RomBootloader:
    """Install a plan through the chip's ROM bootloader and start it. `full` rewrites what is in flash already.

    Returns the bootloader, whose `retries` tell how bad the line was.
    """
    bootloader = RomBootloader(link, boot_hint=boot_hint, on_progress=on_progress)
    check_chip(bootloader.identify(), chip)
    bootloader.install(plan if full else bootloader.changes(plan))
    bootloader.go(chip.flash.base)
    return bootloader


# --- SMP --------------------------------------------------------------------------------------------------------

SMALLEST_BUFFER = 256  # what every server takes before it has told its size
REPLY = 1.5  # seconds for a request that does no flash work
ERASING = 5.0  # the first chunk of an upload waits for the whole slot to be erased
ERASE_ATTEMPTS = 8
SMALLEST_MESSAGE = 128
UPLOAD_ATTEMPTS = 10  # for one chunk
REMINDER = 2.0  # seconds without a reply after which a call is asked for again
KEPT_REPLIES = 16  # of those that nobody waits for, such as the second reply to a request that was sent twice


class SmpClient:
    """Requests to a runtime that answers SMP on its console; `on_text` gets what its program prints meanwhile."""

    def __init__(
        self, link: Link, *, on_text: Callable[[bytes], None] = lambda text: None, on_progress: OnProgress = ignore
    ) -> None:
        self.link = link
        self.retries = 0
        self._on_text = on_text
        self._progress = on_progress
        self._lines = smp.Demultiplexer()
        self._replies: deque[smp.Message] = deque(maxlen=KEPT_REPLIES)
        self._sequence = 0
        self._transmitted: dict[int, float] = {}  # when the request of a sequence number was last sent

    @property
    def sent(self) -> int:
        """How many requests were made; repetitions are not counted."""
        return self._sequence

    @property
    def has_reply(self) -> bool:
        """Whether a reply has come that nobody has taken yet."""
        return bool(self._replies)

    def state(self) -> object:
        """Where the conversation stands, to be put back with `restore` when an emulated board is put back too."""
        return self._sequence, copy.copy(self._lines), copy.copy(self._replies)

    def restore(self, state: Any) -> None:
        self._sequence, lines, replies = state
        self._lines, self._replies = copy.copy(lines), copy.copy(replies)

    # --- one request ----------------------------------------------------------------------------------------

    def receive(self, timeout: float) -> None:
        """Take in what the line brings within `timeout` seconds: text goes to `on_text`, replies are kept."""
        for part in self._lines.feed(self.link.read(timeout)):
            if isinstance(part, bytes):
                self._on_text(part)
            else:
                self._replies.append(part)

    def request(
        self, operation: int, group: int, command: int, payload: dict, timeout: float = REPLY, attempts: int = ATTEMPTS
    ) -> dict:
        """The reply's payload. The same request, with the same sequence number, is sent again when none comes.

        Raises NoAnswer after the last attempt, ImageRefused when the board answers with an error.
        """
        message = self._message(operation, group, command, payload)
        for attempt in range(attempts):
            self.retries += attempt > 0
            self._transmit(message)
            reply = self._reply_to(message, timeout)
            if reply is not None:
                return _checked(reply)
        raise NoAnswer(
            f"the board on {self.link.name} does not answer SMP requests",
            next_action="install the runtime first (mcutool flash --runtime), press the board's reset, or check --baud",
        )

    def send(self, operation: int, group: int, command: int, **payload: object) -> smp.Message:
        """Send a request whose reply may take any time: `receive`, and `take` it when it is there."""
        message = self._message(operation, group, command, payload)
        self._transmit(message)
        return message

    def remind(self, request: smp.Message) -> None:
        """Send it again when it has gone unanswered for long and may be lost. The board never performs a call twice."""
        if not self.link.lossless and self.link.now() - self._transmitted[request.sequence] >= REMINDER:
            self.retries += 1
            self._transmit(request)

    def take(self, request: smp.Message) -> dict | None:
        """The payload of the reply to `request` if it has come. Raises ImageRefused when the board answers an error."""
        reply = self._found(request)
        return None if reply is None else _checked(reply)

    def _message(self, operation: int, group: int, command: int, payload: dict) -> smp.Message:
        self._sequence += 1
        return smp.Message(operation, group, command, payload, self._sequence - 1 & 0xFF)

    def _transmit(self, message: smp.Message) -> None:
        self._transmitted[message.sequence] = self.link.now()
        self.link.write(smp.encode_lines(smp.encode_message(message)))

    def _found(self, request: smp.Message) -> smp.Message | None:
        """The reply among those that have come; the others stay, since they answer somebody else."""
        for reply in self._replies:
            if reply.answers(request):
                self._replies.remove(reply)
                return reply
        return None

    def _reply_to(self, request: smp.Message, timeout: float) -> smp.Message | None:
        """The reply, or None when there was none in `timeout` seconds."""
        deadline = self.link.now() + timeout
        while True:
            reply, left = self._found(request), deadline - self.link.now()
            if reply is not None or left <= 0:
                return reply
            self.receive(left)

    # --- commands -------------------------------------------------------------------------------------------

    def read(self, group: int, command: int, **payload: object) -> dict:
        return self.request(smp.READ, group, command, payload)

    def write(self, group: int, command: int, **payload: object) -> dict:
        return self.request(smp.WRITE, group, command, payload)

    def echo(self, text: str) -> str:
        """The text, after its way to the board and back."""
        return self.write(smp.OS, smp.OS_ECHO, d=text).get("r", "")

    def reset(self) -> None:
        """Restart the board."""
        self.write(smp.OS, smp.OS_RESET)

    def images(self) -> list[dict]:
        """What is in the slots, as MCUmgr's image list tells it."""
        return self.read(smp.IMAGE, smp.IMAGE_STATE).get("images", [])

    def erase(self) -> None:
        """Erase the module slot."""
        self.request(smp.WRITE, smp.IMAGE, smp.IMAGE_ERASE, {}, timeout=ERASING, attempts=ERASE_ATTEMPTS)

    def buffer_size(self) -> int:
        """The longest message that the board takes, framing included."""
        try:
            return self.read(smp.OS, smp.OS_PARAMETERS).get("buf_size", SMALLEST_BUFFER)
        except ImageRefused:  # a server without this command
            return SMALLEST_BUFFER

    def upload(self, image: bytes) -> None:
        """Write an image to the module slot. Raises ImageRefused, WriteFailed, VerificationFailed, NoAnswer.

        A message that gets no reply is followed by one of half its size, a reply by one of twice: on a bad line
        short messages are the ones that arrive.
        """
        largest = size = self.buffer_size()
        offset, failures = 0, 0
        reply: dict = {}
        self._progress(Progress("upload", 0, len(image)))  # the first chunk waits until the slot is erased
        while offset < len(image):
            if failures > UPLOAD_ATTEMPTS:
                raise WriteFailed(f"the upload does not get beyond byte {offset}", next_action="reset the board")
            try:
                reply = self._upload_chunk(smp.upload_chunk(image, offset, size))
            except NoAnswer:
                if failures == UPLOAD_ATTEMPTS:
                    raise
                size, failures = max(size // 2, SMALLEST_MESSAGE), failures + 1
                self.retries += 1
                continue
            size, failures = min(size * 2, largest), 0 if reply.get("off", 0) > offset else failures + 1
            offset = reply.get("off", offset)
            self._progress(Progress("upload", offset, len(image)))
        if reply.get("match") is False:
            raise VerificationFailed("the board's SHA-256 of the image is not that of the file", next_action="repeat")

    def _upload_chunk(self, payload: dict) -> dict:
        patience = REPLY if payload["off"] else ERASING
        return self.request(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, payload, timeout=patience, attempts=1)


def _checked(reply: smp.Message) -> dict:
    if not reply.result:
        if wrong := reply.nonsense():
            raise NoAnswer(
                f"the board answers what makes no sense: {wrong}",
                next_action="renew its runtime (mcutool flash --runtime); or is it another device?",
            )
        return reply.payload
    known = smp.RESULT_NAMES.get(reply.result, f"error {reply.result}")
    reason = ": ".join(str(reply.payload[key]) for key in ("rsn", "msg", "detail") if key in reply.payload) or known
    if reply.result == smp.OUT_OF_MEMORY:
        raise DoesNotFit(f"the board refused: {reason}", next_action="make the program smaller")
    raise ImageRefused(f"the board refused: {reason}", next_action="see what it says on its console: mcutool monitor")
