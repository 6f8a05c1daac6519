"""Git is run, a checkout is found, commits are named and written into folders."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from flopline import git
from tests.support import checkouts
from tests.support.checkouts import commit, content, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _world(tmp_path: Path) -> Iterator[None]:
    """Hides the user's git settings."""
    with checkouts.world(tmp_path):
        yield


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A checkout of three commits, in a folder whose name needs quoting in a shell."""
    folder = tmp_path / "-my repo $(x) ü"
    folder.mkdir()
    checkouts.git(folder, "init", "--quiet")
    for value in ("1\n", "2\n", "3\n"):
        write(folder, {"data.txt": value})
        commit(folder, f"value {value}")
    return folder


@pytest.fixture
def commits(repo: Path) -> list[str]:
    """The hashes of its commits, oldest first."""
    return [checkouts.git(repo, "rev-parse", revision) for revision in ("main~2", "main~1", "main")]


# Running git


def test_an_error_shows_the_command_the_folder_and_what_git_printed(repo: Path) -> None:
    with pytest.raises(git.GitError) as caught:
        git.run(repo, "rev-parse", "--verify", "nowhere")
    assert str(caught.value).startswith(f"`git rev-parse --verify nowhere` failed in {repo}: ")
    assert caught.value.output == "fatal: Needed a single revision"
    assert git.ask(repo, "rev-parse", "--verify", "nowhere") == ""


@pytest.mark.parametrize("there", [True, False])
def test_a_git_or_folder_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    folder = tmp_path if there else tmp_path / "nowhere"
    if there:
        monkeypatch.setenv("PATH", "")
    with pytest.raises(git.GitError, match=r"git could not be started in .*; install git"):
        git.run(folder, "status")
    with pytest.raises(git.CommitError, match="No such file"):
        git.resolve(folder, "main")


def test_the_variables_of_a_hook_do_not_lead_to_its_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkouts.git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    assert git.checkout_root(repo) == repo


# Finding a checkout


def test_the_root_of_a_checkout_is_found_from_a_folder_in_it(repo: Path, tmp_path: Path) -> None:
    write(repo, {"a/b/c.txt": ""})
    assert git.checkout_root(repo / "a" / "b") == repo
    assert git.checkout_root(tmp_path) is None


def test_a_folder_without_a_working_tree_is_refused(repo: Path, tmp_path: Path) -> None:
    checkouts.git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")
    for folder in (tmp_path / "bare.git", repo / ".git"):
        with pytest.raises(git.NoWorkingTreeError, match="bare repository"):
            git.checkout_root(folder)


def test_without_git_there_is_no_checkout(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git.checkout_root(repo) is None


# Naming commits


def test_a_revision_stands_for_a_commit(repo: Path, commits: list[str]) -> None:
    checkouts.git(repo, "tag", "--annotate", "v1", "--message", "first", commits[0])
    for revision in ("v1", commits[0][:8], "HEAD~2"):
        assert git.resolve(repo, revision) == commits[0]


def test_an_unknown_revision_is_named_in_the_error(repo: Path) -> None:
    with pytest.raises(git.CommitError, match="no commit 'v9'"):
        git.resolve(repo, "v9")
    with pytest.raises(git.CommitError, match=r"v9\.\.HEAD.*: fatal: bad revision"):
        git.between(repo, "v9..HEAD")
    with pytest.raises(git.CommitError, match="no commit 'v9'"):
        git.branch(repo, "v9")


def test_a_revision_is_never_taken_for_an_option(repo: Path) -> None:
    with pytest.raises(git.CommitError, match="no commit '--all'"):
        git.branch(repo, "--all")
    with pytest.raises(git.CommitError, match="no commit '--git-dir'"):
        git.resolve(repo, "--git-dir")


def test_a_branch_is_in_the_order_of_first_parents(repo: Path, commits: list[str]) -> None:
    checkouts.git(repo, "checkout", "--quiet", "-b", "side", commits[0])
    write(repo, {"side.txt": "1"})
    commit(repo, "beside")
    checkouts.git(repo, "checkout", "--quiet", "main")
    checkouts.git(repo, "merge", "--quiet", "--no-ff", "--message", "merge", "side")
    merge = git.resolve(repo, "HEAD")
    assert git.branch(repo) == [*commits, merge]
    assert git.between(repo, f"{commits[0]}..HEAD") == [merge, *reversed(commits[1:])]


def test_tags_are_listed_with_commits_annotated_or_not(
    repo: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git.tags(repo) == {}
    checkouts.git(repo, "tag", "v1", commits[0])
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2099-01-01T12:00:00")
    checkouts.git(repo, "tag", "--annotate", "v2", "--message", "second", commits[1])
    assert list(git.tags(repo).items()) == [("v2", commits[1]), ("v1", commits[0])]


# Writing a commit


def test_a_commit_is_written_and_the_checkout_stays_as_it_is(
    repo: Path, tmp_path: Path, commits: list[str]
) -> None:
    for hook in ("post-index-change", "post-checkout"):
        write(repo, {f".git/hooks/{hook}": f"#!/bin/sh\ntouch '{repo}/{hook}-ran'\n"})
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    write(repo, {"data.txt": "staged"})
    checkouts.git(repo, "add", "data.txt")
    write(repo, {"data.txt": "changed"})
    untouched = state(repo)
    git.write_commit(repo, commits[0], tmp_path / "exports" / "first")
    assert content(tmp_path / "exports") == {"first/data.txt": "1\n"}
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["first"]
    assert state(repo) == untouched


def test_a_commit_that_does_not_exist_leaves_no_index_behind(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(git.GitError, match="read-tree 1111"):
        git.write_commit(repo, "1" * 40, tmp_path / "exports" / "first")
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["first"]


def test_a_commit_is_whole_whatever_its_attributes_say(repo: Path, tmp_path: Path) -> None:
    attributes = "tests export-ignore\n*.txt eol=crlf\n*.py export-subst\n"
    write(repo, {".gitattributes": attributes, "tests/a.py": "$Format:%H$"})
    with_attributes = commit(repo, "attributes")
    write(repo, {".gitattributes": "*.txt eol=lf\n"})
    commit(repo, "other attributes")
    git.write_commit(repo, with_attributes, tmp_path / "written")
    assert content(tmp_path / "written")["tests/a.py"] == "$Format:%H$"
    assert (tmp_path / "written" / "data.txt").read_bytes() == b"3\r\n"


def test_a_submodule_that_is_not_there_is_named_with_the_remedy(repo: Path, tmp_path: Path) -> None:
    checkouts.git(tmp_path, "init", "--quiet", "outer")
    outer = tmp_path / "outer"
    checkouts.git(outer, "submodule", "--quiet", "add", repo.as_uri(), "inner ü")
    both = commit(outer, "with a submodule")
    git.write_commit(outer, both, tmp_path / "written")
    assert content(tmp_path / "written")["inner ü/data.txt"] == "3\n"
    checkouts.git(outer, "submodule", "--quiet", "deinit", "--all", "--force")
    git.write_commit(outer, both, tmp_path / "kept")
    assert content(tmp_path / "kept")["inner ü/data.txt"] == "3\n"
    shutil.rmtree(outer / ".git" / "modules")
    with pytest.raises(git.SubmoduleError, match=r"submodule inner ü .*submodule update --init"):
        git.write_commit(outer, both, tmp_path / "again")
