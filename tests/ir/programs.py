"""Random WebAssembly programs that always end: integers, locals, all kinds of branches, memory, globals, calls."""

from __future__ import annotations

from random import Random

BINARY = "add sub mul and or xor shl shr_s shr_u rotl rotr div_s div_u rem_s rem_u".split()
COMPARISONS = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split()
UNARY = {
    "i32": "clz ctz popcnt extend8_s extend16_s".split(),
    "i64": "clz ctz popcnt extend8_s extend16_s extend32_s".split(),
}
CORNERS = [0, 1, 2, 3, 7, 8, 15, 16, 24, 31, 32, 63, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, -1, -2, -128, -129]
LOADS = {
    "i32": "load load8_s load8_u load16_s load16_u".split(),
    "i64": "load load8_s load8_u load16_s load16_u load32_s load32_u".split(),
}
STORES = {"i32": "store store8 store16".split(), "i64": "store store8 store16 store32".split()}
FUNCTIONS = 3
STEPS = 60
"""Backward branches that a call may take."""


class Program:
    """The text of a module, drawn piece by piece. `parameters` are those of every function, which returns one value."""

    parameters = ("i32", "i64", "i32")
    locals = ("i32", "i64", "i32", "i64")

    def __init__(self, random: Random) -> None:
        self.random = random
        self.types = [*self.parameters, *self.locals]
        self.labels: list[str] = []
        self.number = 0
        self.results = [random.choice(("i32", "i64")) for _ in range(FUNCTIONS)]

    def text(self) -> str:
        functions = []
        for self.number in range(FUNCTIONS):
            self.labels = []
            self.steps = len(self.types)
            body = " ".join(self.statement(3) for _ in range(self.random.randint(1, 5)))
            result = self.results[self.number]
            functions.append(
                f'(func $f{self.number} (export "f{self.number}") '
                f"(param {' '.join(self.parameters)}) (result {result}) "
                f"(local {' '.join(self.locals)} i32) (local.set {self.steps} (i32.const {STEPS})) "
                f"{body} {self.digest(result)})"
            )
        return (
            "(module (memory 1) (table funcref (elem $f0 $f1)) "
            "(global $g32 (mut i32) (i32.const 5)) (global $g64 (mut i64) (i64.const -9)) "
            '(data (i32.const 8) "some bytes that programs read")' + " ".join(functions) + ")"
        )

    def digest(self, type_: str) -> str:
        """A value that every variable has a part in."""
        digest = self.expression(type_, 4)
        for index, other in enumerate(self.types):
            value = f"(local.get {index})"
            if other != type_:
                value = f"(i32.wrap_i64 {value})" if type_ == "i32" else f"(i64.extend_i32_u {value})"
            digest = f"({type_}.add ({type_}.mul {digest} ({type_}.const 31)) {value})"
        return digest

    def pick(self, *choices):
        return self.random.choice(choices)

    def constant(self, type_: str) -> str:
        number = self.pick(*CORNERS, self.random.getrandbits(int(type_[1:])))
        return f"({type_}.const {number})"

    def local(self, type_: str) -> int:
        return self.pick(*(index for index, other in enumerate(self.types) if other == type_))

    # expressions

    def expression(self, type_: str, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.15:
            return self.pick(self.constant(type_), f"(local.get {self.local(type_)})", f"(global.get $g{type_[1:]})")
        kinds = [self.binary, self.binary, self.binary, self.unary, self.load, self.select, self.choice, self.tee]
        kinds += [self.convert, self.block, self.call]
        return self.pick(*kinds)(type_, depth - 1)

    def binary(self, type_: str, depth: int) -> str:
        name, left = self.pick(*BINARY), self.expression(type_, depth)
        right = self.pick(self.constant(type_), self.expression(type_, depth))
        if name[:3] in ("div", "rem") and self.random.random() < 0.9:
            right = f"({type_}.or {right} ({type_}.const 1))"
        return f"({type_}.{name} {left} {right})"

    def unary(self, type_: str, depth: int) -> str:
        operand = self.expression(type_, depth)
        if self.random.random() < 0.2:
            count = f"({type_}.const {self.pick(16, 24, 32)})"
            return f"({type_}.shr_s ({type_}.shl {operand} {count}) {count})"
        return f"({type_}.{self.pick(*UNARY[type_])} {operand})"

    def condition(self, depth: int) -> str:
        type_ = self.pick("i32", "i64")
        operand = self.expression(type_, depth)
        other = self.pick(self.constant(type_), self.expression(type_, depth))
        compared = f"({type_}.{self.pick(*COMPARISONS)} {operand} {other})"
        return self.pick(compared, compared, f"({type_}.eqz {operand})", f"(i32.eqz {compared})")

    def convert(self, type_: str, depth: int) -> str:
        if type_ == "i32":
            wide = self.expression("i64", depth)
            masked = f"(i64.and {wide} (i64.const {self.pick(0xFFFFFFFF, -1)}))"
            return self.pick(f"(i32.wrap_i64 {self.pick(wide, masked)})", self.condition(depth))
        return f"(i64.extend_i32_{self.pick('s', 'u')} {self.expression('i32', depth)})"

    def address(self, depth: int) -> str:
        masked = f"(i32.and {self.expression('i32', depth)} (i32.const {self.pick(7, 255, 4095)}))"
        if self.random.random() < 0.02:
            return self.constant("i32")
        return self.pick(masked, f"(i32.add {masked} (i32.const {self.pick(1, 4, 300)}))", "(i32.const 16)")

    def load(self, type_: str, depth: int) -> str:
        offset = self.pick(0, 4, 250, 251, 253, 300, 60000)
        return f"({type_}.{self.pick(*LOADS[type_])} offset={offset} {self.address(depth)})"

    def select(self, type_: str, depth: int) -> str:
        a, b = self.expression(type_, depth), self.expression(type_, depth)
        return f"(select {a} {b} {self.condition(depth)})"

    def choice(self, type_: str, depth: int) -> str:
        then, otherwise = self.expression(type_, depth), self.expression(type_, depth)
        return f"(if (result {type_}) {self.condition(depth)} (then {then}) (else {otherwise}))"

    def tee(self, type_: str, depth: int) -> str:
        return f"(local.tee {self.local(type_)} {self.expression(type_, depth)})"

    def block(self, type_: str, depth: int) -> str:
        """A block with a value, left early on a condition."""
        early, late = self.expression(type_, depth), self.expression(type_, depth)
        label = f"$e{self.random.getrandbits(24)}"
        return f"(block {label} (result {type_}) (drop (br_if {label} {early} {self.condition(depth)})) {late})"

    def call(self, type_: str, depth: int) -> str:
        callable_ = [n for n in range(self.number) if self.results[n] == type_]
        if not callable_:
            return self.binary(type_, depth)
        number = self.pick(*callable_)
        arguments = " ".join(self.expression(t, depth - 1) for t in self.parameters)
        if self.random.random() < 0.7:
            return f"(call $f{number} {arguments})"
        signature = f"(param {' '.join(self.parameters)}) (result {type_})"
        return f"(call_indirect {signature} {arguments} (i32.const {number}))"

    # statements

    def statement(self, depth: int) -> str:
        if depth <= 0:
            return self.assign(0)
        kinds = [self.assign, self.assign, self.store, self.branch, self.loop, self.leave, self.switch, self.change]
        return self.pick(*kinds)(depth - 1)

    def statements(self, depth: int) -> str:
        return " ".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def assign(self, depth: int) -> str:
        type_ = self.pick("i32", "i64")
        if self.random.random() < 0.2:
            a, b = self.local(type_), self.local(type_)
            return f"(local.get {a}) (local.get {b}) (local.set {a}) (local.set {b})"
        return f"(local.set {self.local(type_)} {self.expression(type_, depth + 1)})"

    def store(self, depth: int) -> str:
        type_ = self.pick("i32", "i64")
        op = f"{type_}.{self.pick(*STORES[type_])} offset={self.pick(0, 3, 252, 1000)}"
        return f"({op} {self.address(depth)} {self.expression(type_, depth)})"

    def change(self, depth: int) -> str:
        type_ = self.pick("i32", "i64")
        return f"(global.set $g{type_[1:]} {self.expression(type_, depth)})"

    def branch(self, depth: int) -> str:
        otherwise = f" (else {self.statements(depth)})" if self.random.random() < 0.5 else ""
        return f"(if {self.condition(depth)} (then {self.statements(depth)}){otherwise})"

    def loop(self, depth: int) -> str:
        label = f"$l{self.random.getrandbits(24)}"
        body = self.statements(depth)
        once_more = f"(i32.and (i32.gt_s (local.get {self.steps}) (i32.const 0)) {self.condition(depth)})"
        count = f"(local.set {self.steps} (i32.sub (local.get {self.steps}) (i32.const 1)))"
        return f"(loop {label} {body} {count} (br_if {label} {once_more}))"

    def leave(self, depth: int) -> str:
        label = f"$b{self.random.getrandbits(24)}"
        early = f"(br_if {label} {self.condition(depth)})"
        if self.random.random() < 0.1:
            early = f"(if {self.condition(depth)} (then (return {self.expression(self.results[self.number], depth)})))"
        return f"(block {label} {self.statements(depth)} {early} {self.statements(depth)})"

    def switch(self, depth: int) -> str:
        labels = [f"$s{self.random.getrandbits(24)}" for _ in range(3)]
        table = " ".join(self.pick(*labels) for _ in range(self.random.randint(1, 5)))
        body = f"(br_table {table} {self.expression('i32', depth)})"
        for label in labels:
            body = f"(block {label} {body}) {self.statements(depth - 1)}"
        return body
