"""A recipe is another one whenever the build could be another one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.build import Workspace
from flopline.gate.sides.export import export
from flopline.gate.sides.interpreter import Interpreter
from flopline.gate.sides.recipe import Source, recipe, toolchain
from flopline.gate.sides.versions import resolve
from tests.support.checkouts import commit, git, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("temporary")

INTERPRETER = Interpreter("3.12.1", [], "", "", [], prefix="/env", binary="x", python="/env/python")
INSTALLABLE = {"pyproject.toml": "[build-system]\nrequires = ['tool']\n"}


@pytest.fixture
def checkout(repo: Path) -> Path:
    """A checkout with a commit that can be installed."""
    write(repo, INSTALLABLE)
    commit(repo, "two")
    git(repo, "tag", "v1")
    return repo


def digest(
    repo: Path,
    revision: str | None = "HEAD",
    *,
    interpreter: Interpreter = INTERPRETER,
    isolated: bool = True,
    variables: dict[str, str] | None = None,
) -> str:
    """Returns the recipe's digest of a version in a new folder; empty if there is no recipe."""
    version = resolve(repo, revision or "HEAD")[0 if revision else 1]
    number = len(list(repo.parent.glob("flopline-gate-*")))
    folder = repo.parent / f"flopline-gate-{number}" / "base"
    project = export(version, folder / "tree")
    workspace = Workspace("baseline", folder, project, variables=variables or {})
    source = Source.of(folder / "tree")
    found = recipe(source, workspace, interpreter, "pip", isolated=isolated)
    return "" if found is None else found.digest


def test_the_same_commit_has_the_same_recipe_wherever_it_is_exported(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(checkout)
    git(checkout, "branch", "other")
    for name in ("GITHUB_RUN_ID", "TMPDIR", "SHLVL", "UV", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "new")
    write(checkout, {"ignored.txt": "", "data.txt": "changed"})
    assert digest(checkout) == before != ""


def edit_file(repo: Path) -> None:
    write(repo, {"data.txt": "other\n"})
    commit(repo, "three")


def tag(repo: Path) -> None:
    git(repo, "tag", "v2")


def commit_nothing(repo: Path) -> None:
    commit(repo, "nothing")  # versions name the commit


def untag(repo: Path) -> None:
    git(repo, "tag", "--delete", "v1")


def make_runnable(repo: Path) -> None:
    (repo / "data.txt").chmod(0o755)
    git(repo, "add", "data.txt")


def shorten_history(repo: Path) -> None:
    write(repo, {".git/shallow": git(repo, "rev-parse", "HEAD") + "\n"})


@pytest.mark.parametrize(
    "change",
    [edit_file, tag, untag, commit_nothing, shorten_history],
    ids=lambda each: each.__name__,
)
def test_what_git_says_is_part_of_the_recipe(
    checkout: Path, change: Callable[[Path], None]
) -> None:
    before = digest(checkout)
    change(checkout)
    assert digest(checkout) != before


def switch(repo: Path) -> None:
    git(repo, "switch", "--quiet", "--create", "other")


def add_untracked(repo: Path) -> None:
    write(repo, {"new.txt": "1"})


def stage(repo: Path) -> None:
    git(repo, "add", "data.txt")


def link(repo: Path) -> None:
    (repo / "data.txt").unlink()
    (repo / "data.txt").symlink_to("pyproject.toml")


@pytest.mark.parametrize(
    "change", [switch, add_untracked, stage, link, make_runnable], ids=lambda each: each.__name__
)
def test_a_changed_working_tree_has_a_recipe_of_its_own(
    checkout: Path, change: Callable[[Path], None]
) -> None:
    write(checkout, {"data.txt": "changed"})
    before = digest(checkout, None)
    assert before not in {"", digest(checkout)}
    assert digest(checkout, None) == before
    change(checkout)
    assert digest(checkout, None) != before


def test_the_files_of_a_submodule_are_part_of_the_recipe(outer: Path) -> None:
    write(outer, INSTALLABLE)
    before = digest(outer, None)
    write(outer, {"middle ü/leaf ü/leaf.txt": "2"})
    assert digest(outer, None) not in {before, ""}


@pytest.mark.parametrize("name", ["CFLAGS", "SUBJECT_NO_EXTENSIONS", "PATH", "PIP_INDEX_URL"])
def test_any_variable_may_change_a_build(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = digest(checkout)
    monkeypatch.setenv(name, f"{os.environ.get(name, '')}:more")
    assert digest(checkout) != before


def test_the_interpreter_and_its_packages_are_part_of_the_recipe(
    checkout: Path, tmp_path: Path
) -> None:
    facts = write(tmp_path / "site", {"tool-1.dist-info/METADATA": "Name: tool\nVersion: 1\n"})
    interpreter = replace(INTERPRETER, path=[str(facts)])
    before = digest(checkout, interpreter=interpreter, isolated=False)
    for changed in (
        replace(interpreter, version="3.12.2"),
        replace(interpreter, binary="y"),
        replace(interpreter, python="/env/python3"),
    ):
        assert digest(checkout, interpreter=changed, isolated=False) != before
    assert digest(checkout, interpreter=interpreter) != before
    isolated = digest(checkout, interpreter=interpreter)
    write(facts, {"tool-1.dist-info/METADATA": "Name: tool\nVersion: 2\n"})
    assert digest(checkout, interpreter=interpreter, isolated=False) != before
    assert digest(checkout, interpreter=interpreter) == isolated


def test_what_cannot_be_known_has_no_recipe(checkout: Path, tmp_path: Path) -> None:
    origin = '{"url": "file:///tool", "dir_info": {"editable": true}}'
    files = {"METADATA": "Name: tool\nVersion: 1\n", "direct_url.json": origin}
    write(tmp_path / "site" / "tool-1.dist-info", files)
    interpreter = replace(INTERPRETER, path=[str(tmp_path / "site")])
    assert digest(checkout, interpreter=interpreter, isolated=False) == ""
    assert digest(checkout, interpreter=interpreter) != ""
    assert digest(checkout, variables={"PYTHONPATH": "/elsewhere"}) == ""
    (checkout / "inside").symlink_to("data.txt")
    assert digest(checkout, None) != ""
    (checkout / "outside").symlink_to(tmp_path)
    assert digest(checkout, None) == ""


def test_settings_of_the_user_are_part_of_the_recipe(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = digest(checkout)
    write(tmp_path, {".cargo/config.toml": "[build]\nrustflags = ['-Ctarget-cpu=native']\n"})
    assert digest(checkout) != before


def test_the_toolchain_is_another_one_with_another_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    before = toolchain()
    write(tmp_path, {"cc": "#!/bin/sh\n"})
    (tmp_path / "cc").chmod(0o755)
    assert toolchain() != before
