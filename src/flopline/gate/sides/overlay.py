"""Gives one side's benchmark files to the other side, so that both run the same suite."""

from __future__ import annotations

import ast
import filecmp
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.project import SUITE_FILE, SUITE_NAME
from flopline.gate.sides.tree import CONFIGURATION, NOT_COPIED, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flopline.gate.sides.environment import Side

CODE = re.compile(
    r"\.(pyi?|py[xd]|pxd|pxi|so|c|cc|cpp|cxx|h|hh|hpp|cu|cuh|cl|metal|rs|go|f|f90|f95|for|java|jl|js"
    r"|ts|wasm|ll|s|asm|mojo|zig|sql|sh)"
)
"""The suffixes of files that may be run or compiled, so that they may be what is measured."""
BUILT = frozenset([".so", ".pyd"])
"""The suffixes of what a build makes; two builds of one source need not be equal."""
OF_PYTEST = re.compile(r"test|bench|pytest_", re.IGNORECASE)
"""The names of tests and hooks begin with this."""
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


def overlay(source: Side, target: Side, files: Iterable[str], *, asv: str = "") -> Overlaid:
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
        asv: The folder of an asv suite, relative to the trees. It is then replaced as a whole, and
            nothing else is.

    Raises:
        OverlayError: A file does not exist, or it lies or leads out of its tree.
    """
    if asv:
        return _overlay_folder(source, target, PurePosixPath(asv))
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
    replaced = []
    doubtful = []
    for part in _differing(source, target, (parts | benchmarks) - kept):
        if _is_doubtful(source, target, part, is_suite=part in benchmarks):
            doubtful.append(str(part))
        _replace(source, target, part)
        replaced.append(str(part))
    return Overlaid(
        tuple(replaced),
        frozenset(doubtful),
        frozenset(str(file) for file in kept),
    )


def _overlay_folder(source: Side, target: Side, folder: PurePosixPath) -> Overlaid:
    """Replaces the folder of an asv suite, which holds nothing but benchmarks.

    Raises:
        OverlayError: It leads out of a tree.
    """
    for side in (source, target):
        path = (side.tree / folder).resolve()
        if not path.is_relative_to(side.tree.resolve()):
            raise OverlayError(
                f"on the {side.name} {folder} leads out of its tree through a link; "
                "use --suite-from each"
            )
    replaced = []
    for part in _differing(source, target, _files_below(source, target, folder)):
        _replace(source, target, part)
        replaced.append(str(part))
    return Overlaid(tuple(replaced))


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


def _differing(
    source: Side, target: Side, parts: Iterable[PurePosixPath]
) -> Iterator[PurePosixPath]:
    """Yields the files that differ, sorted; whoever takes one replaces it before the next."""
    for part in sorted(parts):
        # Where a link leads is replaced under its own name.
        is_in_link = any((source.tree / folder).is_symlink() for folder in part.parents)
        if not is_in_link and not _is_same(source.tree / part, target.tree / part):
            yield part


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


def _is_doubtful(source: Side, target: Side, part: PurePosixPath, *, is_suite: bool) -> bool:
    """Returns whether a file that differs may be code to measure, or its data.

    Args:
        source: The side whose suite both are to run.
        target: The other side, before the file is replaced.
        part: The file.
        is_suite: Whether it has benchmarks that are measured.
    """
    if str(part) in CONFIGURATION:
        return False
    if is_suite or (part.suffix == ".py" and SUITE_FILE.fullmatch(part.stem)):
        before, after = _plain_code(target.tree / part), _plain_code(source.tree / part)
        return any(before[name] != after[name] for name in before.keys() & after.keys())
    if part.suffix in BUILT and target.site is not None:
        return False
    is_in_suite = suite_folder(part, source.packages | target.packages) is not None
    return not is_in_suite or bool(CODE.fullmatch(part.suffix))


def _plain_code(file: Path) -> dict[str, str]:
    """Returns the functions and classes of a Python file that are no tests, fixtures or hooks.

    Each is given by its name and a text that comments and line numbers do not change.
    """
    try:
        module = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    code = {}
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_fixture = any("fixture" in ast.unparse(each) for each in node.decorator_list)
        if not is_fixture and not OF_PYTEST.match(node.name):
            code[node.name] = ast.dump(node)
    return code


def _is_same(wanted: Path, present: Path) -> bool:
    """Returns whether two files, or two links, have the same content, or both do not exist."""
    if not os.path.lexists(wanted) or not os.path.lexists(present):
        return os.path.lexists(wanted) == os.path.lexists(present)
    if wanted.is_symlink() or present.is_symlink():
        both = wanted.is_symlink() and present.is_symlink()
        return both and wanted.readlink() == present.readlink()
    if not wanted.is_file() or not present.is_file():
        return False
    if wanted.samefile(present):  # --carry has brought it, and it may be large
        return True
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
