"""What is installed on a board: list it, choose what is started, remove it, set what a program is given.

A board runs several programs side by side, its images 0, 1, ... Of each it holds the version that is started, and may
hold another. HASH is one from the list, or its beginning. Settings take the place of those that were; they count from
the next start on. With --json it is {"images": [{"image", "slot", "version", "settings", "hash", "active", ...}]}.

examples:
  mcutool modules --port /dev/ttyUSB0                           # what is installed
  mcutool modules activate 3fa9                                 # try it at the next start
  mcutool modules confirm                                       # keep what is on trial
  mcutool modules remove --all                                  # with --image 1 all of that image
  mcutool modules set --image 1 --arg fast --env LEVEL=3 --fuel 2.5
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from mcutool.cli.options import DEFAULT_BAUD, add_baud, add_port, assignment, integer, seconds, unicode
from mcutool.errors import UsageError

if TYPE_CHECKING:
    from mcutool.flash.smp_client import SmpClient

EMPTY_RESULT: dict[str, Any] = {"images": []}
ACTIONS = ("list", "activate", "confirm", "remove", "set")
LIST = "mcutool modules list"


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_number(value: object) -> bool:
    return type(value) is int


KINDS = {"args": _are_texts, "env": _are_texts, "fuel": _is_number, "grants": _is_number}
"""The settings, and what the value of each is."""
GIVEN = ("args", "env", "fuel")
MOST_FUEL = 0xFFFFFFFF // 1000  # seconds
FLAGS = ("active", "confirmed", "pending")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", default="list", choices=ACTIONS, help="default: list")
    parser.add_argument("hash", nargs="?", metavar="HASH", help="of activate and remove")
    add_port(parser)
    add_baud(parser)
    parser.add_argument("--image", type=integer, metavar="N", help="which image (default: 0, or any that has the hash)")
    parser.add_argument("--all", action="store_true", help="remove everything, or with --image all of that image")
    given = parser.add_argument_group("settings", "with set; what is not given is set to nothing")
    given.add_argument("--arg", type=unicode, action="append", default=[], metavar="A", help="an argument, repeatable")
    given.add_argument("--env", type=assignment, action="append", default=[], metavar="K=V", help="repeatable")
    given.add_argument("--fuel", type=_fuel, metavar="S", help="run time of each start in seconds (default: no limit)")
    parser.add_argument("--json", action="store_true", help="print an object")


def _fuel(text: str) -> float:
    """A duration that a board can count, in milliseconds."""
    value = seconds(text)
    if not 0.001 <= value <= MOST_FUEL:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0.001 and {MOST_FUEL} seconds")
    return value


def execute(options: argparse.Namespace) -> int:
    from mcutool import devices
    from mcutool.flash.link import SerialLink, choose_port
    from mcutool.flash.smp_client import SmpClient

    _check(options)
    known = [identity for board in devices.boards() for identity in board.usb_identities]
    link = SerialLink(
        options.port or choose_port(known), options.baud or DEFAULT_BAUD, baud_is_fixed=options.baud is not None
    )
    try:
        client = SmpClient(link)
        _act(client, options)
        shown = _listed(client, options.image if options.action == "list" else None)
        images = [entry | {"settings": _settings(client, entry["image"])} for entry in shown]
    finally:
        link.close()
    print(json.dumps({"images": [_plain(entry) for entry in images]}) if options.json else render(images))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for words that do not belong together."""
    needs_hash = options.action == "activate" or (options.action == "remove" and not options.all)
    if needs_hash and not options.hash:
        raise UsageError(f"{options.action} which one?", next_action=f"give the hash of one, see: {LIST}")
    if options.hash and not needs_hash:
        raise UsageError(f"{options.action} takes no hash", next_action="leave it out")
    if (options.arg or options.env or options.fuel is not None) and options.action != "set":
        raise UsageError(f"{options.action} takes no settings", next_action="use: mcutool modules set")
    if options.all and options.action != "remove":
        raise UsageError(f"{options.action} takes no --all", next_action="leave it out")
    if options.action == "set":
        from mcutool.run import check_strings

        check_strings(*options.arg, *options.env)


def _act(client: SmpClient, options: argparse.Namespace) -> None:
    number = options.image or 0
    if options.action == "activate":
        entry = _found(client, options)
        client.activate(entry["hash"], entry["image"])
    elif options.action == "confirm":
        if not _listed(client, number):
            raise UsageError(f"nothing is installed as image {number}", next_action=f"see: {LIST}")
        client.confirm(number)
    elif options.action == "remove" and options.all:
        client.erase(options.image)
    elif options.action == "remove":
        entry = _found(client, options)
        client.remove(entry["hash"], entry["image"])
    elif options.action == "set":
        _check_number(client, number)
        others = {key: value for key, value in _settings(client, number).items() if key not in GIVEN}
        given = {"args": options.arg, "env": options.env, "fuel": round(1000 * (options.fuel or 0))}
        client.set_settings(others | {key: value for key, value in given.items() if value}, number)


def _check_number(client: SmpClient, number: int) -> None:
    """Raises UsageError when the board has no such image."""
    from mcutool import devices
    from mcutool.flash.protocols import smp

    board = devices.board(client.read(smp.RUNTIME, smp.RUNTIME_INFO).get("board", ""))
    if number >= board.chip.images:
        last = board.chip.images - 1
        raise UsageError(f"{board.name} has no image {number}", next_action=f"use --image 0 to {last}")


def _listed(client: SmpClient, number: int | None = None) -> list[dict[str, Any]]:
    """The versions of one image or of all, each with its image; a server with one image need not tell it.

    What is damaged has no hash.
    """
    entries = (entry for entry in client.images() if isinstance(entry, dict))
    known = (entry for entry in entries if isinstance(entry.get("hash", b""), bytes))
    listed = [{"image": 0, "slot": 0, "version": ""} | entry for entry in known]
    return [entry for entry in listed if number in (None, entry["image"])]


def _found(client: SmpClient, options: argparse.Namespace) -> dict[str, Any]:
    """The version that is meant. Raises UsageError when there is none, or more than one."""
    fitting = [
        entry
        for entry in _listed(client, options.image)
        if entry.get("hash", b"").hex().startswith(options.hash.lower())
    ]
    if len({(entry["hash"], entry["image"]) for entry in fitting}) != 1:
        what = "several versions have" if fitting else "nothing that is installed has"
        advice = f"give more of it, or --image N; see: {LIST}" if fitting else f"see: {LIST}"
        raise UsageError(f"{what} a hash that begins with {options.hash}", next_action=advice)
    return fitting[0]


def _settings(client: SmpClient, number: int) -> dict[str, Any]:
    """An image's settings, as far as they make sense; none on a board whose runtime is older than they are."""
    from mcutool.flash.smp_client import NotSupported

    try:
        settings = client.settings(number)
    except NotSupported:
        return {}
    return {key: settings[key] for key, makes_sense in KINDS.items() if key in settings and makes_sense(settings[key])}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as JSON can hold it; what the board leaves out is false."""
    flags = {flag: bool(entry.get(flag)) for flag in FLAGS}
    shown = {key: entry[key] for key in ("image", "slot", "version", "settings")}
    return shown | {"hash": entry.get("hash", b"").hex()} | flags


def render(images: list[dict[str, Any]]) -> str:
    """The list for people: an image's settings stand once, below its first version."""
    lines: list[str] = []
    for entry in images:
        state = ", ".join(flag for flag in FLAGS if entry.get(flag)) or "candidate"
        if state == "active":
            state = "active, on trial"
        name = entry["hash"].hex()[:16] if "hash" in entry else "damaged"
        lines.append(f"image {entry['image']}  {name:<16}  {entry['version']:<10} {state}")
    shown = {entry["image"]: entry["settings"] for entry in images if entry["settings"]}
    lines += [f"image {number}  {_render_settings(settings)}" for number, settings in shown.items()]
    return "\n".join(lines) or "nothing is installed"


def _render_settings(settings: dict[str, Any]) -> str:
    parts = [f"--arg {text}" for text in settings.get("args", [])] + [
        f"--env {text}" for text in settings.get("env", [])
    ]
    if settings.get("fuel"):
        parts.append(f"--fuel {settings['fuel'] / 1000:g}")
    if "grants" in settings:
        parts.append(f"grants {settings['grants']:#x}")
    return "set " + " ".join(parts)
