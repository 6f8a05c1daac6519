"""Tests of reading asv's results folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from flopline.history import record, results
from tests.history.support.toy import COMBINATIONS, FACTS, FLOPS, NAME, SECONDS, Project, speeds

if TYPE_CHECKING:
    from pathlib import Path


def case(strategy: str, n: int) -> record.AsvCase:
    return record.AsvCase(NAME, (repr(strategy), str(n)))


def test_what_asv_wrote_is_read(project: Project) -> None:
    project.record(project.commits[0], speeds())
    history = results.read(project.results)
    assert history.unreadable == []
    (run,) = history.runs
    assert (run.commit, run.machine) == (project.commits[0], "counter")
    environment = {"python": "3.11", "environment": "existing", "env-OMP_NUM_THREADS": "1"}
    assert dict(run.conditions) == FACTS | environment
    assert set(run.measurements) == {case(*point) for point in COMBINATIONS}
    measurement = run.measurements[case("steady", 128)]
    assert measurement is not None
    assert measurement.seconds == pytest.approx(8 * SECONDS, rel=0.05)
    assert len(measurement.samples) == 8
    assert measurement.interval[0] < measurement.seconds < measurement.interval[1]
    for combination, flops in zip(COMBINATIONS, FLOPS, strict=True):
        assert history.flops(case(*combination)) == flops


def test_a_failure_is_known_and_what_does_not_exist_is_absent(project: Project) -> None:
    times = speeds()
    times[0], times[1] = None, math.nan
    path = project.record(project.commits[0], times)
    assert "NaN" in path.read_text(), "this is not strict JSON"
    (run,) = results.read(project.results).runs
    assert run.measurements[case("slowed", 64)] is None
    assert case("slowed", 128) not in run.measurements


def test_a_benchmark_that_failed_as_a_whole_failed_in_every_case(project: Project) -> None:
    project.record(project.commits[0], [None] * len(COMBINATIONS))
    (run,) = results.read(project.results).runs
    assert set(run.measurements.values()) == {None}
    assert len(run.measurements) == len(COMBINATIONS)


def set_cell(content: dict[str, Any], column: str, value: object) -> None:
    row = content["results"][NAME]
    row[content["result_columns"].index(column)] = value


Edit = Callable[[dict[str, Any]], object]

DEFECTS: dict[str, tuple[Edit, str]] = {
    "version": (
        lambda content: content.update(version=1),
        "format version 1; flopline reads version 2",
    ),
    "commit": (lambda content: content.pop("commit_hash"), "'commit_hash' is missing"),
    "columns": (
        lambda content: content["result_columns"].remove("samples"),
        "columns samples are missing",
    ),
    "machine": (
        lambda content: content["params"].update(machine="other"),
        "results of the machine 'other'",
    ),
    "length": (
        lambda content: set_cell(content, "result", [1.0]),
        "6 combinations of parameters, but result holds 1",
    ),
    "no list": (
        lambda content: set_cell(content, "samples", "none"),
        "but samples holds 'none'",
    ),
    "text": (
        lambda content: set_cell(content, "result", [1.0, 2.0, "3", 1.0, 1.0, 1.0]),
        "took '3' seconds",
    ),
    "negative": (
        lambda content: set_cell(content, "result", [1.0, 2.0, -3.0, 1.0, 1.0, 1.0]),
        "took -3.0 seconds",
    ),
    "infinite": (
        lambda content: set_cell(content, "result", [1.0, 2.0, math.inf, 1.0, 1.0, 1.0]),
        "took inf seconds",
    ),
    "no row": (
        lambda content: content.update(results={NAME: 3}),
        "no results of a commit",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_file_that_is_not_asvs_is_named_and_left_out(project: Project, defect: str) -> None:
    edit, message = DEFECTS[defect]
    kept = project.record(project.commits[0], speeds())
    broken = project.record(project.commits[1], speeds())
    content = json.loads(broken.read_text())
    edit(content)
    broken.write_text(json.dumps(content))
    history = results.read(project.results)
    assert [run.path for run in history.runs] == [kept]
    (file,) = history.unreadable
    assert file.path == broken
    assert message in str(file)


def test_a_file_cut_off_while_it_was_written_is_named_and_left_out(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    path.write_text(path.read_text()[:-100])
    history = results.read(project.results)
    assert not history.runs
    assert "cut off" in history.unreadable[0].reason


def test_two_machines_of_one_name_are_told_apart_by_their_hardware(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], speeds(), facts={"cpu": "Counter 2", "num_cpu": "4"})
    history = results.read(project.results)
    assert len(history.runs) == 1
    assert "two machines are named counter" in history.unreadable[0].reason
    assert "num_cpu" in history.unreadable[0].reason


def test_another_torch_is_another_series_of_the_same_machine(project: Project) -> None:
    project.record(project.commits[0], speeds())
    project.record(project.commits[1], speeds(), facts=FACTS | {"torch": "2.14.0"})
    history = results.read(project.results)
    assert not history.unreadable
    assert {run.machine for run in history.runs} == {"counter"}
    assert len({run.conditions for run in history.runs}) == 2


def test_a_folder_without_results_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(record.ResultsError, match="nox -s history"):
        results.read(tmp_path)


def test_a_history_of_one_machine_holds_only_its_files(project: Project) -> None:
    first = project.record(project.commits[0], speeds(), machine="one")
    project.record(project.commits[0], speeds(), machine="two")
    broken = project.record(project.commits[1], speeds(), machine="one")
    broken.write_text("{")
    history = results.read(project.results).of_machine("one")
    assert [run.path for run in history.runs] == [first]
    assert [file.path for file in history.unreadable] == [broken]


def test_an_unknown_machine_is_refused_with_the_known_names(project: Project) -> None:
    project.record(project.commits[0], speeds(), machine="one")
    broken = project.record(project.commits[0], speeds(), machine="two")
    broken.write_text("{")
    with pytest.raises(record.ResultsError, match=r"'three'; there are: one, two"):
        results.read(project.results).of_machine("three")


def test_what_measures_no_time_is_left_out_by_its_kind_or_name(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    content = json.loads(path.read_text())
    row = content["results"][NAME]
    others = ("bench_toy.Toy.track_zero", "bench_toy.peakmem_list", "bench_toy.Renamed.mem_x")
    for name in others:
        content["results"][name] = [[0.0] * len(COMBINATIONS), *row[1:2]]
    path.write_text(json.dumps(content))
    listing = project.results / "benchmarks.json"
    benchmarks = json.loads(listing.read_text())
    tracked = {**benchmarks[NAME], "name": others[0], "type": "track", "unit": "unit"}
    listing.write_text(json.dumps({**benchmarks, others[0]: tracked}))
    history = results.read(project.results)
    assert history.unreadable == []
    assert history.not_times == [others[0]]
    assert {case.benchmark for case in history.runs[0].measurements} == {NAME}


def test_lists_with_more_combinations_than_memory_are_named(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    content = json.loads(path.read_text())
    set_cell(content, "params", [["1"] * 1000] * 9)
    set_cell(content, "result", None)
    path.write_text(json.dumps(content))
    (file,) = results.read(project.results).unreadable
    assert "more than a million combinations" in file.reason
