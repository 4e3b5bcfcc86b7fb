"""What a translation gives: the image, its map and its report.

This file decides how the three hang together, and how they are written down in one piece. It refuses to know how they
are made (`pipeline.py`) and where they are kept (`cache.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LENGTH = 4
"""Bytes of the number before the part that is JSON."""


@dataclass(frozen=True)
class Built:
    """The image's bytes, the map that stays on the PC, and the report of what it takes. Map and report are JSON."""

    image: bytes
    map: dict[str, Any]
    report: dict[str, Any]

    def to_bytes(self) -> bytes:
        text = json.dumps([self.map, self.report], separators=(",", ":")).encode()
        return len(text).to_bytes(LENGTH, "little") + text + self.image

    @classmethod
    def from_bytes(cls, data: bytes) -> Built:
        """What `to_bytes` wrote; raises ValueError when it is something else."""
        end = LENGTH + int.from_bytes(data[:LENGTH], "little")
        symbols, report = json.loads(data[LENGTH:end])
        return cls(data[end:], symbols, report)
