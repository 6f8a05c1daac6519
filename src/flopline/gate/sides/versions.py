"""The two versions that are compared: which were requested, and where they are."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from flopline import FloplineError, git
from flopline.gate.sides.place import Place

if TYPE_CHECKING:
    from flopline.gate.record import SideName

LOOK_UP = ("rev-parse", "--verify", "--quiet", "--end-of-options")
"""Arguments of git that turn a revision into the name of an object, or fail silently."""


@dataclass(frozen=True)
class Version:
    """A version of the project that was requested, and where it is.

    Attributes:
        name: `baseline` or `candidate`.
        label: The version in words, such as `origin/main (merge base 1a2b3c4)`,
            `working tree (9f8e7d6 + changes)` or `folder ../old`.
        commit: The full hash. For a working tree it is that of HEAD. It is empty if there is none.
        kind: What it is made of. A working tree is every file in it that git does not ignore. A
            folder is every file in it except caches.
        source: The root of the checkout, or the folder if it lies in none.
        project: Where the project lies in `source`; for a folder in a checkout, where it lies.
        changed: True if a working tree differs from its commit.
        wheel: The wheel that is the version; None if it is none. A wheel has no suite, so that
            all else is that of the other version, or of the working tree if both are wheels.
    """

    name: SideName
    label: str
    commit: str
    kind: Literal["commit", "working tree", "folder"]
    source: Path
    project: Path = Path()
    changed: bool = False
    wheel: Path | None = None


class VersionError(FloplineError, ValueError):
    """No version that can be compared has the requested name."""


def resolve(start: Path, baseline: str, candidate: str | None = None) -> tuple[Version, Version]:
    """Finds the two versions that were requested.

    A baseline that is a commit is replaced by its merge base with the candidate, so that what
    others have committed since then is not taken for the candidate's doing. It is not replaced if
    the candidate itself is an ancestor of the baseline: whoever compares backwards gets exactly
    the two versions that were requested.

    Args:
        start: A folder of the project.
        baseline: A revision, otherwise a folder or a wheel.
        candidate: A revision, otherwise a folder or a wheel. None stands for the working tree
            around `start`, or for `start` itself where there is no git.

    Raises:
        VersionError: There is no such version.
        ProjectError: A pyproject.toml around `start` cannot be understood.
        NoWorkingTreeError: `start` lies in a bare repository or inside a `.git` folder.
        GitError: Git failed.
    """
    place = Place.around(start)
    first = _find(place, "baseline", baseline)
    if candidate is None:
        second = current(place, "candidate")
    else:
        second = _find(place, "candidate", candidate)
    if first.wheel is not None or second.wheel is not None:
        return _around_wheels(first, second, current(place, "candidate"))
    if first.kind == "commit" and second.commit:
        first = _at_merge_base(first, second, baseline)
    return first, second


def _around_wheels(first: Version, second: Version, present: Version) -> tuple[Version, Version]:
    """Returns two versions, of which those that are wheels have the suite of the other one.

    Args:
        first: The baseline.
        second: The candidate.
        present: The working tree, for two wheels.
    """
    with_suite = next((each for each in (second, first) if each.wheel is None), present)
    versions = []
    for version in (first, second):
        found = version
        if version.wheel is not None:
            found = replace(with_suite, name=version.name, label=version.label, wheel=version.wheel)
        versions.append(found)
    return versions[0], versions[1]


def current(place: Place, name: SideName) -> Version:
    """Returns the version that the files around the user are now.

    Args:
        place: Where the user stands.
        name: The side that the version becomes.

    Raises:
        GitError: Git failed.
    """
    checkout = place.checkout
    if checkout is None:
        return Version(name, f"folder {place.start.name}", "", "folder", place.start)
    commit = git.ask(checkout, "rev-parse", "--verify", "--quiet", "HEAD")
    changes = git.run(checkout, "status", "--porcelain", "--untracked-files=normal")
    label = commit[:7] or "no commit yet"
    if changes:
        label += " + changes"
    return Version(
        name,
        label=f"working tree ({label})",
        commit=commit,
        kind="working tree",
        source=checkout,
        project=place.project.relative_to(checkout),
        changed=bool(changes),
    )


def _at_merge_base(baseline: Version, candidate: Version, requested: str) -> Version:
    """Returns the baseline at its merge base with the candidate where `resolve` says so."""
    merge_base = git.ask(baseline.source, "merge-base", baseline.commit, candidate.commit)
    if not merge_base:
        reason = "no merge base with the candidate: unrelated or shallow history"
        return replace(baseline, label=f"{requested} ({baseline.commit[:7]}, {reason})")
    is_merge_base = merge_base == baseline.commit
    compares_backwards = merge_base == candidate.commit and not candidate.changed
    if is_merge_base or compares_backwards:
        return baseline
    label = f"{requested} (merge base {merge_base[:7]})"
    return replace(baseline, label=label, commit=merge_base)


def _find(place: Place, name: SideName, requested: str) -> Version:
    if not requested:
        raise VersionError(
            f"the {name} is empty; give a revision (`origin/main`, `HEAD~1`, a tag) or a folder"
        )
    if requested.startswith("-"):
        raise VersionError(
            f"the {name} {requested!r} begins with a dash; "
            f"write a branch as refs/heads/{requested}, and a folder as ./{requested}"
        )
    checkout = place.checkout
    if checkout is not None:
        version = _find_commit(place, checkout, name, requested)
        if version is not None:
            return version
    folder = place.start / requested
    if folder.is_dir():
        return _folder(name, f"folder {requested}", folder.resolve())
    if folder.is_file() or folder.suffix == ".whl":
        return _wheel(name, requested, folder)
    if checkout is None:
        raise VersionError(
            f"the {name} {requested!r} is not a folder, and {place.start} is in no git checkout "
            "(or git is not installed); give two folders, or run in a checkout"
        )
    advice = "fetch it, or choose from `git branch --all` and `git tag`"
    if git.run(checkout, "rev-parse", "--is-shallow-repository") == "true":
        advice = (
            "this clone is shallow: run `git fetch --unshallow` "
            "(in GitHub Actions, use checkout with `fetch-depth: 0`)"
        )
    raise VersionError(
        f"the {name} {requested!r} is neither a revision of {checkout} nor a folder; {advice}"
    )


def _wheel(name: SideName, requested: str, file: Path) -> Version:
    """Returns the version that a wheel is, still without a suite.

    Raises:
        VersionError: There is no such file, or it is no wheel.
    """
    if not file.is_file():
        raise VersionError(
            f"the {name} {requested!r} does not exist; give a wheel that was built, a revision or "
            "a folder"
        )
    try:
        parse_wheel_filename(file.name)
    except InvalidWheelFilename as error:
        raise VersionError(
            f"the {name} {requested!r} is a file, and its name is not that of a wheel ({error}); "
            "give a wheel, a revision or a folder"
        ) from error
    return Version(
        name, f"wheel {requested}", "", "folder", file.parent, wheel=Path(os.path.normpath(file))
    )


def _folder(name: SideName, label: str, folder: Path) -> Version:
    """Returns the version that a folder is; its source is the checkout in which it lies, if any."""
    # A folder is a version whatever git has to say against it.
    root = Path(git.ask(folder, "rev-parse", "--show-toplevel") or folder)
    return Version(name, label, "", "folder", root, folder.relative_to(root))


def _find_commit(place: Place, checkout: Path, name: SideName, requested: str) -> Version | None:
    """Returns the version at a revision; None if git knows no object of that name."""
    identifier = git.ask(checkout, *LOOK_UP, requested)
    if not identifier:
        return None
    # Git repeats a full hash without looking whether such an object exists.
    kind = git.ask(checkout, "cat-file", "-t", identifier)
    if not kind:
        return None
    commit = git.ask(checkout, *LOOK_UP, f"{identifier}^{{commit}}")
    if not commit:
        raise VersionError(
            f"the {name} {requested!r} is a {kind} of {checkout}; "
            f"give a commit, or a folder as ./{requested}"
        )
    label = requested
    if not commit.startswith(requested):
        label = f"{requested} ({commit[:7]})"
    project = place.project.relative_to(checkout)
    return Version(name, label, commit, "commit", checkout, project)
