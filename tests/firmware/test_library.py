"""The board's own functions for memory, division and conversion, built for this computer and held against its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent.parent / "firmware_runtime" / "port" / "cortex_m" / "library.c"
# As ARMv7-M with an FPU, which needs all of them; words are copied as ARMv6-M does it, too.
MACROS = ["-D__ARM_ARCH=7", "-D__ARM_FP=4"]


@pytest.mark.parametrize("unaligned", [0, 1])
def test_they_agree_with_the_computers(tmp_path: Path, unaligned: int) -> None:
    flags = ["-O2", "-fno-builtin", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns", *MACROS]
    flags.append(f"-D__ARM_FEATURE_UNALIGNED={unaligned}")
    commands = [
        ["gcc", "-c", *flags, LIBRARY, "-o", "library.o"],
        ["objcopy", "--prefix-symbols=board_", "library.o"],
        [
            "gcc",
            "-std=c11",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            HERE / "library_test.c",
            "library.o",
            "-o",
            "library",
        ],
    ]
    for command in commands:
        subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "library"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
