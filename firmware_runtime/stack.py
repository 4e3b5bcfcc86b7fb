"""Bounds the C stack of the firmware by construction: `python firmware_runtime/stack.py [BOARD...]`.

Decides from the machine code of an ELF, the libraries' included, how deep every function pushes and whom it calls
there; the few indirect calls are listed here. Refuses to guess: an indirect call that is not listed is an error, and so
is a recursion. Emulated programs, whose stack is painted, only confirm it (tests/firmware/test_stack.py).
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from elftools.elf.elffile import ELFFile  # noqa: E402
from elftools.elf.sections import SymbolTableSection  # noqa: E402

from mcutool import devices  # noqa: E402
from mcutool.devices import Board  # noqa: E402

OBJDUMP = "arm-none-eabi-objdump"

# What an indirect call can reach, by the caller: every function whose address lies in a table, or functions by name.
# No name: the code stays in the caller.
TABLES = {
    "vm_host_call": ("host_functions",),
    "smp_poll": ("commands",),
    "call_escaped": ("escaped_table",),
    "vm_apply": ("functions",),
    "after_library": ("primary_table", "attention_table"),
}
NAMED = {
    "module_add_string": ("host_add_argument", "host_add_environment"),
    "each_string": ("module_add_string",),
    "store_settings": ("module_add_string",),
    "interpret": (),
    "__aeabi_ddiv": (),
    "__aeabi_fdiv": (),
    "change_flash": ("change_in_ram",),
}
# Who calls functions of a chip's boot ROM, and how many bytes those may push: read off the sources that the vendor has
# published (RP2040: five functions deep, 130 bytes by their registers and variables), and half as much again.
ROM_CALLERS = {"change_in_ram": 200, "rom_function": 32}
# Who goes on with another stack, whom it calls there, and how large that one is: the interpreter's idle memory.
SWITCH, SWITCHED = "signature_on_stack", "signature_holds"
SWITCHED_SIZE = re.compile(r"#define SIGNATURE_STACK (\d+)u")
# What runs with interrupts off.
MASKED = frozenset({"change_in_ram"})
# How handlers in assembly go on to the next one. The stack is then as it was when they began, so that they count once,
# below what goes to the first.
NEXT_HANDLER = re.compile(r"pc, \[r6, r\d+, lsl #2\]")
TO_NEXT_HANDLER, FIRST_HANDLER = "after_library", "begin"
# Where a program is executed, which does not happen while main serves requests.
EXECUTION = frozenset({"vm_execute", "begin_call"})
# The rows of smp.c's table: whether a request waits until no program runs, and its handler.
COMMAND = re.compile(r"\{SMP_\w+, \d+, (true|false), [^,]+, (\w+)\}")

# What the core pushes for an exception, and what it may add to align that (ARMv7-M ARM B1.5.7).
EXCEPTION_FRAME, EXCEPTION_FRAME_WITH_FLOAT, ALIGNMENT = 32, 104, 4
ENDS_ALL = ("reset_entry", "fault_entry")

# Names without a condition.
STACK_INSTRUCTIONS = ("push", "pop", "stmdb", "ldmia", "vpush", "vpop", "sub", "add", "str", "ldr", "strd", "ldrd")
REGISTER_BYTES = {"r": 4, "s": 4, "d": 8}


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly."""

    address: int
    name: str
    operands: str
    target: int | None  # of a direct branch or call

    @property
    def is_call(self) -> bool:
        return self.name in ("bl", "blx")

    @property
    def goes_on(self) -> bool:
        """Whether the next instruction may follow it."""
        plain = self.name.partition(".")[0]
        jumps = plain in ("b", "bx", "udf", "tbb", "tbh")
        return not (jumps or (plain in ("pop", "ldmia", "ldr", "mov") and self.loads_pc))

    @property
    def loads_pc(self) -> bool:
        return re.match(r"pc, ", self.operands) is not None or "pc}" in self.operands

    @property
    def is_indirect(self) -> bool:
        if self.name in ("tbb", "tbh"):
            return False
        if self.name in ("bx", "blx"):
            return self.target is None and self.operands != "lr"
        returns = re.match(r"pc, (lr$|\[sp\], #)", self.operands)
        return self.name.startswith(("mov", "ldr")) and self.loads_pc and not returns

    @property
    def switches_stack(self) -> bool:
        return self.name == "mov" and self.operands.startswith("sp, ")

    @cached_property
    def pushed(self) -> int:
        """By how much it lowers the stack pointer. What may be passed over counts only when it does."""
        change = self._change()
        return max(change, 0) if self.name.partition(".")[0] not in STACK_INSTRUCTIONS else change

    def _change(self) -> int:
        if match := re.fullmatch(r"(?:sp!, )?\{(.*)\}", self.operands):
            size = sum(register_bytes(part) for part in match[1].split(", "))
            if self.name.startswith(("push", "stmdb", "vpush")):
                return size
            if self.name.startswith(("pop", "ldmia", "vpop")):
                return -size
        if match := re.fullmatch(r"sp, (?:sp, )?#(\d+).*", self.operands):
            if self.name.startswith(("sub", "add")):
                return int(match[1]) if self.name.startswith("sub") else -int(match[1])
        if match := re.search(r"\[sp, #-(\d+)\]!", self.operands):
            return int(match[1])
        if match := re.search(r"\[sp\], #(\d+)", self.operands):
            return -int(match[1])
        if self.switches_stack:
            return 0
        if re.match(r"sp\b", self.operands) and not self.name.startswith(("cmp", "str", "stm")):
            raise SystemExit(f"{self.address:#x}: {self.name} {self.operands}: what does it do to the stack?")
        return 0


def register_bytes(part: str) -> int:
    """Bytes of a register, or of a range of them, in a list."""
    first, _, last = part.partition("-")
    count = int(last[1:]) - int(first[1:]) + 1 if last else 1
    return REGISTER_BYTES.get(first[0], 4) * count


@dataclass
class Function:
    """The instructions of one symbol, and how deep the stack is at each."""

    name: str
    code: list[Instruction] = field(default_factory=list)

    def depths(self) -> tuple[dict[int, int], bool]:
        """Bytes pushed before each instruction, and whether execution goes on behind the last one. Where only a jump
        table leads, it is the most that was found elsewhere."""
        found: dict[int, int] = {}
        self._follow(found, [(0, 0)])
        falls = self.code[-1].address in found and self.code[-1].goes_on and not self.code[-1].is_call
        most = max(found.values())
        self._follow(found, [(index, most) for index, i in enumerate(self.code) if i.address not in found])
        return found, falls

    def _follow(self, found: dict[int, int], work: list[tuple[int, int]]) -> None:
        """Goes every way from the places in `work`, which are indices with depths. A call into the middle of the same
        function is a jump that is too far for a branch (ARMv6-M)."""
        place = {instruction.address: index for index, instruction in enumerate(self.code)}
        while work:
            index, depth = work.pop()
            if index >= len(self.code) or found.get(self.code[index].address, -1) >= depth:
                continue
            instruction = self.code[index]
            found[instruction.address] = depth
            if instruction.target in place and not (instruction.is_call and place[instruction.target] == 0):
                work.append((place[instruction.target], depth))
            if instruction.goes_on:
                work.append((index + 1, depth + instruction.pushed))


LITERAL = re.compile(r"\w+, \[pc, #(\d+)\]")
LINE = re.compile(r"^ *([0-9a-f]+):\t(\S+)\t?([^@\n]*)(?:@.*)?$")
WORD = re.compile(r"^ *([0-9a-f]+):\t\.word\t0x([0-9a-f]+)$", re.MULTILINE)
HEAD = re.compile(r"^([0-9a-f]+) <(.+)>:$")


def disassemble(elf: Path) -> dict[int, Function]:
    """Every function by its address."""
    command = [OBJDUMP, "-d", "--no-show-raw-insn", str(elf)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[int, Function] = {}
    words = {int(address, 16): int(word, 16) for address, word in WORD.findall(listing)}
    for line in listing.splitlines():
        if head := HEAD.match(line):
            current = found.setdefault(int(head[1], 16), Function(head[2]))
        elif (match := LINE.match(line)) and not match[2].startswith("."):
            operands = match[3].strip()
            direct = re.match(r"(?:\w+, )?([0-9a-f]+) <", operands) if match[2].startswith(("b", "cb")) else None
            target = int(direct[1], 16) if direct else None
            current.code.append(Instruction(int(match[1], 16), match[2], operands, target))
    for function in found.values():
        function.code = list(with_large_frames(function.code, words))
    return {address: function for address, function in found.items() if function.code}


def with_large_frames(code: list[Instruction], words: dict[int, int]) -> Iterator[Instruction]:
    """The instructions with what is added to the stack pointer from a register as the number that was loaded there just
    before from a literal, which is how ARMv6-M makes and drops a large frame."""
    loaded: dict[str, int] = {}
    for i in code:
        first, _, rest = i.operands.partition(", ")
        if i.name == "add" and first == "sp" and rest in loaded:
            size = loaded[rest]
            made = size >> 31  # a negative number is added
            i = replace(i, name="sub" if made else "add", operands=f"sp, #{(1 << 32) - size if made else size}")
        loaded.pop(first, None)
        if i.name == "ldr" and (literal := LITERAL.fullmatch(i.operands)):
            loaded[first] = words[(i.address + 4 & ~3) + int(literal[1])]
        yield i


@dataclass(frozen=True)
class Depth:
    """Bytes of stack, and the calls that lead there with the bytes of each."""

    total: int
    path: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"{self.total:4}  " + " > ".join(f"{name} {own}" for name, own in self.path)


class CallGraph:
    """Who calls whom in an ELF, at what depth. `excluded`: what is not called in the state that is looked at;
    `functions`: those of the ELF, if somebody has them already."""

    def __init__(
        self, elf: Path, excluded: frozenset[str] = frozenset(), functions: dict[int, Function] | None = None
    ) -> None:
        self.elf = elf
        self.functions = functions or disassemble(elf)
        self.excluded = excluded
        self._found: dict[int, Depth] = {}
        self._open: list[int] = []

    def address(self, name: str) -> int:
        return next(address for address, function in self.functions.items() if function.name == name)

    def worst(self, name: str) -> Depth:
        """The most stack that a call of a function may use."""
        return self._worst(self.address(name))

    def _worst(self, address: int) -> Depth:
        if address not in self._found:
            function = self.functions[address]
            if address in self._open:
                names = [self.functions[a].name for a in self._open[self._open.index(address) :]]
                raise SystemExit(f"a recursion: {' > '.join(names)} > {function.name}")
            self._open.append(address)
            self._found[address] = self._search(function)
            self._open.pop()
        return self._found[address]

    def _search(self, function: Function) -> Depth:
        if function.name != SWITCH and any(i.switches_stack for i in function.code):
            raise SystemExit(f"{function.name}: whose stack does it go on with?")
        depths, falls = function.depths()
        in_rom = ROM_CALLERS.get(function.name, 0)
        most = max(depths[i.address] + max(i.pushed, in_rom if i.is_indirect else 0) for i in function.code)
        best = Depth(most, ((function.name, most),))
        for depth, callee in self._callees(function, depths, falls):
            below = self._worst(callee)
            if depth + below.total > best.total:
                best = Depth(depth + below.total, ((function.name, depth), *below.path))
        return best

    def _callees(self, function: Function, depths: dict[int, int], falls: bool) -> Iterator[tuple[int, int]]:
        """Depth and address of everything that is called or gone on with."""
        if function.name == SWITCH:
            return
        own = {i.address for i in function.code}
        for i in function.code:
            inside = i.target in own and (i.target != function.code[0].address or not i.is_call)
            if i.target is not None and not inside and not self._is_next_handler(function, i.target):
                callee = self._containing(i.target)
                if self.functions[callee].name not in self.excluded:
                    yield depths[i.address], callee
            if i.is_indirect:
                if NEXT_HANDLER.fullmatch(i.operands) and depths[i.address] != 0:
                    raise SystemExit(f"{function.name}: the stack is not as it was where the next handler begins")
                for callee in self._reached(function, i):
                    yield depths[i.address], callee
        if falls:
            last = function.code[-1].address
            yield depths[last], min(address for address in self.functions if address > last)

    def _is_next_handler(self, function: Function, target: int) -> bool:
        to = self.functions[self._containing(target)].name
        return to == TO_NEXT_HANDLER and function.name != FIRST_HANDLER

    def _containing(self, target: int) -> int:
        """The function that an address lies in."""
        return max(address for address in self.functions if address <= target)

    def _reached(self, function: Function, i: Instruction) -> list[int]:
        if NEXT_HANDLER.fullmatch(i.operands) and function.name != TO_NEXT_HANDLER or function.name in ROM_CALLERS:
            return []
        if function.name in TABLES:
            found = [address for table in TABLES[function.name] for address in self._in_table(table)]
        elif function.name in NAMED:
            found = [self.address(name) for name in NAMED[function.name]]
        else:
            raise SystemExit(f"{function.name}, {i.address:#x}: {i.name} {i.operands}: whom does it call?")
        return [address for address in found if self.functions[address].name not in self.excluded]

    def _in_table(self, name: str) -> list[int]:
        """The functions that a constant table of the ELF names, in whatever it consists of."""
        found = {word & ~1 for word in constant(self.elf, name) if word & 1 and word > 1} & self.functions.keys()
        if not found:
            raise SystemExit(f"the table {name} names no function")
        return sorted(found)


def constant(elf: Path, name: str) -> tuple[int, ...]:
    """The words of a constant of the ELF, in flash or among what start-up copies into RAM."""
    with elf.open("rb") as file:
        image = ELFFile(file)
        table = image.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        [symbol] = table.get_symbol_by_name(name) or []
        section = image.get_section(symbol["st_shndx"])
        place = symbol["st_value"] - section["sh_addr"]
        return struct.unpack_from(f"<{symbol['st_size'] // 4}I", section.data(), place)


def waiting_commands() -> frozenset[str]:
    """Handlers that are never called while a program runs: all their requests wait."""
    handlers: dict[str, set[str]] = {"true": set(), "false": set()}
    for waits, handler in COMMAND.findall((HERE / "smp.c").read_text(encoding="utf-8")):
        handlers[waits].add(handler)
    return frozenset(handlers["true"] - handlers["false"])


def interrupt_handlers(graph: CallGraph) -> set[int]:
    """The addresses in the vector table, without those from which there is no way back."""
    ends = {graph.address(name) for name in ENDS_ALL}
    return {word & ~1 for word in constant(graph.elf, "vectors")[1:] if word} - ends


@dataclass(frozen=True)
class Bound:
    """The most C stack: in the thread while a program runs, in the thread while none does, in an interrupt on top; and
    in the thread where no interrupt can come."""

    running: Depth
    idle: Depth
    interrupt: Depth
    masked: Depth
    exception: int
    signature: Depth | None = None
    """On the stack that checking a signature has of its own, in a firmware with a key."""

    @property
    def while_running(self) -> int:
        return self.running.total + self.exception + self.interrupt.total

    @property
    def total(self) -> int:
        return max(self.while_running, self.idle.total + self.exception + self.interrupt.total, self.masked.total)

    @property
    def on_other_stack(self) -> int:
        return self.signature.total + self.exception + self.interrupt.total if self.signature else 0


def bound(board: Board, elf: Path) -> Bound:
    """What the C stack of a board's firmware is never deeper than. All interrupts have one priority, so one counts."""
    running = CallGraph(elf, waiting_commands())
    handlers = [running.worst(running.functions[address].name) for address in interrupt_handlers(running)]
    keyed = any(function.name == SWITCHED for function in running.functions.values())
    frame = EXCEPTION_FRAME_WITH_FLOAT if board.chip.core.fpu else EXCEPTION_FRAME
    return Bound(
        running.worst("reset_entry"),
        CallGraph(elf, EXECUTION | MASKED, running.functions).worst("reset_entry"),
        max(handlers, key=lambda depth: depth.total),
        CallGraph(elf, EXECUTION, running.functions).worst("reset_entry"),
        frame + ALIGNMENT,
        running.worst(SWITCHED) if keyed else None,
    )


def signature_stack() -> int:
    """Bytes that a firmware with a key gives to checking a signature."""
    found = SWITCHED_SIZE.search((HERE / "signature.h").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


def report(board: Board, elf: Path) -> str:
    """The bound of a board with the ways that lead there."""
    found = bound(board, elf)
    return "\n".join(
        [
            f"{board.name}: {found.while_running} bytes of C stack while a program runs, {found.total} ever, "
            f"{board.chip.ram_map['c_stack']} reserved",
            f"  running   {found.running}",
            f"  idle      {found.idle}",
            f"  interrupt {found.interrupt}, and {found.exception} that the core pushes",
            f"  masked    {found.masked}",
            *([f"  signature {found.signature}, of {signature_stack()} of its own"] if found.signature else []),
        ]
    )


def main(arguments: list[str]) -> int:
    boards = [devices.board(name) for name in arguments] or devices.runtime_boards()
    for board in boards:
        print(report(board, ROOT / "mcutool" / "firmware" / f"{board.name}.elf"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
