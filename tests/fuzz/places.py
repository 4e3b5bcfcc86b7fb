"""Memories and tables: accesses, addresses and indices that mostly lie in bounds, and bulk instructions.

This file decides which places are likely. It refuses to know what is put there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz import edges
from tests.fuzz.vocabulary import LOADS, NULLS, NUMBERS, STORES

if TYPE_CHECKING:
    from tests.fuzz.body import Body
    from tests.fuzz.generate import Memory, Table


def sizes(body: Body, kind: str, depth: int) -> str:
    """memory.size, memory.grow, table.size, table.grow, ref.is_null."""
    if kind != "i32":
        return ""
    choices = ["(ref.is_null " + body.expression(body.random.choice(list(NULLS)), depth) + ")"]
    if body.declared.memories:
        name = body.random.choice(body.declared.memories).name
        choices += [f"(memory.size {name})", f"(memory.grow {name} {growth(body, 3, depth)})"]
    table = body.random.choice(body.declared.tables)
    grow = f"(table.grow {table.name} {body.expression(table.element, depth)} {growth(body, 4, depth)})"
    return body.random.choice([*choices, f"(table.size {table.name})", grow])


def table_get(body: Body, kind: str, depth: int) -> str:
    tables = [table for table in body.declared.tables if table.element == kind]
    if not tables:
        return ""
    table = body.random.choice(tables)
    return f"(table.get {table.name} {element_index(body, table, depth)})"


def small_index(body: Body, most: int, depth: int) -> str:
    """A number that is mostly small."""
    if body.chance(0.6):
        return f"(i32.const {body.random.randint(0, most)})"
    if body.chance(0.9):
        return masked(body, most, depth)
    return body.expression("i32", depth + 1)


def small_number(body: Body, depth: int) -> str:
    """An i32 of which a translator may know a bound."""
    choices = [
        masked(body, body.random.choice((1, 0x7F, 0xFF, 0x7FFF, 0xFFFF)), depth),
        f"(i32.shr_u {body.expression('i32', depth + 1)} (i32.const {body.random.choice((1, 16, 17, 24, 31, 33))}))",
        f"(i32.lt_s {body.expression('i32', depth + 1)} {body.expression('i32', depth + 1)})",
    ]
    for memory in body.declared.memories[:1]:
        narrow = body.random.choice(("i32.load8_u", "i32.load16_u", "i32.load8_s", "i32.load16_s"))
        choices += [f"({narrow} {memory.name} {address(body, memory, depth)})"] * 3
    return body.random.choice(choices)


def growth(body: Body, most: int, depth: int) -> str:
    """How much larger something shall be; seldom absurdly much."""
    if body.chance(0.85):
        return small_index(body, most, depth)
    return edges.constant("i32", body.random.choice((16, 255, 65535, 65536, 1 << 31, (1 << 32) - 1)))


def target_index(body: Body, count: int, depth: int) -> str:
    """Which of `count` targets, or beyond."""
    if body.chance(0.6):
        return small_index(body, count + 1, depth)
    return edges.constant("i32", body.random.choice((count - 1, count, count + 1, 255, 1 << 31, (1 << 32) - 1)))


def masked(body: Body, mask: int, depth: int) -> str:
    return f"(i32.and {body.expression('i32', depth + 1)} (i32.const {mask}))"


def element_index(body: Body, table: Table, depth: int) -> str:
    if not table.minimum or body.chance(0.05):
        return small_index(body, 16, depth)
    if body.chance(0.5):
        return f"(i32.const {body.random.randrange(table.minimum)})"
    return f"(i32.rem_u {body.expression('i32', depth + 1)} (i32.const {table.minimum}))"


def address(body: Body, memory: Memory, depth: int) -> str:
    """Mostly in bounds; often of a shape that a translator likes to merge with the access."""
    size = memory.size
    choice = body.random.random()
    if choice < 0.15:
        return f"(i32.const {body.random.choice((0, 1, 4, 8, 60, size - 16, size - 8)) % (1 << 32)})"
    if choice < 0.17:
        return f"(i32.const {body.random.choice((size - 4, size - 1, size, -1, -4, 1 << 31)) % (1 << 32)})"
    if choice < 0.18:
        return body.expression("i32", depth + 1)
    low = masked(body, body.random.choice((7, 63, 124, 0xFF, 0x3F8)), depth)
    if choice < 0.6:
        return low
    shift = f"(i32.shl {masked(body, 15, depth)} (i32.const {body.random.randint(0, 3)}))"
    if choice < 0.7:
        return f"(i32.add (i32.const {body.random.choice((0, 8, 100, 200))}) {shift})"
    return f"(i32.add {low} {shift})"


def offset(body: Body, memory: Memory) -> str:
    size = memory.size
    if body.chance(0.5):
        return ""
    if body.chance(0.95):
        return f" offset={body.random.choice((1, 2, 3, 4, 8, 12, 100, 247, 251, 252, 255, 256, 300, 1000))}"
    far = (size // 2, size - 300, size - 9, size - 1, size, 65527, 65528, 65535, 65536, 1 << 31, (1 << 32) - 1)
    return f" offset={max(0, body.random.choice(far))}"


def load(body: Body, kind: str, depth: int) -> str:
    if not body.declared.memories:
        return ""
    memory = body.random.choice(body.declared.memories)
    name = body.random.choice(LOADS[kind]).name
    return f"({name} {memory.name}{offset(body, memory)} {address(body, memory, depth)})"


def store(body: Body, depth: int) -> str:
    if not body.declared.memories:
        return ""
    memory, kind = body.random.choice(body.declared.memories), body.random.choice(NUMBERS)
    place = f"{memory.name}{offset(body, memory)} {address(body, memory, depth)}"
    return f"({body.random.choice(STORES[kind]).name} {place} {body.expression(kind, depth, True)})"


def bulk_memory(body: Body, depth: int) -> str:
    if not body.declared.memories:
        return ""
    memory, other = body.random.choices(body.declared.memories, k=2)
    to, count = f"{memory.name} {address(body, memory, depth)}", small_index(body, 20, depth)
    source = address(body, other, depth)
    choices = [
        f"(memory.copy {memory.name} {other.name} {address(body, memory, depth)} {source} {count})",
        f"(memory.fill {to} {body.expression('i32', depth)} {count})",
    ]
    if body.declared.datas:
        data = body.random.choice(body.declared.datas)
        inside = f"{small_index(body, data.length // 2, depth)} {small_index(body, data.length // 2, depth)}"
        init = f"(memory.init {memory.name} {data.name} {address(body, memory, depth)} {inside})"
        choices += [init, f"(data.drop {data.name})"]
    return body.random.choice(choices)


def bulk_table(body: Body, depth: int) -> str:
    table = body.random.choice(body.declared.tables)
    same = [other for other in body.declared.tables if other.element == table.element]
    index, source, count = (small_index(body, 3, depth) for _ in range(3))
    value = body.expression(table.element, depth)
    choices = [
        f"(table.set {table.name} {element_index(body, table, depth)} {value})",
        f"(table.fill {table.name} {index} {value} {count})",
        f"(table.copy {table.name} {body.random.choice(same).name} {index} {source} {count})",
    ]
    elements = body.random.choice(body.declared.elements)
    if table.element == "funcref":
        choices.append(f"(table.init {table.name} {elements.name} {index} {source} {count})")
    return body.random.choice([*choices, f"(elem.drop {elements.name})"])
