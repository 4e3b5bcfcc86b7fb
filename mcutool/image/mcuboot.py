"""An image as MCUboot takes it: which bytes say its version, its hash, and how long it is.

This file decides whether a file is such an image and whether it is whole. It refuses to know what the image holds, who
signed it, and how it gets to a board. An `.mcu` image is one too (`format.py`, whose tables it shares).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from construct import ConstructError

from mcutool.errors import UsageError
from mcutool.image.format import CONTAINER, CONTAINER_MAGIC, struct_of, tlvs

HASHES = {0x10: hashlib.sha256, 0x11: hashlib.sha384, 0x12: hashlib.sha512}
"""The TLVs that hold the hash of all that stands before them."""
ENCRYPTED = 0x4 | 0x8
"""Flags of an image whose hash is that of the text before it was encrypted."""

_container = struct_of(CONTAINER)


@dataclass(frozen=True)
class SignedImage:
    """`hash` is what a server lists the image by; `version` is written as servers write it."""

    data: bytes
    version: str
    hash: bytes


def read(name: str, data: bytes) -> SignedImage:
    """The image in a file's contents. Raises UsageError when there is none, or not a whole one."""
    try:
        return _read(data)
    except (ConstructError, ValueError) as error:
        reason = "it ends too early" if isinstance(error, ConstructError) else error
        raise UsageError(
            f"{name} is no image for MCUboot: {reason}",
            next_action="sign the program's .bin, also when without a key: imgtool sign --version 1.0.0 --header-size"
            " 0x200 --pad-header --align 4 --slot-size SIZE IN OUT; Zephyr has done so in zephyr.signed.bin",
        ) from None


def hashed_size(data: bytes) -> int:
    """How many bytes of an image its hash is of: header, contents, and the TLVs that it protects."""
    head = _container.parse(data)
    return head.header_size + head.image_size + head.protected_tlv_size


def _read(data: bytes) -> SignedImage:
    head = _container.parse(data)
    if head.magic != CONTAINER_MAGIC:
        raise ValueError(f"it begins with {data[:4].hex()}, not {CONTAINER_MAGIC.to_bytes(4, 'little').hex()}")
    hashed = data[: hashed_size(data)]
    hashes = [(kind, value) for kind, value in tlvs(data, len(hashed)) if kind in HASHES]
    if not hashes:
        raise ValueError("it has no hash")
    kind, value = hashes[0]
    if not head.flags & ENCRYPTED and HASHES[kind](hashed).digest() != value:
        raise ValueError("it is damaged, its hash is wrong")
    version = f"{head.major}.{head.minor}.{head.revision}" + (f".{head.build}" if head.build else "")
    return SignedImage(data, version, value)
