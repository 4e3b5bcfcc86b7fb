"""A bill of materials for an image, in CycloneDX 1.6 as JSON: what it was made of, by what, and what it may do.

This file decides which fact goes where in that format. It refuses to know how the facts are found (`report.py`).
The same image gives the same bytes: no date, and a serial number that follows from the image's hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from mcutool import __version__

SPECIFICATION = "1.6"
IMAGE, MODULE = "image", "module"
"""How the two refer to each other."""


def of(file: str, report: dict[str, Any], image: bytes) -> dict[str, Any]:
    """The bill of an image with the report about it; `file` is the module or the image that was named."""
    digest = hashlib.sha256(image).digest()
    name = Path(file).stem
    parts = [*_module(name, report), *_tools(report)]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": UUID(bytes=digest[:16], version=5).urn,
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "mcutool", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": IMAGE,
                "name": f"{name}.mcu",
                "hashes": [_hash(digest.hex())],
                "properties": _properties(_facts(report)),
            },
        },
        "components": parts,
        "dependencies": [
            {"ref": IMAGE, "dependsOn": [part["bom-ref"] for part in parts if part["bom-ref"] == MODULE]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }


def _facts(report: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "board", report["board"]
    yield "isa", str(report["isa"])
    if report["tool"]:
        yield "made-by", report["tool"]
    if signature := report.get("signature"):
        yield "signed-with", signature["key_hash"]
        yield "counter", str(signature["counter"])
    for kind, names in (("feature", "features"), ("import", "imports"), ("grant", "granted"), ("export", "exports")):
        yield from ((kind, name) for name in report[names])


def _module(name: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """The WebAssembly module; an image of format 1 does not say which it was."""
    if not report["wasm_sha256"]:
        return []
    languages = (("language", _versioned(*row)) for row in _producers(report, "language"))
    return [
        {
            "type": "application",
            "bom-ref": MODULE,
            "mime-type": "application/wasm",
            "name": f"{name}.wasm",
            "hashes": [_hash(report["wasm_sha256"])],
            "properties": _properties(languages),
        }
    ]


def _tools(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The compilers of the module: nothing of them runs, so they are excluded."""
    found = dict.fromkeys([*_producers(report, "processed-by"), *_producers(report, "sdk")])
    return [
        {
            "type": "application",
            "bom-ref": f"tool-{number}",
            "name": name,
            "scope": "excluded",
            **({"version": version} if version else {}),
        }
        for number, (name, version) in enumerate(found)
    ]


def _producers(report: dict[str, Any], field: str) -> list[tuple[str, str]]:
    return [(name, version) for name, version in report.get("producers", {}).get(field, [])]


def _versioned(name: str, version: str) -> str:
    return f"{name} {version}".strip()


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _properties(facts: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": f"mcutool:{name}", "value": value} for name, value in facts]
