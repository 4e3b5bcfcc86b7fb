"""The pytest plug-in: the fixture `board`, on which boards a test runs, and what a failing test shows of its board.

This file decides what a test gets and what its report holds. It refuses to know what a board can do (`board.py`).
pytest imports it in every project that has mcutool, so it imports nothing else until a test wants a board.

An emulated board is booted once in each process and put back to that moment before each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mcutool.board import Board, Snapshot

DEFAULT_BOARD = "mps2-an386"
BOOTED = 0.1
"""Seconds of the board's clock in which the firmware has printed its first lines."""
BRANCHES = 8  # shown

BOARD = pytest.StashKey["Board"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mcutool", "boards for the fixture `board` (mcutool)")
    group.addoption("--mcu-board", metavar="NAME[,NAME...]|all", help=f"emulated boards (default: {DEFAULT_BOARD})")
    group.addoption("--mcu-port", metavar="PORT", help="a serial port or a pyserial URL, instead of an emulated board")
    group.addoption("--mcu-baud", metavar="N", type=int, help="bits per second on that port (default: the board's)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "mcu(boards=[NAME, ...], emulated=True): run the test on these boards only; skip it on a serial port",
    )
    workers = config.getoption("numprocesses", None) or 0  # of pytest-xdist
    if config.getoption("mcu_port") and workers > 1:
        raise pytest.UsageError("--mcu-port: one board cannot be shared by several workers; leave out -n")


# --- which boards -----------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of several boards is a test for each; with one board its name stays as it is."""
    if "mcu_board" in metafunc.fixturenames and not metafunc.config.getoption("mcu_port"):
        names = _chosen(metafunc.config, _marker(metafunc.definition))
        if len(names) > 1:
            metafunc.parametrize("mcu_board", names, indirect=True)


def _marker(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("mcu")
    if marker is None:
        return {}
    if marker.args or marker.kwargs.keys() - {"boards", "emulated"}:
        raise pytest.UsageError(f"{item.nodeid}: the marker is mcu(boards=[NAME, ...], emulated=True)")
    return dict(marker.kwargs)


def _chosen(config: pytest.Config, marker: dict[str, Any]) -> list[str]:
    """Names of the emulated boards that a test with this marker runs on; none when it is to be skipped."""
    option, marked = config.getoption("mcu_board"), marker.get("boards")
    if option is None:
        return list(marked or [_default()])
    return [name for name in _named(option) if marked is None or name in marked]


def _default() -> str:
    """The board that the user has set, or the one that is emulated unless told."""
    from mcutool import settings
    from mcutool.errors import Error

    try:
        setting = settings.find("board")
    except Error as error:
        raise pytest.UsageError(f"{error.message}; {error.next_action}") from error
    return setting.value if setting else DEFAULT_BOARD


def _named(option: str) -> list[str]:
    """The boards of --mcu-board."""
    from mcutool import devices
    from mcutool.errors import Error

    if option == "all":
        return [board.name for board in devices.runtime_boards() if board.emulated and board.firmware.exists()]
    try:
        return [devices.board(name).name for name in option.split(",")]
    except Error as error:
        raise pytest.UsageError(f"--mcu-board: {error.message}; {error.next_action}") from error


# --- fixtures ---------------------------------------------------------------------------------------------------------


class Boards:
    """The boards of this process, each opened once; an emulated one with what it was when it had booted."""

    def __init__(self, port: str | None, baud: int | None) -> None:
        self._port, self._baud = port, baud
        self._open: dict[str, tuple[Board, Snapshot | None]] = {}

    def fresh(self, name: str) -> Board:
        """The board of that name with no module installed: an emulated one as it was when it had booted."""
        from mcutool.board import Board, open_board
        from mcutool.errors import Error

        try:
            if name not in self._open:
                board = open_board(name, self._port, self._baud)
                board.wait(BOOTED)
                self._open[name] = board, board.snapshot() if board.emulated else None
            board, booted = self._open[name]
            if booted is not None:
                board.restore(booted)
                return board
            board = Board(board.description, board.link)
            board.client.erase()
            board.reset()
        except Error as error:
            pytest.fail(f"{error.message}\n  next: {error.next_action}", pytrace=False)
        board.output.clear()
        return board

    def close(self) -> None:
        for board, _ in self._open.values():
            board.close()


@pytest.fixture(scope="session")
def mcu_boards(pytestconfig: pytest.Config) -> Iterator[Boards]:
    """Every board that this process has opened."""
    boards = Boards(pytestconfig.getoption("mcu_port"), pytestconfig.getoption("mcu_baud"))
    yield boards
    boards.close()


@pytest.fixture
def mcu_board(request: pytest.FixtureRequest) -> str:
    """The name of the board that the test runs on."""
    marker, port = _marker(request.node), request.config.getoption("mcu_port")
    names = [request.param] if hasattr(request, "param") else _chosen(request.config, marker)
    if port and marker.get("emulated"):
        pytest.skip("needs an emulated board")
    if not names:
        pytest.skip(f"is for {', '.join(marker['boards'])}")
    return names[0]


@pytest.fixture
def board(request: pytest.FixtureRequest, mcu_board: str, mcu_boards: Boards) -> Iterator[Board]:
    """A board, as it is when it has booted and no module is installed: see `mcutool.board.Board`."""
    board = request.node.stash[BOARD] = mcu_boards.fresh(mcu_board)
    yield board
    properties: dict[str, str | int] = {"mcu_board": mcu_board}
    if board.emulated:
        counts = board.probe.counts()
        properties |= {"mcu_instructions": counts.instructions, "mcu_cycles": counts.cycles}
    request.node.user_properties.extend(properties.items())


# --- reports ----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A test that fails with a board in its hands shows what the board said and did."""
    board = item.stash.get(BOARD, None)
    if board is not None and call.excinfo is not None:
        _prepare(call.excinfo)
    report = yield
    if board is not None and report.failed:
        report.sections += [(title, text) for title, text in _sections(board) if text]
    return report


def _prepare(failure: pytest.ExceptionInfo[BaseException]) -> None:
    """Of one of our errors pytest shows the line of the test, not our own, and what to do next."""
    for entry in failure.traceback:
        if str(entry.frame.f_globals.get("__name__")).startswith("mcutool."):
            entry.frame.f_globals["__tracebackhide__"] = _is_told
    next_action = getattr(failure.value, "next_action", "")
    if next_action not in str(failure.value):
        failure.value.add_note(f"  next: {next_action}")


def _is_told(failure: pytest.ExceptionInfo[Any]) -> bool:
    from mcutool.errors import Error

    return isinstance(failure.value, Error)


def _sections(board: Board) -> Iterator[tuple[str, str]]:
    """What the board has been doing: its clock, its output, how its program trapped, where the interpreter was."""
    from mcutool.places import render_trap

    clock = f"{board.link.now():.6f} s on the clock of {board.link.name}" if board.emulated else board.link.name
    yield "board", clock
    yield "board: output", board.output.decode(errors="backslashreplace").replace("\r\n", "\n").strip("\n")
    if board.trap:
        yield "board: trap", render_trap(board.trap)
    if board.emulated and (branches := board.probe.last_branches()):
        yield "board: last branches of the interpreter", "\n".join(branches[-BRANCHES:])
