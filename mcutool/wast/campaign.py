"""Many scripts on emulated boards: in this process, in several, or on the workers of a Dask cluster.

This file decides where scripts run. It refuses to know what they say. Scheduling beyond this machine is Dask's: a
script travels to its worker as text, and the worker needs mcutool with the firmware of the board.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from signal import SIG_DFL, SIGINT, signal
from typing import Any

from mcutool import devices
from mcutool.devices import Board
from mcutool.emulator.session import EmulatedSession
from mcutool.errors import Disconnected, NoAnswer, UsageError
from mcutool.wast.runner import run_script

PATIENCE = 10  # seconds for a scheduler to answer
START_ONE = "start `dask scheduler`, and a `dask worker` where mcutool is installed"


def run_file(path: Path, board_name: str, script: bytes | None = None) -> dict[str, Any]:
    """The report of one script, as `mcutool wast --json` prints it; `script` is its text where there is no file."""
    board = devices.board(board_name)
    try:
        script = path.read_bytes() if script is None else script
        return run_script(path, script, board, lambda: EmulatedSession(board, lambda text: None)).as_object()
    except UsageError as error:
        error.about(path, next_action=error.next_action or "mend the script")
        raise


def run_files(paths: list[Path], board: Board, workers: int, scheduler: str = "") -> Iterator[dict[str, Any]]:
    """Reports in the order of the files, from `workers` processes or the cluster of a Dask scheduler.

    Raises UsageError when a file is missing, before any runs; NoAnswer and Disconnected when the cluster is.
    """
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no file {path}", next_action="name .wast files")
    if scheduler:
        yield from _on_cluster(paths, board.name, scheduler)
    elif workers <= 1:
        for path in paths:
            yield run_file(path, board.name)
    else:
        yield from _in_processes(paths, board.name, workers)


def _in_processes(paths: list[Path], board_name: str, workers: int) -> Iterator[dict[str, Any]]:
    # Ctrl-C reaches the workers too: they end without a word.
    with ProcessPoolExecutor(workers, initializer=signal, initargs=(SIGINT, SIG_DFL)) as pool:
        try:
            yield from pool.map(run_file, paths, [board_name] * len(paths))
        except BaseException:
            for worker in active_children():  # it would be waited for, and a script may never end
                worker.terminate()
            raise


def _on_cluster(paths: list[Path], board_name: str, address: str) -> Iterator[dict[str, Any]]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        what = "--scheduler needs the package distributed"
        raise UsageError(what, next_action="pip install 'mcutool[campaign]'") from error
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise NoAnswer(f"no Dask scheduler answers at {address}", next_action=START_ONE) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise NoAnswer(f"the Dask scheduler at {address} has no workers", next_action=START_ONE)
        scripts = [path.read_bytes() for path in paths]
        try:
            for report in client.map(run_file, paths, [board_name] * len(paths), scripts, pure=False):
                yield report.result()
        except (OSError, CancelledError, KilledWorker) as error:
            raise Disconnected(f"the Dask cluster at {address} is lost", next_action=START_ONE) from error
