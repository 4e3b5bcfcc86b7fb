"""Dispatches are counted exactly, and pairs only where one instruction could do both."""

from __future__ import annotations

from mcutool.devices import board
from mcutool.pipeline import build_image
from mcutool.wasm.text import assemble
from tests.bench import dispatches, pairs

LOOP = assemble("""(module (func (export "run") (param $n i32) (result i32) (local $sum i32)
    (loop $again
        (local.set $sum (i32.mul (i32.xor (local.get $sum) (local.get $n)) (i32.const 77777)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))""")


def _counted(argument: int) -> tuple[int, list[dispatches.Place]]:
    return dispatches.count(build_image(LOOP, board("mps2-an386")).image, argument)


def test_a_loop_is_counted() -> None:
    checksum, places = _counted(10)
    expected = 0
    for n in range(10, 0, -1):
        expected = (expected ^ n) * 77777 & 0xFFFFFFFF
    assert checksum == expected
    executed = {place.decoded.row.name: place.executed for place in places}
    assert executed["i32.xor"] == executed["i32.mul"] == executed["i32.add_br_nz"] == 10
    assert executed["return"] == 1
    assert [place.decoded.row.name for place in places if place.is_target][1:] == ["i32.xor"]


def test_a_pair_does_not_cross_a_target() -> None:
    shares = pairs.shares(_counted(10)[1], 2)
    total = sum(place.executed for place in _counted(10)[1])
    assert shares.executed["i32.xor", "i32.mul"] == shares.linked["i32.xor", "i32.mul"] == 10 / total
    assert all(names[1] != "i32.xor" and names[0] != "i32.add_br_nz" for names in shares.executed)


def test_shares_of_single_instructions_sum_to_one() -> None:
    shares = pairs.shares(_counted(3)[1], 1)
    assert abs(sum(shares.executed.values()) - 1) < 1e-9 and abs(sum(shares.bytes.values()) - 1) < 1e-9
