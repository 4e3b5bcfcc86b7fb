"""Uploading an image through SMP over a line that may lose anything, to a server that may be busy or restart.

Decides how long the messages are, how long a reply may take before the server is asked where it stands, and when to
give up. Refuses to know how requests travel (`smp_client.py`) and what the image is.

A reply that is late means a lost request, a lost reply, or flash that is being erased. Sending the chunk again would be
wrong in two of the three cases, so a chunk without data asks first: it is short enough to arrive, and its reply says
which offset is wanted. Whoever erases flash answers nothing, and is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcutool.errors import ImageRefused, VerificationFailed, WriteFailed
from mcutool.flash.protocols import smp
from mcutool.progress import Progress

if TYPE_CHECKING:
    from mcutool.flash.smp_client import SmpClient

SMALLEST_MESSAGE = 128
ERASING = 60.0  # seconds until the first chunk is answered: the whole slot may be erased before
WRITING = 15.0  # the same for each other chunk: one sector may be erased before
LONGEST_PAUSE = 2.0  # seconds between questions
LOSSES = 25  # of one chunk, in a row
RESTARTS = 4  # of the server, after which the upload begins anew
MOST_CALM = 32  # replies in a row before a longer message is tried again


class Pace:
    """How long a reply takes, learnt from those that came: an average for each byte, and how far they are from it."""

    UNKNOWN = 1.0  # seconds, before the first reply
    REQUEST = 0.05  # seconds, besides the time of its bytes; a USB adapter may hold bytes for a third of that
    WEIGHT, DEVIATIONS = 0.25, 4  # of the newest in the averages; as of the time-outs of TCP (RFC 6298)

    def __init__(self) -> None:
        self._byte: float | None = None
        self._deviation = 0.0

    def learn(self, size: int, seconds: float) -> None:
        """A request of `size` bytes was answered after `seconds`."""
        new = seconds / size
        if self._byte is None:
            self._byte, self._deviation = new, new / 2
        self._deviation += self.WEIGHT * (abs(new - self._byte) - self._deviation)
        self._byte += self.WEIGHT * (new - self._byte)

    def patience(self, size: int) -> float:
        """How long to wait for the reply to a request of `size` bytes before thinking that something was lost."""
        if self._byte is None:
            return self.UNKNOWN
        return self.REQUEST + size * (self._byte + self.DEVIATIONS * self._deviation)


class Upload:
    """One upload of `image` to the slot that the server calls `number`.

    A message that is lost is followed by one of half its size. Longer ones are tried again after some replies: twice as
    many each time that this goes wrong, since some servers take no message of the size that they have told; one is
    enough again when such a message has arrived after all.
    """

    def __init__(self, client: SmpClient, image: bytes, number: int = 0) -> None:
        self._client, self._image, self._number = client, image, number
        self._largest = self._size = client.buffer_size()
        self._calm, self._calm_needed, self._suspect = 0, 1, self._largest
        self._losses = self._restarts = 0
        self._pace = Pace()
        self._reply: dict = {}

    def run(self, offset: int = 0) -> bool:
        """Upload from `offset` on; whether the server has said that the SHA-256 is right: not all do.

        Raises ImageRefused, DoesNotFit, WriteFailed, VerificationFailed, NoAnswer.
        """
        self._tell(offset)
        while offset < len(self._image):
            wanted = self._chunk(offset)
            self._judge(offset, wanted)
            offset = wanted
            self._tell(offset)
        if self._reply.get("match") is False:
            raise VerificationFailed("the board's SHA-256 of the image is not that of the file", next_action="repeat")
        return self._reply.get("match") is True

    def _tell(self, offset: int) -> None:
        self._client.on_progress(Progress("upload", offset, len(self._image)))

    # --- one chunk ------------------------------------------------------------------------------------------

    def _chunk(self, offset: int) -> int:
        """Send the chunk at `offset`; the offset that the server wants then, the same when the chunk was lost."""
        client = self._client
        payload = smp.upload_chunk(self._image, offset, self._size, self._number)
        sent = client.link.now()
        chunk = client.send(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, **payload)
        longest = WRITING if offset else ERASING
        patience = longest if client.link.lossless else self._pace.patience(self._size)
        if not client.wait((chunk,), patience):
            question = self._ask(chunk, offset, sent + longest)
            if not client.has_reply_to(chunk):
                self._lost()
                return self._stands(question, offset)
        else:
            self._pace.learn(self._size, client.link.now() - sent)
        self._reply = client.take(chunk) or {}
        self._arrived()
        return self._reply["off"]

    def _ask(self, chunk: smp.Message, offset: int, deadline: float) -> smp.Message:
        """Ask where the server stands until it says so or answers the chunk after all; the last question."""
        client = self._client
        patience = self._pace.patience(SMALLEST_MESSAGE)
        while client.link.now() < deadline:
            client.retries += 1
            question = client.send(smp.WRITE, smp.IMAGE, smp.IMAGE_UPLOAD, **smp.upload_question(offset))
            if client.wait((chunk, question), patience):
                return question
            patience = min(2 * patience, LONGEST_PAUSE)
        raise client.no_answer()

    def _stands(self, question: smp.Message, offset: int) -> int:
        """What the reply to the question says. Before its first chunk a server may still speak of another upload."""
        try:
            self._reply = self._client.take(question) or {}
        except ImageRefused:
            self._reply = {}
        return self._reply.get("off", offset) if offset else 0

    # --- sizes and bounds -----------------------------------------------------------------------------------

    def _arrived(self) -> None:
        self._calm += 1
        if self._size >= self._suspect:
            self._calm_needed = 1
        if self._calm >= self._calm_needed and self._size < self._largest:
            self._size, self._calm = min(self._size * 2, self._largest), 0

    def _lost(self) -> None:
        if self._calm == 0 and self._size > SMALLEST_MESSAGE:  # the first of its size
            self._calm_needed, self._suspect = min(self._calm_needed * 2, MOST_CALM), self._size
        self._size, self._calm = max(self._size // 2, min(SMALLEST_MESSAGE, self._largest)), 0

    def _judge(self, offset: int, wanted: int) -> None:
        """Raises WriteFailed when this goes on without end, or makes no sense."""
        if wanted > len(self._image):
            raise WriteFailed(
                f"the board wants byte {wanted} of an image of {len(self._image)}",
                next_action="reset the board: it may have begun another upload",
            )
        self._losses = 0 if wanted > offset else self._losses + 1
        self._restarts += wanted < offset
        if self._losses > LOSSES:
            raise WriteFailed(f"the upload does not get beyond byte {offset}", next_action="reset the board")
        if self._restarts > RESTARTS:
            raise WriteFailed(
                f"the board forgets the upload again and again, at last at byte {offset}",
                next_action="see to its supply: does it restart?",
            )


def ask_offset(client: SmpClient) -> int:
    """Which byte the server wants next, of the upload that it has begun; 0 when there is none."""
    try:
        return client.write(smp.IMAGE, smp.IMAGE_UPLOAD, **smp.upload_question(1)).get("off", 0)
    except ImageRefused:
        return 0
