"""What pip can install is known, and which names of a project hold packages or tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.project import (
    ProjectError,
    distribution_name,
    import_names,
    is_installable,
    is_project,
    packages_in,
)
from tests.support.checkouts import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "installable"),
    [
        ({}, False),
        ({"setup.py": ""}, True),
        ({"setup.cfg": ""}, False),
        ({"pyproject.toml": ""}, False),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, False),
        ({"pyproject.toml": "[project]\n"}, False),  # an application, as uv sees it
        ({"pyproject.toml": "[project]\n", "setup.py": ""}, True),
        ({"pyproject.toml": "[project]\n[tool.uv]\npackage = true\n"}, True),
        ({"pyproject.toml": "[project]\n[tool.pdm]\ndistribution = true\n"}, True),
        ({"pyproject.toml": "[build-system]\n[tool.pdm]\ndistribution = false\n"}, False),
        ({"pyproject.toml": "[build-system]\n[tool.rye]\nvirtual = true\n"}, False),
        ({"pyproject.toml": "[tool.poetry]\nname = 'x'\n"}, False),
        ({"pyproject.toml": "[build-system]\n"}, True),
        ({"pyproject.toml": "[project]\n[tool.uv]\npackage = false\n"}, False),
        ({"pyproject.toml": "[build-system]\n[tool.poetry]\npackage-mode = false\n"}, False),
        ({"pyproject.toml": "[broken"}, True),  # pip reports what is wrong with it
        ({"pyproject.toml": f"a = {999 * '['}"}, True),
    ],
)
def test_it_is_known_what_pip_can_install(
    tmp_path: Path, files: dict[str, str], installable: bool
) -> None:
    assert is_installable(write(tmp_path, files)) is installable


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("project = 1\n", "project must be a table, and is 1"),
        ("tool = 2\n", "tool must be"),
        ("build-system = []\n", "build-system must be"),
        ("[tool]\nuv = 5\n", "tool.uv must be"),
        ("[[tool.poetry]]\n", "tool.poetry must be"),
        ("[build-system]\nrequires = 'hatchling'\n", "build-system.requires must be a list"),
        ("[build-system]\nrequires = [1]\n", "build-system.requires must be a list"),
        ("[project]\nname = 1\n", "project.name must be a text"),
    ],
)
@pytest.mark.parametrize("question", [is_installable, is_project, distribution_name])
def test_a_value_of_a_wrong_type_is_refused_with_file_and_key(
    tmp_path: Path, question: Callable[[Path], object], text: str, key: str
) -> None:
    write(tmp_path, {"pyproject.toml": text})
    with pytest.raises(ProjectError, match=re.escape(f"{tmp_path / 'pyproject.toml'}: {key}")):
        question(tmp_path)


def test_a_pyproject_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ProjectError, match=r"pyproject\.toml cannot be read: Is a directory"):
        is_installable(tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("[project]\nname = 'a'\n[tool.poetry]\nname = 'b'\n", "a"),
        ("[tool.poetry]\nname = 'b'\n", "b"),
        ("[project]\n[tool.poetry]\nname = 'b'\n", ""),
    ],
)
def test_the_name_of_a_distribution_is_that_of_its_project(
    tmp_path: Path, text: str, name: str
) -> None:
    assert distribution_name(write(tmp_path, {"pyproject.toml": text})) == name


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["subject/__init__.py", "subject/a.py", "subject-1.dist-info/RECORD"], {"subject"}),
        (["one.py", "two.cpython-311-x86_64-linux-gnu.so", "x.pth"], {"one", "two"}),
        (["subject/a.py", "tests/a.py", "_benchmarks/a.py", "bench.py"], {"subject"}),
        (["tests/__init__.py", "__pycache__/a.pyc", "../../bin/tool"], {"tests"}),
        ([], set()),
    ],
)
def test_the_names_of_an_installation_are_those_to_import(
    files: list[str], names: set[str]
) -> None:
    assert import_names(files) == names


@pytest.mark.parametrize("distribution", ["bench", "Bench"])
def test_a_package_of_tests_that_is_called_as_its_project_is_code(distribution: str) -> None:
    files = ["bench/__init__.py", "tests/a.py", "more.py"]
    assert import_names(files, distribution) == {"bench", "more"}


def test_a_longer_name_is_no_name_of_tests() -> None:
    assert import_names(["benchtools/a.py", "testkit/a.py", "tests/a.py"]) == {
        "benchtools",
        "testkit",
    }


def test_the_packages_of_a_tree_are_found_without_its_tests(tmp_path: Path) -> None:
    packages = ("one", "src/two", "lib/three", "python/four", "other/five", "tests", "src/bench")
    write(tmp_path, {f"{package}/__init__.py": "" for package in packages})
    assert packages_in(tmp_path) == {"one", "two", "three", "four"}
