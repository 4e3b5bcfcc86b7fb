"""The official test suite on the emulated mps2-an386, when WASM_TESTSUITE names a folder that has it.

`python -m tests.spec` runs it on more boards. What fails is in known_failures.txt, no more and no less.
"""

from __future__ import annotations

import pytest

from mcutool.wast.campaign import run_file
from tests.spec.suite import SUITE, count_assertions, differences, known_failures, scripts


def test_only_the_rules_of_1_0_in_the_proposal_for_threads_are_known_to_fail():
    assert {name.rpartition("/")[0] for name in known_failures()} == {"proposals/threads"}


def test_assertions_are_counted_by_their_parentheses():
    text = '(module) (assert_return (invoke "(assert_trap")) ;; (assert_trap\n(; (assert_trap) ;) (assert_invalid)'
    assert count_assertions(text) == 2


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.relative_to(SUITE).as_posix())
def test_script(path):
    assert differences(path, run_file(path, "mps2-an386")) == []
