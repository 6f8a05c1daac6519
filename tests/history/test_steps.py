"""Tests of the search for lasting slowdowns on a branch."""

from __future__ import annotations

import pytest

from flopline.history import results, steps
from tests.history.support.toy import NAME, PLANTED, SLOWER, Project, speeds

THRESHOLDS = {r"bench_toy\.": 0.05}


def searched(project: Project, branch: list[str] | None = None) -> steps.RegressionReport:
    history = results.read(project.results)
    return steps.regressions(history, branch or project.commits, THRESHOLDS)


def test_a_lasting_slowdown_is_found_where_it_came(planted: Project) -> None:
    report = searched(planted)
    # The speed-up of `quickened` is not listed.
    assert {str(step.case) for step in report.steps} == {
        f"{NAME}('slowed', {n})" for n in (64, 128)
    }
    for step in report.steps:
        assert (step.after, step.at) == (planted.commits[PLANTED - 1], planted.commits[PLANTED])
        assert step.ratio == pytest.approx(SLOWER, rel=0.05)
    assert report.exit_code == 1
    assert len(report.searched) == len(planted.commits)


def test_a_slowdown_that_was_taken_back_is_not_listed(planted: Project) -> None:
    commits = planted.commits
    branch = [*commits[:5], *commits[PLANTED:], *commits[5:PLANTED]]
    assert not [
        step for step in searched(planted, branch).steps if step.case.values[0] == "'slowed'"
    ]


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
    step = searched(planted).steps[0]
    cells = dict(zip((head.name for head in steps.HEADS), step.cells(), strict=True))
    assert cells["after"] == planted.commits[PLANTED - 1][:8]
    assert cells["at"] == planted.commits[PLANTED][:8]
    assert cells["machine"] == "counter"
    assert cells["time"].startswith("+")
