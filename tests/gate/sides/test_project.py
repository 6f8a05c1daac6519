"""What pip can install is known, and which names of a project hold packages or tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.project import distribution_name, import_names, is_installable, packages_in
from tests.support.checkouts import write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "installable"),
    [
        ({}, False),
        ({"setup.py": ""}, True),
        ({"setup.cfg": ""}, False),
        ({"pyproject.toml": ""}, False),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, False),
        ({"pyproject.toml": "[project]\n"}, True),
        ({"pyproject.toml": "[build-system]\n"}, True),
        ({"pyproject.toml": "[project]\n[tool.uv]\npackage = false\n"}, False),
        ({"pyproject.toml": "[build-system]\n[tool.poetry]\npackage-mode = false\n"}, False),
        ({"pyproject.toml": "[broken"}, True),  # pip reports what is wrong with it
        ({"pyproject.toml": "project = 1\ntool = 2\n"}, True),
    ],
)
def test_it_is_known_what_pip_can_install(
    tmp_path: Path, files: dict[str, str], installable: bool
) -> None:
    assert is_installable(write(tmp_path, files)) is installable


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("[project]\nname = 'a'\n[tool.poetry]\nname = 'b'\n", "a"),
        ("[tool.poetry]\nname = 'b'\n", "b"),
        ("[project]\n[tool.poetry]\nname = 'b'\n", ""),
        ("project = 1\n", ""),
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
