"""List the boards, or describe one of them.

examples:
  mcutool boards                                                # all of them
  mcutool boards stm32f405                                      # console pins, boot jumper, light, memory
  mcutool boards --json                                         # for a script
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from mcutool import devices


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
        "boot": board.boot,
        "boot_jumper": board.boot_jumper or None,
        "led": {"name": board.led.name, "active": board.led.active} if board.led else None,
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
        ("flashed by", ", ".join(board["flash_protocols"])),
        ("runtime", "built" if board["runtime"] else "not built, see: make firmware"),
        ("emulated", f"{'yes' if board['emulated'] else 'no'}; QEMU has {board['qemu'] or 'no such machine'}"),
        ("hardware", "run on silicon" if board["silicon"] else "never run on silicon: all of this rests on emulation"),
    ):
        print(f"{what:<12} {text}")


def as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def print_table(described: list[dict[str, Any]]) -> None:
    columns = ("name", "chip", "core", "flash_free", "ram_free", "flash_protocols", "title")
    rows = [["BOARD", "CHIP", "CORE", "FLASH FREE", "RAM FREE", "PROTOCOLS", ""]]
    rows += [[as_text(row[key]) for key in columns] for row in described]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
