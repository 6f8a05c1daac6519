"""What git knows."""

from __future__ import annotations

import pytest

from flopline.history import commits
from tests.history.support.toy import Project, git


def test_a_name_means_a_commit(project: Project) -> None:
    git(project.root, "tag", "-a", "v1", "-m", "first", project.commits[0])
    for name in ("v1", project.commits[0][:8], "HEAD~2"):
        assert commits.resolve(project.root, name) == project.commits[0]


def test_an_unknown_name_is_said_to_be_unknown(project: Project) -> None:
    with pytest.raises(commits.CommitError, match="no commit 'v9'"):
        commits.resolve(project.root, "v9")
    with pytest.raises(commits.CommitError, match=r"v9\.\.HEAD"):
        commits.between(project.root, "v9..HEAD")


def test_a_line_is_in_the_order_of_first_parents(project: Project) -> None:
    git(project.root, "checkout", "-q", "-b", "side", project.commits[0])
    (project.root / "side").write_text("1")
    git(project.root, "add", "side")
    git(project.root, "commit", "-qm", "beside")
    git(project.root, "checkout", "-q", "main")
    git(project.root, "merge", "-q", "--no-ff", "-m", "merge", "side")
    assert commits.line(project.root) == [*project.commits, commits.resolve(project.root, "HEAD")]
    assert commits.between(project.root, f"{project.commits[0]}..HEAD") == [
        commits.resolve(project.root, "HEAD"),
        *reversed(project.commits[1:]),
    ]


def test_tags_are_known_with_their_commits_annotated_or_not(project: Project) -> None:
    assert commits.tags(project.root) == {}
    git(project.root, "tag", "v1", project.commits[0])
    git(
        project.root,
        "tag",
        "-a",
        "v2",
        "-m",
        "second",
        project.commits[1],
        date="2027-01-01T12:00:00",
    )
    assert list(commits.tags(project.root).items()) == [
        ("v2", project.commits[1]),
        ("v1", project.commits[0]),
    ]
