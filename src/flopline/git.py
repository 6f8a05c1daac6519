"""Git: runs it, finds a checkout, names commits and writes a commit into a folder.

The user's index, branches, worktrees and files are only read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SET_FOR_HOOKS = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_INDEX_FILE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"),
)
"""Variables that git sets for hooks.

They would redirect git commands from where they run to the hook's repository.
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


def variables() -> dict[str, str]:
    """Returns this program's environment without what leads git to the repository of a hook."""
    return {name: value for name, value in os.environ.items() if name not in SET_FOR_HOOKS}


def run(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
) -> str:
    """Returns what a git command prints, without its last line end.

    Args:
        folder: Where the command runs.
        arguments: The arguments of git.
        environment: Variables to add.
        text: What the command reads as its input; nothing by default.

    Raises:
        GitError: Git could not be started, or it ended with an error.
    """
    settings = {
        # Without optional locks git does not even refresh the time stamps in the user's index.
        "GIT_OPTIONAL_LOCKS": "0",
        # `checkout_root` reads git's messages, so they must be in English.
        "LC_ALL": "C",
        **(environment or {}),
    }
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=variables() | settings,
            input=os.fsencode(text or ""),
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


def write_commit(
    repository: Path,
    commit: str,
    target: Path,
    prepare: Callable[[Path, str, Path], Path] | None = None,
) -> None:
    """Writes all files of a commit into a folder, those of its submodules included.

    `git archive` is not used because it leaves out what .gitattributes marks as export-ignore,
    which are often the tests. Here git checks the commit out into a working tree of its own. There
    the .gitattributes of the commit count, not those that the user has now.

    Args:
        repository: The root of a checkout.
        commit: The commit's hash.
        target: The folder; it is made if it does not exist.
        prepare: A function that is called for the commit and for each of its submodules before
            their files are written, with the repository's git directory, the commit and the folder.
            It returns where git's index is written. Without it the index lies in a temporary folder
            beside the target until the commit is written.

    Raises:
        SubmoduleError: The commit of a submodule is not in the checkout.
        GitError: Git failed, for example because it does not know the commit.
    """
    target.mkdir(parents=True, exist_ok=True)
    directory = Path(run(repository, "rev-parse", "--absolute-git-dir"))
    source = _Source(directory, repository, Path())
    if prepare is not None:
        _check_out(source, commit, target, prepare)
        return
    with tempfile.TemporaryDirectory(prefix="index-", dir=target.parent) as folder:
        index = Path(folder, "index")
        _check_out(source, commit, target, lambda *_: index)


@dataclass(frozen=True)
class _Source:
    """The repository that a commit is read from.

    Attributes:
        directory: Its git directory.
        checkout: Where it is checked out; it need not exist.
        path: Where it lies in the outermost checkout.
    """

    directory: Path
    checkout: Path
    path: Path


def _check_out(
    source: _Source, commit: str, target: Path, prepare: Callable[[Path, str, Path], Path]
) -> None:
    index = prepare(source.directory, commit, target)
    index.unlink(missing_ok=True)  # a submodule's commit follows that of its parent
    environment = {
        "GIT_DIR": str(source.directory),
        "GIT_WORK_TREE": str(target),
        "GIT_INDEX_FILE": str(index),
    }
    whole = ("-c", "core.splitIndex=false", "-c", "core.sparseCheckout=false")
    options = (*START_NOTHING, *whole)
    run(target, *options, "read-tree", commit, environment=environment)
    # With --index the times of the files go into the index, so that git need not read them again.
    everything = ("checkout-index", "--all", "--force", "--index")
    run(target, *options, *everything, environment=environment)
    listing = run(target, *options, "ls-files", "--stage", "-z", environment=environment)
    submodules = dict(_submodules(listing))
    names = _submodule_names(target, environment) if submodules else {}
    for path, wanted in submodules.items():
        submodule = _find_submodule(source, path, names.get(path, path), wanted)
        if submodule is None:
            shown = source.path / path
            raise SubmoduleError(
                f"commit {wanted[:7]} of the submodule {shown} is not in {source.checkout}; run "
                "there `git submodule update --init --recursive`, or `git fetch` in the submodule. "
                f"If it has this submodule no longer, check out {commit[:7]} for that"
            )
        _check_out(submodule, wanted, target / path, prepare)


def _submodules(listing: str) -> Iterator[tuple[str, str]]:
    """Yields the path and the commit of every submodule that `git ls-files --stage -z` lists."""
    for entry in listing.split("\0"):
        facts, _, path = entry.partition("\t")
        if facts.startswith("160000 "):
            yield path, facts.split()[1]


def _submodule_names(target: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the name of every submodule by its path, as the .gitmodules of a commit says.

    A submodule that was moved keeps its name, and its git directory lies under the name.
    """
    names = {}
    listing = ("config", "--file", ".gitmodules", "--null", "--get-regexp")
    try:
        answer = run(target, *listing, r"^submodule\..*\.path$", environment=environment)
    except GitError:  # there is no such file, or none is named in it
        return {}
    for entry in answer.split("\0"):
        key, _, path = entry.partition("\n")
        names[path] = key.removeprefix("submodule.").removesuffix(".path")
    return names


def _find_submodule(source: _Source, path: str, name: str, wanted: str) -> _Source | None:
    """Returns the repository of a submodule that has a commit; None if there is none.

    It is looked for where the submodule is checked out, then among the git directories that git
    keeps of submodules, also of those that were moved, renamed or removed since: first under its
    name, and then under any.
    """
    checkout = source.checkout / path
    candidates = []
    if (checkout / ".git").exists():
        inside = ask(checkout, "rev-parse", "--absolute-git-dir")
        candidates += [Path(inside)] if inside else []
    # A linked worktree has submodules of its own, and the main one's lie in the common folder.
    environment = {"GIT_DIR": str(source.directory), "GIT_WORK_TREE": str(source.directory)}
    shared = run(source.directory, "rev-parse", "--git-common-dir", environment=environment)
    for directory in dict.fromkeys((source.directory, source.directory / shared)):
        kept = directory / "modules"
        candidates.append(kept / name)
        candidates += sorted(head.parent for head in kept.rglob("HEAD"))
    for candidate in candidates:
        if not (candidate / "objects").exists() and not (candidate / "commondir").exists():
            continue
        # Git directories of submodules name a working tree, which is gone with the submodule.
        environment = {"GIT_DIR": str(candidate), "GIT_WORK_TREE": str(candidate)}
        try:
            run(candidate, "cat-file", "-e", f"{wanted}^{{commit}}", environment=environment)
        except GitError:
            continue
        return _Source(candidate, checkout, source.path / path)
    return None
