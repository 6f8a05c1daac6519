"""The benchmark files: one side's, given to the other, so that both run the same suite."""

from __future__ import annotations

import os
import shutil
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.environment import SOURCES, SUITE, remove
from flopline.gate.sides.versions import UNWANTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flopline.gate.sides.environment import Side

HARNESS = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)
"""Where pytest looks for its configuration; the first that fits is it."""


class OverlayError(FloplineError, ValueError):
    """Benchmark files that cannot be put from one side's tree into the other's."""


def overlay(source: Side, target: Side, files: Iterable[str]) -> None:
    """Gives one side the other's benchmark files, with what they need and what configures pytest.

    Around each file the outermost folder that holds no subject is replaced as a whole. Inside a package that is a
    folder named for tests or benchmarks; where there is none, it is the file alone. Every conftest.py above comes
    along, and pytest's configuration. What the source lacks of all this vanishes.

    Args:
        source: The side whose suite both are to run.
        target: The other side, already built.
        files: Benchmark files, relative to the source's tree.

    Raises:
        OverlayError: A file is missing, or lies or leads out of its tree.
    """
    subject = source.packages | target.packages
    parts = set(map(PurePosixPath, HARNESS))
    for file in files:
        real = (source.tree / file).resolve()
        if (
            ".." in PurePosixPath(file).parts
            or not real.is_file()
            or not real.is_relative_to(source.tree.resolve())
        ):
            raise OverlayError(
                f"benchmark file {file!r} is not in {source.tree}; give paths relative to it"
            )
        # A link stays a link, so what it stands for must come along.
        for path in {PurePosixPath(file), PurePosixPath(real.relative_to(source.tree.resolve()))}:
            parts |= _suite(path, subject)
    for part in sorted(parts):
        new, old = source.tree / part, target.tree / part
        if not old.parent.resolve().is_relative_to(target.tree.resolve()):
            raise OverlayError(
                f"on the {target.name} {part} leads out of its tree through a link; use --suite-from each"
            )
        remove(old)
        if new.is_dir() and not new.is_symlink():
            shutil.copytree(new, old, symlinks=True, ignore=UNWANTED)
        elif os.path.lexists(new):
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(new, old, follow_symlinks=False)


def _suite(file: PurePosixPath, subject: frozenset[str]) -> set[PurePosixPath]:
    folders = file.parts[:-1]
    depth = len(list(takewhile(lambda name: name in subject or name in SOURCES, folders)))
    if subject.intersection(folders[:depth]):
        depth = next(
            (n for n in range(depth, len(folders)) if SUITE.fullmatch(folders[n])), len(folders)
        )
    conftests = {PurePosixPath(*folders[:n], "conftest.py") for n in range(depth + 1)}
    return {PurePosixPath(*file.parts[: depth + 1]), *conftests}
