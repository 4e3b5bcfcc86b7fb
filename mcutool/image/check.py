"""What must hold between the records of an image, as firmware_runtime/image.c checks it before anything runs.

This file decides whether every number in a record names something that is there. It refuses to read code: what
instructions name is not checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mcutool.image.format import EXPORT_KINDS, LETTERS, MEMORY_FLASH, NONE, Image

SIGNATURE = re.compile("[{0}]*>[{0}]*".format("".join(LETTERS.values())))
FUNCTION = EXPORT_KINDS.index("function")
LARGEST_PAGE = 16  # as a power of two


def complaints(image: Image) -> Iterator[str]:
    """What is wrong, thing by thing; nothing in an image that a board takes."""
    functions, signatures = len(image.functions), len(image.signatures)
    for number, row in enumerate(image.functions):
        limit = len(image.imports if row["module"] == NONE else image.code)
        if row["code"] >= limit or row["signature"] >= signatures or NONE != row["module"] >= len(image.modules):
            yield f"function {number} lies outside it"
    for number, row in enumerate(image.signatures):
        if not SIGNATURE.fullmatch(row["text"]):
            yield f"type {number} is {row['text']!r:.40}"
    for number, row in enumerate(image.imports):
        if row["signature"] >= signatures:
            yield f"import {number} has no type"
    for number, row in enumerate(image.modules):
        memory, start = row["memory"], row["start"]
        if NONE != memory >= len(image.memories) or row["instantiate"] >= functions or NONE != start >= functions:
            yield f"module {number} names what it does not have"
    for number, row in enumerate(image.exports):
        if row["kind"] == FUNCTION and row["index"] >= functions:
            yield f"export {number} names a function that is not there"
    for row in image.memories:
        declared = row["minimum"] << min(row["page_log2"], LARGEST_PAGE)
        if row["page_log2"] > LARGEST_PAGE or row["window_low"] + row["window_size"] > declared:
            yield "a memory is backed where it does not reach"
        if row["flags"] & MEMORY_FLASH:
            number = row["flags"] >> 16
            if number >= len(image.datas) or len(image.datas[number]) > row["window_low"]:
                yield "a memory is backed where it does not reach"
    for row in image.handlers:
        if row["target"] >= len(image.code) or NONE != row["tag"] >= len(image.tags):
            yield "its exception handlers are wrong"
