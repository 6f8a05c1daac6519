"""Gives one side's benchmark files to the other side, so that both run the same suite."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.project import SUITE_FILE, SUITE_NAME
from flopline.gate.sides.tree import NOT_COPIED, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flopline.gate.sides.environment import Side

CONFIGURATION = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)
"""The files in which pytest looks for its configuration; it uses the first that has one."""
CODE = re.compile(
    r"\.(pyi?|py[xd]|pxd|pxi|so|c|cc|cpp|cxx|h|hh|hpp|cu|cuh|cl|metal|rs|go|f|f90|f95|for|java|jl|js"
    r"|ts|wasm|ll|s|asm|mojo|zig|sql|sh)"
)
"""The suffixes of files that may be run or compiled, so that they may be what is measured."""
BUILT = frozenset([".so", ".pyd"])
"""The suffixes of what a build makes; two builds of one source need not be equal."""
NO_DATA = frozenset(["", ".md", ".rst", ".lock", ".toml", ".cfg", ".ini"])
"""The suffixes of files beside a benchmark that are about the project."""


class OverlayError(FloplineError, ValueError):
    """Benchmark files cannot be copied from one side's tree into the other's."""


@dataclass(frozen=True)
class Overlaid:
    """What an overlay has done, in paths relative to the sides' trees.

    Attributes:
        replaced: The files that differed and were replaced, added or removed, sorted.
        doubtful: Those of them that may be code to measure and not a part of the benchmarks.
        kept: Benchmark files that hold code to measure, as far as one can tell. They were not
            replaced, and each side runs its own.
    """

    replaced: tuple[str, ...] = ()
    doubtful: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


def overlay(source: Side, target: Side, files: Iterable[str]) -> Overlaid:
    """Replaces one side's benchmark files by the other's, with what they need to run.

    What is replaced is decided by what it is to pytest:

    - the benchmark files, every conftest.py above them and the configuration files of pytest;
    - the whole folder of tests or benchmarks in which a file lies (see `suite_folder`);
    - outside of such a folder, the data beside a file, but no code.

    Whatever the source lacks of the first two is removed from the target. A benchmark file that
    lies in no such folder, and whose name is not that of a file of tests, is code to measure that
    has its benchmark in it; it is kept.

    Args:
        source: The side whose suite both are to run.
        target: The other side, already built.
        files: Benchmark files, relative to the source's tree.

    Raises:
        OverlayError: A file does not exist, or it lies or leads out of its tree.
    """
    packages = source.packages | target.packages
    parts = {PurePosixPath(name) for name in CONFIGURATION}
    benchmarks = set()
    kept = set()
    for name in files:
        # A link is copied as a link, so the file to which it leads must be copied too.
        for file in {PurePosixPath(name), _inside(source.tree, name)}:
            parts |= {folder / "conftest.py" for folder in file.parents}
            parts |= {folder for folder in file.parents if (source.tree / folder).is_symlink()}
            if suite_folder(file, packages) is None and not SUITE_FILE.fullmatch(file.stem):
                kept.add(file)
            else:
                benchmarks.add(file)
                parts |= _beside(source, target, file, packages)
    replaced = _replace_differing(source, target, (parts | benchmarks) - kept)
    doubtful = set()
    for part in replaced:
        is_built = part.suffix in BUILT and target.site is not None
        if part not in benchmarks and not is_built and _is_doubtful(part, packages):
            doubtful.add(str(part))
    return Overlaid(
        tuple(str(part) for part in replaced),
        frozenset(doubtful),
        frozenset(str(file) for file in kept),
    )


def suite_folder(file: PurePosixPath, packages: frozenset[str]) -> PurePosixPath | None:
    """Returns the folder of tests or benchmarks in which a file lies; None if it lies in none.

    It is recognised by its name, and is not a package of the project that is called so. If there
    are several, the outermost one of tests is taken, because a folder of benchmarks that has tests
    of its own is code.

    Args:
        file: A benchmark file, relative to the tree.
        packages: The names of the project's packages.
    """
    others = [folder for folder in reversed(file.parents) if folder.name not in packages]
    named = [folder for folder in others if SUITE_NAME.fullmatch(folder.name)]
    of_tests = [folder for folder in named if folder.name.strip("_") in ("test", "tests")]
    return next(iter(of_tests or named), None)


def _inside(tree: Path, file: str) -> PurePosixPath:
    """Returns a file's path in its tree after symbolic links are followed."""
    root = tree.resolve()
    path = (tree / file).resolve()
    climbs = ".." in PurePosixPath(file).parts
    if climbs or not path.is_file() or not path.is_relative_to(root):
        raise OverlayError(f"benchmark file {file!r} is not in {tree}; give paths relative to it")
    return PurePosixPath(path.relative_to(root))


def _beside(
    source: Side, target: Side, file: PurePosixPath, packages: frozenset[str]
) -> set[PurePosixPath]:
    """Returns what belongs to a benchmark file: its folder of benchmarks, or data beside it."""
    folder = suite_folder(file, packages)
    if folder is not None:
        return _files_below(source, target, folder)
    if packages.intersection(file.parts):  # the data of a package belongs to its code
        return set()
    return set(_data_beside(source, file))


def _replace_differing(
    source: Side, target: Side, parts: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Replaces the files that differ, and returns them sorted."""
    replaced = []
    for part in sorted(parts):
        # Where a link leads is replaced under its own name.
        is_in_link = any((source.tree / folder).is_symlink() for folder in part.parents)
        if not is_in_link and not _is_same(source.tree / part, target.tree / part):
            _replace(source, target, part)
            replaced.append(part)
    return replaced


def _files_below(source: Side, target: Side, folder: PurePosixPath) -> set[PurePosixPath]:
    """Returns the files that either side has in a folder; the folder itself if it is a link."""
    if (source.tree / folder).is_symlink() or (target.tree / folder).is_symlink():
        return {folder}
    files: set[PurePosixPath] = set()
    for tree in (source.tree, target.tree):
        for place, folders, names in os.walk(tree / folder):
            left_out = NOT_COPIED(place, [*folders, *names])
            links = {name for name in folders if Path(place, name).is_symlink()}
            folders[:] = [name for name in folders if name not in left_out]
            below = PurePosixPath(os.path.relpath(place, tree))
            files |= {below / name for name in {*names, *links} if name not in left_out}
    return files


def _data_beside(side: Side, file: PurePosixPath) -> Iterator[PurePosixPath]:
    """Yields the data in the folder of a benchmark file, as far as one can tell by its names."""
    for path in (side.tree / file).parent.iterdir():
        is_data = (
            not CODE.fullmatch(path.suffix)
            and path.suffix not in NO_DATA
            and not path.name.startswith(".")
        )
        if is_data and path.is_file():
            yield file.parent / path.name


def _is_doubtful(part: PurePosixPath, packages: frozenset[str]) -> bool:
    """Returns whether a file that was replaced may be code to measure, or its data."""
    is_of_tests = part.suffix == ".py" and SUITE_FILE.fullmatch(part.stem)
    if str(part) in CONFIGURATION or is_of_tests:
        return False
    return bool(CODE.fullmatch(part.suffix)) or suite_folder(part, packages) is None


def _is_same(wanted: Path, present: Path) -> bool:
    """Returns whether two files, or two links, have the same content, or both do not exist."""
    if not os.path.lexists(wanted) or not os.path.lexists(present):
        return os.path.lexists(wanted) == os.path.lexists(present)
    if wanted.is_symlink() or present.is_symlink():
        both = wanted.is_symlink() and present.is_symlink()
        return both and wanted.readlink() == present.readlink()
    if not wanted.is_file() or not present.is_file():
        return False
    return filecmp.cmp(wanted, present, shallow=False)


def _replace(source: Side, target: Side, part: PurePosixPath) -> None:
    """Copies a file or folder from one tree into the other; removes it if the source lacks it."""
    wanted = source.tree / part
    present = target.tree / part
    if not present.parent.resolve().is_relative_to(target.tree.resolve()):
        raise OverlayError(
            f"on the {target.name} {part} leads out of its tree through a link; "
            "use --suite-from each"
        )
    for folder in present.parents:
        if folder.is_file():  # the source has a folder where the target has a file
            folder.unlink()
    remove(present)
    if wanted.is_dir() and not wanted.is_symlink():
        shutil.copytree(wanted, present, symlinks=True, ignore=NOT_COPIED)
    elif os.path.lexists(wanted):
        present.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wanted, present, follow_symlinks=False)
