"""Dispatches are counted exactly, and pairs only where one instruction could do both."""

from __future__ import annotations

from mcutool import run
from mcutool.devices import board
from mcutool.emulator.firmware import read_firmware
from mcutool.emulator.session import EmulatedSession
from mcutool.isa import BY_NAME
from mcutool.pipeline import build_image
from mcutool.wasm.text import assemble
from tests.bench import dispatches, pairs

LOOP = assemble("""(module (func (export "run") (param $n i32) (result i32) (local $sum i64)
    (loop $again
        (local.set $sum (i64.div_u (i64.rotl (local.get $sum) (local.get $sum)) (i64.const 7777777777)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.wrap_i64 (local.get $sum))))""")


def _counted(argument: int) -> tuple[int, list[dispatches.Place]]:
    return dispatches.count(build_image(LOOP, board("mps2-an386")).image, argument)


def test_a_loop_is_counted() -> None:
    checksum, places = _counted(10)
    assert checksum == 0
    executed = {place.decoded.row.name: place.executed for place in places}
    assert executed["i64.rotl"] == executed["i64.div_u"] == executed["i32.add_br_nz"] == 10
    assert executed["return"] == 1
    assert [p.decoded.row.name for p in places if p.is_target and p.executed == 10] == ["i64.rotl"]


def test_each_dispatch_enters_a_handler() -> None:
    session = EmulatedSession(board("mps2-an386"), lambda text: None, measure=True)
    task = run.Task(invoke="run", arguments=("10",))
    assert run.run(session, build_image(LOOP, board("mps2-an386")), board("mps2-an386"), task, None).exit_code == 0
    assert session.profile is not None
    symbols = read_firmware(board("mps2-an386").firmware).symbols.values()
    handlers = {symbol.address for symbol in symbols if symbol.name.startswith("op_")}
    entered = sum(site.executed for address, site in session.profile._counter.sites() if address in handlers)
    assert entered == sum(place.executed for place in _counted(10)[1]) + 1  # the stub that ends the call


def test_a_pair_does_not_cross_a_target() -> None:
    places = _counted(10)[1]
    shares = pairs.shares(places, 2)
    total = sum(place.executed for place in places)
    assert shares.executed["i64.rotl", "i64.div_u"] == shares.linked["i64.rotl", "i64.div_u"] == 10 / total
    assert all(names[0] != "i32.add_br_nz" for names in shares.executed)


def test_what_writes_a_slot_that_the_next_one_reads() -> None:
    names = ("i32.add.short", "i32.load", "i32.add", "i32.add_br_nz")
    rows = {name: pairs._reads_result(BY_NAME[name]) for name in names}
    assert rows == {"i32.add.short": True, "i32.load": False, "i32.add": False, "i32.add_br_nz": True}


def test_shares_of_single_instructions_sum_to_one() -> None:
    shares = pairs.shares(_counted(3)[1], 1)
    assert abs(sum(shares.executed.values()) - 1) < 1e-9 and abs(sum(shares.bytes.values()) - 1) < 1e-9
