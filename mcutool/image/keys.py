"""Keys of Ed25519 in files: PEM as imgtool, OpenSSL and hardware security modules write it.

This file decides what is a key and how a key is named (the SHA-256 of its public half as DER). It refuses to know what
is signed. Whoever has only public keys needs no library: their DER is a constant before the 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mcutool.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_SIZE, SIGNATURE_SIZE = 32, 64
_DER = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410)."""
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----")
PUBLIC_SUFFIX = ".pub.pem"
PUBLIC, PRIVATE = b"PUBLIC KEY", b"PRIVATE KEY"


def public_key(path: str | Path) -> bytes:
    """The 32 bytes of the public key in a file. Raises UsageError, also when the file holds the private key."""
    kind, der = _pem(path)
    if PRIVATE in kind:
        raise UsageError(f"{path} holds a private key", next_action=f"give the public one, {public_name(path)}")
    if kind != PUBLIC or not der.startswith(_DER) or len(der) != len(_DER) + KEY_SIZE:
        raise UsageError(f"{path} holds no Ed25519 key", next_action="make one with: mcutool keygen")
    return der[len(_DER) :]


def owner(path: str | Path) -> bytes:
    """The 32 bytes of the public key that a file holds or whose private half it holds. Raises UsageError."""
    return raw_public(private_key(path)) if PRIVATE in _pem(path)[0] else public_key(path)


def name_of(public: bytes) -> bytes:
    """By what an image names the key that it is signed with."""
    return hashlib.sha256(_DER + public).digest()


def public_name(private: str | Path) -> Path:
    """The file of the public key beside that of the private one."""
    return Path(private).with_suffix(PUBLIC_SUFFIX)


def private_key(path: str | Path) -> Ed25519PrivateKey:
    """The private key in a file. Raises UsageError."""
    require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if PRIVATE not in _pem(path)[0]:
        raise UsageError(f"{path} holds no private key", next_action="name the file that mcutool keygen -o wrote")
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except TypeError:
        raise UsageError(
            f"{path} is protected by a password", next_action="sign with what knows it, see: mcutool sign --digest"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} holds no key that can be read", next_action="make one with: mcutool keygen") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds no Ed25519 key", next_action="make one with: mcutool keygen")
    return key


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of a private key's public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is that of the key's owner."""
    require_library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def generate(path: Path) -> Path:
    """Write a new private key, for its owner's eyes only, and its public half beside it, whose name is given.

    Raises UsageError when one of the files is there already, since a key that is lost cannot be made again, and when
    the private one would be called what public ones are called.
    """
    if path.name.endswith(PUBLIC_SUFFIX):
        raise UsageError(f"{path} is the name of a public key", next_action="name the private one with -o: KEY.pem")
    require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    public = public_name(path)
    for file in (path, public):
        if file.exists():
            raise UsageError(f"{file} exists already", next_action="choose another name with -o")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _create(path, private, 0o600)
    _create(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return public


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{path} exists already", next_action="choose another name with -o") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", next_action="choose another place with -o") from None


def _pem(path: str | Path) -> tuple[bytes, bytes]:
    """Kind and contents of the first object in a PEM file."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", next_action="check the name of the file") from None
    found = _PEM.search(text)
    try:
        return (found[1], base64.b64decode(found[2])) if found else (b"", b"")
    except binascii.Error:
        return b"", b""


def require_library() -> None:
    """Raises UsageError when the library that signs is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise UsageError(
            "signing needs the package cryptography", next_action="type: pip install 'mcutool[sign]'"
        ) from None
