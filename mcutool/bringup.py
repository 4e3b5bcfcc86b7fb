"""Bringing a board up: one check after the other, from the first byte on its line to programs that compute right.

This file decides the order of the checks, which one needs which, and how their results are told: as text, as JSON and
as JUnit XML. It refuses to know what a check does (`bringup_steps.py`).

    from mcutool import bringup, devices

    report = bringup.bring_up_emulated(devices.board("stm32f405"))
    print(report.text())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from mcutool import bringup_steps as steps
from mcutool import devices
from mcutool.bringup_steps import Bench
from mcutool.errors import Disconnected, Error, NoAnswer

if TYPE_CHECKING:
    from mcutool.emulator.machine import Machine

OK, FAILED, NOT_RUN = "ok", "FAILED", "not run"


@dataclass(frozen=True)
class Step:
    """One check: `action` gives a line about what was found, or raises an Error; `needs` names steps before it."""

    name: str
    needs: tuple[str, ...]
    action: Callable[[Bench], str]


# Each step relies on nothing that the ones before it have not tested; modules lie in the flash and use the RAM.
STEPS = (
    Step("identify", (), steps.identify),
    Step("runtime", ("identify",), steps.runtime),
    Step("echo", ("runtime",), steps.echo),
    Step("flash test", ("echo",), steps.test_flash),
    Step("RAM test", ("flash test",), steps.test_ram),
    Step("clock", ("flash test",), steps.check_clock),
    Step("blink", ("flash test",), steps.blink),
    Step("smoke", ("flash test", "RAM test"), steps.smoke_corpus),
)


@dataclass(frozen=True)
class Result:
    """What came of a step; `seconds` are of the link's clock, which on an emulated board is the board's own."""

    name: str
    status: str
    detail: str = ""
    error: Error | None = None
    seconds: float = 0.0

    @property
    def next_action(self) -> str | None:
        """What to do about a failure."""
        return self.error.next_action if self.error else None

    def text(self) -> str:
        """A line, and below it what to do next."""
        lines = [f"  {self.name:<11}{self.status:<9}{self.detail}".rstrip()]
        if self.next_action:
            lines.append(f"{'':22}next: {self.next_action}")
        return "\n".join(lines)


@dataclass
class Report:
    """The results so far. `left` says in which state the board was left."""

    board: str
    port: str
    emulated: bool  # in this process; an emulated board of another one cannot be told from a real one
    results: list[Result] = field(default_factory=list)
    left: str = ""

    @property
    def failed(self) -> Result | None:
        """The first step that failed."""
        return next((result for result in self.results if result.error), None)

    @property
    def error(self) -> Error | None:
        """What it failed with."""
        return self.failed.error if self.failed else None

    @property
    def exit_code(self) -> int:
        """0, or the code of the first failure's class."""
        return self.error.exit_code if self.error else 0

    def text(self) -> str:
        """For people."""
        first = title(self.board, self.port, self.emulated)
        return "\n".join([first, *(result.text() for result in self.results), self.summary()])

    def summary(self) -> str:
        counts = [(sum(result.status == status for result in self.results), status) for status in (OK, FAILED, NOT_RUN)]
        told = ", ".join(f"{count} {status}" for count, status in counts if count)
        return "; ".join([told, *([self.left] if self.left else [])])

    def json(self) -> dict[str, Any]:
        """One object; `error` is that of the first failed step."""
        return {
            "board": self.board,
            "port": self.port,
            "emulated": self.emulated,
            "steps": [
                {"name": r.name, "status": r.status.lower(), "detail": r.detail, "seconds": round(r.seconds, 3),
                 "error": r.error.name if r.error else None, "next_action": r.next_action}
                for r in self.results
            ],
            "left": self.left,
        }  # fmt: skip

    def junit(self) -> str:
        """A test suite in the XML that continuous integration reads: a test case for each step."""
        suite = ElementTree.Element(
            "testsuite",
            name=f"bringup {self.board}",
            tests=str(len(self.results)),
            failures=str(sum(result.status == FAILED for result in self.results)),
            skipped=str(sum(result.status == NOT_RUN for result in self.results)),
            time=f"{sum(result.seconds for result in self.results):.3f}",
        )
        for result in self.results:
            suite.append(_test_case(self.board, result))
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _test_case(board: str, result: Result) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"bringup.{board}", name=result.name, time=f"{result.seconds:.3f}")
    if result.error:
        failure = ElementTree.SubElement(case, "failure", type=result.error.name, message=result.error.message)
        failure.text = result.error.next_action
    elif result.status == NOT_RUN:
        ElementTree.SubElement(case, "skipped", message=result.detail)
    else:
        ElementTree.SubElement(case, "system-out").text = result.detail
    return case


def title(board: str, port: str, emulated: bool) -> str:
    """The report's first line."""
    return f"bring-up of {port}:" if emulated else f"bring-up of {board} on {port}:"


def bring_up(
    bench: Bench, sequence: Sequence[Step] = STEPS, on_result: Callable[[Result], None] = lambda result: None
) -> Report:
    """Do the steps in order on the board at the bench's link; `on_result` hears of each as it ends.

    A failed step does not end it: what needs it is not run, and nothing is when the board has stopped answering.
    """
    report = Report(bench.board.name, bench.link.name, bench.emulated)
    for step in sequence:
        report.results.append(_do(step, bench, report.results))
        on_result(report.results[-1])
    report.left = steps.clean_up(bench)
    return report


def bring_up_emulated(
    board: devices.Board, machine: Machine | None = None, sequence: Sequence[Step] = STEPS, full: bool = False
) -> Report:
    """The same on an emulated board of this process: `machine`, or one in its best health."""
    return bring_up(emulated_bench(board, machine, full=full), sequence)


def emulated_bench(board: devices.Board, machine: Machine | None = None, full: bool = False) -> Bench:
    """A bench with an emulated board on it, whose pins can be read."""
    from mcutool.emulator.link import EmulatedLink
    from mcutool.emulator.machine import Machine

    chosen = machine or Machine(board, board.firmware)
    return Bench(board, EmulatedLink(chosen), full=full, pin=lambda number: chosen.pins.outputs.get(number, 0))


def _do(step: Step, bench: Bench, before: Sequence[Result]) -> Result:
    missing = [result.name for result in before if result.status != OK and result.name in step.needs]
    lost = [result.name for result in before if isinstance(result.error, (NoAnswer, Disconnected))]
    if missing or lost:
        return Result(step.name, NOT_RUN, f"needs: {missing[0]}" if missing else f"the board was lost in: {lost[0]}")
    begin = bench.link.now()
    try:
        return Result(step.name, OK, step.action(bench), seconds=bench.link.now() - begin)
    except Error as error:
        return Result(step.name, FAILED, error.message, error, bench.link.now() - begin)
