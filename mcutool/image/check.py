"""What else must hold in an image for those who read it on this computer; the rest is what a board asks (verify.py).

This file decides whether the texts and names that no board looks at make sense. It refuses to know what a board checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mcutool.image.format import EXPORT_KINDS, LETTERS, Image

SIGNATURE = re.compile("[{0}]*>[{0}]*".format("".join(LETTERS.values())))
FUNCTION = EXPORT_KINDS.index("function")


def complaints(image: Image) -> Iterator[str]:
    """What is wrong, thing by thing."""
    for number, row in enumerate(image.signatures):
        if not SIGNATURE.fullmatch(row["text"]):
            yield f"type {number} is {row['text']!r:.40}"
    for number, row in enumerate(image.exports):
        if row["kind"] == FUNCTION and row["index"] >= len(image.functions):
            yield f"export {number} names a function that is not there"
