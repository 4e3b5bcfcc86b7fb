"""Whatever takes its own name for `SerialLink` is imported before a test puts a line of its own in that one's place.

Otherwise it would keep that line for all tests after it, as it depends on their order.
"""

from __future__ import annotations

import mcutool.board  # noqa: F401
import mcutool.install  # noqa: F401
import mcutool.run  # noqa: F401
