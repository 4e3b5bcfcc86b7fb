"""mcutool: run WebAssembly on Cortex-M boards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcutool.board import open_board as open_board

__version__ = "0.1.0"
STARTED = time.time()
"""When this process began to read the tool's files: `cache.py` wants to know whether they are still the same."""


def __getattr__(name: str) -> Any:
    """`mcutool.open_board`, imported when it is used: the command line starts without it."""
    if name != "open_board":
        raise AttributeError(f"module 'mcutool' has no attribute {name!r}")
    from mcutool.board import open_board

    return open_board
