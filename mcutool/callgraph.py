"""Who calls whom in an image, and how much of the stack of frames a call can take at the most.

The code itself is read, so the bound holds for what the board runs: frames as they were allocated, calls as they were
selected, across the modules of a bundle. An indirect call may reach every function of its signature (a call by a
reference: every function) to which a reference exists: in an element segment or made in code. A recursive call has no
bound; a loop of tail calls that keep their frame has one. Host functions run in the caller's frame, and an exception
only goes down. The file refuses to know what the frames hold and how large a board's stack is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mcutool.encoding import Decoded, walk
from mcutool.image.format import NONE, Image
from mcutool.isa import CROSS_LINK_SLOTS

SLOT_BYTES = 4
TAIL = "tail_call"
MADE_REFERENCE = "i32.const.wide"
"""The row with which layout writes a reference, however small; constants take it only where they are larger."""


@dataclass(frozen=True)
class Call:
    """The callee's frame begins `offset` slots above the caller's: 0 for a tail call that keeps the frame."""

    offset: int
    callee: int
    indirect: bool


@dataclass(frozen=True)
class Bound:
    """`size` is in bytes, None when there is none: because functions call each other in a circle, which is `path` then
    (its first function is its last), or because one function takes what nobody knows, which is the end of `path`. Else
    `path` is the deepest chain of calls. `indirect`: the circle has a call by table or reference, which may never be
    made."""

    size: int | None
    path: tuple[int, ...]
    indirect: bool = False

    @property
    def is_recursive(self) -> bool:
        return self.size is None and len(self.path) > 1


class CallGraph:
    """The calls of an image; `frames` (in slots) and `calls` by function number."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.frames: dict[int, int | None] = {}
        found: dict[int, list[Decoded]] = {}
        references = [reference for element in image.elements for reference in element]
        for function, code in _defined(image):
            self.frames[function] = image.code[code.start - 1]
            found[function] = []
            for _, decoded in walk(image.code, code.start, code.stop):
                if decoded.row.name == MADE_REFERENCE:
                    references.append(decoded.operands["i"])
                elif "call" in decoded.row.name:
                    found[function].append(decoded)
        self._referenced = sorted({value - 1 for value in references if 0 < value <= len(image.functions)})
        self.calls = {
            function: [call for decoded in instructions for call in self._calls_by(function, decoded)]
            for function, instructions in found.items()
        }
        hosts = [number for number, row in enumerate(image.functions) if row["module"] == NONE]
        self.frames.update((number, self._host_slots(number)) for number in hosts)
        self._depths = _Depths(self.frames, self.calls)

    def bound(self, function: int) -> Bound:
        """What a call of the function from outside can take of the stack of frames, with the link below the first."""
        found = self._depths.bound(function)
        return replace(found, size=found.size and SLOT_BYTES * (CROSS_LINK_SLOTS + found.size))

    def other_bound(self, sizes: dict[int, int | None]) -> Callable[[int], Bound]:
        """The same for another stack, of which each function takes so many bytes before it calls; None: unknown."""
        calls = {f: [replace(call, offset=sizes.get(f) or 0) for call in calls] for f, calls in self.calls.items()}
        none: dict[int, int | None] = dict.fromkeys(self.frames, 0)
        return _Depths(none | sizes, calls).bound

    def entries(self) -> list[int]:
        """The functions that the host calls: of each module the one that instantiates it, and what it exports."""
        exported = [row["index"] for row in self._image.exports if row["kind"] == 0]
        return [*(module["instantiate"] for module in self._image.modules), *dict.fromkeys(exported)]

    def reached(self, entries: Iterable[int]) -> set[int]:
        """The functions that run when these are called, themselves included."""
        found = set(entries)
        waiting = list(found)
        while waiting:
            new = {call.callee for call in self.calls.get(waiting.pop(), ())} - found
            found |= new
            waiting += new
        return found

    # calls

    def _calls_by(self, caller: int, decoded: Decoded) -> Iterator[Call]:
        """Where an instruction may lead, host functions included."""
        name, operands = decoded.row.name, decoded.operands
        if "f" in operands:
            if operands["f"] < len(self._image.functions):  # else it is no code of ours
                yield Call(operands.get("k", 0), operands["f"], False)
        elif "h" not in operands:
            for callee in self._reachable(operands.get("s")):
                keeps = name.startswith(TAIL) and self._memory(caller) == self._memory(callee)
                yield Call(0 if keeps else operands["k"], callee, True)

    def _reachable(self, signature: int | None) -> Iterator[int]:
        for function in self._referenced:
            if signature in (None, self._image.functions[function]["signature"]):
                yield function

    def _memory(self, function: int) -> int | None:
        """The linear memory that a function works on; a host function works on its caller's."""
        module = self._image.functions[function]["module"]
        return None if module == NONE else self._image.modules[module]["memory"]

    def _host_slots(self, function: int) -> int:
        signature = self._image.signatures[self._image.functions[function]["signature"]]
        return max(signature["parameter_slots"], signature["result_slots"])


class _Depths:
    """The bound of every function: what it takes itself, and what its calls take above their offset."""

    def __init__(self, own: dict[int, int | None], calls: dict[int, list[Call]]) -> None:
        self._own = own
        self._calls = calls
        self._deepest: dict[int, tuple[int, int]] = {}  # the bound, and the callee that it comes from, or the function
        self._unbounded: dict[int, Bound] = {}
        for component in _components({function: calls.get(function, []) for function in own}):
            self._measure(component)

    def bound(self, function: int) -> Bound:
        if function in self._unbounded:
            return self._unbounded[function]
        path = [function]
        while self._deepest[path[-1]][1] != path[-1]:
            path.append(self._deepest[path[-1]][1])
        return Bound(self._deepest[function][0], tuple(path))

    def _measure(self, component: list[int]) -> None:
        """Functions that reach each other, after everything that they reach besides."""
        members = set(component)
        unbounded = self._circle(component, members)
        found = []
        for member in component:
            own = self._own[member]
            if own is None:
                unbounded = unbounded or Bound(None, (member,))
            found.append((own or 0, member))
            for call in self._calls.get(member, ()):
                if call.callee in self._unbounded:
                    unbounded = unbounded or self._unbounded[call.callee]
                elif call.callee not in members:
                    found.append((call.offset + self._deepest[call.callee][0], call.callee))
        for member in component:
            if unbounded:
                self._unbounded[member] = unbounded
            else:
                self._deepest[member] = max(found, key=lambda pair: pair[0])

    def _circle(self, component: list[int], members: set[int]) -> Bound | None:
        """The shortest way from a function back to itself that needs more stack each time."""
        inner = {m: [call for call in self._calls.get(m, ()) if call.callee in members] for m in component}
        growing = [(m, call) for m in component for call in inner[m] if call.offset]
        if not growing:
            return None
        caller, first = min(growing, key=lambda pair: (pair[0] != pair[1].callee, pair[1].indirect))
        ways = {first.callee: [first]}
        queue = [first.callee]
        while caller not in ways:
            function = queue.pop(0)
            for call in inner[function]:
                if call.callee not in ways:
                    ways[call.callee] = [*ways[function], call]
                    queue.append(call.callee)
        circle = ways[caller]
        return Bound(None, (caller, *(call.callee for call in circle)), any(call.indirect for call in circle))


def _defined(image: Image) -> Iterator[tuple[int, range]]:
    """Each function with code, and the halfwords of its instructions."""
    begins = sorted((row["code"], number) for number, row in enumerate(image.functions) if row["module"] != NONE)
    ends = [begin for begin, _ in begins[1:]] + [len(image.code)]
    for (begin, number), end in zip(begins, ends, strict=True):
        yield number, range(begin + 1, end)


def _components(calls: dict[int, list[Call]]) -> Iterator[list[int]]:
    """The strongly connected components, callees first (Tarjan 1972, with the recursion in a list)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in calls:
        work = [(root, iter(calls[root]))] if root not in number else []
        while work:
            function, rest = work[-1]
            if function not in number:
                number[function] = low[function] = len(number)
                stack.append(function)
                on_stack.add(function)
            for call in rest:
                if call.callee in calls and call.callee not in number:
                    work.append((call.callee, iter(calls[call.callee])))
                    break
                if call.callee in on_stack:
                    low[function] = min(low[function], number[call.callee])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[function])
                if low[function] == number[function]:
                    component = [stack.pop()]
                    while component[-1] != function:
                        component.append(stack.pop())
                    on_stack.difference_update(component)
                    yield component
