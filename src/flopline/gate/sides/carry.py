"""Files that git ignores, which the user brings into both sides: data, models, built libraries."""

from __future__ import annotations

import filecmp
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError, git
from flopline.gate.sides.overlay import CODE
from flopline.gate.sides.tree import is_behind_link
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import SideName
    from flopline.gate.sides.place import Place

TAKEN = frozenset(["tree", "site", "venv", "log", "tmp"])
"""Names in a side's folder that the gate itself uses beside the copy of the checkout."""
LEFT_OUT = frozenset([".git", "__pycache__"])
"""Folders of a carried folder that stay behind: a version's own history, and byte code."""


class CarryError(FloplineError, ValueError):
    """A file or folder cannot be brought into both sides."""


@dataclass(frozen=True)
class Load:
    """A file or folder that the user has named, and what of it is brought into both sides.

    Attributes:
        requested: The path as the user gave it, for messages.
        source: It, as an absolute path.
        target: Its place, relative to the copy of the checkout. It may lie beside that.
        files: The files to bring, relative to `source`; `.` is a file itself.
    """

    requested: str
    source: Path
    target: Path
    files: tuple[Path, ...]


def find_loads(place: Place, requested: Sequence[str]) -> list[Load]:
    """Returns what the user wants to have in both sides.

    Args:
        place: Where the user stands.
        requested: Paths: absolute, or relative to where the user stands or to the project.

    Raises:
        CarryError: There is no such file, it has no place in a side, or each version has its own.
    """
    return [_find(place, path) for path in requested]


def _find(place: Place, requested: str) -> Load:
    starts = dict.fromkeys([place.start, place.project])
    found = [folder / requested for folder in starts if os.path.lexists(folder / requested)]
    if not requested or not found:
        folders = " or ".join(map(str, starts))
        raise CarryError(f"--carry {requested!r}: there is no such file or folder in {folders}")
    source = Path(os.path.normpath(found[0]))
    source = source.parent.resolve() / source.name
    target = Path(os.path.relpath(source, place.root))
    if source == place.root or ".git" in target.parts:
        raise CarryError(
            f"--carry {requested!r}: each side has a checkout of its own; name a file or folder in "
            "it that git ignores"
        )
    is_inside = target.parts[0] != ".."
    beside = target.parts[1:]
    if not is_inside and (not beside or beside[0] == ".." or beside[0] in TAKEN):
        raise CarryError(
            f"--carry {requested!r}: {source} lies outside of {place.root}, and is no neighbour of "
            "it either; the suite finds it there by its absolute path, so leave --carry out"
        )
    files = _files(source, _tracked(place, target) if is_inside else frozenset())
    if not files:
        raise CarryError(
            f"--carry {requested!r}: it is empty, or git tracks all of it, so that each version "
            "brings its own; leave --carry out"
        )
    return Load(requested, source, target, files)


def _tracked(place: Place, target: Path) -> frozenset[str]:
    """Returns the files of the checkout that git tracks in a folder, relative to that folder."""
    if place.checkout is None:
        return frozenset()
    listed = git.run(place.checkout, "ls-files", "-z", "--", f":(literal){target}").split("\0")
    return frozenset(os.path.relpath(name, target) for name in listed if name)


def _files(source: Path, tracked: frozenset[str]) -> tuple[Path, ...]:
    """Returns the files to bring, relative to the source; a link counts as a file."""
    if source.is_symlink() or not source.is_dir():
        return () if "." in tracked else (Path(),)
    files = []
    for folder, folders, names in os.walk(source):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(set(folders) - LEFT_OUT - set(links))
        below = Path(os.path.relpath(folder, source))
        files += [below / name for name in sorted([*names, *links])]
    return tuple(file for file in files if str(file) not in tracked)


def carry(side: SideName, loads: Sequence[Load], copy: Path) -> list[str]:
    """Brings files into a side, and returns what a reader must know about it.

    A file that the version has itself is never replaced. Code is copied: both sides' builds may
    write into it, at the same time, and a link would lead its reader out of the side. Everything
    else becomes a hard link, and on another file system a symbolic link.

    Args:
        side: The side.
        loads: What to bring.
        copy: The side's copy of the checkout.

    Raises:
        CarryError: A file has no place there, or could not be brought.
    """
    notes = []
    for load in loads:
        try:
            kept = _bring_all(load, Path(os.path.normpath(copy / load.target)))
        except OSError as error:
            raise CarryError(
                f"--carry {load.requested!r}: it could not be brought into the {side}: "
                f"{error.strerror or error}"
            ) from error
        if kept:
            notes.append(
                f"--carry has not replaced what the {side} has itself: "
                f"{counted(len(kept), 'file')}, such as {os.path.relpath(kept[0], copy)}"
            )
    return notes


def _bring_all(load: Load, target: Path) -> list[Path]:
    """Brings all files and returns the places at which the version has other ones.

    Raises:
        OSError: A file or folder could not be written, or a link leads out of the copy.
    """
    kept = []
    ready: set[Path] = set()
    for name in load.files:
        source, place = load.source / name, target / name
        if place.parent not in ready:
            place.parent.mkdir(parents=True, exist_ok=True)
            if is_behind_link(place):
                raise FileExistsError(f"{place.parent} is behind a link of this version")
            ready.add(place.parent)
        if not os.path.lexists(place):
            _bring(source, place)
        elif not _is_same(source, place):
            kept.append(place)
    return kept


def _bring(source: Path, place: Path) -> None:
    """Links or copies a file; what is neither a file nor a link, such as a socket, stays behind."""
    if source.is_symlink():
        place.symlink_to(_target(source))
    elif source.is_file():
        if CODE.fullmatch(source.suffix):
            shutil.copy2(source, place)
            return
        try:
            os.link(source, place)
        except OSError:  # another file system, or somebody else's file
            place.symlink_to(source)


def _target(link: Path) -> Path:
    """Returns where a link leads; `Path.resolve` raises an error for one that leads to itself."""
    return Path(os.path.realpath(link))


def _is_same(source: Path, place: Path) -> bool:
    """Returns whether a version has the same file, or link, as the user's checkout."""
    if source.is_file() and place.is_file():
        return place.samefile(source) or filecmp.cmp(source, place, shallow=False)
    return _target(source) == _target(place)
