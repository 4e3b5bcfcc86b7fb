"""The helper in C: built where a compiler is, loaded where it was built, done without elsewhere.

This file decides where the library lies and whether there is one. It refuses to know what is in it. The wheel carries
it; from a checkout it is compiled on first use. Without it everything works, slower.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("helper.c")
LIBRARY = Path(__file__).with_name("_helper.so")


def build(target: Path = LIBRARY) -> bool:
    """Compile helper.c into `target`; False when there is no C compiler, or it fails."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return False
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    command = [*compiler.split(), "-O2", "-shared", "-fPIC", "-o", str(temporary), str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True)
        temporary.replace(target)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _places() -> Iterator[Path]:
    """Where the library may lie or be built: beside this file (as in the wheel), else in the user's cache."""
    yield LIBRARY
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcutool" / LIBRARY.name


@cache
def library() -> ctypes.CDLL | None:
    """The compiled helper, built on first use from a checkout; None when that is impossible."""
    if os.environ.get("MCUTOOL_HELPER") == "none":
        return None
    for place in _places():
        if not place.exists() or (SOURCE.exists() and place.stat().st_mtime < SOURCE.stat().st_mtime):
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if not build(place):
                continue
        try:
            return ctypes.CDLL(str(place))
        except OSError:
            continue
    return None


@cache
def note() -> str:
    """One line for the user when counting is slow, else an empty string."""
    if library():
        return ""
    return "note: no C compiler and no built helper, so instructions are counted in Python (slower, same counts)"


if __name__ == "__main__":
    sys.exit(0 if build() else "no C compiler: the helper was not built")
