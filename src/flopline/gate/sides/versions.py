"""Which two versions were asked for, and each as a folder of its own.

The user's index, branches, worktrees and files are only read: a commit is written through an index and a working tree
of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flopline.gate.record import SideName

PREFIX = "flopline-gate-"
"""Of every temporary folder of the gate."""
UNWANTED = shutil.ignore_patterns(
    ".git", "__pycache__", ".venv", ".nox", ".tox", ".asv", ".*_cache", ".hypothesis", PREFIX + "*"
)
"""No part of a version: byte code must be made alike on both sides, and TMPDIR may be inside of what is copied."""
INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""What a git hook says of its own repository to everything it starts."""
PRIVATE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Keeps git from starting what the user's settings start in the user's working tree."""


@dataclass(frozen=True)
class Version:
    """What was asked for, resolved.

    Attributes:
        name: `baseline` or `candidate`.
        label: It in words: `origin/main (merge base 1a2b3c4)`, `working tree (9f8e7d6 + changes)`, `folder ../old`.
        commit: Full hash, of a working tree that of its HEAD; empty where there is none.
        kind: A working tree is what git does not ignore of it; a folder is everything in it but caches.
        source: The checkout's root, or the folder.
        project: Where in it the project lies.
        changed: Whether a working tree differs from its commit.
    """

    name: SideName
    label: str
    commit: str
    kind: Literal["commit", "working tree", "folder"]
    source: Path
    project: Path = Path()
    changed: bool = False


class GitError(FloplineError, RuntimeError):
    """Git could not do what a version needs."""


def _git(
    folder: Path, *arguments: str, lenient: bool = False, environment: Mapping[str, str] = {}
) -> str:
    """What a git command prints; if `lenient`, nothing where it fails."""
    # Without optional locks not even the index's time stamps are refreshed. `repository` reads a message in English.
    inherited = {name: value for name, value in os.environ.items() if name not in INHERITED}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**inherited, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode and not lenient:
        raise GitError(
            f"`git {' '.join(arguments)}` failed in {folder}: {os.fsdecode(done.stderr).strip()}"
        )
    return "" if done.returncode else os.fsdecode(done.stdout).removesuffix("\n")


class VersionError(FloplineError, ValueError):
    """What was asked for is no version that can be compared."""


def repository(folder: Path) -> Path | None:
    """The root of the checkout around a folder; None where there is none, or no git.

    Raises:
        VersionError: The folder lies in a bare repository, or in a repository's own files.
        GitError: Git refuses to look, for example because somebody else owns the checkout.
    """
    if shutil.which("git") is None:
        return None
    try:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    except GitError as error:
        if "not a git repository" in str(error):
            return None
        raise
    if inside != "true":
        raise VersionError(
            f"{folder} has no working tree (a bare repository, or a .git folder); run in a checkout"
        )
    return Path(_git(folder, "rev-parse", "--show-toplevel"))


def resolve(start: Path, baseline: str, candidate: str | None = None) -> tuple[Version, Version]:
    """Finds the two versions that were asked for.

    A baseline that is a commit gives way to its merge base with the candidate, so that what others did meanwhile is
    not taken for the candidate's doing. Not so where the candidate itself lies behind the baseline: who compares
    backwards gets exactly what was asked.

    Args:
        start: A folder of the project.
        baseline: A revision, else a folder.
        candidate: The same; None for the working tree around `start`, or for `start` where there is no git.

    Raises:
        VersionError: There is no such version.
        GitError: Git failed.
    """
    start = start.resolve()
    root = repository(start)
    before = _find(start, root, "baseline", baseline)
    after = (
        here(start, root, "candidate")
        if candidate is None
        else _find(start, root, "candidate", candidate)
    )
    if before.kind != "commit" or not after.commit:
        return before, after
    forked = _git(before.source, "merge-base", before.commit, after.commit, lenient=True)
    if not forked:
        label = f"{baseline} ({before.commit[:7]}, no merge base with the candidate: unrelated or shallow history)"
        return replace(before, label=label), after
    if forked == before.commit or (forked == after.commit and not after.changed):
        return before, after
    return replace(before, label=f"{baseline} (merge base {forked[:7]})", commit=forked), after


def here(start: Path, root: Path | None, name: SideName) -> Version:
    """The version that lies around a folder of the project now; `root` is the checkout's, if there is one."""
    if root is None:
        return Version(name, f"folder {start.name}", "", "folder", start)
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD", lenient=True)
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=normal"))
    label = f"working tree ({commit[:7] or 'no commit yet'}{' + changes' * changed})"
    return Version(name, label, commit, "working tree", root, _project(start, root), changed)


def _find(start: Path, root: Path | None, name: SideName, asked: str) -> Version:
    if not asked:
        raise VersionError(
            f"the {name} is empty; give a revision (`origin/main`, `HEAD~1`, a tag) or a folder"
        )
    if asked.startswith("-"):
        raise VersionError(
            f"the {name} {asked!r} begins with a dash; write a branch as refs/heads/{asked}, a folder as ./{asked}"
        )
    kind = ""
    if root is not None:
        look = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        found = _git(root, *look, asked, lenient=True)
        kind = found and _git(root, "cat-file", "-t", found, lenient=True)
        if commit := kind and _git(root, *look, f"{found}^{{commit}}", lenient=True):
            label = asked if commit.startswith(asked) else f"{asked} ({commit[:7]})"
            return Version(name, label, commit, "commit", root, _project(start, root))
    if kind:
        raise VersionError(
            f"the {name} {asked!r} is a {kind} of {root}; give a commit, or a folder as ./{asked}"
        )
    if (folder := start / asked).is_dir():
        return Version(name, f"folder {asked}", "", "folder", folder.resolve())
    if root is None:
        raise VersionError(
            f"the {name} {asked!r} is no folder, and {start} is in no git checkout (or git is not installed); "
            "give two folders, or run in a checkout"
        )
    advice = "fetch it, or choose from `git branch --all` and `git tag`"
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        advice = "this clone is shallow: `git fetch --unshallow` (in GitHub Actions, checkout with `fetch-depth: 0`)"
    raise VersionError(
        f"the {name} {asked!r} is neither a revision of {root} nor a folder; {advice}"
    )


def _project(start: Path, root: Path) -> Path:
    around = takewhile(lambda folder: folder.is_relative_to(root), [start, *start.parents])
    return next(filter(installable, around), root).relative_to(root)


class ExportError(FloplineError, RuntimeError):
    """A version could not be written to a folder."""


def export(version: Version, folder: Path) -> Path:
    """Writes a version into a new folder; gives the project's folder in it. A file `index` beside it is git's.

    Raises:
        ExportError: A submodule's commit, a file or the project is not there.
        GitError: Git failed.
    """
    folder.mkdir(parents=True)
    try:
        if version.kind == "commit":
            _write_commit(version.source, version.commit, folder, folder.with_name("index"))
        elif version.kind == "working tree":
            _copy_checkout(version.source, folder)
        else:
            shutil.copytree(
                version.source, folder, symlinks=True, ignore=_stale, dirs_exist_ok=True
            )
    except OSError as error:
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise ExportError(
            f"the {version.name}, {version.label}, could not be copied: {reason}"
        ) from error
    if not (folder / version.project).is_dir():
        raise ExportError(
            f"the {version.name}, {version.label}, has no folder {version.project}, or git ignores it"
        )
    return folder / version.project


def _write_commit(checkout: Path, commit: str, folder: Path, index: Path) -> None:
    # Not `git archive`: it leaves out what .gitattributes marks as export-ignore, often the tests. In a working tree of
    # its own the commit's .gitattributes count, not the user's present ones.
    index.unlink(missing_ok=True)
    git_folder = _git(checkout, "rev-parse", "--absolute-git-dir")
    own = {"GIT_DIR": git_folder, "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
    _git(folder, *PRIVATE, "read-tree", commit, environment=own)
    _git(folder, *PRIVATE, "checkout-index", "--all", "--force", environment=own)
    for entry in _git(folder, *PRIVATE, "ls-files", "--stage", "-z", environment=own).split("\0"):
        facts, _, path = entry.partition("\t")
        if facts.startswith("160000 "):
            inner, wanted = checkout / path, facts.split()[1]
            if not (inner / ".git").exists() or not _git(
                inner, "cat-file", "-t", wanted, lenient=True
            ):
                raise ExportError(
                    f"commit {wanted[:7]} of the submodule {path} is not in {checkout}; run there "
                    "`git submodule update --init --recursive`, or `git fetch` in the submodule"
                )
            _write_commit(inner, wanted, folder / path, index)


def _copy_checkout(checkout: Path, folder: Path) -> None:
    listed = _git(
        checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"
    )
    for name in filter(None, listed.split("\0")):
        source, target = checkout / name, folder / name
        # Where a folder became a link, the index still has the folder's files: copying them would write through it.
        if UNWANTED("", list(Path(name).parts)) or not unlinked(source):
            continue
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        elif (source / ".git").exists() and not name.endswith(
            "/"
        ):  # with the slash it is no submodule
            _copy_checkout(source, target)


def _stale(folder: str, names: list[str]) -> set[str]:
    # Virtual environments by any name, and setuptools' build folders: what is in those ends up in the next wheel.
    found = {
        name
        for name in names
        for sign in ("pyvenv.cfg", "bdist.*")
        if any(Path(folder, name).glob(sign))
    }
    return found | UNWANTED(folder, names)


def unlinked(path: Path) -> bool:
    """Whether no link is on the way to a file: what is done to it then happens where it seems to."""
    return path.parent.resolve() == path.parent


def pyproject(folder: Path) -> dict[str, Any]:
    """A project's pyproject.toml; empty where there is none."""
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:  # pip will say what is wrong with it
        return {"build-system": {"requires": []}}


def installable(folder: Path) -> bool:
    """Whether pip can install a folder: whether there is a project in it that does not say that it is no package."""
    facts = pyproject(folder)
    tools = facts.get("tool", {})
    if (
        tools.get("uv", {}).get("package") is False
        or tools.get("poetry", {}).get("package-mode") is False
    ):
        return False
    return "build-system" in facts or "project" in facts or (folder / "setup.py").is_file()
