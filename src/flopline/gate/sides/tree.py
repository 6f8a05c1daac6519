"""The files of a side's tree: which are copied into it, and how they are removed from it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY_PREFIX = "flopline-gate-"
"""The names of the temporary folders in which sides are exported and built begin with this."""
NOT_COPIED = shutil.ignore_patterns(
    ".git",
    "__pycache__",
    ".venv",
    ".nox",
    ".tox",
    ".asv",
    ".*_cache",
    ".hypothesis",
    f"{TEMPORARY_PREFIX}*",
)
"""Selects names that are not part of a version; `shutil.copytree` takes it as `ignore`.

Byte code is left out because both sides must make it in the same way. The gate's own temporary
folders are left out because TMPDIR may lie inside the folder that is copied.
"""
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
SURROUNDINGS = (*CONFIGURATION, "conftest.py")
"""The files above a project that change how pytest runs its suite."""


def is_behind_link(path: Path) -> bool:
    """Returns True if a folder above the path is a symbolic link.

    Writing to such a path, or removing it, would change a file somewhere else.
    """
    return path.parent.resolve() != path.parent


def remove(path: Path) -> None:
    """Removes a file, a symbolic link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
