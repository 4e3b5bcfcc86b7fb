"""Where an image comes from and what it may do: the module it was made of, the tool, the capabilities it was granted.

This file decides what is written into an image about that, and which import stops it on the PC because nobody granted
what the function needs. It refuses to know how an image holds it (`image/format.py`) and what a person is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace

from mcutool import __version__, hostapi
from mcutool.devices import Board
from mcutool.errors import Unsupported
from mcutool.image.format import FORMAT_VERSION, Image, Provenance, parsed

TOOL = f"mcutool {__version__}"


def of(wasm: bytes, image: Image, grants: Collection[str] | None) -> Provenance:
    """What an image says that was made of the bytes of a .wasm; without `grants` it is granted what it imports."""
    granted = hostapi.needed(imported(image)) if grants is None else grants
    return Provenance(hashlib.sha256(wasm).digest(), hostapi.mask(granted), TOOL)


def imported(image: Image) -> list[hostapi.HostFunction]:
    """The functions of the board that the image imports, as far as they are known."""
    found = [hostapi.find(row["module_name"], row["name"]) for row in image.imports]
    return [function for function in found if function is not None]


def granted(image: Image) -> list[str]:
    """The capabilities that the image was granted: all of them, when it is of format 1 and says nothing."""
    return hostapi.granted(image.provenance.grants) if image.provenance else list(hostapi.GRANTS)


def check(image: Image, grants: Collection[str] | None) -> None:
    """Raises Unsupported for the first import that a person's `grants` do not allow."""
    if grants is not None:
        functions = imported(image)
        enough = [name for name in hostapi.GRANTS if name in {*hostapi.needed(functions), *grants}]
        _check(functions, grants, "", f"leave it out of the program, or grant it: --grant {','.join(enough)}")


def check_board(image: Image, board: Board) -> None:
    """Raises Unsupported for the first import for which the board would refuse the image."""
    there = ", ".join(board.grants) or "nothing"
    functions = imported(image)
    _check(functions, granted(image), " by its image", "build the image again, with that in --grant")
    _check(functions, board.grants, f" on {board.name}", f"its board file grants {there}; choose another board")


def _check(functions: list[hostapi.HostFunction], allowed: Collection[str], where: str, next_action: str) -> None:
    for function in hostapi.unavailable(functions, allowed):
        raise Unsupported(
            f"import not granted{where}: {function.module}.{function.name} needs {function.capability}",
            next_action=next_action,
        )


def render_grants(granted: Collection[str]) -> str:
    """What a module may use of a board, for people."""
    return f"granted: {', '.join(granted) or 'nothing of the board'}"


def for_format(image: bytes, newest: int) -> bytes:
    """The same image for a firmware that reads no format above `newest`: format 1 has no provenance."""
    if newest >= FORMAT_VERSION or parsed(image).format <= newest:
        return image
    return replace(parsed(image), provenance=None).build()
