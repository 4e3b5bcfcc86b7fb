"""Defaults that a user sets once: environment variables, then `[tool.mcutool]` of the nearest pyproject.toml above.

This file decides where such a default is looked for and whether it makes sense. It refuses to know which command wants
it: an option that is given always wins, and who asks for a default knows what to do without one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutool import devices
from mcutool.errors import UsageError, choose_from

NAMES = ("board", "port", "baud")


@dataclass(frozen=True)
class Setting:
    """A default, and the place that it was found in."""

    value: Any
    source: str


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"MCUTOOL_{name.upper()}"


def find(name: str) -> Setting | None:
    """The setting of that name: board, port or baud. Raises UsageError when it makes no sense, naming the place."""
    if text := os.environ.get(variable(name)):
        value = int(text) if name == "baud" and text.isdecimal() else text
        return Setting(_checked(name, value, variable(name)), variable(name))
    source, table = _project()
    return Setting(_checked(name, table[name], source), source) if name in table else None


def _checked(name: str, value: Any, source: str) -> Any:
    """`value`, when it is one for this setting."""
    if name == "baud":
        if type(value) is not int or value <= 0:
            raise UsageError(f"{source}: baud is {value!r}", next_action="make it a number of bits per second")
        return value
    if not isinstance(value, str):
        raise UsageError(f"{source}: {name} is {value!r}", next_action="make it a text in quotes")
    if name == "board":
        try:
            devices.board(value)
        except UsageError as error:
            raise UsageError(f"{source}: {error.message}", next_action=error.next_action) from error
    return value


def _project() -> tuple[str, dict[str, Any]]:
    """The nearest `[tool.mcutool]` and where it stands. Raises UsageError when a file or a key in it is wrong."""
    for path in _candidates():
        try:
            text = path.read_text(encoding="utf-8")
            table = tomllib.loads(text).get("tool", {}).get("mcutool") if "mcutool" in text else None
        except (OSError, ValueError) as error:  # TOML's errors are ValueErrors
            raise UsageError(f"{path}: {error}", next_action="mend the file") from error
        if table is None:
            continue
        source = f"[tool.mcutool] in {path}"
        for key in table:
            if key not in NAMES:
                raise UsageError(f"{source}: there is no setting {key!r}", next_action=choose_from(key, NAMES))
        return source, table
    return "", {}


def _candidates() -> Iterator[Path]:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the folder has been deleted
        return
    for folder in (here, *here.parents):
        path = folder / "pyproject.toml"
        if os.path.isfile(path):  # unlike the method of Path, this is content with folders that are closed to us
            yield path
