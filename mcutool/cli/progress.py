"""What a person, or a program, sees of work that takes long.

A person sees a line for each stage, or for each board, on a terminal, and one line in all when it is done. This file
decides when there is something to see: on standard error alone, where that is a terminal, and after a while, so that
quick work neither flickers nor waits for the import of rich. A program reads an object a line. The file refuses to
know what the stages do.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from mcutool.progress import OnProgress, Progress, ignore

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

PATIENCE = 0.5  # seconds of work without a word


class Stages:
    """To be given as `on_progress`, and used in a `with`. Not `wanted` where something else is printed meanwhile.

    A stage ends where the next one begins.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bars: Bars | None = None
        self._latest: dict[str, Progress] = {}
        self._begun: dict[str, float] = {}
        self._created = time.monotonic()
        self._closed = not (wanted and sys.stderr.isatty())

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: Any, *_rest: Any) -> None:
        self.close(summary=kind is None)

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            if self._closed:
                return
            self._begun.setdefault(progress.stage, time.monotonic() if self._begun else self._created)
            self._latest[progress.stage] = progress
            if self._bars:
                self._draw()
            elif self._timer is None:
                self._timer = threading.Timer(PATIENCE, self._open)
                self._timer.daemon = True
                self._timer.start()

    def until_done(self, progress: Progress) -> None:
        """The same for work of a single stage, whose end is the end of the display."""
        self(progress)
        if progress.done == progress.total:
            self.close()

    def close(self, summary: bool = True) -> None:
        """Take the lines away; what is left, if there ever were any, says how long each stage took."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            if self._bars and not self._closed:
                self._bars.stop()
                if summary:
                    ends = [*list(self._begun.values())[1:], time.monotonic()]
                    stages = zip(self._begun.items(), ends, strict=True)
                    print(", ".join(f"{stage} {end - begun:.1f} s" for (stage, begun), end in stages), file=sys.stderr)
            self._closed = True

    def _open(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        name, seconds = bars.TextColumn("{task.description:<10}"), bars.TextColumn("{task.elapsed:.1f} s")
        columns = (name, bars.BarColumn(), bars.TaskProgressColumn(), seconds)
        with self._lock:
            if self._closed:
                return
            # Standard output is the program's: it stays as it is.
            self._bars = bars.Progress(
                *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, get_time=time.monotonic
            )
            self._bars.start()
            self._draw()

    def _draw(self) -> None:
        """Each stage is a task of rich's; its number is its place in the order of stages."""
        assert self._bars is not None
        for number, (stage, progress) in enumerate(self._latest.items()):
            if number == len(self._bars.tasks):
                self._bars.add_task(stage, total=progress.total)
                self._bars.tasks[number].start_time = self._begun[stage]
                for before in self._bars.tasks[number - 1 : number]:
                    before.completed, before.stop_time = before.total or 0, self._begun[stage]
        self._bars.update(self._bars.task_ids[-1], completed=progress.done, total=progress.total)


class Lines:
    """A line for each of several boards that are worked on at the same time; used in a `with`."""

    def __init__(self) -> None:
        self._bars: Bars | None = None

    def __enter__(self) -> Lines:
        if sys.stderr.isatty():
            from rich import progress as bars
            from rich.console import Console

            text = bars.TextColumn("{task.fields[port]:<16}{task.description:<10}")
            self._bars = bars.Progress(
                text, bars.BarColumn(), bars.TaskProgressColumn(), console=Console(stderr=True), transient=True
            )
            self._bars.start()
        return self

    def __exit__(self, *_rest: Any) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, _progress: Progress) -> None:
        """What is done before the first board is reached is quick."""

    def of(self, port: str) -> OnProgress:
        """To be given as `on_progress` to the work on this board."""
        bars = self._bars
        if bars is None:
            return ignore
        task = bars.add_task("", port=port, total=None)
        return lambda at: bars.update(task, description=at.stage, completed=at.done, total=at.total)


class Events:
    """The same for a program: objects on standard output, one a line; used in a `with`.

    A stage is told when it begins, when it ends, and at every tenth; what would have been a warning is told too.
    """

    TENTHS = 10

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handler = logging.Handler()
        self._handler.emit = self._warn  # type: ignore[method-assign]

    def __enter__(self) -> Events:
        self._handler.setLevel(logging.WARNING)
        logging.getLogger("mcutool").addHandler(self._handler)
        return self

    def __exit__(self, *_rest: Any) -> None:
        logging.getLogger("mcutool").removeHandler(self._handler)

    def __call__(self, progress: Progress) -> None:
        self.of("")(progress)

    def of(self, port: str) -> OnProgress:
        """To be given as `on_progress` to the work on this board."""
        last: tuple[str, int] = ("", -1)

        def tell(at: Progress) -> None:
            nonlocal last
            now = at.stage, at.done * self.TENTHS // at.total if at.total else self.TENTHS
            if now != last:
                last = now
                where = {"port": port} if port else {}
                self._print({"event": "progress", **where, "stage": at.stage, "done": at.done, "total": at.total})

        return tell

    def _warn(self, record: logging.LogRecord) -> None:
        self._print({"event": "warning", "message": record.getMessage()})

    def _print(self, event: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(event), flush=True)
