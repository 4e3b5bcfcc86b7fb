"""To which feature an assertion counts."""

from __future__ import annotations

from mcutool.wast.script import read_script
from tests.spec.__main__ import table
from tests.spec.tally import NOT_RUN, REFUSED, Tally, assertion_features

SCRIPT = """
(module $old (func (export "f")))
(module (func (export "f") (return_call 0)))
(assert_return (invoke "f"))
(assert_return (invoke $old "f"))
(assert_invalid (module (func (i32.add))) "type mismatch")
(assert_unlinkable (module (import "a" "b" (memory 1)) (memory 1)) "unknown import")
(module (func (export "f") (param v128)))
(assert_trap (invoke "f") "unreachable")
(module definition $d (tag))
(module instance $i $d)
(assert_return (invoke $i "f"))
(assert_malformed (module quote "(fun)") "unexpected")
"""
FEATURES = [
    (4, "tail calls"),
    (5, "1.0"),
    (6, REFUSED),
    (7, "multiple memories"),
    (9, NOT_RUN),
    (12, "exceptions"),
    (13, REFUSED),
]


def test_the_feature_of_an_assertion_is_that_of_its_module():
    assert list(assertion_features(read_script(SCRIPT))) == FEATURES


def test_failed_and_skipped_assertions_are_told_apart():
    tally = Tally()
    skips = [{"line": 9, "reason": "not supported: SIMD (at byte offset 0x10)"}]
    tally.add(FEATURES, {"failures": [{"line": 6, "message": ""}], "skips": skips, "delegated": 1})
    assert tally.assertions == {"tail calls": 1, "1.0": 1, REFUSED: 2, "multiple memories": 1, "exceptions": 1}
    assert tally.passed == {"tail calls": 1, "1.0": 1, REFUSED: 1, "multiple memories": 1, "exceptions": 1}
    assert tally.skipped == {"SIMD": 1} and tally.delegated == 1


def test_boards_that_differ_stand_side_by_side_in_the_table():
    one, other = Tally(), Tally()
    rows = [(1, "tail calls"), (2, "tail calls")]
    one.add(rows, {"failures": [], "skips": [], "delegated": 0})
    other.add(rows, {"failures": [{"line": 2, "message": ""}], "skips": [], "delegated": 0})
    costs = dict.fromkeys(("tail_calls", "multiple_memories", "typed_references", "exceptions"), [8, 6])
    lines = list(table([one, other], costs))
    assert "| tail calls | 2 | 2 / 1 | 8 / 6 |" in lines and "| 1.0 | 0 | 0 | - |" in lines
    assert lines[-1] == "| all | 2 | 2 / 1 | |"
