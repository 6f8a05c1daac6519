from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flopline.gate.sides import versions
from flopline.gate.sides.versions import Version, export, resolve
from tests.gate.support.projects import commit, content, git, state, write

pytestmark = pytest.mark.usefixtures("temporary")


def exported(version: Version, tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "exports" / version.name / "tree"
    return content(export(version, folder))


# What was asked for


def test_the_candidate_is_the_working_tree_unless_one_is_named(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    two = commit(repo, "two")
    before, after = resolve(repo, "HEAD~1")
    assert (before.label, before.commit, before.kind) == (f"HEAD~1 ({one[:7]})", one, "commit")
    assert (after.label, after.commit, after.kind) == (
        f"working tree ({two[:7]})",
        two,
        "working tree",
    )
    write(repo, {"new.txt": ""})
    assert resolve(repo, "HEAD~1")[1].label == f"working tree ({two[:7]} + changes)"
    assert resolve(repo, one, "HEAD")[1].label == f"HEAD ({two[:7]})"


def test_a_baseline_gives_way_to_the_merge_base(repo: Path) -> None:
    forked = git(repo, "rev-parse", "HEAD")
    git(repo, "branch", "feature")
    commit(repo, "what others did meanwhile")
    git(repo, "checkout", "--quiet", "feature")
    mine = commit(repo, "mine")
    for candidate in (None, "feature", mine):
        before, after = resolve(repo, "main", candidate)
        assert (before.commit, before.label) == (forked, f"main (merge base {forked[:7]})")
        assert after.commit == mine


def test_uncommitted_changes_are_compared_with_the_commit_they_stand_on_though_the_branch_is_behind(
    repo: Path,
) -> None:
    behind = git(repo, "rev-parse", "HEAD")
    git(repo, "branch", "feature")
    ahead = commit(repo, "what others did meanwhile")
    git(repo, "checkout", "--quiet", "feature")
    assert resolve(repo, "main")[0].commit == ahead
    write(repo, {"data.txt": "changed\n"})
    assert resolve(repo, "main")[0].commit == behind


def test_who_compares_backwards_gets_what_was_asked(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    two = commit(repo, "two")
    before, after = resolve(repo, "main", "HEAD~1")
    assert (before.commit, after.commit) == (two, one)
    assert before.label == f"main ({two[:7]})"


def test_unrelated_histories_are_compared_as_asked_and_it_is_said(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "--orphan", "other")
    other = commit(repo, "other")
    before, _ = resolve(repo, "other", "main")
    assert before.commit == other
    assert "no merge base" in before.label


def test_an_annotated_tag_a_hash_a_date_and_a_search_are_revisions(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "--annotate", "v1 ".strip(), "--message", "first")
    two = commit(repo, "two")
    for asked in ("v1", one, one[:9], "HEAD@{1}", ":/one", "main^"):
        assert resolve(repo, asked)[0].commit == one, asked
    assert resolve(repo, one[:9])[0].label == one[:9]
    assert resolve(repo, "@", "v1")[0].commit == two


def test_what_is_both_a_branch_and_a_folder_is_the_branch(repo: Path) -> None:
    git(repo, "branch", "pkg")
    assert resolve(repo, "pkg")[0].kind == "commit"
    assert resolve(repo, "./pkg")[0].kind == "folder"


@pytest.mark.parametrize(
    ("asked", "said"),
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
def test_what_is_no_version_is_refused_with_a_reason(repo: Path, asked: str, said: str) -> None:
    with pytest.raises(versions.VersionError, match=said.replace("(", r"\(")):
        resolve(repo, asked)
    if asked:
        with pytest.raises(versions.VersionError, match="the candidate"):
            resolve(repo, "main", asked)


def test_a_branch_whose_name_begins_with_a_dash_is_given_by_its_full_name(repo: Path) -> None:
    git(repo, "update-ref", "refs/heads/-x", "HEAD")
    with pytest.raises(versions.VersionError, match="refs/heads/-x"):
        resolve(repo, "-x")
    assert resolve(repo, "refs/heads/-x")[0].commit == git(repo, "rev-parse", "HEAD")


def test_a_shallow_clone_is_told_how_to_get_its_history(repo: Path, tmp_path: Path) -> None:
    commit(repo, "two")
    git(tmp_path, "clone", "--quiet", "--depth=1", repo.as_uri(), "shallow")
    with pytest.raises(versions.VersionError, match=r"git fetch --unshallow.*fetch-depth: 0"):
        resolve(tmp_path / "shallow", "HEAD~1")


def test_a_bare_repository_is_refused(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")
    for folder in (tmp_path / "bare.git", repo / ".git"):
        with pytest.raises(versions.VersionError, match="bare repository"):
            resolve(folder, "main")


def test_a_repository_without_a_commit_has_a_working_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "new")
    write(tmp_path, {"new/a.txt": "", "old/a.txt": ""})
    _, after = resolve(tmp_path / "new", "../old")
    assert (after.label, after.commit) == ("working tree (no commit yet + changes)", "")
    assert set(exported(after, tmp_path)) == {"a.txt"}


def test_what_git_itself_refuses_is_shown(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[broken")
    with pytest.raises(versions.GitError, match="bad config"):
        resolve(repo, "main")


@pytest.mark.parametrize("git_there", [True, False])
def test_two_folders_need_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git_there: bool
) -> None:
    if not git_there:
        monkeypatch.setenv("PATH", "")
    write(tmp_path, {"old/a.txt": "old", "new/a.txt": "new"})
    before, after = resolve(tmp_path / "new", "../old")
    assert (before.label, before.commit, after.label) == ("folder ../old", "", "folder new")
    assert (exported(before, tmp_path), exported(after, tmp_path)) == (
        {"a.txt": "old"},
        {"a.txt": "new"},
    )
    with pytest.raises(versions.VersionError, match="in no git checkout"):
        resolve(tmp_path / "new", "main")


def test_the_variables_of_a_git_hook_do_not_lead_astray(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    assert resolve(repo, "main")[0].source == repo


# From a version to a folder


def test_a_working_tree_is_what_lies_there_now_and_git_does_not_ignore(
    repo: Path, tmp_path: Path
) -> None:
    write(
        repo,
        {
            ".gitignore": "*.log\n/ignored/\n",
            "gone.txt": "",
            "from.txt": "moved",
            "-x y ü.txt": "",
            "hook.sh": "#!\n",
        },
    )
    (repo / "link").symlink_to("data.txt")
    commit(repo, "two")
    (repo / "gone.txt").unlink()
    git(repo, "mv", "from.txt", "to.txt")
    (repo / "hook.sh").chmod(0o755)
    write(
        repo,
        {
            "data.txt": "changed",
            "new ü/-a.txt": "untracked",
            "a.log": "",
            "ignored/a.txt": "",
            "pkg/__pycache__/a": "",
        },
    )
    write(repo, {"staged.txt": "staged"})
    git(repo, "add", "staged.txt")
    write(repo, {"staged.txt": "and changed"})
    (repo / "dangling").symlink_to("nowhere")
    before, after = resolve(repo, "HEAD")
    assert exported(after, tmp_path) == {
        ".gitignore": "*.log\n/ignored/\n",
        "pkg/__init__.py": "VALUE = 1\n",
        "data.txt": "changed",
        "to.txt": "moved",
        "-x y ü.txt": "",
        "hook.sh": "#!\n",
        "new ü/-a.txt": "untracked",
        "staged.txt": "and changed",
    }
    tree = tmp_path / "exports" / "candidate" / "tree"
    assert (tree / "link").readlink() == Path("data.txt")
    assert (tree / "dangling").readlink() == Path("nowhere")
    assert os.access(tree / "hook.sh", os.X_OK)
    assert set(exported(before, tmp_path)) == {
        ".gitignore", "pkg/__init__.py", "data.txt", "gone.txt", "from.txt", "-x y ü.txt", "hook.sh"
    }  # fmt: skip
    assert (tmp_path / "exports" / "baseline" / "tree" / "link").readlink() == Path("data.txt")


def test_a_folder_that_became_a_link_is_not_written_through(repo: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"__init__.py": "outside"})
    shutil.rmtree(repo / "pkg")
    (repo / "pkg").symlink_to(outside)
    _, after = resolve(repo, "HEAD")
    assert exported(after, tmp_path) == {"data.txt": "1\n"}
    assert (tmp_path / "exports" / "candidate" / "tree" / "pkg").readlink() == outside
    assert content(outside) == {"__init__.py": "outside"}


def test_repositories_that_only_lie_in_the_working_tree_are_no_part_of_it(
    repo: Path, tmp_path: Path
) -> None:
    git(repo, "worktree", "add", "--quiet", "inner", "-b", "inner")
    git(repo, "init", "--quiet", "foreign")
    write(repo, {"foreign/a.txt": ""})
    assert set(exported(resolve(repo, "HEAD")[1], tmp_path)) == {"data.txt", "pkg/__init__.py"}


def test_a_commit_is_exported_with_what_archives_leave_out_and_with_its_own_line_ends(
    repo: Path, tmp_path: Path
) -> None:
    write(
        repo,
        {
            ".gitattributes": "tests export-ignore\n*.txt eol=crlf\n*.py export-subst\n",
            "tests/a.py": "$Format:%H$",
        },
    )
    commit(repo, "two")
    write(repo, {".gitattributes": "*.txt eol=lf\n"})
    commit(repo, "three")
    before, _ = resolve(repo, "HEAD~1")
    files = exported(before, tmp_path)
    assert files["tests/a.py"] == "$Format:%H$"
    assert (tmp_path / "exports" / "baseline" / "tree" / "data.txt").read_bytes() == b"1\r\n"


def test_a_sparse_checkout_exports_whole_commits(repo: Path, tmp_path: Path) -> None:
    git(repo, "sparse-checkout", "set", "--no-cone", "/pkg/")
    assert not (repo / "data.txt").exists()
    assert set(exported(resolve(repo, "HEAD")[0], tmp_path)) == {"data.txt", "pkg/__init__.py"}


def test_a_linked_worktree_is_a_checkout_like_any(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "linked")
    write(tmp_path / "linked", {"data.txt": "changed"})
    before, after = resolve(tmp_path / "linked", "main")
    assert exported(before, tmp_path)["data.txt"] == "1\n"
    assert exported(after, tmp_path)["data.txt"] == "changed"


def test_a_folder_is_everything_but_what_earlier_work_left_there(tmp_path: Path) -> None:
    old = write(
        tmp_path / "old",
        {
            "a.txt": "",
            "build/__init__.py": "a package may be called so",
            "pkg/build/bdist.linux-x86_64/x": "",
            "pkg/build/lib/stale.py": "",
            ".git/x": "",
            ".venv/x": "",
            "env/pyvenv.cfg": "",
            "pkg/__pycache__/x": "",
            ".mypy_cache/x": "",
            f"{versions.PREFIX}x/y": "",
        },
    )
    (old / "link").symlink_to("a.txt")
    before, _ = resolve(tmp_path, "old")
    assert set(exported(before, tmp_path)) == {"a.txt", "build/__init__.py"}
    assert (tmp_path / "exports" / "baseline" / "tree" / "link").is_symlink()


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path / "old", {"a.txt": ""}) / "pipe")
    before, _ = resolve(tmp_path, "old")
    with pytest.raises(versions.ExportError, match=r"the baseline, folder old, .*pipe"):
        exported(before, tmp_path)


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A checkout with a submodule that has a submodule."""
    for name, inner in (("leaf", ""), ("middle", "leaf"), ("outer", "middle")):
        git(tmp_path, "init", "--quiet", name)
        write(tmp_path / name, {f"{name}.txt": "1"})
        if inner:
            git(
                tmp_path / name,
                "submodule",
                "--quiet",
                "add",
                (tmp_path / inner).as_uri(),
                f"{inner} ü",
            )
        commit(tmp_path / name, "one")
    git(
        tmp_path, "clone", "--quiet", "--recurse-submodules", (tmp_path / "outer").as_uri(), "clone"
    )
    return tmp_path / "clone"


def test_submodules_are_exported_at_the_commit_that_was_theirs(outer: Path, tmp_path: Path) -> None:
    middle = outer / "middle ü"
    write(middle, {"middle.txt": "2"})
    commit(middle, "two")
    commit(outer, "two")
    write(middle, {"leaf ü/leaf.txt": "uncommitted", "untracked.txt": ""})
    before, after = resolve(outer, "HEAD~1")
    untouched = state(outer)
    expected = {
        ".gitmodules", "outer.txt", "middle ü/.gitmodules", "middle ü/middle.txt", "middle ü/leaf ü/leaf.txt"
    }  # fmt: skip
    old, new = exported(before, tmp_path), exported(after, tmp_path)
    assert {name for name in old if not name.endswith(".git")} == expected
    assert (old["middle ü/middle.txt"], old["middle ü/leaf ü/leaf.txt"]) == ("1", "1")
    assert set(new) == expected | {"middle ü/untracked.txt"}
    assert (new["middle ü/middle.txt"], new["middle ü/leaf ü/leaf.txt"]) == ("2", "uncommitted")
    assert state(outer) == untouched


def test_a_submodule_that_is_not_there_is_named_with_the_remedy(
    outer: Path, tmp_path: Path
) -> None:
    before, _ = resolve(outer, "HEAD")
    git(outer, "submodule", "--quiet", "deinit", "--all", "--force")
    with pytest.raises(
        versions.ExportError, match=r"submodule middle ü .*git submodule update --init"
    ):
        exported(before, tmp_path)


def test_a_project_in_a_folder_of_the_repository_is_found_and_is_what_counts(
    repo: Path, tmp_path: Path
) -> None:
    write(
        repo,
        {
            "packages/mine/setup.py": "",
            "packages/mine/bench/test_x.py": "",
            "packages/other/setup.py": "",
        },
    )
    commit(repo, "two")
    before, after = resolve(repo / "packages" / "mine" / "bench", "HEAD")
    assert before.project == after.project == Path("packages/mine")
    assert set(exported(after, tmp_path)) == {"setup.py", "bench/test_x.py"}
    before, _ = resolve(repo / "packages" / "mine", "HEAD~1")
    with pytest.raises(versions.ExportError, match="has no folder packages/mine"):
        exported(before, tmp_path)
