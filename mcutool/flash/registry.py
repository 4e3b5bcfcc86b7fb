"""The table of protocols: every way to fill a chip's flash, one row each.

Decides which protocols there are and where their drivers lie; other packages add rows through the entry point group
`mcutool.protocols` (CONTRIBUTING.md, A protocol). Refuses to know boards, ports, and what a driver does.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mcutool.errors import Unsupported

GROUP = "mcutool.protocols"


@dataclass(frozen=True)
class Row:
    """One protocol.

    `medium` is "port" for a serial line, "drive" for a folder. `grain` is "sectors" where the driver gives access to
    flash by address (mcutool.flash.engine.Bootloader), "files" where it takes a whole file
    (mcutool.flash.engine.FileTaker). `driver` is MODULE:CLASS. `verified` says how it is known that flash holds what
    it should.
    """

    name: str
    medium: str
    grain: str
    driver: str
    verified: str
    sentence: str


ROWS = (
    Row("an3155", "port", "sectors", "mcutool.flash.drivers.an3155:An3155", "read back, or by CRC where the ROM has it",
        "STM32 bootloader in ROM, on a UART"),
    Row("sam-ba", "port", "sectors", "mcutool.flash.drivers.sam_ba:SamBa", "by CRC, or read back",
        "Atmel's SAM-BA with Arduino's extensions, on a UART or USB"),
    Row("stellaris", "port", "sectors", "mcutool.flash.drivers.stellaris:Stellaris",
        "not read back: each packet was acknowledged by its checksum", "TI's serial boot loader, on a UART"),
    Row("mcuboot", "port", "files", "mcutool.flash.drivers.mcuboot:McuBoot", "by SHA-256",
        "MCUboot's serial recovery and Zephyr, by SMP"),
    Row("uf2", "drive", "files", "mcutool.flash.drivers.drive:Uf2Drive", "not at all: the drive takes the file",
        "bootloaders that show a drive for UF2 files"),
    Row("drive", "drive", "files", "mcutool.flash.drivers.drive:ProbeDrive", "by the interface chip",
        "the drive of an interface chip, for HEX or BIN files"),
    Row("mps2-drive", "drive", "files", "mcutool.flash.drivers.drive:Mps2Drive", "by reading the file back",
        "the drive of an MPS2 board's controller"),
)  # fmt: skip


@cache
def row(name: str) -> Row:
    """The protocol of that name, our own first. Raises Unsupported; a plug-in that nobody asks for disturbs nobody."""
    for ours in ROWS:
        if ours.name == name:
            return ours
    theirs = {point.name: point for point in entry_points(group=GROUP)}
    if name not in theirs:
        known = ", ".join([*(ours.name for ours in ROWS), *theirs])
        raise Unsupported(
            f"there is no protocol {name!r}",
            next_action=f"known are: {known}; how to write another: CONTRIBUTING.md, A protocol",
        )
    try:
        return theirs[name].load()
    except Exception as error:  # of somebody else's package
        raise Unsupported(
            f"the plug-in {theirs[name].value} for the protocol {name!r} cannot be loaded: {error}",
            next_action="install its package again, or ask who made it",
        ) from error


def driver(name: str) -> Any:
    """The class that speaks the protocol. Raises Unsupported."""
    module, _, attribute = row(name).driver.partition(":")
    return getattr(importlib.import_module(module), attribute)
