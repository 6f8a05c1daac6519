"""Tests of `flopline history compare` and `regressions` as commands."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("asv", reason="the extra `history` is not installed")

from tests.history.support import toy
from tests.history.support.command import history
from tests.history.support.toy import NAME, PLANTED, git, speeds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    return toy.create(tmp_path_factory.mktemp("template") / "toy")


@pytest.fixture
def project(template: toy.Project, tmp_path: Path) -> toy.Project:
    return template.copy(tmp_path / "toy")


@pytest.fixture(scope="module")
def planted(template: toy.Project, tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    return toy.plant(template.copy(tmp_path_factory.mktemp("planted") / "toy"))


def test_a_comparison_shows_seconds_gflops_and_a_verdict(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", "HEAD")
    assert done.code == 1
    rows = {}
    for line in done.stdout.splitlines():
        if line.startswith(NAME):
            case, bracket, _ = line.partition(")")
            rows[case + bracket] = line
    assert rows[f"{NAME}('slowed', 64)"].endswith("regressed")
    assert rows[f"{NAME}('quickened', 64)"].endswith("improved")
    assert rows[f"{NAME}('steady', 64)"].endswith("unchanged")
    assert next(iter(rows)).startswith(f"{NAME}('slowed'"), "what matters comes first"


def test_a_comparison_for_programs_is_strict_json(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", planted.commits[PLANTED - 1], "--json")
    assert done.code == 0
    record = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (record["base"], record["exit_code"]) == (planted.commits[6], 0)
    assert {row["verdict"] for row in record["cases"]} == {"unchanged"}
    assert set(record["cases"][0]) == {
        "case",
        "machine",
        "environment",
        "verdict",
        "reason",
        "threshold",
        "base_seconds",
        "head_seconds",
        "ratio",
        "base_gflops",
        "head_gflops",
    }


def test_regressions_name_the_commit_and_end_with_one(planted: toy.Project) -> None:
    done = history(planted.root, "regressions")
    assert done.code == 1
    assert done.stdout.count(planted.commits[PLANTED][:8]) == 2
    assert "slowed" in done.stdout
    assert "quickened" not in done.stdout
    for_programs = history(planted.root, "regressions", "--json")
    record = json.loads(for_programs.stdout, parse_constant=pytest.fail)
    assert (record["exit_code"], record["commits"]) == (1, 14)
    assert {step["at"] for step in record["regressions"]} == {planted.commits[PLANTED]}


def test_the_program_ends_with_the_exit_code_of_the_report(planted: toy.Project) -> None:
    command = [sys.executable, "-m", "flopline", "history", "regressions"]
    done = subprocess.run(command, cwd=planted.root, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr


def test_no_regression_is_zero(project: toy.Project) -> None:
    for commit in project.commits:
        project.record(commit, speeds())
    done = history(project.root, "regressions")
    assert (done.code, done.stdout) == (0, "no lasting regression in 3 commits\n")


def test_a_corrupt_file_is_named_and_matters_only_to_its_commit(project: toy.Project) -> None:
    first, second, third = project.commits
    paths = [project.record(commit, speeds()) for commit in project.commits]
    paths[2].write_text(paths[2].read_text()[:-50])
    for arguments, code in {
        ("compare", first, second): 0,
        ("compare", first, third): 2,
        ("compare", first, third, "--json"): 2,
        ("regressions",): 2,
    }.items():
        done = history(project.root, *arguments)
        assert done.code == code, done.stderr
        assert f"{third[:8]}-existing.json" in done.stderr
        assert "cut off" in done.stderr


def test_results_beside_the_branch_are_named(project: toy.Project) -> None:
    git(project.root, "checkout", "-q", "-b", "side")
    beside = project.commit("beside")
    git(project.root, "checkout", "-q", "main")
    for commit in project.commits:
        project.record(commit, speeds(slowed=9) if commit == beside else speeds())
    done = history(project.root, "regressions")
    assert done.code == 0
    assert f"not on this branch, so not searched: {beside[:8]}" in done.stderr


def test_a_commit_without_results_is_named_with_what_to_do(project: toy.Project) -> None:
    project.record(project.commits[0], speeds())
    done = history(project.root, "compare", "HEAD~2", "HEAD")
    assert done.code == 2
    assert f"no results of HEAD ({project.commits[2][:8]})" in done.stderr
    assert "nox -s history -- HEAD" in done.stderr


def test_a_branch_without_results_is_told_what_to_do(project: toy.Project) -> None:
    done = history(project.root, "regressions")
    assert (done.code, done.stdout) == (2, "")
    assert "nox -s history -- --commits 5" in done.stderr


def test_two_commits_on_two_machines_are_not_comparable(project: toy.Project) -> None:
    project.record(project.commits[0], speeds(), machine="one")
    project.record(project.commits[1], speeds(), machine="two")
    done = history(project.root, "compare", "HEAD~2", "HEAD~1")
    assert done.code == 2
    assert "never on one machine" in done.stderr
    done = history(project.root, "compare", "HEAD~2", "HEAD~1", "--machine", "three")
    assert done.code == 2
    assert "there are: one, two" in done.stderr


@pytest.mark.parametrize("arguments", [("compare", "HEAD", "HEAD"), ("regressions",), ("run",)])
def test_outside_a_checkout_the_history_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = history(tmp_path, *arguments)
    assert done.code == 2
    assert "there is no asv.conf.json" in done.stderr


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_configuration_that_asv_cannot_read_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "asv.conf.json").write_text(content)
    done = history(tmp_path, "regressions")
    assert done.code == 2
    assert "asv.conf.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_commit_is_a_usage_error(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", "v99")
    assert done.code == 2
    assert "git knows no commit 'v99'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_suite_that_gained_and_lost_a_benchmark_is_searched(planted: toy.Project) -> None:
    """The newest commit alone has a row of the new one, and the suite has dropped another."""
    root = planted.root.parent / "changed"
    project = planted.copy(root)
    listing = project.results / "benchmarks.json"
    content = json.loads(listing.read_text())
    new, lost = "bench_toy.New.sampled_product", "bench_toy.Lost.sampled_product"
    listing.write_text(json.dumps({**content, new: {**content[NAME], "name": new}}))
    for commit, added in ((project.commits[-1], new), (project.commits[-2], lost)):
        (path,) = (project.results / "counter").glob(f"{commit[:8]}-*")
        run = json.loads(path.read_text())
        run["results"][added] = run["results"][NAME]
        path.write_text(json.dumps(run))
    done = history(root, "regressions")
    assert (done.code, done.stderr) == (1, "")
    assert done.stdout.count(project.commits[PLANTED][:8]) == 2
    assert "New" not in done.stdout, "one point has no step"
    compared = history(root, "compare", "HEAD~2", "HEAD")
    assert compared.code == 0, compared.stderr
    assert compared.stdout.count("not measured at the baseline") == 6
    published = [sys.executable, "-m", "asv", "publish"]
    done_by_asv = subprocess.run(published, cwd=root, capture_output=True, text=True, check=False)
    assert done_by_asv.returncode == 0, done_by_asv.stderr
    assert "New" in (root / ".asv" / "html" / "gflops.html").read_text()


def test_an_asv_project_of_somebody_else_is_answered(project: toy.Project) -> None:
    least = '// the rest is the default\n{"version": 1, "repo": ".", "branches": ["main"]}'
    (project.root / "asv.conf.json").write_text(least)
    for arguments in (("compare", "HEAD", "HEAD"), ("regressions",)):
        done = history(project.root, *arguments)
        assert done.code == 2
        assert "holds no results" in done.stderr
    (project.root / ".asv" / "results").rename(project.root / "results")
    done = history(project.root, "regressions")
    assert "no commit of this branch has results" in done.stderr
    (project.root / "benchmarks").mkdir()
    (project.root / "benchmarks" / "cases.py").write_text("raise SystemExit(0)")
    done = history(project.root, "run")
    assert done.code == 2
    assert "so this suite is not flopline's: measure it with `asv run`" in done.stderr


@pytest.mark.parametrize("revision", ["--output=x", "--output=x..y", "-h", "--all"])
def test_a_revision_is_no_option_of_git(project: toy.Project, revision: str) -> None:
    for arguments in (("compare", "--", revision, "HEAD"), ("run", "--existing", "--", revision)):
        done = history(project.root, *arguments)
        assert done.code == 2
        assert f"git knows no commit {revision!r}" in done.stderr
    assert sorted(path.name for path in project.root.iterdir()) == [
        ".asv",
        ".git",
        "asv.conf.json",
        "change",
    ]


@pytest.mark.parametrize(
    "arguments", [("--device", "nosuch"), ("--device", ""), ("--dtype", "tf32"), ("--machine", ".")]
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    project: toy.Project, arguments: tuple[str, ...]
) -> None:
    done = history(project.root, "run", "--existing", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
