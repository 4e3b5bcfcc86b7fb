"""List the boards, or describe one of them.

examples:
  mcutool boards                                                # all of them
  mcutool boards stm32f405                                      # console pins, boot jumper, light, memory
  mcutool boards --json                                         # for a script
"""

from __future__ import annotations

import argparse
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
        "flash_protocols": ([chip.bootrom.protocol] if chip.bootrom else []) + ["smp"],
        "emulated": board.emulated,
        "flash_free": chip.map.slot.size,
        "ram_free": chip.arena_size,
        "title": board.title,
        "vendor": board.vendor,
        "qemu": board.qemu,
        "console": board.console,
        "boot": board.boot,
    }


def as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def print_one(described: dict[str, Any]) -> None:
    for key, value in described.items():
        print(f"{key:<16}{as_text(value)}".rstrip())


def print_table(described: list[dict[str, Any]]) -> None:
    columns = ("name", "chip", "core", "flash_free", "ram_free", "flash_protocols", "title")
    rows = [["BOARD", "CHIP", "CORE", "FLASH FREE", "RAM FREE", "PROTOCOLS", ""]]
    rows += [[as_text(row[key]) for key in columns] for row in described]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
