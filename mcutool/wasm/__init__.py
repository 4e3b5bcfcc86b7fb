"""From the bytes of a .wasm file to a validated module."""

from __future__ import annotations

from mcutool.wasm.module import Module

__all__ = ["Module"]
