"""A case that shows a difference -> a small one that shows one.

This file decides which smaller cases are tried: fewer calls, lists of the text left out, replaced by one of the lists
inside them or by a constant. Whether a candidate is a module at all wasmtime says, whether it still differs the road.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import wasmtime

from mcutool.wast.sexpr import Group, read_groups
from tests.fuzz import oracle
from tests.fuzz.case import Account, Case
from tests.fuzz.roads import BoardRoad, PcRoad, TooLarge

CONSTANTS = ("(i32.const 0)", "(i64.const 0)", "(f32.const 0)", "(f64.const 0)", "(ref.null func)", "(ref.null extern)")
KEPT = ("param", "result", "then")
"""Lists without which hardly anything is a module."""
MOST_TRIES = 6000

Differs = Callable[[Case, Account, PcRoad | BoardRoad], str]


def shrink(case: Case, road: PcRoad | BoardRoad, difference: Differs) -> Case:
    """The smallest case found that still differs. Raises ValueError when the given one does not."""
    kind = _kind(case, road, difference)
    if not kind:
        raise ValueError("there is no difference to shrink")
    tries = 0

    def still(candidate: Case) -> bool:
        nonlocal tries
        tries += 1
        return tries < MOST_TRIES and _kind(candidate, road, difference) == kind

    case = _fewer_calls(case, still)
    size = len(case.text) + 1
    while len(case.text) < size:
        size = len(case.text)
        case = _smaller_text(case, still)
    lines = [line for line in case.text.splitlines() if line.strip()]
    return _fewer_calls(replace(case, text="\n".join(lines)), still)


def _kind(case: Case, road: PcRoad | BoardRoad, difference: Differs) -> str:
    """What sort of difference a case shows, or nothing; a shrunk case must not show another sort."""
    try:
        found = difference(case, oracle.account(case), road)
    except (oracle.NoAnswer, wasmtime.WasmtimeError, TooLarge):
        return ""
    if not found:
        return ""
    return found.split(":")[0] if not found.startswith(("call", "inst")) else "outcome"


def _fewer_calls(case: Case, still: Callable[[Case], bool]) -> Case:
    """Leave out ever smaller runs of calls."""
    step = max(1, len(case.calls) // 2)
    while True:
        at = 0
        while at < len(case.calls):
            candidate = replace(case, calls=case.calls[:at] + case.calls[at + step :])
            if still(candidate):
                case = candidate
            else:
                at += step
        if step == 1:
            return case
        step //= 2


def _smaller_text(case: Case, still: Callable[[Case], bool]) -> Case:
    """One walk over all lists of the text, large ones first; each is left out or replaced when that still differs."""
    position, groups = 0, _removable(case)
    while position < len(groups):
        for text in _replacements(case.text, groups[position]):
            candidate = replace(case, text=text)
            if _is_module(text) and still(candidate):
                case, groups = candidate, _removable(candidate)
                break
        else:
            position += 1
    return case


def _removable(case: Case) -> list[Group]:
    return [group for group in _lists(read_groups(case.text)[0]) if group.head not in KEPT]


def _lists(group: Group) -> Iterator[Group]:
    """All lists inside, outer before inner."""
    for item in group.items:
        if isinstance(item, Group):
            yield item
            yield from _lists(item)


def _replacements(text: str, group: Group) -> Iterator[str]:
    """The text without the list, and with something smaller in its place."""
    inner = [text[item.start : item.end] for item in group.items if isinstance(item, Group)]
    own = text[group.start : group.end]
    smaller = [constant for constant in CONSTANTS if len(constant) < len(own)]
    for replacement in ("", *inner, " ".join(inner), *smaller):
        if len(replacement) < len(own):
            yield text[: group.start] + replacement + text[group.end :]


def _is_module(text: str) -> bool:
    try:
        wasmtime.Module.validate(oracle.ENGINE, wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError:
        return False
    return True
