"""What git knows: which commit a name means, and in which order commits stand on a branch."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class CommitError(ValueError):
    """Git knows no such commit or range."""


def resolve(repository: Path, name: str) -> str:
    """The full hash that a revision, branch or tag means.

    Raises:
        CommitError: Git knows no such commit.
    """
    return _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", asked=name)[0]


def line(repository: Path, tip: str = "HEAD") -> list[str]:
    """The commits of a branch from the first to its tip, first parents only.

    Raises:
        CommitError: Git knows no such branch.
    """
    return _git(repository, "rev-list", "--first-parent", "--reverse", tip, "--", asked=tip)


def between(repository: Path, span: str) -> list[str]:
    """The commits of a range such as `v1..HEAD`, first parents only, newest first.

    Raises:
        CommitError: Git does not know an end of it.
    """
    return _git(repository, "rev-list", "--first-parent", span, "--", asked=span)


def tags(repository: Path) -> dict[str, str]:
    """The commit of every tag, the newest tag first."""
    form = "--format=%(refname:short) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    rows = _git(repository, "for-each-ref", "--sort=-creatordate", form, "refs/tags", asked="tags")
    return {name: commit for name, _, commit in (row.rpartition(" ") for row in rows)}


def _git(repository: Path, *arguments: str, asked: str) -> list[str]:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise CommitError(
            f"git knows no commit {asked!r} in {repository}" + (f": {said[-1]}" if said else "")
        )
    return done.stdout.split("\n")[:-1]
