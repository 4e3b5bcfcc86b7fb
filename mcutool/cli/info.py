"""Say what a module is and needs: its size in flash and RAM on a board, its exports, imports and capabilities.

examples:
  mcutool info app.wasm --board stm32f405                       # does it fit?
  mcutool info app.mcu --json                                   # for a script
  mcutool info app.wasm --board stm32f405 --sbom > app.cdx.json # a bill of materials
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from mcutool import devices
from mcutool.cli.options import add_board, add_sizes, sizes
from mcutool.cli.progress import Stages
from mcutool.errors import DoesNotFit, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="APP.wasm, APP.wat or APP.mcu")
    add_board(parser)
    add_sizes(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one object")
    output.add_argument("--sbom", action="store_true", help="print a bill of materials, CycloneDX as JSON")


def execute(options: argparse.Namespace) -> int:
    from mcutool import program, sbom
    from mcutool.image import signing

    board = devices.board(options.board)
    with Stages() as stages:
        built = program.load(options.app, board, refuse=False, on_progress=stages, **sizes(options))
    told = built.report | {"signature": signing.told_by(built.image)}
    if options.json:
        print(json.dumps({"file": options.app, **told}))
    elif options.sbom:
        print(json.dumps(sbom.of(options.app, told, built.image), indent=2))
    else:
        show(options.app, told)
    return 0 if built.report["fits"] else DoesNotFit.exit_code


def show(file: str, report: dict[str, Any]) -> None:
    """Print a report of `mcutool.report`: in tables on a terminal, else as plain lines."""
    if not sys.stdout.isatty():
        print(render(file, report))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{file} on {report['board']}", style="bold"))
    for title, rows in sections(report):
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="cyan", min_width=WIDTH)
        table.add_column(justify="right", style="bold")
        table.add_column(style="dim", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(Text(f"\n{title}", style="bold cyan"), table)
    console.print(Text(f"\n{verdict(report)}", style="bold green" if report["fits"] else "bold red"))


def render(file: str, report: dict[str, Any]) -> str:
    """The report as plain lines."""
    lines = [f"{file} on {report['board']}"]
    for title, rows in sections(report):
        lines += ["", title, *(f"  {name:<{WIDTH}}{figure:>11}  {note}".rstrip() for name, figure, note in rows)]
    return "\n".join([*lines, "", verdict(report)])


WIDTH = 24
Row = tuple[str, str, str]


def sections(report: dict[str, Any]) -> list[tuple[str, list[Row]]]:
    """Titles with their rows: what it is, a figure in bytes, a remark."""
    found = [
        ("Flash, in bytes", _flash(report)),
        ("RAM, in bytes", _ram(report)),
        ("Stack of frames, at the most", _stack(report["frames"])),
        ("Stack in linear memory, at the most", _stack(report["shadow"] or ())),
        ("Interface", _interface(report)),
        ("Hints", [(hint["name"], "", f"{hint['cause']}: {hint['flag']}") for hint in report.get("hints", ())]),
    ]
    return [(title, [(printable(a), b, printable(c)) for a, b, c in rows]) for title, rows in found if rows]


def _flash(report: dict[str, Any]) -> list[Row]:
    flash = report["flash_bytes"]
    source, read_only = report.get("wasm_code"), flash["read_only"]
    return [
        ("image", _number(flash["image"]), f"of {_number(report['slot'])}"),
        ("  code", _number(flash["code"]), "" if source is None else f"from {_number(source)} of WebAssembly"),
        ("  data", _number(flash["data"]), f"{_number(read_only)} are read from here" if read_only else ""),
    ]


def _ram(report: dict[str, Any]) -> list[Row]:
    ram = report["ram"]
    bounds = [row["bytes"] for row in report["frames"]]
    known = max((size for size in bounds if size is not None), default=0)
    enough = f"too little for the {_number(known)} of the worst case" if known > ram["frame_stack"] else ""
    windows = ", ".join(f"{w['low']:#x} to {w['low'] + w['size']:#x}" for w in report["windows"] if not w["whole"])
    declared = f"of {_number(report['declared_memory'])} declared"
    remarks = {
        "linear_memory": f"{declared}, addresses {windows}" if windows else "all that is declared",
        "growth": "for memory.grow",
        "frame_stack": enough or ("for a recursion of unknown depth" if None in bounds else "all that calls can take"),
        "records": "of memories and tables, with guards and alignment",
    }
    rows = [("all", _number(ram["total"]), f"of {_number(report['arena'])}")]
    for name in ("linear_memory", "growth", "frame_stack", "globals", "tables", "exceptions", "records"):
        if ram[name]:
            rows.append((f"  {name.replace('_', ' ')}", _number(ram[name]), remarks.get(name, "")))
    return rows


def _stack(rows: Iterable[dict[str, Any]]) -> list[Row]:
    """A row for each export; instantiation is not worth one, unless it is all there is."""
    return [_stack_row(row) for row in rows if row["function"] != "instantiate"] or [_stack_row(row) for row in rows]


def _stack_row(row: dict[str, Any]) -> Row:
    """The chain of calls that takes the most, or the circle that has no end."""
    chain = " > ".join(_shortened(row["path"]))
    if row["recursive"]:
        return row["function"], "recursive", chain + (" (through a call by table)" if row["indirect"] else "")
    if row["bytes"] is None:
        return row["function"], "unknown", f"{row['path'][-1]} moves the stack pointer by no constant"
    return row["function"], _number(row["bytes"]), chain if len(row["path"]) > 1 else ""


def _shortened(path: list[str]) -> list[str]:
    return path if len(path) <= LONGEST_CHAIN else [*path[:3], "...", *path[4 - LONGEST_CHAIN :]]


LONGEST_CHAIN = 8


def _signature(signature: dict[str, Any] | None) -> str:
    if signature is None:
        return ""
    return f"with the key {signature['key_hash'][:16]}..., counter {signature['counter']}"


def _interface(report: dict[str, Any]) -> list[Row]:
    modules: dict[str, list[str]] = {}
    for name in report["imports"]:
        module, _, function = name.partition(".")
        modules.setdefault(module, []).append(function)
    rows = {
        "exports": ", ".join(report["exports"]),
        **{module: ", ".join(names) for module, names in modules.items()},
        "needs": ", ".join(report["needs"]),
        "granted": ", ".join(report["granted"]),
        "not granted on this board": ", ".join(report["ungranted"]),
        "not on this board": ", ".join(f"{name} (ENOSYS)" for name in report["missing"]),
        "features": ", ".join(report["features"]),
        "signed": _signature(report.get("signature")),
    }
    return [(name, "", text) for name, text in rows.items() if text]


def verdict(report: dict[str, Any]) -> str:
    """The last line: whether it fits, by how much not, and what to do."""
    if report["fits"]:
        flash = report["slot"] - report["flash_bytes"]["image"]
        ram = report["arena"] - report["ram"]["total"]
        return f"fits: {_number(flash)} bytes of flash and {_number(ram)} of RAM are left"
    names = {"flash": "flash", "ram": "RAM"}
    short = [f"{_number(size)} bytes of {names[what]} are missing" for what, size in report["short"].items() if size]
    smaller = [hint["flag"] for hint in report.get("hints", ()) if hint["smaller"]]
    refusal = report.get("refusal")
    action = refusal["next_action"] if refusal else "choose a larger board, see: mcutool boards"
    return f"does not fit: {' and '.join(short)}; {'; '.join(dict.fromkeys(smaller)) or action}"


def _number(size: int) -> str:
    return f"{size:,}"
