"""What configures pytest around a side's project, which one side gives to the other."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from flopline.gate.sides.tree import SURROUNDINGS, is_behind_link, remove

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flopline.gate.sides.environment import Side


def share_surroundings(source: Side, target: Side, arguments: Sequence[str]) -> None:
    """Gives one side's configuration of pytest to the other, so that names mean the same on both.

    It is what lies in the folders above the project, and the file that the arguments name. What the
    source lacks of the former is removed from the target. The configuration in the project itself
    is part of the overlay.

    Args:
        source: The side whose suite both are to run.
        target: The other side.
        arguments: Arguments for pytest.
    """
    depth = min(len(side.version.project.parts) for side in (source, target))
    above = zip(source.tree.parents[:depth], target.tree.parents[:depth], strict=True)
    for given, received in above:
        for name in SURROUNDINGS:
            _copy(given / name, received / name)
    for path in _configuration_files(arguments):
        given, received = (side.folder / side.arguments([path])[0] for side in (source, target))
        if given.is_file() and received.is_relative_to(target.copy):
            _copy(given, received)


def _copy(given: Path, received: Path) -> None:
    if given == received or is_behind_link(received):
        return
    if not received.is_dir():
        remove(received)
    if given.is_file():
        received.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(given, received)


def _configuration_files(arguments: Sequence[str]) -> list[str]:
    """Returns the files that pytest's option -c names; it may have its value with it."""
    files = []
    before = ""
    for argument in arguments:
        if before in {"-c", "--config-file"}:
            files.append(argument)
        elif argument.startswith("--config-file="):
            files.append(argument.removeprefix("--config-file="))
        elif argument.startswith("-c") and argument != "-c":
            files.append(argument.removeprefix("-c"))
        before = argument
    return files


def bounds(folder: Path, copy: Path, arguments: Sequence[str]) -> list[str]:
    """Returns arguments that keep pytest from what lies above a side's copy.

    Pytest looks for its configuration in all folders above. Where a copy has none, that may be a
    file in the folder for temporary files, and names would begin with the folder of the side.

    Args:
        folder: Where the worker starts.
        copy: The side's copy.
        arguments: The arguments that pytest is given.
    """
    if any(argument.startswith(("-c", "--config-file", "--rootdir")) for argument in arguments):
        return []
    marks = (*SURROUNDINGS, "setup.py")
    starts = [folder, *(folder / argument.split("::")[0] for argument in arguments)]
    for start in starts:
        for place in (start, *start.parents):
            if place.is_relative_to(copy) and _has_any(place, marks[:-2] + marks[-1:]):
                return []
    if not any(_has_any(place, marks) for place in copy.parents):
        return []
    return ["-c", os.devnull, f"--rootdir={folder}", f"--confcutdir={copy}"]


def _has_any(folder: Path, names: Sequence[str]) -> bool:
    return any(os.path.lexists(folder / name) for name in names)
