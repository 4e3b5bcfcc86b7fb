"""Valid modules from a seed: what a module declares, and the functions through which a case calls it.

This file decides which globals, tables, memories, segments and signatures a module has, and what a case calls. What
functions do is body.py. The same seed always gives the same case.

Nothing that WebAssembly leaves open is seen from outside: exports take and give integers and external references
alone, so floats cross as bits, those that arithmetic made with every NaN made the same. Recursion and calls in loops
are bounded by a global that counts them down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from tests.fuzz import edges
from tests.fuzz.body import Body
from tests.fuzz.case import Call, Case

NUMBERS = ("i32", "i64", "f32", "f64")
REFERENCES = ("funcref", "externref")
CROWD = 260
CALLS = 60
"""Calls of functions that call others, before a run traps."""
SEEN_AS = {"f32": "i32", "f64": "i64", "funcref": "i32"}
"""Types at the border of the module, where they differ."""


@dataclass(frozen=True)
class Signature:
    """A function's type and its number in the module."""

    number: int
    parameters: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"(param {' '.join(self.parameters)}) (result {' '.join(self.results)})"


@dataclass(frozen=True)
class Function:
    """A function; a leaf calls no other."""

    name: str
    signature: Signature
    is_leaf: bool


@dataclass(frozen=True)
class Global:
    name: str
    type: str
    is_mutable: bool


@dataclass(frozen=True)
class Table:
    name: str
    element: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Tag:
    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """`size` is what it has at the start, in bytes."""

    name: str
    size: int
    page_log2: int


@dataclass(frozen=True)
class Segment:
    """A data segment of bytes (`element` empty) or an element segment of references."""

    name: str
    element: str
    length: int


@dataclass
class Declared:
    """What functions can name."""

    signatures: list[Signature] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    datas: list[Segment] = field(default_factory=list)
    elements: list[Segment] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)


class Generator:
    """`prefix` sets a library's names apart from those of the module that imports them."""

    def __init__(self, seed: int, prefix: str = "") -> None:
        self.random = Random(seed)
        self.numbers = edges.Numbers(self.random)
        self.prefix = prefix
        self.declared = Declared()
        self.functions: list[Function] = []
        self.fields: list[str] = []
        self.shared: list[str] = []
        self.calls: list[Call] = []

    def case(self) -> Case:
        library = self._import_library() if self.random.random() < 0.25 else ""
        self._define()
        for function in self.functions:
            self._export(function)
        self._states()
        self.random.shuffle(self.calls)
        states = [Call(name, (), ("i64",)) for name in ("memory", "globals", "tables")]
        return Case(self._text(), tuple(self.calls + states), library)

    def _import_library(self) -> str:
        """Another module, of which this one imports all that can be imported."""
        library = Generator(self.random.getrandbits(32), "l")
        library._define()
        library.fields += [f'(export "{_name(field)}" ({_kind(field)} {_name(field)}))' for field in library.shared]
        self.declared = replace(library.declared, datas=[], elements=[])
        self.fields += [f"(type $t{s.number} (func {s.text}))" for s in self.declared.signatures]
        self.fields += [f'(import "library" "{_name(field)}" {field})' for field in library.shared]
        return library._text()

    def _define(self) -> None:
        if self.random.random() < 0.2:
            self._import_host_function()
        if self.random.random() < 0.04:
            self._crowd()
        self._signatures()
        self._memories()
        self._tables()
        self._tags()
        self._globals()
        self._segments()
        for function in self.functions:
            self._function(function)
        if self.random.random() < 0.15:
            self._start()

    def _text(self) -> str:
        return "(module\n  " + "\n  ".join(self.fields) + ")"

    def _import_host_function(self) -> None:
        """The one function of WASI whose answer is known beforehand."""
        signature = Signature(len(self.declared.signatures), (), ("i32",))
        function = Function(f"${self.prefix}yield", signature, True)
        self.declared.signatures.append(signature)
        self.declared.functions.append(function)
        self.fields.append(f"(type $t{signature.number} (func {signature.text}))")
        self.fields.append(f'(import "wasi_snapshot_preview1" "sched_yield" (func {function.name} {signature.text}))')
        self.shared.append(f"(func {function.name} {signature.text})")

    def _crowd(self) -> None:
        """So many types, functions and globals that the numbers of those that follow take more than eight bits."""
        first = len(self.declared.signatures)
        for number in range(first, first + CROWD):
            self.declared.signatures.append(Signature(number, ("i32",) * (number % 7), ("i64",) * (number % 11)))
            self.fields.append(f"(type $t{number} (func {self.declared.signatures[-1].text}))")
            self.fields.append(f"(func (result i32) (i32.const {number})) (global i64 (i64.const {number}))")

    # what there is

    def _types(self, most: int) -> tuple[str, ...]:
        kinds = NUMBERS * 4 + REFERENCES
        return tuple(self.random.choice(kinds) for _ in range(self.random.randint(0, most)))

    def _signatures(self) -> None:
        random, declared = self.random, self.declared
        first = len(declared.signatures)
        for number in range(first, first + random.randint(3, 7)):
            most = random.choice((2, 3, 4, 6, 6, 30))
            results = self._types(random.choice((1, 1, 1, 2, 4))) or (random.choice(NUMBERS),)
            declared.signatures.append(Signature(number, self._types(most), results))
        declared.signatures.append(Signature(len(declared.signatures), (), ()))
        self.fields += [f"(type $t{s.number} (func {s.text}))" for s in declared.signatures[first:]]
        for number in range(random.randint(2, 6)):
            signature = random.choice(declared.signatures)
            self.functions.append(Function(f"${self.prefix}f{number}", signature, random.random() < 0.4))
        declared.functions += self.functions
        self.shared += [f"(func {function.name} {function.signature.text})" for function in self.functions]

    def _memories(self) -> None:
        for number in range(self.random.choice((0, 1, 1, 1, 1, 1, 1, 2, 3))):
            name, page_log2 = f"${self.prefix}memory{number}", 0 if self.random.random() < 0.15 else 16
            size = self.random.choice((0, 1, 1, 1, 1, 2) if page_log2 else (0, 1, 7, 8, 255, 256, 1000))
            most = size + self.random.randint(0, 1 if page_log2 else 64)
            self.declared.memories.append(Memory(name, size << page_log2, page_log2))
            self._share(f"(memory {name} {size} {most}{'' if page_log2 else ' (pagesize 1)'})")

    def _tables(self) -> None:
        for number in range(self.random.randint(1, 3)):
            minimum = self.random.choice((0, 1, 4, 4, 8, 12))
            element = self.random.choice(("funcref", "funcref", "externref")) if number else "funcref"
            table = Table(f"${self.prefix}table{number}", element, minimum, minimum + self.random.randint(0, 5))
            self.declared.tables.append(table)
            self._share(f"(table {table.name} {minimum} {table.maximum} {element})")

    def _tags(self) -> None:
        for number in range(self.random.randint(1, 3)):
            tag = Tag(f"${self.prefix}e{number}", self._types(3))
            self.declared.tags.append(tag)
            self._share(f"(tag {tag.name} (param {' '.join(tag.parameters)}))")

    def _globals(self) -> None:
        for number in range(self.random.randint(2, 8)):
            kind = self.random.choice(NUMBERS * 4 + REFERENCES)
            mutable = self.random.random() < 0.8
            name = f"${self.prefix}g{number}"
            self.declared.globals.append(Global(name, kind, mutable))
            self._global(name, f"(mut {kind})" if mutable else kind, self._constant(kind))
        if not any(field.startswith('(import "library"') for field in self.fields):
            self._global("$fuel", "(mut i32)", f"(i32.const {CALLS})")
            self._global("$seen", "(mut i32)", "(i32.const 0)")

    def _global(self, name: str, declared_type: str, value: str) -> None:
        self.fields.append(f"(global {name} {declared_type} {value})")
        self.shared.append(f"(global {name} {declared_type})")

    def _share(self, definition: str) -> None:
        """Something whose definition is also what an import of it says."""
        self.fields.append(definition)
        self.shared.append(definition)

    def _constant(self, kind: str) -> str:
        """A constant expression."""
        if kind == "externref":
            return "(ref.null extern)"
        if kind == "funcref":
            return self._function_reference()
        number = edges.constant(kind, self.numbers.draw(kind))
        if kind in ("i32", "i64") and self.random.random() < 0.1:
            return f"({kind}.add {number} {edges.constant(kind, self.numbers.draw(kind))})"
        return number

    def _function_reference(self) -> str:
        if self.random.random() < 0.2:
            return "(ref.null func)"
        return f"(ref.func {self.random.choice(self.declared.functions).name})"

    def _segments(self) -> None:
        random, declared = self.random, self.declared
        if declared.memories:
            for number in range(random.randint(0, 3)):
                self._data(f"$data{number}", random.choice((0, 1, 5, 16, 40)), random.choice(declared.memories))
        for number in range(random.randint(1, 3)):
            self._element(f"$elements{number}", random.randint(0, 6))
        self.fields += [f"(elem declare func {function.name})" for function in declared.functions]

    def _data(self, name: str, length: int, memory: Memory) -> None:
        drawn = (self.random.choice((0, 255, 128, 127, self.random.getrandbits(8))) for _ in range(length))
        contents = "".join(f"\\{byte:02x}" for byte in drawn)
        where = ""
        room = memory.size - length
        if room >= 0 and self.random.random() < 0.6:
            where = f"(memory {memory.name}) (i32.const {self.random.choice((0, 0, 3, room)) % (room + 1)}) "
        self.declared.datas.append(Segment(name, "", length))
        self.fields.append(f'(data {name} {where}"{contents}")')

    def _element(self, name: str, length: int) -> None:
        tables = [table for table in self.declared.tables if table.element == "funcref" and table.minimum >= length]
        items = " ".join(self._function_reference() for _ in range(length))
        where = ""
        if tables and self.random.random() < 0.7:
            table = self.random.choice(tables)
            where = f"(table {table.name}) (i32.const {self.random.randint(0, table.minimum - length)}) "
        self.declared.elements.append(Segment(name, "funcref", length))
        self.fields.append(f"(elem {name} {where}funcref {items})")

    # functions

    def _function(self, function: Function) -> None:
        text = Body(self.numbers, self.declared, function.signature, function.is_leaf).text()
        self.fields.append(f"(func {function.name} (type $t{function.signature.number}) {text})")

    def _start(self) -> None:
        text = Body(self.numbers, self.declared, self.declared.signatures[-1], is_leaf=False).text()
        self.fields.append(f"(func $start {text})\n  (start $start)")

    def _export(self, function: Function) -> None:
        """Callable from outside, with integers instead of floats; and some calls of it."""
        signature = function.signature
        parameters = [SEEN_AS.get(kind, kind) for kind in signature.parameters]
        results = [SEEN_AS.get(kind, kind) for kind in signature.results]
        arguments = " ".join(_inwards(kind, f"(local.get {n})") for n, kind in enumerate(signature.parameters))
        names = [f"$r{number}" for number in range(len(results))]
        locals_ = " ".join(f"(local {name} {kind})" for name, kind in zip(names, signature.results, strict=True))
        stores = " ".join(f"(local.set {name})" for name in reversed(names))
        shown = " ".join(_outwards(kind, name) for name, kind in zip(names, signature.results, strict=True))
        export = f"run{function.name[2:]}"
        self.fields.append(
            f'(func (export "{export}") (param {" ".join(parameters)}) (result {" ".join(results)}) {locals_}\n'
            f"    (global.set $fuel (i32.const {CALLS})) (call {function.name} {arguments}) {stores} {shown})"
        )
        for _ in range(6):
            given = tuple((self._argument(kind), SEEN_AS.get(kind, kind)) for kind in signature.parameters)
            self.calls.append(Call(export, given, tuple(results)))

    def _argument(self, kind: str) -> int:
        if kind in REFERENCES:
            return self.random.randint(0, 1 if kind == "funcref" else 9)
        return self.numbers.draw(kind)

    # what is left behind

    def _states(self) -> None:
        """Exports that make one number of all memory, all globals, all tables."""
        seen = " ".join(_mixed(_outwards(g.type, f"global {g.name}"), g.type) for g in self.declared.globals)
        seen += _mixed("(global.get $seen)", "i32")
        self._state("globals", seen)
        self._state("memory", " ".join(_bytes(memory) for memory in self.declared.memories))
        self._state("tables", " ".join(_elements(table) for table in self.declared.tables))

    def _state(self, name: str, mixing: str) -> None:
        locals_ = "(local $h i64) (local $p i32)"
        self.fields.append(f'(func (export "{name}") (result i64) {locals_} {mixing} (local.get $h))')


def _kind(field: str) -> str:
    """`memory` of `(memory $memory0 1 2)`."""
    return field.split()[0][1:]


def _name(field: str) -> str:
    return field.split()[1]


def _inwards(kind: str, value: str) -> str:
    """From the type at the border."""
    if kind == "funcref":
        return f"(select (result funcref) (ref.func $f0) (ref.null func) {value})"
    return f"({kind}.reinterpret_{SEEN_AS[kind]} {value})" if kind in SEEN_AS else value


def _outwards(kind: str, name: str) -> str:
    """To the type at the border; `name` is a local's, or `global` and a global's."""
    value = f"(global.get {name[7:]})" if name.startswith("global ") else f"(local.get {name})"
    if kind == "funcref":
        return f"(ref.is_null {value})"
    if kind in SEEN_AS:
        other = SEEN_AS[kind]
        return f"({other}.reinterpret_{kind} (select ({kind}.const nan) {value} ({kind}.ne {value} {value})))"
    return value


def _mixed(value: str, kind: str) -> str:
    """One more value in the number $h."""
    seen = SEEN_AS.get(kind, kind)
    if seen == "externref":
        value, seen = f"(ref.is_null {value})", "i32"
    wide = value if seen == "i64" else f"(i64.extend_i32_u {value})"
    product = f"(i64.mul (i64.xor (local.get $h) {wide}) (i64.const 0x100000001b3))"
    return f"(local.set $h (i64.rotl {product} (i64.const 17)))"


def _loop(size: str, step: int, work: str) -> str:
    """`work` for each $p below a size."""
    return (
        f"(local.set $p (i32.const 0)) (block $end (loop $next (br_if $end (i32.ge_u (local.get $p) {size})) {work} "
        f"(local.set $p (i32.add (local.get $p) (i32.const {step}))) (br $next)))"
    )


def _elements(table: Table) -> str:
    element = f"(ref.is_null (table.get {table.name} (local.get $p)))"
    return _loop(f"(table.size {table.name})", 1, _mixed(element, "i32"))


def _bytes(memory: Memory) -> str:
    step, load = (8, "i64.load") if memory.page_log2 else (1, "i64.load8_u")
    size = f"(memory.size {memory.name})"
    element = _mixed(f"({load} {memory.name} (local.get $p))", "i64")
    return _loop(f"(i32.shl {size} (i32.const {memory.page_log2}))", step, element) + _mixed(size, "i32")
