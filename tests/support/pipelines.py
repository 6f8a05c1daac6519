"""A repository as GitHub has it: a pull request, its merge, and clones as a pipeline makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.checkouts import commit, git, write

if TYPE_CHECKING:
    from pathlib import Path

TRACKED = "refs/remotes/pull/7/merge"


@dataclass(frozen=True)
class Origin:
    """A bare repository with a pull request.

    Attributes:
        path: Where it is.
        fork_point: The commit of `main` that the pull request's branch `work` started from.
        main: The newest commit of `main`, three later.
        work: The newest commit of `work`, two after the fork point.
        merge: What GitHub makes of both, the branch `merge` here.
    """

    path: Path
    fork_point: str
    main: str
    work: str
    merge: str

    def clone(self, folder: Path, branch: str, depth: int | None = 1) -> Path:
        """Returns a clone of a branch as a pipeline makes it, without the older commits."""
        # Only a URL makes git clone a local repository as it would a distant one.
        shallow = [] if depth is None else [f"--depth={depth}"]
        url = self.path.as_uri()
        git(self.path, "clone", "--quiet", "--no-tags", *shallow, "-b", branch, url, str(folder))
        return folder

    def check_out(self, folder: Path, ref: str) -> Path:
        """Returns a checkout of a reference as actions/checkout makes it: one commit, no branch."""
        folder.mkdir()
        git(folder, "init", "--quiet")
        git(folder, "remote", "add", "origin", self.path.as_uri())
        git(folder, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", f"+{ref}:{TRACKED}")
        git(folder, "checkout", "--quiet", "--detach", TRACKED)
        return folder


def make_origin(
    home: Path, before: dict[str, str] | None = None, after: dict[str, str] | None = None
) -> Origin:
    """Makes the repository.

    Args:
        home: A folder for it.
        before: The files of the first commit.
        after: The files that the branch `work` changes.
    """
    checkout = home / "checkout"
    checkout.mkdir()
    git(checkout, "init", "--quiet")
    write(checkout, {"README": "0\n", **(before or {})})
    commit(checkout, "first")
    for number in range(2):
        write(checkout, {"README": f"{number}\n"})
        fork_point = commit(checkout, f"main {number}")
    git(checkout, "checkout", "--quiet", "-b", "work")
    write(checkout, {"work": "begun\n"})
    commit(checkout, "work begins")
    write(checkout, after or {"work": "done\n"})
    work = commit(checkout, "work ends")
    git(checkout, "checkout", "--quiet", "main")
    for number in range(2, 5):
        write(checkout, {"README": f"{number}\n"})
        main = commit(checkout, f"main {number}")
    git(checkout, "checkout", "--quiet", "-b", "merge")
    git(checkout, "merge", "--quiet", "--no-ff", "--message", "Merge work into main", "work")
    merge = git(checkout, "rev-parse", "HEAD")
    bare = home / "origin.git"
    git(checkout, "clone", "--quiet", "--bare", str(checkout), str(bare))
    # Where GitHub keeps them, also if the branch itself lies in a fork.
    git(bare, "update-ref", "refs/pull/7/head", work)
    git(bare, "update-ref", "refs/pull/7/merge", merge)
    return Origin(bare, fork_point, main, work, merge)
