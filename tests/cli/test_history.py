"""`flopline history compare` and `regressions`, run as programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("asv", reason="the extra `history` is not installed")

from tests.history.support import toy
from tests.history.support.toy import NAME, PLANTED, git, speeds

if TYPE_CHECKING:
    from pathlib import Path


def history(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flopline", "history", *arguments]
    env = os.environ | {"COLUMNS": "160"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> toy.Project:
    return toy.create(tmp_path / "toy")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    return toy.plant(toy.create(tmp_path_factory.mktemp("planted") / "toy"))


def test_a_comparison_says_seconds_gflops_and_a_verdict(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", "HEAD")
    assert done.returncode == 1
    rows = {
        line.split(")")[0] + ")": line.rstrip()
        for line in done.stdout.splitlines()
        if line.startswith(NAME)
    }
    assert rows[f"{NAME}('slowed', 64)"].endswith("regressed")
    assert rows[f"{NAME}('quickened', 64)"].endswith("improved")
    assert rows[f"{NAME}('steady', 64)"].endswith("unchanged")
    assert next(iter(rows)).startswith(f"{NAME}('slowed'"), "what matters comes first"


def test_a_comparison_for_programs_is_strict_json(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", planted.commits[PLANTED - 1], "--json")
    assert done.returncode == 0
    record = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (record["base"], record["exit_code"]) == (planted.commits[6], 0)
    assert {row["verdict"] for row in record["cases"]} == {"unchanged"}


def test_regressions_name_the_commit_and_end_with_one(planted: toy.Project) -> None:
    done = history(planted.root, "regressions")
    assert done.returncode == 1
    assert done.stdout.count(planted.commits[PLANTED][:8]) == 2
    assert "slowed" in done.stdout
    assert "quickened" not in done.stdout
    record = json.loads(
        history(planted.root, "regressions", "--json").stdout, parse_constant=pytest.fail
    )
    assert {step["at"] for step in record["regressions"]} == {planted.commits[PLANTED]}


def test_no_regression_is_zero(project: toy.Project) -> None:
    for commit in project.commits:
        project.record(commit, speeds())
    done = history(project.root, "regressions")
    assert (done.returncode, done.stdout) == (0, "no lasting regression in 3 commits\n")


def test_a_corrupt_file_is_named_and_matters_only_to_its_commit(project: toy.Project) -> None:
    first, second, third = project.commits
    paths = [project.record(commit, speeds()) for commit in project.commits]
    paths[2].write_text(paths[2].read_text()[:-50])
    for arguments, code in {
        ("compare", first, second): 0,
        ("compare", first, third): 2,
        ("regressions",): 2,
    }.items():
        done = history(project.root, *arguments)
        assert done.returncode == code, done.stderr
        assert f"{third[:8]}-existing.json" in done.stderr
        assert "cut off" in done.stderr


def test_results_beside_the_branch_are_named(project: toy.Project) -> None:
    git(project.root, "checkout", "-q", "-b", "side")
    beside = project.commit("beside")
    git(project.root, "checkout", "-q", "main")
    for commit in project.commits:
        project.record(commit, speeds(slowed=9) if commit == beside else speeds())
    done = history(project.root, "regressions")
    assert done.returncode == 0
    assert f"not on this branch, so not searched: {beside[:8]}" in done.stderr


def test_what_was_not_measured_is_said_with_the_command_that_measures_it(
    project: toy.Project,
) -> None:
    project.record(project.commits[0], speeds())
    done = history(project.root, "compare", "HEAD~2", "HEAD")
    assert done.returncode == 2
    assert f"no results of HEAD ({project.commits[2][:8]})" in done.stderr
    assert "nox -s history -- HEAD" in done.stderr


def test_two_commits_on_two_machines_are_not_comparable(project: toy.Project) -> None:
    project.record(project.commits[0], speeds(), machine="one")
    project.record(project.commits[1], speeds(), machine="two")
    done = history(project.root, "compare", "HEAD~2", "HEAD~1")
    assert done.returncode == 2
    assert "never on one machine" in done.stderr
    done = history(project.root, "compare", "HEAD~2", "HEAD~1", "--machine", "three")
    assert done.returncode == 2
    assert "there are: one, two" in done.stderr


@pytest.mark.parametrize("arguments", [("compare", "HEAD", "HEAD"), ("regressions",), ("run",)])
def test_outside_a_checkout_the_history_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = history(tmp_path, *arguments)
    assert done.returncode == 2
    assert "there is no asv.conf.json" in done.stderr


def test_an_unknown_commit_is_a_usage_error(planted: toy.Project) -> None:
    done = history(planted.root, "compare", "v1", "v99")
    assert done.returncode == 2
    assert "git knows no commit 'v99'" in done.stderr
