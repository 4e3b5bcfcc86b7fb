"""The verifier's twin: is an image one that a board takes, and if not, what is wrong and where?

This file decides of code the same as firmware_runtime/verify.c, in the same order, from the same table of checks: a
test holds the two against each other. It refuses to know what an instruction does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from mcutool.checks import Shape, shape
from mcutool.encoding import ESCAPE, STUB_CODE
from mcutool.image.faults import FAULTS
from mcutool.image.format import NONE
from mcutool.image.records import AMPLE, Fault, Records, Surroundings, payload_of
from mcutool.isa import CROSS_LINK_SLOTS, FEATURES, LINK_SLOTS, ROWS, TRAPS

VERIFY_ROOM = 512
"""Bytes of the arena that the verifier needs."""
WINDOW = 3520
"""Halfwords of a function for which there are marks in them; a longer one is gone over again for the next so many."""
GROUP = 32
"""Halfwords that are compared at once: where branches lead, with where instructions begin."""


@dataclass(frozen=True)
class Verdict:
    """`fault` is a name of faults.FAULTS, "" for a valid image; `place` a halfword of the code where there is one."""

    fault: str = ""
    place: int | None = None


def verify(image: bytes, surroundings: Surroundings = AMPLE) -> Verdict:
    """What a board says of the bytes in its slot."""
    try:
        records = Records(payload_of(image, surroundings), surroundings)
        records.check()
        Code(records).check()
        records.lay_out()
    except Fault as fault:
        return Verdict(fault.name, fault.place)
    return Verdict()


def check_built(image: bytes) -> None:
    """The law of what the pipeline gives: a board with room for it takes it."""
    verdict = verify(image)
    assert not verdict.fault, f"a board would refuse this: {FAULTS[verdict.fault]}: halfword {verdict.place}"


@cache
def _shapes() -> tuple[list[Shape | None], list[Shape | None]]:
    """By opcode, of the first page and of the escape page."""
    pages: tuple[list[Shape | None], list[Shape | None]] = ([None] * 256, [None] * 256)
    for row in ROWS:
        pages[row.escaped][row.opcode] = shape(row)
    return pages


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


class Code:
    """Function by function: what each instruction asks for, whether one begins where branches lead, what catches."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._code = records.code
        self._bytes = records.code.tobytes()
        self._announced = {"", *(name for name, bit in FEATURES.items() if records.header["features"] & bit)}
        self._handler = 0
        self._marks: list[int] = []
        self._window = range(0)
        self._begin = self._end = self._at = self._frame = self._module = self._callee = 0
        self._wrong = self._questions()

    def check(self) -> None:
        """Raises Fault."""
        if self._records.surroundings.arena < VERIFY_ROOM:
            raise Fault("RAM")
        defined = [row for row in self._records.functions if row["module"] != NONE]
        begins = [*(row["code"] for row in defined), len(self._code)]
        if begins[0] != len(STUB_CODE):
            raise Fault("EXTENT", begins[0])
        for row, end in zip(defined, begins[1:], strict=True):
            if end <= row["code"]:
                raise Fault("EXTENT", end)
            self._check_function(row, end)
        if self._handler != len(self._records.handlers):
            raise Fault("CATCH", self._begin)

    def _check_function(self, row: dict[str, int], end: int) -> None:
        self._begin, self._end, self._module, self._frame = row["code"], end, row["module"], self._code[row["code"]]
        if self._records.slots_of(row["signature"]) > self._frame:
            raise Fault("SLOT", self._begin)
        handler = self._handler
        for window in range(self._begin, end, WINDOW):
            self._window = range(window, window + WINDOW)
            self._marks = [0] * ((end - self._begin) // GROUP + 1)
            self._handler = handler
            self._check_instructions()
            self._check_catching()

    def _check_instructions(self) -> None:
        position, end = self._begin + 1, self._end
        starts = 0
        ends = False
        while position < end:
            found = self._shape_at(position)
            length = found.length
            if found.branches and position + length <= end:
                length += self._code[position + length - 1] + 1
            if length > end - position:
                raise Fault("CUT", position)
            starts |= 1 << (position - self._begin) % GROUP
            self._check_operands(position, found)
            if self._leave_groups(position, position + length, starts):
                starts = 0
            ends = found.ends
            position += length
        self._leave_groups(end, end + GROUP, starts)
        if not ends:
            raise Fault("RUNS_OUT", position)

    def _check_operands(self, position: int, found: Shape) -> None:
        self._at = position
        for check in found.checks:
            if wrong := self._wrong[check.kind](2 * position + check.byte):
                raise Fault(wrong, position)

    def _leave_groups(self, position: int, following: int, starts: int) -> bool:
        """Whether a group is left; `starts` are the instructions in the first, none begins in the others."""
        groups = range((position - self._begin) // GROUP, (following - self._begin) // GROUP)
        for group in groups:
            place = self._begin + group * GROUP
            if place in self._window:
                if wrong := self._marks[group] & ~starts:
                    raise Fault("BRANCH", place + (wrong & -wrong).bit_length() - 1)
                self._marks[group] = starts
            starts = 0
        return len(groups) > 0

    def _shape_at(self, position: int) -> Shape:
        plain, escaped = _shapes()
        first = self._code[position]
        found = escaped[first >> 8] if first & 0xFF == ESCAPE else plain[first & 0xFF]
        if found is None:
            raise Fault("ILLEGAL", position)
        if found.feature not in self._announced:
            raise Fault("UNANNOUNCED", position)
        return found

    # what is asked of an operand

    def _questions(self) -> dict[str, Callable[[int], str]]:
        """Kind of check -> what is wrong with the operand at a byte of the code; "" when nothing is."""
        code, bytes_, records = self._code, self._bytes, self._records
        global_slots = records.header["global_slots"]
        limits = {
            "memory": len(records.memories),
            "signature": len(records.signatures),
            "global": global_slots,
            "global_pair": global_slots - 1,
            "table": len(records.tables),
            "data": len(records.datas),
            "element": len(records.elements),
        }

        def below(limit: int) -> Callable[[int], str]:
            return lambda place: "" if code[place // 2] < limit else "INDEX"

        return {
            "slot": lambda place: "" if bytes_[place] < self._frame else "SLOT",
            "pair": lambda place: "" if bytes_[place] + 1 < self._frame else "SLOT",
            "low": lambda place: "" if bytes_[place] & 15 < self._frame else "SLOT",
            "high": lambda place: "" if bytes_[place] >> 4 < self._frame else "SLOT",
            "far": lambda place: "" if code[place // 2] < self._frame else "SLOT",
            "zero": lambda place: "ILLEGAL" if bytes_[place] else "",
            "trap": lambda place: "" if 0 < bytes_[place] < len(TRAPS) else "INDEX",
            "branch_half": lambda place: self._branch(_signed(bytes_[place] >> 4, 4)),
            "branch": lambda place: self._branch(_signed(bytes_[place], 8)),
            "branch_wide": lambda place: self._branch(_signed(code[place // 2], 16)),
            "branch_far": lambda place: self._branch(_signed(code[place // 2] | code[place // 2 + 1] << 16, 32)),
            "branches": self._branches,
            "frame": lambda place: self._calls_at(bytes_[place]),
            "call": lambda place: self._calls_at(bytes_[place], LINK_SLOTS),
            "cross": lambda place: self._calls_at(bytes_[place], CROSS_LINK_SLOTS),
            "frame_wide": lambda place: self._calls_at(code[place // 2]),
            "call_wide": lambda place: self._calls_at(code[place // 2], LINK_SLOTS),
            "cross_wide": lambda place: self._calls_at(code[place // 2], CROSS_LINK_SLOTS),
            "tail": lambda place: self._calls_at(code[place // 2], CROSS_LINK_SLOTS, anywhere=True),
            "callee": lambda place: "" if self._module_of(code[place // 2]) == self._module else "INDEX",
            "foreign": lambda place: "" if self._module_of(code[place // 2]) != NONE else "INDEX",
            "host": self._host,
            "tag": self._tag,
            "has_memory": lambda place: "INDEX" if records.modules[self._module]["memory"] == NONE else "",
            **{kind: below(limit) for kind, limit in limits.items()},
        }

    def _branch(self, distance: int) -> str:
        """A group that has been left knows where instructions begin; another one gets a mark where a branch leads."""
        target = self._at + distance
        if not self._begin <= target < self._end:
            return "BRANCH"
        if (target - self._begin) // GROUP < (self._at - self._begin) // GROUP:
            return "" if self._begins(target) else "BRANCH"
        if target in self._window:
            self._marks[(target - self._begin) // GROUP] |= 1 << (target - self._begin) % GROUP
        return ""

    def _begins(self, place: int) -> bool:
        """Whether an instruction begins there, as far as the window shows."""
        group, bit = divmod(place - self._begin, GROUP)
        return place not in self._window or bool(self._marks[group] >> bit & 1)

    def _branches(self, place: int) -> str:
        first = place // 2 + 1
        distances = self._code[first : first + self._code[first - 1] + 1]
        return "BRANCH" if any(self._branch(_signed(distance, 16)) for distance in distances) else ""

    def _calls_at(self, slot: int, least: int = 0, anywhere: bool = False) -> str:
        self._callee = slot
        return "" if slot >= least and (anywhere or slot <= self._frame) else "CALL"

    def _module_of(self, function: int) -> int:
        """NONE for a function of the host and for one that is not there."""
        functions = self._records.functions
        return functions[function]["module"] if function < len(functions) else NONE

    def _host(self, place: int) -> str:
        number, imports = self._code[place // 2], self._records.imports
        return self._area(self._records.slots_of(imports[number]["signature"])) if number < len(imports) else "INDEX"

    def _tag(self, place: int) -> str:
        number, tags = self._code[place // 2], self._records.tags
        return self._area(tags[number]["slots"]) if number < len(tags) else "INDEX"

    def _area(self, slots: int) -> str:
        return "" if self._callee + slots <= self._frame else "CALL"

    # what catches exceptions

    def _check_catching(self) -> None:
        """The handlers for sites in this function, which follow those for the functions before it."""
        handlers, tags = self._records.handlers, self._records.tags
        while self._handler < len(handlers) and self._begin < handlers[self._handler]["site"] <= self._end:
            row = handlers[self._handler]
            good = self._begin <= row["target"] < self._end and self._begins(row["target"])
            slots = (0 if row["tag"] == NONE else tags[row["tag"]]["slots"]) + (row["flags"] & 1)
            if not good or row["base"] + slots > self._frame:
                raise Fault("CATCH", self._begin)
            self._handler += 1
