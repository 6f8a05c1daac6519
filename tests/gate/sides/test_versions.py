"""The two versions that are compared are those that were requested."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopline import git as flopline_git
from flopline.gate.sides.versions import VersionError, resolve
from tests.support.checkouts import commit, git, write

pytestmark = pytest.mark.usefixtures("temporary")


# The candidate and the merge base


def test_the_candidate_is_the_working_tree_unless_one_is_named(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    two = commit(repo, "two")
    baseline, candidate = resolve(repo, "HEAD~1")
    assert baseline.label == f"HEAD~1 ({one[:7]})"
    assert (baseline.commit, baseline.kind) == (one, "commit")
    assert candidate.label == f"working tree ({two[:7]})"
    assert (candidate.commit, candidate.kind) == (two, "working tree")
    write(repo, {"new.txt": ""})
    assert resolve(repo, "HEAD~1")[1].label == f"working tree ({two[:7]} + changes)"
    assert resolve(repo, one, "HEAD")[1].label == f"HEAD ({two[:7]})"


def test_a_baseline_is_replaced_by_its_merge_base(repo: Path) -> None:
    forked = git(repo, "rev-parse", "HEAD")
    git(repo, "branch", "feature")
    commit(repo, "what others did meanwhile")
    git(repo, "checkout", "--quiet", "feature")
    mine = commit(repo, "mine")
    for requested in (None, "feature", mine):
        baseline, candidate = resolve(repo, "main", requested)
        assert (baseline.commit, baseline.label) == (forked, f"main (merge base {forked[:7]})")
        assert candidate.commit == mine


def test_changes_are_compared_with_their_commit_on_a_branch_behind(repo: Path) -> None:
    behind = git(repo, "rev-parse", "HEAD")
    git(repo, "branch", "feature")
    ahead = commit(repo, "what others did meanwhile")
    git(repo, "checkout", "--quiet", "feature")
    assert resolve(repo, "main")[0].commit == ahead
    write(repo, {"data.txt": "changed\n"})
    assert resolve(repo, "main")[0].commit == behind


def test_whoever_compares_backwards_gets_the_versions_requested(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    two = commit(repo, "two")
    baseline, candidate = resolve(repo, "main", "HEAD~1")
    assert (baseline.commit, candidate.commit) == (two, one)
    assert baseline.label == f"main ({two[:7]})"


def test_unrelated_histories_are_compared_and_labelled_as_such(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "--orphan", "other")
    other = commit(repo, "other")
    baseline, _ = resolve(repo, "other", "main")
    assert baseline.commit == other
    assert "no merge base" in baseline.label


# What names a version


def test_a_tag_a_hash_a_date_and_a_search_are_revisions(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "--annotate", "v1", "--message", "first")
    two = commit(repo, "two")
    for requested in ("v1", one, one[:9], "HEAD@{1}", ":/one", "main^"):
        assert resolve(repo, requested)[0].commit == one, requested
    assert resolve(repo, one[:9])[0].label == one[:9]
    assert resolve(repo, "@", "v1")[0].commit == two


def test_what_is_both_a_branch_and_a_folder_is_the_branch(repo: Path) -> None:
    git(repo, "branch", "pkg")
    assert resolve(repo, "pkg")[0].kind == "commit"
    assert resolve(repo, "./pkg")[0].kind == "folder"


def test_a_branch_that_begins_with_a_dash_has_a_full_name(repo: Path) -> None:
    git(repo, "update-ref", "refs/heads/-x", "HEAD")
    with pytest.raises(VersionError, match="refs/heads/-x"):
        resolve(repo, "-x")
    assert resolve(repo, "refs/heads/-x")[0].commit == git(repo, "rev-parse", "HEAD")


@pytest.mark.parametrize("git_there", [True, False])
def test_two_folders_need_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git_there: bool
) -> None:
    if not git_there:
        monkeypatch.setenv("PATH", "")
    write(tmp_path, {"old/a.txt": "old", "new/a.txt": "new"})
    baseline, candidate = resolve(tmp_path / "new", "../old")
    assert (baseline.label, baseline.commit) == ("folder ../old", "")
    assert candidate.label == "folder new"
    assert (baseline.source, candidate.source) == (tmp_path / "old", tmp_path / "new")
    with pytest.raises(VersionError, match="in no git checkout"):
        resolve(tmp_path / "new", "main")


def test_a_repository_without_a_commit_has_a_working_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "new")
    write(tmp_path, {"new/a.txt": "", "old/a.txt": ""})
    _, candidate = resolve(tmp_path / "new", "../old")
    assert candidate.label == "working tree (no commit yet + changes)"
    assert candidate.commit == ""


def test_the_innermost_project_around_a_folder_is_the_project(repo: Path) -> None:
    files = ("packages/mine/setup.py", "packages/mine/bench/test_x.py", "packages/other/setup.py")
    write(repo, dict.fromkeys(files, ""))
    commit(repo, "two")
    baseline, candidate = resolve(repo / "packages" / "mine" / "bench", "HEAD")
    assert baseline.project == candidate.project == Path("packages/mine")
    assert resolve(repo / "pkg", "HEAD")[0].project == Path()


# What names none


@pytest.mark.parametrize(
    ("requested", "reason"),
    [
        ("", "baseline is empty"),
        ("-x", "refs/heads/-x"),
        ("--output=x", "begins with a dash"),
        ("nowhere", "neither a revision of"),
        ("main..main", "neither a revision of"),
        ("^main", "neither a revision of"),
        ("1" * 40, "neither a revision of"),
        ("main; touch x", "neither a revision of"),
        ("main:data.txt", "is a blob of"),
        ("main:pkg", "is a tree of"),
    ],
)
def test_what_is_no_version_is_refused_with_a_reason(
    repo: Path, requested: str, reason: str
) -> None:
    with pytest.raises(VersionError, match=reason):
        resolve(repo, requested)
    if requested:
        with pytest.raises(VersionError, match="the candidate"):
            resolve(repo, "main", requested)


def test_a_shallow_clone_is_told_how_to_get_its_history(repo: Path, tmp_path: Path) -> None:
    commit(repo, "two")
    git(tmp_path, "clone", "--quiet", "--depth=1", repo.as_uri(), "shallow")
    with pytest.raises(VersionError, match=r"git fetch --unshallow.*fetch-depth: 0"):
        resolve(tmp_path / "shallow", "HEAD~1")


def test_a_bare_repository_is_refused(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")
    for folder in (tmp_path / "bare.git", repo / ".git"):
        with pytest.raises(flopline_git.NoWorkingTreeError, match="bare repository"):
            resolve(folder, "main")


def test_what_git_itself_refuses_is_shown(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[broken")
    with pytest.raises(flopline_git.GitError, match="bad config"):
        resolve(repo, "main")


def test_the_variables_of_a_git_hook_do_not_lead_astray(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    assert resolve(repo, "main")[0].source == repo


# Wheels


def test_a_wheel_has_the_suite_of_the_version_that_it_is_compared_with(
    repo: Path, tmp_path: Path
) -> None:
    head = git(repo, "rev-parse", "HEAD")
    file = write(tmp_path, {"pkg-1-py3-none-any.whl": ""}) / "pkg-1-py3-none-any.whl"
    baseline, candidate = resolve(repo, "../pkg-1-py3-none-any.whl", "HEAD")
    assert (baseline.wheel, candidate.wheel) == (file, None)
    assert (baseline.kind, baseline.commit, baseline.source) == ("commit", head, repo)
    assert (baseline.name, candidate.name) == ("baseline", "candidate")
    both = resolve(repo, str(file), str(file))
    assert [version.kind for version in both] == ["working tree", "working tree"]
    assert {version.label for version in both} == {f"wheel {file}"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone-1-py3-none-any.whl", "does not exist; give a wheel that was built"),
        ("data.txt", "is a file, and its name is not that of a wheel"),
        ("pkg.whl", "is a file, and its name is not that of a wheel"),
    ],
)
def test_a_file_that_is_no_wheel_is_refused_with_a_reason(
    repo: Path, name: str, reason: str
) -> None:
    write(repo, {"pkg.whl": ""})
    with pytest.raises(VersionError, match=f"the candidate '{name}' {reason}"):
        resolve(repo, "HEAD", name)
