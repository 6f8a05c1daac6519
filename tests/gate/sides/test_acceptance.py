from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.acceptance import Acceptance, acceptances
from flopline.gate.sides.versions import Version, resolve
from flopline.git import GitError
from tests.support import checkouts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = """Check more

Perf-Accepted: this line is in the body

Perf-Accepted: test_a[big data, x]
perf-accepted: bench/*
Signed-off-by: x <y@z>
"""
MESSAGES = (
    "First\n\nPerf-Accepted: of_the_baseline",
    SECOND,
    "Third",
    "Fourth\n\nPerf-Accepted: test_b",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with checkouts.world(home):
        root = checkouts.checkout(home / "project", {"x.py": "0\n"}, {})
        for message in MESSAGES:
            checkouts.commit(root, message)
        yield root


def commit_of(checkout: Path, revision: str) -> str:
    return checkouts.git(checkout, "rev-parse", "--short", revision).strip()


def test_the_commits_between_the_versions_accept_the_newest_first(checkout: Path) -> None:
    second, fourth = commit_of(checkout, "HEAD~2"), commit_of(checkout, "HEAD")
    versions = resolve(checkout, "HEAD~3", "HEAD")
    assert acceptances(*versions) == [
        Acceptance("test_b", fourth),
        Acceptance("test_a[big data, x]", second),
        Acceptance("bench/*", second),
    ]


def test_a_working_tree_has_the_commits_up_to_its_head(checkout: Path) -> None:
    (checkout / "x.py").write_text("1\n", "utf-8")
    found = acceptances(*resolve(checkout, "HEAD~1"))
    assert [acceptance.pattern for acceptance in found] == ["test_b"]


def test_the_same_commit_and_folders_accept_nothing(checkout: Path) -> None:
    assert acceptances(*resolve(checkout, "HEAD")) == []
    folder = Version("baseline", "folder .", "", "folder", checkout)
    assert acceptances(folder, resolve(checkout, "HEAD")[1]) == []


def test_a_setting_that_prints_more_changes_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (key, value) in enumerate([("log.showSignature", "1"), ("log.decorate", "full")]):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    found = acceptances(*resolve(checkout, "HEAD~1", "HEAD"))
    assert [acceptance.pattern for acceptance in found] == ["test_b"]


def test_commits_that_git_cannot_read_are_its_error(checkout: Path) -> None:
    missing = Version("baseline", "", "1" * 40, "commit", checkout)
    with pytest.raises(GitError):
        acceptances(missing, resolve(checkout, "HEAD")[1])
