"""Names and sentences as reports show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopline.characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def common_prefix(ids: Iterable[str]) -> str:
    """Returns what all ids begin with: a file with its colons, or a folder with its slash."""
    files = {benchmark.partition("::")[0] if "::" in benchmark else "" for benchmark in ids}
    if len(files) == 1 and "" not in files:
        return f"{files.pop()}::"
    folders = [file.split("/")[:-1] for file in files]
    prefix = ""
    for same_depth in zip(*folders, strict=False):
        if len(set(same_depth)) > 1:
            break
        prefix += f"{same_depth[0]}/"
    return prefix
