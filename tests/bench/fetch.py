"""Fetches source distributions, of the versions and hashes that a file of requirements pins, once per checkout.

This file decides where they lie: unpacked in build/bench, in a folder named after the contents of the requirements. It
refuses to know what is done with them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"
PIP = (sys.executable, "-m", "pip", "download", "-qq", "--no-binary", ":all:", "--no-deps", "--no-build-isolation",
       "--disable-pip-version-check", "--require-hashes", "--requirement")  # fmt: skip


def fetch(requirements: Path) -> Path:
    """The folder that has a folder for each package."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    folder = BUILD / f"{requirements.stem}-{digest}"
    if not folder.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
            subprocess.run([*PIP, requirements, "--dest", temporary], check=True)
            unpacked = Path(temporary) / "unpacked"
            for archive in Path(temporary).glob("*.tar.gz"):
                with tarfile.open(archive) as opened:
                    opened.extractall(unpacked, filter="data")
            unpacked.rename(folder)
    return folder
