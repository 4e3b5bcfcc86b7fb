"""Builds the firmware of every board: `python firmware_runtime/build.py [BOARD...]`.

Decides which sources, flags and constants make a board's firmware; every fact of the hardware comes from its TOML files
through mcutool.devices. Two builds give identical bytes: no path, date or build id gets into the ELF. `--core` measures
the interpreter without console, SMP and host functions. With `--key` the firmware takes only what that key's owner has
signed; the cryptography for it is fetched, of the versions that signature-requirements.txt pins.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from elftools.elf.elffile import ELFFile  # noqa: E402

from firmware_runtime.fetch import fetch  # noqa: E402
from mcutool import __version__, devices, hostapi  # noqa: E402
from mcutool.devices import Board, Ram  # noqa: E402
from mcutool.errors import DoesNotFit, Error  # noqa: E402
from mcutool.image import boot2, keys  # noqa: E402
from mcutool.isa import FEATURES  # noqa: E402

COMPILER = "arm-none-eabi-gcc"
INSTALL = "sudo apt-get install -y gcc-arm-none-eabi libnewlib-arm-none-eabi"

# What runs any module of WebAssembly 2.0 without SIMD, and what stands around it when it alone is measured.
CORE = ["execute.c", "arithmetic.c", "vm.c", "image.c", "verify.c", "sha256.c", "port/cortex_m/library.c"]
BARE = "port/bare/main.c"
# What makes a firmware of it.
AROUND = [
    "main.c", "module.c", "store.c", "host.c", "console.c", "smp.c", "smp_image.c", "smp_runtime.c", "cbor.c",
    "board.c", "port/cortex_m/start.c",
]  # fmt: skip
# What more a firmware with a key has: ours, and those files of what is fetched.
SIGNATURE = "signature.c"
REQUIREMENTS = HERE / "signature-requirements.txt"
FETCHED = ["pymonocypher-*/monocypher.c", "ed25519_orlp-*/src/ed25519_orlp/csrc/sha512.c"]
# These are compiled for speed, everything else for size: where the hot handlers are assembly, their C is not hot.
HOT: dict[str, list[str]] = {"threaded": [], "goto": ["execute.c"]}
CLOCKS = {"systick": ["port/cortex_m/systick.c"], "nrf51-timer0": []}

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Without the pattern option gcc would make a memory function of library.c call itself.
FLAGS = [
    "-std=c11", "-fno-math-errno", "-ffunction-sections", "-fdata-sections", "-fno-strict-aliasing",
    "-fno-tree-loop-distribute-patterns", *WARNINGS,
]  # fmt: skip
LINK_FLAGS = ["-nostartfiles", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"]


def constants(board: Board) -> dict[str, str | int]:
    """What the C code knows of a board, as names and values of macros."""
    chip = board.chip
    return {
        "BOARD_NAME": f'"{board.name}"',
        "CHIP_NAME": f'"{chip.name}"',
        "CORE_NAME": f'"{chip.core.name}"',
        "FIRMWARE_VERSION": f'"{__version__}"',
        "FLASH_BASE": chip.flash.base,
        "FLASH_REGISTERS": chip.flash.registers,
        "FLASH_ERASED": chip.flash.erased,
        "FLASH_WRITE_UNIT": chip.flash.smallest_write,
        "FLASH_SECTORS": _array((run.size, run.count) for run in chip.flash.sectors),
        "SLOT_ADDRESS": chip.slot_address,
        "SLOT_SIZE": chip.map.slot.size,
        "STATE_AREAS": _array((chip.flash.base + area.offset, area.size) for area in chip.state_areas),
        "IMAGES": chip.images,
        "BOARD_GRANTS": hostapi.mask(board.grants),
        "UART_BASE": chip.uart.base,
        "UART_IRQ": chip.uart.irq,
        "UART_CLOCK": chip.uart.clock,
        "UART_BAUD": chip.uart.default_baud,
        **{f"{name.upper()}_SIZE": chip.ram_map[name] for name in ("frame", "reply", "input", "program")},
        **optional_constants(board),
    }


def _array(pairs: Iterable[tuple[int, int]]) -> str:
    """The initialiser of an array of structures of two numbers."""
    return "{" + ", ".join(f"{{{first}, {second}}}" for first, second in pairs) + "}"


def optional_constants(board: Board) -> dict[str, str | int]:
    """The macros of what only some boards have."""
    found: dict[str, str | int] = {}
    if board.chip.tick:
        found |= {"TICK_CLOCK": board.chip.tick.clock}
    if board.chip.gpio:
        found |= {"GPIO_BASE": board.chip.gpio.base}
    if board.chip.gpio and board.chip.gpio.ports:
        found |= {"GPIO_PORTS": sum(1 << ord(letter) - ord("A") for letter in board.chip.gpio.ports)}
    console = board.console_pins or board.chip.uart
    if console.tx >= 0:
        found |= {"UART_TX_PIN": console.tx, "UART_RX_PIN": console.rx}
    if board.led:
        found |= {"LED_PIN": board.led.pin, "LED_ACTIVE_HIGH": int(board.led.active == "high")}
    if board.led and board.led.low >= 0:
        found |= {"LED_LOW_PIN": board.led.low}
    return found


def render_board_header(board: Board) -> str:
    """board.h."""
    lines = [f"#define {name} {value:#x}u" if isinstance(value, int) else f"#define {name} {value}"
             for name, value in constants(board).items()]  # fmt: skip
    return "\n".join(["/* Written by build.py from the board's and the chip's TOML files. */", *lines, ""])


def render_linker_script(board: Board) -> str:
    """The template with the chip's flash and RAM map filled in."""
    chip = board.chip
    code_ram = next((ram for ram in chip.ram if ram.use == "code"), Ram("none", 0, 0))
    values = {
        "RUNTIME_ADDRESS": chip.flash.base + chip.map.runtime.offset,
        "RUNTIME_SIZE": chip.map.runtime.size,
        "BOOT2_SIZE": boot2.CHECKED,
        "RAM_ADDRESS": chip.runtime_ram.base,
        "RAM_SIZE": chip.runtime_ram.size,
        "CODE_RAM_ADDRESS": code_ram.base,
        "CODE_RAM_SIZE": code_ram.size,
        "C_STACK": chip.ram_map["c_stack"],
        "RESERVED_RAM": chip.reserved_ram,
        "ARENA_ADDRESS": chip.main_ram.base + chip.arena_offset,
        "ARENA_SIZE": chip.main_ram.size - chip.arena_offset,
    }
    text = (HERE / "port" / "cortex_m" / "link.ld.in").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", f"{value:#x}")
    return text


def firmware_sources(board: Board) -> list[str]:
    """Everything on a board. Raises Error when the chip's clock or port is not written."""
    chip, port = board.chip, f"port/{board.chip.port}/port.c"
    clock = chip.tick.kind if chip.tick else "systick"
    if clock not in CLOCKS:
        raise Error(
            f"{chip.name}: there is no clock of the kind {clock!r}", next_action=f"use one of: {', '.join(CLOCKS)}"
        )
    if not (HERE / port).exists():
        written = ", ".join(sorted(path.parent.name for path in HERE.glob("port/*/port.c")))
        raise Error(
            f"{chip.name}: there is no firmware_runtime/{port}",
            next_action=f"use one of: {written}; or write it, platform.h says what a port gives",
        )
    return [*CORE, *AROUND, *CLOCKS[clock], port]


def require_compiler() -> None:
    """Raises Error when the cross compiler or its C library is missing."""
    found = shutil.which(COMPILER) is not None
    if found:
        library = subprocess.run([COMPILER, "-print-file-name=libc.a"], capture_output=True, text=True, check=True)
        found = library.stdout.strip() != "libc.a"  # the compiler gives the bare name back when it has none
    if not found:
        raise Error(f"{COMPILER} with newlib is needed to build the firmware", next_action=f"type: {INSTALL}")


def compile_into(directory: Path, flags: list[str], names: list[str]) -> list[str]:
    """Objects of the sources, named in a flat folder."""
    if not names:
        return []
    run([COMPILER, "-c", *flags, *(str(HERE / name) for name in names)], directory)
    return [f"{Path(name).stem}.o" for name in names]


def run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise Error(f"the firmware does not build:\n{done.stderr.strip()}")


def too_large(board: Board, error: Error) -> Error:
    """What the linker says of a firmware that does not fit, with what would help; other errors as they are."""
    found = re.search(r"region `runtime' overflowed by (\d+) bytes", error.message)
    if not found:
        return error
    room = board.chip.map.runtime.size
    return DoesNotFit(
        f"{board.name}: the firmware has {room + int(found[1])} bytes, {found[1]} more than the {room} of its place",
        next_action=f"leave parts out, see --without; or give it more of the flash, in [map] of {board.chip.name}.toml"
        " in targets/chips; then runtime and modules have to be installed anew",
    )


def fetched(key: bytes) -> tuple[list[str], list[str]]:
    """Sources and flags of what checks signatures with a key. Raises Error when they cannot be fetched."""
    try:
        folder = fetch(REQUIREMENTS)
    except subprocess.CalledProcessError:
        raise Error(
            "the cryptography for a firmware with a key could not be fetched from the Python package index",
            next_action="see what pip says above; it needs the network once, and setuptools",
        ) from None
    paths = [next(folder.glob(pattern)) for pattern in FETCHED]
    places = [flag for path in paths for flag in (f"-I{path.parent}", f"-ffile-prefix-map={path.parent}=.")]
    bytes_ = {"SIGNATURE_KEY": key, "SIGNATURE_KEY_HASH": keys.name_of(key)}
    macros = [f"-D{name}={{{','.join(map(str, value))}}}" for name, value in bytes_.items()]
    return [SIGNATURE, *map(str, paths)], [*macros, *places]


def link(board: Board, elf: Path, sources: list[str], macros: Collection[str], more: Collection[str] = ()) -> str:
    """Builds an ELF of sources for a board, with macros and more flags; the linker's map. Raises Error."""
    core = board.chip.core
    with TemporaryDirectory() as name:
        work = Path(name)
        (work / "board.h").write_text(render_board_header(board), encoding="utf-8")
        (work / "link.ld").write_text(render_linker_script(board), encoding="utf-8")
        includes = ["-I.", f"-I{HERE}", f"-I{HERE / 'port' / 'cortex_m'}", f"-ffile-prefix-map={HERE}=."]
        flags = [*core.gcc_flags, *FLAGS, *includes, f"-DVM_DRIVER_{core.dispatch.upper()}"]
        flags += [*(f"-D{macro}" for macro in macros), *more]
        objects = []
        for level in ("-O2", "-Os"):
            names = [source for source in sources if (source in HOT[core.dispatch]) == (level == "-O2")]
            objects += compile_into(work, [*flags, level], names)
        options = [*LINK_FLAGS, "-T", "link.ld", "-Wl,-Map=map"]
        linked_elf = work / "firmware.elf"  # what was built before stays when this fails
        run([COMPILER, *core.gcc_flags, *options, *objects, "-lm", "-o", str(linked_elf)], work)
        seal(linked_elf)
        shutil.move(linked_elf, elf)
        return (work / "map").read_text(encoding="utf-8")


def seal(elf: Path) -> None:
    """Puts in the checksum of the second stage bootloader, if there is one at the start of flash."""
    with elf.open("r+b") as file:
        image = ELFFile(file)
        if image.get_section_by_name(".symtab").get_symbol_by_name("boot2"):
            text = image.get_section_by_name(".text")
            stage = boot2.sealed(text.data()[: boot2.SIZE])
            file.seek(text["sh_offset"])
            file.write(stage)


VERIFIER = "verifier"
"""The other part that a firmware can do without: it then trusts whoever installs images."""
OPTIONAL = (*FEATURES, VERIFIER)


def absent(parts: Collection[str]) -> list[str]:
    """Macros for a firmware without some of the parts that are OPTIONAL."""
    return ["VM_VERIFY=0" if part == VERIFIER else f"VM_WITH_{part.upper()}=0" for part in parts]


def build(board: Board, output: Path, without: Collection[str] = (), key: bytes | None = None) -> Path:
    """The board's ELF in the folder `output`, without some of the parts that are OPTIONAL; perhaps with a public key.

    Raises Error, DoesNotFit when the chip's map has too little room.
    """
    output.mkdir(parents=True, exist_ok=True)
    elf = output / f"{board.name}.elf"
    in_ram = ["VM_HANDLERS_IN_RAM"] if "handlers" in board.chip.ram_map else []
    sources, flags = fetched(key) if key else ([], [])
    try:
        link(board, elf, [*firmware_sources(board), *sources], [*absent(without), *in_ram], flags)
    except Error as error:
        raise too_large(board, error) from None
    return elf


def sizes(elf: Path) -> dict[str, int]:
    """Bytes by section, of those that exist on the board."""
    with elf.open("rb") as file:
        return {
            section.name: section["sh_size"] for section in ELFFile(file).iter_sections() if section["sh_flags"] & 2
        }


def flash_of(elf: Path) -> int:
    size = sizes(elf)
    return size[".text"] + size.get(".data", 0) + size.get(".ramcode", 0)


def report(board: Board, elf: Path) -> str:
    """One line: flash and RAM of a firmware."""
    size = sizes(elf)
    flash = flash_of(elf)
    static = sum(size.get(name, 0) for name in (".data", ".bss", ".noinit"))
    return (
        f"{board.name:16} {board.chip.core.name:12} flash {flash:6} of {board.chip.map.runtime.size:7}   "
        f"static RAM {static:5}   C stack {size['.stack']:5}   modules {board.chip.arena_size:8}"
    )


# The core's parts: what makes them, as "file section" in the linker's map. The first pattern that fits counts.
PARTS = {
    "surroundings": r"main\.o ",
    "handler tables": r"execute\.o \.(rodata|data)",
    "handlers": r"execute\.o ",
    "calls, memory": r"vm\.o ",
    "loader": r"(image|sha256)\.o ",
    "verifier": r"verify\.o ",
    "floats, division": r"arithmetic\.o |libgcc|libm|library\.o .*__",
    "copies, strings": r"library\.o |libc|",
}
IN_FLASH = (".vectors", ".interpreter", ".text", ".rodata", ".data")
IN_RAM = (".data", ".bss", ".noinit", "COMMON")


@dataclass(frozen=True)
class CoreSize:
    """The interpreter core alone: bytes of flash by part, and of static RAM, struct vm included."""

    parts: dict[str, int]
    ram: int

    @property
    def flash(self) -> int:
        return sum(self.parts.values())


def core_size(board: Board, without: Collection[str] = ()) -> CoreSize:
    """The core for a board's processor. Raises Error."""
    parts, ram = dict.fromkeys(PARTS, 0), 0
    with TemporaryDirectory() as name:
        contributions = linked(link(board, Path(name) / "core.elf", [*CORE, BARE], absent(without)))
    for section, file, size in contributions:
        part = next(part for part, pattern in PARTS.items() if re.match(pattern, f"{file} {section}"))
        parts[part] += size if section.startswith(IN_FLASH) else 0
        ram += size if section.startswith(IN_RAM) else 0
    del parts["surroundings"]
    return CoreSize(parts, ram)


CONTRIBUTION = re.compile(r"^ (\.[\w.]+|COMMON|\*fill\*)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)(?: (.+))?$", re.MULTILINE)


def linked(text: str) -> list[tuple[str, str, int]]:
    """Section, file and bytes of all that a linker's map says is in the ELF; padding counts to what is before it."""
    found: list[tuple[str, str, int]] = []
    for line in CONTRIBUTION.finditer(text, text.index("Memory Configuration")):
        section, size, file = line[1], int(line[2], 16), line[3]
        if section == "*fill*":
            section, file = found[-1][:2]
        found.append((section, file.rpartition("/")[2], size))
    return found


def report_core(boards: list[Board]) -> str:
    """A column for each core: WebAssembly 2.0 without SIMD by part, then what the optional parts make of it."""
    by_core = {board.chip.core.name: board for board in boards}
    sizes_ = [core_size(board, OPTIONAL) for board in by_core.values()]
    verifying = [core_size(board, FEATURES).flash for board in by_core.values()]
    whole = [core_size(board).flash for board in by_core.values()]
    rows = {part: [size.parts[part] for size in sizes_] for part in sizes_[0].parts if part != VERIFIER}
    rows |= {"flash": [size.flash for size in sizes_], "with the verifier": verifying, "with all features": whole}
    rows |= {"static RAM": [size.ram for size in sizes_]}
    lines = [f"{'interpreter core':18}" + "".join(f"{name:>15}" for name in by_core)]
    return "\n".join(lines + [f"{name:18}" + "".join(f"{n:15}" for n in row) for name, row in rows.items()])


def feature_costs(boards: list[Board]) -> dict[str, list[int]]:
    """Bytes of flash on each board of each part that is OPTIONAL, by building without it. Raises Error."""
    with TemporaryDirectory() as name:

        def flash(part: str = "") -> list[int]:
            return [flash_of(build(board, Path(name), [part] if part else [])) for board in boards]

        whole = flash()
        return {part: [total - less for total, less in zip(whole, flash(part), strict=True)] for part in OPTIONAL}


def report_costs(boards: list[Board]) -> str:
    """A line for each part of WebAssembly that a firmware can be built without: bytes of flash that this saves."""
    lines = [f"{'without':20}" + "".join(f"{board.name:>17}" for board in boards)]
    for feature, saved in feature_costs(boards).items():
        lines.append(f"{feature:20}" + "".join(f"{bytes_:17}" for bytes_ in saved))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Builds the firmware of the boards named, or of all.")
    parser.add_argument("board", nargs="*", help="a board's name")
    parser.add_argument("--into", type=Path, default=ROOT / "mcutool" / "firmware", help="folder for the ELF files")
    parser.add_argument("--key", metavar="PUBLIC.pem", help="take only what is signed with this key (mcutool keygen)")
    parser.add_argument("--without", metavar="PART", action="append", default=[], choices=OPTIONAL, help="leave it out")
    parser.add_argument("--costs", action="store_true", help="only print what each optional part costs in flash")
    parser.add_argument("--core", action="store_true", help="only print what the interpreter alone takes")
    options = parser.parse_args(arguments)
    try:
        require_compiler()
        boards = [devices.board(name) for name in options.board] or list(devices.runtime_boards())
        if options.core:
            print(report_core(boards))
            return 0
        if options.costs:
            print(report_costs(boards))
            return 0
        key = keys.public_key(options.key) if options.key else None
        if key:
            fetched(key)  # once, before several boards want it
        make = partial(build, output=options.into.resolve(), without=options.without, key=key)
        with ThreadPoolExecutor() as pool:
            elves = list(pool.map(make, boards))
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        if error.next_action:
            print(f"  next: {error.next_action}", file=sys.stderr)
        return error.exit_code
    for board, elf in zip(boards, elves, strict=True):
        print(report(board, elf))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
