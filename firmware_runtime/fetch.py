"""Fetches source distributions, of the versions and hashes that a file of requirements pins, once per checkout.

This file decides where they lie: unpacked in build/sources, in a folder named after the contents of the requirements.
It refuses to know what is done with them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BUILD = Path(__file__).resolve().parents[1] / "build" / "sources"
PIP = (sys.executable, "-m", "pip", "download", "-qq", "--no-binary", ":all:", "--no-deps",
       "--disable-pip-version-check", "--require-hashes")  # fmt: skip


def fetch(requirements: Path, isolated: bool = False) -> Path:
    """The folder that has a folder for each package; `isolated` for those whose build tools are not here."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    folder = BUILD / f"{requirements.stem}-{digest}"
    if not folder.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
            here = () if isolated else ("--no-build-isolation",)
            subprocess.run([*PIP, *here, "--requirement", requirements, "--dest", temporary], check=True)
            unpacked = Path(temporary) / "unpacked"
            for archive in Path(temporary).glob("*.tar.gz"):
                with tarfile.open(archive) as opened:
                    opened.extractall(unpacked, filter="data")
            try:
                unpacked.rename(folder)
            except OSError:
                if not folder.exists():  # nobody else was as quick
                    raise
    return folder


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
