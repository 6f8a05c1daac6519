"""In an exported version git answers as it does in the checkout, which is only read."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import sides
from flopline.gate.sides.export import export
from flopline.gate.sides.versions import resolve
from tests.gate.support.build_backends import run
from tests.support.checkouts import commit, content, git, state, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("temporary")

QUESTIONS = (
    "describe --tags --long --dirty --always",
    "rev-list --count HEAD",
    "log --oneline",
    "status --porcelain --untracked-files=no",
    "ls-files --stage",
    "tag --list",
    "rev-parse HEAD",
)


def answers(folder: Path) -> dict[str, str]:
    return {question: git(folder, *question.split()) for question in QUESTIONS}


def exports(checkout: Path, tmp_path: Path, baseline: str = "HEAD") -> tuple[Path, Path]:
    """Exports a baseline and the working tree of a checkout, and returns the roots of both."""
    before, after = resolve(checkout, baseline)
    folders = (tmp_path / "exports" / "base" / "tree", tmp_path / "exports" / "cand" / "tree")
    for version, folder in zip((before, after), folders, strict=True):
        export(version, folder)
    return folders


@pytest.fixture
def tagged(repo: Path) -> Path:
    """A checkout of three commits, whose first has two tags."""
    git(repo, "tag", "--annotate", "release/1.0", "--message", "first")
    git(repo, "tag", "light")
    for name in ("two", "three"):
        write(repo, {f"{name}.txt": name})
        commit(repo, name)
    return repo


def test_git_answers_in_an_export_as_in_the_checkout(tagged: Path, tmp_path: Path) -> None:
    expected = answers(tagged)
    untouched = state(tagged)
    for folder in exports(tagged, tmp_path):
        assert answers(folder) == expected
        assert git(folder, "archive", "--format=tar", "HEAD")
    assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert state(tagged) == untouched


def test_an_earlier_commit_is_described_as_if_it_were_checked_out(
    tagged: Path, tmp_path: Path
) -> None:
    folder, _ = exports(tagged, tmp_path, "HEAD~1")
    git(tagged, "checkout", "--quiet", "HEAD~1")
    assert answers(folder) == answers(tagged)


def test_changes_of_a_working_tree_are_changes_of_its_export(tagged: Path, tmp_path: Path) -> None:
    write(tagged, {"two.txt": "changed", "new.txt": "", "staged.txt": "", "intended.txt": ""})
    git(tagged, "add", "staged.txt")
    git(tagged, "add", "--intent-to-add", "intended.txt")
    (tagged / "three.txt").unlink()
    expected = answers(tagged)
    untouched = state(tagged)
    clean, changed = exports(tagged, tmp_path)
    assert answers(changed) == expected
    assert "dirty" in expected[QUESTIONS[0]]
    assert "?? new.txt" in git(changed, "status", "--porcelain")
    assert git(clean, "status", "--porcelain") == ""
    assert state(tagged) == untouched


def test_an_index_of_two_parts_is_copied_whole(tagged: Path, tmp_path: Path) -> None:
    git(tagged, "update-index", "--split-index")
    write(tagged, {"staged.txt": ""})
    git(tagged, "add", "staged.txt")
    assert list((tagged / ".git").glob("sharedindex.*"))
    _, present = exports(tagged, tmp_path)
    assert answers(present) == answers(tagged)


@pytest.mark.parametrize("kind", ["untagged", "shallow", "worktree", "detached", "sparse"])
def test_any_kind_of_checkout_can_be_asked(tagged: Path, tmp_path: Path, kind: str) -> None:
    checkout = tagged
    if kind == "untagged":
        git(tagged, "tag", "--delete", "light", "release/1.0")
    elif kind == "shallow":
        checkout = tmp_path / "shallow"
        git(tmp_path, "clone", "--quiet", "--depth=2", tagged.as_uri(), "shallow")
    elif kind == "worktree":
        checkout = tmp_path / "linked"
        git(tagged, "worktree", "add", "--quiet", str(checkout), "-b", "linked", "HEAD~1")
    elif kind == "detached":
        git(tagged, "checkout", "--quiet", "HEAD~1")
    else:
        git(tagged, "sparse-checkout", "set", "--no-cone", "/pkg/")
    whole, present = exports(checkout, tmp_path)
    assert answers(present) == answers(checkout)
    assert answers(whole) == answers(checkout)


def test_a_repository_with_longer_hashes_is_exported(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "long")
    write(tmp_path / "long", {"a.txt": "1"})
    commit(tmp_path / "long", "one")
    for folder in exports(tmp_path / "long", tmp_path):
        assert answers(folder) == answers(tmp_path / "long")


def test_a_replaced_commit_is_replaced_in_the_export(tagged: Path, tmp_path: Path) -> None:
    git(tagged, "replace", "--graft", "HEAD")
    for folder in exports(tagged, tmp_path):
        assert git(folder, "rev-list", "--count", "HEAD") == "1"


def test_settings_that_convert_files_come_along(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "windows")
    windows = tmp_path / "windows"
    git(windows, "config", "core.autocrlf", "true")
    git(windows, "config", "filter.up.clean", "tr a-z A-Z")
    git(windows, "config", "filter.up.smudge", 'tr A-Z a-z # "\\')
    (windows / "a.txt").write_bytes(b"1\r\n")
    write(windows, {"b.up": "text", ".gitattributes": "*.up filter=up\n"})
    commit(windows, "one")
    for folder in exports(windows, tmp_path):
        assert (folder / "a.txt").read_bytes() == b"1\r\n"
        assert git(folder, "status", "--porcelain") == ""
        assert git(folder, "config", "filter.up.smudge") == 'tr A-Z a-z # "\\'


def test_no_hook_and_no_template_of_the_user_gets_into_an_export(
    tagged: Path, tmp_path: Path
) -> None:
    hook = f"#!/bin/sh\ntouch '{tmp_path}/ran'\n"
    names = ("post-checkout", "post-index-change", "post-commit", "reference-transaction")
    for place in ("hooks", "template/hooks"):
        write(tmp_path / place, dict.fromkeys(names, hook))
        for name in names:
            (tmp_path / place / name).chmod(0o755)
    git(tagged, "config", "--global", "init.templateDir", str(tmp_path / "template"))
    git(tagged, "config", "--global", "core.hooksPath", str(tmp_path / "hooks"))
    for folder in exports(tagged, tmp_path):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", "in the export")
        git(folder, "status")
    assert not (tmp_path / "ran").exists()


def test_what_is_committed_in_an_export_stays_there(tagged: Path, tmp_path: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tagged.rglob("*") if path.is_file()}

    untouched = files()
    for folder in exports(tagged, tmp_path):
        write(folder, {"two.txt": "other"})
        commit(folder, "in the export")
        git(folder, "tag", "in-the-export")
        git(folder, "gc", "--quiet")
    assert files() == untouched


def test_a_folder_in_another_checkout_is_described_as_there(repo: Path, tmp_path: Path) -> None:
    write(repo, {"mine/a.txt": "", "other/b.txt": "", "conftest.py": "", "readme": ""})
    commit(repo, "two")
    git(repo, "tag", "1.0")
    shutil.copytree(repo, tmp_path / "clone")
    baseline, _ = resolve(repo / "mine", str(tmp_path / "clone" / "mine"))
    project = export(baseline, tmp_path / "exports" / "tree")
    assert content(tmp_path / "exports" / "tree") == {"mine/a.txt": "", "conftest.py": ""}
    assert git(project, "describe", "--tags", "--dirty") == "1.0"
    assert git(project, "ls-files") == "a.txt"


# Submodules


def test_a_submodule_is_a_repository_of_its_own(outer: Path, tmp_path: Path) -> None:
    for folder in exports(outer, tmp_path):
        assert git(folder, "describe", "--tags", "--dirty") == "outer-1"
        assert git(folder / "middle ü", "describe", "--tags", "--dirty") == "middle-1"
        assert git(folder / "middle ü" / "leaf ü", "describe", "--tags", "--dirty") == "leaf-1"
        assert git(folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("since", ["removed", "moved", "renamed", "changed to a folder"])
def test_a_submodule_is_found_whatever_became_of_it(
    outer: Path, tmp_path: Path, since: str
) -> None:
    middle = outer / "middle ü"
    if since == "removed":
        git(outer, "rm", "--quiet", "middle ü")
    elif since == "moved":
        git(outer, "mv", "middle ü", "elsewhere")
    elif since == "renamed":
        git(outer, "rm", "--quiet", "middle ü")
        (outer / ".git" / "modules" / "middle ü").rename(outer / ".git" / "modules" / "other")
    else:
        git(outer, "rm", "--quiet", "middle ü")
        write(middle, {"a.txt": ""})
    commit(outer, since)
    untouched = state(outer)
    folder, _ = exports(outer, tmp_path, "HEAD~1")
    assert content(folder / "middle ü")["leaf ü/leaf.txt"] == "1"
    assert git(folder / "middle ü" / "leaf ü", "describe", "--tags") == "leaf-1"
    assert state(outer) == untouched


# Where git looks


def test_a_folder_without_git_is_not_taken_for_a_part_of_a_checkout(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")  # around the folder for temporary files
    monkeypatch.setenv("GIT_DIR", str(repo / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo))
    new = write(tmp_path.parent / f"{tmp_path.name}-new", {"a.py": ""})
    old = write(tmp_path.parent / f"{tmp_path.name}-old", {"a.py": ""})
    ask = "import subprocess; print(subprocess.run(['git', 'rev-parse', '--show-toplevel'], text=1,"
    ask += "stdout=-1).stdout, end='')"
    with sides(new, str(old)) as both:
        for side in both:
            assert "GIT_CEILING_DIRECTORIES" in side.environment
            monkeypatch.delenv("GIT_DIR", raising=False)
            monkeypatch.delenv("GIT_WORK_TREE", raising=False)
            assert run(side, ask) == ""


SETUP = """\
import subprocess
from setuptools import setup

version = subprocess.check_output(["git", "describe", "--tags"], text=True).strip()
files = subprocess.check_output(["git", "ls-files", "subject"], text=True).split()
data = [name.removeprefix("subject/") for name in files]
setup(name="subject", version=version, packages=["subject"], package_data={"subject": data})
"""
SUBJECT = """\
from importlib.resources import files

VALUE = sorted(file.name for file in files(__name__).iterdir() if file.name.endswith(".csv"))
"""


def test_a_build_takes_its_version_and_its_files_from_git(repo: Path, tmp_path: Path) -> None:
    write(repo, {"setup.py": SETUP, "subject/__init__.py": SUBJECT, "subject/one.csv": ""})
    commit(repo, "two")
    git(repo, "tag", "1.5")
    write(repo, {"subject/two.csv": ""})
    git(repo, "add", "subject/two.csv")
    write(repo, {"subject/untracked.csv": ""})
    with sides(repo, "HEAD") as (baseline, candidate):
        assert run(baseline) == "['one.csv'] 1.5"
        assert run(candidate) == "['one.csv', 'two.csv'] 1.5"
    shutil.rmtree(repo / ".git")
    done = subprocess.run(["git", "describe"], cwd=repo, capture_output=True, check=False)
    assert done.returncode
