"""A bar for each stage of an installation, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcutool.flash.engine import OnProgress, Progress


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """What to give as `on_progress`."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("{task.description:<8}"), bars.BarColumn(), bars.DownloadColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as display:
        stages: dict[str, bars.TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in stages:
                stages[progress.stage] = display.add_task(progress.stage, total=progress.total)
            display.update(stages[progress.stage], completed=progress.done, total=progress.total)

        yield show
