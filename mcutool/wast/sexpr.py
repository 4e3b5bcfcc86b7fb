"""S-expressions of the WebAssembly text format, with their places (core specification, "Lexical Format").

This file decides where a list, a string or an atom begins and ends. It refuses to know what any of them means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mcutool.errors import UsageError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|;;[^\r\n]*)
    |(?P<comment>\(;)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<string>"(?:[^"\\\r\n]|\\[^\r\n])*")
    |(?P<atom>(?:[^\s"();]|;(?!;))+(?:"(?:[^"\\\r\n]|\\[^\r\n])*")?)
    """,
    re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"\(;|;\)")
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


class ScriptError(UsageError):
    """A script that cannot be read; the message says in which line."""

    ADVICE = "mend the script at that line"


@dataclass(slots=True)
class Atom:
    text: str
    line: int


@dataclass(slots=True)
class String:
    data: bytes
    line: int


@dataclass(slots=True)
class Group:
    """What stands between two parentheses; text[start:end] is the source with them."""

    items: list[Atom | String | Group] = field(default_factory=list)
    line: int = 1
    start: int = 0
    end: int = 0

    @property
    def head(self) -> str:
        """The keyword that the list begins with, or an empty string."""
        return self.items[0].text if self.items and isinstance(self.items[0], Atom) else ""


Node = Atom | String | Group


def read_groups(text: str) -> list[Group]:
    """The lists of a file at its outermost level; annotations `(@...)` are left out, as everywhere.

    Raises ScriptError with the line where parentheses or strings do not fit.
    """
    outermost = Group()
    open_groups = [outermost]
    for kind, start, end, line in _tokens(text):
        if kind == "open":
            open_groups.append(Group(line=line, start=start))
        elif kind == "close":
            if len(open_groups) == 1:
                raise ScriptError(f"line {line}: `)` closes nothing")
            group = open_groups.pop()
            group.end = end
            if not group.head.startswith("@"):
                open_groups[-1].items.append(group)
        elif kind == "string":
            open_groups[-1].items.append(String(_unescape(text[start + 1 : end - 1]), line))
        else:
            open_groups[-1].items.append(Atom(text[start:end], line))
    if len(open_groups) > 1:
        raise ScriptError(f"line {open_groups[-1].line}: `(` is never closed")
    return [_group(item) for item in outermost.items]


def read_atoms(text: str) -> set[str]:
    """The atoms of a text whose parentheses need not fit. Raises ScriptError where it cannot be cut into tokens."""
    return {text[start:end] for kind, start, end, _ in _tokens(text) if kind == "atom"}


def _group(item: Node) -> Group:
    if not isinstance(item, Group):
        raise ScriptError(f"line {item.line}: expected `(`")
    return item


def _tokens(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Kind, start, end and line of every token that is no space and no comment."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ScriptError(f"line {line}: unexpected character {text[position]!r}")
        kind, end = match.lastgroup or "", match.end()
        if kind == "comment":
            end = _comment_end(text, position, line)
        elif kind != "space":
            yield kind, position, end, line
        line += text.count("\n", position, end)
        position = end


def _comment_end(text: str, start: int, line: int) -> int:
    """Where the block comment at `start` ends; block comments nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "(;" else -1
        if depth == 0:
            return edge.end()
    raise ScriptError(f"line {line}: the comment is never closed")


def _unescape(text: str) -> bytes:
    if "\\" not in text:
        return text.encode("utf-8")
    parts, position = [], 0
    for match in _ESCAPE.finditer(text):
        parts += [text[position : match.start()].encode("utf-8"), _escaped_bytes(match)]
        position = match.end()
    return b"".join(parts) + text[position:].encode("utf-8")


def _escaped_bytes(match: re.Match[str]) -> bytes:
    code_point, byte, letter = match.groups()
    if byte:
        return bytes([int(byte, 16)])
    if code_point:
        return chr(int(code_point, 16)).encode("utf-8")
    return _ESCAPED.get(letter, letter).encode("utf-8")
