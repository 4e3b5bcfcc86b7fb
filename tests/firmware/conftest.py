"""The firmware of every board, built once for the tests of this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.once import once

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every board's ELF."""
    build = [sys.executable, ROOT / "firmware_runtime" / "build.py", "--into"]
    return once(tmp_path_factory, "firmware", lambda folder: subprocess.run([*build, folder], check=True))
