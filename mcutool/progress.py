"""How work that takes long tells how far it is: to whoever wants to know, without knowing who that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a stage is, in a unit of its own: bytes, functions, files."""

    stage: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]


def ignore(_progress: Progress) -> None:
    """For those who need not know."""
