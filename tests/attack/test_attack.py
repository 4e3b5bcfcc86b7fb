"""A little of every campaign; that roads notice escapes; and each rule by an image that breaks it alone."""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.encoding import STUB_CODE, encode
from mcutool.errors import ImageRefused
from mcutool.image import verify as twin
from mcutool.image.faults import FAULTS
from mcutool.image.format import NONE, Image, parse
from mcutool.image.verify import Verdict, verify
from mcutool.isa import BY_NAME, FEATURES, TRAPS
from tests.attack import __main__ as command
from tests.attack import campaign, corpus, roads
from tests.attack.campaign import sources
from tests.attack.roads import Board, Escape, Pc
from tests.firmware.machines import Emulated
from tests.once import once

ARENA = 8192
BOARDS = ("mps2-an386", "mps2-an385", "mps2-m0", "stm32f405")
ROADS = ("pc", *BOARDS)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "attack", roads.build_offering) / "offer"


@pytest.fixture(scope="session", autouse=True)
def valid_images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Translated once in a run."""
    folder = once(tmp_path_factory, "attack-corpus", keep_images)
    corpus.images = lambda: [path.read_bytes() for path in sorted(folder.iterdir())]


def keep_images(folder: Path) -> None:
    for number, image in enumerate(corpus.images()):
        (folder / f"{number:03}.mcu").write_bytes(image)


@cache
def emulated(name: str) -> Board:
    """One for all tests that do not change the firmware: an image leaves nothing behind."""
    return Board(name)


@pytest.fixture(scope="module")
def pc(program: Path) -> Pc:
    return Pc(program)


@pytest.mark.parametrize("kind", ["damaged", "forged"])
def test_no_image_escapes_on_the_pc(pc: Pc, kind: str) -> None:
    tally = campaign.run(islice(sources(1)[kind], 600), pc)
    assert tally.findings == [] and tally.taken > 60 and len(tally.refused) > 12


@pytest.mark.parametrize("kind", ["damaged", "forged"])
@pytest.mark.parametrize("board", BOARDS)
def test_no_image_escapes_on_a_board(board: str, kind: str) -> None:
    tally = campaign.run(islice(sources(2)[kind], 60), emulated(board))
    assert tally.findings == [] and tally.taken > 4


def test_a_campaign_goes_on_where_it_was_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def part(name: str, seed: int, size: int) -> dict[str, campaign.Tally]:
        begun.append((seed, size))
        return {kind: campaign.run(islice(sources(seed)[kind], size), emulated(name)) for kind in campaign.KINDS}

    monkeypatch.setattr(command, "KEPT", tmp_path)
    monkeypatch.setattr(command, "PART", 4)
    monkeypatch.setattr(campaign, "part", part)
    for count, seconds in ((4, "99"), (10, "0"), (10, "99")):
        monkeypatch.setattr("sys.argv", ["attack", "--count", str(count), "--seconds", seconds])
        assert command.main() == 0
    assert begun == [(0, 4), (1, 4), (2, 2)]
    assert "10 images of each kind are left" in capsys.readouterr().out


STRAYS = {
    "a store into flash": (0x61, 0x0010_0000),
    "a store to a peripheral": (0x61, 0x4000_4000),
    "a load from one": (0x68, 0x4000_4000),
    "a store to the interrupt controller": (0x61, 0xE000_E100),
    "a store to other RAM": (0x61, 0x2010_0000),
    "a load from other RAM": (0x68, 0x2010_0000),
    "a store to nothing": (0x61, 0xA000_0000),
    "an exception": (0xDE, 0),
}
"""What a call may not do -> upper half of the instruction, which stores r1 at r0, loads it or is undefined; r0."""


@pytest.mark.parametrize("what", STRAYS)
def test_a_board_notices(what: str) -> None:
    upper, address = STRAYS[what]
    board = emulated("mps2-an386")
    board.place("stray", bytes([0x01, upper]) + bytes.fromhex("7047"))  # bx lr
    with pytest.raises(Escape):
        board.call("stray", 10, address)


def test_a_board_lets_the_rest_pass() -> None:
    board = emulated("mps2-an386")
    board.place("usual", bytes.fromhex("01617047"))
    assert board.call("usual", 10, 0x2100_0000) == 0x2100_0000  # in the arena


def test_what_the_compiler_makes_is_taken(pc: Pc) -> None:
    for image in corpus.images():
        assert pc.offer(image, 1 << 16).verdict == Verdict() == verify(image)


def test_without_the_verifier_images_escape_on_the_pc(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So the road would notice."""
    monkeypatch.setattr(campaign, "FOUND", tmp_path)
    tally = campaign.run(islice(sources(3)["forged"], 150), Pc(program, "none"), lambda text: None)
    assert sum("escaped" in what for _, what in tally.findings) > 2


def test_without_the_verifier_images_escape_on_a_board() -> None:
    board, escapes = Board("mps2-an386"), []
    board.trust()
    for image in islice(sources(3)["forged"], 150):
        try:
            board.offer(image, ARENA)
        except Escape as escape:
            escapes.append(str(escape))
    assert len(escapes) > 2


EXAMPLES = ("life", "mandelbrot", "sha256")
CORES = ("mps2-an386", "mps2-an385", "mps2-m0")
MOST = 60
"""Machine instructions for each halfword of code."""


@pytest.mark.parametrize("board", CORES)
def test_verifying_is_quick(board: str) -> None:
    place = emulated(board)
    images = [corpus.example(name) for name in EXAMPLES]
    halfwords = sum(len(parse(image).code) for image in images)
    assert sum(place.verifying(image).instructions for image in images) <= MOST * halfwords


# rule by rule


def op(name: str, *table: int, **operands: int) -> list[int]:
    return encode(BY_NAME[name], table, **operands)


RETURN = op("return")
FRAME = 12


def bundle(*bodies: list[int], **changes: object) -> Image:
    """Functions of module 0, each with a frame of 12 slots, the last one of module 1; and one of everything."""
    image = Image(code=list(STUB_CODE), stack_slots=64, global_slots=3, features=sum(FEATURES.values()))
    image.signatures = [
        dict(parameter_slots=0, result_slots=0, text=">"),
        dict(parameter_slots=2, result_slots=1, text=""),
    ]
    image.imports = [dict(host=0, signature=1, module_name="wasi_snapshot_preview1", name="args_get")]
    for number, body in enumerate([*bodies, RETURN]):
        image.functions.append(dict(code=len(image.code), signature=0, module=int(number == len(bodies))))
        image.code += [FRAME, *body]
    image.functions.append(dict(code=0, signature=1, module=NONE))
    image.modules = [dict(memory=0, instantiate=0, start=NONE, flags=0)]
    image.modules += [dict(memory=NONE, instantiate=0, start=NONE, flags=0)]
    image.memories = [dict(minimum=1, maximum=1, page_log2=16, window_low=0, window_size=64, capacity=64, flags=0)]
    image.tables = [dict(minimum=2, maximum=2, capacity=2)]
    image.datas, image.elements = [b"text"], [[1]]
    image.tags, image.exceptions, image.exception_slots = [dict(slots=2, reserved=0)], 2, 2
    for name, value in changes.items():
        setattr(image, name, value)
    return image


BAD_CODE = {
    "an opcode that is free": ("ILLEGAL", [0x00F0, *RETURN]),
    "one of the escape page": ("ILLEGAL", [0xF0FF, *RETURN]),
    "reserved bits in the first halfword": ("ILLEGAL", [RETURN[0] | 0x100]),
    "reserved bits in a later one": ("ILLEGAL", [*op("copy", d=0, a=1)[:1], 0x0101, *RETURN]),
    "a stub": ("ILLEGAL", [*op("leave_cross")]),
    "another": ("ILLEGAL", [*op("leave_tail")]),
    "a function without instructions": ("RUNS_OUT", []),
    "one that goes on behind its end": ("RUNS_OUT", [*op("copy", d=0, a=1)]),
    "a call as the last instruction": ("RUNS_OUT", [*op("call", k=4, f=0)]),
    "an instruction that is cut off": ("CUT", [*op("copy", d=0, a=1)[:1]]),
    "a jump table that is cut off": ("CUT", [*op("br_table", 0, 0, a=0, n=1)[:3]]),
    "a jump table of 65536 entries": ("CUT", [op("br_table", 0, a=0, n=0)[0], 0xFFFF, 0, *RETURN]),
    "a jump table without its count": ("CUT", [op("br_table", 0, a=0, n=0)[0]]),
    "a slot as large as the frame": ("SLOT", [*op("copy", d=0, a=FRAME), *RETURN]),
    "a pair whose second slot is": ("SLOT", [*op("copy64", d=FRAME - 1, a=0), *RETURN]),
    "a far slot": ("SLOT", [*op("slot.load", d=0, z=FRAME), *RETURN]),
    "a short slot": ("SLOT", [*op("const.short", d=FRAME, u=0), *RETURN]),
    "the other short slot": ("SLOT", [*op("copy.short", d=0, a=FRAME), *RETURN]),
    "a slot that a throw reads": ("SLOT", [*op("throw_ref", k=FRAME)]),
    "a branch into the middle": ("BRANCH", [*op("i32.const", d=0, i=1), *op("br", j=-1)]),
    "a branch to the frame's size": ("BRANCH", [*op("br", j=-1)]),
    "a branch to the end": ("BRANCH", [*op("br", j=1)]),
    "a branch to another function": ("BRANCH", [*op("br_if", a=0, j=4), *RETURN]),
    "a branch beyond all code": ("BRANCH", [*op("br.far", j=0x7FFFFFFF)]),
    "a branch before all code": ("BRANCH", [*op("br.far", j=-0x80000000)]),
    "an entry of a jump table": ("BRANCH", [*op("br_table", 0, 1, a=0, n=1)]),
    "a call's frame above the frame": ("CALL", [*op("call", k=FRAME + 1, f=0), *RETURN]),
    "a far call's": ("CALL", [*op("call.wide", k=0xFFFF, f=0), *RETURN]),
    "a call over this frame's link": ("CALL", [*op("call", k=1, f=0), *RETURN]),
    "a call across over it": ("CALL", [*op("call_cross", k=4, f=0), *RETURN]),
    "an indirect call over it": ("CALL", [*op("call_indirect", k=4, a=0, s=0, t=0), *RETURN]),
    "a call by reference over it": ("CALL", [*op("call_ref", k=4, a=0), *RETURN]),
    "a tail call over it": ("CALL", [*op("tail_call_ref", k=4, a=0)]),
    "a host function's arguments": ("CALL", [*op("call_host", k=FRAME - 1, h=0), *RETURN]),
    "values of an exception": ("CALL", [*op("throw", k=FRAME - 1, v=0)]),
    "a function that is not there": ("INDEX", [*op("call", k=4, f=3), *RETURN]),
    "a function of another module": ("INDEX", [*op("call", k=4, f=1), *RETURN]),
    "a tail call of another module": ("INDEX", [*op("tail_call", f=1)]),
    "a host function as one of ours": ("INDEX", [*op("call", k=4, f=2), *RETURN]),
    "a host function across": ("INDEX", [*op("call_cross", k=5, f=2), *RETURN]),
    "an import that is not there": ("INDEX", [*op("call_host", k=4, h=1), *RETURN]),
    "a global": ("INDEX", [*op("global.get", d=0, g=3), *RETURN]),
    "a global of two slots": ("INDEX", [*op("global.set64", a=0, g=2), *RETURN]),
    "a table": ("INDEX", [*op("table.size", d=0, t=1), *RETURN]),
    "the second table": ("INDEX", [*op("table.copy", a=0, b=0, c=0, t=0, y=1), *RETURN]),
    "a memory": ("INDEX", [*op("memory.use", m=1), *RETURN]),
    "a data segment": ("INDEX", [*op("data.drop", x=1), *RETURN]),
    "an element segment": ("INDEX", [*op("elem.drop", x=1), *RETURN]),
    "a function type": ("INDEX", [*op("call_indirect", k=5, a=0, s=2, t=0), *RETURN]),
    "a tag": ("INDEX", [*op("throw", k=0, v=1)]),
    "a trap that is none": ("INDEX", [*op("trap", u=0)]),
    "a trap without a name": ("INDEX", [*op("trap", u=len(TRAPS))]),
}
"""What is wrong -> the fault, and the code of function 0."""


@pytest.mark.parametrize("what", BAD_CODE)
def test_code_that_breaks_a_rule(pc: Pc, what: str) -> None:
    fault, body = BAD_CODE[what]
    image = bundle(body).build()
    verdict = verify(image)
    assert verdict.fault == fault and verdict.place is not None
    assert pc.offer(image, ARENA).verdict == verdict


GOOD_CODE = [
    op("copy", d=FRAME - 1, a=0) + RETURN,
    op("copy64", d=FRAME - 2, a=0) + RETURN,
    op("br_unless.short", a=0, j=0) + RETURN,
    op("br_table", 5, 0, 6, a=0, n=2) + op("br", j=-5) + RETURN,
    op("call", k=FRAME, f=0) + RETURN,
    op("call", k=2, f=0) + RETURN,
    op("call_cross", k=5, f=1) + RETURN,
    op("call_host", k=FRAME - 2, h=0) + RETURN,
    op("throw", k=FRAME - 2, v=0),
    op("tail_call_ref", k=0xFFFF, a=0),
    op("global.get64", d=0, g=1) + RETURN,
    op("trap", u=19),
]


@pytest.mark.parametrize("number", range(len(GOOD_CODE)))
def test_code_at_the_edge_of_the_rules(pc: Pc, number: int) -> None:
    image = bundle(GOOD_CODE[number]).build()
    assert pc.offer(image, ARENA).verdict == Verdict() == verify(image)


def moved(number: int, code: int) -> Image:
    image = bundle(RETURN)
    image.functions[number]["code"] = code
    return image


def with_handler(**changes: int) -> Image:
    body = op("call", k=4, f=0) + op("i32.const", d=0, i=1) + RETURN
    image = bundle(body)
    row = dict(site=6, target=8, tag=0, base=4, flags=0, reserved=0)
    image.handlers = [row | changes]
    return image


BAD_IMAGES = {
    "functions that overlap": ("RUNS_OUT", moved(1, 4)),
    "functions in another order": ("EXTENT", moved(1, 3)),
    "a gap before the first": ("EXTENT", moved(0, 4)),
    "a function among the stubs": ("EXTENT", moved(0, 2)),
    "a stub that is none": ("CODE", bundle(RETURN, code=[*RETURN, *bundle(RETURN).code[1:]])),
    "a part that is not announced": ("UNANNOUNCED", bundle(op("throw_ref", k=0), features=1)),
    "memory.size without a memory": ("INDEX", bundle(op("memory.size", d=0) + RETURN, modules=[
        dict(memory=NONE, instantiate=0, start=NONE, flags=0)] * 2)),
    "parameters beyond the frame": ("SLOT", bundle(RETURN, signatures=[
        dict(parameter_slots=FRAME + 1, result_slots=0, text=""), dict(parameter_slots=2, result_slots=1, text="")])),
    "results beyond the frame": ("SLOT", bundle(RETURN, signatures=[
        dict(parameter_slots=0, result_slots=FRAME + 1, text=""), dict(parameter_slots=2, result_slots=1, text="")])),
    "a handler that leads into the middle": ("CATCH", with_handler(target=7)),
    "a handler that leads to another function": ("CATCH", with_handler(target=10)),
    "a handler for the stubs": ("CATCH", with_handler(site=0)),
    "a handler for what is no code": ("CATCH", with_handler(site=60)),
    "a handler whose values are above the frame": ("CATCH", with_handler(base=FRAME - 1)),
    "a handler whose reference is": ("CATCH", with_handler(base=FRAME - 2, flags=1)),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_IMAGES)
def test_an_image_that_breaks_a_rule(pc: Pc, what: str) -> None:
    fault, image = BAD_IMAGES[what]
    assert verify(image.build()).fault == fault
    assert pc.offer(image.build(), ARENA).verdict == verify(image.build())


def test_a_handler_at_the_edge_of_the_rules(pc: Pc) -> None:
    for image in (with_handler(), with_handler(base=FRAME - 2), with_handler(base=FRAME - 3, flags=1)):
        assert pc.offer(image.build(), ARENA).verdict == Verdict()


def test_a_host_function_by_reference_has_no_more_room_than_the_stack(pc: Pc) -> None:
    """A call by reference knows no signature: the room is compared when it is made."""
    body = op("i32.const", d=0, i=3) + op("call_ref", k=FRAME, a=0) + RETURN
    image = bundle(body, stack_slots=21)
    image.code[3] = 16
    image.code[3 + 1 : 3 + 1 + len(body)] = op("i32.const", d=0, i=3) + op("call_ref", k=16, a=0) + RETURN
    answer = pc.offer(image.build(), ARENA)
    assert answer.verdict == Verdict() and answer.ends[0] == 11  # call stack exhausted


def test_every_fault_has_an_image(pc: Pc) -> None:
    """So none is left that nothing shows."""
    seen = {fault for fault, _ in [*BAD_CODE.values(), *BAD_IMAGES.values()]}
    about_code = set(list(FAULTS)[list(FAULTS).index("CODE") : list(FAULTS).index("RAM")])
    assert seen == about_code


# functions longer than the window


@pytest.fixture
def narrow(program: Path, monkeypatch: pytest.MonkeyPatch) -> Pc:
    """A road whose verifier sees one group of halfwords at a time; its twin too."""
    monkeypatch.setattr(twin, "WINDOW", twin.GROUP)
    return Pc(program, "narrow")


@pytest.mark.parametrize("kind", ["damaged", "forged"])
def test_a_narrow_window_takes_the_same_images(narrow: Pc, kind: str) -> None:
    images = list(islice(sources(4)[kind], 150))
    seen = [narrow.offer(image, ARENA).verdict for image in images]
    assert seen == [verify(image, narrow.surroundings(ARENA)) for image in images]
    twin.WINDOW = 1 << 32
    assert [bool(one.fault) for one in seen] == [bool(verify(i, narrow.surroundings(ARENA)).fault) for i in images]


def long_function(*leads: tuple[int, int], handler: int = 0) -> bytes:
    """A function of more than two windows, in which instructions begin at odd halfwords; far branches lead from some of
    these to some halfwords, and a handler to one."""
    body = op("i32.const", d=0, i=1) * (twin.WINDOW + 50)
    body[0:2] = op("call", k=4, f=0)
    for at, to in leads:
        body[at - 1 : at + 3] = op("br.far", j=to - at) + op("copy.short", d=0, a=1)
    image = bundle(body + RETURN)
    if handler:
        begin = len(STUB_CODE)
        image.handlers = [dict(site=begin + 3, target=begin + handler, tag=0, base=4, flags=0, reserved=0)]
    return image.build()


EDGE, THIRD = twin.WINDOW, 2 * twin.WINDOW + 21
LEADS = {
    "into another window and back": [(11, THIRD), (THIRD + 8, 21)],
    "around an edge": [(5, EDGE + 1), (EDGE - 9, EDGE - 1), (EDGE - 5, EDGE + 1), (EDGE + 5, EDGE - 1)],
    "far and near": [(2 * EDGE - 9, 2 * EDGE + 1), (THIRD, 3), (THIRD + 4, THIRD + 8), (THIRD + 8, THIRD + 4)],
}


@pytest.mark.parametrize("what", LEADS)
def test_branches_from_window_to_window(pc: Pc, what: str) -> None:
    """And each of them one halfword further on, where no instruction begins."""
    good, small_board = long_function(*LEADS[what]), emulated("mps2-m0")
    assert pc.offer(good, ARENA).verdict == small_board.offer(good, ARENA).verdict == Verdict() == verify(good)
    for number, (at, to) in enumerate(LEADS[what]):
        bad = long_function(*LEADS[what][:number], (at, to + 1), *LEADS[what][number + 1 :])
        assert verify(bad).fault == "BRANCH"
        assert pc.offer(bad, ARENA).verdict == small_board.offer(bad, ARENA).verdict == verify(bad)


@pytest.mark.parametrize("target, fault", [(EDGE - 1, ""), (EDGE, "CATCH"), (THIRD, ""), (THIRD + 1, "CATCH")])
def test_a_handler_in_another_window(pc: Pc, target: int, fault: str) -> None:
    image = long_function(handler=target)
    assert verify(image).fault == fault and pc.offer(image, ARENA).verdict == verify(image)


@pytest.mark.parametrize("board", CORES)
def test_the_verifier_needs_512_bytes(board: str) -> None:
    place = emulated(board)
    images = [corpus.example("life"), long_function((11, THIRD))]
    assert max(place.verifying(image).arena for image in images) <= 512


def test_a_board_says_what_is_wrong_and_where() -> None:
    board = devices.board("mps2-m0")
    place = Emulated(board, board.firmware, None)
    place.expect(b"bytes for modules\r\n")
    with pytest.raises(ImageRefused, match="invalid code: a slot outside the frame: halfword 4"):
        place.client.upload(bundle(op("copy", d=0, a=FRAME) + RETURN).build())
