"""The program that a person names on the command line: a module to build, or an image that was built before.

This file decides which kind of file it is, where the map of an image lies, and that nothing is built twice. It refuses
to know how a module becomes an image (`pipeline.py`) and what either holds. It imports both only when it comes to that:
an image that was built before is there at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from mcutool import cache, maps
from mcutool.built import Built
from mcutool.devices import Board
from mcutool.errors import DoesNotFit, InvalidModule, Unsupported, UsageError, choose_from, printable
from mcutool.image.format import CONTAINER_MAGIC, parse, parsed
from mcutool.isa import FEATURES, ISA_VERSION
from mcutool.progress import OnProgress, ignore

MAP_ROWS = {"functions": (int, str, int, int), "positions": (int, int)}
"""Lists of a map, and the types of their rows."""
AGAIN = "build it again"
DEFAULTS = {"memory": None, "heap": None, "stack": None, "rodata": "ram", "grants": None, "refuse": True}
"""The options of `build_image` that decide what comes out: one that says nothing new makes no other build."""


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
    try:
        if data[:4] == CONTAINER_MAGIC.to_bytes(4, "little"):
            return _load_image(Path(path), data, board, options)
        if not data:
            raise InvalidModule("the file is empty")
        return build(assembled(Path(path), data), board, **options)
    except (InvalidModule, Unsupported) as error:
        error.about(path, next_action=_other_kind(Path(path), data))
        raise


def build(
    module: bytes,
    board: Board,
    dump: Callable[[str, object], None] | None = None,
    on_progress: OnProgress = ignore,
    **options: Any,
) -> Built:
    """What `build_image` makes of the bytes of a .wasm; with the same options it is built once.

    With a `dump` it is built again: the stages are what was asked for. Refusals are not remembered.
    """

    def translate() -> Built:
        from mcutool.pipeline import build_image

        return build_image(module, board, dump=dump or (lambda _, __: None), on_progress=on_progress, **options)

    said = {name: value for name, value in options.items() if DEFAULTS[name] != value}
    return translate() if dump else cache.once(module, board, said, translate)


def assembled(path: Path, data: bytes) -> bytes:
    """The bytes of a .wasm: those of the file, or what its text says."""
    if path.suffix != ".wat" or data.startswith(b"\0asm"):
        return data
    from mcutool.wasm.text import assemble

    return assemble(data)


def _other_kind(path: Path, data: bytes) -> str:
    """Advice when the file is of a kind that people take for a module."""
    if data.lstrip().startswith((b"(module", b";;")) and path.suffix != ".wat":
        return f"it is in the text format: rename {path.name} to {path.with_suffix('.wat').name}"
    if data.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe")):
        return "it is a program for a PC or a chip: compile it for WebAssembly, for example with --target=wasm32-wasi"
    return ""


OF_THE_BOARD = ("IMPORT", "IMPORT_TYPE", "UNGRANTED")
"""Faults that are not the image's: what a board offers and grants is compared where the board is known."""


def _load_image(path: Path, data: bytes, board: Board, options: dict[str, Any]) -> Built:
    """An image as it is. Raises InvalidModule when it is damaged or not of this version."""
    from mcutool import provenance, report
    from mcutool.callgraph import CallGraph
    from mcutool.image.check import complaints
    from mcutool.image.faults import FAULTS
    from mcutool.image.verify import verify

    wishes = [options.get(size) for size in ("memory", "heap", "stack")]
    if options.get("dump"):
        raise UsageError(f"{path} is an image, past all stages", next_action="name its module; or see: mcutool disasm")
    if any(wish is not None for wish in wishes) or options.get("rodata") == "flash":
        raise UsageError(f"{path} is an image, whose sizes are fixed", next_action="give them when it is built")
    image = parse(data)
    if image.isa > ISA_VERSION:
        raise InvalidModule(
            f"its bytecode is of ISA {image.isa}, this mcutool is for ISA {ISA_VERSION}",
            next_action="install a newer mcutool",
        )
    if image.features & ~sum(FEATURES.values()):
        raise InvalidModule("it uses a feature that this mcutool does not know", next_action="install a newer mcutool")
    fault = verify(data).fault
    for complaint in [FAULTS[fault]] if fault not in ("", *OF_THE_BOARD) else complaints(image):
        raise InvalidModule(f"the image is damaged: {complaint}", next_action=AGAIN)
    provenance.check(image, options.get("grants"))
    if options.get("refuse", True):
        provenance.check_board(image, board)
    symbols = read_map(map_path(path))
    try:
        return Built(data, symbols, report.of_image(image, len(data), board, symbols, CallGraph(image)))
    except (LookupError, ValueError) as error:  # its hash is right, but its code was not made by us
        raise InvalidModule("the image is damaged: its code makes no sense", next_action=AGAIN) from error


def read_map(path: Path) -> dict:
    """Names and positions of an image; nothing when its map was lost. Raises UsageError when the file is no map."""
    known: Any
    try:
        known = json.loads(read(path)) if path.exists() else {}
    except ValueError:
        known = None
    if not _is_map(known):
        raise UsageError(f"{path} is no map of an image", next_action="build the image again, or delete the map")
    return known


def _is_map(known: Any) -> bool:
    """Whether it has the shape of what `pipeline.py` writes."""
    if not isinstance(known, dict):
        return False
    for name, kinds in MAP_ROWS.items():
        rows = known.get(name, [])
        if not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
            return False
        if any(tuple(map(type, row)) != kinds for row in rows):
            return False
    sections = known.get("debug_sections", {})
    texts = isinstance(sections, dict) and all(isinstance(text, str) for text in sections.values())
    return texts and isinstance(known.get("debug_code", 0), int)


def check_size(image: bytes, board: Board) -> None:
    """Raises DoesNotFit when the board has not the flash or the RAM for the image."""
    room, needed = board.chip.map.slot.size, parsed(image).ram
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


def printer(stage: str | None, output: TextIO) -> Callable[[str, object], None] | None:
    """A dump for `build` that prints one stage. Raises UsageError when there is no such stage."""
    if stage is None:
        return None
    from mcutool.dumps import ALL, STAGES, shown

    if stage not in (*STAGES, ALL):
        raise UsageError(f"there is no stage {stage!r}", next_action=choose_from(stage, [*STAGES, ALL]))

    def show(reached: str, what: object) -> None:
        if (text := shown(stage, reached, what)) is not None:
            print(printable(text), file=output)

    return show


def save(built: Built, path: Path) -> None:
    """Write the image, and its map beside it; raises UsageError when that is impossible."""
    write(path, built.image)
    write(map_path(path), json.dumps(built.map).encode())
    maps.keep(built.image, built.map)


def save_signed(unsigned: Path, path: Path, image: bytes) -> None:
    """Write an image that was made of another one by signing it, with the same map beside it."""
    symbols = read_map(map_path(unsigned))
    write(path, image)
    if symbols:
        write(map_path(path), json.dumps(symbols).encode())
        maps.keep(image, symbols)


def write(path: Path, data: bytes) -> None:
    """Write a file that -o named; raises UsageError when that is impossible."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", next_action="choose another with -o") from error


def map_path(image: str | Path) -> Path:
    """Where the map of an image is kept."""
    return Path(image).with_suffix(".map.json")
