"""The cores, chips and boards that we know, read from `targets/` and `boards/` and checked.

This file decides what a description of hardware must say and when it contradicts itself. It is the only reader of those
TOML files. It refuses to know what any fact in them is used for, and no chip is mentioned here by name.

A field that is added to a dataclass below is thereby added to the files: without a default it is required, with one it
is optional, and a key that no dataclass has is refused, so a misspelt fact never goes unnoticed.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mcutool import hostapi
from mcutool.errors import Unsupported, UsageError, choose_from

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries the descriptions inside the package, a checkout has them at its top level.
_ROOT = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent


PROGRAM = "program"  # of the RAM map


class DescriptionError(UsageError):
    """A file of `targets/` or `boards/` is incomplete or contradicts itself."""

    ADVICE = "see how other files of that folder say it; mcutool/devices.py explains each key"


@dataclass(frozen=True)
class Core:
    """One processor core: `targets/cores/NAME.toml`."""

    name: str
    architecture: str  # one of ARCHITECTURES
    gcc_flags: tuple[str, ...]
    unicorn_model: str
    fpu: bool
    dispatch: str  # the interpreter's driver: threaded (handlers in assembly) or goto
    vector_table: bool = True  # whether it can be moved: a core has VTOR


@dataclass(frozen=True)
class Span:
    """A part of flash, in bytes; written as [offset, size] with the offset counted from the start of flash."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Sector(Span):
    """What one erase sets. `number` counts from the start of flash, `erase_us` is as in Sectors."""

    number: int
    erase_us: int


@dataclass(frozen=True)
class Sectors:
    """`count` neighbouring sectors of `size` bytes; written as [size, count, erase_us].

    `erase_us` is how long erasing one of them takes, typically, in microseconds; 0 for memory without that delay.
    """

    size: int
    count: int
    erase_us: int = 0


@dataclass(frozen=True)
class Settings:
    """Memory beside flash that holds settings of the chip, for a debug probe to write; written as [base, size]."""

    base: int
    size: int


@dataclass(frozen=True)
class Flash:
    """The flash memory that holds the runtime and the module."""

    base: int
    size: int
    controller: str  # the driver and the model that erase and program it
    write_unit: int  # bytes
    sectors: tuple[Sectors, ...]
    erased: int = 0xFF
    registers: int = 0  # address of the controller, 0 when it has none
    program_us: int = 0  # how long programming one write unit takes, typically
    settings: tuple[Settings, ...] = ()
    write_part: int = 0  # bytes; of a write unit that may be programmed in parts, erased bytes around each; else 0

    @property
    def smallest_write(self) -> int:
        """Bytes; what is written begins and ends on a multiple of them."""
        return self.write_part or self.write_unit

    def are_settings(self, address: int, size: int) -> bool:
        """Whether so many bytes there are in memory for settings."""
        return any(part.base <= address and address + size <= part.base + part.size for part in self.settings)

    def sector_spans(self) -> Iterator[Sector]:
        """Every sector, from the start of flash."""
        number = offset = 0
        for run in self.sectors:
            for _ in range(run.count):
                yield Sector(offset, run.size, number, run.erase_us)
                number, offset = number + 1, offset + run.size


@dataclass(frozen=True)
class Ram:
    """One RAM of the chip; the largest has the arena."""

    name: str
    base: int
    size: int
    use: str = ""  # "runtime": its data and stack; "code": what runs while flash is busy; "data": never code


@dataclass(frozen=True)
class FlashMap:
    """Who owns which part of flash: the firmware, its directory of what is installed (two areas), the modules."""

    runtime: Span
    state: Span
    slot: Span

    def spans(self) -> dict[str, Span]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True)
class Uart:
    """The console's UART."""

    kind: str
    name: str
    base: int
    irq: int
    clock: int  # Hz
    default_baud: int
    tx: int = -1  # pins by number, on chips that have them fixed; elsewhere the board's `console_pins`
    rx: int = -1


@dataclass(frozen=True)
class Gpio:
    """The general-purpose pins."""

    kind: str
    base: int
    ports: str = ""  # letters of the ports that are there, for families whose chips differ in that


@dataclass(frozen=True)
class Tick:
    """The source of the millisecond tick."""

    kind: str
    clock: int  # Hz


@dataclass(frozen=True)
class Loader:
    """One way to fill the chip's flash without its runtime.

    A bootloader in the chip's ROM, one in its flash, or the drive that another chip of the board shows.
    """

    protocol: str  # as mcutool/flash/registry.py and plug-ins name it
    product_id: int = 0  # what it says the chip is, 0 when the protocol does not ask
    version: int = 0  # of the protocol, as it tells it: 0x31 is 3.1
    uarts: tuple[str, ...] = ()  # those that it listens on; empty for the console's, or where none is meant
    ram_reserved: int = 0  # bytes at the start of RAM that it uses itself
    offset: int = 0  # the first byte of flash that it writes, counted from the start of flash; below it lies itself
    volume: str = ""  # the label of the drive that it shows
    # What it says of itself: the text after SAM-BA's version; of a drive the Board-ID of INFO_UF2.TXT, the beginning of
    # DAPLink's unique id, or an MPS2's application note, several with blanks between.
    identity: str = ""
    usb: tuple[str, ...] = ()  # VENDOR:PRODUCT of its own port or drive, in hexadecimal
    touch: tuple[str, ...] = ()  # USB identities of programs that enter it when their port is opened with 1200 baud
    enter: str = ""  # how a person enters it; empty when the board's `boot` says it


@dataclass(frozen=True)
class ControlLines:
    """What the serial port's DTR and RTS do on this board, as words for one step after the other.

    "dtr on", "rts off" set a line as the PC sees it (an adapter's outputs are inverted), "wait 100" waits that many
    milliseconds.
    """

    enter: tuple[str, ...] = ()  # into the bootloader
    leave: tuple[str, ...] = ()  # out of it, before the program is started
    reset: tuple[str, ...] = ()  # a restart of the program


@dataclass(frozen=True)
class Chip:
    """One chip: `targets/chips/NAME.toml`, with its resource page (flash map and RAM map) where it has a runtime."""

    name: str
    vendor: str
    core: Core
    port: str  # firmware_runtime/port/PORT; empty for a chip that has no runtime yet, only its flash is filled
    priority_bits: int
    irqs: int
    flash: Flash
    ram: tuple[Ram, ...]
    uart: Uart
    map: FlashMap = FlashMap(Span(0, 0), Span(0, 0), Span(0, 0))
    # Bytes of RAM by purpose (`handlers` only to keep their table there); the module arena has the rest, of which each
    # program takes `program` beside what its image needs.
    ram_map: dict[str, int] = field(default_factory=dict)
    images: int = 2  # how many programs can be installed side by side
    gpio: Gpio | None = None
    tick: Tick | None = None
    bootrom: Loader | None = None
    random: bool = False
    uf2_family: int = 0  # in Microsoft's list of UF2 families, 0 when the chip is not there

    @property
    def slot_address(self) -> int:
        """The absolute address of the part of flash that is for modules."""
        return self.flash.base + self.map.slot.offset

    @property
    def slot_sectors(self) -> tuple[Sector, ...]:
        """The sectors of that part, which a module gets whole."""
        return self.sectors_of(self.map.slot)

    @property
    def state_areas(self) -> tuple[Span, Span]:
        """The two halves of the state, the same number of sectors each: one is always whole."""
        sectors = self.sectors_of(self.map.state)
        middle = sectors[len(sectors) // 2].offset
        state = self.map.state
        return Span(state.offset, middle - state.offset), Span(middle, state.end - middle)

    def sectors_of(self, span: Span) -> tuple[Sector, ...]:
        """The sectors that a part of flash consists of."""
        return tuple(sector for sector in self.flash.sector_spans() if span.offset <= sector.offset < span.end)

    @property
    def main_ram(self) -> Ram:
        """The RAM that holds the module arena: the largest."""
        return max(self.ram, key=lambda ram: ram.size)

    @property
    def runtime_ram(self) -> Ram:
        """The RAM that holds the runtime's data and stack: the one marked so, else the main one."""
        return next((ram for ram in self.ram if ram.use == "runtime"), self.main_ram)

    @property
    def ram_size(self) -> int:
        """Bytes of all RAMs."""
        return sum(ram.size for ram in self.ram)

    @property
    def has_runtime(self) -> bool:
        """Whether our firmware runs on it."""
        return bool(self.port)

    @property
    def reserved_ram(self) -> int:
        """Bytes that the runtime takes whatever it runs; what it needs for each program lies in the arena."""
        return sum(size for use, size in self.ram_map.items() if use != PROGRAM)

    @property
    def arena_offset(self) -> int:
        """Where in the main RAM the module arena begins, in bytes."""
        return self.reserved_ram if self.runtime_ram is self.main_ram else 0

    @property
    def arena_size(self) -> int:
        """Bytes of RAM left for the module of one program."""
        return self.main_ram.size - self.arena_offset - self.ram_map.get(PROGRAM, 0) if self.has_runtime else 0


@dataclass(frozen=True)
class Led:
    """A light on the board."""

    pin: int
    active: str  # high or low
    name: str  # as a person finds it
    low: int = -1  # a pin that has to be low for the light, as the other end of a matrix


@dataclass(frozen=True)
class ConsolePins:
    """The console's pins, on chips that leave the choice to the board."""

    tx: int
    rx: int


@dataclass(frozen=True)
class Console:
    """Where a person finds the console's UART."""

    place: str
    tx: str  # the board's output, as its documents name the pin
    rx: str
    adapter: str = ""  # what goes between it and the PC, empty when the board's own USB does


@dataclass(frozen=True)
class Board:
    """One board: `boards/VENDOR_NAME.toml`."""

    name: str
    chip: Chip
    title: str
    vendor: str
    console: Console
    boot: str  # how a person enters the ROM bootloader, or installs the runtime where there is none
    boot_jumper: str = ""  # what has to be moved or pressed for that
    led: Led | None = None
    console_pins: ConsolePins | None = None
    qemu: str = ""  # the machine's name there, empty when QEMU has none
    emulated: bool = True
    silicon: bool = False  # whether anybody has run it on hardware
    usb: tuple[str, ...] = ()  # VENDOR:PRODUCT of its serial port, in hexadecimal
    loader: tuple[Loader, ...] = ()  # bootloaders beside the one in the chip's ROM, the one to prefer first
    control_lines: ControlLines | None = None  # absent where the serial port's DTR and RTS are not connected
    grants: tuple[str, ...] = tuple(hostapi.GRANTS)  # the capabilities that modules may have there

    @property
    def loaders(self) -> tuple[Loader, ...]:
        """Every way to fill the flash without the runtime, the one to prefer first.

        That is the ROM's bootloader where it listens on the console, since nothing has to be connected for it then.
        """
        rom = [self.chip.bootrom] if self.chip.bootrom else []
        return (*rom, *self.loader) if self.rom_is_on_the_console else (*self.loader, *rom)

    @property
    def rom_is_on_the_console(self) -> bool:
        """Whether there is a bootloader in ROM that the console's port reaches."""
        rom = self.chip.bootrom
        return rom is not None and (not rom.uarts or self.chip.uart.name in rom.uarts)

    @property
    def dtr_resets(self) -> bool:
        """Whether the serial port's DTR line holds the board in reset."""
        return self.control_lines is not None and "dtr on" in self.control_lines.reset

    @property
    def usb_identities(self) -> frozenset[str]:
        """VENDOR:PRODUCT of every serial port that the board may show."""
        return frozenset(self.usb).union(*((*loader.usb, *loader.touch) for loader in self.loaders))

    def need_runtime(self) -> None:
        """Raises Unsupported where there is no firmware that could run a module."""
        if not self.chip.has_runtime:
            raise Unsupported(
                f"there is no runtime for {self.name} yet",
                next_action="its flash can be filled with raw files: mcutool flash RAW.elf|.hex|.bin|.uf2",
            )

    @property
    def firmware(self) -> Path:
        """The built runtime, an ELF file; raises UsageError when it is not built, Unsupported when there is none."""
        self.need_runtime()
        path = firmware_folder() / f"{self.name}.elf"
        if not path.exists():
            raise UsageError(
                f"the runtime for {self.name} is not built",
                next_action="run `make firmware` in the checkout; it needs arm-none-eabi-gcc"
                " (on Debian: sudo apt-get install gcc-arm-none-eabi)",
            )
        return path

    @property
    def has_firmware(self) -> bool:
        """Whether the runtime has been built."""
        return (firmware_folder() / f"{self.name}.elf").exists()


# --- From tables to records -------------------------------------------------------------------------------------------


def _record(kind: type, value: Any, where: str) -> Any:
    """The dataclass `kind` from a TOML table, or from an array when the record is written as one."""
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    if isinstance(value, list) and len(value) <= len(names):
        value = dict(zip(names, value, strict=False))
    if not isinstance(value, dict):
        raise DescriptionError(f"{where}: expected a table, found {value!r}")
    required = [field.name for field in fields if _is_required(field)]
    if unknown := sorted(value.keys() - set(names)):
        raise DescriptionError(f"{where}: unknown key {unknown[0]!r}", next_action=choose_from(unknown[0], names))
    if missing := [repr(name) for name in required if name not in value]:
        raise DescriptionError(f"{where}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], item, f"{where}: {name}") for name, item in value.items()})


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type that the field asks for."""
    if isinstance(hint, types.UnionType):  # "X | None": the file leaves the key out for None
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value)
    expected: type = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(expected) and not isinstance(value, expected):
        return _record(expected, value, where)
    if type(value) is not expected:
        raise DescriptionError(f"{where}: expected {expected.__name__}, found {value!r}")
    return value


def _load(kind: type, path: Path, resolve: dict[str, Callable[[str], Any]]) -> Any:
    """The record in the file `path`; keys in `resolve` name a record of another file, in `targets/KEYs`."""
    where = f"{path.parent.name}/{path.name}"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # of TOML or of UTF-8
        raise DescriptionError(f"{where}: {error}") from error
    for key, find in resolve.items():
        if key in table:
            known = sorted(other.stem for other in (_ROOT / "targets" / f"{key}s").glob("*.toml"))
            if table[key] not in known:
                what = f"{where}: no {key} is called {table[key]!r}"
                raise DescriptionError(what, next_action=choose_from(str(table[key]), known))
            table[key] = find(table[key])
    record = _record(kind, table, where)
    for check in CHECKS[kind]:
        if complaint := check(record):
            meaning = f"the rule: {check.__doc__}"
            raise DescriptionError(f"{where}: {check.__name__}: {complaint}", next_action=meaning)
    return record


# --- Named checks: each returns a complaint, or nothing ---------------------------------------------------------------

ARCHITECTURES = ("armv6-m", "armv7-m", "armv7e-m", "armv8-m.main")
MOST_IMAGES = 8
ADAPTERS = ("", "USB to 3.3 V UART", "USB to RS-232")


def architecture_is_known(core: Core) -> str:
    """The architecture is one that the firmware is built for."""
    return "" if core.architecture in ARCHITECTURES else f"{core.architecture!r} is none of {', '.join(ARCHITECTURES)}"


def dispatch_suits_the_core(core: Core) -> str:
    """The threaded handlers are Thumb-2 code, which an ARMv6-M core does not have."""
    wanted = "goto" if core.architecture == "armv6-m" else "threaded"
    return "" if core.dispatch == wanted else f"dispatch is {core.dispatch!r}, {core.architecture} needs {wanted!r}"


def fpu_suits_the_architecture(core: Core) -> str:
    """ARMv6-M and ARMv7-M have no floating-point unit."""
    return "an FPU on " + core.architecture if core.fpu and core.architecture in ("armv6-m", "armv7-m") else ""


def sectors_cover_the_flash(chip: Chip) -> str:
    """The sectors add up to the size of the flash."""
    total = sum(run.size * run.count for run in chip.flash.sectors)
    return "" if total == chip.flash.size else f"sectors hold {total} bytes, flash {chip.flash.size}"


def map_starts_with_the_runtime(chip: Chip) -> str:
    """The core fetches its vectors from the start of flash, and they belong to the runtime."""
    return "" if chip.map.runtime.offset == 0 else f"the runtime begins at {chip.map.runtime.offset:#x}"


def map_is_in_flash(chip: Chip) -> str:
    """No part of the flash map reaches beyond the flash."""
    beyond = [name for name, span in chip.map.spans().items() if span.end > chip.flash.size]
    return f"{beyond[0]} ends beyond the flash" if beyond else ""


def map_has_no_overlap(chip: Chip) -> str:
    """No byte of flash has two owners."""
    parts = sorted(chip.map.spans().items(), key=lambda part: part[1].offset)
    for (name, span), (next_name, next_span) in zip(parts, parts[1:], strict=False):
        if span.end > next_span.offset:
            return f"{name} and {next_name} overlap"
    return ""


def map_is_in_whole_sectors(chip: Chip) -> str:
    """Erasing one part never touches another: each begins and ends with a sector."""
    edges = {0} | {sector.end for sector in chip.flash.sector_spans()}
    for name, span in chip.map.spans().items():
        if not {span.offset, span.end} <= edges:
            return f"{name} does not begin and end with a sector"
    return ""


def state_is_two_areas(chip: Chip) -> str:
    """The directory of what is installed moves between two areas, the same number of whole sectors each."""
    count = len(chip.sectors_of(chip.map.state))
    return f"state has {count} sectors" if count % 2 or (count == 0 and chip.has_runtime) else ""


def images_are_counted(chip: Chip) -> str:
    """A board holds at least one module, and no more than SMP's numbers of slots leave room for."""
    return "" if 1 <= chip.images <= MOST_IMAGES else f"images is {chip.images}"


def rams_have_no_overlap(chip: Chip) -> str:
    """No address belongs to two RAMs."""
    rams = sorted(chip.ram, key=lambda ram: ram.base)
    for ram, neighbour in zip(rams, rams[1:], strict=False):
        if ram.base + ram.size > neighbour.base:
            return f"{ram.name} and {neighbour.name} overlap"
    return ""


def ram_map_fits(chip: Chip) -> str:
    """The RAM that holds the runtime's data has room for all that the RAM map puts there."""
    needed, ram = sum(chip.ram_map.values()), chip.runtime_ram
    return "" if needed <= ram.size else f"the RAM map needs {needed} bytes, {ram.name} has {ram.size}"


def arena_is_left(chip: Chip) -> str:
    """The RAM map leaves something for a module."""
    if chip.arena_size > 0 or not chip.has_runtime:
        return ""
    return f"the RAM map takes all {chip.main_ram.size} bytes of {chip.main_ram.name}"


def runtime_has_its_maps(chip: Chip) -> str:
    """A chip with a port of the runtime says where everything of it lies, one without says nothing of it."""
    missing = [name for name, there in (("map", chip.map.runtime.size), ("ram_map", chip.ram_map)) if not there]
    if chip.has_runtime:
        return f"{missing[0]} is missing" if missing else ""
    return "" if len(missing) == 2 else "it has a map, and no port"


def loaders_begin_with_a_sector(board: Board) -> str:
    """The part of flash that a bootloader writes begins with a sector."""
    edges = {sector.offset for sector in board.chip.flash.sector_spans()}
    wrong = [loader.offset for loader in board.loaders if loader.offset not in edges]
    return f"no sector begins at {wrong[0]:#x}" if wrong else ""


def interrupts_exist(chip: Chip) -> str:
    """The UART's interrupt is one of the chip's."""
    return "" if chip.uart.irq < chip.irqs else f"interrupt {chip.uart.irq} of {chip.irqs}"


def led_polarity_is_known(board: Board) -> str:
    """A LED lights when its pin is high, or when it is low."""
    return "" if board.led is None or board.led.active in ("high", "low") else f"led.active is {board.led.active!r}"


def led_hangs_on_the_chip(board: Board) -> str:
    """A light needs a pin, and a pin a GPIO port, where a runtime is to switch it."""
    missing = board.led and board.chip.has_runtime and not board.chip.gpio
    return f"{board.chip.name} has no gpio" if missing else ""


def console_reaches_the_pc(board: Board) -> str:
    """Through an adapter, or through the board's own USB, which then has an identity to be recognised by."""
    if board.console.adapter not in ADAPTERS:
        return f"the adapter {board.console.adapter!r} is none of {', '.join(filter(None, ADAPTERS))}"
    return "" if board.console.adapter or board.usb else "it has neither an adapter nor a USB identity"


def bootloader_can_be_entered(board: Board) -> str:
    """A person is told how, and a jumper is named exactly where there is a bootloader in ROM to enter with it."""
    if not board.boot:
        return "boot is empty"
    if bool(board.boot_jumper) != bool(board.chip.bootrom):
        return (
            f"boot_jumper is {board.boot_jumper!r}, {board.chip.name} has {'a' if board.chip.bootrom else 'no'} bootrom"
        )
    return ""


def loaders_can_be_entered(board: Board) -> str:
    """Of every bootloader that is not in the chip's ROM a person is told how to enter it."""
    silent = [loader.protocol for loader in board.loader if not loader.enter]
    return f"the loader {silent[0]!r} does not say how it is entered" if silent else ""


CONTROL_STEP = re.compile(r"(dtr|rts) (on|off)|wait \d{1,5}")


def control_lines_are_understood(board: Board) -> str:
    """The words of `control_lines` are those that ControlLines lists."""
    lines = board.control_lines or ControlLines()
    wrong = [step for step in (*lines.enter, *lines.leave, *lines.reset) if not CONTROL_STEP.fullmatch(step)]
    return f"control_lines has {wrong[0]!r}" if wrong else ""


def usb_identities_are_hexadecimal(board: Board) -> str:
    """VENDOR:PRODUCT, four lower-case digits each."""
    wrong = [identity for identity in board.usb_identities if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", identity)]
    return f"usb has {wrong[0]!r}" if wrong else ""


def grants_are_known(board: Board) -> str:
    """What a board grants are capabilities that host functions need."""
    unknown = [name for name in board.grants if name not in hostapi.GRANTS]
    return f"grants has {unknown[0]!r}, which is none of {', '.join(hostapi.GRANTS)}" if unknown else ""


CHECKS: dict[type, list[Callable[[Any], str]]] = {
    Core: [architecture_is_known, dispatch_suits_the_core, fpu_suits_the_architecture],
    Chip: [
        sectors_cover_the_flash,
        map_starts_with_the_runtime,
        map_is_in_flash,
        map_has_no_overlap,
        map_is_in_whole_sectors,
        state_is_two_areas,
        images_are_counted,
        rams_have_no_overlap,
        ram_map_fits,
        arena_is_left,
        runtime_has_its_maps,
        interrupts_exist,
    ],
    Board: [
        led_polarity_is_known,
        led_hangs_on_the_chip,
        console_reaches_the_pc,
        bootloader_can_be_entered,
        loaders_begin_with_a_sector,
        loaders_can_be_entered,
        control_lines_are_understood,
        usb_identities_are_hexadecimal,
        grants_are_known,
    ],
}


# --- What the other rooms call ----------------------------------------------------------------------------------------


def firmware_folder() -> Path:
    """Where the build puts the runtimes, `BOARD.elf`; the wheel carries the same folder."""
    return _PACKAGE / "firmware"


@cache
def core(name: str) -> Core:
    """The core of that name."""
    return _load(Core, _ROOT / "targets" / "cores" / f"{name}.toml", {})


@cache
def chip(name: str) -> Chip:
    """The chip of that name."""
    return _load(Chip, _ROOT / "targets" / "chips" / f"{name}.toml", {"core": core})


@cache
def boards() -> tuple[Board, ...]:
    """Every board, by name; raises DescriptionError for the first file that is wrong."""
    found = [_load(Board, path, {"chip": chip}) for path in sorted((_ROOT / "boards").glob("*.toml"))]
    return tuple(sorted(found, key=lambda board: board.name))


def runtime_boards() -> tuple[Board, ...]:
    """The boards that our firmware runs on."""
    return tuple(board for board in boards() if board.chip.has_runtime)


def board(name: str) -> Board:
    """The board of that name; raises UsageError when there is none."""
    for candidate in boards():
        if candidate.name == name:
            return candidate
    known = [candidate.name for candidate in boards()]
    raise UsageError(f"no board is called {name!r}", next_action=choose_from(name, known))
