"""Tests of the page that shows the GFLOPS of the newest commit."""

from __future__ import annotations

import pytest

from flopline.history import page, results
from tests.history.support.toy import (
    COMBINATIONS,
    FACTS,
    FASTER,
    PLANTED,
    SLOWER,
    Project,
    speeds,
)

THRESHOLDS = {r"bench_toy\.": 0.05}


def sections(
    project: Project, tags: dict[str, str], length: int | None = None
) -> list[page.Section]:
    history = results.read(project.results)
    return page.sections(history, project.commits[:length], tags, THRESHOLDS)


def rows(
    project: Project, tags: dict[str, str], length: int | None = None
) -> dict[tuple[str, ...], page.CaseRow]:
    (section,) = sections(project, tags, length)
    assert len(section.rows) == len(COMBINATIONS)
    return {row.case.values: row for row in section.rows}


def test_a_row_compares_the_newest_commit_with_the_last_tag(planted: Project) -> None:
    by_values = rows(planted, {"v1": planted.commits[6]})
    expected = {
        "'slowed'": (1 / SLOWER - 1, "regressed"),
        "'quickened'": (1 / FASTER - 1, "improved"),
        "'steady'": (0, "unchanged"),
    }
    for (strategy, _), row in by_values.items():
        change, verdict = expected[strategy]
        assert row.commit == planted.commits[-1]
        assert row.since == planted.commits[6]
        assert row.change == pytest.approx(change, abs=0.03)
        assert row.verdict == verdict
        assert len(row.line) == len(planted.commits)
        drop = row.line[PLANTED] / row.line[PLANTED - 1]
        assert drop == pytest.approx(1 + change, rel=0.05)


def test_without_a_tag_the_first_commit_is_compared_with(planted: Project) -> None:
    for row in rows(planted, {}).values():
        assert row.since == planted.commits[0]


def test_a_lone_commit_is_compared_with_nothing(planted: Project) -> None:
    for row in rows(planted, {}, length=1).values():
        assert row.since is None
        assert row.change is None
        assert row.verdict == ""


def test_machines_and_environments_have_sections_of_their_own(project: Project) -> None:
    first, second, third = project.commits
    project.record(first, speeds())
    project.record(second, speeds(), facts=FACTS | {"torch": "2.14.0"})
    project.record(third, [None, *speeds()[1:]], machine="other")
    shown = []
    for section in sections(project, {}):
        torch = dict(section.conditions)["torch"]
        shown.append((section.machine, torch, section.commit))
    assert shown == [
        ("other", "2.13.0", third),
        ("counter", "2.14.0", second),
        ("counter", "2.13.0", first),
    ]


def test_a_case_that_failed_at_the_newest_commit_is_named(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], [None, *speeds()[1:]])
    (section,) = sections(project, {})
    (case,) = section.failed
    assert case.values == ("'slowed'", "64")
    html = page.render("toy", [section], {})
    assert f"Failed at {project.commits[1][:8]}" in html


def test_names_are_escaped(project: Project) -> None:
    project.record(project.commits[0], speeds(), facts=FACTS | {"cpu": "<b>"})
    html = page.render("a & b", sections(project, {}), {})
    assert "<b>" not in html
    assert "a &amp; b" in html


def test_the_page_names_the_newest_of_several_tags_of_a_commit(planted: Project) -> None:
    tags = {"v2": planted.commits[6], "v1": planted.commits[6]}
    html = page.render("toy", sections(planted, tags), tags)
    assert "<td>v2" in html
    assert "<td>v1" not in html


def test_a_page_without_results_says_so() -> None:
    assert "There are no results of a commit on this branch" in page.render("toy", [], {})


def test_a_sparkline_starts_at_zero_and_marks_the_newest_value() -> None:
    line = page.sparkline([1.0, 2.0, 1.0])
    assert line.height == 24
    heights = [point.partition(",")[2] for point in line.points.split()]
    assert heights == ["12.0", "2.0", "12.0"]
    assert (line.newest_x, line.newest_y) == ("160.0", "12.0")
    assert page.sparkline([5.0]).newest_x == "0.0"
