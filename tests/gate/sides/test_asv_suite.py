"""Where an asv suite is, and what is refused as one."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

import pytest

from flopline.gate.sides.asv_suite import (
    AsvSuite,
    AsvSuiteError,
    asked_for,
    check_patterns,
    find,
    needed,
    with_suite,
)
from flopline.gate.sides.place import Place
from tests.gate.support.make_sides import make_side
from tests.gate.support.processes import SUITES
from tests.support.checkouts import write


def place(project: Path, standing: str = "") -> Place:
    """Returns the place of a user in a project, which has a folder `bench_suite`."""
    (project / "bench_suite").mkdir(exist_ok=True)
    (project / standing).mkdir(parents=True, exist_ok=True)
    return Place(project / standing, None, project)


@pytest.mark.parametrize(
    "file", ["asv.conf.json", "asv_bench/asv.conf.json", "bench/asv.conf.jsonc"]
)
@pytest.mark.parametrize("standing", ["", "src/pkg"])
def test_the_configuration_is_found_where_it_lies_as_a_rule(
    tmp_path: Path, file: str, standing: str
) -> None:
    folder = "." if "/" not in file else ".."
    write(tmp_path, {file: f'{{"benchmark_dir": "{folder}/bench_suite"}}'})
    expected = AsvSuite(PurePosixPath("bench_suite"), file)
    assert find(place(tmp_path, standing), asked=False) == expected


def test_comments_and_last_commas_are_allowed_as_in_asv(tmp_path: Path) -> None:
    shutil.copy(SUITES / "asv" / "asv.conf.json", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    found = find(place(tmp_path), asked=True)
    assert found is not None
    assert found.folder == PurePosixPath("benchmarks")


def test_without_a_name_the_folder_is_called_benchmarks(tmp_path: Path) -> None:
    write(tmp_path, {"benchmarks/asv.conf.json": "{}", "benchmarks/benchmarks/__init__.py": ""})
    found = find(place(tmp_path), asked=True)
    assert found is not None
    assert found.folder == PurePosixPath("benchmarks/benchmarks")


def test_a_named_folder_is_one_of_benchmarks_or_of_a_configuration(tmp_path: Path) -> None:
    write(tmp_path, {"ci/asv.conf.json": '{"benchmark_dir": "../bench_suite"}'})
    here = place(tmp_path, "src")
    assert asked_for(here, "../bench_suite") == AsvSuite(PurePosixPath("bench_suite"))
    for configuration in ("../ci", "../ci/asv.conf.json"):
        assert asked_for(here, configuration).folder == PurePosixPath("bench_suite")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no asv.conf.json in .*: --asv DIR"),
        ("{", "asv.conf.json cannot be read: .*: --asv DIR"),
        ("[]", "asv.conf.json: benchmark_dir is no text"),
        ('{"benchmark_dir": 1}', "asv.conf.json: benchmark_dir is no text"),
        ('{"benchmark_dir": "none"}', "benchmark_dir in asv.conf.json names no folder"),
        ('{"benchmark_dir": "."}', "is not a folder in .* nothing but benchmarks"),
        ('{"benchmark_dir": ".."}', "is not a folder in .* nothing but benchmarks"),
        ('{"benchmark_dir": "a-b"}', "cannot be imported, because 'a-b' is no name"),
    ],
)
def test_a_suite_that_was_asked_for_and_is_none_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        write(tmp_path, {"asv.conf.json": content})
    (tmp_path / "a-b").mkdir()
    with pytest.raises(AsvSuiteError, match=said):
        find(place(tmp_path), asked=True)
    assert find(place(tmp_path), asked=False) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("-k", "-k is an option, but the suite is asv's"), ("a(", "'a\\(' is no regular expression")],
)
def test_what_cannot_select_benchmarks_is_refused(pattern: str, said: str) -> None:
    check_patterns(["time_.*", "Class\\.", "x(?!y)"])
    with pytest.raises(AsvSuiteError, match=said):
        check_patterns(["time_", pattern])


def test_workers_are_told_the_suite_from_where_they_start(tmp_path: Path) -> None:
    side = make_side("baseline", tmp_path)
    assert with_suite([side], "") == [side]
    (told,) = with_suite([side], "a/b")
    assert told.environment == {"FLOPLINE_ASV": "a/b"}
    assert (side.runner, told.runner) == ("pytest", "asv_runner")
    assert told.arguments(["::/x.py"]) == ["::/x.py"]
    assert needed("") == ("pytest", "pytest_benchmark")
    assert needed("a/b") == ("asv_runner",)
