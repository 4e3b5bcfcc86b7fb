"""What holds for every test: modules are translated where a test says so, whatever the user has built before.

And how a run is parted among pytest-xdist's workers.
"""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("MCUTOOL_CACHE", "0")
LONG = ("test_wheel.py", "test_build.py", "test_contributing.py", "test_cores.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: some tests wait for a board that runs in real time."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that at the end little pieces are left to part."""
    items.sort(key=lambda item: item.path.name not in LONG)
