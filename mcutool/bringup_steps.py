"""The checks of a bring-up, each a function of the bench: a line about what was found, or an Error with a remedy.

This file decides what is sent to a board to prove a part of it, and what an answer means. It refuses to know which
check comes next and how results are told (`bringup.py`).
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcutool import __version__, devices, install, smoke
from mcutool import board as boards
from mcutool.errors import Error, ImageRefused, NoAnswer, VerificationFailed, WriteFailed, WrongChip
from mcutool.flash import registry
from mcutool.flash.link import Link
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import NotInstalled, SmpClient
from mcutool.progress import OnProgress, Progress, ignore

QUICK_FLASH, QUICK_RAM = 8 << 10, 1 << 20
"""Bytes that are tested unless everything is; a serial line takes minutes for a whole flash."""
ATTEMPTS = 3
SHOWN = 24  # bytes of what came over the line, in a message
ECHO_SIZES = (0, 1, 2, 3, 5, 17, 64, 150)
RAM_BLOCK, RAM_ROUND = 1 << 18, 32  # bytes that one call tests; what smoke/ram.wat works in
CLOCK_SECONDS, CLOCK_TOLERANCE = 1.0, 0.02  # a UART works up to about twice that
CLOCK_ATTEMPTS = 5
CALL_SECONDS = 60.0
BLINKS = 3
BLINK_SECONDS = 0.1


@dataclass
class Bench:
    """A board, the line to it and how much is wanted; steps leave here what later ones need.

    `pin` reads a pin's level from outside, where the bench can. `install_runtime` puts the runtime into the flash even
    when one answers; `full` tests all flash of the slot and all RAM.
    """

    board: devices.Board
    link: Link
    install_runtime: bool = False
    full: bool = False
    pin: Callable[[int], int] | None = None
    on_progress: OnProgress = ignore
    in_rom: bool = False
    target: boards.Board | None = None  # once its runtime answers
    _installed: str = field(default="", repr=False)

    @property
    def emulated(self) -> bool:
        """Whether the board is emulated in this process; one of another process cannot be told from a real one."""
        return self.link.lossless

    @property
    def running(self) -> boards.Board:
        """The board, for steps that need its runtime."""
        assert self.target is not None, "the step needs the step `runtime`"
        return self.target

    def install(self, module: str | Path | bytes) -> boards.Board:
        """The board with a module in its slot."""
        self.forget_module()
        self.running.client.erase()  # there may be no room for one beside another
        self.running.install(module)
        return self.running

    def forget_module(self) -> None:
        """Something else lies in the slot now."""
        self._installed = ""

    def call(self, module: str, function: str, *arguments: object) -> list:
        """Call a module of the smoke corpus, which is installed when it is not in the slot already."""
        if self._installed != module:
            self.install(smoke.module(module))
            self._installed = module
        return self.running.call(function, *arguments, timeout=CALL_SECONDS)


# --- is it there, is it the right one ---------------------------------------------------------------------------------


class Listener:
    """A link that keeps what comes over it, for a diagnosis."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.heard = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def read(self, timeout: float) -> bytes:
        data = self._link.read(timeout)
        self.heard += data
        return data


def identify(bench: Bench) -> str:
    """The ROM bootloader first: a foreign byte before its first one would put it off."""
    chip = bench.board.chip
    link: Any = Listener(bench.link)
    if chip.bootrom is not None:
        bootloader = registry.driver(chip.bootrom.protocol)(link, bench.board, chip.bootrom)
        if bench.install_runtime or bootloader.answers():
            bootloader.connect()
            bench.in_rom = True
            return f"{chip.name} in its ROM bootloader, product id {chip.bootrom.product_id:#05x}"
    information = _ask(bench, link)
    for what, expected in (("board", bench.board.name), ("chip", chip.name), ("core", chip.core.name)):
        if information.get(what) != expected:
            raise WrongChip(
                f"the runtime says that its {what} is {information.get(what)}, not {expected}",
                next_action="name the right board with --board, or install the runtime of this one",
            )
    return f"{chip.name} ({chip.core.name}), runtime {information.get('version')}"


def _ask(bench: Bench, link: Any) -> dict:
    """What the runtime says of itself. Raises NoAnswer with what came instead."""
    try:
        return SmpClient(link).request(smp.READ, smp.RUNTIME, smp.RUNTIME_INFO, {}, attempts=ATTEMPTS)
    except NoAnswer as silence:
        raise _diagnosis(bench, bytes(link.heard)) from silence


def _diagnosis(bench: Bench, heard: bytes) -> NoAnswer:
    """No answer, by what came instead of one."""
    name, baud = bench.link.name, bench.board.chip.uart.default_baud
    if not heard:
        return NoAnswer(
            f"nothing at all comes from {name}: no runtime, no power, or a line that is not connected",
            next_action=f"check that TX and RX are crossed and ground is connected; "
            f"then install the runtime; the bootloader: {bench.board.boot}",
        )
    shown = f"{heard[:SHOWN]!r}"
    if sum(byte in b"\r\n\t" or 32 <= byte < 127 for byte in heard) < 0.9 * len(heard):
        return NoAnswer(
            f"what comes from {name} makes no sense at {baud} baud: {shown}",
            next_action=f"wrong baud rate, or the board's clock is not what {bench.board.chip.name}.toml says: "
            "try --baud, check the crystal",
        )
    return NoAnswer(
        f"{name} prints {shown} and answers no request",
        next_action=f"that is another program: install the runtime; the bootloader: {bench.board.boot}",
    )


def runtime(bench: Bench) -> str:
    """Install it through the ROM when the board waits there, and talk to it."""
    done = "there already"
    if bench.in_rom or bench.install_runtime:
        job = install.prepare(bench.board, None, runtime=True, through="port")
        written = install.install(job, bench.link, install.Manner(on_progress=bench.on_progress))["rom"]
        done = f"{written['bytes']} bytes through the bootloader; {written['verified']}; {written['retries']} retries"
    bench.target = boards.Board(bench.board, bench.link, on_progress=bench.on_progress)
    install.check_runtime(bench.target.client, bench.board)
    version = bench.target.info().get("version")
    note = "" if version == __version__ else f"; this mcutool is {__version__}"
    return f"version {version}, {done}{note}"


# --- the line -----------------------------------------------------------------------------------------------------


def echo(bench: Bench) -> str:
    """Texts of many lengths, and all bytes that a text can have."""
    client = bench.running.client
    before = client.retries
    every = "".join(map(chr, [*range(0x100), *range(0x400, 0x800, 0x40), *range(0x1000, 0x10000, 0x1000)]))
    chunks = [every[i : i + 40] for i in range(0, len(every), 40)]
    for text in [*(("0123456789" * 15)[:size] for size in ECHO_SIZES), *chunks]:
        answer = client.echo(text)
        if answer != text:
            raise VerificationFailed(
                f"the echo of {text!r} is {answer!r}", next_action="check the line: a shorter cable, a lower baud rate"
            )
    repeated = client.retries - before
    noise = f"; {repeated} were lost on the line and repeated" if repeated else ""
    return f"{len(ECHO_SIZES) + len(chunks)} texts came back{noise}"


# --- memories -----------------------------------------------------------------------------------------------------


def pattern(size: int, inverted: bool) -> bytes:
    """Words that depend on their place, so that a wrong address shows as well as a wrong bit."""
    mask = 0xFFFFFFFF if inverted else 0
    words = array.array("I", ((index * 0x9E3779B1 ^ mask) & 0xFFFFFFFF for index in range(-(-size // 4))))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()[:size]


def test_flash(bench: Bench) -> str:
    """Every bit of the slot is erased, programmed and compared both ways; the board itself reads it back."""
    slot = bench.board.chip.map.slot.size
    bench.running.client.erase()
    size = slot if bench.full else min(slot, QUICK_FLASH)
    for inverted in (False, True):
        _fill_flash(bench, pattern(size, inverted))
    return f"{_share(size, slot)} of the module slot hold what is written to them"


def _fill_flash(bench: Bench, data: bytes) -> None:
    reached = 0

    def follow(progress: Progress) -> None:
        nonlocal reached
        reached = progress.done
        bench.on_progress(progress)

    bench.forget_module()
    client = SmpClient(bench.link, on_progress=follow)
    try:
        client.upload(data)
    except NotInstalled:
        pass  # it is no image, and has arrived
    except (ImageRefused, WriteFailed, VerificationFailed) as failure:
        start = bench.board.chip.slot_address + reached
        raise VerificationFailed(
            f"the flash does not hold what is written behind {start:#010x}: {failure.message}",
            next_action="check the supply voltage; if it stays at this address, the flash is worn out or damaged",
        ) from failure


def test_ram(bench: Bench) -> str:
    """A march over all RAM that a module can have: every bit is 0 and 1, and every word knows its own address."""
    (size,) = bench.call("ram", "grow")
    arena = bench.board.chip.arena_size
    size = (size if bench.full else min(size, QUICK_RAM)) // RAM_ROUND * RAM_ROUND
    for number, (function, mask) in enumerate((("fill", 0), ("turn", 0), ("turn", -1))):
        for start in range(0, size, RAM_BLOCK):
            wrong = bench.call("ram", function, start, min(start + RAM_BLOCK, size), mask)
            if wrong not in ([], [-1]):
                raise _bad_cell(bench, wrong[0], mask)
            bench.on_progress(Progress("RAM test", number * size + start, 3 * size))
    return f"{_share(size, arena)} of the module arena hold what is stored in them; the rest and the stack: not tested"


def _bad_cell(bench: Bench, address: int, mask: int) -> VerificationFailed:
    (bits,) = bench.call("ram", "wrong", address, mask)
    which = f"bits {bits & 0xFFFFFFFF:#010x} are wrong" if bits else "wrong once, right when it was read again"
    return VerificationFailed(
        f"the word at {address:#x} of the module's memory: {which}",
        next_action="check the supply voltage; if it stays at this address, the RAM is damaged",
    )


def _share(size: int, whole: int) -> str:
    return f"all {size} bytes" if size == whole else f"{size} of {whole} bytes"


# --- clock and light ----------------------------------------------------------------------------------------------


def check_clock(bench: Bench) -> str:
    """The board's clock against the link's: two calls, each noted when its reply is there, so that delays cancel."""
    deviations = []
    for _ in range(1 if bench.emulated else CLOCK_ATTEMPTS):  # a busy PC can make one measurement wrong, not all
        begin, before = bench.call("board", "nanoseconds")[0], bench.link.now()
        bench.running.wait(CLOCK_SECONDS)
        end, after = bench.call("board", "nanoseconds")[0], bench.link.now()
        deviations.append((end - begin) / 1e9 / (after - before) - 1)
        if abs(deviations[-1]) <= CLOCK_TOLERANCE:
            return f"{100 * deviations[-1]:+.2f} % in {after - before:.2f} s"
    best = min(deviations, key=abs)
    raise VerificationFailed(
        f"the board's clock is {100 * best:+.1f} % off, more than {100 * CLOCK_TOLERANCE:g} %",
        next_action=f"check the crystal, and the clocks in {bench.board.chip.name}.toml",
    )


def blink(bench: Bench) -> str:
    """The light goes on and off; where the bench can, the pin is looked at."""
    led = bench.board.led
    if led is None:
        return "this board has no light"
    for on in (True, False) * BLINKS:
        (error,) = bench.call("board", "led", int(on))
        level = int(on == (led.active == "high"))
        seen = level if bench.pin is None else bench.pin(led.pin)
        if error or seen != level:
            raise VerificationFailed(
                f"pin {led.pin} is {'high' if seen else 'low'} with the light {'on' if on else 'off'} (error {error})",
                next_action="check `led` in the board's TOML file, and what else is connected to this pin",
            )
        bench.running.wait(BLINK_SECONDS)
    how = "look at the light" if bench.pin is None else "read at the pin"
    return f"pin {led.pin} on and off {BLINKS} times: {how}"


# --- programs -----------------------------------------------------------------------------------------------------


def smoke_corpus(bench: Bench) -> str:
    """Calls with known answers."""
    for name, checks in smoke.CORPUS.items():
        for check in checks:
            if complaint := check.complaint(lambda function, *arguments, m=name: bench.call(m, function, *arguments)):
                raise VerificationFailed(
                    f"{name}: {complaint}", next_action="install the runtime again; if it stays, report a bug"
                )
    board = bench.running
    board.expect(bytes(range(0x100)))
    if board.exit_status != smoke.EXIT_STATUS:
        raise VerificationFailed(
            f"the module ended with {board.exit_status}, not {smoke.EXIT_STATUS}", next_action="report a bug"
        )
    return f"{sum(map(len, smoke.CORPUS.values()))} calls of {len(smoke.CORPUS)} modules gave what they must"


def clean_up(bench: Bench) -> str:
    """Erase the slot if it was used; says how the board was left."""
    if bench.target is None:
        return ""
    try:
        bench.target.client.erase()
    except Error:
        return "the module slot could not be erased"
    return "the module slot is empty now"
