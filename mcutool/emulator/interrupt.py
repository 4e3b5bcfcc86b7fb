"""Ctrl-C while a core runs.

This file decides that it waits for the end of the present instruction: in the midst of a callback, ctypes would print
the exception and lose it. It refuses to know what is run, and leaves programs alone that handle Ctrl-C themselves.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `stop` instead, and becomes a KeyboardInterrupt when the block has ended."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # others are never interrupted
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        stop()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt
