"""Where images are offered: to the interpreter on this PC under sanitizers, and to the firmware of an emulated board.

This file decides how an image gets there and what counts as an escape. It refuses to know where images come from and
whether a verdict is right.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const as arm

from mcutool import devices, hostapi
from mcutool.emulator.engine import WFE, WFI
from mcutool.emulator.machine import Machine
from mcutool.image.faults import FAULTS, SIGNATURE_FAULTS
from mcutool.image.format import RECORDS
from mcutool.image.records import Surroundings
from mcutool.image.verify import GROUP, Verdict
from tests.pc import FLAGS, RUNTIME, SANITIZERS

HERE = Path(__file__).resolve().parent
NAMES = ["", *FAULTS, *SIGNATURE_FAULTS]
ABOUT_CODE = frozenset(NAMES[NAMES.index("EXTENT") : NAMES.index("RAM")])
FUEL = 2000  # instructions of the bytecode that a call may take
CALLS = 40  # of one image
GRANTS = 0xFFFFFFFF & ~hostapi.mask(["signals"])  # of the board, which holds something back
VERIFIERS = ("none", "verify", "narrow")
BURN = "{ extern uint32_t fuel; (void)(place); if (fuel == 0) TRAP(VM_TRAP_STOPPED) fuel--; }"
PROGRAM = {
    "execute.c": [f"-DVM_COUNT(place)={BURN}", "-O0"],
    "image.c": ["-Dverify_code=chosen_verifier"],
    "verify.c": [],
    **dict.fromkeys(("vm.c", "arithmetic.c", "host.c", "sha256.c", str(HERE / "offer.c")), []),
}
"""Source -> options of the program that takes images on this PC; what is large is compiled quickly."""
NARROW = ["-Dverify_code=narrow_verifier", f"-DVERIFY_WINDOW={GROUP}"]
"""Macros of a second verifier in it, which sees one group of halfwords at a time."""

PAGE = 4096
LOADING, FUEL_ON_BOARD, STOPPING = 30_000_000, 50_000, 50_000
"""Machine instructions that the loader and a call may take, and one that has been told to stop."""
SLEEPS = 20
PAINT = b"\xa5"
ARGUMENTS = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3)
FUNCTIONS, IMPORTS = (list(RECORDS).index(name) for name in ("functions", "imports"))
VM_WORDS, TABLE_WORD, SECTIONS_WORD, ARENA_USED_WORD = 25, 5, 11, 21
HOSTING = ("host.c", "console.c", "port.c", "systick.c")
"""Files whose data change when an image calls functions of the host."""
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


@dataclass(frozen=True)
class Symbol:
    """One of an ELF, and the file that it comes from when it is local to that."""

    name: str
    file: str
    address: int
    size: int


def symbols_of(elf: Path) -> list[Symbol]:
    found, source = [], ""
    with elf.open("rb") as file:
        for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols():
            if symbol["st_info"]["type"] == "STT_FILE":
                source = symbol.name
            local = symbol["st_info"]["bind"] == "STB_LOCAL"
            found.append(Symbol(symbol.name, source if local else "", symbol["st_value"], symbol["st_size"]))
    return found


def build_offering(folder: Path) -> None:
    """The program `offer` in a folder, under sanitizers."""

    def compile_(source: str, macros: list[str], name: str) -> Path:
        command = ["gcc", "-c", *FLAGS, *SANITIZERS, f"-I{RUNTIME}", *macros, source, "-o", folder / name]
        subprocess.run(command, cwd=RUNTIME, check=True)
        return folder / name

    objects = [compile_(source, macros, f"{Path(source).stem}.o") for source, macros in PROGRAM.items()]
    objects.append(compile_("verify.c", NARROW, "narrow.o"))
    subprocess.run(["gcc", *SANITIZERS, *objects, "-lm", "-o", folder / "offer"], check=True)


class Pc:
    """One process takes all images, until one of them ends it."""

    name = "pc"

    def __init__(self, program: Path, verifier: str = "verify") -> None:
        """`program` is what build_offering has built; a verifier is one of VERIFIERS."""
        self._program = program
        self._verifier = VERIFIERS.index(verifier)
        self._process: subprocess.Popen[bytes] | None = None

    def surroundings(self, arena: int) -> Surroundings:
        return Surroundings(arena, table_record=24, memory_record=32, grants=GRANTS)

    def offer(self, image: bytes, arena: int) -> Answer:
        """Raises Escape."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        head = struct.pack("<IIIII", self._verifier, arena, GRANTS, FUEL, len(image))
        process.stdin.write(head + image)
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
        return subprocess.Popen([self._program], stdin=pipe, stdout=pipe, stderr=pipe)

    def close(self) -> None:
        if self._process:
            self._process.communicate()


class Board:
    """The loader and the interpreter of a board's firmware, called where they stand on the emulated core.

    Of RAM, nothing but the C stack, the firmware's data and the arena can be written or even read; flash is only read;
    no peripheral is touched unless the image may call the host, and nothing raises an exception: else it is an escape.
    The firmware's data, and the arena beyond what the loader laid out, are compared after each call. One that takes
    long is stopped as the firmware stops it: by an interrupt.
    """

    def __init__(self, name: str, firmware: Path | None = None) -> None:
        self.name = name
        board = devices.board(name)
        elf = firmware or board.firmware
        self._slot = board.chip.slot_address
        machine = self._machine = Machine(board, elf)
        machine.run_for(0.1)  # clocks and the FPU are on then
        self._engine, self._core = machine.engine, machine.engine.uc
        symbols = symbols_of(elf)
        self._places = {symbol.name: symbol.address for symbol in symbols}
        self._vm = self._places["arena_begin"]
        self._arena = self._vm + board.chip.ram_map["program"]
        self.largest_arena = min(self._places["arena_end"] - self._arena - PAGE, 1 << 16)
        self._detail = self._arena + self.largest_arena
        self._stack = board.chip.runtime_ram.base + board.chip.ram_map["c_stack"]
        self._data = range(self._stack, board.chip.runtime_ram.base + board.chip.reserved_ram)
        self._at_rest = self._engine.read(self._data.start, len(self._data))
        self._table_register = arm.UC_ARM_REG_R6 if board.chip.core.dispatch == "threaded" else arm.UC_ARM_REG_R9
        self._may_change = {hosted: self._changeable(symbols, hosted) for hosted in (False, True)}
        self._strays: list[str] = []
        self._hosted = False
        self._watch(machine)
        self._protect(board.chip)

    # what an image must not touch

    def _changeable(self, symbols: list[Symbol], hosted: bool) -> list[slice]:
        """The bytes of the firmware's data that a call may change."""
        files = {"execute.c", *(HOSTING if hosted else ())}
        found = [one for one in symbols if one.address in self._data and (one.file in files or one.name == "vm")]
        return [slice(one.address - self._data.start, one.address - self._data.start + one.size) for one in found]

    def _watch(self, machine: Machine) -> None:
        find, read, write = machine._find, machine.core.read, machine.core.write
        known = {base & -PAGE for base in machine._devices}

        def notice(address: int, there: bool = True) -> None:
            if not self._hosted or not there:
                self._strays.append(f"peripheral {address:#x}")

        machine._find = lambda address: (notice(address, address & -PAGE in known), find(address))[1]
        machine.core.read = lambda offset: (notice(offset), read(offset))[1]
        machine.core.write = lambda offset, value: (notice(offset), write(offset, value))[1]
        self._engine.on_protected_write = lambda address, size, value: self._strays.append(f"a store to {address:#x}")

    def _protect(self, chip: devices.Chip) -> None:
        """Flash, and pages of RAM that hold neither the C stack, the firmware's data nor the arena."""
        self._core.mem_protect(chip.flash.base, chip.flash.size, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        ours = [(self._stack - PAGE, self._data.stop), (self._arena, self._detail + 4)]
        for ram in chip.ram:
            start = ram.base
            for first, end in sorted(ours):
                first, end = max(first, ram.base) & -PAGE, end + PAGE - 1 & -PAGE
                if first < end and first < ram.base + ram.size:
                    self._forbid(start, first)
                    start = end
            self._forbid(start, ram.base + ram.size)

    def _forbid(self, start: int, end: int) -> None:
        if start < end:
            self._core.mem_protect(start, end - start, unicorn.UC_PROT_NONE)

    # one image

    def surroundings(self, arena: int) -> Surroundings:
        return Surroundings(arena, grants=GRANTS)

    def offer(self, image: bytes, arena: int) -> Answer:
        """Raises Escape."""
        self._engine.write(self._data.start, self._at_rest)
        self._engine.write(self._slot, image)
        self._hosted = False
        place = self._vm, self._slot, len(image), self._arena, arena
        number = self.call("image_load", LOADING, *place, GRANTS, self._detail)
        if number is None:
            raise Escape("the loader does not come to an end")
        if number:
            return Answer(_verdict(number, self._text() if NAMES[number] in ABOUT_CODE else b""))
        self._hosted = self._count(IMPORTS) > 0
        functions = min(self._count(FUNCTIONS), CALLS)
        return Answer(Verdict(), tuple(self._run(number, arena) for number in range(functions)))

    def verifying(self, image: bytes) -> Cost:
        """What the verifier alone takes for an image that is taken."""
        assert self.offer(image, self.largest_arena).verdict == Verdict()
        self._engine.write(self._arena, PAINT * self.largest_arena)
        assert self.call("verify_code", LOADING, self._vm, self._arena, self.largest_arena, self._detail) == 0
        written = self._engine.read(self._arena, self.largest_arena).rstrip(PAINT)
        return Cost(self._engine._words[self._engine._counter_index] - 1, len(written))

    def trust(self) -> None:
        """From now on the verifier takes everything."""
        self._engine.write(self._places["verify_code"] & ~1, bytes.fromhex("00207047"))  # movs r0, #0; bx lr

    def place(self, name: str, code: bytes) -> None:
        """A function in the slot, for `call`."""
        self._engine.write(self._slot, code)
        self._places[name] = self._slot

    def _text(self) -> bytes:
        return self._engine.read(self._engine.word(self._detail), 24).partition(b"\0")[0]

    def _vm_words(self) -> list[int]:
        return list(struct.unpack(f"<{VM_WORDS}I", self._engine.read(self._vm, 4 * VM_WORDS)))

    def _count(self, section: int) -> int:
        return self._engine.word(self._vm_words()[SECTIONS_WORD] + section * struct.calcsize("<II") + 4)

    def _run(self, function: int, arena: int) -> int:
        """Raises Escape."""
        before, beyond = self._constant(), self._beyond(arena)
        trap = self.call("vm_call", FUEL_ON_BOARD, self._vm, function)
        if trap is None:
            self._interrupt()
            trap = self._go_on(STOPPING)
            self._engine.write(self._places["must_stop"], b"\0")
        if trap is None:
            raise Escape(f"function {function} does not stop")
        for what, wrong in (
            ("what the loader laid out", self._constant() != before),
            ("what lies beyond its arena", self._beyond(arena) != beyond),
            ("the firmware's data", self._others() != self._others(self._at_rest)),
        ):
            if wrong:
                raise Escape(f"function {function} has changed {what}")
        return trap

    def _constant(self) -> list[int]:
        """The words of struct vm that no program changes."""
        words = self._vm_words()
        return [words[number] for number in CONSTANT_WORDS]

    def _beyond(self, arena: int) -> bytes:
        used = self._vm_words()[ARENA_USED_WORD]
        return self._engine.read(self._arena + used, arena - used)

    def _others(self, data: bytes | None = None) -> bytes:
        """The firmware's data without what a call may change."""
        changed = bytearray(data or self._engine.read(self._data.start, len(self._data)))
        for place in self._may_change[self._hosted]:
            changed[place] = bytes(place.stop - place.start)
        return bytes(changed)

    # one call

    def _interrupt(self) -> None:
        """What the interrupt of a request to stop does, and the exception behind it."""
        table = self._places["attention_table"]
        table = self._engine.word(table) if table in self._data else table
        self._engine.write(self._vm + 4 * TABLE_WORD, struct.pack("<I", table))
        self._engine.write(self._places["must_stop"], b"\1")
        pc = self._core.reg_read(arm.UC_ARM_REG_PC)
        if self._places["interpreter_begin"] & ~1 <= pc < self._places["interpreter_end"] & ~1:
            self._core.reg_write(self._table_register, table)

    def call(self, name: str, instructions: int, *arguments: int) -> int | None:
        """What a function of the firmware gives; None when it does not come to an end in time. Raises Escape."""
        core = self._core
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            core.reg_write(register, value)
        rest = arguments[len(ARGUMENTS) :]
        stack = self._stack - 4 * (len(rest) + len(rest) % 2)
        self._engine.write(stack, struct.pack(f"<{len(rest)}I", *rest))
        core.reg_write(arm.UC_ARM_REG_SP, stack)
        core.reg_write(arm.UC_ARM_REG_LR, self._end | 1)
        core.reg_write(arm.UC_ARM_REG_PC, self._places[name] | 1)
        return self._go_on(instructions)

    @property
    def _end(self) -> int:
        """An address that is never executed before a call has ended."""
        return self._places["platform_faulted"] & ~1

    def _go_on(self, instructions: int) -> int | None:
        """As often as the core sleeps, for no time passes here."""
        core = self._core
        for _ in range(SLEEPS):
            self._engine._interrupt = None
            error = ""
            try:
                core.emu_start(core.reg_read(arm.UC_ARM_REG_PC) | 1, self._end, count=instructions)
            except unicorn.UcError as reason:
                error = str(reason)
            pc = core.reg_read(arm.UC_ARM_REG_PC)
            asleep = self._engine.halfword(pc - 2) in (WFE, WFI)
            strays, self._strays = self._strays, []
            if self._engine._interrupt is not None:
                strays.append(f"exception {self._engine._interrupt}")
            if strays or (error and not asleep):
                raise Escape(f"{strays[0] if strays else error} at {pc:#010x}")
            if pc & ~1 == self._end:
                return core.reg_read(arm.UC_ARM_REG_R0)
            if not asleep:
                break
        return None

    def close(self) -> None:
        pass


Road = Pc | Board


def road(name: str) -> Road:
    """ "pc", or the name of a board."""
    if name != "pc":
        return Board(name)
    folder = Path(mkdtemp(prefix="mcutool-attack-"))
    build_offering(folder)
    return Pc(folder / "offer")
