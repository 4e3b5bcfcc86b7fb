"""Flashing on lines and boards that fail in one way each: it succeeds all the same, or says why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcutool.emulator.bare import BareChip
from mcutool.errors import Disconnected, Error, NoAnswer, Protected, VerificationFailed, WriteFailed, WrongChip
from mcutool.flash import engine
from mcutool.flash.protocols.an3155 import BLOCK, BUSY, COMMANDS, NACK
from tests.flash.figures import ending, times
from tests.flash.line import Line, Noise, Wiring
from tests.flash.loopback import rom
from tests.flash.subjects import SUBJECTS, Subject, image

ROM = SUBJECTS["stm32f405"]
KIB = 1024
every_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=str)


def line(subject: Subject, chip: BareChip, **traits: Any) -> Line:
    return Line(subject.model(chip), locks=subject.locks, **traits)


def changes(chip: BareChip) -> list[tuple[str, int]]:
    """A list that grows by each change of flash: what kind, and where."""
    seen: list[tuple[str, int]] = []

    def note(kind: str, offset: int, data: bytes) -> bytes:
        seen.append((kind, offset))
        return data

    chip.flash.before_change = note
    return seen


# --- time ---------------------------------------------------------------------------------------------------------


@every_subject
def test_no_time_is_wasted(subject: Subject) -> None:
    for what, taken in times(subject, 32 * KIB).items():
        assert taken.ratio < 1.05, (what, taken)


@every_subject
def test_what_is_there_already_is_only_looked_at(subject: Subject) -> None:
    wanted, compared = image(64 * KIB)[: subject.room], []
    chip = subject.chip(wanted)
    seen = changes(chip)
    port = line(subject, chip)

    def note(progress: Any) -> None:
        if progress.stage == "compare":
            compared.append(port.now())

    outcome = subject.install(port, wanted, on_progress=note)
    assert seen == [] and outcome.sectors == 0
    assert port.now() - (compared[-1] - compared[0]) < 1


@every_subject
def test_a_changed_byte_costs_one_sector(subject: Subject) -> None:
    before, place = image(), 17_000
    wanted = before[:place] + bytes((before[place] ^ 1,)) + before[place + 1 :]
    chip = subject.chip(before)
    seen = changes(chip)
    outcome = subject.install(line(subject, chip), wanted)
    assert outcome.sectors == 1 and subject.contents(chip, len(wanted)) == wanted
    sectors = subject.board.chip.flash.sector_spans()
    (sector,) = (sector for sector in sectors if sector.offset <= subject.start + place < sector.end)
    assert [offset for kind, offset in seen if kind == "erase"] == [sector.offset]
    assert all(sector.offset <= offset < sector.end for _, offset in seen)


# --- the line -----------------------------------------------------------------------------------------------------


@every_subject
@pytest.mark.parametrize("noise", [1e-4, 1e-3])
def test_flipped_bits_cost_time(subject: Subject, noise: float) -> None:
    """Some of the hundred installations that `make flashing` makes.

    SAM-BA's monitor stops for good when a digit of an address is flipped, which nothing but a reset mends.
    """
    ends = [ending(subject, noise, "flip", seed) for seed in range(20)]
    may_stop = len(ends) // 20 if subject.protocol == "sam-ba" and noise > 1e-4 else 0
    assert ends.count("installed") >= len(ends) - may_stop, ends


@every_subject
@pytest.mark.parametrize("kind", ["drop", "double", "delay"])
def test_spoilt_bytes_cost_time(subject: Subject, kind: str) -> None:
    """Lost or doubled bytes may stop SAM-BA's monitor (protocols/SAM_BA.md says how often), which is told."""
    ends = [ending(subject, 1e-4, kind, seed) for seed in range(6)]
    assert ends.count("installed") >= len(ends) - (subject.protocol == "sam-ba"), ends
    assert "says so, and is wrong" not in ends


@every_subject
def test_a_cable_that_is_pulled_anywhere(subject: Subject) -> None:
    wanted = image(5_000)
    whole = line(subject, subject.chip(image(5_000, seed=2)))
    subject.install(whole, wanted)
    for place in range(1, whole.transported, 250):
        chip = subject.chip(image(5_000, seed=2))
        port = line(subject, chip, cuts=[place])
        outcome = subject.install(port, wanted)
        assert subject.contents(chip, len(wanted)) == wanted, place
        assert outcome.reconnects == 1, place


def test_a_cable_that_is_pulled_again_and_again() -> None:
    with pytest.raises(Disconnected, match="lost"):
        ROM.install(line(ROM, ROM.chip(), cuts=range(1, 10**6, 1_000)), image())


@every_subject
def test_babble(subject: Subject) -> None:
    chip = subject.chip()
    chip_line = line(subject, chip, chatter=b"hello\r\n")
    with pytest.raises(NoAnswer):
        subject.install(chip_line, image())
    assert chip.flash.operations == 0 and chip_line.now() < 60


# --- rates --------------------------------------------------------------------------------------------------------


def wired(chip: BareChip, **traits: Any) -> Line:
    assert ROM.board.control_lines
    return line(ROM, chip, baud_is_fixed=False, wiring=Wiring(ROM.board.control_lines), **traits)


@pytest.mark.parametrize(("fastest", "rate"), [(10**6, 460_800), (300_000, 230_400), (120_000, 115_200)])
def test_the_rate_is_raised_as_far_as_the_adapter_keeps_up(fastest: float, rate: int) -> None:
    chip, rates = ROM.chip(), set()
    port = wired(chip, fastest=fastest)
    outcome = ROM.install(port, image(), on_progress=lambda progress: rates.add(port.baud))
    assert ROM.contents(chip, len(image())) == image()
    assert rates == {rate} and outcome.retries == 0
    assert port.baud == 115_200  # for the program, which has been started


def test_a_board_is_reset_into_its_bootloader_and_left_by_its_lines() -> None:
    chip = ROM.chip()
    port = wired(chip)
    port.is_running = True
    ROM.install(port, image())
    assert ROM.contents(chip, len(image())) == image()
    port.set_dtr(True)
    port.set_dtr(False)
    assert port.is_running  # the choice is left where the program is started


@pytest.mark.parametrize("seed", range(4))
def test_the_rate_is_lowered_when_too_much_has_to_be_repeated(seed: int) -> None:
    chip, rates = ROM.chip(), []
    port = wired(chip, fastest=100_000, garbage=Noise(0.002, seed))
    ROM.install(port, image(), on_progress=lambda progress: rates.append(port.baud))
    assert ROM.contents(chip, len(image())) == image()
    assert rates[0] > rates[-1] == 57_600


def test_a_board_whose_lines_are_not_wired_keeps_its_rate() -> None:
    chip, rates = ROM.chip(), set()
    port = line(ROM, chip, baud_is_fixed=False)
    outcome = ROM.install(port, image(), on_progress=lambda progress: rates.add(port.baud))
    assert ROM.contents(chip, len(image())) == image()
    assert rates == {115_200} and outcome.retries == 0


@pytest.mark.parametrize("seed", range(4))
def test_much_noise_does_not_change_the_rate_of_a_board_whose_lines_are_not_wired(seed: int) -> None:
    """The ROM would keep its own."""
    chip, rates = ROM.chip(), set()
    port = line(ROM, chip, baud_is_fixed=False, noise=Noise(1.5e-3, seed))
    ROM.install(port, image(), on_progress=lambda progress: rates.add(port.baud))
    assert ROM.contents(chip, len(image())) == image() and rates == {115_200}


def test_the_program_is_talked_to_at_its_own_rate() -> None:
    """The rate that the user has fixed was for the ROM."""
    port = line(ROM, ROM.chip(), baud=57_600, baud_is_fixed=True)
    ROM.install(port, image(4 * KIB))
    assert port.baud == ROM.board.chip.uart.default_baud


# --- the board ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "found", "error"),
    [("stm32f405", "bluepill", WrongChip), ("bluepill", "stm32f405", WrongChip),
     ("stm32f405", "arduino-zero", NoAnswer), ("arduino-zero", "stm32f405", NoAnswer)],
)  # fmt: skip
def test_another_board(driver: str, found: str, error: type[Error]) -> None:
    ours, theirs = SUBJECTS[driver], SUBJECTS[found]
    chip = theirs.chip(image(seed=2))
    with pytest.raises(error):
        ours.install(line(theirs, chip), image())
    assert chip.flash.operations == 0


def test_another_chip_of_the_family() -> None:
    subject = SUBJECTS["arduino-zero"]
    chip = subject.chip()
    device = subject.model(chip)
    device.device_id ^= 0x20
    with pytest.raises(WrongChip, match="device id"):
        subject.install(Line(device), image())
    assert chip.flash.operations == 0


@pytest.mark.parametrize(
    ("protection", "error", "code", "named"),
    [({"readout_protected": True}, Protected, 11, "readout-protected"),
     ({"write_protected": {1}}, WriteFailed, 9, "sector 1 at 0x08004000")],
)  # fmt: skip
def test_protection_is_named_and_removed(protection: dict, error: type[Error], code: int, named: str) -> None:
    chip = ROM.chip(image(seed=2))
    device = ROM.model(chip)
    for name, value in protection.items():
        setattr(device, name, value)
    with pytest.raises(error, match=named) as refusal:
        ROM.install(Line(device), image())
    assert refusal.value.exit_code == code and "--unprotect" in refusal.value.next_action
    engine.unprotect(ROM.driver, Line(device), ROM.order(image()))
    ROM.install(Line(device), image())
    assert ROM.contents(chip, len(image())) == image()


def test_a_protected_chip_with_the_crc_command_is_named_too() -> None:
    device = rom(commands=tuple(COMMANDS), readout_protected=True)
    with pytest.raises(Protected, match="readout-protected"):
        ROM.install(Line(device), image())


def test_a_chip_that_keeps_its_protection_says_so() -> None:
    device = rom(readout_protected=True)

    def refuse() -> Iterator[None]:
        device._say(NACK)
        yield from ()

    device._handlers[COMMANDS["readout unprotect"]] = "readout unprotect", refuse
    with pytest.raises(Protected, match="keeps its protection"):
        engine.unprotect(ROM.driver, Line(device), ROM.order(image()))


@pytest.mark.parametrize("lost", [1, 2])
def test_a_protection_is_removed_though_an_answer_gets_lost(lost: int) -> None:
    """The command's, with that after the work; or the latter alone."""
    device = rom(readout_protected=True)

    def reset() -> None:
        if lost == 1:
            device._output.clear()
        device.reset = True

    device._reset_after = reset
    port = Line(device)
    engine.unprotect(ROM.driver, port, ROM.order(image()))
    assert not device.readout_protected and port.resets == 2


def test_a_sector_that_refuses_to_be_written_is_named_soon() -> None:
    """Old ROMs report no error when a protected sector is erased."""
    chip = ROM.chip(image(64 * KIB, seed=2))
    device = ROM.model(chip)
    erase_pages = device._erase_pages

    def erase(pages: list[int], sound: bool) -> None:
        device.write_protected.clear()
        erase_pages([page for page in pages if page != 1], sound)
        device.write_protected.add(1)

    device._erase_pages = erase
    port = Line(device)
    with pytest.raises(WriteFailed, match="writing sector 1 at 0x08004000") as failure:
        ROM.install(port, image(64 * KIB))
    assert "--unprotect" in failure.value.next_action and port.now() < 60


def test_flash_that_refuses_what_noise_has_put_there_is_repaired() -> None:
    """An STM32F1 programs only what is blank."""
    subject, place = SUBJECTS["bluepill"], 5 * KIB
    chip = subject.chip()
    device, stray = subject.model(chip), [bytes(BLOCK)]
    program = device._program_flash

    def careful(first: int, data: bytes) -> bool:
        if first == place and stray:
            program(first, stray.pop())
        return not chip.flash[first : first + len(data)].strip(b"\xff") and program(first, data)

    device._program_flash = careful
    subject.install(Line(device), image())
    assert subject.contents(chip, len(image())) == image() and not stray


def test_a_lost_byte_of_a_list_of_pages_is_not_waited_for_long() -> None:
    """Longer than their erasing can take, and no more: 57 pages of 20 ms."""
    subject = SUBJECTS["bluepill"]
    device = subject.model(subject.chip(image(57 * KIB, seed=2)))
    wanted, lost = image(57 * KIB), []

    class Deaf(Moody):
        def feed(self, data: bytes) -> bytes:
            if len(data) == 59 and not lost:
                lost.append(data[10])
                data = data[:10] + data[11:]
            return super().feed(data)

    port, clean = Line(Deaf(device, bytes)), line(subject, subject.chip(image(57 * KIB, seed=2)))
    subject.install(port, wanted)
    subject.install(clean, wanted)
    assert lost and port.now() < clean.now() + 10


@every_subject
@pytest.mark.parametrize("stuck", [0x00, 0xFF])
def test_worn_flash_is_named(subject: Subject, stuck: int) -> None:
    """A cell that reads the same whatever is done to it."""
    chip, place = subject.chip(), subject.start + 3 * KIB + 5
    wanted = bytearray(image())
    wanted[3 * KIB + 5] = ~stuck & 0xFF

    def wear(kind: str, offset: int, data: bytes) -> bytes:
        if not offset <= place < offset + len(data):
            return data
        return data[: place - offset] + bytes((stuck,)) + data[place - offset + 1 :]

    chip.flash.before_change = wear
    with pytest.raises((VerificationFailed, WriteFailed)) as failure:
        subject.install(line(subject, chip), bytes(wanted))
    sector = next(sector for sector in subject.board.chip.flash.sector_spans() if sector.end > place)
    assert f"{subject.board.chip.flash.base + sector.offset:#010x}" in failure.value.message
    assert "worn" in failure.value.next_action


class Moody:
    """A model that says something else, so many times in a row, before an answer."""

    def __init__(self, device: Any, wrong: Callable[[bytes], bytes]) -> None:
        self._device, self._wrong = device, wrong

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def feed(self, data: bytes) -> bytes:
        return self._wrong(self._device.feed(data))


def test_a_board_that_is_busy_for_long() -> None:
    chip = ROM.chip()
    device = ROM.model(chip)
    working = Moody(device, lambda answer: bytes((BUSY,)) * 50 + answer if device.busy else answer)
    outcome = ROM.install(Line(working), image())
    assert ROM.contents(chip, len(image())) == image() and outcome.retries == 0


def test_a_board_that_refuses_now_and_then() -> None:
    chip, count = ROM.chip(), iter(range(10**6))
    device = Moody(ROM.model(chip), lambda answer: bytes((NACK,)) if answer and next(count) % 19 == 18 else answer)
    outcome = ROM.install(Line(device), image())
    assert ROM.contents(chip, len(image())) == image() and outcome.retries > 10


def test_a_board_that_refuses_for_ever() -> None:
    device = Moody(ROM.model(ROM.chip()), lambda answer: answer and bytes((NACK,)))
    with pytest.raises(Error) as failure:
        ROM.install(Line(device), image())
    assert failure.value.next_action


def test_a_loader_that_cannot_remove_protection_says_so() -> None:
    subject = SUBJECTS["arduino-zero"]
    with pytest.raises(Error, match="cannot remove a protection"):
        engine.unprotect(subject.driver, line(subject, subject.chip()), subject.order(image()))


def test_the_bootloader_itself_is_not_written() -> None:
    subject = SUBJECTS["arduino-zero"]
    order = subject.order(image())
    low = dataclasses.replace(order.plan.sectors[0], address=subject.board.chip.flash.base)
    broken = dataclasses.replace(order, plan=dataclasses.replace(order.plan, sectors=(low,)))
    chip = subject.chip()
    with pytest.raises(Protected, match="belongs to the bootloader"):
        engine.install(subject.driver, line(subject, chip), broken)
    assert chip.flash.operations == 0
