"""Installing on a board over its serial port: the runtime or a raw file through the ROM, a module through SMP.

This file decides what goes where and in which order. It refuses to know protocols (`flash/`), and how a module is
built (`program.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcutool import devices, maps, program
from mcutool.devices import Board, Span
from mcutool.errors import ImageRefused, Unsupported, UsageError, WrongChip
from mcutool.flash.engine import SmpClient, install_runtime
from mcutool.flash.link import Link
from mcutool.flash.plan import Plan, plan
from mcutool.flash.protocols import smp
from mcutool.image.containers import read_segments
from mcutool.isa import ISA_VERSION
from mcutool.progress import OnProgress, ignore

ROM_PROTOCOLS = {"an3155": install_runtime}
"""How a plan gets through a bootloader in ROM."""
RAW_SUFFIXES = (".elf", ".hex", ".bin", ".uf2")


@dataclass(frozen=True)
class Job:
    """What to install: `raw` through the ROM bootloader, then `image` into the module slot."""

    board: Board
    raw: Plan | None = None
    image: bytes | None = None

    def describe(self) -> str:
        """The plan for people."""
        lines = [] if self.raw is None else ["through the ROM bootloader:", str(self.raw)]
        if self.image is not None:
            slot = self.board.chip.slot_address
            lines.append(f"through SMP: {len(self.image)} bytes into the module slot at {slot:#010x}")
        return "\n".join(lines)


def identify(link: Link) -> Board:
    """The board whose runtime answers. Raises NoAnswer when none does."""
    return devices.board(SmpClient(link).read(smp.RUNTIME, smp.RUNTIME_INFO).get("board", ""))


def check_runtime(client: SmpClient, board: Board) -> None:
    """Raises WrongChip when another board answers, ImageRefused when its runtime is too old for our images."""
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


def prepare(
    board: Board, file: str | None, runtime: bool, address: int | None = None, on_progress: OnProgress = ignore
) -> Job:
    """What `mcutool flash FILE --runtime` means for a board, with nothing sent yet.

    Raises UsageError when there is nothing to do or the board has no ROM bootloader that we speak, DoesNotFit when the
    flash is too small, and what building raises.
    """
    raw = file is not None and file.endswith(RAW_SUFFIXES)
    if not runtime and file is None:
        raise UsageError("nothing to install", next_action="name a file, or give --runtime")
    if (runtime or raw) and board.chip.bootrom is None:
        raise UsageError(
            f"{board.name} has no serial bootloader in ROM that could install this",
            next_action=f"how it is done on this board: {board.boot}",
        )
    if (runtime or raw) and board.chip.bootrom and board.chip.bootrom.protocol not in ROM_PROTOCOLS:
        raise Unsupported(
            f"the bootloader of {board.chip.name} speaks {board.chip.bootrom.protocol}, which mcutool does not",
            next_action=f"it speaks: {', '.join(ROM_PROTOCOLS)}; how to write another: CONTRIBUTING.md, A protocol",
        )
    if address is not None and not raw:
        raise UsageError("--address is for raw files, modules have their place", next_action="leave it out")
    if runtime and raw:
        raise UsageError("--runtime and a raw file cannot both be installed", next_action="install one of them")
    plan_ = _raw_plan(board, str(file), address) if raw else _runtime_plan(board) if runtime else None
    if raw or file is None:
        return Job(board, plan_)
    built = program.load(file, board, on_progress=on_progress)
    program.check_size(built.image, board)
    maps.keep(built.image, built.map)
    return Job(board, plan_, built.image)


def _runtime_plan(board: Board) -> Plan:
    return plan(board.chip.flash, board.chip.map.runtime, read_segments(board.name, board.firmware.read_bytes()))


def _raw_plan(board: Board, file: str, address: int | None) -> Plan:
    flash = board.chip.flash
    return plan(flash, Span(0, flash.size), read_segments(file, program.read(file), address))


def install(job: Job, link: Link, *, full: bool = False, on_progress: OnProgress = ignore) -> dict[str, Any]:
    """Do the job over an open link. Returns what was done: bytes and retries by protocol.

    `full` rewrites what is in flash already. Raises the errors of `mcutool.flash.engine`.
    """
    done: dict[str, Any] = {"board": job.board.name, "port": link.name, "rom": None, "smp": None}
    if job.raw is not None:
        assert job.board.chip.bootrom is not None  # since there is a plan for it
        install_raw = ROM_PROTOCOLS[job.board.chip.bootrom.protocol]
        link.set_parity(True)  # what AN3155 asks for
        bootloader = install_raw(
            link, job.board.chip, job.raw, boot_hint=job.board.boot, full=full, on_progress=on_progress
        )
        link.set_parity(False)
        done["rom"] = {"bytes": job.raw.size, "retries": bootloader.retries}
    if job.image is not None:
        client = SmpClient(link, on_progress=on_progress)
        check_runtime(client, job.board)
        client.upload(job.image)
        client.reset()
        done["smp"] = {"bytes": len(job.image), "retries": client.retries}
    return done


def render(done: dict[str, Any]) -> str:
    """What `install` returned, for people."""
    lines = [f"{done['board']} on {done['port']}:"]
    for key, way in (("rom", "through the ROM bootloader"), ("smp", "into the module slot")):
        if done[key]:
            lines.append(f"  {done[key]['bytes']} bytes {way}, verified; {done[key]['retries']} retries")
    return "\n".join(lines)
