"""Tests of reading asv's configuration, also that of other projects."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from flopline.history import configuration
from tests.history.support.toy import Project, git

if TYPE_CHECKING:
    from pathlib import Path

LEAST = {"version": 1, "repo": "."}


def write(root: Path, **values: object) -> Path:
    """Writes a configuration into a folder that is a repository."""
    if not (root / ".git").exists():
        git(root, "init", "-q")
    (root / configuration.FILE).write_text(json.dumps({**LEAST, **values}))
    return root


def test_what_is_left_out_is_what_asv_takes(tmp_path: Path) -> None:
    loaded = configuration.load(write(tmp_path))
    assert loaded.results == tmp_path / "results"
    assert loaded.suite == tmp_path / "benchmarks"
    assert (loaded.thresholds, loaded.threads) == ({}, 1)


def test_the_default_branch_is_head_where_asvs_does_not_exist(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    git(project.root, "branch", "-m", "of-another-name")
    assert configuration.load(write(project.root)).branch == "HEAD"
    assert configuration.load(write(project.root, branches=[None])).branch == "HEAD"
    git(project.root, "config", "init.defaultBranch", "of-another-name")
    assert configuration.load(write(project.root)).branch == "of-another-name"


def test_the_suffix_jsonc_is_read_and_two_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path).joinpath(configuration.FILE).rename(tmp_path / "asv.conf.jsonc")
    assert configuration.load(tmp_path).root == tmp_path
    write(tmp_path)
    with pytest.raises(configuration.ConfigurationError, match="asv reads one, remove one"):
        configuration.load(tmp_path)


def test_a_suite_in_a_folder_below_its_repository_is_read(project: Project) -> None:
    folder = project.root / "asv_bench"
    folder.mkdir()
    (folder / configuration.FILE).write_text(json.dumps({**LEAST, "repo": ".."}))
    loaded = configuration.load(folder)
    assert loaded.repository.resolve() == project.root
    assert loaded.results == folder / "results"


def test_commits_of_a_remote_repository_are_known_to_asvs_clone(
    project: Project, tmp_path: Path
) -> None:
    remote = {"repo": "https://example.org/a.git", "project": "mirror", "branches": ["main"]}
    (tmp_path / configuration.FILE).write_text(json.dumps({**LEAST, **remote}))
    with pytest.raises(configuration.ConfigurationError, match="asv has not cloned it"):
        configuration.load(tmp_path)
    command = ["git", "clone", "-q", "--mirror", str(project.root), str(tmp_path / "mirror")]
    subprocess.run(command, check=True)
    assert configuration.load(tmp_path).repository == tmp_path / "mirror"


def test_mercurial_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".hg").mkdir()
    (tmp_path / configuration.FILE).write_text(json.dumps(LEAST))
    with pytest.raises(configuration.ConfigurationError, match="a git repository, which this"):
        configuration.load(tmp_path)


WRONG: dict[str, dict[str, Any]] = {
    "a list of names": {"branches": "main"},
    "branches is 3; it must be a text": {"branches": [3]},
    "results_dir is ''; it must be a text": {"results_dir": ""},
    "results_dir is 3; it must be a text": {"results_dir": 3},
    "benchmark_dir is None": {"benchmark_dir": None},
    "written as UTF-8": {"results_dir": "\ud800"},
    "a table of numbers by pattern": {"regressions_thresholds": [0.05]},
    "which is no regular expression": {"regressions_thresholds": {"(": 0.05}},
    "'a' is '5 %'; it must be a number, 0 or more": {"regressions_thresholds": {"a": "5 %"}},
    "'a' is -1; it must be": {"regressions_thresholds": {"a": -1}},
    "'a' is True; it must be": {"regressions_thresholds": {"a": True}},
    "'a' is nan; it must be": {"regressions_thresholds": {"a": float("nan")}},
    "a number of threads, 1 to 99999": {"matrix": {"env_nobuild": {"OMP_NUM_THREADS": ["all"]}}},
    "matrix is 3; it must be a table": {"matrix": 3},
    "No repo specified": {"repo": ""},
    "dvcs is 'hg'": {"dvcs": "hg"},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_value_of_the_wrong_kind_is_refused_by_its_key(tmp_path: Path, message: str) -> None:
    with pytest.raises(configuration.ConfigurationError) as refused:
        configuration.load(write(tmp_path, **{"branches": ["HEAD"], **WRONG[message]}))
    assert message in str(refused.value)
    assert str(tmp_path / configuration.FILE) in str(refused.value)
