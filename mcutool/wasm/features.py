"""The proposals that the front end reads and validates before everything behind it can translate them.

This file decides which of them a module may not use yet; a name leaves the set when the translator learns it. It
refuses to know proposals that the front end cannot read at all (opcodes.py and type_reader.py name those).
"""

from __future__ import annotations

TAIL_CALLS = "tail calls"
MULTIPLE_MEMORIES = "multiple memories"
TYPED_REFERENCES = "typed function references"
EXCEPTIONS = "exception handling"

UNTRANSLATED: frozenset[str] = frozenset()
