"""The program that a person names on the command line: a module to build, or an image that was built before.

This file decides which kind of file it is and where the map of an image lies. It refuses to know how a module becomes
an image (`pipeline.py`) and what either holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcutool import fit
from mcutool.devices import Board
from mcutool.errors import DoesNotFit, UsageError
from mcutool.image.format import CONTAINER_MAGIC, parse
from mcutool.listing import dumped
from mcutool.pipeline import STAGES, Built, build_image


def read(path: str | Path) -> bytes:
    """The contents of a file; raises UsageError when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read {path}: {reason}", next_action="check the name of the file") from error


def load(path: str | Path, board: Board, **options: Any) -> Built:
    """The image in the file, or the one its module becomes for `board`; `options` are those of `build_image`."""
    data = read(path)
    if data[:4] != CONTAINER_MAGIC.to_bytes(4, "little"):
        return build_image(Path(path), board, **options)
    if any(options.get(size) is not None for size in ("memory", "heap", "stack")):
        raise UsageError(f"{path} is an image, whose sizes are fixed", next_action="give them when it is built")
    return Built(data, _read_map(map_path(path)), fit.report(parse(data), len(data), board))


def _read_map(path: Path) -> dict:
    """Names and positions of an image; nothing when its map was lost. Raises UsageError when the file is no map."""
    try:
        known = json.loads(read(path)) if path.exists() else {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise UsageError(f"{path} is no map of an image", next_action="build the image again, or delete the map")
    return known


def check_size(image: bytes, board: Board) -> None:
    """Raises DoesNotFit when the board has not the flash or the RAM for the image."""
    room, needed = board.chip.map.slot.size, parse(image).ram
    if len(image) > room:
        raise DoesNotFit(
            f"the image has {len(image)} bytes, the slot of {board.name} has {room}",
            next_action="choose a board with more flash, see: mcutool boards",
        )
    if needed > board.chip.arena_size:
        raise DoesNotFit(
            f"the image needs {needed} bytes of RAM, {board.name} has {board.chip.arena_size} for a module",
            next_action=f"it was built for another board; build it again with --board {board.name}",
        )


def printer(stage: str | None) -> Callable[[str, object], None]:
    """A dump for `build_image` that prints one stage, or nothing. Raises UsageError when there is no such stage."""
    if stage is not None and stage not in STAGES:
        raise UsageError(f"there is no stage {stage!r}", next_action=f"use one of: {', '.join(STAGES)}")
    return lambda reached, what: print(dumped(what)) if reached == stage else None


def save(built: Built, path: Path) -> None:
    """Write the image, and its map beside it; raises UsageError when that is impossible."""
    write(path, built.image)
    write(map_path(path), json.dumps(built.map).encode())


def write(path: Path, data: bytes) -> None:
    """Write a file that -o named; raises UsageError when that is impossible."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", next_action="choose another with -o") from error


def map_path(image: str | Path) -> Path:
    """Where the map of an image is kept."""
    return Path(image).with_suffix(".map.json")
