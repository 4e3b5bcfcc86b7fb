"""Install on a board: the runtime, a module, or a raw file for the chip's flash.

The runtime and raw files (.elf, .hex, .bin, .uf2, .srec) go through one of the board's bootloaders, which `mcutool
boards NAME` lists: over the serial port, or onto a drive. A module goes to the runtime, beside the one that is there,
and is started; when that goes well it is confirmed, else the one before runs again (code 134). What is in flash already
is not written again. A line that is lost is waited for. A file for another chip, by its addresses, its
family or where its stack is, is refused; --address says where it begins, and that it is right.

With --json each line is an object: {"event": "progress" or "warning", ...}, at last {"event": "done" or "error", ...}.

examples:
  mcutool flash app.wasm --port /dev/ttyUSB0                    # to the runtime that answers there
  mcutool flash app.wasm --runtime --board stm32f405            # first the runtime, through the ROM
  mcutool flash app.wasm --board stm32f405 --dry-run            # what would be done
  mcutool flash other.bin --address 0x08000000 --board stm32f405# a raw file
  mcutool flash other.hex --board nrf52840dk --port /media/me/JLINK # onto a drive
  mcutool flash app.wasm --board stm32f405 --all                # on every one that is connected
  mcutool flash app.wasm --port /dev/ttyUSB0 --image 1          # beside another program
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutool import devices
from mcutool.cli.options import DEFAULT_BAUD, add_baud, add_board, add_grant, add_port, integer
from mcutool.cli.progress import Events, Lines, Stages
from mcutool.errors import Error, UsageError
from mcutool.progress import ignore

if TYPE_CHECKING:
    from mcutool.flash.link import SerialLink
    from mcutool.install import Job, Manner

EMPTY_RESULT = {"event": "error"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="APP.wasm, .wat, .mcu, or RAW.elf, .hex, .bin, .uf2...")
    parser.add_argument("--runtime", action="store_true", help="install the runtime, before APP when it is given")
    add_board(parser, default=None, otherwise="the one whose runtime answers")
    add_port(parser, "a serial port, a pyserial URL, or the folder of a drive; with --all P,P")
    add_baud(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--protocol", metavar="NAME", help="one of the board's bootloaders (default: its first)")
    how.add_argument("--address", type=integer, metavar="A", help="where a raw file begins")
    how.add_argument("--dry-run", action="store_true", help="say what would be done, and touch nothing")
    how.add_argument("--full", action="store_true", help="write also what is in flash already")
    how.add_argument("--unprotect", action="store_true", help="remove the chip's protection, which erases it, before")
    how.add_argument(
        "--all", action="store_true", help="on every connected board of the kind, or on all of --port P,P..."
    )
    how.add_argument("--require-signed", action="store_true", help="send no module that is not signed")
    how.add_argument("--key", metavar="KEY.pub.pem", help="send no module that is not signed with this key")
    add_grant(parser)
    module = parser.add_argument_group("a module")
    module.add_argument("--image", type=integer, default=0, metavar="N", help="its place among several (default: 0)")
    module.add_argument("--trial", action="store_true", help="let the program confirm itself, else it is rolled back")
    module.add_argument("--replace", action="store_true", help="first remove what is installed as this image")
    parser.add_argument("--json", action="store_true", help="print events, an object a line")


def execute(options: argparse.Namespace) -> int:
    from mcutool import install

    if options.file and (options.require_signed or options.key):
        _require_signed(options)
    raw = install.is_raw(options.file)
    if options.board is None and (options.runtime or options.dry_run or options.all or raw):
        raise UsageError("which board?", next_action="name it with --board, see: mcutool boards")
    if options.all:
        return _flash_all(options)
    link = None if options.board else _open(options, DEFAULT_BAUD)
    board = devices.board(options.board) if link is None else install.identify(link)
    reporter: Events | Stages = Events() if options.json else Stages()
    with reporter as report:
        job = _job(options, board, report)
        if options.dry_run:
            return _show_plan(options, job)
        done = _install(options, job, link, report)
    print(json.dumps({"event": "done", **done}) if options.json else install.render(done))
    return 0


def _require_signed(options: argparse.Namespace) -> None:
    from mcutool import program
    from mcutool.image import keys, signing

    public = keys.owner(options.key) if options.key else None
    signing.require_signed(options.file, program.read(options.file), public)


def _show_plan(options: argparse.Namespace, job: Job) -> int:
    from mcutool import install

    install.check_manner(job, _manner(options))
    told = {"event": "plan", "board": job.board.name, "plan": job.describe()}
    print(json.dumps(told) if options.json else job.describe())
    return 0


def _job(options: argparse.Namespace, board: devices.Board, on_progress: Any) -> Job:
    from mcutool import install

    return install.prepare(
        board, options.file, options.runtime, options.address,
        protocol=options.protocol, through=_medium(options), grants=options.grant, on_progress=on_progress,
    )  # fmt: skip


def _medium(options: argparse.Namespace) -> str | None:
    """What --port names, when it is given; a port in the settings does not keep anybody from a drive."""
    return None if not options.port or "port" in options.defaulted else "drive" if _folder(options) else "port"


def _folder(options: argparse.Namespace) -> Path | None:
    """The drive that --port names, unless it names a port."""
    return Path(options.port) if options.port and Path(options.port).is_dir() else None


def _install(
    options: argparse.Namespace, job: Job, link: SerialLink | None, on_progress: Any, port: str | None = None
) -> dict[str, Any]:
    from mcutool import install

    manner = _manner(options, on_progress)
    install.check_manner(job, manner)
    if not job.needs_port:
        return install.install(job, None, manner, _folder(options))
    link = link or _open(options, job.board.chip.uart.default_baud, port)
    try:
        return install.install(job, link, manner, _folder(options))
    finally:
        link.close()


def _manner(options: argparse.Namespace, on_progress: Any = ignore) -> Manner:
    from mcutool import install

    return install.Manner(options.full, options.unprotect, on_progress, options.image, options.trial, options.replace)


def _open(options: argparse.Namespace, baud: int, port: str | None = None) -> SerialLink:
    from mcutool.flash.link import SerialLink, choose_port

    boards = [devices.board(options.board)] if options.board else devices.boards()
    known = [identity for board in boards for identity in board.usb_identities]
    return SerialLink(
        port or options.port or choose_port(known), options.baud or baud, baud_is_fixed=options.baud is not None,
        dtr=not (options.board and boards[0].dtr_resets),
    )  # fmt: skip


# --- several boards ---------------------------------------------------------------------------------------------


def _flash_all(options: argparse.Namespace) -> int:
    """The same on several boards at once, a line for each. The exit code is that of the first that failed."""
    from concurrent.futures import ThreadPoolExecutor

    from mcutool import install
    from mcutool.cli import error_object

    board = devices.board(options.board)
    ports = _ports(options, board)
    reporter: Events | Lines = Events() if options.json else Lines()
    with reporter as report:
        job = _job(options, board, report)
        if options.dry_run:
            return _show_plan(options, job)
        if not job.needs_port:
            raise UsageError("--all is for boards on serial ports", next_action="copy to one drive after the other")

        def flash(port: str) -> tuple[dict[str, Any] | None, Error | None]:
            try:
                return _install(options, job, None, report.of(port), port), None
            except Error as error:
                return None, error
            except Exception as error:  # of one board; the others go on
                what = f"internal error: {type(error).__name__}: {error}"
                return None, Error(what, next_action="this is a bug: please report it")

        with ThreadPoolExecutor(len(ports)) as pool:
            results = list(pool.map(flash, ports))
    for port, (done, error) in zip(ports, results, strict=True):
        if options.json:
            said = {"event": "done", **done} if done else {"event": "error", "port": port}
            print(json.dumps(said | ({"error": error_object(error)} if error else {})))
        elif error:
            print(f"{port}: {' '.join(error.message.split())}; next: {error.next_action}")
        elif done:
            print(" ".join(install.render(done).split()))
    return next((error.exit_code for _, error in results if error), 0)


def _ports(options: argparse.Namespace, board: devices.Board) -> list[str]:
    """The ports that --port names, or those of every such board. Raises NoPort."""
    from mcutool.errors import NoPort
    from mcutool.flash.link import list_ports

    if options.port and "port" not in options.defaulted:
        return list(filter(None, options.port.split(",")))
    found = [port.device for port in list_ports() if port.usb in board.usb_identities]
    if not found:
        seen = "is connected" if board.usb_identities else "can be told from other ports"
        raise NoPort(f"no {board.name} {seen}", next_action="name the ports: --port P,P")
    return found
