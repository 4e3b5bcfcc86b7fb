"""Where images are offered: to the interpreter on this PC under sanitizers, and to the firmware of an emulated board.

This file decides how an image gets there and what counts as an escape. It refuses to know where images come from and
whether a verdict is right.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const as arm

from mcutool import devices, hostapi
from mcutool.emulator.machine import Machine
from mcutool.image.faults import FAULTS, SIGNATURE_FAULTS
from mcutool.image.format import RECORDS
from mcutool.image.records import Surroundings
from mcutool.image.verify import Verdict
from tests.pc import FLAGS, RUNTIME, SANITIZERS

HERE = Path(__file__).resolve().parent
NAMES = ["", *FAULTS, *SIGNATURE_FAULTS]
ABOUT_CODE = frozenset(NAMES[NAMES.index("EXTENT") : NAMES.index("RAM")])
FUEL = 2000  # instructions of the bytecode that a call may take
CALLS = 40  # of one image
GRANTS = 0xFFFFFFFF & ~hostapi.mask(["signals"])  # of the board, which holds something back
FUEL_MACRO = "-DVM_COUNT(place)={ extern uint32_t fuel; (void)(place); if (fuel == 0) TRAP(VM_TRAP_STOPPED) fuel--; }"
SOURCES = ["execute.c", "vm.c", "image.c", "verify.c", "arithmetic.c", "host.c", "sha256.c", str(HERE / "offer.c")]


PAGE = 4096
LOADING, INSTRUCTIONS = 30_000_000, 200_000
"""Machine instructions that the loader and a call may take."""
STILL_RUNNING = 255
PAINT = b"\xa5"
ARGUMENTS = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3)
FUNCTIONS, IMPORTS = (list(RECORDS).index(name) for name in ("functions", "imports"))
VM_WORDS, SECTIONS_WORD, ARENA_USED_WORD = 25, 11, 21
CONSTANT_WORDS = (8, 9, 10, 11, *range(13, 22))
"""Words of struct vm: payload to sections, memories to arena_used."""


class Escape(Exception):
    """An image did what none may do."""


@dataclass(frozen=True)
class Answer:
    """What a road said of an image, and how its calls ended when it was taken: kinds of trap."""

    verdict: Verdict
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Machine instructions, and bytes of the arena from its beginning up to the last that was written."""

    instructions: int
    arena: int


def _verdict(number: int, detail: bytes) -> Verdict:
    name = NAMES[number]
    return Verdict(name, int(detail.removeprefix(b"halfword ")) if name in ABOUT_CODE else None)


@cache
def offering_program(*macros: str) -> Path:
    path = Path(mkdtemp(prefix="mcutool-attack-")) / "offer"
    command = ["gcc", *FLAGS, *SANITIZERS, f"-I{RUNTIME}", FUEL_MACRO, *macros, *SOURCES, "-lm", "-o", path]
    subprocess.run(command, cwd=RUNTIME, check=True)
    return path


class Pc:
    """One process takes all images, until one of them ends it."""

    name = "pc"

    def __init__(self, *macros: str) -> None:
        self._macros = macros
        self._process: subprocess.Popen[bytes] | None = None

    def surroundings(self, arena: int) -> Surroundings:
        return Surroundings(arena, table_record=24, memory_record=32, grants=GRANTS)

    def offer(self, image: bytes, arena: int) -> Answer:
        """Raises Escape."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        process.stdin.write(struct.pack("<IIII", arena, GRANTS, FUEL, len(image)) + image)
        process.stdin.flush()
        words = process.stdout.readline().split()
        if process.poll() is not None or not words:
            self._process = None
            raise Escape(process.communicate()[1].decode(errors="replace"))
        number, *rest = words
        if number != b"0":
            detail = rest[0].decode() if rest else ""
            return Answer(_verdict(int(number), b"" if detail == "-" else bytes.fromhex(detail)))
        return Answer(Verdict(), tuple(int(word, 16) for word in rest))

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen([offering_program(*self._macros)], stdin=pipe, stdout=pipe, stderr=pipe)

    def close(self) -> None:
        if self._process:
            self._process.communicate()


class Board:
    """The loader and the interpreter of a board's firmware, called where they stand on the emulated core.

    RAM that belongs to nobody is write-protected; the firmware's own data, and the arena beyond what the loader laid
    out, are compared after each call.
    """

    def __init__(self, name: str, firmware: Path | None = None) -> None:
        self.name = name
        board = devices.board(name)
        elf = firmware or board.firmware
        self._slot = board.chip.slot_address
        machine = self._machine = Machine(board, elf)
        machine.run_for(0.1)  # clocks and the FPU are on then
        self._engine, self._core = machine.engine, machine.engine.uc
        with elf.open("rb") as file:
            symbols = list(ELFFile(file).get_section_by_name(".symtab").iter_symbols())
        self._places = {s.name: s["st_value"] for s in symbols if s["st_info"]["type"] != "STT_FILE"}
        self._vm = self._places["arena_begin"]
        self._arena = self._vm + board.chip.ram_map["program"]
        self.largest_arena = min(self._places["arena_end"] - self._arena - PAGE, 1 << 16)
        self._detail = self._arena + self.largest_arena
        self._stack = board.chip.runtime_ram.base + board.chip.ram_map["c_stack"]
        self._data = range(self._stack, board.chip.runtime_ram.base + board.chip.reserved_ram)
        self._at_rest = self._engine.read(self._data.start, len(self._data))
        self._protect(board.chip.ram)

    def _protect(self, rams: Any) -> None:
        """Pages of RAM that hold neither the C stack, the firmware's data nor the arena."""
        ours = [(self._stack - PAGE, self._data.stop), (self._arena, self._detail + 4)]
        for ram in rams:
            start = ram.base
            for first, end in sorted(ours):
                first, end = max(first, ram.base) & -PAGE, end + PAGE - 1 & -PAGE
                if first < end and first < ram.base + ram.size:
                    self._read_only(start, first)
                    start = end
            self._read_only(start, ram.base + ram.size)

    def _read_only(self, start: int, end: int) -> None:
        if start < end:
            self._core.mem_protect(start, end - start, unicorn.UC_PROT_READ)

    def surroundings(self, arena: int) -> Surroundings:
        return Surroundings(arena, grants=GRANTS)

    def offer(self, image: bytes, arena: int) -> Answer:
        """Raises Escape."""
        self._engine.write(self._data.start, self._at_rest)
        self._engine.write(self._slot, image)
        place = self._vm, self._slot, len(image), self._arena, arena
        number = self._call("image_load", LOADING, *place, GRANTS, self._detail)
        if number is None:
            raise Escape("the loader does not come to an end")
        if number:
            return Answer(_verdict(number, self._text() if NAMES[number] in ABOUT_CODE else b""))
        sections = self._vm_words()[SECTIONS_WORD]
        functions = self._engine.word(sections + FUNCTIONS * struct.calcsize("<II") + 4)
        return Answer(Verdict(), tuple(self._run(number, arena) for number in range(min(functions, CALLS))))

    def verifying(self, image: bytes) -> Cost:
        """What the verifier alone takes for an image that is taken."""
        assert self.offer(image, self.largest_arena).verdict == Verdict()
        counted = [0]

        def count(*_: object) -> None:
            counted[0] += 1

        hook = self._core.hook_add(unicorn.UC_HOOK_CODE, count)
        self._core.ctl_flush_tb()  # what is translated does not know the hook
        self._engine.write(self._arena, PAINT * self.largest_arena)
        assert self._call("verify_code", LOADING, self._vm, self._arena, self.largest_arena, self._detail) == 0
        self._core.hook_del(hook)
        return Cost(counted[0], len(self._engine.read(self._arena, self.largest_arena).rstrip(PAINT)))

    def _text(self) -> bytes:
        return self._engine.read(self._engine.word(self._detail), 24).partition(b"\0")[0]

    def _vm_words(self) -> list[int]:
        return list(struct.unpack(f"<{VM_WORDS}I", self._engine.read(self._vm, 4 * VM_WORDS)))

    def _run(self, function: int, arena: int) -> int:
        before, beyond = self._constant(), self._beyond(arena)
        trap = self._call("vm_call", INSTRUCTIONS, self._vm, function)
        for what, wrong in (
            ("what the loader laid out", self._constant() != before),
            ("what lies beyond its arena", self._beyond(arena) != beyond),
            ("the firmware's data", not self._hosted() and self._others() != self._others(self._at_rest)),
        ):
            if wrong:
                raise Escape(f"function {function} has changed {what}")
        return STILL_RUNNING if trap is None else trap

    def _constant(self) -> list[int]:
        """The words of struct vm that no program changes."""
        words = self._vm_words()
        return [words[number] for number in CONSTANT_WORDS]

    def _beyond(self, arena: int) -> bytes:
        used = self._vm_words()[ARENA_USED_WORD]
        return self._engine.read(self._arena + used, arena - used)

    def _others(self, data: bytes | None = None) -> bytes:
        """The firmware's data without what the interpreter may change: struct vm, and where its other table is."""
        changed = bytearray(data or self._engine.read(self._data.start, len(self._data)))
        for place, size in ((self._vm, 4 * VM_WORDS), (self._places["attention_table"], 4)):
            if place in self._data:
                start = place - self._data.start
                changed[start : start + size] = bytes(size)
        return bytes(changed)

    def _hosted(self) -> bool:
        """Whether the image may call functions of the host, which have data of their own."""
        sections = self._vm_words()[SECTIONS_WORD]
        return self._engine.word(sections + IMPORTS * struct.calcsize("<II") + 4) > 0

    def _call(self, name: str, instructions: int, *arguments: int) -> int | None:
        """What a function of the firmware gives; None when it does not come to an end in time."""
        core, end = self._core, self._places["platform_faulted"] & ~1  # never executed before
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            core.reg_write(register, value)
        rest = arguments[len(ARGUMENTS) :]
        stack = self._stack - 4 * (len(rest) + len(rest) % 2)
        self._engine.write(stack, struct.pack(f"<{len(rest)}I", *rest))
        core.reg_write(arm.UC_ARM_REG_SP, stack)
        core.reg_write(arm.UC_ARM_REG_LR, end | 1)
        try:
            core.emu_start(self._places[name] | 1, end, count=instructions)
        except unicorn.UcError as error:
            raise Escape(f"{name}{arguments}: {error} at {core.reg_read(arm.UC_ARM_REG_PC):#010x}") from None
        return core.reg_read(arm.UC_ARM_REG_R0) if core.reg_read(arm.UC_ARM_REG_PC) & ~1 == end else None

    def close(self) -> None:
        pass


Road = Pc | Board


def road(name: str) -> Road:
    """ "pc", or the name of a board."""
    return Pc() if name == "pc" else Board(name)
