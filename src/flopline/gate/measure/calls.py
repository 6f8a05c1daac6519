"""Which calls the candidate makes and the baseline did not.

Counts are exact where times are not: under a profiler, times are only good for sorting. Operators
leave no trace, nor do types and ufuncs before Python 3.12, so "no difference" is a statement about
calls and not about work.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.record import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flopline.gate.measure.worker.flopline_worker.protocol import CallSite

MOST_DIFFERENCES = 30
"""At most so many differences of a benchmark are kept; the reports show fewer."""
FAR_LONGER = 4.0
"""A call that takes so many times as long as another one is hardly the same."""
PACKAGES = re.compile(r"/(?:site|dist)-packages/(?!.*/(?:site|dist)-packages/)")
"""What stands before the path of an installed package."""
STANDARD_LIBRARY = re.compile(r"/lib(?:64)?/(?:python|pypy)3\.\d+t?/")
"""What stands before the path of a module of the standard library."""


def lasting_differences(
    baseline: Sequence[Sequence[CallSite]],
    candidate: Sequence[Sequence[CallSite]],
    roots: tuple[Sequence[Path], Sequence[Path]],
    *,
    at_most: int = MOST_DIFFERENCES,
) -> list[Difference]:
    """Returns where the two sides call a function differently often, whichever counts one compares.

    What a thread or the order of a set decides differs between two counts of one side, too. So only
    what is in every comparison of a count of the one side with a count of the other is kept, with
    the smallest difference.

    Args:
        baseline: The call sites of the baseline, as often as they were counted.
        candidate: Those of the candidate.
        roots: As for `differences`.
        at_most: Return at most this many differences.
    """
    kept: dict[tuple[str, str, bool], Difference] | None = None
    for before, after in itertools.product(baseline, candidate):
        found = {}
        for it in differences(before, after, roots):
            found[it.function, it.where, it.candidate > it.baseline] = it
        if kept is None:
            kept = found
        common = kept.keys() & found.keys()
        kept = {key: min(kept[key], found[key], key=_size) for key in common}
    return sorted((kept or {}).values(), key=_importance)[:at_most]


def _size(difference: Difference) -> tuple[int, float]:
    return abs(difference.candidate - difference.baseline), difference.seconds


def differences(
    baseline: Sequence[CallSite],
    candidate: Sequence[CallSite],
    roots: tuple[Sequence[Path], Sequence[Path]],
) -> list[Difference]:
    """Returns where one count of each side calls a function differently often.

    The calls of one function from one file are first compared in sum. Only where the sums differ
    are the calling lines compared. A line is compared with the line of the other side that has the
    same place in the order, as far as the counts allow, because an inserted line moves all lines
    below it.

    Args:
        baseline: The baseline's call sites.
        candidate: The candidate's call sites.
        roots: For each side, the folders that paths are relative to: its tree and its site folder.
            A file of an installed package or of the standard library is told by its path in there,
            and any other one by its name and folder.

    Returns:
        Where the candidate calls more often, with the longest time in the additional calls first;
        then where it calls less often.
    """
    before = _calling_lines(baseline, roots[0])
    after = _calling_lines(candidate, roots[1])
    results = []
    for function, file in before.keys() | after.keys():
        lines = before.get((function, file), []), after.get((function, file), [])
        for before_line, after_line in _changed_lines(*lines):
            results.append(_difference(function, file, before_line, after_line))
    return sorted(results, key=_importance)


class Line(NamedTuple):
    """A line that calls one function.

    Attributes:
        number: Its number in the file.
        calls: How often it calls the function.
        seconds: Time in these calls.
    """

    number: int
    calls: int
    seconds: float


ABSENT = Line(0, 0, 0.0)
"""The partner of a line that the other side does not have."""

LinePair = tuple[Line, Line]


def _calling_lines(
    sites: Sequence[CallSite], roots: Sequence[Path]
) -> dict[tuple[str, str], list[Line]]:
    """Returns the calling lines in their order, by function and relative file."""
    same_line: defaultdict[tuple[str, str, int], list[CallSite]] = defaultdict(list)
    for site in sites:
        file = _relative(site.file, roots)
        same_line[site.function, file, site.line].append(site)
    lines: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for (function, file, number), together in sorted(same_line.items()):
        calls = sum(site.calls for site in together)
        seconds = sum(site.seconds for site in together)
        lines[function, file].append(Line(number, calls, seconds))
    return lines


def _relative(file: str, roots: Sequence[Path]) -> str:
    """Returns a file's path inside the innermost root, package folder or library that contains it.

    Of any other file only the folder and the name are left, because where it lies is not the same
    on two machines.
    """
    shortest = file
    for root in roots:
        folder = f"{root}{os.sep}"
        if file.startswith(folder):
            shortest = min(shortest, file.removeprefix(folder), key=len)
    if shortest != file:
        return shortest
    for place in (PACKAGES, STANDARD_LIBRARY):
        if match := place.search(file):
            return file[match.end() :]
    path = PurePath(file)
    return "/".join(path.parts[-2:]) if path.is_absolute() else file


def _changed_lines(baseline: list[Line], candidate: list[Line]) -> Iterator[LinePair]:
    """Yields the pairs of lines whose counts differ.

    Where the sums are equal there are none, because calls then only moved between lines.
    """
    if _calls(baseline) == _calls(candidate):
        return
    for before, after in _align(baseline, candidate):
        if before.calls != after.calls:
            yield before, after


def _calls(lines: list[Line]) -> int:
    return sum(line.calls for line in lines)


class Cost(NamedTuple):
    """How unlikely it is that lines belong together; the first attribute that differs decides.

    Attributes:
        calls: The sum of the differences in calls.
        lines: How many lines have another number of calls.
        unlike: In how many paired lines a call takes far longer on one side.
        distance: The sum of the distances between paired lines.
    """

    calls: int
    lines: int
    unlike: int
    distance: int


class AlignmentStep(NamedTuple):
    """The last step of the cheapest alignment of some first lines of each side.

    Attributes:
        cost: The cost of the whole alignment.
        previous: How many lines of each side are aligned before this step.
        lines: The lines that this step pairs.
    """

    cost: Cost
    previous: tuple[int, int]
    lines: LinePair


def _align(baseline: list[Line], candidate: list[Line]) -> list[LinePair]:
    """Pairs lines in their order so that the cost is least; some lines are paired with ABSENT.

    The alignment is found as in the edit distance of Wagner and Fischer: the cheapest alignment of
    the first i and j lines ends with one of three steps.
    """
    best: dict[tuple[int, int], AlignmentStep] = {}
    for i, j in itertools.product(range(len(baseline) + 1), range(len(candidate) + 1)):
        steps = []
        if i > 0 and j > 0:
            steps.append(_step(best, (i - 1, j - 1), (baseline[i - 1], candidate[j - 1])))
        if i > 0:
            steps.append(_step(best, (i - 1, j), (baseline[i - 1], ABSENT)))
        if j > 0:
            steps.append(_step(best, (i, j - 1), (ABSENT, candidate[j - 1])))
        if steps:
            best[i, j] = min(steps)
    pairs = []
    position = (len(baseline), len(candidate))
    while position != (0, 0):
        step = best[position]
        pairs.append(step.lines)
        position = step.previous
    pairs.reverse()
    return pairs


def _step(
    best: dict[tuple[int, int], AlignmentStep], previous: tuple[int, int], lines: LinePair
) -> AlignmentStep:
    """Returns the alignment that pairs these lines after the cheapest one of the lines before."""
    cost = best[previous].cost if previous in best else Cost(0, 0, 0, 0)
    before, after = lines
    is_paired = before is not ABSENT and after is not ABSENT
    new_cost = Cost(
        calls=cost.calls + abs(before.calls - after.calls),
        lines=cost.lines + (before.calls != after.calls),
        unlike=cost.unlike + (is_paired and _is_unlike(before, after)),
        distance=cost.distance + (abs(before.number - after.number) if is_paired else 0),
    )
    return AlignmentStep(new_cost, previous, lines)


def _is_unlike(before: Line, after: Line) -> bool:
    """Returns whether a call from one of two lines takes far longer than one from the other."""
    one, other = before.seconds / before.calls, after.seconds / after.calls
    return max(one, other) > FAR_LONGER * min(one, other)


def _difference(function: str, file: str, before: Line, after: Line) -> Difference:
    """Returns the difference; its time is the share of the additional calls in all calls there."""
    line = before if after is ABSENT else after
    larger = max(before, after, key=lambda side: side.calls)
    share = abs(after.calls - before.calls) / larger.calls
    return Difference(
        function=function,
        where=f"{file}:{line.number}",
        baseline=before.calls,
        candidate=after.calls,
        seconds=larger.seconds * share,
    )


def _importance(difference: Difference) -> tuple[bool, float, str, str]:
    """Returns the key by which differences are sorted, the most important first."""
    is_less = difference.candidate < difference.baseline
    return is_less, -difference.seconds, difference.function, difference.where
