"""Flashing tools of other people, each in an environment of its own: they are run, not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).parents[2] / "build" / "clients"
VERSIONS = {"smpmgr": "0.19.1", "stm32loader": "0.7.1"}


def python_with(client: str) -> Path:
    """The interpreter that has the client, fetched from the package index when it is not there yet."""
    folder = ENVIRONMENTS / client
    python = folder / "bin" / "python"
    done = folder / VERSIONS[client]
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        subprocess.run([*pip, f"{client}=={VERSIONS[client]}"], check=True)
        done.touch()
    return python


def program(client: str) -> str:
    """The path of its command."""
    return str(python_with(client).parent / client)
