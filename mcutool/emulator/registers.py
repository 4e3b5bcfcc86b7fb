"""What every peripheral is: a block of registers that can be reset, read, written and put into a snapshot.

This file decides how a machine talks to a peripheral. It refuses to know any.
"""

from __future__ import annotations

import copy
from typing import Any


class Device:
    """A block of registers, one 32-bit word at a time; `STATE` names the attributes that a snapshot holds."""

    STATE: tuple[str, ...] = ()

    def reset(self) -> None:
        """The state after a reset of the chip."""

    def read(self, offset: int) -> int:
        raise NotImplementedError

    def write(self, offset: int, value: int) -> None:
        raise NotImplementedError

    def merged(self, offset: int) -> int:
        """What the untouched bytes of the word keep when a program writes a byte or a halfword."""
        return 0

    def state(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self, name)) for name in self.STATE}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, copy.copy(value))


class Storage(Device):
    """Registers that only remember what was written; stands in for what is not modelled."""

    STATE = ("words",)

    def __init__(self, initial: dict[int, int] | None = None) -> None:
        self.initial = initial or {}
        self.reset()

    def reset(self) -> None:
        self.words = dict(self.initial)

    def read(self, offset: int) -> int:
        return self.words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.words[offset] = value

    def merged(self, offset: int) -> int:
        return self.words.get(offset, 0)
