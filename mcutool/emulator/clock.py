"""Virtual time: cycles of the core's clock, and what is to happen when.

This file decides the order of events. It refuses to know what they mean and how fast the host is: time passes only when
instructions are executed or when the machine, asleep, jumps to the next event.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True)
class Event:
    """A callback at a time, in cycles; `sequence` keeps equal times in the order of their scheduling."""

    time: int
    sequence: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def __copy__(self) -> Event:
        """The same: who holds it in a snapshot cancels, when that is back, what the clock has."""
        return self


class Clock:
    """`now` counts cycles since power-on; `progress` adds what the running slice has done already."""

    def __init__(self, frequency: int, progress: Callable[[], int], limit: Callable[[int], None]) -> None:
        self.frequency = frequency
        self.base = 0
        self._progress = progress
        self._limit = limit
        self._events: list[Event] = []
        self._sequence = 0

    @property
    def now(self) -> int:
        return self.base + self._progress()

    @property
    def seconds(self) -> float:
        return self.now / self.frequency

    def cycles(self, seconds: float) -> int:
        """The duration in cycles, at least one."""
        return max(1, round(seconds * self.frequency))

    def after(self, cycles: int, callback: Callable[[], None]) -> Event:
        """Call back in `cycles` from now; the slice that is running ends there."""
        self._sequence += 1
        event = Event(self.now + cycles, self._sequence, callback)
        heapq.heappush(self._events, event)
        self._limit(cycles)
        return event

    def next_time(self) -> int | None:
        """When the next event is due, or None."""
        while self._events and self._events[0].cancelled:
            heapq.heappop(self._events)
        return self._events[0].time if self._events else None

    def fire(self) -> None:
        """Call every event that is due, those that come due meanwhile too."""
        while (time := self.next_time()) is not None and time <= self.base:
            heapq.heappop(self._events).callback()

    def state(self) -> object:
        return self.base, self._sequence, [(event, event.cancelled) for event in self._events]

    def restore(self, state: tuple[int, int, list[tuple[Event, bool]]]) -> None:
        self.base, self._sequence, events = state
        for event, cancelled in events:
            event.cancelled = cancelled
        self._events = [event for event, _ in events]
