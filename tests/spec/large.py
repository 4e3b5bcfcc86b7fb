"""Scripts too long to write by hand: frames of more slots than an operand can name, and jumps over long code.

This file decides what such functions compute and works out what they should give. It refuses to know how slots and
jumps are encoded; the sizes are chosen so that every form is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

VALUES = {"i32": 260, "i64": 130}
"""Values alive at a time: more than 255 slots hold."""
DATA = bytes((7 * i + 3) % 256 for i in range(300))
COUNT = VALUES["i32"]
WORD, DOUBLE = 1 << 32, 1 << 64
CALLS = {
    "call": "(call $seven)",
    "call_host": "(call $no_such_file (i32.const 3) (i32.const 0))",
    "call_cross": "(call $theirs)",
    "call_indirect": "(call_indirect (result i32) (local.get {last}))",
    "call_ref": "(call_ref $number (ref.func $seven))",
}
"""Ways to call from a frame that is full; each gives 7 but for the host's function, which gives BAD_DESCRIPTOR."""
BAD_DESCRIPTOR = 8
SHORT, LONG = 50, 2800
"""Steps of code: to be jumped over with a 16-bit distance, and with more."""


def _data() -> str:
    return "".join(f"\\{byte:02x}" for byte in DATA)


def _full_frame(name: str, kind: str, call: str) -> str:
    """A function that loads bytes, calls something, and only then uses all that it loaded."""
    count = VALUES[kind]
    zero, called = count + 1, call.format(last=count + 1)
    loads = "\n".join(f"(local.set {i + 1} ({kind}.load8_u offset={i} (local.get 0)))" for i in range(count))
    adds = "\n".join(f"({kind}.add (local.get {i + 1}) ({kind}.mul ({kind}.const 3)" for i in range(count))
    return f"""(func (export "{name} {kind}") (param i32) (result {kind})
      (local {" ".join([kind] * count)}) (local i32) (local $called {kind})
      (local.set {zero} (i32.sub (i32.load8_u offset=1 (local.get 0)) (i32.const {DATA[1]})))
      {loads}
      (local.set $called {called if kind == "i32" else f"(i64.extend_i32_u {called})"})
      {adds} (local.get $called) {"))" * count})"""


def _full_frame_answer(called: int, kind: str) -> int:
    total = called
    for byte in reversed(DATA[: VALUES[kind]]):
        total = (byte + 3 * total) % (WORD if kind == "i32" else DOUBLE)
    return total


def frames() -> str:
    """A script of functions whose frames are larger than an operand can name."""
    functions, assertions = [], []
    for name, call in CALLS.items():
        for kind in VALUES:
            functions.append(_full_frame(name, kind, call))
            answer = _full_frame_answer(BAD_DESCRIPTOR if name == "call_host" else 7, kind)
            assertions.append(f'(assert_return (invoke "{name} {kind}" (i32.const 0)) ({kind}.const {answer:#x}))')
    lines = [
        '(module $other (func (export "seven") (result i32) (i32.const 7)))',
        '(register "other" $other)',
        '(module (type $number (func (result i32))) (import "other" "seven" (func $theirs (result i32)))',
        '(import "wasi_snapshot_preview1" "fd_prestat_get" (func $no_such_file (param i32 i32) (result i32)))',
        f'(memory (export "memory") 1) (data (i32.const 0) "{_data()}")',
        "(table 1 funcref) (elem (i32.const 0) func $seven)",
        "(func $seven (result i32) (i32.const 7))",
        *functions,
        _stores(),
        ")",
        *assertions,
        '(assert_return (invoke "stores" (i32.const 0)) '
        f"(i32.const {DATA[0]:#x}) (i64.const {DATA[COUNT - 1]:#x}) (f64.const {DATA[COUNT - 2]}))",
    ]
    return "\n".join(lines)


def _stores() -> str:
    """Loads and stores whose address and value both lie far."""
    loads = "\n".join(f"(local.set {i + 1} (i32.load8_u offset={i} (local.get 0)))" for i in range(COUNT))
    stores = "\n".join(
        f"(i32.store8 offset={1000 + i} (local.get {COUNT + 1}) (local.get {i + 1}))" for i in range(COUNT)
    )
    wide = "\n".join(
        f"(i64.store offset={70000 + 8 * i} (local.get {COUNT + 1}) (i64.extend_i32_u (local.get {i + 1})))"
        for i in range(COUNT)
    )
    return f"""(func (export "stores") (param i32) (result i32 i64 f64)
      (local {" ".join(["i32"] * COUNT)}) (local i32)
      (drop (memory.grow (i32.const 1)))
      {loads}
      (local.set {COUNT + 1} (i32.sub (i32.load8_u offset=1 (local.get 0)) (i32.const {DATA[1]})))
      {stores}
      {wide}
      (i32.load8_u offset=1000 (local.get 0)) (i64.load offset={70000 + 8 * (COUNT - 1)} (local.get 0))
      (f64.convert_i32_u (local.get {COUNT - 1})))"""


def _number(step: int) -> int:
    return 0x9E3779B97F4A7C15 * (step + 1) % DOUBLE


def _steps(count: int) -> str:
    """Code of about 12 halfwords a step: a wide constant and a global."""
    step = "(global.set $n (i64.xor (i64.const {}) (i64.add (global.get $n) (global.get $n))))"
    return "\n".join(step.format(_number(i)) for i in range(count))


def _after(number: int, count: int) -> int:
    for i in range(count):
        number = _number(i) ^ number * 2 % DOUBLE
    return number


JUMPS = {
    "skip": "(block (br_if 0 (local.get 0)) {})",
    "skip compared": "(block (br_if 0 (i32.gt_s (local.get 0) (i32.const 5))) {})",
    "again": "(loop {} (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))",
    "table": "(block $b (block $a (br_table $a $b (local.get 0))) {})",
}
"""Code with steps between a jump and its target."""
RUNS = {"skip": {0: 1, 1: 0}, "skip compared": {5: 1, 6: 0}, "again": {1: 1, 2: 2}, "table": {0: 1, -1: 0}}
"""How often the steps are gone through for an argument."""


def _jump(name: str, count: int) -> tuple[str, list[str]]:
    """A function with `count` steps between a jump and its target, and what holds of it."""
    text = f"""(func (export "{name} {count}") (param i32) (result i64)
      (global.set $n (i64.const 5)) {JUMPS[name].format(_steps(count))} (global.get $n))"""
    assertions = []
    for argument, times in RUNS[name].items():
        answer = 5
        for _ in range(times):
            answer = _after(answer, count)
        assertions.append(f'(assert_return (invoke "{name} {count}" (i32.const {argument})) (i64.const {answer:#x}))')
    return text, assertions


def jumps() -> str:
    """A script of functions with jumps too long for the shorter forms."""
    made = [_jump(name, SHORT) for name in JUMPS] + [_jump(name, LONG) for name in ("skip compared", "table")]
    assertions = [assertion for _, its_assertions in made for assertion in its_assertions]
    return "\n".join(["(module (global $n (mut i64) (i64.const 0))", *(text for text, _ in made), ")", *assertions])


SCRIPTS: dict[str, Callable[[], str]] = {"frames": frames, "jumps": jumps}


def write_scripts(folder: Path) -> list[Path]:
    """A file for each script."""
    paths = [folder / f"{name}.wast" for name in SCRIPTS]
    for path in paths:
        path.write_text(SCRIPTS[path.stem]())
    return paths
