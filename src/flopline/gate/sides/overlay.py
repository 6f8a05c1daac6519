"""Gives one side's benchmark files to the other side, so that both run the same suite."""

from __future__ import annotations

import os
import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.project import SOURCE_FOLDERS, SUITE_NAME
from flopline.gate.sides.tree import NOT_COPIED, remove

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flopline.gate.sides.environment import Side

CONFIGURATION = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)
"""The files in which pytest looks for its configuration; it uses the first that has one."""


class OverlayError(FloplineError, ValueError):
    """Benchmark files cannot be copied from one side's tree into the other's."""


def overlay(source: Side, target: Side, files: Iterable[str]) -> None:
    """Replaces one side's benchmark files by the other's, with what they need to run.

    Around each file the outermost folder that holds no code to measure is replaced as a whole.
    Inside a package that is the outermost folder whose name is that of tests or benchmarks. If
    there is none, only the file is replaced. Every conftest.py above and the configuration files
    of pytest are replaced too. Whatever the source lacks of all this is removed from the target.

    Args:
        source: The side whose suite both are to run.
        target: The other side, already built.
        files: Benchmark files, relative to the source's tree.

    Raises:
        OverlayError: A file does not exist, or it lies or leads out of its tree.
    """
    packages = source.packages | target.packages
    parts = {PurePosixPath(name) for name in CONFIGURATION}
    for file in files:
        real_path = _inside(source.tree, file)
        parts |= _suite_parts(PurePosixPath(file), packages)
        # A link is copied as a link, so the file to which it leads must be copied too.
        parts |= _suite_parts(real_path, packages)
    for part in sorted(parts):
        _replace(source, target, part)


def _inside(tree: Path, file: str) -> PurePosixPath:
    """Returns a file's path in its tree after symbolic links are followed."""
    root = tree.resolve()
    path = (tree / file).resolve()
    climbs = ".." in PurePosixPath(file).parts
    if climbs or not path.is_file() or not path.is_relative_to(root):
        raise OverlayError(f"benchmark file {file!r} is not in {tree}; give paths relative to it")
    return PurePosixPath(path.relative_to(root))


def _suite_parts(file: PurePosixPath, packages: frozenset[str]) -> set[PurePosixPath]:
    """Returns what must be replaced for one benchmark file: a folder or the file, and conftests."""
    folders = file.parts[:-1]
    depth = 0
    while depth < len(folders) and folders[depth] in packages.union(SOURCE_FOLDERS):
        depth += 1
    if packages.intersection(folders[:depth]):
        while depth < len(folders) and not SUITE_NAME.fullmatch(folders[depth]):
            depth += 1
    parts = {PurePosixPath(*file.parts[: depth + 1])}
    for count in range(depth + 1):
        parts.add(PurePosixPath(*folders[:count], "conftest.py"))
    return parts


def _replace(source: Side, target: Side, part: PurePosixPath) -> None:
    """Copies a file or folder from one tree into the other; removes it if the source lacks it."""
    wanted = source.tree / part
    present = target.tree / part
    if not present.parent.resolve().is_relative_to(target.tree.resolve()):
        raise OverlayError(
            f"on the {target.name} {part} leads out of its tree through a link; "
            "use --suite-from each"
        )
    remove(present)
    if wanted.is_dir() and not wanted.is_symlink():
        shutil.copytree(wanted, present, symlinks=True, ignore=NOT_COPIED)
    elif os.path.lexists(wanted):
        present.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wanted, present, follow_symlinks=False)
