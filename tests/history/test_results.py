"""asv's results folder, read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from flopline.history import results
from tests.history.support.toy import FACTS, FLOPS, NAME, POINTS, SECONDS, Project, speeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def case(strategy: str, n: int) -> results.Case:
    return results.Case(NAME, (repr(strategy), str(n)))


def test_what_asv_wrote_is_read(project: Project) -> None:
    project.record(project.commits[0], speeds())
    history = results.read(project.results)
    assert history.problems == []
    (run,) = history.runs
    assert (run.commit, run.machine) == (project.commits[0], "counter")
    environment = {"python": "3.11", "environment": "existing", "env-OMP_NUM_THREADS": "1"}
    assert dict(run.series) == FACTS | environment
    assert set(run.measures) == {case(*point) for point in POINTS}
    measure = run.measures[case("steady", 128)]
    assert measure is not None
    assert measure.seconds == pytest.approx(8 * SECONDS, rel=0.05)
    assert len(measure.samples) == 8
    assert measure.interval[0] < measure.seconds < measure.interval[1]
    assert history.benchmarks[NAME].flops == {
        case(*p).point: w for p, w in zip(POINTS, FLOPS, strict=True)
    }


def test_a_failure_is_known_and_what_does_not_exist_is_absent(project: Project) -> None:
    times = speeds()
    times[0], times[1] = None, math.nan
    project.record(project.commits[0], times)
    assert (
        "NaN" in next((project.results / "counter").glob("*-existing.json")).read_text()
    )  # not strict JSON
    (run,) = results.read(project.results).runs
    assert run.measures[case("slowed", 64)] is None
    assert case("slowed", 128) not in run.measures


def test_a_benchmark_that_failed_as_a_whole_failed_in_every_case(project: Project) -> None:
    project.record(project.commits[0], [None] * len(POINTS))
    (run,) = results.read(project.results).runs
    assert set(run.measures.values()) == {None}
    assert len(run.measures) == len(POINTS)


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def cell(content: dict[str, Any], column: str, value: object) -> None:
    row = content["results"][NAME]
    row[content["result_columns"].index(column)] = value


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.update(version=1), "format version 1; this reads 2"),
        (lambda content: content.pop("commit_hash"), "'commit_hash' is missing"),
        (
            lambda content: content["result_columns"].remove("samples"),
            "columns samples are missing",
        ),
        (
            lambda content: content["params"].update(machine="other"),
            "results of the machine 'other'",
        ),
        (
            lambda content: cell(content, "result", [1.0]),
            "6 combinations of parameters, but result holds 1",
        ),
        (lambda content: cell(content, "samples", "none"), "but samples holds 'none'"),
        (
            lambda content: cell(content, "result", [1.0, 2.0, "3", 1.0, 1.0, 1.0]),
            "took '3' seconds",
        ),
        (
            lambda content: cell(content, "result", [1.0, 2.0, -3.0, 1.0, 1.0, 1.0]),
            "took -3.0 seconds",
        ),
        (
            lambda content: cell(content, "result", [1.0, 2.0, math.inf, 1.0, 1.0, 1.0]),
            "took inf seconds",
        ),
        (lambda content: content.update(results={NAME: 3}), "no results of a commit"),
    ],
)
def test_a_file_that_is_not_asvs_is_named_and_left_out(
    project: Project, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    kept = project.record(project.commits[0], speeds())
    broken = project.record(project.commits[1], speeds())
    change(broken, edit)
    history = results.read(project.results)
    assert [run.path for run in history.runs] == [kept]
    (problem,) = history.problems
    assert problem.path == broken
    assert message in str(problem)


def test_a_file_cut_off_while_it_was_written_is_named_and_left_out(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    path.write_text(path.read_text()[:-100])
    history = results.read(project.results)
    assert not history.runs
    assert "cut off" in history.problems[0].message


def test_two_machines_of_one_name_are_told_apart_by_their_hardware(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], speeds(), facts={"cpu": "Counter 2", "num_cpu": "4"})
    history = results.read(project.results)
    assert len(history.runs) == 1
    assert "two machines are named counter" in history.problems[0].message
    assert "num_cpu" in history.problems[0].message


def test_another_torch_is_another_series_of_the_same_machine(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], speeds(), facts=FACTS | {"torch": "2.14.0"})
    history = results.read(project.results)
    assert not history.problems
    assert {run.machine for run in history.runs} == {"counter"}
    assert len({run.series for run in history.runs}) == 2


def test_a_folder_without_results_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(results.ResultsError, match="nox -s history"):
        results.read(tmp_path)
