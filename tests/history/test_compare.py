"""Tests of the comparison of two commits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from flopline.history import compare, results
from tests.history.support.toy import COMBINATIONS, NAME, PLANTED, Project, speeds

THRESHOLDS = {r"bench_toy\.": 0.05}


def compared(project: Project, baseline: int = 0, candidate: int = 1) -> compare.CommitReport:
    return compare.compare_commits(
        results.read(project.results),
        compare.Commit("before", project.commits[baseline]),
        compare.Commit("after", project.commits[candidate]),
        THRESHOLDS,
    )


def test_a_slowdown_and_a_speed_up_have_different_verdicts(planted: Project) -> None:
    expected = {
        "'slowed'": "regressed",
        "'quickened'": "improved",
        "'steady'": "unchanged",
    }
    report = compared(planted, PLANTED - 1, PLANTED)
    assert len(report.changes) == len(COMBINATIONS)
    for change in report.changes:
        strategy, _ = change.case.values
        assert change.case.benchmark == NAME
        assert change.verdict == expected[strategy]


def machines(report: compare.CommitReport) -> set[str]:
    return {change.machine for change in report.changes}


def test_machines_are_compared_each_with_itself(project: Project) -> None:
    first, second, third = project.commits
    project.record(first, speeds())
    project.record(second, speeds(slowed=2))
    project.record(first, speeds(), machine="other")
    project.record(third, speeds(slowed=2), machine="other")
    assert machines(compared(project, 0, 1)) == {"counter"}
    assert machines(compared(project, 0, 2)) == {"other"}
    report = compared(project, 1, 2)
    assert not report.changes
    assert "never on one machine" in report.nothing_compared


def test_a_commit_without_results_is_named_with_what_to_do(project: Project) -> None:
    project.record(project.commits[0], speeds())
    report = compared(project, 0, 2)
    assert report.exit_code == 2
    assert f"no results of after ({project.commits[2][:8]})" in report.nothing_compared
    assert "nox -s history -- after" in report.nothing_compared


def test_gflops_come_from_the_flops_of_the_combination(planted: Project) -> None:
    changes = {change.case.values: change for change in compared(planted).changes}
    change = changes["'steady'", "128"]
    assert change.baseline is not None
    assert change.baseline_gflops == pytest.approx(2 * 128**3 / change.baseline.seconds / 1e9)
    assert replace(change, flops=None).baseline_gflops is None
    assert replace(change, candidate=None).candidate_gflops is None


def test_exit_codes_distinguish_regression_loss_and_nothing(project: Project) -> None:
    first, second, _ = project.commits
    project.record(first, speeds())
    project.record(second, speeds())
    assert compared(project).exit_code == 0
    project.record(second, speeds(quickened=0.5))
    assert compared(project).exit_code == 0
    project.record(second, speeds(slowed=2))
    assert compared(project).exit_code == 1
    project.record(second, [None, *speeds()[1:]])
    assert compared(project).exit_code == 2
    project.record(second, [math.nan, *speeds()[1:]])  # this version does not have the case
    assert compared(project).exit_code == 0
    assert compared(project, 0, 2).exit_code == 2
    project.record(second, [3 * (seconds or 0) for seconds in speeds()], spread=3.0)
    assert compared(project).exit_code == 3


def test_an_unreadable_file_counts_only_for_its_own_commit(project: Project) -> None:
    paths = [project.record(commit, speeds()) for commit in project.commits]
    paths[2].write_text(paths[2].read_text()[:-50])
    report = compared(project, 0, 1)
    assert report.exit_code == 0
    assert not report.unreadable
    report = compared(project, 0, 2)
    assert report.exit_code == 2
    assert [file.path for file in report.unreadable] == [paths[2]]


def test_a_benchmark_of_another_version_is_not_compared(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], speeds(slowed=2), version="2")
    changes = compared(project).changes
    assert len(changes) == len(COMBINATIONS)
    for change in changes:
        assert change.verdict == "not comparable"
        assert change.reason == "the benchmark changed from version 1 to 2"


def test_what_needs_attention_comes_first(project: Project) -> None:
    project.record(project.commits[0], [*speeds()[:5], None])
    project.record(project.commits[1], speeds(slowed=2, quickened=0.5))
    (sheet,) = compared(project).sheets()
    assert sheet.title == "counter"
    verdicts = [row[-1] for row in sheet.rows]
    assert [verdict for verdict, _ in itertools.groupby(verdicts)] == [
        "regressed",
        "not comparable failed at the baseline",
        "improved",
        "unchanged",
    ]


def test_a_row_of_the_table_holds_seconds_gflops_and_the_change(project: Project) -> None:
    project.record(project.commits[0], speeds(), spread=0)
    project.record(project.commits[1], speeds(slowed=2), spread=0)
    (sheet,) = compared(project).sheets()
    assert sheet.rows[0] == (
        f"{NAME}('slowed', 64)",
        "100 us",
        "200 us",
        "5.24 to 2.62",
        "+100.0 %",
        "regressed",
    )
