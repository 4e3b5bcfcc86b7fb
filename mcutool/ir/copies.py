"""Parallel copies -> a sequence of single ones.

This file decides in which order slots are copied so that nothing is overwritten before it is read; a cycle goes through
a spare slot. It refuses to know why they are copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copy:
    """Slots [to, to + slots) become what [source, source + slots) held before."""

    to: int
    source: int
    slots: int = 1

    def overwrites(self, other: Copy) -> bool:
        """Whether `other` would read something else after this one."""
        return self.to < other.source + other.slots and other.source < self.to + self.slots


def sequentialise(copies: list[Copy], spare: Callable[[], int]) -> list[Copy]:
    """The same effect one after another; `spare` gives one slot that nothing uses, when a cycle needs it."""
    pending = [copy for copy in copies if copy.to != copy.source]
    done: list[Copy] = []
    while pending:
        ready = [c for c in pending if not any(c is not other and c.overwrites(other) for other in pending)]
        if ready:
            done += ready[:1]
            pending.remove(ready[0])
        elif any(copy.slots > 1 for copy in pending):
            pending = [Copy(c.to + i, c.source + i) for c in pending for i in range(c.slots)]
        else:
            pending = _break_cycle(pending, done, spare())
    return done


def _break_cycle(pending: list[Copy], done: list[Copy], spare: int) -> list[Copy]:
    """Put one source away into the spare slot; those who read it read the spare one."""
    saved = pending[0].source
    done.append(Copy(spare, saved))
    return [Copy(copy.to, spare if copy.source == saved else copy.source) for copy in pending]
