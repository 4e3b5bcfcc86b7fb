"""Requests to whoever answers SMP on a serial line, with repetition, and uploads that go on where they stopped.

Decides what is asked again and when, and which of our errors a user sees. Refuses to know ports (a Link is given), how
messages look on the line (protocols/smp.py), how an upload gets through (smp_upload.py) and what the images are.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mcutool.errors import DoesNotFit, ImageRefused, NoAnswer, VerificationFailed
from mcutool.flash.link import Link
from mcutool.flash.protocols import smp
from mcutool.flash.smp_upload import Upload
from mcutool.image import mcuboot
from mcutool.progress import OnProgress, ignore

ATTEMPTS = 8
LEAST_BUFFER = 64  # the first chunk of an upload with a byte of data in it needs more
MOST_BUFFER = 0xFFFF  # the length on the line has 16 bits
UPLOADS = 3  # of one image, until the board's verdict has arrived
SMALLEST_BUFFER = 256  # what every server takes before it has told its size
SLOTS = 2  # of an image, which number the versions in a request that names a slot
REPLY = 1.5  # seconds for a request that does no flash work
ERASING = 5.0  # a request that may erase flash
ERASE_ATTEMPTS = 8
REMINDER = 2.0  # seconds without a reply after which a call is asked for again
ADVICE = "install the runtime first (mcutool flash --runtime), press the board's reset, or check --baud"
KEPT_REPLIES = 16  # of those that nobody waits for, such as the second reply to a request that was sent twice


class SmpClient:
    """Requests to a server that answers SMP on its console; `on_text` gets what its program prints meanwhile.

    `advice` is what to do when nothing answers.
    """

    def __init__(
        self,
        link: Link,
        *,
        on_text: Callable[[bytes], None] = lambda text: None,
        on_progress: OnProgress = ignore,
        advice: str = ADVICE,
    ) -> None:
        self.link = link
        self._advice = advice
        self.retries = 0
        self.on_progress = on_progress
        self._on_text = on_text
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
            if self.wait((message,), timeout):
                return self.take(message) or {}
        raise self.no_answer()

    def no_answer(self) -> NoAnswer:
        """What is said when a board is silent."""
        return NoAnswer(f"the board on {self.link.name} does not answer SMP requests", next_action=self._advice)

    def wait(self, requests: Sequence[smp.Message], timeout: float) -> bool:
        """Wait until one of them is answered; false when none was in `timeout` seconds."""
        deadline = self.link.now() + timeout
        while not any(map(self.has_reply_to, requests)):
            left = deadline - self.link.now()
            if left <= 0:
                return False
            self.receive(left)
        return True

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

    def has_reply_to(self, request: smp.Message) -> bool:
        """Whether `take` would give its reply."""
        return any(reply.answers(request) for reply in self._replies)

    def take(self, request: smp.Message) -> dict | None:
        """The payload of the reply to `request` if it has come. Raises ImageRefused when the board answers an error.

        Other replies stay, since they answer somebody else.
        """
        for reply in self._replies:
            if reply.answers(request):
                self._replies.remove(reply)
                return _checked(reply)
        return None

    def _message(self, operation: int, group: int, command: int, payload: dict) -> smp.Message:
        """A new request. Its sequence number comes again after 256 others: what answered the last one is dropped."""
        self._sequence += 1
        message = smp.Message(operation, group, command, payload, self._sequence - 1 & 0xFF)
        self._replies = deque((reply for reply in self._replies if not reply.answers(message)), KEPT_REPLIES)
        return message

    def _transmit(self, message: smp.Message) -> None:
        self._transmitted[message.sequence] = self.link.now()
        self.link.write(smp.encode_lines(smp.encode_message(message)))

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
        """What is installed, as MCUmgr's image list tells it."""
        return self.read(smp.IMAGE, smp.IMAGE_STATE).get("images", [])

    def activate(self, digest: bytes, number: int = 0, confirm: bool = False) -> None:
        """Begin the trial of an installed version at the next start; or confirm it at once, and start it then."""
        self._change(smp.IMAGE, smp.IMAGE_STATE, hash=digest, image=number, confirm=confirm)

    def confirm(self, number: int = 0) -> None:
        """The version of an image that is started is good."""
        self._change(smp.IMAGE, smp.IMAGE_STATE, image=number, confirm=True)

    def remove(self, digest: bytes, number: int = 0) -> None:
        """Remove an installed version of an image; stops what runs."""
        self._change(smp.IMAGE, smp.IMAGE_ERASE, hash=digest, image=number)

    def erase(self, number: int | None = None) -> None:
        """Remove everything that is installed, as one image or as any."""
        self.remove_all([entry for entry in self.images() if number in (None, entry.get("image", 0))])

    def remove_all(self, entries: list[dict]) -> None:
        """Remove versions of a list of images. What is damaged has no hash, so its slot tells which is meant; and that
        changes when another one goes, so these go first, the last slot before the one that is started."""
        for entry in sorted(entries, key=lambda entry: ("hash" in entry, -entry.get("slot", 0))):
            number = entry.get("image", 0)
            if "hash" in entry:
                self.remove(entry["hash"], number)
            else:
                self._change(smp.IMAGE, smp.IMAGE_ERASE, slot=SLOTS * number + entry.get("slot", 0))

    def settings(self, number: int = 0) -> dict:
        """What an image is started with: `args`, `env`, `fuel`, `grants`, where they are set."""
        return self.read(smp.RUNTIME, smp.RUNTIME_SETTINGS, image=number).get("settings", {})

    def set_settings(self, settings: dict, number: int = 0) -> None:
        """Replace the settings of an image; they count from its next start on."""
        self._change(smp.RUNTIME, smp.RUNTIME_SETTINGS, **settings, image=number)

    def _change(self, group: int, command: int, **payload: object) -> dict:
        """A change of what is installed, for which the board may have to erase flash."""
        return self.request(smp.WRITE, group, command, payload, timeout=ERASING, attempts=ERASE_ATTEMPTS)

    def buffer_size(self) -> int:
        """The longest message that the board takes, framing included."""
        try:
            size = self.read(smp.OS, smp.OS_PARAMETERS).get("buf_size", SMALLEST_BUFFER)
            return min(max(size, LEAST_BUFFER), MOST_BUFFER)  # what tells less makes no sense
        except ImageRefused:  # a server without this command
            return SMALLEST_BUFFER

    def install(self, image: bytes, number: int = 0) -> None:
        """Upload an image and make it the one that is started. Raises what `upload` does."""
        self.upload(image, number)
        self.activate(mcuboot.read("the image", image).hash, number, confirm=True)

    def upload(self, image: bytes, number: int = 0) -> None:
        """Install a version of an image on our runtime, which compares its SHA-256. Raises what `Upload.run` does.

        The runtime says once whether it is right; when that is lost only another upload tells.
        """
        for _ in range(UPLOADS):
            if Upload(self, image, number).run():
                return
        raise VerificationFailed("the board does not say whether the image's SHA-256 is right", next_action="repeat")


class NotSupported(ImageRefused):
    """The server has no such command."""


class NotInstalled(ImageRefused):
    """The board holds what was uploaded, and does not install it, since no start would take it."""


def _checked(reply: smp.Message) -> dict:
    if not reply.error[1]:
        if wrong := reply.nonsense():
            raise NoAnswer(
                f"the board answers what makes no sense: {wrong}",
                next_action="renew its runtime (mcutool flash --runtime); or is it another device?",
            )
        return reply.payload
    if reply.error in smp.NO_ROOM:
        raise DoesNotFit(f"the board refused: {reply.reason}", next_action="make the program smaller")
    error, advice = ImageRefused, "see what it says on its console: mcutool monitor"
    if reply.error == smp.NOT_SUPPORTED:
        error, advice = NotSupported, "is its runtime older than this mcutool? renew it: mcutool flash --runtime"
    elif reply.payload.get("match") is True:
        error, advice = NotInstalled, "mend that and repeat; what is installed has stayed: mcutool modules"
    raise error(f"the board refused: {reply.reason}", next_action=advice)
