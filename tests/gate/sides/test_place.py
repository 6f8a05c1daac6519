"""Paths that a user gives mean on each side what they mean where the user stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flopline.gate.sides.place import Place, PlaceError
from tests.support.checkouts import commit, git, write

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def backend(repo: Path) -> Path:
    """A folder below the root of a checkout; a folder of tools beside it is ignored by git."""
    files = ("backend/shop/tests/test_a.py", "lib/a.py", "tools/b.py", "other.ini")
    write(repo, {".gitignore": "tools\n", **dict.fromkeys(files, "")})
    commit(repo, "two")
    return repo / "backend"


@pytest.fixture
def tree(backend: Path, tmp_path: Path) -> Path:
    """What stands for a side's copy of the checkout."""
    del backend
    return write(tmp_path / "copy", {"backend/shop/tests/test_a.py": "", "lib/a.py": ""})


# Which folder is the project


@pytest.mark.parametrize(
    ("files", "project"),
    [
        ({}, ""),
        ({"setup.py": "", "a/b/c.py": ""}, ""),
        ({"a/setup.py": "", "setup.py": ""}, "a"),
        ({"a/pyproject.toml": "[project]\n"}, "a"),
        ({"a/pyproject.toml": "[tool.ruff]\n"}, ""),
        # Benchmarks that are an application of their own measure the package around them.
        ({"a/b/pyproject.toml": "[project]\n", "pyproject.toml": "[build-system]\n"}, ""),
        ({"a/b/pyproject.toml": "[project]\n", "pyproject.toml": "[project]\n"}, "a/b"),
    ],
)
def test_the_project_is_the_innermost_package_otherwise_application(
    repo: Path, files: dict[str, str], project: str
) -> None:
    write(repo, {"a/b/x.txt": "", **files})
    place = Place.around(repo / "a" / "b")
    assert place.project == repo / project
    assert place.project / place.standing == repo / "a" / "b"


def test_a_link_to_where_the_user_stands_is_followed(backend: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(backend)
    assert Place.around(tmp_path / "link") == Place.around(backend)


def test_a_current_folder_that_was_removed_is_an_error_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(PlaceError, match="no longer exists; change to"):
        Place.here()


# Arguments


@pytest.mark.parametrize(
    "argument",
    ["shop/tests", "shop/tests/test_a.py::test_x[/a]", "../lib", "-k", "a or b", "-k=a", "--x=a/b"],
)
def test_relative_arguments_stay_as_they_are(backend: Path, tree: Path, argument: str) -> None:
    assert Place.around(backend).arguments([argument], tree) == [argument]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("{repo}/backend/shop/tests", "{tree}/backend/shop/tests"),
        (
            "{repo}/backend/shop/tests/test_a.py::T::x[/a]",
            "{tree}/backend/shop/tests/test_a.py::T::x[/a]",
        ),
        ("--rootdir={repo}", "--rootdir={tree}"),
        ("cache_dir={repo}/lib", "cache_dir={tree}/lib"),
        ("{link}/shop", "{tree}/backend/shop"),
        ("--data={repo}/tools/b.py", "--data={repo}/tools/b.py"),
        ("{repo}/nowhere", "{tree}/nowhere"),
        ("/usr/lib", "/usr/lib"),
        ("../../outside/x.ini", "{outside}/x.ini"),
    ],
)
def test_absolute_arguments_lead_into_the_copy(
    backend: Path, tree: Path, tmp_path: Path, argument: str, expected: str
) -> None:
    (tmp_path / "link").symlink_to(backend)
    outside = backend.parents[1] / "outside"
    known = {"repo": backend.parent, "tree": tree, "link": tmp_path / "link", "outside": outside}
    given = [argument.format(**known)]
    assert Place.around(backend).arguments(given, tree) == [expected.format(**known)]


def test_the_copy_of_a_project_may_lie_elsewhere_in_its_side(repo: Path, tmp_path: Path) -> None:
    write(repo, {"packages/mine/setup.py": ""})
    project = tmp_path / "copy" / "packages" / "mine"
    place = Place.around(repo / "packages" / "mine")
    assert place.arguments([f"{repo}/data.txt"], project) == [f"{tmp_path}/copy/data.txt"]


# PYTHONPATH


def test_entries_of_pythonpath_are_the_sides_own_where_they_can_be(
    backend: Path, tree: Path, tmp_path: Path
) -> None:
    place = Place.around(backend)
    given = ["../lib", "", str(backend), str(tmp_path / "elsewhere"), "../tools"]
    expected = [
        tree / "lib",
        tree / "backend",
        tree / "backend",
        tmp_path / "elsewhere",
        backend.parent / "tools",  # no version has it, so it is part of the environment
    ]
    assert place.python_path(os.pathsep.join(given), tree) == list(map(str, expected))
    assert place.python_path("", tree) == []


def test_without_git_everything_in_the_folder_is_the_sides_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "new", {"lib/a.py": ""})
    place = Place.around(folder)
    assert (place.project, place.standing) == (folder, Path())
    assert place.python_path("lib", tmp_path / "copy") == [str(tmp_path / "copy" / "lib")]
    assert git(tmp_path, "--version")
