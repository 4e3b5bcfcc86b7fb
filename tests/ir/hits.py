"""Prints how often each rewrite rule is used on the benchmarks: `python -m tests.ir.hits [MODULE...]`.

A rule that is never used can go.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mcutool.ir import rules
from mcutool.pipeline import load, translate
from tests.bench.measure import PROGRAMS, compile_wasm


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        programs = PROGRAMS.values() if not sys.argv[1:] else ()
        benchmarks = [compile_wasm(program, "O2", Path(directory)) for program in programs]
        for module in [*map(Path, sys.argv[1:]), *benchmarks]:
            translate(load(module))
    names = {rule.name for same_op in rules.RULES.values() for rule in same_op} | set(rules.HITS)
    for name in sorted(names, key=lambda name: (-rules.HITS[name], name)):
        print(f"{rules.HITS[name]:6}  {name}")


if __name__ == "__main__":
    main()
