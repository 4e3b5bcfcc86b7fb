"""MCUboot through SMP: its serial recovery, or the program that runs and fills the other slot.

Decides what is asked before anything changes, which slot an image goes to, what counts as installed, and how the
image becomes the one that starts. Refuses to know how an upload gets through (`smp_upload.py`) and what a port is.

Recovery writes the slot that starts; the image runs after the reset. A running program writes the other slot; the
image is marked, and MCUboot swaps at the reset. Only a running program lists an image as active. Servers lack all
sorts of commands: what is not known is not checked, but a server that is asked to change something says no itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcutool import devices
from mcutool.devices import Board, Loader
from mcutool.errors import (
    Disconnected,
    DoesNotFit,
    ImageRefused,
    NoAnswer,
    UsageError,
    VerificationFailed,
    WrongChip,
)
from mcutool.flash.engine import Outcome, despite_lost_lines
from mcutool.flash.link import Link
from mcutool.flash.plan import Order
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import ATTEMPTS, NotSupported, SmpClient
from mcutool.flash.smp_upload import Upload, ask_offset
from mcutool.image import mcuboot
from mcutool.image.containers import to_binary
from mcutool.image.mcuboot import SignedImage
from mcutool.progress import OnProgress, ignore

RESTART = 15.0  # seconds until a program that was asked to has become MCUboot
SWAP = 30.0  # seconds until MCUboot has swapped the images and the program answers
PAUSE = 0.5  # between questions meanwhile
LISTING = 10.0  # MCUboot validates each image that it lists
LISTING_OF_A_PROGRAM = 3.0  # which validates none
BY_HASH, BY_VERSION = "by SHA-256", "by its version only, the board lists no hashes"
NOT_KNOWN = "; whether it has started is not known"
SIGN = "sign it with the key that MCUboot was built with, for this board's slot: imgtool sign"


@dataclass(frozen=True)
class Slot:
    """A place for an image, as the server tells it; `size` is 0 when it does not."""

    upload: int  # the number that an upload to it names
    size: int = 0


class McuBoot:
    """An SMP server that updates what MCUboot starts: see mcutool.flash.engine.FileTaker."""

    def __init__(self, link: Link, board: Board, loader: Loader) -> None:
        self.client = SmpClient(link, advice=f"{loader.enter}; or check --baud")
        self.running = False  # a program answers, not MCUboot itself
        self.verified = ""  # how it is known that the image is there
        self._sent = b""  # the hash of the image that was sent, whatever happened to the line since
        self._board, self._loader = board, loader
        self._images: list[dict] | None = None

    def install(self, order: Order, full: bool = False, on_progress: OnProgress = ignore) -> Outcome:
        """Bring the order's image there and start it.

        Raises UsageError when it is none, and what `connect` and `update` do.
        """
        image = mcuboot.read(order.name, to_binary(order.segments))
        self.client.on_progress = on_progress

        def update() -> bool:
            self.connect()
            return self.update(image, full=full)

        _, reconnects = despite_lost_lines(update, self.client.link)
        outcome = Outcome(retries=self.client.retries, reconnects=reconnects, verified=self.verified)
        if self._sent:
            outcome.sectors, outcome.bytes = len(order.plan.sectors), len(image.data)
        else:
            outcome.unchanged = len(order.plan.sectors)
        return outcome

    # --- before anything is changed -------------------------------------------------------------------------

    def connect(self) -> None:
        """Find out who answers. Raises NoAnswer, WrongChip."""
        self.client.buffer_size()
        self._refuse_our_runtime()
        self._check_platform()
        self._check_bootloader()
        self._look()

    def _facts(self, group: int, command: int, **payload: object) -> dict:
        """What a server says of itself; nothing when it does not, for whatever reason."""
        try:
            return self.client.read(group, command, **payload)
        except ImageRefused:
            return {}

    def _ask(self, command: Callable[..., dict], *arguments: Any, **payload: object) -> dict | None:
        """The answer, or None from a server without the command."""
        try:
            return command(*arguments, **payload)
        except NotSupported:
            return None

    def _refuse_our_runtime(self) -> None:
        """Others may use the group's number for something else, whose answers make no sense here."""
        try:
            info = self._facts(smp.RUNTIME, smp.RUNTIME_INFO)
        except NoAnswer:
            info = {}
        if info:
            raise WrongChip(
                f"the runtime of mcutool answers on {self.client.link.name}, on board {info['board']}, and no MCUboot",
                next_action="install a module, or choose the right port",
            )

    def _check_platform(self) -> None:
        """Zephyr names its board and its chip, as "nrf52840dk/nrf52840"."""
        platform = str(self._facts(smp.OS, smp.OS_INFO, format="i").get("output", ""))
        found = {part for part in platform.split("/") if part in _chips()}
        if found and self._board.chip.name not in found:
            raise WrongChip(
                f"the program on {self.client.link.name} is for {platform}, not for {self._board.chip.name}",
                next_action="use another port, or the right --board",
            )

    def _check_bootloader(self) -> None:
        name = self._facts(smp.OS, smp.OS_BOOTLOADER).get("bootloader", "MCUboot")
        if name != "MCUboot":
            raise WrongChip(
                f"the bootloader of the board on {self.client.link.name} is {name}, not MCUboot",
                next_action="install with the tool of that bootloader",
            )

    def _look(self, timeout: float = LISTING, attempts: int = ATTEMPTS) -> None:
        """What lies in the slots; a server without images has None."""
        answer = self._ask(self.client.request, smp.READ, smp.IMAGE, smp.IMAGE_STATE, {}, timeout, attempts)
        images = None if answer is None else answer.get("images", [])
        self._images = images if images is None else [image for image in images if isinstance(image, dict)]
        self.running = self._images is None or any(image.get("active") for image in self._images)

    def _slot(self, number: int) -> Slot:
        """The slot that an upload of the image of that number goes to."""
        answer = self._facts(smp.IMAGE, smp.IMAGE_SLOTS)
        images = {image.get("image", 0): image for image in _maps(answer.get("images"))}
        if images and number not in images:
            known = ", ".join(map(str, images))
            raise UsageError(f"the board takes no image {number}, only {known}", next_action="name one of them")
        for slot in _maps(images.get(number, {}).get("slots")):
            if "upload_image_id" in slot:
                sizes = (slot.get("size"), images[number].get("max_image_size"))
                return Slot(slot["upload_image_id"], min((n for n in sizes if isinstance(n, int)), default=0))
        return Slot(number)

    # --- the update -----------------------------------------------------------------------------------------

    def update(
        self, image: SignedImage, *, number: int = 0, full: bool = False, test: bool = False, recovery: bool = False
    ) -> bool:
        """Make `image` the one that starts; false when it did not have to be sent.

        `test`: it starts once, and again only when it confirms itself. `number` is the image's in a firmware of
        several, `full` sends what is there already. `recovery` has a running program restart into MCUboot first, which
        is done anyway when the program takes no images. Raises DoesNotFit, UsageError, ImageRefused, WriteFailed,
        VerificationFailed, NoAnswer, Disconnected.
        """
        if self.running and (recovery or self._images is None):
            self._enter_recovery()
        present = self._find(image) is not None and (not full or self._sent == image.hash)
        if not present:
            self._upload(image, self._slot(number))
        self.verified = BY_HASH if "hash" in (self._find(image) or {}) else BY_VERSION
        self._mark(image, confirm=not test)
        self._restart(image)
        return not present

    def _find(self, image: SignedImage) -> dict | None:
        """The image where it has to lie: in any slot for a running program, in the one that starts for recovery.

        Some builds of MCUboot list no hashes, only versions; they list nothing that is not valid. A changed program
        may have the same version, so that counts only for what was sent.
        """
        for entry in self._images or ():
            same = entry["hash"] == image.hash if "hash" in entry else self._may_be_sent(entry, image)
            if same and (self.running or entry.get("slot") == 0):
                return entry
        return None

    def _may_be_sent(self, entry: dict, image: SignedImage) -> bool:
        """An upload never goes to what is active."""
        return self._sent == image.hash and entry.get("version") == image.version and not entry.get("active")

    def _upload(self, image: SignedImage, slot: Slot) -> None:
        if 0 < slot.size < len(image.data):
            raise DoesNotFit(
                f"the image has {len(image.data)} bytes, the slot {slot.size}",
                next_action="make the program smaller, or give its slot more room in the device tree",
            )
        if self.running or not self._resumed(image, slot):
            self._upload_from(image, slot, 0)
        if self._find(image) is None:
            raise VerificationFailed(
                "the image was written, and the board does not list it as valid",
                next_action=SIGN,
            )

    def _upload_from(self, image: SignedImage, slot: Slot, offset: int) -> None:
        Upload(self.client, image.data, slot.upload).run(offset)
        self._sent = image.hash
        self._look()

    def _resumed(self, image: SignedImage, slot: Slot) -> bool:
        """Whether an upload that was cut off could be brought to its end.

        MCUboot begins anew at offset 0 and does not know whose upload it has begun; in the end the hash tells, and
        nothing else would.
        """
        offset = ask_offset(self.client)
        if not 0 < offset < len(image.data):
            return False
        try:
            self._upload_from(image, slot, offset)
        except ImageRefused:  # it was longer than this image
            return False
        return "hash" in (self._find(image) or {})

    def _mark(self, image: SignedImage, confirm: bool) -> None:
        """Have MCUboot start the image: once, or from now on. Recovery's has no choice, but may be unconfirmed."""
        entry = self._find(image) or {}
        if entry.get("active") or not self.running:
            if confirm and not entry.get("confirmed"):
                self._ask(self.client.write, smp.IMAGE, smp.IMAGE_STATE, hash=image.hash, confirm=True)
        elif not entry.get("permanent" if confirm else "pending"):
            marked = self._ask(self.client.write, smp.IMAGE, smp.IMAGE_STATE, hash=image.hash, confirm=confirm)
            if marked is None:
                self._compare_versions(image)

    def _compare_versions(self, image: SignedImage) -> None:
        """Where no image can be marked MCUboot starts the one with the highest version."""
        for entry in self._images or ():
            version = str(entry.get("version"))
            if entry.get("active") and _parts(version) >= _parts(image.version):
                raise ImageRefused(
                    f"MCUboot on this board starts the image with the highest version, and {image.version} is not"
                    f" above {version}",
                    next_action="sign the image with a higher one: imgtool sign --version",
                )

    def _restart(self, image: SignedImage) -> None:
        """Reset, except where the image runs already. The reply may be lost with the restart, and a USB port is.

        Raises VerificationFailed.
        """
        if self.running and (self._find(image) or {}).get("active"):
            return
        known = True
        try:
            self.client.reset()
        except Disconnected:
            pass
        except NoAnswer:
            known = False
        if self.running:
            known = self._starts(image)
        if not known:
            self.verified += NOT_KNOWN

    def _starts(self, image: SignedImage) -> bool:
        """Whether the image is the one that runs after the reset; false when nobody says so.

        The old program may answer until the reset, nobody while MCUboot swaps. Raises VerificationFailed when it is
        the old one in the end.
        """
        link, old = self.client.link, self._active()
        deadline = link.now() + SWAP
        while (left := deadline - link.now()) > 0:
            self._images = None
            try:
                self.client.receive(PAUSE)
                self._look(LISTING_OF_A_PROGRAM, attempts=1)
            except (NoAnswer, ImageRefused):
                continue
            except Disconnected:
                if not _comes_back(link, left):
                    return False
            if (self._find(image) or {}).get("active"):
                return True
        if old and self._active() == old:
            raise VerificationFailed("MCUboot does not start the image: what ran before runs again", next_action=SIGN)
        return False

    def _active(self) -> list[object]:
        """The hashes of what runs."""
        return [entry["hash"] for entry in self._images or () if entry.get("active") and "hash" in entry]

    def _enter_recovery(self) -> None:
        """Have the running program restart into MCUboot."""
        self.client.write(smp.OS, smp.OS_RESET, boot_mode=1)
        deadline = self.client.link.now() + RESTART
        while self.client.link.now() < deadline:
            self.client.receive(PAUSE)
            try:
                self._look()
            except NoAnswer:
                continue
            if not self.running:
                return
        raise ImageRefused(
            "the program on the board takes no images, and does not restart into MCUboot",
            next_action=self._loader.enter,
        )


def _parts(version: str) -> tuple[int, ...]:
    """Major, minor, revision and build: 1.10.0 is above 1.9.0."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _comes_back(link: Link, patience: float) -> bool:
    """Whether a port that went away with a reset could be opened again."""
    try:
        link.reopen(patience)
    except Disconnected:
        return False
    return True


def _maps(value: Any) -> list[dict]:
    """The maps in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _chips() -> set[str]:
    return {board.chip.name for board in devices.boards()}
