"""The guest toolchains as a person finds them, and the command with which each makes hello world when nobody tunes it.

This file decides the commands. It refuses to know what becomes of the modules.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Toolchain:
    """`command` makes {wasm} from {source}; `install` is what a person types to get the compiler; `small` are the flags
    with which hello runs on a board with 16 KB of RAM, None when no flag is enough."""

    name: str
    source: str
    command: tuple[str, ...]
    install: str
    small: tuple[str, ...] | None

    def missing(self) -> bool:
        """Whether the compiler is not there."""
        program = self.command[0]
        if program == sys.executable:
            return importlib.util.find_spec(self.command[2]) is None
        return shutil.which(program) is None

    def build(self, directory: Path, *flags: str) -> Path:
        """Compile hello world into `directory`; raises CalledProcessError."""
        wasm = directory / f"{self.name}{len(flags)}.wasm"
        words = {"source": str(HERE / self.source), "wasm": str(wasm)}
        subprocess.run([*(word.format(**words) for word in self.command), *flags], check=True, cwd=directory)
        return wasm


def _rustc() -> str:
    """A rustc whose sysroot has the WASI target; Debian's first, since another one may come before it in PATH."""
    return "/usr/bin/rustc" if Path("/usr/bin/rustc").exists() else "rustc"


_ZIG = (sys.executable, "-m", "ziglang")
_ZIG_INSTALL = "pip install ziglang"

TOOLCHAINS = (
    Toolchain(
        "clang", "hello.c", ("clang", "--target=wasm32-wasi", "{source}", "-o", "{wasm}"),
        "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32", ("-Wl,-z,stack-size=4096",),
    ),
    Toolchain(
        "rustc", "hello.rs", (_rustc(), "--target", "wasm32-wasi", "{source}", "-o", "{wasm}"),
        "apt-get install rustc libstd-rust-dev-wasm32", None,
    ),
    Toolchain(
        "zig-cc", "hello.c", (*_ZIG, "cc", "-target", "wasm32-wasi", "{source}", "-o", "{wasm}"),
        _ZIG_INSTALL, ("-Os",),
    ),
    Toolchain(
        "zig", "hello.zig", (*_ZIG, "build-exe", "-target", "wasm32-wasi", "{source}", "-femit-bin={wasm}"),
        _ZIG_INSTALL, ("-O", "ReleaseSmall"),
    ),
    Toolchain(
        "assemblyscript", "hello.ts", ("asc", "{source}", "-o", "{wasm}"), "npm install -g assemblyscript", (),
    ),
)  # fmt: skip
