"""What this user has built before: the same module, options, board and tool give the same image again.

This file decides where a program keeps what it can do without, what makes two builds the same, and how many are kept.
It refuses to know how a module is built. Nothing depends on it: what cannot be kept or found is built again.
MCUTOOL_CACHE=0 in the environment turns it off.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from mcutool import STARTED
from mcutool.built import Built
from mcutool.devices import Board

VARIABLE = "MCUTOOL_CACHE"
ROOM = 64 << 20
"""Bytes that all of it may take; what has not been asked for longest goes first."""
MISTAKES = (OSError, RuntimeError, ValueError)
"""A folder that is closed to us, a full disk; no home; a damaged file."""


def folder() -> Path:
    """Where a program keeps what it can do without, on this system. Raises RuntimeError when the user has no home."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "mcutool"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mcutool"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcutool"


def once(module: bytes, board: Board, options: dict[str, Any], build: Callable[[], Built]) -> Built:
    """What `build` makes of the module, or has made of it before."""
    if os.environ.get(VARIABLE) == "0" or not (ours := tool()):
        return build()
    facts = repr((board, sorted(options.items()))).encode()
    key = hashlib.sha256(ours + hashlib.sha256(facts).digest() + module).hexdigest()
    built = find(key)
    if built is None:
        built = build()
        if tool() == ours:
            keep(key, built)
    return built


def tool() -> bytes:
    """The tool itself, every line of it, since its version tells nothing of a change in a checkout; nothing where its
    sources do not lie, or may be others than those that run."""
    hash_ = hashlib.sha256()
    with suppress(OSError):
        sources = sorted(Path(__file__).parent.rglob("*.py"))
        for source in sources:
            if source.stat().st_mtime > STARTED:
                return b""
            hash_.update(hashlib.sha256(source.read_bytes()).digest())
        return hash_.digest() if sources else b""
    return b""


def find(key: str) -> Built | None:
    """What was kept under that key, if it is whole."""
    with suppress(*MISTAKES):
        path = _builds() / key
        data = path.read_bytes()
        digest, rest = data[:32], data[32:]
        if hashlib.sha256(rest).digest() == digest:
            with suppress(OSError):  # it may be somebody else's to change
                os.utime(path)
            return Built.from_bytes(rest)
    return None


def keep(key: str, built: Built) -> None:
    """Remember it, whatever other processes do there at the same time, and forget the oldest ones."""
    data = built.to_bytes()
    if len(data) > ROOM:
        return
    with suppress(*MISTAKES):
        _builds().mkdir(parents=True, exist_ok=True)
        _write(_builds() / key, hashlib.sha256(data).digest() + data)
        _forget()


def _builds() -> Path:
    return folder() / "builds"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _forget() -> None:
    files = [(file.stat(), file) for file in os.scandir(_builds())]
    files.sort(key=lambda pair: pair[0].st_mtime_ns, reverse=True)
    for (_, file), total in zip(files, accumulate(status.st_size for status, _ in files), strict=True):
        if total > ROOM:
            os.unlink(file)
