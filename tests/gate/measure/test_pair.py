from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import (
    Collected,
    SuiteError,
    list_benchmarks,
    pair,
    shared_environment,
)
from tests.gate.support.make_sides import LIGHT, make_side
from tests.gate.support.processes import SUITES, gone, living

if TYPE_CHECKING:
    from flopline.gate.sides.environment import Side

pytestmark = pytest.mark.usefixtures("marker")
BEFORE = "test_faults.py::test_before"
ROOT = Path(__file__).parents[3]


def copied_sides(folder: Path) -> list[Side]:
    """Two copies of the suite of faults, none of which happens."""
    baseline = shutil.copytree(SUITES / "faults", folder / "base")
    candidate = shutil.copytree(SUITES / "faults", folder / "cand")
    return [make_side("baseline", baseline), make_side("candidate", candidate)]


@pytest.fixture
def sides(tmp_path: Path) -> list[Side]:
    return copied_sides(tmp_path)


def with_python(side: Side, folder: Path, *lines: str) -> Side:
    """The same side with a shell script as its Python."""
    program = folder / "python"
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    return make_side(side.name, side.tree, python=str(program))


def collected(sides: list[Side], *arguments: str) -> list[Collected]:
    """Collects, and ends the workers at once instead of waiting for the end of their sessions."""
    with pair(sides, [*LIGHT, *arguments], hash_seed=1, padding=0) as (_, results):
        return results


# What a pair collects


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Collected]:
    """What was collected of two suites that differ in three ways."""
    baseline, candidate = copied_sides(tmp_path_factory.mktemp("differing"))
    (baseline.tree / "test_broken.py").write_text("import nothing_of_this_name\n")
    more = "def test_more(benchmark):\n    benchmark(int)\ndef test_no(): pass\n"
    (candidate.tree / "test_more.py").write_text(more)
    file = candidate.tree / "test_faults.py"
    first_line = "def test_before(benchmark):"
    file.write_text(file.read_text().replace(first_line, f"{first_line}\n    pass"))
    return list_benchmarks([baseline, candidate], LIGHT)


def test_each_side_reports_its_interpreter(results: list[Collected]) -> None:
    for side in results:
        assert side.python == platform.python_version()
        assert "pytest-benchmark" in side.packages
        assert isinstance(side.randomised, bool)


def test_each_side_reports_its_benchmarks_and_no_other_tests(results: list[Collected]) -> None:
    baseline, candidate = results
    assert baseline.items[BEFORE].file == "test_faults.py"
    assert list(candidate.items) == [*baseline.items, "test_more.py::test_more"]


def test_a_file_that_cannot_be_collected_is_reported_and_the_others_kept(
    results: list[Collected],
) -> None:
    baseline, candidate = results
    assert candidate.errors == []
    (error,) = baseline.errors
    assert error.file == "test_broken.py"
    assert "No module named 'nothing_of_this_name'" in error.text


def test_only_a_changed_benchmark_has_another_digest(results: list[Collected]) -> None:
    baseline, candidate = (side.items for side in results)
    assert {name for name in baseline if baseline[name] != candidate[name]} == {BEFORE}


def test_a_suite_without_benchmarks_has_no_items(sides: list[Side]) -> None:
    for side in sides:
        (side.tree / "test_faults.py").write_text("def test_something_else(): pass\n")
    for result in collected(sides):
        assert (result.items, result.errors) == ({}, [])


def test_arguments_choose_among_the_benchmarks(sides: list[Side]) -> None:
    for result in collected(sides, "-k", "before"):
        assert list(result.items) == [BEFORE]


# What cannot be compared


def test_arguments_with_which_pytest_runs_no_test_are_refused(sides: list[Side]) -> None:
    with pytest.raises(SuiteError, match="shows something and runs no test; leave out --help"):
        collected(sides, "--version")


def test_an_error_that_pytest_does_not_catch_is_told_by_its_text(sides: list[Side]) -> None:
    (sides[1].tree / "conftest.py").write_text("def pytest_configure(config, nonsense): pass\n")
    text = r"(?s)candidate: .*exit code 3.*PluginValidationError: .*nonsense"
    with pytest.raises(WorkerError, match=text):
        collected(sides)


def test_arguments_that_pytest_refuses_are_an_error_with_its_own_words(sides: list[Side]) -> None:
    (sides[0].tree / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    with pytest.raises(WorkerError, match=r"(?s)baseline: .*exit code 4.*--no-such-option"):
        collected(sides)


def test_an_error_says_that_options_of_the_environment_are_not_passed_on(
    sides: list[Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p of_the_suite")
    with pytest.raises(WorkerError, match="PYTEST_ADDOPTS is not passed on; give the options"):
        collected(sides, "--of-the-suite")


@pytest.mark.parametrize("slot", [0, 1])
def test_a_python_that_does_not_exist_is_an_error(sides: list[Side], slot: int) -> None:
    name = sides[slot].name
    sides[slot] = make_side(name, sides[slot].tree, python="/nowhere/python")
    with pytest.raises(WorkerError, match=f"{name}: /nowhere/python could not be started"):
        collected(sides)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_python_without_pytest_is_an_error_that_names_the_side(
    tmp_path: Path, sides: list[Side], slot: int
) -> None:
    sides[slot] = with_python(sides[slot], tmp_path, f'exec {sys.executable} -S "$@"')
    with pytest.raises(WorkerError, match=rf"(?s){sides[slot].name}: .*No module named 'pytest'"):
        collected(sides)


def test_a_python_that_ends_at_once_is_an_error_with_its_output(
    tmp_path: Path, sides: list[Side]
) -> None:
    sides[1] = with_python(sides[1], tmp_path, "echo cannot go on", "exit 9")
    text = "candidate: the worker crashed: exit code 9; cannot go on"
    with pytest.raises(WorkerError, match=text):
        collected(sides)


def test_an_unknown_pytest_benchmark_is_refused_by_its_parameters(
    tmp_path: Path, sides: list[Side]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from pytest_benchmark.fixture import BenchmarkFixture\n"
        "BenchmarkFixture._raw = lambda self, function, how_often: None\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    sides[1] = make_side("candidate", sides[1].tree, environment)
    refusal = r"(?s)candidate: .*not supported.*\('self', 'function', 'how_often'\)"
    with pytest.raises(WorkerError, match=refusal):
        collected(sides)


# The environment of a pair


def test_both_workers_have_one_environment_except_for_slot_and_folder(
    sides: list[Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/coordinator")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    with pair(sides, LIGHT, hash_seed=7, padding=11) as (handles, _):
        first, second = (environment(handle.process.pid) for handle in handles)
    assert (first.pop("FLOPLINE_SLOT"), second.pop("FLOPLINE_SLOT")) == ("0", "1")
    folders = first.pop("TMPDIR"), second.pop("TMPDIR")
    assert folders[0] != folders[1]
    assert len(folders[0]) == len(folders[1])
    assert first == second
    assert first["PYTHONHASHSEED"] == "7"
    assert first["FLOPLINE_PADDING"] == 11 * "x"
    assert not {"PYTHONPATH", "PYTEST_ADDOPTS"} & set(first)


def environment(process: int) -> dict[str, str]:
    variables = {}
    for variable in Path(f"/proc/{process}/environ").read_bytes().decode().split("\0"):
        name, is_set, value = variable.partition("=")
        if is_set:
            variables[name] = value
    return variables


def test_the_padding_alone_decides_the_size_of_the_environment() -> None:
    small, large = shared_environment(5, 0), shared_environment(5, 100)
    assert {name for name in small if small[name] != large[name]} == {"FLOPLINE_PADDING"}
    assert len(large["FLOPLINE_PADDING"]) == 100


# The end of a pair


def test_an_interruption_ends_the_workers_and_removes_their_folder(
    tmp_path: Path, sides: list[Side], marker: str
) -> None:
    def interrupted() -> None:
        with pair(sides, LIGHT, hash_seed=1, padding=0):
            assert len(living(marker)) == 2
            assert len(list((tmp_path / "temporary").glob("flopline-*"))) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(marker)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("doing", "processes"), [("wait", 2), ("take turns", 2), ("fork", 3)])
def test_workers_end_when_their_coordinator_is_killed(
    tmp_path: Path, sides: list[Side], doing: str, processes: int
) -> None:
    trees = [str(side.tree) for side in sides]
    (tmp_path / "orphaned").mkdir()
    marker = f"orphan-{uuid.uuid4()}"
    environment = os.environ | {"ORPHAN": marker, "TMPDIR": str(tmp_path / "orphaned")}
    program = [sys.executable, "-m", "tests.gate.measure.support.coordinator"]
    with subprocess.Popen(
        [*program, doing, *trees], cwd=ROOT, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout
        assert process.stdout.readline().decode().strip() == doing
        alive = living(marker) - {process.pid}
        process.kill()
    assert len(alive) == processes  # with the parent of forked workers
    assert gone(marker)
