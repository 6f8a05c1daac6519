"""Names and sentences as reports show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flopline.characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_ASV = re.compile(r"[\w.]+\(")
"""How the name of an asv suite's benchmark with parameters begins."""
LONGEST = 200
"""The number of characters above which a name is shown without its middle."""


class Name(str):
    """The name of a benchmark, a function or a place inside a sentence.

    Markdown shows it as code.
    """

    __slots__ = ()


Sentence = tuple[str, ...]
"""The pieces of a sentence in their order; names among them are instances of `Name`."""


def shortened(text: str) -> str:
    """Returns a visible text, without its middle if it is longer than `LONGEST`."""
    shown = visible(text)
    if len(shown) <= LONGEST:
        return shown
    half = LONGEST // 2
    return f"{shown[:half]}...{shown[-half:]}"


def in_file(benchmark: str) -> tuple[str, str]:
    """Returns the file and the name of a benchmark, or an asv suite's module and name in it.

    Each is the whole id where it has no such part.
    """
    file, colons, name = benchmark.partition("::")
    if colons and not OF_ASV.match(benchmark):
        return file, name
    path, parenthesis, values = benchmark.partition("(")
    module, _, name = path.rpartition(".")
    return module or benchmark, f"{name}{parenthesis}{values}"


def common_prefix(ids: Iterable[str]) -> str:
    """Returns what all ids begin with: a file with its colons, or a folder with its slash.

    In an asv suite, it is a module or a class with its dot.
    """
    names = list(ids)
    files = {_file(benchmark) for benchmark in names}
    if files == {""}:
        paths = {benchmark.partition("(")[0] for benchmark in names}
        return _common_folders(paths, ".")
    if len(files) == 1:
        return f"{files.pop()}::"
    return _common_folders(files, "/")


def _common_folders(paths: Iterable[str], separator: str) -> str:
    """Returns the folders in which all paths lie, each with a separator."""
    folders = [path.split(separator)[:-1] for path in paths]
    prefix = ""
    for same_depth in zip(*folders, strict=False):
        if len(set(same_depth)) > 1:
            break
        prefix += f"{same_depth[0]}{separator}"
    return prefix


def _file(benchmark: str) -> str:
    """Returns the file of a benchmark; empty if its id has none.

    In an asv suite's, colons can only be among the values of parameters.
    """
    file, colons, _ = benchmark.partition("::")
    return file if colons and not OF_ASV.match(benchmark) else ""
