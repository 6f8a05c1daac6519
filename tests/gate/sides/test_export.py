"""Each version becomes a folder of its own, and the checkout stays as it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.export import ExportError, export
from flopline.gate.sides.tree import TEMPORARY_PREFIX
from flopline.gate.sides.versions import resolve
from tests.support.checkouts import commit, content, git, state, write

if TYPE_CHECKING:
    from flopline.gate.sides.versions import Version

pytestmark = pytest.mark.usefixtures("temporary")


def exported(version: Version, tmp_path: Path) -> dict[str, str]:
    """Exports a version into `tree_of` and returns the files of the project in it."""
    return content(export(version, tree_of(version.name, tmp_path)))


def tree_of(name: str, tmp_path: Path) -> Path:
    return tmp_path / "exports" / name / "tree"


# Working trees


def test_a_working_tree_is_what_lies_there_now_and_is_not_ignored(
    repo: Path, tmp_path: Path
) -> None:
    ignore = "*.log\n/ignored/\n"
    committed = {
        ".gitignore": ignore,
        "gone.txt": "",
        "from.txt": "moved",
        "-x y ü.txt": "",
        "hook.sh": "#!\n",
    }
    write(repo, committed)
    (repo / "link").symlink_to("data.txt")
    commit(repo, "two")
    (repo / "gone.txt").unlink()
    git(repo, "mv", "from.txt", "to.txt")
    (repo / "hook.sh").chmod(0o755)
    write(repo, {"data.txt": "changed", "new ü/-a.txt": "untracked", "staged.txt": "staged"})
    git(repo, "add", "staged.txt")
    write(repo, {"staged.txt": "and changed"})
    write(repo, {"a.log": "", "ignored/a.txt": "", "pkg/__pycache__/a": ""})
    (repo / "dangling").symlink_to("nowhere")
    baseline, candidate = resolve(repo, "HEAD")
    assert exported(candidate, tmp_path) == {
        ".gitignore": ignore,
        "pkg/__init__.py": "VALUE = 1\n",
        "data.txt": "changed",
        "to.txt": "moved",
        "-x y ü.txt": "",
        "hook.sh": "#!\n",
        "new ü/-a.txt": "untracked",
        "staged.txt": "and changed",
    }
    tree = tree_of("candidate", tmp_path)
    assert (tree / "link").readlink() == Path("data.txt")
    assert (tree / "dangling").readlink() == Path("nowhere")
    assert os.access(tree / "hook.sh", os.X_OK)
    assert set(exported(baseline, tmp_path)) == {*committed, "pkg/__init__.py", "data.txt"}
    assert (tree_of("baseline", tmp_path) / "link").readlink() == Path("data.txt")


def test_a_working_tree_without_a_commit_is_exported(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "new")
    write(tmp_path, {"new/a.txt": "", "old/a.txt": ""})
    _, candidate = resolve(tmp_path / "new", "../old")
    assert set(exported(candidate, tmp_path)) == {"a.txt"}


def test_a_folder_that_became_a_link_is_not_written_through(repo: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"__init__.py": "outside"})
    shutil.rmtree(repo / "pkg")
    (repo / "pkg").symlink_to(outside)
    _, candidate = resolve(repo, "HEAD")
    assert exported(candidate, tmp_path) == {"data.txt": "1\n"}
    assert (tree_of("candidate", tmp_path) / "pkg").readlink() == outside
    assert content(outside) == {"__init__.py": "outside"}


def test_repositories_that_only_lie_in_the_tree_are_no_part_of_it(
    repo: Path, tmp_path: Path
) -> None:
    git(repo, "worktree", "add", "--quiet", "inner", "-b", "inner")
    git(repo, "init", "--quiet", "foreign")
    write(repo, {"foreign/a.txt": ""})
    _, candidate = resolve(repo, "HEAD")
    assert set(exported(candidate, tmp_path)) == {"data.txt", "pkg/__init__.py"}


def test_a_linked_worktree_is_a_checkout_like_any(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "linked")
    write(tmp_path / "linked", {"data.txt": "changed"})
    baseline, candidate = resolve(tmp_path / "linked", "main")
    assert exported(baseline, tmp_path)["data.txt"] == "1\n"
    assert exported(candidate, tmp_path)["data.txt"] == "changed"


def test_only_the_project_in_a_folder_of_the_repository_counts(repo: Path, tmp_path: Path) -> None:
    files = ("packages/mine/setup.py", "packages/mine/bench/test_x.py", "packages/other/setup.py")
    write(repo, dict.fromkeys(files, ""))
    commit(repo, "two")
    _, candidate = resolve(repo / "packages" / "mine" / "bench", "HEAD")
    assert set(exported(candidate, tmp_path)) == {"setup.py", "bench/test_x.py"}
    baseline, _ = resolve(repo / "packages" / "mine", "HEAD~1")
    with pytest.raises(ExportError, match="has no folder packages/mine"):
        exported(baseline, tmp_path)


# Commits


def test_a_commit_is_whole_and_has_its_own_line_ends(repo: Path, tmp_path: Path) -> None:
    attributes = "tests export-ignore\n*.txt eol=crlf\n*.py export-subst\n"
    write(repo, {".gitattributes": attributes, "tests/a.py": "$Format:%H$"})
    commit(repo, "two")
    write(repo, {".gitattributes": "*.txt eol=lf\n"})
    commit(repo, "three")
    baseline, _ = resolve(repo, "HEAD~1")
    assert exported(baseline, tmp_path)["tests/a.py"] == "$Format:%H$"
    assert (tree_of("baseline", tmp_path) / "data.txt").read_bytes() == b"1\r\n"


def test_a_sparse_checkout_exports_whole_commits(repo: Path, tmp_path: Path) -> None:
    git(repo, "sparse-checkout", "set", "--no-cone", "/pkg/")
    assert not (repo / "data.txt").exists()
    baseline, _ = resolve(repo, "HEAD")
    assert set(exported(baseline, tmp_path)) == {"data.txt", "pkg/__init__.py"}


# Submodules


def test_submodules_are_exported_at_the_commit_that_was_theirs(outer: Path, tmp_path: Path) -> None:
    middle = outer / "middle ü"
    write(middle, {"middle.txt": "2"})
    commit(middle, "two")
    commit(outer, "two")
    write(middle, {"leaf ü/leaf.txt": "uncommitted", "untracked.txt": ""})
    baseline, candidate = resolve(outer, "HEAD~1")
    untouched = state(outer)
    expected = {
        ".gitmodules",
        "outer.txt",
        "middle ü/.gitmodules",
        "middle ü/middle.txt",
        "middle ü/leaf ü/leaf.txt",
    }
    old = exported(baseline, tmp_path)
    new = exported(candidate, tmp_path)
    assert {name for name in old if not name.endswith(".git")} == expected
    assert (old["middle ü/middle.txt"], old["middle ü/leaf ü/leaf.txt"]) == ("1", "1")
    assert set(new) == expected | {"middle ü/untracked.txt"}
    assert (new["middle ü/middle.txt"], new["middle ü/leaf ü/leaf.txt"]) == ("2", "uncommitted")
    assert state(outer) == untouched


def test_a_submodule_that_is_not_there_is_named_with_the_remedy(
    outer: Path, tmp_path: Path
) -> None:
    baseline, _ = resolve(outer, "HEAD")
    git(outer, "submodule", "--quiet", "deinit", "--all", "--force")
    shutil.rmtree(outer / ".git" / "modules")
    remedy = r"the baseline.*submodule middle ü .*git submodule update --init"
    with pytest.raises(ExportError, match=remedy):
        exported(baseline, tmp_path)


# Folders


def test_a_folder_is_everything_but_what_earlier_work_left_there(tmp_path: Path) -> None:
    kept = {"a.txt": "", "build/__init__.py": "a package may be called so"}
    left_out = (
        "pkg/build/bdist.linux-x86_64/x",
        "pkg/build/lib/stale.py",
        ".git/x",
        ".venv/x",
        "env/pyvenv.cfg",
        "pkg/__pycache__/x",
        ".mypy_cache/x",
        f"{TEMPORARY_PREFIX}x/y",
    )
    old = write(tmp_path / "old", {**kept, **dict.fromkeys(left_out, "")})
    (old / "link").symlink_to("a.txt")
    baseline, _ = resolve(tmp_path, "old")
    assert set(exported(baseline, tmp_path)) == set(kept)
    assert (tree_of("baseline", tmp_path) / "link").is_symlink()


@pytest.mark.parametrize("git_there", [True, False])
def test_two_folders_are_exported_with_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git_there: bool
) -> None:
    if not git_there:
        monkeypatch.setenv("PATH", "")
    write(tmp_path, {"old/a.txt": "old", "new/a.txt": "new"})
    baseline, candidate = resolve(tmp_path / "new", "../old")
    assert exported(baseline, tmp_path) == {"a.txt": "old"}
    assert exported(candidate, tmp_path) == {"a.txt": "new"}


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path / "old", {"a.txt": ""}) / "pipe")
    baseline, _ = resolve(tmp_path, "old")
    with pytest.raises(ExportError, match=r"the baseline, folder old, .*pipe"):
        exported(baseline, tmp_path)
