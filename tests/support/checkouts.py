"""Files and git checkouts for tests, and what they are afterwards."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GIT_SETTINGS = """\
[user]
name = Ä
email = a@b.c
[init]
defaultBranch = main
[protocol "file"]
allow = always
"""
QUESTIONS = (
    "status --porcelain=v2 --branch",
    "diff --cached",
    "worktree list",
    "for-each-ref",
    "stash list",
    "branch --all",
)
"""Commands of git that show what could have changed in a repository."""


@contextmanager
def world(folder: Path) -> Iterator[Path]:
    """Hides the user's settings, keeps pip off the network and yields a temporary folder.

    The folder is new and empty, so that a test can look for what was left in it.
    """
    temporary = folder / "temporary für alle"
    temporary.mkdir()
    write(folder, {"gitconfig": GIT_SETTINGS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("XDG_CACHE_HOME", str(folder / "caches"))
        patch.setattr(tempfile, "tempdir", None)
        yield temporary


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def checkout(folder: Path, before: dict[str, str], after: dict[str, str]) -> Path:
    """Makes a checkout whose one commit has the files `before`, and its working tree `after`."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    write(folder, before)
    commit(folder, "baseline")
    for name in set(before) - set(after):
        (folder / name).unlink()
    return write(folder, after)


def content(folder: Path) -> dict[str, str]:
    """Returns the text of every file below a folder; links and repositories are left out."""
    texts = {}
    repositories = [head.parent for head in folder.rglob(".git/HEAD")]
    for file in folder.rglob("*"):
        is_inside = any(file.is_relative_to(repository) for repository in repositories)
        if file.is_file() and not file.is_symlink() and not is_inside:
            texts[file.relative_to(folder).as_posix()] = file.read_text("utf-8")
    return texts


def state(folder: Path) -> object:
    """Returns all files of a checkout and its repository, and what git reports about them.

    Files are compared byte for byte and with their time stamps.
    """
    files = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            files[str(path)] = (path.lstat().st_mtime_ns, b"")
        elif path.is_file():
            files[str(path)] = (path.lstat().st_mtime_ns, path.read_bytes())
    answers = [git(folder, *question.split()) for question in QUESTIONS]
    return files, answers
