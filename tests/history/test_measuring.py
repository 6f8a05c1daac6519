"""Tests of what is to be measured, and how."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import cases
from flopline.history import configuration, measuring
from tests.history.support import toy
from tests.history.support.toy import FACTS, Project, speeds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.history.support.package import Package

NAMES = [f"toy/strategy={strategy}/n={n}" for strategy, n in toy.COMBINATIONS]


def plan(project: Project, *, existing: bool = True, torch: str = "2.13.0") -> measuring.Measuring:
    return measuring.Measuring(
        root=project.root,
        repository=project.root,
        results=project.results,
        cases=NAMES,
        scale="quick",
        device="cpu",
        dtype="float32",
        rounds=4,
        repeat=2,
        facts={"machine": "counter", **FACTS, "torch": torch},
        existing=existing,
    )


def test_what_a_commit_lacks_is_counted_in_rounds(project: Project) -> None:
    commit = project.commits[0]
    assert measuring.missing_rounds(plan(project), commit) == 4
    project.record(commit, speeds(), samples=4)  # as after an interruption
    assert measuring.missing_rounds(plan(project), commit) == 2
    project.record(commit, speeds())
    assert measuring.missing_rounds(plan(project), commit) == 0
    assert measuring.missing_rounds(plan(project, existing=False), commit) == 4
    assert measuring.missing_rounds(plan(project, torch="2.14.0"), commit) == 4


def test_what_failed_counts_as_measured(project: Project) -> None:
    project.record(project.commits[0], [None, *speeds()[1:]])
    assert measuring.missing_rounds(plan(project), project.commits[0]) == 0
    project.record(project.commits[0], [None] * len(NAMES))
    assert measuring.missing_rounds(plan(project), project.commits[0]) == 0


def test_a_file_that_asv_cannot_read_is_moved_out_of_its_way(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    path.write_text("{")
    measuring.set_aside_unreadable(plan(project), project.commits[0])
    assert measuring.missing_rounds(plan(project), project.commits[0]) == 4
    assert not path.exists()
    assert path.with_suffix(".json.unreadable").read_text() == "{"


def test_the_pattern_selects_exactly_the_cases() -> None:
    pattern = re.compile(measuring.pattern(cases.GATE))
    for name in {*cases.QUICK, *cases.FULL, *cases.GATE}:
        family, strategy, *sizes = name.split("/")
        values = [repr(strategy.partition("=")[2])]
        values += [size.partition("=")[2] for size in sizes]
        benchmark = f"bench_{family}.Any.sampled_any({', '.join(values)})"
        assert bool(pattern.search(benchmark)) == (name in cases.GATE)


def test_the_suite_is_told_how_to_measure_by_variables(project: Project) -> None:
    given = plan(project)
    real = replace(given, facts={**given.facts, "threads": "1", "data": "airfoil"})
    assert real.variables() == {
        "FLOPLINE_SCALE": "quick",
        "FLOPLINE_DEVICE": "cpu",
        "FLOPLINE_DTYPE": "float32",
        "OMP_NUM_THREADS": "1",
    }


def test_no_process_downloads_the_data_if_a_surrogate_is_in_use(project: Project) -> None:
    given = plan(project)
    surrogate = replace(given, facts={**given.facts, "threads": "1", "data": "surrogate"})
    assert surrogate.variables()["FLOPLINE_DATA"] == "surrogate"


def prepared(root: Path, *, existing: bool = False) -> measuring.Measuring:
    return measuring.prepare(
        configuration.load(root),
        machine=None,
        scale="gate",
        device="cpu",
        dtype="float32",
        existing=existing,
    )


def test_the_checkouts_own_list_of_cases_is_measured(package: Package) -> None:
    chosen = prepared(package.root)
    assert (chosen.rounds, chosen.repeat, chosen.existing) == (2, 4, False)
    assert chosen.cases == ["toy/strategy=counted/n=50", "toy/strategy=counted/n=100"]
    assert chosen.facts["data"] == "surrogate"
    assert prepared(package.root, existing=True).existing


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("nosuch", "float32", "allowed are cpu, cuda and cuda:N"),
        ("", "float32", "allowed are cpu, cuda and cuda:N"),
        ("cuda:", "float32", "allowed are cpu, cuda and cuda:N"),
        ("cuda:-1", "float32", "allowed are cpu, cuda and cuda:N"),
        ("cpu", "tf32", "exists on CUDA devices only"),
        ("cuda:9999", "tf32", "CUDA device"),
    ],
)
def test_what_this_machine_cannot_measure_is_refused(device: str, dtype: str, message: str) -> None:
    with pytest.raises(measuring.DeviceError, match=message):
        measuring.check_device(device, dtype)


SUITES = {
    "raise SystemExit(0)": "does not define CASES, ROUNDS, REPEAT, so this suite is not flopline's",
    "CASES = {}; ROUNDS, REPEAT = 1, 1": "no list of cases for the scale quick: KeyError",
    "CASES = ROUNDS = REPEAT = 3": "TypeError",
    "CASES = {'quick': ['a']}; ROUNDS = REPEAT = 1": "'a' is not a case",
    "CASES = ROUNDS = REPEAT = 1; raise SystemExit(0)": "SystemExit",
    "def": "cannot be read: invalid syntax",
}


@pytest.mark.parametrize("source", SUITES)
def test_a_list_of_cases_of_somebody_else_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "cases.py").write_text(source)
    with pytest.raises(measuring.NoCasesError, match=SUITES[source]):
        measuring.read_suite(tmp_path, "quick")


def test_a_checkout_without_a_list_of_cases_is_refused(project: Project) -> None:
    with pytest.raises(measuring.NoCasesError, match=r"there is no .*cases\.py"):
        prepared(project.root)
