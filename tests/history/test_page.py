"""The page of the newest GFLOPS."""

from __future__ import annotations

import re

import pytest

from flopline.history import page as summary
from flopline.history import results
from tests.history.support import toy
from tests.history.support.toy import FACTS, PLANTED, Project, speeds

THRESHOLDS = {r"bench_toy\.": 0.05}


def rows(
    project: Project, tags: dict[str, str], length: int | None = None
) -> dict[tuple[str, str], summary.Row]:
    found = summary.sections(
        results.read(project.results), project.commits[:length], tags, THRESHOLDS
    )
    return {
        (row.case.point[0].strip("'"), row.case.point[1]): row
        for section in found
        for row in section.rows
    }


def test_a_row_compares_the_newest_commit_with_the_last_tag(planted: Project) -> None:
    found = rows(planted, {"v1": planted.commits[6]})
    assert len(found) == len(toy.POINTS)
    slower, faster = 1 / 1.4 - 1, 1 / 0.7 - 1
    expected = {
        "slowed": (slower, "regressed"),
        "quickened": (faster, "improved"),
        "steady": (0, "unchanged"),
    }
    for (strategy, _), row in found.items():
        assert (row.commit, row.since) == (planted.commits[-1], planted.commits[6])
        expected = {
            "slowed": (1 / 1.4 - 1, "regressed"),
            "quickened": (1 / 0.7 - 1, "improved"),
            "steady": (0, "unchanged"),
        }
        assert row.change == pytest.approx(expected[strategy][0], abs=0.03)
        assert row.verdict == expected[strategy][1]
        assert len(row.line) == len(planted.commits)
        drop = row.line[PLANTED] / row.line[PLANTED - 1]
        assert drop == pytest.approx(1 + expected[strategy][0], rel=0.05)


def test_without_a_tag_the_first_commit_is_what_it_is_compared_with(planted: Project) -> None:
    assert {row.since for row in rows(planted, {}).values()} == {planted.commits[0]}
    assert {row.since for row in rows(planted, {}, 1).values()} == {None}
    assert {row.verdict for row in rows(planted, {}, 1).values()} == {""}


def test_machines_and_environments_have_sections_of_their_own(project: Project) -> None:
    first, second, third = project.commits
    project.record(first, speeds())
    project.record(second, speeds(), facts=FACTS | {"torch": "2.14.0"})
    project.record(third, [None, *speeds()[1:]], machine="other")
    found = summary.sections(results.read(project.results), project.commits, {}, THRESHOLDS)
    assert [(section.machine, section.facts["torch"], section.commit) for section in found] == [
        ("other", "2.13.0", third),
        ("counter", "2.14.0", second),
        ("counter", "2.13.0", first),
    ]


def test_a_case_that_failed_at_the_newest_commit_is_named(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], [None, *speeds()[1:]])
    (section,) = summary.sections(results.read(project.results), project.commits, {}, THRESHOLDS)
    assert [case.point for case in section.failed] == [("'slowed'", "64")]
    assert f"Failed at {project.commits[1][:8]}" in summary.page("toy", [section], {})


def test_names_are_escaped(project: Project) -> None:
    project.record(project.commits[0], speeds(), facts=FACTS | {"cpu": "<b>"})
    found = summary.sections(results.read(project.results), project.commits, {}, THRESHOLDS)
    page = summary.page("a & b", found, {})
    assert "<b>" not in page
    assert "a &amp; b" in page


def test_a_sparkline_starts_at_zero_and_marks_the_newest_value() -> None:
    points = re.findall(r"[\d.]+,([\d.]+)", summary.sparkline([1.0, 2.0, 1.0], height=24))
    assert [float(y) for y in points] == [12.0, 2.0, 12.0]
    assert 'cx="0.0"' in summary.sparkline([5.0])
