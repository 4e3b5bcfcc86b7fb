"""What a command says of itself: its options, examples that are right, exit codes, and what was probably meant."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool import devices, errors
from mcutool.cli import COMMANDS, command_of, main
from mcutool.cli.parser import parse, parser_of

HELLO = str(Path(__file__).resolve().parents[2] / "examples" / "hello.wasm")


def examples(text: str) -> Iterator[list[str]]:
    """The command lines after `examples:`, each as its words; the shell's part of a line does not count."""
    for line in text.partition("examples:\n")[2].partition("\n\n")[0].splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
        ends = [index for index, word in enumerate(words) if word[0] in "|&;<>"]
        yield words[: ends[0] if ends else None]


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_examples_that_are_right(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = list(examples(helped(command, capsys)))
    assert len(shown) >= 2
    for program, name, *words in shown:
        assert (program, name) == ("mcutool", command)
        options = parse(name, command_of(name), words)
        named = getattr(options, "board", None)
        assert named is None or devices.board(named)


def test_the_examples_of_the_overview_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    shown = list(examples(capsys.readouterr().out))
    assert shown and all(parse(name, command_of(name), words) for _, name, *words in shown)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    parser = parser_of(command, command_of(command))
    assert all(action.help for action in parser._actions)
    assert (parser.description or "").split("\n")[0].endswith((".", "ends it")), "a sentence comes first"


def test_a_script_gets_json_from_every_command_with_a_result() -> None:
    without = {name for name in COMMANDS if "--json" not in parser_of(name, command_of(name))._option_string_actions}
    assert without == {"monitor", "completion"}, "these print what others say"


def test_the_overview_has_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for kind in errors.Error.__subclasses__():
        assert f"{kind.exit_code} {kind.name.replace('_', ' ')}" in said
    assert "0 done, 1 internal, 2 usage" in said and "130 interrupted" in said


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["bilud", "app.wasm"], "did you mean build?"),
        (["--jsn"], "use one of: build"),
        (["help"], "did you mean --help?"),
        (["run", "app.wasm", "--bord", "microbit"], "did you mean --board?"),
        (["run", "app.wasm", "--time-out=3"], "did you mean --timeout?"),
        (["boards", "stm32f404"], "did you mean stm32f405?"),
        (["run", "app.wasm", "--board", "micro-bit"], "did you mean microbit?"),
        (["emulate", "bbc-microbit"], "did you mean microbit?"),
        (["run", HELLO, "--invoke", "_strat"], "did you mean _start?"),
        (["completion", "bsh"], "see `mcutool completion --help`"),
    ],
)
def test_a_misspelt_word_is_recognised(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"]], ids=" ".join)
def test_the_version_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code
    assert code == 0 and capsys.readouterr().out.startswith("mcutool ")
