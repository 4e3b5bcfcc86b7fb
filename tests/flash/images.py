"""Images to upload that are large and mean nothing: a board installs no bytes that it could not start."""

from __future__ import annotations

import random

from mcutool import devices
from mcutool.pipeline import build_image
from mcutool.wasm.text import assemble


def image_of(size: int, seed: int) -> bytes:
    """An image for any board, of about so many bytes, most of them random data that nobody reads."""
    data = "".join(f"\\{byte:02x}" for byte in random.Random(seed).randbytes(size))
    module = assemble(f'(module (func (export "f") (data.drop 0)) (data "{data}"))'.encode())
    return build_image(module, devices.board("microbit")).image
