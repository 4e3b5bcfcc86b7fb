"""Signing an image as imgtool does: which bytes are hashed, and where the signature of that hash goes.

This file decides the order of the TLVs and whether a signature in an image is its owner's. It refuses to know where a
private key lies (`keys.py`), and needs none: what is to be signed can be carried elsewhere, and the signature brought.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutool.errors import UsageError
from mcutool.image import keys, mcuboot
from mcutool.image.format import (
    CONTAINER,
    CONTAINER_MAGIC,
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

_MAGIC = CONTAINER_MAGIC.to_bytes(4, "little")
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
    if not data.startswith(_MAGIC):
        raise UsageError(f"{name} is no image", next_action="build one: mcutool build APP.wasm")
    _whole(name, data)
    head = _container.parse(data)
    protected = b"" if counter is None else _area(TLV_PROTECTED_MAGIC, {TLV_COUNTER: counter.to_bytes(4, "little")})
    head.protected_tlv_size = len(protected)
    return Unsigned(_container.build(head) + data[_container.sizeof() : head.header_size + head.image_size] + protected)


def _whole(name: str, data: bytes) -> bytes:
    """The hash of an image. Raises UsageError when the image is not whole."""
    try:
        return mcuboot.read(name, data).hash
    except UsageError as error:
        raise UsageError(error.message, next_action="build it again") from None


def signature_of(digest: bytes, key: str | None, made_elsewhere: str | None) -> tuple[bytes, bytes]:
    """The public key and the signature: made with the private key in a file, or read. Raises UsageError."""
    if key is None:
        raise UsageError("which key?", next_action="name it with --key; make one with: mcutool keygen")
    if made_elsewhere is not None:
        return keys.owner(key), _read_signature(made_elsewhere)
    private = keys.private_key(key)
    return keys.raw_public(private), private.sign(digest)


def _read_signature(path: str) -> bytes:
    """As it is, as hexadecimal digits, or as base64, which imgtool writes."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", next_action="check the name of the file") from None
    for decode in (bytes, _from_hex, base64.b64decode):
        with suppress(ValueError):
            if len(signature := decode(data)) == keys.SIGNATURE_SIZE:
                return signature
    raise UsageError(
        f"{path} is no signature: it should be {keys.SIGNATURE_SIZE} bytes, or these as hex or base64",
        next_action="sign what `mcutool sign --digest` gives",
    )


def _from_hex(text: bytes) -> bytes:
    return bytes.fromhex(text.decode())


def counter_of(data: bytes) -> int:
    """The security counter of a sound image, 0 when it has none."""
    head = _container.parse(data)
    start = head.header_size + head.image_size
    protected = dict(tlvs(data, start, TLV_PROTECTED_MAGIC)) if head.protected_tlv_size else {}
    return int.from_bytes(protected.get(TLV_COUNTER, b""), "little")


def told_by(data: bytes) -> dict[str, Any] | None:
    """The hash of the key that a sound image says it is signed with, and its counter; None when it is not signed.

    Whether the signature is right only the key tells.
    """
    found = dict(tlvs(data, mcuboot.hashed_size(data)))
    if TLV_ED25519 not in found:
        return None
    return {"key_hash": found.get(TLV_KEYHASH, b"").hex(), "counter": counter_of(data)}


def require_signed(name: str, data: bytes, public: bytes | None) -> None:
    """Raises UsageError unless a file is an image that is signed, with that key if one is given."""
    signed = data.startswith(_MAGIC)
    digest = _whole(name, data) if signed else b""
    found = dict(tlvs(data, mcuboot.hashed_size(data))) if signed else {}
    if TLV_ED25519 not in found:
        raise UsageError(f"{name} is not signed", next_action="build and sign it: mcutool sign APP.mcu --key KEY.pem")
    if public is not None and not keys.holds(public, found[TLV_ED25519], digest):
        raise UsageError(f"{name} is not signed with this key", next_action="sign it with the key's private half")


def _area(magic: int, values: dict[int, bytes]) -> bytes:
    body = b"".join(_tlv.build(dict(type=kind, length=len(value))) + value for kind, value in values.items())
    return _tlv_info.build(dict(magic=magic, size=_tlv_info.sizeof() + len(body))) + body
