"""What the wheel carries besides Python: descriptions of hardware, built firmware, and the emulator's helper in C.

Everything else about the package stands in pyproject.toml. In an editable installation nothing is copied: the code
reads `targets/` and `boards/` where they are, and `make firmware` builds into the package.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithFirmware(build_py):
    """Copies the descriptions and builds the firmware into the wheel; fails when the cross compiler is missing."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib).resolve() / "mcutool"
            for folder in ("targets", "boards"):
                shutil.copytree(ROOT / folder, package / "data" / folder, dirs_exist_ok=True)
            build_firmware(package / "firmware")
            # Without a C compiler the wheel works all the same, only the emulator is slower.
            subprocess.run([sys.executable, "-P", ROOT / "mcutool" / "emulator" / "helper.py", package / "emulator"])


def build_firmware(folder: Path) -> None:
    """Every board's ELF in `folder`, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(ROOT / "firmware_runtime" / "build.py"), "--into", str(folder)]
    if subprocess.run(command).returncode:
        raise SystemExit("the wheel carries built firmware, and that could not be built; see the message above")


class PlatformWheel(bdist_wheel):
    """The helper is for this kind of computer, all the rest for every Python 3."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.plat_name_supplied = True


setup(cmdclass={"build_py": BuildWithFirmware, "bdist_wheel": PlatformWheel})
