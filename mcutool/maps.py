"""Maps of the images that this user has installed or built, by the hash of the image: a board tells no more than that.

This file decides where they are kept and how many. It refuses to know what a map says. Nothing depends on it: a map
that cannot be kept or found only leaves places without names.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

HASH = 32  # bytes, at the end of an image
KEPT = 50


def folder() -> Path:
    """Where a program keeps what it can do without, on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "mcutool" / "maps"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mcutool" / "maps"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcutool" / "maps"


def keep(image: bytes, symbols: dict[str, Any]) -> None:
    """Remember the map of an image, and forget the oldest ones."""
    with suppress(OSError, RuntimeError):  # RuntimeError: the user has no home
        folder().mkdir(parents=True, exist_ok=True)
        path = folder() / f"{image[-HASH:].hex()}.json"
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
