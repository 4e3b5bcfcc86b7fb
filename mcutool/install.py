"""Installing on a board: the runtime or a raw file through one of its bootloaders, a module through its runtime.

This file decides what goes where, through which of a board's loaders, and in which order; and when a module that was
installed counts as good. It refuses to know protocols (`flash/`), and how a module is built (`program.py`).
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcutool import devices, flashfile, maps, places, program
from mcutool.devices import Board, Loader, Span
from mcutool.errors import DoesNotFit, ImageRefused, NoAnswer, Trapped, UsageError, WrongChip, choose_from
from mcutool.flash import engine, registry
from mcutool.flash.fitness import check_file
from mcutool.flash.link import Link, SerialLink
from mcutool.flash.plan import Order, plan
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.image import mcuboot
from mcutool.image.containers import read_segments
from mcutool.image.format import CONTAINER_MAGIC
from mcutool.isa import ISA_VERSION, TRAPS
from mcutool.progress import OnProgress, Progress, ignore
from mcutool.provenance import for_format, render_grants

REAPPEARANCE = 10.0  # seconds in which a bootloader's port may come after a touch
RAW_SUFFIXES = (".elf", ".hex", ".bin", ".uf2", ".srec", ".s19")
STARTING = 15.0  # seconds in which a board has begun to run what is installed
SETTLED = 0.3  # seconds of running after which a program has started well
LOOK = 0.05  # seconds between looks at it
NOT_STARTED = re.compile(rb"\[(?:no program|program not started): ([^\]]*)\]")
SEVERAL = 2  # a runtime that reads images of this format keeps several, and versions on trial
FIRST_ATTEMPTS = 3  # to hear the runtime, before its reset line is thought of


@dataclass(frozen=True)
class Job:
    """What to install: `order` through a bootloader, then `image` into the module slot; `map` names its functions."""

    board: Board
    order: Order | None = None
    image: bytes | None = None
    granted: tuple[str, ...] | None = None  # the capabilities of the module, when there is one
    map: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_port(self) -> bool:
        """Whether a serial port has to be open for it."""
        return self.image is not None or (self.order is not None and medium(self.order.loader) == "port")

    def describe(self) -> str:
        """The plan for people."""
        lines = []
        if self.order is not None:
            lines += [f"through {self.order.loader.protocol}, {registry.row(self.order.loader.protocol).sentence}:"]
            lines += [str(self.order.plan)]
        if self.image is not None:
            slot = self.board.chip.slot_address
            lines.append(f"through SMP: {len(self.image)} bytes into the module slot at {slot:#010x}")
        if self.granted is not None:
            lines.append(render_grants(self.granted))
        return "\n".join(lines)


def medium(loader: Loader) -> str:
    """Whether the loader is reached through a "port" or a "drive"."""
    return registry.row(loader.protocol).medium


def identify(link: Link) -> Board:
    """The board whose runtime answers. Raises NoAnswer when none does."""
    client = SmpClient(link)
    try:
        info = client.request(smp.READ, smp.RUNTIME, smp.RUNTIME_INFO, {}, attempts=FIRST_ATTEMPTS)
    except NoAnswer:
        link.set_dtr(False)  # on some boards it holds the reset
        info = client.read(smp.RUNTIME, smp.RUNTIME_INFO)
    return devices.board(info.get("board", ""))


def is_raw(file: str | None) -> bool:
    """Whether it is for the chip's flash as it is, and no module."""
    return file is not None and file.lower().endswith(RAW_SUFFIXES)


def check_runtime(client: SmpClient, board: Board) -> int:
    """The newest format of images that its runtime reads.

    Raises WrongChip when another board answers, ImageRefused when its runtime is too old for our images.
    """
    info, port = client.read(smp.RUNTIME, smp.RUNTIME_INFO), client.link.name
    if info.get("board") != board.name:
        raise WrongChip(
            f"the board on {port} is {info.get('board')}, not {board.name}",
            next_action=f"use --board {info.get('board')}, or another port",
        )
    if info.get("isa", 0) < ISA_VERSION:
        raise ImageRefused(
            f"the runtime of the board on {port} is for ISA {info.get('isa')}, this mcutool makes ISA {ISA_VERSION}",
            next_action=f"renew it: mcutool flash --runtime --board {board.name}",
        )
    return info.get("format", 1)


# --- what is to be done -----------------------------------------------------------------------------------------


def prepare(
    board: Board,
    file: str | None,
    runtime: bool,
    address: int | None = None,
    *,
    protocol: str | None = None,
    through: str | None = None,
    grants: Collection[str] | None = None,
    on_progress: OnProgress = ignore,
) -> Job:
    """What `mcutool flash FILE --runtime` means for a board, with nothing sent yet.

    `protocol` chooses one of the board's loaders, `through` one on a "port" or a "drive"; `grants` are the capabilities
    that a module may use. Raises UsageError when there is nothing to do or the board has no such loader, DoesNotFit
    when the flash is too small, and what building raises.
    """
    raw = is_raw(file)
    if not runtime and file is None:
        raise UsageError("nothing to install", next_action="name a file, or give --runtime")
    if address is not None and not raw:
        raise UsageError("--address is for raw files, modules have their place", next_action="leave it out")
    if runtime and raw:
        raise UsageError("--runtime and a raw file cannot both be installed", next_action="install one of them")
    order = None
    if raw:
        data = program.read(str(file))
        loader = choose_loader(board, protocol or _protocol_for(board, data, through), through)
        order = _order(loader, board, str(file), data, address)
    elif runtime:
        order = _order(choose_loader(board, protocol, through), board, board.firmware.name, board.firmware.read_bytes())
    if raw or file is None:
        return Job(board, order)
    built = program.load(file, board, grants=grants, on_progress=on_progress)
    program.check_size(built.image, board)
    maps.keep(built.image, built.map)
    granted = tuple(built.report["granted"])
    if order is not None and medium(order.loader) == "drive":  # takes all of it at once
        return Job(board, _joint_order(order, built.image), granted=granted)
    return Job(board, order, built.image, granted, built.map)


def _protocol_for(board: Board, data: bytes, through: str | None) -> str | None:
    """What a file can only be for: an image of MCUboot's goes to MCUboot, where the board has it."""
    if data[:4] != CONTAINER_MAGIC.to_bytes(4, "little") or through == "drive":
        return None
    return "mcuboot" if "mcuboot" in [loader.protocol for loader in board.loaders] else None


def choose_loader(board: Board, protocol: str | None = None, through: str | None = None) -> Loader:
    """The board's loader to go through: the first that fits. Raises UsageError, Unsupported."""
    names = [loader.protocol for loader in board.loaders]
    if protocol is not None and protocol not in names:
        raise UsageError(f"{board.name} has no loader {protocol!r}", next_action=choose_from(protocol, names))
    for loader in board.loaders:
        if protocol in (None, loader.protocol) and through in (None, medium(loader)):
            return loader
    kind = {"drive": "drive", "port": "serial bootloader"}.get(through or "", "bootloader or drive")
    raise UsageError(
        f"{board.name} has no {kind} that could install this", next_action=f"how it is done on this board: {board.boot}"
    )


def _order(loader: Loader, board: Board, name: str, data: bytes, address: int | None = None) -> Order:
    flash, row = board.chip.flash, registry.row(loader.protocol)
    if (row.medium, row.grain) == ("port", "files"):  # its driver knows such files
        segments = read_segments(name, data, flash.base + loader.offset if address is None else address)
    else:
        segments = check_file(board, loader, name, data, address)
    region = Span(loader.offset, flash.size - loader.offset)
    return Order(board, loader, name, data, tuple(segments), plan(flash, region, segments))


def _joint_order(order: Order, image: bytes) -> Order:
    """The runtime's order, with the module beside it."""
    flash = order.board.chip.flash
    segments = [segment for part in flashfile.contents(order.board, image).values() for segment in part]
    return dataclasses.replace(order, segments=tuple(segments), plan=plan(flash, Span(0, flash.size), segments))


# --- doing it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manner:
    """How a job is done: `full` writes also what is in flash already, `unprotect` first removes the protection.

    A module becomes the image `number`; `trial` leaves it to the program to confirm itself; `replace` first removes
    what is installed as this image.
    """

    full: bool = False
    unprotect: bool = False
    on_progress: OnProgress = ignore
    number: int = 0
    trial: bool = False
    replace: bool = False


def check_manner(job: Job, manner: Manner) -> None:
    """Raises UsageError for what a job cannot do so, before anything is sent."""
    if manner.unprotect and (job.order is None or registry.row(job.order.loader.protocol).grain != "sectors"):
        raise UsageError("nothing here removes a protection", next_action="leave --unprotect out")
    if job.image is None and (manner.number or manner.trial or manner.replace):
        raise UsageError(
            "--image, --trial and --replace are for a module that goes to the runtime", next_action="leave them out"
        )
    images = job.board.chip.images
    if manner.number >= images:
        raise UsageError(f"{job.board.name} has no image {manner.number}", next_action=f"use --image 0 to {images - 1}")


def install(job: Job, link: Link | None, manner: Manner = Manner(), folder: Path | None = None) -> dict[str, Any]:
    """Do the job over an open link, or onto the drive at `folder`. Returns what was done: bytes and retries.

    Raises the errors of `mcutool.flash.engine`.
    """
    check_manner(job, manner)
    place = link.name if link else str(folder) if folder else job.order.loader.volume if job.order else ""
    done: dict[str, Any] = {"board": job.board.name, "port": place, "rom": None, "smp": None}
    done["granted"] = job.granted
    if job.order is not None:
        done["rom"] = dataclasses.asdict(_fill(job.order, link, manner, folder))
    if job.image is not None:
        assert link is not None
        done["smp"] = _install_module(job, job.image, link, manner)
    return done


def _fill(order: Order, link: Link | None, manner: Manner, folder: Path | None) -> engine.Outcome:
    """Fill the flash through the order's loader."""
    row, driver = registry.row(order.loader.protocol), registry.driver(order.loader.protocol)
    _touch(order.loader, link)
    if row.grain == "sectors":
        assert link is not None
        if manner.unprotect:
            engine.unprotect(driver, link, order)
        outcome = engine.install(driver, link, order, full=manner.full, on_progress=manner.on_progress)
    else:
        taker = driver(link if row.medium == "port" else folder, order.board, order.loader)
        outcome = taker.install(order, manner.full, manner.on_progress)
    outcome.verified = outcome.verified or row.verified
    return outcome


def _touch(loader: Loader, link: Link | None) -> None:
    """Where a running program can be asked to enter the bootloader, ask it; one that is there already is left alone."""
    if isinstance(link, SerialLink) and link.usb in loader.touch:
        link.touch()
        link.reopen(REAPPEARANCE)


def _install_module(job: Job, image: bytes, link: Link, manner: Manner) -> dict[str, Any]:
    """A module through the runtime: installed, tried at a restart, and confirmed when it has started well.

    After a lost line the board says how far it had come. Raises Trapped when it traps at its start: then what was there
    before has been started again.
    """
    output = bytearray()
    clients: list[SmpClient] = []

    def client() -> SmpClient:
        clients.append(SmpClient(link, on_text=output.extend, on_progress=manner.on_progress))
        return clients[-1]

    def upload() -> tuple[bytes, bool]:
        speaker = client()
        newest = check_runtime(speaker, job.board)
        if newest < SEVERAL and (manner.number or manner.trial):
            raise ImageRefused(
                f"the runtime of the board on {link.name} is too old for --image and --trial",
                next_action=f"renew it: mcutool flash --runtime --board {job.board.name}",
            )
        sent = for_format(image, newest)
        digest = mcuboot.read("the module", sent).hash
        return digest, _upload(speaker, sent, digest, manner)

    (digest, written), reconnects = engine.despite_lost_lines(upload, link)
    trap, more = engine.despite_lost_lines(lambda: _try(client(), digest, manner, output), link)
    done = {"bytes": len(image), "retries": sum(each.retries for each in clients), "reconnects": reconnects + more}
    if trap is not None:
        then = _after_a_bad_start(client(), digest, manner.number)
        raise Trapped(
            f"the program trapped at its start; {then}\n{places.render_trap(places.Places(job.map).trap(*trap))}",
            next_action="mend the program and flash it again",
        )
    return done | {"image": manner.number, "written": written, "state": "trial" if manner.trial else "confirmed"}


def _upload(client: SmpClient, image: bytes, digest: bytes, manner: Manner) -> bool:
    """Install a version of the image, unless the board has it already. Raises DoesNotFit."""
    installed = [entry for entry in client.images() if entry.get("image", 0) == manner.number]
    if not manner.full and digest in [entry.get("hash") for entry in installed]:
        manner.on_progress(Progress("upload", len(image), len(image)))
        return False
    if manner.replace:
        client.remove_all(installed)
    try:
        client.upload(image, manner.number)
    except DoesNotFit as error:
        gone = f"; what was image {manner.number} is removed" if manner.replace and installed else ""
        otherwise = "" if manner.replace else "; or give up what this one replaces: --replace"
        raise DoesNotFit(
            f"there is no room for {len(image)} bytes beside what is installed: {error.message}{gone}",
            next_action=f"remove something first, see mcutool modules{otherwise}",
        ) from None
    return True


def _try(client: SmpClient, digest: bytes, manner: Manner, output: bytearray) -> tuple[str, list] | None:
    """Start the version, and confirm it when that is ours to do; kind and calls of a trap that ended it at once."""
    client.activate(digest, manner.number)
    output.clear()
    client.reset()
    trap = _trap_at_start(client, digest, manner.number, output)
    _require_started(client, digest, manner.number, output)
    if trap is None and not manner.trial:
        client.confirm(manner.number)
    return trap


def _trap_at_start(client: SmpClient, digest: bytes, number: int, output: bytearray) -> tuple[str, list] | None:
    """Wait until the program runs for a while, or has ended. Raises ImageRefused when it is not started."""
    deadline, running_since = client.link.now() + STARTING, None
    while client.link.now() < deadline:
        status = client.read(smp.RUNTIME, smp.RUNTIME_STATUS, image=number)
        if status["state"] == "ended":
            return _trap_of(status)
        if status["state"] == "running":
            running_since = client.link.now() if running_since is None else running_since
            if client.link.now() - running_since >= SETTLED:
                return None
        elif NOT_STARTED.search(output):
            raise _not_started(output, _after_a_bad_start(client, digest, number))
        client.receive(LOOK)
    raise ImageRefused("the board has not started it", next_action="see what it says: mcutool monitor --reset")


def _require_started(client: SmpClient, digest: bytes, number: int, output: bytearray) -> None:
    """Raises ImageRefused when what runs is another version: the board has refused this one and started that."""
    versions = [entry for entry in client.images() if entry.get("image", 0) == number]
    if digest not in [entry.get("hash") for entry in versions if entry.get("active")]:
        raise _not_started(output, "it is not confirmed; what was installed before runs again")


def _not_started(output: bytearray, then: str) -> ImageRefused:
    refusal = NOT_STARTED.search(output)
    reason = refusal[1].decode(errors="replace") if refusal else "it does not say why"
    return ImageRefused(
        f"the board does not start it: {reason}; {then}",
        next_action="mend that and flash it again; what is installed is in: mcutool modules",
    )


def _trap_of(status: dict[str, Any]) -> tuple[str, list] | None:
    """The trap that ended a program, unless it ended itself."""
    kind = TRAPS[status["trap"]].name if status["trap"] < len(TRAPS) else f"trap {status['trap']}"
    return None if kind in (TRAPS[0].name, "exit") else (kind, list(struct.iter_unpack("<II", status["bt"])))


def _after_a_bad_start(client: SmpClient, digest: bytes, number: int) -> str:
    """What becomes of a program that did not start well: the next start gives it up. That comes now, if one is left."""
    versions = [entry for entry in client.images() if entry.get("image", 0) == number]
    confirmed = [entry["hash"] for entry in versions if entry.get("confirmed")]
    if digest in confirmed:
        return "it is confirmed already, and stays"
    if not confirmed:
        return "it is not confirmed; nothing else is installed as this image"
    client.reset()
    return "it is not confirmed; what was installed before runs again"


def render(done: dict[str, Any]) -> str:
    """What `install` returned, for people."""
    lines = [f"{done['board']} on {done['port']}:"]
    if rom := done["rom"]:
        unchanged = f", {rom['unchanged']} unchanged" if rom["unchanged"] else ""
        line = f"  {rom['sectors']} sectors written{unchanged}; verified: {rom['verified']}; {rom['retries']} retries"
        lines.append(line)
    if done["smp"]:
        smp_done = done["smp"]
        how = "verified" if smp_done["written"] else "which were there already"
        line = f"  {smp_done['bytes']} bytes into the module slot, {how}; {smp_done['retries']} retries"
        lines.append(line + ("; on trial until it confirms itself" if smp_done["state"] == "trial" else "; confirmed"))
    if done["granted"] is not None:
        lines.append(f"  {render_grants(done['granted'])}")
    return "\n".join(lines)
