"""A .wast script as a list of commands (WebAssembly reference interpreter, "Scripts").

This file decides what a script asks for: modules, actions, and what is expected of them. It refuses to run anything.
Values are bit patterns, as everywhere in mcutool; a reference is 0 for null, else its number plus one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcutool import values
from mcutool.errors import InvalidModule, Unsupported, UsageError
from mcutool.wasm.text import assemble
from mcutool.wasm.types import matches
from mcutool.wast.sexpr import Atom, Group, Node, ScriptError, String, read_atoms, read_groups

_NUMBERS = {f"{kind}.const": kind for kind in ("i32", "i64", "f32", "f64")}
_NULLS = {"func": "funcref", "extern": "externref", "exn": "exnref"}
_REFERENCES = {"ref.func": "funcref", "ref.extern": "externref"}
_LEGACY_EXCEPTIONS = {"try", "rethrow", "delegate"}
"""Words that the assembler takes in few places; `catch` is none of them, as today's try_table has it too."""
_EXPONENTS = {"f32": 0x7F80_0000, "f64": 0x7FF0_0000_0000_0000}
_QUIET_BITS = {"f32": 0x0040_0000, "f64": 0x0008_0000_0000_0000}


@dataclass(frozen=True, slots=True)
class Value:
    """A value, or with `pattern` a class of values that a result may belong to.

    `pattern` is "nan:canonical", "nan:arithmetic", "null", "reference" (any but null) or, for a type that mcutool does
    not have, "unsupported" with the literal's keyword as `type`; `bits` is then 0.
    """

    type: str
    bits: int = 0
    pattern: str = ""

    def __str__(self) -> str:
        return f"{self.type} {self.pattern or hex(self.bits)}".strip()

    def matches(self, type: str, bits: int) -> bool:
        """Whether a result of that type and those bits is what this value stands for."""
        if self.type and not matches(type, self.type):
            return False
        match self.pattern:
            case "":
                return bits == self.bits
            case "nan:canonical":
                return bits & ~_sign(type) == _EXPONENTS[type] | _QUIET_BITS[type]
            case "nan:arithmetic":
                quiet = _EXPONENTS[type] | _QUIET_BITS[type]
                return bits & quiet == quiet
            case "null":
                return bits == 0
            case "reference":
                return bits != 0
        return False


def _sign(kind: str) -> int:
    return 1 << (values.WIDTHS[kind] - 1)


@dataclass(frozen=True, slots=True)
class Expected:
    """One result of an action: any of the alternatives will do."""

    alternatives: tuple[Value, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.alternatives))

    def matches(self, type: str, bits: int) -> bool:
        return any(value.matches(type, bits) for value in self.alternatives)


@dataclass(frozen=True, slots=True)
class Source:
    """A module in a script: `form` is "text", "binary" or "quote"; `name` is its $identifier, if any."""

    form: str
    name: str | None
    contents: bytes

    def assemble(self) -> bytes:
        """The bytes of the .wasm file.

        Raises InvalidModule when its text is malformed, Unsupported when that is only so since exception handling
        is written otherwise than in its first draft.
        """
        if self.form == "binary":
            return self.contents
        try:
            return assemble(self.contents)
        except InvalidModule:
            if self._is_legacy():
                raise Unsupported("not supported: legacy exception handling") from None
            raise

    def _is_legacy(self) -> bool:
        try:
            return not _LEGACY_EXCEPTIONS.isdisjoint(read_atoms(self.contents.decode("utf-8")))
        except (UsageError, UnicodeDecodeError):
            return False


@dataclass(frozen=True, slots=True)
class Command:
    line: int


@dataclass(frozen=True, slots=True)
class DefineModule(Command):
    """`(module ...)`; with `instantiate` false it is only a definition, for InstantiateModule."""

    source: Source
    instantiate: bool = True


@dataclass(frozen=True, slots=True)
class InstantiateModule(Command):
    """`(module instance $name $definition)`; without a definition's name the last one is meant."""

    name: str | None
    definition: str | None


@dataclass(frozen=True, slots=True)
class Register(Command):
    """From here on imports from module `name` find the exports of the instance `module` (None is the last one)."""

    name: str
    module: str | None


@dataclass(frozen=True, slots=True)
class Action(Command):
    """Calls the exported function `name` (`kind` "invoke"), or reads the exported global (`kind` "get")."""

    kind: str
    module: str | None
    name: str
    arguments: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class AssertReturn(Command):
    action: Action
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class AssertFailure(Command):
    """The action must end with `failure`: "trap", "exhaustion" or "exception"."""

    failure: str
    action: Action
    message: str


@dataclass(frozen=True, slots=True)
class AssertModule(Command):
    """The module must be refused; `failure` says when: "malformed", "invalid", "unlinkable" or "uninstantiable".

    With "malformed_custom" and "invalid_custom" only an annotation in its text is to be refused.
    """

    failure: str
    source: Source
    message: str


@dataclass(frozen=True, slots=True)
class OtherCommand(Command):
    """A command of a later proposal, of which only the keyword is known."""

    keyword: str


def read_script(text: str | bytes) -> list[Command]:
    """The commands of a .wast file; one that holds only the fields of a module is that module.

    Raises ScriptError with the line of what cannot be read.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ScriptError(f"line {line}: this is no UTF-8") from error
    groups = read_groups(text)
    if groups and groups[0].head in _MODULE_FIELDS:
        return [DefineModule(1, Source("text", None, text.encode()))]
    reader = _ScriptReader(text)
    return [reader.command(group) for group in groups]


_MODULE_FIELDS = set("type import func table memory global export start elem data rec tag".split())


class _ScriptReader:
    def __init__(self, text: str) -> None:
        self.text = text

    def command(self, group: Group) -> Command:
        read = self._COMMANDS.get(group.head)
        if read is None:
            return OtherCommand(group.line, group.head)
        try:
            return read(self, group)
        except (IndexError, ValueError, AttributeError, OverflowError) as error:
            raise ScriptError(f"line {group.line}: this {group.head} cannot be read") from error

    def module(self, group: Group) -> Command:
        if _keyword(group, 1) != "instance":
            return DefineModule(group.line, self.source(group), _keyword(group, 1) != "definition")
        names = [item.text for item in group.items[2:] if isinstance(item, Atom)] + ["", ""]
        return InstantiateModule(group.line, names[0] or None, names[1] or None)

    def source(self, group: Group) -> Source:
        """The module in a list `(module definition? $name? ...)`, in one of its three forms."""
        items = group.items[1:]
        start = group.start
        is_definition = _keyword(group, 1) == "definition"
        if is_definition:
            items = items[1:]
        name = _identifier(items)
        form = _atom(items[1:] if name else items)
        strings = [item.data for item in items if isinstance(item, String)]
        if form == "binary":
            return Source("binary", name, b"".join(strings))
        if form == "quote":
            return Source("quote", name, b"\n".join(strings))
        text = self.text[start : group.end]
        return Source("text", name, (text.replace("definition", "", 1) if is_definition else text).encode("utf-8"))

    def register(self, group: Group) -> Command:
        return Register(group.line, _text(group.items[1]), _identifier(group.items[2:]))

    def action(self, group: Group) -> Action:
        items = group.items[1:]
        module = _identifier(items)
        name, *arguments = items[1:] if module else items
        return Action(group.line, group.head, module, _text(name), tuple(map(_value, arguments)))

    def assert_return(self, group: Group) -> Command:
        action, *expected = group.items[1:]
        return AssertReturn(group.line, self.action(_list(action)), tuple(map(_expected, expected)))

    def assert_failure(self, group: Group) -> Command:
        failure, subject = group.head.removeprefix("assert_"), _list(group.items[1])
        message = _text(group.items[2]) if len(group.items) > 2 else ""
        if subject.head == "module":
            when = "uninstantiable" if failure == "trap" else failure
            return AssertModule(group.line, when, self.source(subject), message)
        return AssertFailure(group.line, failure, self.action(subject), message)

    _COMMANDS: dict[str, Callable[[_ScriptReader, Group], Command]] = {
        "module": module,
        "register": register,
        "invoke": action,
        "get": action,
        "assert_return": assert_return,
        "assert_trap": assert_failure,
        "assert_exhaustion": assert_failure,
        "assert_exception": assert_failure,
        "assert_malformed": assert_failure,
        "assert_invalid": assert_failure,
        "assert_malformed_custom": assert_failure,
        "assert_invalid_custom": assert_failure,
        "assert_unlinkable": assert_failure,
        "assert_uninstantiable": assert_failure,
    }


def _atom(items: list[Node]) -> str:
    """The atom that the items begin with, or an empty string."""
    return items[0].text if items and isinstance(items[0], Atom) else ""


def _keyword(group: Group, position: int) -> str:
    return _atom(group.items[position:])


def _identifier(items: list[Node]) -> str | None:
    atom = _atom(items)
    return atom if atom.startswith("$") else None


def _list(node: Node) -> Group:
    if not isinstance(node, Group):
        raise ScriptError(f"line {node.line}: expected `(`")
    return node


def _text(node: Node) -> str:
    if not isinstance(node, String):
        raise ScriptError(f"line {node.line}: expected a string")
    return node.data.decode("utf-8")


def _expected(node: Node) -> Expected:
    group = _list(node)
    alternatives = group.items[1:] if group.head == "either" else [group]
    return Expected(tuple(map(_value, alternatives)))


def _value(node: Node) -> Value:
    group = _list(node)
    literal = _keyword(group, 1)
    if kind := _NUMBERS.get(group.head):
        if literal in ("nan:canonical", "nan:arithmetic"):
            return Value(kind, pattern=literal)
        return Value(kind, _bits(group, literal.replace("_", ""), kind))
    if group.head == "ref.null" and literal in ("", *_NULLS):
        return Value(_NULLS.get(literal, ""), pattern="null")
    if kind := _REFERENCES.get(group.head):
        return Value(kind, _bits(group, literal, kind)) if literal else Value(kind, pattern="reference")
    return Value(group.head, pattern="unsupported")


def _bits(group: Group, literal: str, kind: str) -> int:
    try:
        return values.parse(literal, kind)
    except UsageError as error:
        raise ScriptError(f"line {group.line}: {error}") from error
