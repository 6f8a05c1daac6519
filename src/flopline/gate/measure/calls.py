"""Why: what the candidate calls that the baseline did not.

A profile is what a worker counted during one call of a benchmarked function: per call site `[function, file, line,
calls, seconds]`. `function` is the qualified name of what is called, without its module for Python (`prepare.<locals>.
run`), with its type for a method in C (`Tensor.contiguous`), with its module for a function in C (`math.sqrt`) unless
that is a builtin (`len`). `file` and `line` are those of the calling line, `seconds` include what was called in turn.

Counts are exact where times are not: under a profiler times are only good for sorting. Operators, types and ufuncs that
are called leave no trace, so "no difference" is a statement about calls and not about work.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from flopline.gate.measure.block import profiles as count_calls
from flopline.gate.record import Difference

__all__ = ["count_calls", "differences"]

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Profile = Sequence[Sequence[Any]]  # rows of a profile, as JSON gives them
    Line = tuple[int, int, float]  # its number, calls and seconds

ABSENT: Line = (0, 0, 0.0)


def differences(
    baseline: Profile,
    candidate: Profile,
    roots: tuple[Sequence[Path], Sequence[Path]],
    *,
    at_most: int = 10,
) -> list[Difference]:
    """Where the two sides call differently often.

    Calls of one function from one file are compared in sum; only where the sums differ are the lines compared, the
    nth with the nth as far as the counts allow, because an inserted line moves all lines below it.

    Args:
        baseline: A profile.
        candidate: A profile.
        roots: The folders of each side that paths are relative to (its tree, its site folder); a file elsewhere keeps
            its path, and is the same file on both sides if that is the same.
        at_most: Return at most this many differences.

    Returns:
        Where the candidate calls more, the longest time in the additional calls first; then where it calls less.
    """
    sites = [
        _lines(profile, side) for profile, side in zip((baseline, candidate), roots, strict=True)
    ]
    found = [
        _difference(function, file, before, after)
        for function, file in sites[0].keys() | sites[1].keys()
        for before, after in _changed(*(side.get((function, file), []) for side in sites))
    ]
    return sorted(
        found, key=lambda it: (it.candidate < it.baseline, -it.seconds, it.function, it.where)
    )[:at_most]


def _lines(profile: Profile, roots: Sequence[Path]) -> dict[tuple[str, str], list[Line]]:
    """The calling lines, in order, of each function and relative file."""
    sums: defaultdict[tuple[str, str, int], list[tuple[int, float]]] = defaultdict(list)
    for function, file, line, calls, seconds in profile:
        sums[function, _relative(file, roots), line].append((calls, seconds))
    lines: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for (function, file, line), found in sorted(sums.items()):
        lines[function, file].append(
            (line, sum(calls for calls, _ in found), sum(seconds for _, seconds in found))
        )
    return lines


def _relative(file: str, roots: Sequence[Path]) -> str:
    """The path inside the innermost root that contains it."""
    inside = [file[len(folder) :] for root in roots if file.startswith(folder := f"{root}{os.sep}")]
    return min(inside, key=len, default=file)


def _changed(baseline: list[Line], candidate: list[Line]) -> Iterator[tuple[Line, Line]]:
    """The pairs of lines whose counts differ; none where the sums are equal, for then calls only moved."""
    if sum(calls for _, calls, _ in baseline) != sum(calls for _, calls, _ in candidate):
        for before, after in _aligned(baseline, candidate):
            if before[1] != after[1]:
                yield before, after


def _aligned(baseline: list[Line], candidate: list[Line]) -> list[tuple[Line, Line]]:
    """Pairs lines in order: so that the fewest calls differ, on the fewest lines, and then so that they lie closest.

    Lines without a partner are paired with ABSENT.
    """
    # An edit distance: by how many lines of each side are paired, its three parts, the way back and the last pair.
    best: dict[tuple[int, int], tuple[tuple[int, int, int], tuple[int, int], tuple[Line, Line]]]
    best = {(0, 0): ((0, 0, 0), (0, 0), (ABSENT, ABSENT))}
    for i, j in itertools.product(range(len(baseline) + 1), range(len(candidate) + 1)):
        ways = []
        for di, dj in ((1, 1), (1, 0), (0, 1)):
            if i >= di and j >= dj:
                before, after = (
                    baseline[i - 1] if di else ABSENT,
                    candidate[j - 1] if dj else ABSENT,
                )
                calls, changed, moved = best[i - di, j - dj][0]
                cost = (
                    calls + abs(before[1] - after[1]),
                    changed + (before[1] != after[1]),
                    moved + (abs(before[0] - after[0]) if di and dj else 0),
                )
                ways.append((cost, (i - di, j - dj), (before, after)))
        if ways:
            best[i, j] = min(ways)
    pairs, at = [], (len(baseline), len(candidate))
    while any(at):
        _, at, pair = best[at]
        pairs.append(pair)
    return pairs[::-1]


def _difference(function: str, file: str, before: Line, after: Line) -> Difference:
    _, calls, seconds = max(before, after, key=lambda line: line[1])
    line = (before if after is ABSENT else after)[0]
    share = abs(after[1] - before[1]) / calls
    return Difference(function, f"{file}:{line}", before[1], after[1], seconds * share)
