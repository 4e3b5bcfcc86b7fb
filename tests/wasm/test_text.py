"""The text format goes through wasmtime, and its absence is said with the remedy."""

from __future__ import annotations

import sys

import pytest

from mcutool.errors import InvalidModule, UsageError
from mcutool.wasm.text import assemble


def test_text_becomes_a_module() -> None:
    assert assemble("(module)") == b"\0asm\1\0\0\0"
    assert assemble(b'(module (memory (export "m") 1))')[8:] == b"\5\3\1\0\1\7\5\1\1m\2\0"


@pytest.mark.parametrize("text", ["(module", "(module (func (i32.nothing)))", b"(module \xff)"])
def test_malformed_text_is_an_invalid_module(text: str | bytes) -> None:
    with pytest.raises(InvalidModule, match="malformed text"):
        assemble(text)


def test_names_that_reorder_text_are_only_names() -> None:
    assert "\u202e".encode() in assemble('(module (func (export "\u202e")))')


def test_without_wasmtime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    with pytest.raises(UsageError) as caught:
        assemble("(module)")
    assert caught.value.next_action == "pip install 'mcutool[wat]'"
