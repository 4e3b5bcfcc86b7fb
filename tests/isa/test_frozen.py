"""The instructions of a version stay what they are: boards run older firmware than the PC builds for."""

from __future__ import annotations

import hashlib

from mcutool.isa import ROWS, TRAPS

FROZEN = {1: "af7b2c3d6a21d0b6"}
"""By version: the digest of all that a row of it means on the wire. A change needs a new version and a row of its own
here; it never changes one that is here."""
TRAPS_OF_VERSION_1 = 20
"""Kinds that came later stand behind these: the host gives them, no translator writes them into an instruction."""


def test_rows_of_a_version_stay_as_they_are() -> None:
    found = {}
    for version in FROZEN:
        rows = [f"{r.name} {r.bits} {r.types} {r.meaning}" for r in ROWS if r.since == version]
        traps = [f"{trap.number} {trap.name}" for trap in TRAPS[:TRAPS_OF_VERSION_1]] if version == 1 else []
        found[version] = hashlib.sha256("\n".join(rows + traps).encode()).hexdigest()[:16]
    assert found == FROZEN
    assert {row.since for row in ROWS} == FROZEN.keys()
