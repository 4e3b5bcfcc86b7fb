"""From the text format to the bytes of a .wasm file, by wasmtime's assembler.

This file decides how text becomes bytes. It refuses to parse text itself; wasmtime is optional and only loaded here.
"""

from __future__ import annotations

import re

from mcutool.errors import InvalidModule, UsageError

# Characters that wasmtime refuses as they stand because they reorder what a person sees. Outside comments they can
# only stand in strings, where their escapes mean the same.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u206c]")
_PLACE = re.compile(r"--> <anon>:(\d+):(\d+)")


def assemble(text: str | bytes) -> bytes:
    """The .wasm file of a module in text format.

    Raises InvalidModule when the text is malformed, UsageError when wasmtime is not installed.
    """
    try:
        from wasmtime import WasmtimeError, wat2wasm
    except ImportError as error:
        raise UsageError(
            "reading the text format needs the package wasmtime", next_action="pip install 'mcutool[wat]'"
        ) from error
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return bytes(wat2wasm(_REORDERING.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)))
    except UnicodeDecodeError as error:
        where = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise InvalidModule(f"malformed text: {where} is no UTF-8", next_action="save the file as UTF-8") from error
    except WasmtimeError as error:
        what, _, excerpt = str(error).partition("\n")
        place = _PLACE.search(excerpt)
        where = f" at line {place[1]}, column {place[2]}" if place else ""
        raise InvalidModule(f"malformed text{where}: {what}", next_action="mend the text there") from error
