"""Many scripts on emulated boards, several at a time, one process each.

This file decides where scripts run. It refuses to know what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from signal import SIG_DFL, SIGINT, signal
from typing import Any

from mcutool import devices
from mcutool.devices import Board
from mcutool.emulator.session import EmulatedSession
from mcutool.errors import UsageError
from mcutool.wast.runner import run_script


def run_file(path: Path, board_name: str) -> dict[str, Any]:
    """The report of one script, as `mcutool wast --json` prints it."""
    board = devices.board(board_name)
    try:
        return run_script(path, board, lambda: EmulatedSession(board, lambda text: None)).as_object()
    except UsageError as error:
        raise error.about(path, next_action=error.next_action or "mend the script") from error


def run_files(paths: list[Path], board: Board, workers: int) -> Iterator[dict[str, Any]]:
    """Reports in the order of the files. Raises UsageError when a file is missing, before any runs."""
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no file {path}", next_action="name .wast files")
    if workers <= 1:
        for path in paths:
            yield run_file(path, board.name)
        return
    # Ctrl-C reaches the workers too: they end without a word.
    with ProcessPoolExecutor(workers, initializer=signal, initargs=(SIGINT, SIG_DFL)) as pool:
        try:
            yield from pool.map(run_file, paths, [board.name] * len(paths))
        except BaseException:
            for worker in active_children():  # it would be waited for, and a script may never end
                worker.terminate()
            raise
