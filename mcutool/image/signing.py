"""Signing an image as imgtool does: which bytes are hashed, and where the signature of that hash goes.

This file decides the order of the TLVs and whether a signature in an image is its owner's. It refuses to know where a
private key lies (`keys.py`), and needs none: what is to be signed can be carried elsewhere, and the signature brought.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mcutool.errors import ImageRefused, UsageError
from mcutool.image import keys, mcuboot
from mcutool.image.format import (
    CONTAINER,
    TLV,
    TLV_COUNTER,
    TLV_ED25519,
    TLV_INFO,
    TLV_KEYHASH,
    TLV_MAGIC,
    TLV_PROTECTED_MAGIC,
    TLV_SHA256,
    struct_of,
    tlvs,
)

_container, _tlv_info, _tlv = struct_of(CONTAINER), struct_of(TLV_INFO), struct_of(TLV)


@dataclass(frozen=True)
class Unsigned:
    """All of an image that a signature covers, and the hash of that, which is what is signed."""

    hashed: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.hashed).digest()

    def signed(self, public: bytes, signature: bytes) -> bytes:
        """The image with a signature of the digest. Raises UsageError when it is not that of the key's owner."""
        if len(signature) != keys.SIGNATURE_SIZE or not keys.holds(public, signature, self.digest):
            raise UsageError(
                "the signature does not fit the image and the key",
                next_action="sign what `mcutool sign --digest` gives for the same image and --counter",
            )
        values = {TLV_SHA256: self.digest, TLV_KEYHASH: keys.name_of(public), TLV_ED25519: signature}
        return self.hashed + _area(TLV_MAGIC, values)


def prepare(name: str, data: bytes, counter: int | None) -> Unsigned:
    """What is to be signed of an image in a file, whatever signature and counter it has. Raises UsageError."""
    mcuboot.read(name, data)
    head = _container.parse(data)
    protected = b"" if counter is None else _area(TLV_PROTECTED_MAGIC, {TLV_COUNTER: counter.to_bytes(4, "little")})
    head.protected_tlv_size = len(protected)
    return Unsigned(_container.build(head) + data[_container.sizeof() : head.header_size + head.image_size] + protected)


def counter_of(data: bytes) -> int:
    """The security counter of a sound image, 0 when it has none."""
    head = _container.parse(data)
    start = head.header_size + head.image_size
    protected = dict(tlvs(data, start, TLV_PROTECTED_MAGIC)) if head.protected_tlv_size else {}
    return int.from_bytes(protected.get(TLV_COUNTER, b""), "little")


def require_signed(name: str, data: bytes, public: bytes | None) -> None:
    """Raises ImageRefused unless an image is signed, with that key if one is given."""
    image = mcuboot.read(name, data)
    found = dict(tlvs(data, mcuboot.hashed_size(data)))
    if TLV_ED25519 not in found:
        raise ImageRefused(f"{name} is not signed", next_action="sign it: mcutool sign APP.mcu --key KEY.pem")
    if public is not None and not keys.holds(public, found[TLV_ED25519], image.hash):
        raise ImageRefused(f"{name} is not signed with this key", next_action="see: mcutool sign --help")


def _area(magic: int, values: dict[int, bytes]) -> bytes:
    body = b"".join(_tlv.build(dict(type=kind, length=len(value))) + value for kind, value in values.items())
    return _tlv_info.build(dict(magic=magic, size=_tlv_info.sizeof() + len(body))) + body
