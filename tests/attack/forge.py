"""Images that no compiler made: every record and every instruction from chance, mostly as the rules want it.

This file decides how a forged image looks. Its code is well-formed nonsense, so what is taken puts any number where a
program may; and in every second image one rule is broken, which one is chance too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from mcutool import hostapi
from mcutool.checks import shape
from mcutool.encoding import STUB_CODE, encode, fields, walk
from mcutool.hostapi import HOST_FUNCTIONS
from mcutool.image.format import MEMORY_FLASH, MEMORY_PARTIAL, NONE, UNLIMITED, Image, Provenance
from mcutool.isa import BY_NAME, CROSS_LINK_SLOTS, FEATURES, LINK_SLOTS, ROWS, SLOT_LETTERS, STUBS, TRAPS, Row

_USUAL = [row for row in ROWS if row.name not in STUBS and (shape_ := shape(row)) is not None and not shape_.ends]
_LAST = [row for row in ROWS if row.name not in STUBS and (shape_ := shape(row)) is not None and shape_.ends]
_CALLS = [row for row in _USUAL if "k" in row.bits or "memory." in row.name or "table." in row.name]
_WILD = (0, 1, 2, 15, 16, 255, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
EXCEPTIONS = 3


def _kinds(row: Row) -> set[str]:
    found = shape(row)
    return {check.kind for check in found.checks} if found else set()


class _Impossible(Exception):
    """The row cannot stand here: there is nothing that it could name."""


@dataclass
class _Function:
    """What is being written: `starts` are the instructions, `jumps` the places of rows that are still to lead on."""

    frame: int
    module: int
    code: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    jumps: list[tuple[int, Row, dict[str, int]]] = field(default_factory=list)


class Forger:
    """An endless source of forged images."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def image(self) -> bytes:
        """The next one."""
        chance = self._random
        self._image = image = Image(stack_slots=chance.choice((21, 40, 150, 300)), code=list(STUB_CODE))
        image.global_slots = chance.choice((0, 1, 2, 9))
        image.features = sum(FEATURES.values()) if chance.random() < 0.9 else chance.randrange(16)
        image.provenance = self._provenance()
        self._declare()
        self._write_functions()
        self._add_handlers()
        if chance.random() < 0.5:
            self._break_a_rule()
        return image.build()

    # records

    def _provenance(self) -> Provenance | None:
        """None makes it an image of format 1; few are not granted what they may import."""
        chance = self._random
        grants = chance.choice((UNLIMITED, UNLIMITED, UNLIMITED, 0, chance.getrandbits(32)))
        return chance.choice((None, Provenance(chance.randbytes(32), grants, "by hand")))

    def _declare(self) -> None:
        image, chance = self._image, self._random
        image.signatures = [self._signature(chance.choice((0, 0, 1, 2, 5))) for _ in range(chance.randint(1, 3))]
        image.datas = [bytes(chance.getrandbits(8) for _ in range(chance.choice((0, 5, 40)))) for _ in range(2)]
        image.memories = [self._memory() for _ in range(chance.choice((0, 1, 1, 2)))]
        image.tables = [self._table() for _ in range(chance.choice((0, 1, 2)))]
        image.tags = [dict(slots=chance.choice((0, 1, 3)), reserved=0) for _ in range(chance.choice((0, 1, 2)))]
        image.exceptions, image.exception_slots = EXCEPTIONS, 3
        functions = chance.randint(2, 6)
        image.elements = [[chance.randrange(functions + 2) for _ in range(chance.choice((0, 3)))] for _ in range(2)]
        for _ in range(chance.choice((0, 0, 1, 3))):
            self._import(chance.choice(HOST_FUNCTIONS))
        memories = [NONE, *range(len(image.memories))]
        for _ in range(chance.choice((1, 1, 2))):
            start = chance.choice((NONE, chance.randrange(functions)))
            image.modules.append(dict(memory=chance.choice(memories), instantiate=0, start=start, flags=0))
        for number in range(functions):
            self._declare_function(number)

    def _declare_function(self, number: int) -> None:
        """Of the host, or one that is still to be written; the first is never the host's."""
        image, chance = self._image, self._random
        if number and image.imports and chance.random() < 0.3:
            record = chance.randrange(len(image.imports))
            signature = image.imports[record]["signature"]
            image.functions.append(dict(code=record, signature=signature, module=NONE))
        else:
            signature, module = chance.randrange(len(image.signatures)), chance.randrange(len(image.modules))
            image.functions.append(dict(code=0, signature=signature, module=module))

    def _signature(self, slots: int) -> dict:
        return dict(parameter_slots=slots, result_slots=self._random.choice((0, 1, 2, slots)), text=">")

    def _import(self, host: hostapi.HostFunction) -> None:
        slots = dict(parameter_slots=hostapi.slots(host.parameters), result_slots=hostapi.slots(host.results), text="")
        self._image.signatures.append(slots)
        number = len(self._image.signatures) - 1
        names = dict(module_name=host.module, name=host.name)
        self._image.imports.append(dict(host=host.number, signature=number) | names)

    def _memory(self) -> dict:
        chance = self._random
        log2 = chance.choice((0, 4, 16))
        minimum = chance.choice((0, 1, 64, 300, 70000))
        declared = minimum << log2
        low = chance.choice((0, 0, min(declared, 40), min(declared, 0xFFFFFF00)))
        size = min(declared - low, chance.choice((0, 1, 7, 64, 300)))
        flags = chance.choice((0, MEMORY_PARTIAL))
        number = chance.randrange(len(self._image.datas))
        if len(self._image.datas[number]) <= low and chance.random() < 0.5:
            flags |= MEMORY_FLASH | number << 16
        maximum = chance.choice((0, minimum, minimum + 5, UNLIMITED))
        capacity = size + chance.choice((0, 16, 100))
        record = dict(minimum=minimum, maximum=maximum, page_log2=log2, window_low=low)
        return record | dict(window_size=size, capacity=capacity, flags=flags)

    def _table(self) -> dict:
        minimum = self._random.choice((0, 1, 4))
        return dict(minimum=minimum, maximum=self._random.choice((0, 4, UNLIMITED)), capacity=minimum + 3)

    # code

    def _write_functions(self) -> None:
        image, chance = self._image, self._random
        for row in image.functions:
            if row["module"] == NONE:
                continue
            least = self._slots(row["signature"])
            function = _Function(least + chance.choice((0, 1, 2, 8, 20, 20, 40, 300)), row["module"])
            self._write(function)
            row["code"] = len(image.code)
            image.code += [function.frame, *function.code]

    def _write(self, function: _Function) -> None:
        chance = self._random
        for _ in range(chance.choice((0, 3, 10, 30))):
            self._add(function, chance.choice(_CALLS if chance.random() < 0.4 else _USUAL))
        while not self._add(function, chance.choice(_LAST)):
            pass
        for place, row, operands in function.jumps:
            self._lead_on(function, place, row, operands)

    def _add(self, function: _Function, row: Row) -> bool:
        """Whether the row could be given operands."""
        try:
            if "has_memory" in _kinds(row) and self._image.modules[function.module]["memory"] == NONE:
                return False
            operands = {letter: self._operand(function, row, letter) for letter in fields(row)}
        except _Impossible:
            return False
        place = len(function.code)
        function.starts.append(place)
        table = [0] * (operands["n"] + 1) if "n" in operands else []
        function.code += encode(row, table, **operands)
        if "j" in operands or "n" in operands:
            function.jumps.append((place, row, operands))
        return True

    def _operand(self, function: _Function, row: Row, letter: str) -> int:
        """As the rules want it."""
        chance = self._random
        limits = fields(row)[letter].limits
        if letter in SLOT_LETTERS:
            width = 2 if row.slot_types[letter] in ("i64", "f64") else 1
            return self._below(min(function.frame + 1 - width, limits.stop))
        if letter == "j":
            return 0
        if letter == "n":
            return chance.choice((0, 1, 6))
        if letter == "k":
            return self._area(function, row, limits)
        if row.name == "trap":
            return chance.randrange(1, len(TRAPS))
        if letter == "f":
            return self._callee(function, row)
        if letter in "iue":
            return chance.choice((*(n for n in (0, 1, -1, 4, 100) if n in limits), chance.choice(limits)))
        return self._below(min(self._count(function, row, letter), limits.stop))

    def _callee(self, function: _Function, row: Row) -> int:
        """A defined one, of the same module but for a call across."""
        modules = range(len(self._image.modules)) if "cross" in row.name else (function.module,)
        found = [number for number, one in enumerate(self._image.functions) if one["module"] in modules]
        return self._random.choice(found)

    def _below(self, count: int) -> int:
        if count <= 0:
            raise _Impossible
        return self._random.choice((0, count - 1, self._random.randrange(count)))

    def _count(self, function: _Function, row: Row, letter: str) -> int:
        image = self._image
        if letter == "g":
            return image.global_slots - (1 if "64" in row.name else 0)
        segments = image.datas if row.name.startswith(("memory.", "data.")) else image.elements
        counts = dict(
            s=len(image.signatures), t=len(image.tables), y=len(image.tables), m=len(image.memories),
            q=len(image.memories), x=len(segments), v=len(image.tags), h=len(image.imports), z=function.frame,
        )  # fmt: skip
        return counts[letter]

    def _area(self, function: _Function, row: Row, limits: range) -> int:
        """Where a callee's frame begins."""
        least = 0 if "host" in row.name or "throw" in row.name else CROSS_LINK_SLOTS
        if row.name in ("call", "call.wide"):
            least = LINK_SLOTS
        most = function.frame if "tail" not in row.name else function.frame + 20
        if row.name == "throw_ref":
            most -= 1
        if "host" in row.name:
            most -= max((self._slots(row_["signature"]) for row_ in self._image.imports), default=0)
        if row.name == "throw":
            most -= max((tag["slots"] for tag in self._image.tags), default=0)
        if least > most:
            raise _Impossible
        return min(self._random.choice((least, most, self._random.randint(least, most))), limits.stop - 1)

    def _slots(self, signature: int) -> int:
        row = self._image.signatures[signature]
        return max(row["parameter_slots"], row["result_slots"])

    def _lead_on(self, function: _Function, place: int, row: Row, operands: dict[str, int]) -> None:
        """Gives a jump its target, now that all instructions are there. One that reaches none goes round itself."""
        limits = fields(row)["j"].limits if "j" in operands else range(-0x8000, 0x8000)
        reached = [start - place for start in function.starts if start - place in limits] or [0]
        table = [self._random.choice(reached) for _ in range(operands["n"] + 1)] if "n" in operands else []
        if "j" in operands:
            operands["j"] = self._random.choice(reached)
        code = encode(row, table, **operands)
        function.code[place : place + len(code)] = code

    def _add_handlers(self) -> None:
        """Behind calls and throws."""
        image = self._image
        defined = [row["code"] for row in image.functions if row["module"] != NONE]
        for begin, end in zip(defined, [*defined[1:], len(image.code)], strict=True):
            found = list(walk(image.code, begin + 1, end))
            sites = [at + one.length for at, one in found if "call" in one.row.name or "throw" in one.row.name]
            for site in sites:
                if self._random.random() < 0.5:
                    self._add_handler(site, self._random.choice(found)[0], image.code[begin])

    def _add_handler(self, site: int, target: int, frame: int) -> None:
        tag = self._random.choice([NONE, *range(len(self._image.tags))])
        reference = self._random.randrange(2)
        slots = reference + (0 if tag == NONE else self._image.tags[tag]["slots"])
        if slots <= frame:
            base = self._random.choice((0, frame - slots))
            row = dict(site=site, target=target, tag=tag, base=base, flags=reference, reserved=0)
            self._image.handlers.append(row)

    # what breaks a rule

    def _break_a_rule(self) -> None:
        chance = self._random
        breaks = (
            self._change_operand, self._change_operand, self._change_operand, self._change_operand,
            self._change_number, self._change_number, self._move_function, self._shrink_frame, self._cut_end,
            self._use_stub, self._spoil_stub, self._grow_table, self._change_handler,
        )  # fmt: skip
        chance.choice(breaks)()

    def _instructions(self) -> list[tuple[int, Row]]:
        image = self._image
        defined = [row["code"] for row in image.functions if row["module"] != NONE]
        ends = [*defined[1:], len(image.code)]
        spans = zip(defined, ends, strict=True)
        return [(at, one.row) for begin, end in spans for at, one in walk(image.code, begin + 1, end)]

    def _change_operand(self) -> None:
        """Of any instruction, to something next to what it was, or wild."""
        at, row = self._random.choice(self._instructions())
        if not fields(row):
            return
        operand = self._random.choice(list(fields(row).values()))
        old = operand.extract(self._image.code, at)
        value = self._random.choice((old + 1, old - 1, old ^ 0x80, self._random.choice(_WILD), -old))
        self._image.code[at : at + row.halfwords] = self._with(at, row, operand.letter, value)

    def _with(self, at: int, row: Row, letter: str, value: int) -> list[int]:
        code = self._image.code[at : at + row.halfwords]
        for halfword, low, width in fields(row)[letter].parts:
            code[halfword] = code[halfword] & ~(((1 << width) - 1) << low) | (value & (1 << width) - 1) << low
            value >>= width
        return code

    def _move_function(self) -> None:
        """So that it overlaps, lies apart or begins elsewhere."""
        row = self._random.choice(self._image.functions)
        row["code"] = max(0, row["code"] + self._random.choice((1, -1, 2, -3, 20)))

    def _shrink_frame(self) -> None:
        code = self._random.choice([row["code"] for row in self._image.functions if row["module"] != NONE])
        self._image.code[code] = self._random.choice((0, 1, max(self._image.code[code] - 1, 0), 0xFFFF))

    def _cut_end(self) -> None:
        """The last instructions of a function that others follow, or of all code."""
        del self._image.code[self._random.randint(-3, -1) :]

    def _use_stub(self) -> None:
        at, row = self._random.choice(self._instructions())
        self._image.code[at] = encode(BY_NAME[self._random.choice(STUBS)])[0]

    def _spoil_stub(self) -> None:
        self._image.code[self._random.randrange(len(STUB_CODE))] ^= 1 << self._random.randrange(16)

    def _grow_table(self) -> None:
        tables = [at for at, row in self._instructions() if row.name == "br_table"]
        if tables:
            self._image.code[self._random.choice(tables) + 1] = self._random.choice((7, 200, 0xFFFE, 0xFFFF))

    def _change_handler(self) -> None:
        if self._image.handlers:
            row = self._random.choice(self._image.handlers)
            name = self._random.choice(("site", "target", "tag", "base"))
            row[name] = self._random.choice((0, 3, 4, row[name] + 1, row[name] + 40, 0xFFFF)) & 0xFFFF

    def _change_number(self) -> None:
        """In any record."""
        image = self._image
        records = [*image.signatures, *image.functions, *image.modules, *image.memories, *image.tables, *image.tags]
        row = self._random.choice(records)
        name = self._random.choice([name for name, value in row.items() if isinstance(value, int)])
        wide = name in ("code", "minimum", "maximum", "page_log2", "window_low", "window_size", "capacity", "flags")
        limit = 0xFFFFFFFF if wide and row not in image.modules else 0xFFFF
        row[name] = self._random.choice((row[name] + 1, max(row[name] - 1, 0), self._random.choice(_WILD))) & limit
