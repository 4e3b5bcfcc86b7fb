"""`mcutool wast`: an assertion ends in one of passed, failed and skipped; the exit code says whether one failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from distributed import LocalCluster

from mcutool.cli import main
from mcutool.devices import board
from mcutool.errors import UsageError
from mcutool.wast import campaign
from mcutool.wast.campaign import run_files

GOOD = """
(module (func (export "two") (result i32) (i32.const 2)) (func (export "stop") (unreachable)))
(assert_return (invoke "two") (i32.const 2))
(assert_trap (invoke "stop") "unreachable")
(assert_malformed (module quote "(fun)") "unexpected token")
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed_custom (module quote "(@custom)") "missing section name")
(module (func (export "f") (param v128)))
(assert_return (invoke "f"))
"""
BAD = """
(module (func (export "two") (result i32) (i32.const 2)) (func (export "stop") (unreachable)))
(assert_return (invoke "two") (i32.const 3))
(assert_return (invoke "stop"))
(assert_return (invoke "absent"))
(assert_trap (invoke "two") "unreachable")
(assert_invalid (module) "type mismatch")
(assert_unlinkable (module) "unknown import")
(assert_return (invoke "two") (i32.const 2))
"""


@pytest.fixture
def scripts(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "good.wast", tmp_path / "bad.wast"]
    for path, text in zip(paths, (GOOD, BAD), strict=True):
        path.write_text(text, encoding="utf-8")
    return [str(path) for path in paths]


def test_reports_of_two_scripts_at_a_time(scripts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wast", *scripts, "--workers", "2", "--json"]) == 10
    good, bad = json.loads(capsys.readouterr().out)["files"]
    assert [good["file"], bad["file"]] == scripts
    assert (good["assertions"], good["passed"], good["delegated"], good["failed"], good["skipped"]) == (6, 5, 2, 0, 1)
    assert [skip["line"] for skip in good["skips"]] == [9] and "SIMD" in good["skips"][0]["reason"]
    assert (bad["assertions"], bad["passed"], bad["delegated"], bad["failed"], bad["skipped"]) == (7, 1, 0, 6, 0)
    assert [failure["line"] for failure in bad["failures"]] == [3, 4, 5, 6, 7, 8]
    assert bad["failures"][0]["message"] == "gave i32 0x2, expected i32 0x3"


def test_reports_from_a_cluster(scripts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["wast", *scripts, "--json"])
    expected = capsys.readouterr().out
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        assert main(["wast", *scripts, "--scheduler", cluster.scheduler_address, "--json"]) == 10
        assert capsys.readouterr().out == expected
        with pytest.raises(UsageError, match="absent.wast: line 1: there is no module"):
            absent = Path(scripts[0]).with_name("absent.wast")
            absent.write_text('(register "a" $b)', encoding="utf-8")
            list(run_files([absent], board("mps2-an386"), 1, cluster.scheduler_address))


def test_a_cluster_without_workers(scripts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        assert main(["wast", *scripts, "--scheduler", cluster.scheduler_address]) == 6
    assert "has no workers" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://"])
def test_a_scheduler_that_does_not_answer(
    address: str, scripts: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "PATIENCE", 0.2)
    assert main(["wast", *scripts, "--scheduler", address]) == 6
    assert f"no Dask scheduler answers at {address}" in capsys.readouterr().err


def test_a_scheduler_without_the_package(
    scripts: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["wast", *scripts, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "pip install 'mcutool[campaign]'" in capsys.readouterr().err


def test_a_reason_to_skip_is_printed_once(scripts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wast", scripts[0]]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{scripts[0]}: 5 of 6 passed"
    assert second.startswith("  1 skipped: not supported: SIMD")


def test_several_modules_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "line.wast"
    module = (
        '(module ${0} (func (export "f") (result i32) (i32.const {0})))(assert_return (invoke "f") (i32.const {0}))'
    )
    path.write_text(module.format(1) + module.format(2) + '(assert_return (invoke $1 "f") (i32.const 1))', "utf-8")
    assert main(["wast", str(path)]) == 0


@pytest.mark.parametrize("text", ['(register "a" $b)', "(module instance $a $b)"])
def test_a_module_that_is_not_there(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.wast"
    path.write_text(text, encoding="utf-8")
    assert main(["wast", str(path)]) == 2
    assert "line 1: there is no module '$b'" in capsys.readouterr().err


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wast", "absent.wast"]) == 2
    assert "there is no file absent.wast" in capsys.readouterr().err


def test_a_script_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "open.wast"
    path.write_text("(module", encoding="utf-8")
    assert main(["wast", str(path)]) == 2
    assert "line 1" in capsys.readouterr().err
