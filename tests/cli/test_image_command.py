"""`mcutool image`: an emulated chip that gets its file and nothing else runs the module; bad requests are refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mcutool import devices, maps
from mcutool.cli import main
from mcutool.emulator.machine import Machine
from mcutool.errors import DoesNotFit
from mcutool.flashfile import SUFFIXES
from mcutool.image import state
from tests.firmware.machines import Console, Emulated, Qemu

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HELLO, SHA256 = (str(EXAMPLES / f"{name}.wasm") for name in ("hello", "sha256"))
SAYS = b"SHA-256 of 1024 bytes: 785b0751"
BOARDS = [board.name for board in devices.runtime_boards()]
IN_QEMU = [board for board in devices.runtime_boards() if board.qemu]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A program that each board has room for."""
    folder = tmp_path_factory.mktemp("built")
    assert all(main(["build", SHA256, "--board", board, "-o", str(folder / f"{board}.mcu")]) == 0 for board in BOARDS)
    return {board: str(folder / f"{board}.mcu") for board in BOARDS}


def made(output: Path, board: str, *app: str) -> Path:
    assert main(["image", *app, "--board", board, "-o", str(output), "--json"]) == 0
    return output


def booted(board: str, file: Path) -> Console:
    """An emulated board whose flash is empty but for the file."""
    console = Emulated(devices.board(board), None, None)
    console.machine.load_flash_file(file)
    return console


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("board", BOARDS)
def test_an_empty_chip_runs_the_module(board: str, suffix: str, built: dict[str, str], tmp_path: Path) -> None:
    console = booted(board, made(tmp_path / f"hello{suffix}", board, built[board]))
    assert SAYS in console.expect(b"[exit 0]")
    assert console.client.echo("here") == "here"


@pytest.mark.parametrize("board", IN_QEMU, ids=lambda board: board.name)
def test_qemu_runs_the_elf(board: devices.Board, built: dict[str, str], tmp_path: Path) -> None:
    console = Qemu(board, made(tmp_path / "hello.elf", board.name, built[board.name]), None)
    assert SAYS in console.expect(b"[exit 0]")
    console.close()


@pytest.mark.parametrize("board", BOARDS)
def test_without_a_module_it_is_the_runtime(board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "runtime.hex", board)
    assert json.loads(capsys.readouterr().out)["starts"] is False
    booted(board, file).expect(b"[no program: there is no image]")


@pytest.mark.parametrize("board", BOARDS)
def test_the_files_say_the_same_to_objcopy(board: str, built: dict[str, str], tmp_path: Path) -> None:
    binary = made(tmp_path / "f.bin", board, built[board])
    for suffix, kind in ((".hex", "ihex"), (".elf", "elf32-littlearm")):
        file = made(tmp_path / f"f{suffix}", board, built[board])
        command = ["arm-none-eabi-objcopy", "-I", kind, "-O", "binary", "--gap-fill", "0xff", file, tmp_path / "copied"]
        assert subprocess.run(command, check=True, capture_output=True).stderr == b""
        assert (tmp_path / "copied").read_bytes() == binary.read_bytes()


def newest(flash: bytes, chip: devices.Chip) -> tuple[int, list[state.Installed]]:
    """The newest record of the first area."""
    area = chip.state_areas[0]
    found = state.parse(flash[area.offset : area.offset + area.size])
    assert found is not None
    return found


def test_flashing_leaves_the_same_in_flash(tmp_path: Path) -> None:
    """The file is what the runtime writes into erased flash; its record is the first, not one of several."""
    blink, image = str(EXAMPLES / "blink.wasm"), tmp_path / "blink.mcu"
    file = made(tmp_path / "f.bin", "microbit", blink)
    assert main(["build", blink, "--board", "microbit", "-o", str(image)]) == 0
    board = Emulated(devices.board("microbit"), devices.board("microbit").firmware, None)
    board.client.install(image.read_bytes())
    chip, wanted = board.machine.chip, file.read_bytes()
    found = board.machine.flash[: len(wanted)]
    for part in (chip.map.runtime, chip.map.slot):
        assert found[part.offset : part.end] == wanted[part.offset : part.end]
    (_, made_one), (_, installed) = (newest(data, chip) for data in (wanted, found))
    assert installed[0].versions[1] == made_one[0].versions[0]


def test_an_object_says_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the names of the functions are kept, for `monitor`."""
    monkeypatch.setattr(maps, "folder", lambda: tmp_path / "maps")
    file = made(tmp_path / "f.bin", "stm32f405", HELLO)
    assert len(list((tmp_path / "maps").glob("*.json"))) == 1
    said = json.loads(capsys.readouterr().out)
    runtime, record, _, slot = said["segments"]
    assert [row["part"] for row in said["segments"]] == ["runtime", "state", "state", "slot"]
    assert (record["address"], record["bytes"]) == (0x0801_0000, 144)
    assert said["file"] == str(file) and said["bytes"] == file.stat().st_size == 0x40000 + slot["bytes"]
    assert (runtime["address"], slot["address"], said["starts"]) == (0x0800_0000, 0x0804_0000, True)


@pytest.mark.parametrize(
    ("text", "silent"), [('(func (export "f"))', True), ('(func (export "f")) (start 0)', False)], ids=["f", "start"]
)
def test_a_module_that_does_not_start_is_told(
    text: str, silent: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "f.wat"
    module.write_text(f"(module {text})")
    assert main(["image", str(module), "--board", "microbit", "-o", str(tmp_path / "f.hex")]) == 0
    assert ("nothing starts by itself" in capsys.readouterr().out) is silent
    assert main(["run", str(module)]) == (2 if silent else 0)


def test_an_image_for_a_larger_board_is_refused(
    built: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", built["stm32f405"], "--board", "microbit", "-o", str(tmp_path / "f.hex")]) == 8
    assert "bytes of RAM, microbit has" in capsys.readouterr().err
    assert not (tmp_path / "f.hex").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--board", "microbit", "-o", "FOLDER/f.txt"], 2, "does not say which format"),
        (["--board", "microbit", "-o", "FOLDER/none/f.hex"], 2, "cannot write"),
        (["--board", "microbit"], 2, "required: -o"),
        (["-o", "FOLDER/f.hex"], 2, "which board?"),
        (["FOLDER/none.wasm", "--board", "microbit", "-o", "FOLDER/f.hex"], 2, "cannot read"),
        (
            ["FOLDER/big.wat", "--board", "microbit", "--memory", "256", "-o", "FOLDER/f.hex"],
            8,
            "the slot of microbit has",
        ),
    ],
    ids=str,
)
def test_a_mistake(
    words: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "big.wat").write_text(f'(module (memory 1 1) (data "{"x" * 0x2B000}"))')
    assert main(["image", *(word.replace("FOLDER", str(tmp_path)) for word in words)]) == code
    said = capsys.readouterr().err
    assert message in said and "\n  next: " in said


@pytest.mark.parametrize("suffix", [".bin", ".hex", ".uf2"])
def test_a_flash_file_stays_what_it_was(suffix: str, built: dict[str, str], tmp_path: Path) -> None:
    """What `emulate --flash-file` reads and writes."""
    file = made(tmp_path / f"f{suffix}", "microbit", built["microbit"])
    machine = Machine(devices.board("microbit"))
    machine.load_flash_file(file)
    machine.save_flash_file(file)
    console = booted("microbit", file)
    assert SAYS in console.expect(b"[exit 0]") and console.machine.flash[:] == machine.flash[:]


def test_a_flash_file_of_another_board_is_refused(built: dict[str, str], tmp_path: Path) -> None:
    file = made(tmp_path / "f.hex", "stm32f405", built["stm32f405"])
    with pytest.raises(DoesNotFit, match="the flash of microbit has 262144 at 0x00000000"):
        Machine(devices.board("microbit")).load_flash_file(file)


@pytest.mark.parametrize("name", ["f.elf", "F.ELF", "f.srec", "f.s19"])
def test_a_flash_file_that_could_not_be_kept_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emulate", "microbit", "--flash-file", str(tmp_path / name)]) == 2
    assert "name a .bin, .hex or .uf2 file" in capsys.readouterr().err
