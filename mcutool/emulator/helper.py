"""The helper in C: built where a compiler is, loaded where it was built, done without elsewhere.

This file decides where the library lies and whether there is one. It refuses to know what is in it. The wheel carries
it; from a checkout it is compiled on first use. Without it everything works, slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("helper.c")
# The name tells from which source the library was built: an outdated one is never loaded.
LIBRARY = SOURCE.with_name(f"_helper-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]}.so")


def build(target: Path) -> bool:
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
    with suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcutool" / LIBRARY.name


@cache
def library() -> ctypes.CDLL | None:
    """The compiled helper, built on first use from a checkout; None when that is impossible.

    The environment variable MCUTOOL_HELPER=none does without it, to see that everything works in Python alone.
    """
    if os.environ.get("MCUTOOL_HELPER") == "none":
        return None
    for place in _places():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() or build(place):
                return ctypes.CDLL(str(place))
        except OSError:  # no permission there, or built for another computer
            continue
    return None


if __name__ == "__main__":  # helper.py FOLDER builds for a wheel
    sys.exit(0 if build(Path(sys.argv[1]) / LIBRARY.name) else "no C compiler: the wheel will do without the helper")
