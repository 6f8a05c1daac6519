"""Which calls the candidate makes and the baseline did not.

Counts are exact where times are not: under a profiler, times are only good for sorting. Operators,
types and ufuncs that are called leave no trace, so "no difference" is a statement about calls and
not about work.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.measure.handle import WorkerGoneError
from flopline.gate.measure.pair import pair
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    Bye,
    Calls,
    CallSite,
    CountCalls,
    Entered,
    Finished,
    Order,
    Ready,
)
from flopline.gate.record import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.measure.patience import Patience
    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side

__all__ = ["CallSite", "count_calls", "differences"]


def count_calls(
    baseline: Side,
    candidate: Side,
    arguments: Sequence[str],
    benchmarks: Sequence[str],
    *,
    patience: Patience | None = None,
) -> dict[str, dict[SideName, list[CallSite]]]:
    """Returns the calls that one call of each benchmarked function makes, by benchmark and side.

    A benchmark whose calls could not be counted on a side is missing there.

    Args:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        arguments: Arguments for pytest.
        benchmarks: Node ids of benchmarks that both sides have.
        patience: How long the workers may be silent; by default that of a run without a budget.

    Raises:
        WorkerError: A side could not be started or does not collect.
        SuiteError: The arguments switch benchmarks off.
    """
    counted: dict[str, dict[SideName, list[CallSite]]] = {}
    sides = [baseline, candidate]
    workers = pair(sides, arguments, hash_seed=1, padding=0, patience=patience)
    with workers as (handles, _):
        for handle in handles:
            with contextlib.suppress(WorkerGoneError):
                handle.send(Order(list(benchmarks)))
                for name in benchmarks:
                    sites = _count_calls_once(handle, name)
                    if sites is not None:
                        counted.setdefault(name, {})[handle.side] = sites
                handle.finish()
    return counted


def _count_calls_once(handle: WorkerHandle, name: str) -> list[CallSite] | None:
    """Returns the calls of the benchmark that is due; None if its test does not use the fixture.

    Raises:
        WorkerGoneError: The worker ended, fell silent or ran another benchmark.
    """
    sites = None
    while True:
        message = handle.receive()
        match message:
            case Ready():
                handle.send(CountCalls())
            case Calls():
                sites = message.sites
                handle.send(Abort())
            case Entered() | Finished() if message.benchmark != name:
                raise handle.astray(f"it ran {message.benchmark} where {name} was due")
            case Finished():
                return sites
            case Bye():
                raise handle.astray(f"pytest ended its session with exit status {message.status}")


def differences(
    baseline: Sequence[CallSite],
    candidate: Sequence[CallSite],
    roots: tuple[Sequence[Path], Sequence[Path]],
    *,
    at_most: int = 10,
) -> list[Difference]:
    """Returns where the two sides call a function differently often.

    The calls of one function from one file are first compared in sum. Only where the sums differ
    are the calling lines compared. A line is compared with the line of the other side that has the
    same place in the order, as far as the counts allow, because an inserted line moves all lines
    below it.

    Args:
        baseline: The baseline's call sites.
        candidate: The candidate's call sites.
        roots: For each side, the folders that paths are relative to: its tree and its site folder.
            A file elsewhere keeps its path, and is the same file on both sides if that is equal.
        at_most: Return at most this many differences.

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
    results.sort(key=_importance)
    return results[:at_most]


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
    """Returns the path inside the innermost root that contains it, or the path as it is."""
    shortest = file
    for root in roots:
        folder = f"{root}{os.sep}"
        if file.startswith(folder):
            shortest = min(shortest, file.removeprefix(folder), key=len)
    return shortest


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
        distance: The sum of the distances between paired lines.
    """

    calls: int
    lines: int
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
    cost = best[previous].cost if previous in best else Cost(0, 0, 0)
    before, after = lines
    is_paired = before is not ABSENT and after is not ABSENT
    new_cost = Cost(
        calls=cost.calls + abs(before.calls - after.calls),
        lines=cost.lines + (before.calls != after.calls),
        distance=cost.distance + (abs(before.number - after.number) if is_paired else 0),
    )
    return AlignmentStep(new_cost, previous, lines)


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
