"""What holds for every test: modules are translated where a test says so, whatever the user has built before."""

from __future__ import annotations

import os

os.environ.setdefault("MCUTOOL_CACHE", "0")
