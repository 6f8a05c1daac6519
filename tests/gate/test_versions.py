from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from flopline.gate import versions
from flopline.gate.versions import Startable, Version, export, interpreters, overlay, resolve, sides

if TYPE_CHECKING:
    from flopline.gate.record import SideName

HATCHLING = """\
[build-system]
requires = ["hatchling>=1"]
build-backend = "hatchling.build"

[project]
name = "subject"
version = "{version}"
"""
# Packs a folder into a wheel: a build that needs nothing, and takes little time.
BACKEND = """\
import os, pathlib, zipfile
HERE = pathlib.Path(__file__).parent

def get_requires_for_build_wheel(settings=None):
    return {more}

def build_wheel(folder, settings=None, metadata=None):
    {before}
    facts = {{
        "METADATA": "Metadata-Version: 2.1\\nName: subject\\nVersion: {version}\\n{needs}",
        "WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    files = {{f"subject-{version}.dist-info/{{name}}": text for name, text in facts.items()}}
    for file in [*(HERE / "src").rglob("*.py"), *(HERE / "subject").rglob("*.py"), *HERE.glob("tests/*.py")]:
        name = file.relative_to(HERE / "src" if "src" in file.relative_to(HERE).parts else HERE)
        files[name.as_posix()] = file.read_text()
    isolated = "pip-build-env" in os.environ.get("PYTHONPATH", "")
    files["subject/_made.py"] = f"MADE = 'by the build of {version}'; ISOLATED = {{isolated}}"
    files["subject-{version}.dist-info/RECORD"] = "".join(f"{{name}},,\\n" for name in files)
    with zipfile.ZipFile(pathlib.Path(folder) / "subject-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "subject-{version}-py3-none-any.whl"
"""
OWN_BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
ASK = "import subject; from importlib.metadata import version; print(subject.VALUE, version('subject'))"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world of its own: no network, no user's settings, a temporary folder that can be looked through."""
    settings = tmp_path / "gitconfig"
    settings.write_text(
        '[user]\nname = Ä\nemail = a@b.c\n[init]\ndefaultBranch = main\n[protocol "file"]\nallow = always\n', "utf-8"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    folder = tmp_path / "temporary für alle"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A checkout with one commit, in a folder whose name is no shell's friend."""
    folder = tmp_path / "-my repo $(x) ü"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(folder, {"pkg/__init__.py": "VALUE = 1\n", "data.txt": "1\n"})
    commit(folder, "one")
    return folder


def git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = [shutil.which("git") or "git", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def project(  # noqa: PLR0913  # each is one thing a project may be like
    folder: Path,
    version: str,
    *,
    before: str = "pass",
    needs: str = "",
    where: str = "src/",
    more: tuple[str, ...] = (),
) -> Path:
    """A project whose build takes a moment, and whose value tells its version."""
    return write(
        folder,
        {
            "pyproject.toml": OWN_BACKEND,
            "backend.py": BACKEND.format(version=version, before=before, needs=needs, more=[*more]),
            f"{where}subject/__init__.py": f"VALUE = 'value of {version}'\n",
        },
    )


def content(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text("utf-8")
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }


def state(folder: Path) -> object:
    """Everything in a checkout and its repository, byte for byte, with its time stamps; and what git says of it."""
    files = {
        str(file): (file.lstat().st_mtime_ns, b"" if file.is_symlink() else file.read_bytes())
        for file in folder.rglob("*")
        if not file.is_dir() or file.is_symlink()
    }
    said = [
        git(folder, *command.split())
        for command in ("status --porcelain=v2 --branch", "worktree list", "for-each-ref", "stash list", "branch --all")
    ]
    return files, said


def exported(version: Version, tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "exports" / version.name / "tree"
    return content(export(version, folder))


def run(side: Startable, program: str = ASK, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [side.python, "-P", "-c", program],
        cwd=cwd or side.tree,
        env=os.environ | side.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What was asked for


def test_the_candidate_is_the_working_tree_unless_one_is_named(repo: Path) -> None:
    one = git(repo, "rev-parse", "HEAD")
    two = commit(repo, "two")
    before, after = resolve(repo, "HEAD~1")
    assert (before.label, before.commit, before.kind) == (f"HEAD~1 ({one[:7]})", one, "commit")
    assert (after.label, after.commit, after.kind) == (f"working tree ({two[:7]})", two, "working tree")
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


def test_uncommitted_changes_are_compared_with_the_commit_they_stand_on_though_the_branch_is_behind(repo: Path) -> None:
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
def test_two_folders_need_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git_there: bool) -> None:  # noqa: FBT001
    if not git_there:
        monkeypatch.setenv("PATH", "")
    write(tmp_path, {"old/a.txt": "old", "new/a.txt": "new"})
    before, after = resolve(tmp_path / "new", "../old")
    assert (before.label, before.commit, after.label) == ("folder ../old", "", "folder new")
    assert (exported(before, tmp_path), exported(after, tmp_path)) == ({"a.txt": "old"}, {"a.txt": "new"})
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


def test_a_working_tree_is_what_lies_there_now_and_git_does_not_ignore(repo: Path, tmp_path: Path) -> None:
    write(
        repo,
        {".gitignore": "*.log\n/ignored/\n", "gone.txt": "", "from.txt": "moved", "-x y ü.txt": "", "hook.sh": "#!\n"},
    )
    (repo / "link").symlink_to("data.txt")
    commit(repo, "two")
    (repo / "gone.txt").unlink()
    git(repo, "mv", "from.txt", "to.txt")
    (repo / "hook.sh").chmod(0o755)
    write(
        repo,
        {"data.txt": "changed", "new ü/-a.txt": "untracked", "a.log": "", "ignored/a.txt": "", "pkg/__pycache__/a": ""},
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


def test_repositories_that_only_lie_in_the_working_tree_are_no_part_of_it(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "inner", "-b", "inner")
    git(repo, "init", "--quiet", "foreign")
    write(repo, {"foreign/a.txt": ""})
    assert set(exported(resolve(repo, "HEAD")[1], tmp_path)) == {"data.txt", "pkg/__init__.py"}


def test_a_commit_is_exported_with_what_archives_leave_out_and_with_its_own_line_ends(
    repo: Path, tmp_path: Path
) -> None:
    write(
        repo,
        {".gitattributes": "tests export-ignore\n*.txt eol=crlf\n*.py export-subst\n", "tests/a.py": "$Format:%H$"},
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
            git(tmp_path / name, "submodule", "--quiet", "add", (tmp_path / inner).as_uri(), f"{inner} ü")
        commit(tmp_path / name, "one")
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", (tmp_path / "outer").as_uri(), "clone")
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


def test_a_submodule_that_is_not_there_is_named_with_the_remedy(outer: Path, tmp_path: Path) -> None:
    before, _ = resolve(outer, "HEAD")
    git(outer, "submodule", "--quiet", "deinit", "--all", "--force")
    with pytest.raises(versions.ExportError, match=r"submodule middle ü .*git submodule update --init"):
        exported(before, tmp_path)


def test_a_project_in_a_folder_of_the_repository_is_found_and_is_what_counts(repo: Path, tmp_path: Path) -> None:
    write(repo, {"packages/mine/setup.py": "", "packages/mine/bench/test_x.py": "", "packages/other/setup.py": ""})
    commit(repo, "two")
    before, after = resolve(repo / "packages" / "mine" / "bench", "HEAD")
    assert before.project == after.project == Path("packages/mine")
    assert set(exported(after, tmp_path)) == {"setup.py", "bench/test_x.py"}
    before, _ = resolve(repo / "packages" / "mine", "HEAD~1")
    with pytest.raises(versions.ExportError, match="has no folder packages/mine"):
        exported(before, tmp_path)


# From a folder to a side


def test_each_side_imports_its_own_and_the_checkout_stays_as_it_was(repo: Path, temporary: Path) -> None:
    write(repo, {"pyproject.toml": HATCHLING.format(version="1"), "src/subject/__init__.py": "VALUE = 'one'\n"})
    write(repo, {"benchmarks/__init__.py": "", "benchmarks/cases.py": "CASES = [1]\n", ".gitignore": "*.log\n"})
    commit(repo, "installable")
    write(repo, {"data.txt": "for later"})
    git(repo, "stash")
    write(repo, {"pyproject.toml": HATCHLING.format(version="2"), "src/subject/__init__.py": "VALUE = 'two'\n"})
    write(repo, {"benchmarks/cases.py": "CASES = [1, 2]\n", "src/subject/new.py": "", "x.log": ""})
    (repo / "data.txt").unlink()
    git(repo, "config", "core.splitIndex", "true")
    for hook in ("post-index-change", "post-checkout"):
        (repo / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch '{repo}/{hook}-ran'\n")
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    untouched = state(repo)
    with sides(repo, "HEAD") as (before, after):
        assert [run(before), run(after)] == ["one 1", "two 2"]
        helper = "from benchmarks import cases; print(len(cases.CASES))"
        assert [run(before, helper), run(after, helper)] == ["1", "2"]
        assert before.packages == after.packages == {"subject"}
        assert (before.python, after.python) == (sys.executable, sys.executable)
        assert (before.name, after.name) == ("baseline", "candidate")
        assert len(str(before.tree)) == len(str(after.tree))
        assert len(before.environment["PYTHONPATH"]) == len(after.environment["PYTHONPATH"])
        for side in (before, after):
            assert side.environment["PYTHONPATH"] == f"{side.site}{os.pathsep}{side.tree}"
            assert versions.roots(side)[:2] == (side.site, side.tree)
            assert side.site is not None
            assert list((side.site / "subject" / "__pycache__").iterdir())
        assert state(repo) == untouched
    assert state(repo) == untouched
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_whatever_happens_meanwhile(
    tmp_path: Path, temporary: Path, error: type[BaseException]
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})

    def interrupted() -> None:
        with sides(tmp_path / "new", "../old") as (before, after):
            assert before.tree.is_relative_to(temporary)
            (after.tree / "locked").mkdir(mode=0o000)
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(temporary.iterdir())


def test_a_project_that_pip_cannot_install_is_imported_from_its_tree(tmp_path: Path) -> None:
    for version in ("old", "new"):
        files = {"src/subject/__init__.py": f"VALUE = '{version}'", "beside.py": "", "tests/__init__.py": ""}
        write(tmp_path / version, {**files, "pyproject.toml": "[tool.pytest.ini_options]\n"})
    with sides(tmp_path / "new", "../old") as (before, after):
        for side, value in ((before, "old"), (after, "new")):
            assert run(side, "import subject, beside; print(subject.VALUE)") == value
            assert side.environment["PYTHONPATH"] == f"{side.tree / 'src'}{os.pathsep}{side.tree}"
            assert side.packages == {"subject"}
            assert side.site is None


@pytest.mark.parametrize("switch", ["[tool.uv]\npackage = false\n", "[tool.poetry]\npackage-mode = false\n"])
def test_a_project_that_says_it_is_no_package_is_imported_from_its_tree(tmp_path: Path, switch: str) -> None:
    write(tmp_path, {"a/pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n" + switch, "a/x/__init__.py": ""})
    with sides(tmp_path / "a", ".") as (before, _):
        assert before.site is None


def test_a_build_error_names_its_side_and_ends_with_what_pip_said(tmp_path: Path, temporary: Path) -> None:
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="raise SystemExit('the compiler has no mercy')")
    with pytest.raises(versions.BuildError) as caught, sides(tmp_path / "new", "../old"):
        pass
    text = str(caught.value)
    assert text.startswith("the candidate could not be built")
    assert "the compiler has no mercy" in text
    assert "baseline" not in text
    assert len(text.splitlines()) <= 21
    assert not list(temporary.iterdir())


def test_sides_whose_build_fails_are_both_told(tmp_path: Path) -> None:
    write(tmp_path, {"old/pyproject.toml": "[broken", "new/setup.py": "raise SystemExit('no')"})
    said = r"(?s)the baseline could not.*TOML.*the candidate could not"
    with pytest.raises(versions.BuildError, match=said), sides(tmp_path / "new", "../old"):
        pass


def test_build_isolation_is_used_where_the_environment_lacks_what_a_build_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "strange_tool", "3")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool")
    toml = tmp_path / "new" / "pyproject.toml"
    toml.write_text(toml.read_text().replace("requires = []", "requires = ['strange-tool>=3']"))
    with sides(tmp_path / "new", "../old") as (before, after):
        assert [run(before), run(after)] == ["value of 1 1", "value of 2 2"]


def test_where_a_build_fails_without_isolation_both_sides_are_built_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "strange_tool", "3")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool", more=("strange_tool",))
    with sides(tmp_path / "new", "../old") as both:
        for side in both:
            assert run(side, "from subject import _made; print(_made.ISOLATED)") == "True"


def test_what_the_project_depends_on_is_this_environments(tmp_path: Path) -> None:
    project(tmp_path / "old", "1", needs="Requires-Dist: nobody-has-this\\n")
    with sides(tmp_path / "old", ".") as (before, _):
        assert run(before, "import numpy, subject; print(numpy.__file__)") == np.__file__
        assert run(before, "from subject import _made; print(_made.ISOLATED)") == "False"


@pytest.mark.parametrize(
    ("requires", "there"),
    [
        ([], True),
        (["hatchling>=1.0"], True),
        (["hatchling>=1000"], False),
        (["a-tool-that-nobody-has"], False),
        (["a-tool-that-nobody-has; python_version < '3'"], True),
        (["hatchling @ file:///x", "not a requirement"], False),
        (None, True),
    ],
)
def test_what_the_environment_has_for_a_build_is_known(tmp_path: Path, requires: list[str] | None, there: bool) -> None:  # noqa: FBT001
    table = "" if requires is None else f"[build-system]\nrequires = {json.dumps(requires)}\n"
    assert versions._buildable(write(tmp_path, {"pyproject.toml": table})) is there  # noqa: SLF001


def test_a_version_that_comes_from_git_needs_no_git(tmp_path: Path) -> None:
    for name, version in (("old", "1"), ("new", "2")):
        project(
            tmp_path / name, version, before="import os; assert os.environ['SETUPTOOLS_SCM_PRETEND_VERSION'] == '0.0.0'"
        )
    with sides(tmp_path / "new", "../old") as (_, after):
        assert run(after) == "value of 2 2"


def test_a_tree_that_comes_first_has_what_only_the_build_made_and_no_test_is_hidden_by_a_wheel(tmp_path: Path) -> None:
    for name, version in (("old", "1"), ("new", "2")):
        write(project(tmp_path / name, version, where=""), {"tests/__init__.py": "", "tests/a.py": f"A = {version}"})
    with sides(tmp_path / "new", "../old") as (_, after):
        program = "import sys; sys.path.insert(0, '.'); from subject import _made; print(_made.__file__, _made.MADE)"
        assert run(after, program).endswith("tree/subject/_made.py by the build of 2")
        assert after.packages == {"subject"}
        assert run(after, "from tests import a; print(a.__file__)") == str(after.tree / "tests" / "a.py")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an environment of its own, with everything this one has."""
    return venv(tmp_path / "venv", everything=True)


def venv(folder: Path, *, everything: bool = False) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    if everything:
        site(folder, "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


def site(folder: Path, *names: str) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}), *names)


def install(python: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--disable-pip-version-check", *arguments], check=True)


GATE = f"""
import os, subprocess, sys
from pathlib import Path
from flopline.gate.versions import sides
with sides(Path(sys.argv[1]), sys.argv[2]) as both:
    for side in both:
        program = [side.python, "-P", "-c", {ASK!r}]
        subprocess.run(program, cwd=side.tree, env=os.environ | side.environment, check=True)
"""


@pytest.mark.parametrize("editable", [False, True])
def test_an_installed_project_is_shadowed_on_both_sides(tmp_path: Path, environment: Path, editable: bool) -> None:  # noqa: FBT001
    for name, version in (("old", "1"), ("new", "2"), ("installed", "3")):
        files = {"src/subject/__init__.py": f"VALUE = 'value of {version}'\n"}
        write(tmp_path / name, {**files, "pyproject.toml": HATCHLING.format(version=version)})
    install(environment, *["--editable"] * editable, str(tmp_path / "installed"))
    asked = subprocess.run([environment, "-c", ASK], capture_output=True, text=True, check=True)
    assert asked.stdout == "value of 3 3\n"
    done = subprocess.run(
        [environment, "-c", GATE, str(tmp_path / "new"), "../old"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "value of 1 1\nvalue of 2 2\n", done.stderr


def test_an_editable_installation_that_puts_itself_first_is_refused(tmp_path: Path, environment: Path) -> None:
    # as those of meson-python and scikit-build-core do
    project(tmp_path / "old", "1")
    write(tmp_path, {"elsewhere/subject/__init__.py": "VALUE = 'wrong'\n"})
    finder = f"""
        import importlib.machinery, sys
        class First:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "subject":
                    return importlib.machinery.PathFinder.find_spec(name, [{str(tmp_path / "elsewhere")!r}])
        sys.meta_path.insert(0, First)
        """
    site(tmp_path / "venv", "hostile.py").write_text(textwrap.dedent(finder))
    site(tmp_path / "venv", "hostile.pth").write_text("import hostile\n")
    done = subprocess.run(
        [environment, "-c", GATE, str(tmp_path / "old"), "."], capture_output=True, text=True, check=False
    )
    assert "BuildError: the baseline would not run its own code: subject would come from" in done.stderr
    assert "install without --editable" in done.stderr


def test_ctrl_c_during_a_build_ends_the_build_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    sleeping = tmp_path / "pid"
    before = f"import os, time; pathlib.Path({str(sleeping)!r}).write_text(str(os.getpid())); time.sleep(100)"
    project(tmp_path / "old", "1", before=before)
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + GATE
    gate = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "old"), "."], stderr=subprocess.PIPE, start_new_session=True
    )
    while not (sleeping.exists() and sleeping.read_text()):
        assert gate.poll() is None, gate.communicate()
        time.sleep(0.05)
    gate.send_signal(signal.SIGINT)
    _, text = gate.communicate(timeout=60)
    assert b"KeyboardInterrupt" in text
    state = Path("/proc", sleeping.read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert not list(temporary.iterdir())


def wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    facts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {f"{name}-{version}.dist-info/{file}": text for file, text in facts.items()}
    files |= {f"{name}/__init__.py": f"VERSION = '{version}'\n"}
    files[f"{name}-{version}.dist-info/RECORD"] = "".join(f"{file},,\n" for file in files)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


def test_isolated_sides_have_their_own_dependencies_and_this_environments_pytest(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    for name in ("pytest", "pytest_benchmark"):
        wheel(wheels, name, metadata.version(name))
        wheel(wheels, name, "999")
    wheel(wheels, "helper", "1")
    wheel(wheels, "helper", "2")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    for name, version in (("old", "1"), ("new", "2")):
        project(tmp_path / name, version, needs=f"Requires-Dist: helper=={version}\\n")
    with sides(tmp_path / "new", "../old", isolated=True) as (before, after):
        program = ASK + "; import helper; print(helper.VERSION, version('pytest'), version('pytest-benchmark'))"
        harness = f"{metadata.version('pytest')} {metadata.version('pytest-benchmark')}"
        assert run(before, program).split("\n") == ["value of 1 1", f"1 {harness}"]
        assert run(after, program).split("\n") == ["value of 2 2", f"2 {harness}"]
        assert before.packages == {"subject"}
        assert run(after, "import sys; print(sys.prefix)") == str(Path(after.python).parents[1])
        assert run(after, "import importlib.util as u; print(u.find_spec('numpy'))") == "None"
    assert not list(temporary.iterdir())


# Benchmark files


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Startable, Startable]:
    return startable(tmp_path / "base", "baseline"), startable(tmp_path / "cand", "candidate")


def startable(tree: Path, name: SideName) -> Startable:
    tree.mkdir()
    version = Version(name, "", "", "folder", tree)
    return Startable(version, sys.executable, tree, {"PYTHONPATH": str(tree)}, frozenset({"pkg"}))


def test_the_outermost_folder_around_a_benchmark_is_replaced_as_a_whole(pair: tuple[Startable, Startable]) -> None:
    before, after = pair
    write(
        before.tree, {"benchmarks/suite/test_x.py": "old", "benchmarks/only_old.py": "", "pkg/a.py": "old", "b": "old"}
    )
    write(
        after.tree, {"benchmarks/suite/test_x.py": "new", "benchmarks/cases.py": "new", "pkg/a.py": "new", "b": "new"}
    )
    write(after.tree, {"benchmarks/__pycache__/x": ""})
    (after.tree / "benchmarks" / "link").symlink_to("cases.py")
    overlay(after, before, ["benchmarks/suite/test_x.py"])
    assert content(before.tree) == {
        "benchmarks/suite/test_x.py": "new",
        "benchmarks/cases.py": "new",
        "pkg/a.py": "old",
        "b": "old",
    }
    assert (before.tree / "benchmarks" / "link").readlink() == Path("cases.py")


@pytest.mark.parametrize(
    ("file", "taken"),
    [
        ("test_x.py", {"test_x.py"}),
        ("src/pkg/benchmarks/deep/test_x.py", {"src/pkg/benchmarks"}),
        ("src/pkg/sub/tests/deep/test_x.py", {"src/pkg/sub/tests"}),
        ("pkg/sub/test_x.py", {"pkg/sub/test_x.py"}),
        ("pkg/test_x.py", {"pkg/test_x.py"}),
        ("python/tests/test_x.py", {"python/tests"}),
        ("tests/pkg/test_x.py", {"tests"}),
        ("perf/src/test_x.py", {"perf"}),
    ],
)
def test_no_folder_with_the_subject_in_it_is_replaced(
    pair: tuple[Startable, Startable], file: str, taken: set[str]
) -> None:
    before, after = pair
    folders = [path.as_posix() for path in Path(file).parents][:-1]
    for side in pair:
        beside = {f"{folder}/beside.py": side.name for folder in folders}
        write(side.tree, {file: side.name, **beside, "root.py": side.name})
    overlay(after, before, [file])
    new = {name for name, text in content(before.tree).items() if text == "candidate"}
    assert new == {
        name for name in content(after.tree) if any(name == part or name.startswith(f"{part}/") for part in taken)
    }


def test_every_conftest_above_and_every_configuration_of_pytest_come_along(pair: tuple[Startable, Startable]) -> None:
    before, after = pair
    write(before.tree, {"pytest.ini": "old", "tox.ini": "old", "src/conftest.py": "old", "src/pkg/tests/a.py": "old"})
    write(after.tree, {"pyproject.toml": "new", "tox.ini": "new", "conftest.py": "new", "src/pkg/conftest.py": "new"})
    write(after.tree, {"src/pkg/tests/a.py": "new", "src/pkg/b.py": "new"})
    overlay(after, before, ["src/pkg/tests/a.py"])
    assert content(before.tree) == {
        "pyproject.toml": "new",
        "tox.ini": "new",
        "conftest.py": "new",
        "src/pkg/conftest.py": "new",
        "src/pkg/tests/a.py": "new",
    }


def test_a_linked_suite_brings_what_it_stands_for(pair: tuple[Startable, Startable]) -> None:
    before, after = pair
    write(after.tree, {"perf/suite/test_x.py": "new"})
    (after.tree / "benchmarks").symlink_to("perf/suite")
    write(before.tree, {"benchmarks/test_x.py": "old"})
    overlay(after, before, ["benchmarks/test_x.py"])
    assert content(before.tree) == {"perf/suite/test_x.py": "new"}
    assert (before.tree / "benchmarks" / "test_x.py").read_text() == "new"


@pytest.mark.parametrize(
    "file", ["../outside.py", "benchmarks/../../outside.py", "/etc/hostname", "nowhere.py", "out/x.py"]
)
def test_a_benchmark_file_outside_of_its_tree_is_refused(
    pair: tuple[Startable, Startable], tmp_path: Path, file: str
) -> None:
    before, after = pair
    write(tmp_path, {"outside.py": "", "outside/x.py": ""})
    (after.tree / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(versions.OverlayError, match="is not in"):
        overlay(after, before, [file])
    assert content(before.tree) == {}


def test_nothing_is_written_through_a_link_of_the_other_side(pair: tuple[Startable, Startable], tmp_path: Path) -> None:
    before, after = pair
    outside = write(tmp_path / "outside", {"x.py": "safe", "pkg/x.py": "safe"})
    write(after.tree, {"benchmarks/x.py": "new", "src/pkg/x.py": "new"})
    (before.tree / "benchmarks").symlink_to(outside)
    (before.tree / "src").symlink_to(outside)
    with pytest.raises(versions.OverlayError, match="leads out of its tree"):
        overlay(after, before, ["src/pkg/x.py"])
    overlay(after, before, ["benchmarks/x.py"])
    assert content(outside) == {"x.py": "safe", "pkg/x.py": "safe"}
    assert (before.tree / "benchmarks" / "x.py").read_text() == "new"
    assert not (before.tree / "benchmarks").is_symlink()


# Interpreters


def test_two_interpreters_run_copies_of_the_working_tree(repo: Path, environment: Path, temporary: Path) -> None:
    write(repo, {"src/subject/__init__.py": "VALUE = 'tree'", "data.txt": "changed"})
    head, untouched = git(repo, "rev-parse", "HEAD"), state(repo)
    with interpreters(repo, sys.executable, str(environment)) as (before, after):
        assert (before.python, after.python) == (sys.executable, str(environment))
        for side in (before, after):
            assert run(side, "import subject, sys; print(subject.VALUE, sys.executable)") == f"tree {side.python}"
            assert (side.tree / "data.txt").read_text() == "changed"
            assert side.version.commit == head
        number = ".".join(map(str, sys.version_info[:3]))
        assert after.version.label == f"{environment} (Python {number}, working tree ({head[:7]} + changes))"
        assert before.tree != after.tree
        assert versions.roots(after)[-1] == site(environment.parents[1])
    assert state(repo) == untouched
    assert not list(temporary.iterdir())


def test_a_project_installed_in_an_interpreter_is_what_it_runs(tmp_path: Path, environment: Path) -> None:
    built = project(tmp_path / "built", "1", where="")
    write(built, {"pyproject.toml": OWN_BACKEND + "[project]\nname = 'subject'\nversion = '1'\n"})
    install(environment, str(built))
    write(built, {"subject/__init__.py": "VALUE = 'tree'\n", "tests/test_x.py": "", "conftest.py": ""})
    with interpreters(built, sys.executable, str(environment)) as (before, after):
        ask = "import sys; sys.path.insert(0, '.'); import subject; print(subject.VALUE)"
        assert [run(before, ask), run(after, ask)] == ["tree", "value of 1"]
        assert "subject 1 in it, folder built" in after.version.label
        assert before.packages == after.packages == {"subject"}


def test_a_package_that_is_a_link_is_left_where_it_leads(tmp_path: Path, environment: Path) -> None:
    built = write(project(tmp_path / "built", "1"), {"pyproject.toml": OWN_BACKEND + "[project]\nname = 'subject'\n"})
    install(environment, str(built))
    (tmp_path / "elsewhere").mkdir()
    (built / "src").rename(tmp_path / "elsewhere" / "src")
    (built / "src").symlink_to(tmp_path / "elsewhere" / "src")
    (built / "subject").symlink_to("src/subject")
    elsewhere = content(tmp_path / "elsewhere")
    with interpreters(built, sys.executable, str(environment)) as (_, after):
        assert (after.tree / "src").is_symlink()
        assert not (after.tree / "subject").is_symlink()
    with sides(built, "."):
        pass
    assert content(tmp_path / "elsewhere") == elsewhere


def test_what_an_editable_installation_lists_is_not_taken_from_the_tree(tmp_path: Path, environment: Path) -> None:
    plain = write(tmp_path / "plain", {"pyproject.toml": "[project]\nname = 'subject'\n", "subject/__init__.py": ""})
    # as `setup.py develop` leaves it
    old = {"PKG-INFO": "Metadata-Version: 1.0\nName: subject\nVersion: 1\n", "SOURCES.txt": "subject/__init__.py\n"}
    write(site(tmp_path / "venv", "subject.egg-info"), old)
    with interpreters(plain, sys.executable, str(environment)) as (_, after):
        assert (after.tree / "subject").is_dir()
    shutil.rmtree(site(tmp_path / "venv", "subject.egg-info"))
    install(environment, "--editable", str(write(plain, {"pyproject.toml": HATCHLING.format(version="1")})))
    with interpreters(plain, sys.executable, str(environment)) as (_, after):
        assert run(after, "import subject; print(subject.__file__)") == str(after.tree / "subject" / "__init__.py")


def test_a_shell_given_for_an_interpreter_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = write(tmp_path, {"bin/import": f"#!/bin/sh\ntouch '{tmp_path}/ran'\n"}) / "bin"
    (tool / "import").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(versions.InterpreterError), interpreters(tmp_path / "bin", "/bin/sh", sys.executable):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["nowhere/bin/python", "", ".", "plain.py", "/bin/sh", "liar"])
def test_what_is_no_python_is_refused_by_name(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(write(tmp_path, {"plain.py": "", "liar": "#!/bin/sh\necho 3.12\n"}))
    (tmp_path / "liar").chmod(0o755)
    asked = "./liar" if name == "liar" else name
    refused = pytest.raises(versions.InterpreterError, match="the candidate's interpreter")
    with refused, interpreters(tmp_path, sys.executable, asked):
        pass
    assert not list(temporary.iterdir())


def test_an_interpreter_without_pytest_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    bare = venv(tmp_path / "bare")
    refused = pytest.raises(versions.InterpreterError, match=r"the baseline's.*lacks pytest and pytest_benchmark")
    with refused, interpreters(tmp_path, str(bare), sys.executable):
        pass


def test_an_interpreter_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(versions.EXAMINE)  # noqa: S102
    known = json.loads(said.getvalue())
    assert (known["python"], known["lacks"]) == ("3.10.4", ["Python 3.11 or later"])
