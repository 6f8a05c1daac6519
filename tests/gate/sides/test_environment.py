"""A revision, a folder or an interpreter becomes a side that runs its own code."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.sides.build import BuildError
from flopline.gate.sides.environment import VanishedError, interpreters, sides
from flopline.gate.sides.interpreter import InterpreterError
from tests.gate.support.build_backends import (
    OWN_BACKEND,
    RUN_SIDES,
    SHOW_VALUE,
    install,
    project,
    run,
    wheel,
)
from tests.gate.support.make_projects import HATCHLING, site, venv
from tests.gate.support.processes import SUITES
from tests.support.checkouts import commit, content, git, state, write

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.sides.environment import Side

pytestmark = pytest.mark.usefixtures("temporary")


# Revisions and folders


@pytest.fixture
def edited(repo: Path) -> Path:
    """A checkout whose package and benchmarks have changed, with a stash and hooks."""
    before = {
        "pyproject.toml": HATCHLING.format(version="1"),
        "src/subject/__init__.py": "VALUE = 'one'\n",
        "benchmarks/__init__.py": "",
        "benchmarks/cases.py": "CASES = [1]\n",
        ".gitignore": "*.log\n",
    }
    after = {
        "pyproject.toml": HATCHLING.format(version="2"),
        "src/subject/__init__.py": "VALUE = 'two'\n",
        "src/subject/new.py": "",
        "benchmarks/cases.py": "CASES = [1, 2]\n",
        "x.log": "",
    }
    write(repo, before)
    commit(repo, "installable")
    write(repo, {"data.txt": "for later"})
    git(repo, "stash")
    write(repo, after)
    (repo / "data.txt").unlink()
    git(repo, "config", "core.splitIndex", "true")
    for hook in ("post-index-change", "post-checkout"):
        write(repo, {f".git/hooks/{hook}": f"#!/bin/sh\ntouch '{repo}/{hook}-ran'\n"})
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    return repo


def test_each_side_imports_its_own_and_the_checkout_stays_as_it_was(
    edited: Path, temporary: Path
) -> None:
    untouched = state(edited)
    with sides(edited, "HEAD") as (baseline, candidate):
        assert [run(baseline), run(candidate)] == ["one 1", "two 2"]
        count_cases = "from benchmarks import cases; print(len(cases.CASES))"
        assert [run(baseline, count_cases), run(candidate, count_cases)] == ["1", "2"]
        assert baseline.packages == candidate.packages == {"subject"}
        assert baseline.python == candidate.python == sys.executable
        assert (baseline.name, candidate.name) == ("baseline", "candidate")
        assert len(str(baseline.tree)) == len(str(candidate.tree))
        paths = [side.environment["PYTHONPATH"] for side in (baseline, candidate)]
        assert len(paths[0]) == len(paths[1])
        for side, path in zip((baseline, candidate), paths, strict=True):
            assert path == f"{side.site}{os.pathsep}{side.tree}"
            assert side.roots == (side.site, side.tree)
            assert side.site is not None
            assert list((side.site / "subject" / "__pycache__").iterdir())
        assert state(edited) == untouched
    assert state(edited) == untouched
    assert not list(temporary.iterdir())


def test_a_project_that_pip_cannot_install_is_imported_from_its_tree(tmp_path: Path) -> None:
    for version in ("old", "new"):
        files = {
            "src/subject/__init__.py": f"VALUE = '{version}'",
            "beside.py": "",
            "tests/__init__.py": "",
            "pyproject.toml": "[tool.pytest.ini_options]\n",
        }
        write(tmp_path / version, files)
    with sides(tmp_path / "new", "../old") as (baseline, candidate):
        for side, value in ((baseline, "old"), (candidate, "new")):
            assert run(side, "import subject, beside; print(subject.VALUE)") == value
            assert side.environment["PYTHONPATH"] == f"{side.tree / 'src'}{os.pathsep}{side.tree}"
            assert side.packages == {"subject"}
            assert side.site is None


@pytest.mark.parametrize(
    "switch", ["[tool.uv]\npackage = false\n", "[tool.poetry]\npackage-mode = false\n"]
)
def test_a_project_that_is_declared_no_package_is_imported_from_its_tree(
    tmp_path: Path, switch: str
) -> None:
    toml = f"[project]\nname = 'x'\nversion = '1'\n{switch}"
    write(tmp_path, {"a/pyproject.toml": toml, "a/x/__init__.py": ""})
    with sides(tmp_path / "a", ".") as (baseline, _):
        assert baseline.site is None


def test_a_tree_that_comes_first_has_what_only_the_build_made(built: tuple[Side, Side]) -> None:
    _, candidate = built
    tree_first = "import sys; sys.path.insert(0, '.'); from subject import _made"
    made = run(candidate, f"{tree_first}; print(_made.__file__, _made.MADE)")
    assert made == f"{candidate.tree}/subject/_made.py by the build of 2"


def test_no_test_of_the_tree_is_hidden_by_a_wheel(built: tuple[Side, Side]) -> None:
    _, candidate = built
    assert candidate.packages == {"subject"}
    file = candidate.tree / "tests" / "a.py"
    assert run(candidate, "from tests import a; print(a.__file__)") == str(file)


@pytest.mark.parametrize("options", [[], ["--editable"]], ids=["installed", "editable"])
def test_an_installed_project_is_shadowed_on_both_sides(
    tmp_path: Path, environment: Path, options: list[str]
) -> None:
    for name, version in (("old", "1"), ("new", "2"), ("installed", "3")):
        files = {
            "src/subject/__init__.py": f"VALUE = 'value of {version}'\n",
            "pyproject.toml": HATCHLING.format(version=version),
        }
        write(tmp_path / name, files)
    install(environment, *options, str(tmp_path / "installed"))
    show = [str(environment), "-c", SHOW_VALUE]
    installed = subprocess.run(show, capture_output=True, text=True, check=True)
    assert installed.stdout == "value of 3 3\n"
    command = [str(environment), *RUN_SIDES, str(tmp_path / "new"), "../old"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "value of 1 1\nvalue of 2 2\n", done.stderr


def test_an_editable_installation_that_puts_itself_first_is_refused(
    tmp_path: Path, environment: Path
) -> None:
    project(tmp_path / "old", "1")
    finder = (SUITES / "backend" / "first_finder.py").read_text("utf-8")
    packages = site(tmp_path / "venv")
    write(packages, {"first_finder.py": finder, "first_finder.pth": "import first_finder\n"})
    write(packages / "elsewhere", {"subject/__init__.py": "VALUE = 'wrong'\n"})
    command = [str(environment), *RUN_SIDES, str(tmp_path / "old"), "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    reason = "the baseline would not run its own code: subject would come from"
    assert f"BuildError: {reason}" in done.stderr
    assert "install without --editable" in done.stderr


# Wheels


def test_a_wheel_runs_with_the_suite_of_the_other_side(repo: Path, tmp_path: Path) -> None:
    project(repo, "2")
    suite = {
        "src/subject/tests/data.txt": "2",
        "src/subject/conftest.py": "",
        "bench/x.py": "X = 2",
    }
    write(repo, suite)
    commit(repo, "two")
    wheel(tmp_path / "dist", "subject", "1")
    tree_first = "import sys; sys.path.insert(0, 'src'); "
    show = "import subject; print(subject.VERSION, hasattr(subject, 'VALUE'))"
    with sides(repo, "../dist/subject-1-py3-none-any.whl", "HEAD") as (baseline, candidate):
        assert run(baseline, show) == run(baseline, tree_first + show) == "1 False"
        assert run(candidate) == "value of 2 2"
        assert baseline.version.label == "wheel ../dist/subject-1-py3-none-any.whl"
        assert baseline.version.commit == ""
        assert baseline.packages == {"subject"}
        for side in (baseline, candidate):
            assert {name for name in suite if (side.tree / name).exists()} == {*suite}


def test_two_wheels_run_with_the_suite_of_the_working_tree(repo: Path, tmp_path: Path) -> None:
    project(repo, "3")
    for version in ("1", "2"):
        wheel(tmp_path / "dist", "subject", version)
    write(repo, {"bench/new.py": ""})
    both = [str(tmp_path / "dist" / f"subject-{version}-py3-none-any.whl") for version in "12"]
    with sides(repo, *both) as versions:
        for side, version in zip(versions, "12", strict=True):
            assert run(side, "import subject; print(subject.VERSION)") == version
            assert (side.tree / "bench" / "new.py").exists()


def test_a_wheel_of_something_else_is_installed_beside_the_project(
    repo: Path, tmp_path: Path
) -> None:
    project(repo, "3")
    named = OWN_BACKEND + "[project]\nname = 'subject'\ndynamic = ['version']\n"
    write(repo, {"pyproject.toml": named})
    for version in ("1", "2"):
        wheel(tmp_path / "dist", "helper", version)
    both = [str(tmp_path / "dist" / f"helper-{version}-py3-none-any.whl") for version in "12"]
    show = "import helper, subject; print(helper.VERSION, subject.VALUE)"
    with sides(repo, *both) as (baseline, candidate):
        assert [run(baseline, show), run(candidate, show)] == ["1 value of 3", "2 value of 3"]


def test_a_wheel_that_cannot_be_installed_is_reported_with_its_side(
    repo: Path, tmp_path: Path
) -> None:
    write(tmp_path, {"subject-1-py3-none-any.whl": "no archive"})
    message = "the baseline could not be built; pip's last lines:"
    refused = pytest.raises(BuildError, match=message)
    with refused, sides(repo, "../subject-1-py3-none-any.whl"):
        pass


# Nothing is left behind


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_whatever_happens_meanwhile(
    tmp_path: Path, temporary: Path, error: type[BaseException]
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})

    def interrupted() -> None:
        with sides(tmp_path / "new", "../old") as (baseline, candidate):
            assert baseline.tree.is_relative_to(temporary)
            (candidate.tree / "locked").mkdir(mode=0o000)
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("moment", ["made", "removed"])
def test_ctrl_c_leaves_no_folder_even_while_it_is_made_or_removed(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})
    make, remove = tempfile.mkdtemp, shutil.rmtree

    def made(*arguments: Any, **named: Any) -> str:  # noqa: ANN401  # as mkdtemp
        folder: str = make(*arguments, **named)
        signal.raise_signal(signal.SIGINT)
        return folder

    def removed(*arguments: Any, **named: Any) -> None:  # noqa: ANN401  # as rmtree
        signal.raise_signal(signal.SIGINT)
        remove(*arguments, **named)

    if moment == "made":
        monkeypatch.setattr(tempfile, "mkdtemp", made)
    else:
        monkeypatch.setattr(shutil, "rmtree", removed)
    with pytest.raises(KeyboardInterrupt), sides(tmp_path / "new", "../old"):
        pass
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("error", [FileNotFoundError, BuildError])
def test_a_temporary_folder_that_vanishes_is_an_error_in_one_sentence(
    tmp_path: Path, temporary: Path, error: type[Exception]
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})

    def vanishing() -> None:
        with sides(tmp_path / "new", "../old"):
            for folder in temporary.iterdir():
                shutil.rmtree(folder)
            raise error

    with pytest.raises(VanishedError, match="was removed while both sides were in it; let TMPDIR"):
        vanishing()


def test_a_temporary_folder_may_vanish_while_pip_builds(tmp_path: Path, temporary: Path) -> None:
    before = f"import shutil; shutil.rmtree({str(temporary)!r}, ignore_errors=True)"
    project(tmp_path / "old", "1", before=before)
    with pytest.raises(VanishedError), sides(tmp_path / "old", "."):
        pass


def test_an_error_in_a_folder_that_is_there_stays_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})
    with pytest.raises(FileNotFoundError, match="other"), sides(tmp_path / "new", "../old"):
        raise FileNotFoundError("other")


# Interpreters


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the project `subject`, version 1, is installed."""
    folder = tmp_path_factory.mktemp("equipped")
    python = venv(folder / "venv", everything=True)
    install(python, str(project(folder / "subject", "1")))
    return python


def test_two_interpreters_run_copies_of_the_working_tree(
    repo: Path, environment: Path, temporary: Path
) -> None:
    write(repo, {"src/subject/__init__.py": "VALUE = 'tree'", "data.txt": "changed"})
    head, untouched = git(repo, "rev-parse", "HEAD"), state(repo)
    show = "import subject, sys; print(subject.VALUE, sys.executable)"
    with interpreters(repo, sys.executable, str(environment)) as (baseline, candidate):
        assert (baseline.python, candidate.python) == (sys.executable, str(environment))
        for side in (baseline, candidate):
            assert run(side, show) == f"tree {side.python}"
            assert (side.tree / "data.txt").read_text() == "changed"
            assert side.version.commit == head
        number = ".".join(str(part) for part in sys.version_info[:3])
        origin = f"Python {number}, working tree ({head[:7]} + changes)"
        assert candidate.version.label == f"{environment} ({origin})"
        assert baseline.tree != candidate.tree
        assert candidate.roots[-1] == site(environment.parents[1])
    assert state(repo) == untouched
    assert not list(temporary.iterdir())


def test_a_project_installed_in_an_interpreter_is_what_it_runs(
    tmp_path: Path, equipped: Path
) -> None:
    tree = tmp_path / "tree"
    toml = "[project]\nname = 'subject'\nversion = '1'\n"
    write(tree, {"pyproject.toml": toml, "subject/__init__.py": "VALUE = 'tree'\n"})
    write(tree, {"tests/test_x.py": "", "conftest.py": ""})
    tree_first = "import sys; sys.path.insert(0, '.'); import subject; print(subject.VALUE)"
    with interpreters(tree, sys.executable, str(equipped)) as (baseline, candidate):
        assert [run(baseline, tree_first), run(candidate, tree_first)] == ["tree", "value of 1"]
        assert "subject 1 in it, folder tree" in candidate.version.label
        assert baseline.packages == candidate.packages == {"subject"}


def test_a_package_that_is_a_link_is_left_where_it_leads(tmp_path: Path, equipped: Path) -> None:
    tree = project(tmp_path / "tree", "1")
    write(tree, {"pyproject.toml": OWN_BACKEND + "[project]\nname = 'subject'\n"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tree / "src").rename(elsewhere / "src")
    (tree / "src").symlink_to(elsewhere / "src")
    (tree / "subject").symlink_to("src/subject")
    untouched = content(elsewhere)
    with interpreters(tree, sys.executable, str(equipped)) as (_, candidate):
        assert (candidate.tree / "src").is_symlink()
        assert not (candidate.tree / "subject").is_symlink()
    with sides(tree, "."):
        pass
    assert content(elsewhere) == untouched


def test_what_an_editable_installation_lists_stays_in_the_tree(
    tmp_path: Path, environment: Path
) -> None:
    plain = tmp_path / "plain"
    toml = "[project]\nname = 'subject'\n"
    write(plain, {"pyproject.toml": toml, "subject/__init__.py": ""})
    # This is what `setup.py develop` leaves.
    facts = {
        "PKG-INFO": "Metadata-Version: 1.0\nName: subject\nVersion: 1\n",
        "SOURCES.txt": "subject/__init__.py\n",
    }
    egg_info = write(site(tmp_path / "venv", "subject.egg-info"), facts)
    with interpreters(plain, sys.executable, str(environment)) as (_, candidate):
        assert (candidate.tree / "subject").is_dir()
    shutil.rmtree(egg_info)
    write(plain, {"pyproject.toml": HATCHLING.format(version="1")})
    install(environment, "--editable", str(plain))
    with interpreters(plain, sys.executable, str(environment)) as (_, candidate):
        file = candidate.tree / "subject" / "__init__.py"
        assert run(candidate, "import subject; print(subject.__file__)") == str(file)


def test_an_editable_installation_of_another_checkout_is_refused(
    tmp_path: Path, environment: Path
) -> None:
    for name in ("here", "elsewhere"):
        files = {"pyproject.toml": HATCHLING.format(version="1"), "subject/__init__.py": ""}
        write(tmp_path / name, files)
    install(environment, "--editable", str(tmp_path / "elsewhere"))
    message = f"installed as editable from {tmp_path / 'elsewhere'}, but"
    both = interpreters(tmp_path / "here", sys.executable, str(environment))
    with pytest.raises(InterpreterError, match=re.escape(message)), both:
        pass
