"""Projects to compare, in checkouts and folders, and what happens to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HATCHLING = """\
[build-system]
requires = ["hatchling>=1"]
build-backend = "hatchling.build"

[project]
name = "subject"
version = "{version}"
"""
PROJECT = (
    HATCHLING.format(version="1.0")
    + """
[tool.pytest.ini_options]
testpaths = ["benchmarks"]
"""
)
PLAIN = """\
def spin(n):
    total = 0
    for i in range(n):
        total += i
    return total


def work(n=1000):
    return spin(n)
"""
SLOWER = PLAIN.replace("    return spin(n)\n", "    padding(3 * n // 10)\n    return spin(n)\n") + (
    "\n\ndef padding(n):\n    return spin(n)\n"
)


@contextmanager
def world(folder: Path) -> Iterator[Path]:
    """A world of its own: no network, no user's settings, a temporary folder that can be looked through."""
    (folder / "temporary für alle").mkdir()
    settings = write(
        folder,
        {
            "gitconfig": "[user]\nname = Ä\nemail = a@b.c\n[init]\ndefaultBranch = main\n"
            '[protocol "file"]\nallow = always\n'
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(settings / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        patch.setenv("TMPDIR", str(folder / "temporary für alle"))
        patch.setattr(tempfile, "tempdir", None)
        yield folder / "temporary für alle"


def git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = [shutil.which("git") or "git", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def checkout(folder: Path, before: dict[str, str], after: dict[str, str]) -> Path:
    """A checkout whose one commit has the files `before`, and whose working tree those of `after`."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    write(folder, before)
    commit(folder, "baseline")
    for name in set(before) - set(after):
        (folder / name).unlink()
    return write(folder, after)


def content(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text("utf-8")
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }


def state(folder: Path) -> object:
    """Everything in a checkout and its repository, byte for byte, with its time stamps; and what git says of it."""
    files = {
        str(file): (file.lstat().st_mtime_ns, b"" if file.is_symlink() else file.read_bytes())
        for file in folder.rglob("*")
        if not file.is_dir() or file.is_symlink()
    }
    said = [
        git(folder, *command.split())
        for command in (
            "status --porcelain=v2 --branch",
            "diff --cached",
            "worktree list",
            "for-each-ref",
            "stash list",
            "branch --all",
        )
    ]
    return files, said


def venv(folder: Path, *, everything: bool = False) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    if everything:
        site(folder, "outer.pth").write_text(
            f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        )
    return folder / "bin" / "python"


def site(folder: Path, *names: str) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}), *names)
