"""Tests of the search for lasting slowdowns on a branch."""

from __future__ import annotations

import pytest

from flopline.history import results, steps
from tests.history.support.toy import NAME, PLANTED, SLOWER, Project, speeds

THRESHOLDS = {r"bench_toy\.": 0.05}


def searched(project: Project, branch: list[str] | None = None) -> steps.RegressionReport:
    history = results.read(project.results)
    if branch is None:
        branch = project.commits
    return steps.regressions(history, branch, THRESHOLDS)


def test_a_lasting_slowdown_is_found_where_it_came(planted: Project) -> None:
    report = searched(planted)
    assert report.exit_code == 1
    # The speed-up of `quickened` is not listed.
    cases = {str(step.case) for step in report.steps}
    assert cases == {f"{NAME}('slowed', 64)", f"{NAME}('slowed', 128)"}
    for step in report.steps:
        assert step.last_fast == planted.commits[PLANTED - 1]
        assert step.first_slow == planted.commits[PLANTED]
        assert step.ratio == pytest.approx(SLOWER, rel=0.05)
    assert len(report.searched) == len(planted.commits)


def test_a_slowdown_that_was_taken_back_is_not_listed(planted: Project) -> None:
    commits = planted.commits
    branch = [*commits[:5], *commits[PLANTED:], *commits[5:PLANTED]]
    report = searched(planted, branch)
    strategies = {step.case.values[0] for step in report.steps}
    assert "'slowed'" not in strategies


def test_commits_beside_the_branch_are_named_and_not_searched(planted: Project) -> None:
    report = searched(planted, planted.commits[:PLANTED])
    assert not report.steps
    assert report.exit_code == 0
    assert report.elsewhere == sorted(planted.commits[PLANTED:])


def test_an_unreadable_newest_commit_is_not_called_free_of_regressions(project: Project) -> None:
    paths = [project.record(commit, speeds()) for commit in project.commits]
    assert searched(project).exit_code == 0
    paths[1].write_text("{")
    assert searched(project).exit_code == 0
    paths[2].write_text("{")
    assert searched(project).exit_code == 2


def test_nothing_searched_is_not_called_free_of_regressions(project: Project) -> None:
    report = searched(project)
    assert (report.searched, report.exit_code) == ([], 2)


def test_a_row_of_the_table_names_the_commits_and_both_speeds(planted: Project) -> None:
    sheet = searched(planted).sheet()
    _case, machine, after, at, _before, _now, change = sheet.rows[0]
    assert machine == "counter"
    assert after == planted.commits[PLANTED - 1][:8]
    assert at == planted.commits[PLANTED][:8]
    assert change.startswith("+")
