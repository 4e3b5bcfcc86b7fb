"""Requests to whoever answers SMP on a serial line, with repetition, and uploads that go on where they stopped.

Decides what is asked again and when, how large a message is on this line, and which of our errors a user sees. Refuses
to know ports (a Link is given), how messages look on the line (protocols/smp.py) and what the images are.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Any

from mcutool.errors import DoesNotFit, ImageRefused, NoAnswer, VerificationFailed, WriteFailed
from mcutool.flash.link import Link
from mcutool.flash.protocols import smp
from mcutool.progress import OnProgress, Progress, ignore

ATTEMPTS = 8
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
