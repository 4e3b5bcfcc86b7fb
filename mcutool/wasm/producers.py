"""Who made a module: the custom section "producers" (WebAssembly tool conventions, "Producers Section").

This file decides what of it can be believed: a section that is damaged says nothing. It refuses to know who asks.
"""

from __future__ import annotations

from mcutool.errors import InvalidModule
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.module import Module

SECTION = "producers"
Producers = dict[str, list[tuple[str, str]]]
"""By field, which is "language", "processed-by" or "sdk": names and versions."""


def producers(module: Module) -> Producers:
    """What the module's section says; nothing when it has none, or none that makes sense."""
    for name, contents, _ in module.customs:
        if name == SECTION:
            try:
                return _read(Cursor(contents))
            except InvalidModule:
                return {}
    return {}


def _read(cursor: Cursor) -> Producers:
    return dict(cursor.vector(lambda: (cursor.name(), cursor.vector(lambda: (cursor.name(), cursor.name())))))
