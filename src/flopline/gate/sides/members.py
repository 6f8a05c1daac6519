"""The further projects of a repository that belong to a version, such as those of a workspace.

What an environment has installed from the user's checkout would be the same code on both sides. So
every version must bring its own.
"""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flopline.gate.sides.project import (
    SOURCE_FOLDERS,
    distribution_name,
    is_installable,
    read_pyproject,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flopline.gate.sides.interpreter import Interpreter

INSTALLATION = re.compile(r"site-packages|dist-packages|__pypackages__|(python|pypy)3\.\d+|\..*")
"""Folders with such names hold installed packages, environments or caches, wherever they lie."""


def holding(checkouts: Sequence[Path], path: Path) -> Path | None:
    """Returns the innermost checkout whose code a path is; None if it is not code of any.

    An environment that lies inside a checkout is not its code, and neither is another repository.

    Args:
        checkouts: Folders of the user's, without links.
        path: A file or folder, without links.
    """
    around = [root for root in checkouts if path.is_relative_to(root)]
    if not around:
        return None
    root = max(around, key=lambda folder: len(folder.parts))
    parts = path.relative_to(root).parts
    if any(INSTALLATION.fullmatch(part) for part in parts):
        return None
    return root


@dataclass(frozen=True)
class Installed:
    """What an environment has from the user's checkouts.

    Attributes:
        projects: Folders from which distributions were installed, relative to their checkout.
        path: Entries of the import path, relative to their checkout.
        names: The names of all distributions, in their normal form.
    """

    projects: frozenset[Path]
    path: tuple[Path, ...]
    names: frozenset[str]


def installed_from(checkouts: Sequence[Path], interpreter: Interpreter) -> Installed:
    """Returns what an environment has from some checkouts, in whichever way it was installed.

    Args:
        checkouts: Folders of the user's, without links.
        interpreter: The interpreter of the environment.
    """
    names = set()
    projects = set()
    for distribution in metadata.distributions(path=interpreter.path):
        name = distribution.metadata["Name"]
        names.add(canonicalize_name(name or ""))
        source = _source_folder(distribution)
        if source is not None:
            root = holding(checkouts, source)
            if root is not None:
                projects.add(source.relative_to(root))
    entries: dict[Path, None] = {}
    for folder in (Path(entry).resolve() for entry in interpreter.path if entry):
        root = holding(checkouts, folder)
        if root is None or not folder.is_dir():
            continue
        entries[folder.relative_to(root)] = None
        # `setup.py develop`, and a path file that was written by hand, leave nothing else.
        owner = folder.parent if folder.name in SOURCE_FOLDERS else folder
        if owner.is_relative_to(root) and is_installable(owner):
            projects.add(owner.relative_to(root))
    return Installed(frozenset(projects), tuple(entries), frozenset(names))


def _source_folder(distribution: metadata.Distribution) -> Path | None:
    """Returns the folder from which a distribution was installed; None if it was not a folder."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        address = urlsplit(origin["url"])
        is_folder = "dir_info" in origin and address.scheme == "file"
        folder = Path(url2pathname(address.path), origin.get("subdirectory", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return folder.resolve() if is_folder else None


def members(tree: Path, project: Path, installed: Installed) -> list[Path]:
    """Returns the further projects of a version that must be built with its project, sorted.

    These are the projects that the environment has installed from the checkout, and the members
    of a workspace and path dependencies if the environment has them installed in some way, or if
    one of the projects needs them.

    Args:
        tree: The exported version.
        project: The project in it at which the gate stands.
        installed: What the environment has.
    """
    declared = _declared(tree, project)
    chosen = {tree / folder for folder in installed.projects}
    chosen |= {folder for name, folder in declared.items() if name in installed.names}
    waiting = [project, *chosen]
    while waiting:
        for name in _requirements(read_pyproject(waiting.pop())):
            folder = declared.get(name)
            if folder is not None and folder not in chosen:
                chosen.add(folder)
                waiting.append(folder)
    return sorted(folder for folder in chosen - {project} if is_installable(folder))


def _declared(tree: Path, project: Path) -> dict[str, Path]:
    """Returns the projects of a tree that the project, or a workspace around it, names."""
    waiting = [folder for folder in (project, *project.parents) if folder.is_relative_to(tree)]
    seen = set(waiting)
    declared: dict[str, Path] = {}
    while waiting:
        for folder in named_in(waiting.pop()):
            if folder in seen or not folder.is_relative_to(tree) or not folder.is_dir():
                continue
            seen.add(folder)
            waiting.append(folder)
    for folder in seen:
        name = distribution_name(folder)
        if name:
            declared[canonicalize_name(name)] = folder
    return declared


def named_in(folder: Path) -> Iterator[Path]:
    """Yields the folders that a project's pyproject.toml names as projects of the workspace."""
    content = read_pyproject(folder)
    workspace = table(content, "tool", "uv", "workspace")
    excluded = set(_matches(folder, workspace.get("exclude")))
    for member in _matches(folder, workspace.get("members")):
        if member not in excluded:
            yield member
    for environment in table(content, "tool", "hatch", "envs").values():
        if isinstance(environment, dict):
            yield from _matches(folder, table(environment, "workspace").get("members"))
    poetry = table(content, "tool", "poetry")
    tables = [table(content, "tool", "uv", "sources"), table(poetry, "dependencies")]
    tables += [table(poetry, "dev-dependencies")]
    for group in table(poetry, "group").values():
        if isinstance(group, dict):
            tables.append(table(group, "dependencies"))
    for entries in tables:
        yield from _matches(folder, [entry for entry in _listed(entries) if _has_path(entry)])


def _listed(entries: dict[str, Any]) -> Iterator[Any]:
    """Yields the values of a table, and the items of those that are lists."""
    for entry in entries.values():
        if isinstance(entry, list):
            yield from entry
        else:
            yield entry


def _has_path(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("path"), str)


def _matches(folder: Path, patterns: object) -> Iterator[Path]:
    """Yields the folders that match patterns, which are texts or tables with a `path`."""
    for pattern in patterns if isinstance(patterns, list) else []:
        text = pattern.get("path") if isinstance(pattern, dict) else pattern
        if not isinstance(text, str):
            continue
        names = sorted(glob.glob(text, root_dir=folder)) if glob.has_magic(text) else [text]  # noqa: PTH207  # pathlib's raises errors
        for name in names:
            yield Path(os.path.normpath(folder / name))


def _requirements(content: dict[str, Any]) -> set[str]:
    """Returns the names of everything that a project requires in any of its groups."""
    project = table(content, "project")
    poetry = table(content, "tool", "poetry")
    uv = table(content, "tool", "uv")
    lists = [project.get("dependencies"), uv.get("dev-dependencies")]
    lists += table(project, "optional-dependencies").values()
    lists += table(content, "dependency-groups").values()
    lines = []
    for entries in lists:
        lines += entries if isinstance(entries, list) else []
    names = {*table(poetry, "dependencies"), *table(poetry, "dev-dependencies")}
    for group in table(poetry, "group").values():
        names |= set(table(group, "dependencies")) if isinstance(group, dict) else set()
    for line in lines:
        try:
            names.add(Requirement(line).name)
        except (InvalidRequirement, TypeError):  # a group may include another one with a table
            continue
    return {canonicalize_name(name) for name in names}
