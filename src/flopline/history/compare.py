"""Two commits compared, and a line of commits searched for steps: pure functions from runs to verdicts.

Nothing here measures, so nothing here can ask for more evidence: a verdict from stored numbers is a reason to look, and
the gate is how to be sure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asv import step_detect
from scipy import stats

if TYPE_CHECKING:
    from flopline.history.results import Benchmark, Case, History, Measure, Run

Verdict = Literal["regressed", "improved", "unchanged", "inconclusive", "not comparable"]
Thresholds = Mapping[str, float]
"""asv.conf.json's `regressions_thresholds`: a pattern of `benchmark(parameters)`, and the slowdown that counts."""

DEFAULT = 0.05
"""asv's threshold for what no pattern matches."""
ALPHA = 0.002
"""How improbable equal samples must be, per case; what asv's own comparison asks for."""


def threshold(case: Case, thresholds: Thresholds) -> float:
    """The slowdown that counts for a case: the largest of the patterns that match its start, as asv has it."""
    return max(
        (value for pattern, value in thresholds.items() if re.match(pattern, str(case))),
        default=DEFAULT,
    )


@dataclass(frozen=True)
class Comparison:
    """One case on one machine at two commits.

    Attributes:
        case: What was measured.
        machine: Where.
        series: In which environment.
        base: What it took at the first commit; None where it failed or was not measured.
        head: And at the second.
        flops: Of a call; None where unknown.
        threshold: The slowdown that counts.
        verdict: What follows.
        reason: Why there is no answer, where there is none.
    """

    case: Case
    machine: str
    series: tuple[tuple[str, str], ...]
    base: Measure | None
    head: Measure | None
    flops: int | None
    threshold: float
    verdict: Verdict
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """Seconds at head over seconds at base."""
        return self.head.seconds / self.base.seconds if self.base and self.head else None


def gflops(flops: int | None, seconds: float | None) -> float | None:
    """Billions of floating-point operations per second; None where one of both is unknown."""
    return flops / seconds / 1e9 if flops and seconds else None


def differ(base: Measure, head: Measure) -> bool | None:
    """Whether two measures are of different speed: by ranks of their samples, else by their intervals; None: unknown.

    The rank test (Mann and Whitney, two-sided) is used where it can pass at all: the smallest p-value of m and n
    samples is 2 / C(m + n, m). asv 0.6.6 leaves out the 2, and so never finds a difference between 6 and 6 samples.
    """
    m, n = len(base.samples), len(head.samples)
    if m and n and 2 / math.comb(m + n, m) < ALPHA:
        return bool(stats.mannwhitneyu(base.samples, head.samples).pvalue < ALPHA)
    if all(map(math.isfinite, (*base.interval, *head.interval))):
        return base.interval[1] < head.interval[0] or head.interval[1] < base.interval[0]
    return None


def compare(history: History, base: str, head: str, thresholds: Thresholds) -> list[Comparison]:
    """Every case that one of two commits has, on every machine and in every environment where both were measured."""
    return [
        _compared(history.benchmarks, case, one, other, thresholds)
        for one, other in _pairs(history.runs, base, head)
        for case in dict.fromkeys([*one.measures, *other.measures])
    ]


def _pairs(runs: Sequence[Run], base: str, head: str) -> Iterator[tuple[Run, Run]]:
    heads = {(run.machine, run.series): run for run in runs if run.commit == head}
    for run in runs:
        if run.commit == base and (run.machine, run.series) in heads:
            yield run, heads[run.machine, run.series]


def _compared(
    benchmarks: Mapping[str, Benchmark], case: Case, one: Run, other: Run, thresholds: Thresholds
) -> Comparison:
    base, head = one.measures.get(case), other.measures.get(case)
    limit, reason = threshold(case, thresholds), ""
    versions = one.versions.get(case.benchmark), other.versions.get(case.benchmark)
    found: Verdict = "not comparable"
    if base is None or head is None:
        side, run = ("base", one) if base is None else ("head", other)
        reason = f"failed at {side}" if case in run.measures else f"not measured at {side}"
    elif versions[0] != versions[1]:
        reason = f"the benchmark changed from version {versions[0]} to {versions[1]}"
    else:
        found = verdict(base, head, limit)
    listed = benchmarks.get(case.benchmark)
    flops = listed.flops.get(case.point) if listed and listed.flops else None
    return Comparison(case, one.machine, one.series, base, head, flops, limit, found, reason)


def verdict(base: Measure, head: Measure, limit: float) -> Verdict:
    """What two measures say: changed is what exceeds the limit and differs; what only exceeds it is undecided."""
    ratio = head.seconds / base.seconds
    if 1 / (1 + limit) <= ratio <= 1 + limit:
        return "unchanged"
    if not differ(base, head):
        return "inconclusive"
    return "regressed" if ratio > 1 else "improved"


def exit_code(comparisons: Sequence[Comparison]) -> int:
    """1 a regression; 2 nothing was compared, or a case was lost at head; 3 most cases undecided; else 0."""
    counts = Counter(found.verdict for found in comparisons)
    if counts["regressed"]:
        return 1
    lost = any(found.base is not None and found.reason == "failed at head" for found in comparisons)
    compared = len(comparisons) - counts["not comparable"]
    if lost or not compared:
        return 2
    return 3 if 2 * counts["inconclusive"] > compared else 0


@dataclass(frozen=True)
class Step:
    """A lasting slowdown between two commits of a branch.

    Attributes:
        case: What became slower.
        machine: Where.
        series: In which environment.
        after: The last commit at the old speed; the slowdown came between this one and `at`.
        at: The first commit at the new speed.
        base: Seconds of a call before.
        head: Seconds of a call after.
        flops: Of a call; None where unknown.
    """

    case: Case
    machine: str
    series: tuple[tuple[str, str], ...]
    after: str
    at: str
    base: float
    head: float
    flops: int | None


def regressions(history: History, line: Sequence[str], thresholds: Thresholds) -> list[Step]:
    """The slowdowns that the newest results still have, found by asv's step detection on every case's seconds.

    Args:
        history: The results; of runs whose commit is not on the line nothing is used.
        line: The commits of a branch, oldest first.
        thresholds: What slowdown counts.
    """
    place = {commit: i for i, commit in enumerate(line)}
    runs = sorted(
        (run for run in history.runs if run.commit in place), key=lambda run: place[run.commit]
    )
    found = []
    for (machine, series), group in itertools.groupby(
        sorted(runs, key=lambda run: (run.machine, run.series)),
        key=lambda run: (run.machine, run.series),
    ):
        members = list(group)
        for case in dict.fromkeys(case for run in members for case in run.measures):
            listed = history.benchmarks.get(case.benchmark)
            if listed is None:
                continue  # the suite has it no more
            flops = listed.flops.get(case.point) if listed.flops else None
            points = [
                (run.commit, measure)
                for run in members
                if run.versions[case.benchmark] == listed.version
                and (measure := run.measures.get(case))
            ]
            for before, after, base, head in _jumps(points, threshold(case, thresholds)):
                found.append(
                    Step(
                        case,
                        machine,
                        series,
                        points[before][0],
                        points[after][0],
                        base,
                        head,
                        flops,
                    )
                )
    return sorted(found, key=lambda step: (-place[step.at], step.base / step.head))


def _jumps(
    points: Sequence[tuple[str, Measure]], limit: float
) -> list[tuple[int, int, float, float]]:
    """Where the seconds rose for good: index before, index after, and both levels."""
    seconds = [measure.seconds for _, measure in points]
    weights = [_weight(measure) for _, measure in points]
    _, _, jumps = step_detect.detect_regressions(step_detect.detect_steps(seconds, weights), limit)
    return [
        (int(before), int(after), float(base), float(head))
        for before, after, base, head in jumps or ()
    ]


def _weight(measure: Measure) -> float | None:
    """How much a point counts: the inverse of its interval's half-width; None, asv's median weight, without one."""
    width = measure.interval[1] - measure.interval[0]
    return 2 / width if 0 < width < math.inf else None
