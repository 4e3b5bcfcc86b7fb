"""`python -m mcutool`: the same as the command `mcutool`."""

from __future__ import annotations

import sys

from mcutool.cli import main

sys.exit(main())
