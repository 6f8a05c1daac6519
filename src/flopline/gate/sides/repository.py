"""A repository for every export, in which git answers as it does in the checkout.

Builds ask git for versions, and for the files that belong to a package. So an export has the
commit, the tags and the branches of the checkout that it was made from, and its index. The objects
themselves stay where they are: the repository only says where to read them.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from flopline import git

OWN_SETTINGS = """\
[core]
\trepositoryformatversion = {version}
\tbare = false
\tlogallrefupdates = false
\thooksPath = /dev/null
\tfsmonitor = false
\tsplitIndex = false
\tuntrackedCache = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""
"""The settings of the new repository, in which git starts nothing of the user's by itself."""
SHA256 = "[extensions]\n\tobjectFormat = sha256\n"
"""The setting of a repository whose hashes are not SHA-1."""
KEPT_SETTINGS = re.compile(
    r"core\.(autocrlf|eol|safecrlf|filemode|symlinks|ignorecase|bigfilethreshold)|filter\..*"
)
"""Settings of the user's repository that decide whether git takes a file for changed."""
KEPT_REFERENCES = ("refs/heads", "refs/tags", "refs/remotes", "refs/replace")
KEPT_FILES = ("shallow", "info/exclude", "info/attributes")
"""Files of the user's repository that are copied: where a shallow history ends, and what is ignored
and converted there."""


def attach(directory: Path, head: str, folder: Path) -> Path:
    """Makes a repository in a folder and returns the path of its index, which is not written.

    No program writes it but this one, because git would copy the user's templates, which may have
    hooks.

    Args:
        directory: The git directory of the user's repository.
        head: What is checked out in the folder: a commit, or `ref: ` and the name of a branch.
        folder: The folder.

    Raises:
        GitError: Git cannot read the user's repository.
        OSError: A file could not be written.
    """
    made = folder / ".git"
    for part in ("objects/info", "refs", "info"):
        (made / part).mkdir(parents=True)
    _write(made / "HEAD", f"{head}\n")
    settings = OWN_SETTINGS.format(version=0)
    if _ask(directory, "rev-parse", "--show-object-format") == "sha256":
        settings = OWN_SETTINGS.format(version=1) + SHA256
    _write(made / "config", settings + _kept_settings(directory))
    objects = _absolute(directory, "objects")
    _write(made / "objects" / "info" / "alternates", f"{_quoted(str(objects))}\n")
    listing = ("for-each-ref", "--format=%(objectname) %(refname)", *KEPT_REFERENCES)
    _write(made / "packed-refs", f"{_ask(directory, *listing)}\n")
    for name in KEPT_FILES:
        kept = _absolute(directory, name)
        if kept.is_file():
            shutil.copyfile(kept, made / name)
    return made / "index"


def attach_checkout(checkout: Path, folder: Path) -> None:
    """Makes a repository in a copy of a working tree, with the same commit, branch and index.

    Args:
        checkout: The root of the checkout.
        folder: Its copy.

    Raises:
        GitError: Git cannot read the user's repository.
        OSError: A file could not be written.
    """
    directory = Path(git.run(checkout, "rev-parse", "--absolute-git-dir"))
    branch = git.ask(checkout, "symbolic-ref", "--quiet", "HEAD")
    head = f"ref: {branch}" if branch else git.run(checkout, "rev-parse", "HEAD")
    index = attach(directory, head, folder)
    present = _absolute(directory, "index")
    if present.is_file():
        for file in (present, *present.parent.glob("sharedindex.*")):
            shutil.copyfile(file, index.with_name(file.name))
    # Git fails here if files have changed, which is no error.
    git.ask(folder, *git.START_NOTHING, "update-index", "-q", "--no-split-index", "--refresh")


def hide_missing(folder: Path, present: Path) -> None:
    """Makes git take for unchanged what is not below one folder of a copy.

    Args:
        folder: The root of the copy, in which `attach_checkout` has made a repository.
        present: The folder that was copied, relative to the root.
    """
    tracked = git.run(folder, "ls-files", "-z", "--", f":(exclude,literal){present}")
    names = [name for name in tracked.split("\0") if name]
    hide = ("update-index", "-z", "--skip-worktree", "--stdin")
    git.run(folder, *git.START_NOTHING, *hide, text="".join(f"{name}\0" for name in names))


def _ask(directory: Path, *question: str) -> str:
    """Returns what git says about a repository that need not have a working tree."""
    environment = {"GIT_DIR": str(directory), "GIT_WORK_TREE": str(directory)}
    return git.run(directory, *question, environment=environment)


def _absolute(directory: Path, name: str) -> Path:
    """Returns the path of a file of a git directory; linked worktrees share most of them."""
    return directory / _ask(directory, "rev-parse", "--git-path", name)


def _kept_settings(directory: Path) -> str:
    lines = []
    for entry in _ask(directory, "config", "--local", "--null", "--list").split("\0"):
        key, has_value, value = entry.partition("\n")
        if not KEPT_SETTINGS.fullmatch(key):
            continue
        section, _, name = key.rpartition(".")
        title, _, part = section.partition(".")
        lines.append(f"[{title} {_quoted(part)}]" if part else f"[{title}]")
        lines.append(f"\t{name} = {_quoted(value)}" if has_value else f"\t{name}")
    return "".join(f"{line}\n" for line in lines)


def _quoted(text: str) -> str:
    """Returns a text as git reads it in its files, whatever characters it has."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _write(file: Path, text: str) -> None:
    file.write_bytes(os.fsencode(text))
