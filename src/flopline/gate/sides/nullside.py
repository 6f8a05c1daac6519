"""A side with the baseline's own code after a null edit, to compare the baseline with."""

from __future__ import annotations

import glob
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flopline.gate.sides.export import ExportError
from flopline.gate.sides.nulledit import edit
from flopline.gate.sides.overlay import suite_folder
from flopline.gate.sides.tree import remove

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.nulledit import NullKind

FOLDER = "null"
"""The folder of the edited copy, whose name is as long as those of the other sides."""
LONGEST_NAME = 40
"""A copy that is moved lies in a folder whose name is longer by at most this number of bytes."""


def subject_files(side: Side, loaded: Iterable[str], suite: Collection[str]) -> list[PurePosixPath]:
    """Returns the Python files of a side's subject, relative to its home, sorted.

    These are the files that it has loaded, and the others of the packages in which they lie: many
    modules are first imported when a benchmark runs. Files of tests and benchmarks are left out,
    because both sides run the same ones.

    Args:
        side: The side.
        loaded: The files that a worker of the side has loaded, without links.
        suite: The files of the benchmarks, relative to the side's tree.
    """
    if side.home is None:
        return []
    home, tree = side.home.resolve(), side.tree.resolve()
    left_out = {(tree / name).resolve() for name in suite}
    roots = [tree, side.copy.resolve()]
    site = roots[0] if side.site is None else side.site.resolve()
    subject = set()
    for name in loaded:
        file = Path(name)
        # The folder of packages may be an environment's, which has the dependencies in it, too.
        is_installed = file.is_relative_to(site) and site.is_relative_to(home)
        if is_installed and site not in roots:
            package = PurePosixPath(file.relative_to(site).parts[0]).stem
            root = site if package in side.packages else None
        else:
            root = next((folder for folder in roots if file.is_relative_to(folder)), None)
        if root is not None:
            for each in (file, *_around(file)):
                if each not in left_out and _is_code(each, root, side.packages):
                    subject.add(PurePosixPath(each.relative_to(home)))
    return sorted(subject)


def _around(file: Path) -> list[Path]:
    """Returns the Python files of the outermost package in which a file lies."""
    package = None
    for folder in file.parents:
        if not (folder / "__init__.py").is_file():
            break
        package = folder
    return [] if package is None else list(package.rglob("*.py"))


def _is_code(file: Path, root: Path, packages: frozenset[str]) -> bool:
    """Returns whether a file is Python code that is no part of a suite.

    Args:
        file: The file.
        root: The folder that its place in the project is relative to.
        packages: The names of the project's packages.
    """
    if file.suffix != ".py" or file.name == "conftest.py" or file.is_symlink():
        return False
    place = PurePosixPath(file.relative_to(root))
    return suite_folder(place, packages) is None and file.is_file()


def is_editable(
    side: Side, files: Sequence[PurePosixPath], kind: NullKind, lot: random.Random
) -> bool:
    """Returns whether a null edit changes anything of a side's subject."""
    if kind == "moved":
        return bool(files)
    sources = ((side.home or Path()) / name for name in files)
    return any(edit(source.read_bytes(), kind, lot) is not None for source in sources)


@contextmanager
def null_side(
    baseline: Side, files: Sequence[PurePosixPath], kind: NullKind, lot: random.Random
) -> Iterator[Side]:
    """Copies the baseline, edits the copy, and yields it as the candidate.

    The copy is removed when the context is left.

    Args:
        baseline: A side that was exported.
        files: The files of its subject, as `subject_files` returns them.
        kind: What is done to each of them. A file that cannot be edited stays as it is.
        lot: Draws how much is edited.

    Raises:
        ExportError: The copy could not be written.
    """
    if baseline.home is None:
        raise ExportError(
            f"the {baseline.name} has no folder of its own, and a null edit needs a copy of it"
        )
    name = FOLDER
    if kind == "moved":
        name += "x" * lot.randint(1, LONGEST_NAME)
    home = baseline.home.with_name(name)
    try:
        try:
            shutil.copytree(baseline.home, home, symlinks=True, ignore=_special)
            for file in files:
                _edit_file(baseline.home / file, home / file, kind, lot)
        except OSError as error:
            reason = error.strerror or "a file of it could not be copied"
            raise ExportError(
                f"the {baseline.name} could not be copied for a null edit: {reason}"
            ) from error
        yield _at(baseline, home, f"{baseline.version.label}, null edit: {kind}")
    finally:
        remove(home)


def _special(folder: str, names: list[str]) -> set[str]:
    """Selects what a suite may have left behind that cannot be copied: pipes and sockets."""
    left_out = set()
    for name in names:
        mode = Path(folder, name).lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            left_out.add(name)
    return left_out


def _edit_file(original: Path, file: Path, kind: NullKind, lot: random.Random) -> None:
    """Edits a file of the copy.

    Both sides then have no byte code of it, so that both make it in the same block.
    """
    result = edit(file.read_bytes(), kind, lot)
    if result is None:
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    file.unlink()  # its permissions may forbid to write it
    file.write_bytes(result)
    file.chmod(mode)
    for each in (original, file):
        pattern = f"{glob.escape(each.stem)}.*.pyc"
        for cached in (each.parent / "__pycache__").glob(pattern):
            cached.unlink(missing_ok=True)


def _at(baseline: Side, home: Path, label: str) -> Side:
    """Returns a side that is the baseline in another folder, as the candidate."""
    before = baseline.home or Path()

    def moved(path: Path) -> Path:
        return home / path.relative_to(before) if path.is_relative_to(before) else path

    path = baseline.environment["PYTHONPATH"].split(os.pathsep)
    entries = [str(moved(Path(entry))) if entry else entry for entry in path]
    return replace(
        baseline,
        version=replace(baseline.version, name="candidate", label=label),
        python=str(moved(Path(baseline.python))),
        tree=moved(baseline.tree),
        environment={**baseline.environment, "PYTHONPATH": os.pathsep.join(entries)},
        site=None if baseline.site is None else moved(baseline.site),
        home=home,
    )
