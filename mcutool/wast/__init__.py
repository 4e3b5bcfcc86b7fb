"""WebAssembly test scripts (.wast)."""

from __future__ import annotations

from mcutool.wast.script import read_script

__all__ = ["read_script"]
