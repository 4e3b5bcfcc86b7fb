"""What was built before is there at once, byte for byte the same, and nothing ever fails because of that."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mcutool import cache, devices, pipeline, program
from mcutool.built import Built
from mcutool.cli import main
from mcutool.errors import DoesNotFit, InvalidModule

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.wasm"))
LIFE = ROOT / "examples" / "life.wasm"
BOARD = devices.board("mps2-an386")


@pytest.fixture(autouse=True)
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    return tmp_path / "cache" / "mcutool" / "builds"


@pytest.fixture
def translations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each time that a module is translated."""
    done: list[str] = []
    build_image = pipeline.build_image

    def counted(*arguments, **options) -> Built:
        done.append("translated")
        return build_image(*arguments, **options)

    monkeypatch.setattr(pipeline, "build_image", counted)
    return done


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_second_build_is_the_first(path: Path, translations: list[str]) -> None:
    for sizes in ({}, {"rodata": "flash"}, {"stack": 2048, "refuse": False}):
        alone = pipeline.build_image(path, BOARD, **sizes)
        translations.clear()
        assert program.load(path, BOARD, **sizes) == alone
        assert program.load(path, BOARD, **sizes) == alone
        assert len(translations) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["build", LIFE, "-o", "life.mcu"],
        ["run", LIFE],
        ["flash", LIFE, "--board", "stm32f405", "--dry-run"],
        ["image", LIFE, "--board", "microbit", "-o", "life.hex"],
        ["info", LIFE],
        ["disasm", LIFE],
    ],
    ids=lambda command: command[0],
)
def test_every_command_finds_it(
    command: list, tmp_path: Path, translations: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = []
    for _ in range(2):
        assert main(list(map(str, command))) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and len(translations) == 1


def test_a_board_of_a_test_finds_it(translations: list[str]) -> None:
    import mcutool.board

    for _ in range(2):
        mcutool.board._build.cache_clear()  # as in another process
        with mcutool.open_board(BOARD.name) as board:
            board.install(LIFE)
    assert len(translations) == 1


def test_another_module_board_option_or_tool_is_another_build(
    translations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program.load(LIFE, BOARD)
    program.load(EXAMPLES[0], BOARD)
    program.load(LIFE, devices.board("mps2-an385"))
    program.load(LIFE, BOARD, stack=2048)
    monkeypatch.setattr(cache, "tool", lambda: bytes(32))
    program.load(LIFE, BOARD)
    assert len(translations) == 5


def test_a_line_of_the_tool_makes_it_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    told = [cache.tool()]
    for text in ("one", "two"):
        (tmp_path / "room" / "file.py").write_text(text, encoding="utf-8")
        assert cache.tool() == b"", "it was changed after this process had begun to read it"
        os.utime(tmp_path / "room" / "file.py", (0, 0))
        told.append(cache.tool())
    assert len(set(told)) == 3 and told[0] == b"", "without its sources nobody knows"


def test_a_tool_that_changes_on_the_way_keeps_nothing(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter((b"before", b"after"))
    monkeypatch.setattr(cache, "tool", lambda: next(told))
    program.load(LIFE, BOARD)
    assert not builds.exists()


def test_without_the_sources_nothing_is_kept(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "tool", lambda: b"")
    program.load(LIFE, BOARD)
    assert not builds.exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:40] + b"!" + data[41:], lambda _: b""])
def test_a_damaged_entry_is_replaced(damage, builds: Path, translations: list[str]) -> None:
    whole = program.load(LIFE, BOARD)
    (entry,) = builds.iterdir()
    kept = entry.read_bytes()
    entry.write_bytes(damage(kept))
    assert program.load(LIFE, BOARD) == whole
    assert entry.read_bytes() == kept and len(translations) == 2


def test_a_stage_that_is_asked_for_is_shown(translations: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    for _ in range(2):
        program.load(LIFE, BOARD, dump=lambda stage, what: shown.append(stage))
    assert len(translations) == 2 and shown


def test_a_refusal_is_not_kept(tmp_path: Path, builds: Path) -> None:
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(LIFE.read_bytes()[:-3])
    with pytest.raises(InvalidModule):
        program.load(broken, BOARD)
    with pytest.raises(DoesNotFit):
        program.load(LIFE, devices.board("microbit"), heap=1 << 20)
    assert not builds.exists()


def test_it_can_be_turned_off(builds: Path, translations: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program.load(LIFE, BOARD)
    monkeypatch.setenv(cache.VARIABLE, "0")
    program.load(LIFE, BOARD)
    assert len(translations) == 2
    next(builds.iterdir()).unlink()
    program.load(LIFE, BOARD)
    assert not list(builds.iterdir())


def test_the_oldest_make_room(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ROOM", 3500)
    built = Built(bytes(900), {}, {})
    for number in range(5):
        cache.keep(str(number), built)
        os.utime(builds / str(number), ns=(0, number))
        if number == 2:
            assert cache.find("0") == built  # which makes it the newest
    assert {file.name for file in builds.iterdir()} == {"0", "3", "4"}
    cache.keep("large", Built(bytes(4000), {}, {}))
    assert len(list(builds.iterdir())) == 3


@pytest.mark.parametrize("what", ["a file", "closed", "no home", "full"])
def test_a_place_that_takes_nothing_is_no_mistake(
    what: str, builds: Path, translations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise {"closed": PermissionError, "no home": RuntimeError, "full": OSError}[what]("no")

    if what == "a file":
        builds.parent.mkdir(parents=True)
        builds.write_text("not a folder", encoding="utf-8")
    elif what == "no home":
        monkeypatch.setattr(cache, "folder", fails)
    else:
        monkeypatch.setattr(Path, "write_bytes" if what == "full" else "mkdir", fails)
    for _ in range(2):
        program.load(LIFE, BOARD)
    assert len(translations) == 2
    assert what != "full" or not list(builds.iterdir())


def test_many_at_the_same_time_agree(builds: Path) -> None:
    words = [sys.executable, "-m", "mcutool", "run", str(LIFE), "--json"]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(subprocess.run, words, cwd=ROOT, capture_output=True, check=True, stdin=subprocess.DEVNULL)
                for _ in range(6)]  # fmt: skip
    assert len({run.result().stdout for run in runs}) == 1
    (entry,) = builds.iterdir()
    assert cache.find(entry.name) is not None


def test_what_was_built_before_imports_no_translator(builds: Path) -> None:
    script = (
        "import sys; from mcutool.cli import main\n"
        f"assert main(['run', {str(LIFE)!r}]) == 0\n"
        "print('\\nslow:', [n for n in ('mcutool.pipeline', 'mcutool.ir', 'mcutool.bytecode') if n in sys.modules])"
    )
    said = [
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said[1].splitlines()[-1] == "slow: []" != said[0].splitlines()[-1]
