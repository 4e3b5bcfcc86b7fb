"""List the boards, or describe one of them.

examples:
  mcutool boards                                                # all of them
  mcutool boards stm32f405                                      # console pins, bootloaders, light, memory
  mcutool boards --json                                         # for a script
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from mcutool import devices
from mcutool.hostapi import GRANTS


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this board")
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def execute(options: argparse.Namespace) -> int:
    chosen = [devices.board(options.name)] if options.name else devices.boards()
    described = [describe(board) for board in chosen]
    if options.json:
        print(json.dumps(described))
    elif options.name:
        print_one(described[0])
    else:
        print_table(described)
    return 0


def describe(board: devices.Board) -> dict[str, Any]:
    """The object that stands for a board in `boards --json`; sizes in bytes."""
    chip = board.chip
    return {
        "name": board.name,
        "chip": chip.name,
        "core": chip.core.name,
        "runtime": board.has_firmware,
        "ported": chip.has_runtime,
        "flash_protocols": [loader.protocol for loader in board.loaders] + ["smp"] * chip.has_runtime,
        "emulated": board.emulated,
        "flash_free": chip.map.slot.size,
        "ram_free": chip.arena_size,
        "title": board.title,
        "vendor": board.vendor,
        "flash": chip.flash.size,
        "ram": chip.ram_size,
        "console": {"uart": chip.uart.name, "baud": chip.uart.default_baud, **dataclasses.asdict(board.console)},
        "usb": list(board.usb),
        "loaders": [{**dataclasses.asdict(loader), "enter": loader.enter or board.boot} for loader in board.loaders],
        "boot": board.boot,
        "boot_jumper": board.boot_jumper or None,
        "led": {"name": board.led.name, "active": board.led.active} if board.led else None,
        "grants": list(board.grants),
        "qemu": board.qemu or None,
        "silicon": board.silicon,
    }


def print_one(board: dict[str, Any]) -> None:
    console, led = board["console"], board["led"]
    for what, text in (
        ("board", f"{board['name']}: {board['title']}"),
        ("chip", f"{board['chip']} with a {board['core']}"),
        ("console", f"{console['uart']}, TX {console['tx']}, RX {console['rx']}, {console['baud']} baud 8N1"),
        ("port", console["place"]),
        ("adapter", console["adapter"] or f"none needed: USB {', '.join(board['usb'])}"),
        ("boot jumper", board["boot_jumper"] or "none"),
        ("bootloader", board["boot"]),
        ("LED", f"{led['name']}, lit when {led['active']}" if led else "none"),
        ("flash", f"{board['flash']} bytes, {board['flash_free']} of them for a module"),
        ("RAM", f"{board['ram']} bytes, {board['ram_free']} of them for a module"),
        *(("flashed by", f"{loader['protocol']}: {loader['enter']}") for loader in board["loaders"]),
        *[("modules by", "smp: over the console, while the runtime runs")] * board["ported"],
        ("grants", "everything" if board["grants"] == list(GRANTS) else ", ".join(board["grants"]) or "nothing"),
        ("runtime", runtime_of(board)),
        ("emulated", f"{support(board)[7]}; QEMU has {board['qemu'] or 'no such machine'}"),
        ("hardware", "run on silicon" if board["silicon"] else "never run on silicon: all of this rests on emulation"),
    ):
        print(f"{what:<12} {text}")


def runtime_of(board: dict[str, Any]) -> str:
    if not board["ported"]:
        return "none yet, its flash can be filled with raw files"
    return "built" if board["runtime"] else "not built, see: make firmware"


def support(board: dict[str, Any]) -> list[str]:
    """The cells of a board's row in the table."""
    return [
        board["name"],
        board["chip"],
        board["core"],
        "yes" if board["runtime"] else "not yet" if not board["ported"] else "not built",
        str(board["flash_free"] or "-"),
        str(board["ram_free"] or "-"),
        ", ".join(board["flash_protocols"]),
        "no" if not board["emulated"] else "yes" if board["ported"] else "its bootloader",
        board["qemu"] if board["qemu"] and board["ported"] else "no",
        "yes" if board["silicon"] else "never",
    ]


def print_table(described: list[dict[str, Any]]) -> None:
    heads = "BOARD,CHIP,CORE,RUNTIME,FLASH FREE,RAM FREE,FLASHED BY,EMULATED,CHECKED IN QEMU AS,RUN ON SILICON"
    rows = [heads.split(","), *map(support, described)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
