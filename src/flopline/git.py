"""Git: runs it, finds a checkout, names commits and writes a commit into a folder.

The user's index, branches, worktrees and files are only read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SET_FOR_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""Variables that git sets for hooks.

They would redirect flopline's own git commands to the hook's repository.
"""
START_NOTHING = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Options that keep git from starting the hooks and the monitor that the user has set up."""


class GitError(FloplineError, RuntimeError):
    """Git could not do what was asked of it.

    Attributes:
        output: What git printed about it, or why git could not be started.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def run(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Returns what a git command prints, without its last line end.

    Args:
        folder: Where the command runs.
        arguments: The arguments of git.
        environment: Variables to add.

    Raises:
        GitError: Git could not be started, or it ended with an error.
    """
    variables = {name: value for name, value in os.environ.items() if name not in SET_FOR_HOOKS}
    # Without optional locks git does not even refresh the time stamps in the user's index.
    variables["GIT_OPTIONAL_LOCKS"] = "0"
    # `checkout_root` reads git's messages, so they must be in English.
    variables["LC_ALL"] = "C"
    variables.update(environment or {})
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(
            f"git could not be started in {folder}: {error}; install git, and give a folder that "
            "exists",
            str(error),
        ) from error
    if done.returncode:
        output = os.fsdecode(done.stderr).strip()
        raise GitError(f"`git {' '.join(arguments)}` failed in {folder}: {output}", output)
    return os.fsdecode(done.stdout).removesuffix("\n")


def ask(folder: Path, *arguments: str) -> str:
    """Returns what a git command prints, or an empty text if it fails."""
    try:
        return run(folder, *arguments)
    except GitError:
        return ""


class NoWorkingTreeError(FloplineError, ValueError):
    """A folder lies in a bare repository or inside a `.git` folder."""


def checkout_root(folder: Path) -> Path | None:
    """Returns the root of the checkout around a folder; None if there is none, or no git.

    Raises:
        NoWorkingTreeError: The folder lies in a bare repository or inside a `.git` folder.
        GitError: Git refuses to look, for example because somebody else owns the checkout.
    """
    if shutil.which("git") is None:
        return None
    try:
        inside = run(folder, "rev-parse", "--is-inside-work-tree")
    except GitError as error:
        if "not a git repository" in error.output:
            return None
        raise
    if inside != "true":
        raise NoWorkingTreeError(
            f"{folder} has no working tree (a bare repository, or a .git folder); run in a checkout"
        )
    return Path(run(folder, "rev-parse", "--show-toplevel"))


class CommitError(FloplineError, ValueError):
    """Git knows no such commit, branch, tag or range."""


def resolve(repository: Path, revision: str) -> str:
    """Returns the full hash of the commit that a revision, branch or tag names.

    Raises:
        CommitError: Git knows no such commit.
    """
    look_up = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    return _list(repository, *look_up, f"{revision}^{{commit}}", revision=revision)[0]


def branch(repository: Path, tip: str = "HEAD") -> list[str]:
    """Returns the commits of a branch from the first to its tip, first parents only.

    Raises:
        CommitError: Git knows no such branch.
    """
    arguments = ("rev-list", "--first-parent", "--reverse", "--end-of-options", tip, "--")
    return _list(repository, *arguments, revision=tip)


def between(repository: Path, span: str) -> list[str]:
    """Returns the commits of a range such as `v1..HEAD`, first parents only, newest first.

    Raises:
        CommitError: Git does not know one of its ends.
    """
    arguments = ("rev-list", "--first-parent", "--end-of-options", span, "--")
    return _list(repository, *arguments, revision=span)


def tags(repository: Path) -> dict[str, str]:
    """Returns the commit of every tag, the newest tag first.

    Raises:
        GitError: The folder is not in a repository.
    """
    # An annotated tag is an object of its own, which names the commit.
    commit = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    arguments = ("for-each-ref", "--sort=-creatordate", f"--format=%(refname:short) {commit}")
    commits = {}
    for line in run(repository, *arguments, "refs/tags").splitlines():
        name, _, commit = line.rpartition(" ")
        commits[name] = commit
    return commits


def _list(repository: Path, *arguments: str, revision: str) -> list[str]:
    """Returns the commits that a git command lists for a revision or range."""
    try:
        return run(repository, *arguments).splitlines()
    except GitError as error:
        message = f"git knows no commit {revision!r} in {repository}"
        if error.output:
            message += f": {error.output.splitlines()[-1]}"
        raise CommitError(message) from error


class SubmoduleError(GitError):
    """The commit of a submodule is not in the checkout."""


def write_commit(repository: Path, commit: str, target: Path) -> None:
    """Writes all files of a commit into a folder, those of its submodules included.

    `git archive` is not used because it leaves out what .gitattributes marks as export-ignore,
    which are often the tests. Here git checks the commit out into a working tree of its own. There
    the .gitattributes of the commit count, not those that the user has now.

    Args:
        repository: The root of a checkout.
        commit: The commit's hash.
        target: The folder; it is made if it does not exist. Git's index lies in a temporary folder
            beside it until the commit is written.

    Raises:
        SubmoduleError: The commit of a submodule is not in the checkout.
        GitError: Git failed, for example because it does not know the commit.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="index-", dir=target.parent) as folder:
        _check_out(repository, commit, target, Path(folder, "index"))


def _check_out(repository: Path, commit: str, target: Path, index: Path) -> None:
    index.unlink(missing_ok=True)  # a submodule's commit follows that of its parent
    environment = {
        "GIT_DIR": run(repository, "rev-parse", "--absolute-git-dir"),
        "GIT_WORK_TREE": str(target),
        "GIT_INDEX_FILE": str(index),
    }
    run(target, *START_NOTHING, "read-tree", commit, environment=environment)
    run(target, *START_NOTHING, "checkout-index", "--all", "--force", environment=environment)
    listing = run(target, *START_NOTHING, "ls-files", "--stage", "-z", environment=environment)
    for path, wanted in _submodules(listing):
        submodule = repository / path
        is_there = (submodule / ".git").exists() and ask(submodule, "cat-file", "-t", wanted)
        if not is_there:
            raise SubmoduleError(
                f"commit {wanted[:7]} of the submodule {path} is not in {repository}; run there "
                "`git submodule update --init --recursive`, or `git fetch` in the submodule"
            )
        _check_out(submodule, wanted, target / path, index)


def _submodules(listing: str) -> Iterator[tuple[str, str]]:
    """Yields the path and the commit of every submodule that `git ls-files --stage -z` lists."""
    for entry in listing.split("\0"):
        facts, _, path = entry.partition("\t")
        if facts.startswith("160000 "):
            yield path, facts.split()[1]
