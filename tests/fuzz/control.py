"""Control: blocks, loops that end, branches, switches, handlers of exceptions.

This file decides which shapes control flow takes and how loops end. It refuses to know what is computed in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz import arithmetic, calls, places
from tests.fuzz.vocabulary import NULLS, NUMBERS, Label, block_type

if TYPE_CHECKING:
    from tests.fuzz.body import Body

TRIPS = 5
"""Most turns of a loop."""


def select(body: Body, kind: str, depth: int) -> str:
    typed = f" (result {kind})" if kind in NULLS or body.chance(0.3) else ""
    values = f"{body.expression(kind, depth)} {body.expression(kind, depth)}"
    return f"(select{typed} {values} {arithmetic.condition(body, depth)})"


def block_value(body: Body, kind: str, depth: int) -> str:
    return block(body, (), (kind,), depth)


def if_value(body: Body, kind: str, depth: int) -> str:
    return if_else(body, (kind,), depth)


def loop_value(body: Body, kind: str, depth: int) -> str:
    return loop(body, (kind,), depth)


def br_if(body: Body, kind: str, depth: int) -> str:
    """A branch that takes the value along, or leaves it here."""
    names = [label.name for label in body.labels if label.types == (kind,)]
    if not names:
        return ""
    return f"(br_if {body.random.choice(names)} {body.expression(kind, depth)} {arithmetic.condition(body, depth)})"


def table_of_values(body: Body, kind: str, depth: int) -> str:
    """Two nested blocks with a result, and a br_table that leaves either with it."""
    outer, inner = body.name("b"), body.name("b")
    targets = body.random.choices((outer, inner), k=body.random.randint(1, 5))
    value, index = body.expression(kind, depth), places.target_index(body, len(targets), depth)
    with_value = f"(block {inner} (result {kind}) (br_table {' '.join(targets)} {value} {index}))"
    return f"(block {outer} (result {kind}) {arithmetic.unary(body, kind, with_value)})"


def nested(body: Body, label: Label, results: tuple[str, ...], depth: int) -> str:
    """Statements and results inside a label."""
    body.labels.append(label)
    parts = body.statements(body.random.choice((0, 1, 2, 3)), depth)
    parts += [body.expression(kind, depth + 1) for kind in results]
    body.labels.pop()
    return " ".join(parts)


def block(body: Body, parameters: tuple[str, ...], results: tuple[str, ...], depth: int) -> str:
    """A block whose parameters go to locals first."""
    label = Label(body.name("b"), results)
    operands = " ".join(body.expression(kind, depth + 1) for kind in parameters)
    taken = " ".join(f"(local.set {body.some_local(kind)})" for kind in reversed(parameters))
    inside = nested(body, label, results, depth + 1)
    return f"{operands} (block {label.name}{block_type(parameters, results)} {taken} {inside})"


def if_else(body: Body, results: tuple[str, ...], depth: int) -> str:
    label = Label(body.name("i"), results)
    condition = arithmetic.condition(body, depth + 1)
    then = nested(body, label, results, depth + 1)
    otherwise = f" (else {nested(body, label, results, depth + 1)})" if results or body.chance(0.5) else ""
    return f"(if {label.name}{block_type((), results)} {condition} (then {then}){otherwise})"


def loop(body: Body, results: tuple[str, ...], depth: int) -> str:
    """A loop that ends after some turns, in one of the forms that compilers make."""
    if body.loops >= (3 if body.is_leaf else 2):
        return ""
    body.loops += 1
    form = body.random.choice((counting_up, counting_down, with_parameters))
    text = form(body, results, depth)
    body.loops -= 1
    return text


def counting_down(body: Body, results: tuple[str, ...], depth: int) -> str:
    """The number of turns is checked first, so that the body may go on at any place."""
    counter, label, end = body.local("i32", "c"), body.name("p"), body.name("e")
    turns = places.small_index(body, TRIPS, depth)
    turns = f"(i32.and {turns} (i32.const 7))"
    body.counters.append(counter)
    body.labels.append(Label(label, ()))
    inside = nested(body, Label(end, ()), (), depth + 1)
    body.labels.pop()
    body.counters.pop()
    less = f"(local.set {counter} (i32.sub (local.get {counter}) (i32.const 1)))"
    after = " ".join(body.expression(kind, depth + 1) for kind in results)
    return (
        f"(local.set {counter} {turns}) (block {end} (loop {label} "
        f"(br_if {end} (i32.eqz (local.get {counter}))) {less} {inside} (br {label}))) {after}"
    )


def counting_up(body: Body, results: tuple[str, ...], depth: int) -> str:
    """`do ... while (++i < n)` in one of its types and conditions."""
    kind = body.random.choice(("i32", "i32", "i64"))
    counter, label = body.local(kind, "c"), body.name("p")
    step, turns = body.random.choice((1, 1, 2, 4, 100)), body.random.randint(1, TRIPS)
    first = body.random.choice((0, 0, 1, -3, 250, 32760))
    next_ = f"({kind}.add (local.get {counter}) ({kind}.const {step}))"
    condition = body.random.choice(("lt_s", "ne", "lt_s", "le_s"))
    last = first + step * turns - (step if condition == "le_s" else 0)
    if kind == "i32":
        body.counters.append(counter)
    inside = " ".join(body.statements(3, depth + 1))
    body.counters = [name for name in body.counters if name != counter]
    after = " ".join(body.expression(result, depth + 1) for result in results)
    moved, read = f"(local.set {counter} {next_})", f"(local.get {counter})"
    if body.chance(0.5):
        moved, read = "", f"(local.tee {counter} {next_})"
    again = f"(br_if {label} ({kind}.{condition} {read} ({kind}.const {last})))"
    start = f"(local.set {counter} ({kind}.const {first}))"
    return f"{start} (loop {label}{block_type((), results)} {inside} {moved} {again} {after})"


def with_parameters(body: Body, results: tuple[str, ...], depth: int) -> str:
    """A loop whose counter and one more value travel on the operand stack."""
    kind = body.random.choice(NUMBERS)
    counter, carried, label = body.local("i32", "c"), body.local(kind), body.name("p")
    inside = " ".join(body.statements(2, depth + 1))
    value = body.expression(kind, depth + 1)
    after = " ".join(body.expression(result, depth + 1) for result in results)
    less = f"(i32.sub (local.get {counter}) (i32.const 1))"
    return (
        f"(i32.const {body.random.randint(1, TRIPS)}) {body.expression(kind, depth + 1)} "
        f"(loop {label} (param i32 {kind}) (result {' '.join(results)}) "
        f"(local.set {carried}) (local.set {counter}) {inside} "
        f"{less} {value} (br_if {label} (i32.gt_s (local.get {counter}) (i32.const 1))) (drop) (drop) {after})"
    )


def many_results(body: Body, depth: int) -> str:
    """A call, block or if with several results."""
    types = tuple(body.random.choices((*NUMBERS, *NUMBERS, *NULLS), k=body.random.randint(0, 4)))
    functions = calls.callees(body)
    if functions and body.chance(0.6):
        function = body.random.choice(functions)
        types, values = function.signature.results, calls.call(body, function, depth)
    elif body.chance(0.5):
        values = block(body, tuple(body.random.choices(NUMBERS, k=body.random.randint(0, 3))), types, depth)
    else:
        values = if_else(body, types, depth)
    return body.assigned([body.some_local(kind) for kind in types], values)


def if_statement(body: Body, depth: int) -> str:
    return if_else(body, (), depth)


def loop_statement(body: Body, depth: int) -> str:
    return loop(body, (), depth)


def branch(body: Body, depth: int) -> str:
    """br_if; what it took along is dropped when it does not jump."""
    if not body.labels:
        return ""
    label = body.random.choice(body.labels)
    values = " ".join(body.expression(kind, depth + 1) for kind in label.types)
    return f"(br_if {label.name} {values} {arithmetic.condition(body, depth)})" + " (drop)" * len(label.types)


def leave(body: Body, depth: int) -> str:
    """Jump away for good; sometimes with code behind that cannot be reached."""
    choice = body.random.random()
    if choice < 0.5 and body.labels:
        label = body.random.choice(body.labels)
        text = f"(br {label.name} {' '.join(body.expression(kind, depth + 1) for kind in label.types)})"
    elif choice < 0.75 and calls.tail_callees(body):
        text = calls.call(body, body.random.choice(calls.tail_callees(body)), depth).replace("(call", "(return_call", 1)
    elif choice < 0.85 and not body.is_leaf:
        text = calls.throw(body, depth)
    elif choice < 0.95:
        text = f"(return {' '.join(body.expression(kind, depth + 1) for kind in body.results)})"
    else:
        text = "(unreachable)"
    return " ".join([text, *body.statements(3, depth)]) if body.chance(0.4) else text


def try_table(body: Body, depth: int) -> str:
    """A try_table with some clauses; each handler keeps what it is given, some throw it again."""
    end, kinds = body.name("t"), tuple(body.random.choices(NUMBERS, k=body.random.randint(0, 2)))
    handlers = [handler(body, depth) for _ in range(body.random.randint(1, 3))]
    clauses = " ".join(clause for clause, _, _ in handlers)
    body.labels.append(Label(end, ()))
    inside = nested(body, Label(end, ()), kinds, depth + 1)
    thrown = calls.maybe_throw(body, depth + 1) if body.chance(0.5) else ""
    text = f"(try_table{block_type((), kinds)} {clauses} {thrown} {inside})"
    text = body.assigned([body.some_local(kind) for kind in kinds], text)
    for _, opening, after in handlers:
        text = f"({opening} {text} (br {end})) {after} {' '.join(body.statements(1, depth + 1))}"
    body.labels.pop()
    return f"(block {end} {text})"


def handler(body: Body, depth: int) -> tuple[str, str, str]:
    """A clause, the beginning of the block that it leads to, and what takes what arrives there."""
    label, tag = body.name("h"), body.random.choice(body.declared.tags)
    with_tag, with_reference = body.chance(0.7), body.chance(0.4)
    types = (tag.parameters if with_tag else ()) + (("exnref",) if with_reference else ())
    word = f"catch{'' if with_tag else '_all'}{'_ref' if with_reference else ''}"
    clause = f"({word} {tag.name} {label})" if with_tag else f"({word} {label})"
    names = [body.some_local(kind) for kind in types if kind != "exnref"]
    if with_reference:
        names.append(body.local("exnref", "x"))
    taken = body.assigned(names, "")
    if with_reference and body.chance(0.4):
        taken += f" (if {arithmetic.condition(body, depth)} (then (throw_ref (local.get {names[-1]}))))"
    return clause, f"block {label}{block_type((), types)}", taken


def switch(body: Body, depth: int) -> str:
    """br_table as compilers write `switch`."""
    names = [body.name("s") for _ in range(body.random.randint(1, 4))]
    targets = body.random.choices(names, k=body.random.randint(1, 6))
    text = f"(br_table {' '.join(targets)} {places.target_index(body, len(targets), depth)})"
    end = names[-1]
    for number, name in enumerate(names):
        after = " ".join(body.statements(2, depth + 1)) if number < len(names) - 1 else ""
        jump = f" (br {end})" if after and body.chance(0.6) else ""
        text = f"(block {name} {text}) {after}{jump}"
    return text
