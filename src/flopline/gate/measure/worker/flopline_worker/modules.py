"""The files whose code this process has loaded, so that the coordinator knows whose code it is."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import sys
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from .protocol import LoadedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = os.path.realpath(Path(__file__).parents[1]) + os.sep
"""The folder of the worker, which may be started from a checkout of flopline itself."""
VERSION_LINE = re.compile(rb"^\w*(?:version|commit_id)\w*\b.*=.*$", re.MULTILINE)
"""A line that says which version this is, as a new release and many build tools change it."""
read_bytes = Path.read_bytes  # tests may replace it
real_path = os.path.realpath
is_file = os.path.isfile


def loaded_files(own: str, others: Iterable[str]) -> list[LoadedFile]:
    """Returns the files below some folders from which this process has code, sorted.

    These are the files of all modules, those of all Python functions that exist, because a program
    can run a file without importing it, and the libraries that are mapped into the process. Links
    are followed, and the files of this package are left out.

    Args:
        own: The folder with the side's own code, of which the content is reported, too.
        others: Other folders.
    """
    home = real_path(own) + os.sep
    roots = (home, *(real_path(folder) + os.sep for folder in others))
    names: dict[str, str] = {}
    for name, path in [*_module_files(), *_function_files(), *_libraries()]:
        file = real_path(path)
        if file.startswith(roots) and not file.startswith(HERE) and is_file(file):
            names.setdefault(file, name)
    loaded = []
    for file, name in sorted(names.items()):
        loaded.append(LoadedFile(file, name, code_digest(file) if file.startswith(home) else ""))
    return loaded


def leave_out_folders(folders: str) -> None:
    """Removes folders from the import path, so that a side cannot import what it does not have.

    Args:
        folders: Absolute paths, separated as in PYTHONPATH.
    """
    left_out = {real_path(folder) for folder in folders.split(os.pathsep) if folder}
    sys.path[:] = [entry for entry in sys.path if real_path(entry) not in left_out]


def _module_files() -> Iterator[tuple[str, str]]:
    """Yields the name and the file of every module."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            yield name, file


def _function_files() -> Iterator[tuple[str, str]]:
    """Yields the files of all functions, with an empty name."""
    gc.unfreeze()  # otherwise what was frozen between two benchmarks would be overlooked
    files = set()
    for thing in gc.get_objects():
        if type(thing) is FunctionType and type(thing.__code__) is CodeType:
            files.add(thing.__code__.co_filename)
    for file in files:
        if os.path.isabs(file):  # noqa: PTH117  # fast
            yield "", file


def _libraries() -> Iterator[tuple[str, str]]:
    """Yields the files that are mapped into the process as code, with an empty name."""
    try:
        maps = read_bytes(Path("/proc/self/maps"))
    except OSError:
        return
    for line in maps.splitlines():
        _, rights, *_, path = line.split(maxsplit=5)
        if b"x" in rights and path.startswith(b"/"):
            yield "", os.fsdecode(path)


def code_digest(file: str) -> str:
    """Returns a hash of a file's content; empty if it cannot be read.

    Lines of a Python file that state a version are not part of it, because every release changes
    them and none is faster or slower for it.
    """
    try:
        content = read_bytes(Path(file))
    except OSError:
        return ""
    if file.endswith(".py"):
        content = VERSION_LINE.sub(b"", content)
    return hashlib.sha256(content).hexdigest()[:16]
