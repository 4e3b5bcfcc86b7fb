"""Maps of the images that this user has installed or built, by the hash of the image: a board tells no more than that.

This file decides how many are kept and how they are found. It refuses to know what a map says. Nothing depends on it: a
map that cannot be kept or found only leaves places without names.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mcutool import cache
from mcutool.image.format import digest_of

KEPT = 50


def folder() -> Path:
    """Where they lie. Raises RuntimeError when the user has no home."""
    return cache.folder() / "maps"


def keep(image: bytes, symbols: dict[str, Any]) -> None:
    """Remember the map of an image, and forget the oldest ones."""
    with suppress(OSError, RuntimeError):  # RuntimeError: the user has no home
        folder().mkdir(parents=True, exist_ok=True)
        path = folder() / f"{digest_of(image).hex()}.json"
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(symbols), encoding="utf-8")
        temporary.replace(path)
        for old in sorted(folder().glob("*.json"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink()


def find(digest: bytes) -> Path | None:
    """The file with the map of the image with this hash."""
    with suppress(OSError, RuntimeError):
        path = folder() / f"{digest.hex()}.json"
        return path if path.exists() else None
    return None
