"""The layout of a Python project: what pip can install, and which names hold packages or tests."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SOURCE_FOLDERS = ("src", "lib", "python")
"""Folders that contain packages but are not packages, such as `src` in the src layout."""
SUITE_NAME = re.compile(r"_*(tests?|testing|bench(es)?|benchmarks?|benchmarking|perf(ormance)?)_*")
"""Folders and modules with exactly such names contain tests or benchmarks, not the code to measure.

A longer name, such as `benchtools`, says nothing. A package of such a name that is called as its
project, or is all that the project has, is the code to measure.
"""
SUITE_FILE = re.compile(
    r"conftest|_*(tests?|bench(es)?|benchmarks?|perf)(_.*)?|.*_(tests?|bench|benchmarks?|perf)"
)
"""The names, without suffix, of files that contain tests or benchmarks and nothing else."""


TABLES = (
    ("project",),
    ("build-system",),
    ("tool",),
    ("tool", "uv"),
    ("tool", "poetry"),
    ("tool", "pdm"),
    ("tool", "rye"),
)
"""What must be a table in pyproject.toml wherever it is given."""


class ProjectError(FloplineError, ValueError):
    """A pyproject.toml cannot be understood."""


def read_pyproject(folder: Path) -> dict[str, Any]:
    """Returns the content of a project's pyproject.toml; empty if there is no such file.

    A file that cannot be read as TOML counts as one with a build system and without requirements,
    so that pip is asked to install the project and reports what is wrong with the file.

    Raises:
        ProjectError: The file cannot be read, or a key that tells how the project is installed has
            a value of a wrong type.
    """
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        return {"build-system": {"requires": []}}
    except OSError as error:
        raise ProjectError(f"{file} cannot be read: {error.strerror or error}") from error
    _check_types(content, file)
    return content


def _check_types(content: dict[str, Any], file: Path) -> None:
    for names in TABLES:
        value = table(content, *names[:-1]).get(names[-1], {})
        if not isinstance(value, dict):
            raise ProjectError(f"{file}: {'.'.join(names)} must be a table, and is {value!r}")
    requires = table(content, "build-system").get("requires", [])
    if not isinstance(requires, list) or not all(isinstance(line, str) for line in requires):
        raise ProjectError(
            f"{file}: build-system.requires must be a list of texts, and is {requires!r}"
        )
    name = table(content, "project").get("name", "")
    if not isinstance(name, str):
        raise ProjectError(f"{file}: project.name must be a text, and is {name!r}")


def table(content: dict[str, Any], *names: str) -> dict[str, Any]:
    """Returns a table inside a TOML file's content, such as `tool.uv`; empty if there is none."""
    for name in names:
        inner = content.get(name)
        if not isinstance(inner, dict):
            return {}
        content = inner
    return content


def is_project(folder: Path) -> bool:
    """Returns True if a folder holds a project, whether it can be installed or not.

    Raises:
        ProjectError: Its pyproject.toml cannot be understood.
    """
    content = read_pyproject(folder)
    declared = {"project", "build-system"}.intersection(content)
    is_poetry = bool(table(content, "tool", "poetry"))
    return bool(declared) or is_poetry or (folder / "setup.py").is_file()


def is_installable(folder: Path) -> bool:
    """Returns True if a folder holds a package that is installed before it is used.

    What says so is what uv goes by: a build system, unless the project declares whether it is a
    package. A project without a build system is an application, which is run from its folder,
    unless it has a setup.py.

    Raises:
        ProjectError: Its pyproject.toml cannot be understood.
    """
    content = read_pyproject(folder)
    rye = table(content, "tool", "rye").get("virtual")
    declarations = (
        table(content, "tool", "uv").get("package"),
        table(content, "tool", "poetry").get("package-mode"),
        table(content, "tool", "pdm").get("distribution"),
        None if rye is None else not rye,
    )
    declared = [declaration for declaration in declarations if isinstance(declaration, bool)]
    if declared:
        return all(declared)
    return "build-system" in content or (folder / "setup.py").is_file()


def distribution_name(folder: Path) -> str:
    """Returns the name under which a project is installed; empty if pyproject.toml has none.

    Raises:
        ProjectError: Its pyproject.toml cannot be understood.
    """
    content = read_pyproject(folder)
    if "project" in content:
        return str(table(content, "project").get("name", ""))
    return str(table(content, "tool", "poetry").get("name", ""))


def import_names(files: Iterable[str], distribution: str = "") -> frozenset[str]:
    """Returns the top-level names that can be imported from the files of an installation.

    Names of tests and benchmarks are left out, unless there are no others, or one is the name of
    the distribution.

    Args:
        files: Paths relative to a folder on the import path.
        distribution: The name of the distribution.
    """
    names = set()
    for file in files:
        parts = PurePosixPath(file).parts
        name = parts[0] if len(parts) > 1 else inspect.getmodulename(file)
        if name and name.isidentifier() and name != "__pycache__":
            names.add(name)
    return _without_suites(names, distribution) or frozenset(names)


def packages_in(tree: Path) -> frozenset[str]:
    """Returns the names of the packages in a project's tree, without tests and benchmarks."""
    names = set()
    for folder in ("", *SOURCE_FOLDERS):
        for file in (tree / folder).glob("*/__init__.py"):
            names.add(file.parent.name)
    return _without_suites(names, distribution_name(tree))


def _without_suites(names: Iterable[str], distribution: str) -> frozenset[str]:
    own = re.sub(r"[-_.]+", "_", distribution).lower()
    return frozenset(name for name in names if name == own or not SUITE_NAME.fullmatch(name))
