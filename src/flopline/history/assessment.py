"""Decides whether two stored measurements of a case are of different speed.

Nothing here measures, so nothing here can ask for more evidence. A verdict on stored numbers is a
reason to look; the gate is the way to be sure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scipy import stats

if TYPE_CHECKING:
    from flopline.gate.record import Verdict
    from flopline.history.record import AsvCase, Measurement

Thresholds = Mapping[str, float]
"""The slowdowns that count, as fractions, by pattern: `regressions_thresholds` in asv.conf.json.

A pattern is a regular expression for the start of `benchmark(parameters)`.
"""

DEFAULT_THRESHOLD = 0.05
"""The threshold of a case that no pattern matches; asv uses the same."""

ALPHA = 0.002
"""Samples differ if equal ones were at least this improbable, per case; asv uses the same."""


ENOUGH = 8
"""So many samples of each always suffice for the test; binomials of thousands take seconds."""


def threshold_of(case: AsvCase, thresholds: Thresholds) -> float:
    """Returns the slowdown that counts for a case: the largest of those whose pattern matches.

    asv chooses the threshold for its pages in the same way.
    """
    matching = [value for pattern, value in thresholds.items() if re.match(pattern, str(case))]
    return max(matching, default=DEFAULT_THRESHOLD)


def are_different(baseline: Measurement, candidate: Measurement) -> bool | None:
    """Returns whether two measurements are of different speed; None if that cannot be known.

    The samples are compared by the rank test of Mann and Whitney, two-sided, if it can reject at
    all: the smallest p-value of m and n samples is 2 / C(m + n, m). (asv 0.6.6 leaves out the 2,
    and so never finds a difference between 6 and 6 samples.) Otherwise the speeds are different if
    the confidence intervals do not overlap.
    """
    few, many = sorted((len(baseline.samples), len(candidate.samples)))
    if few >= ENOUGH or (few and 2 / math.comb(few + many, few) < ALPHA):
        test = stats.mannwhitneyu(baseline.samples, candidate.samples)
        return bool(test.pvalue < ALPHA)
    (low, high), (candidate_low, candidate_high) = baseline.interval, candidate.interval
    if not all(math.isfinite(end) for end in (low, high, candidate_low, candidate_high)):
        return None
    return high < candidate_low or candidate_high < low


def assess(baseline: Measurement, candidate: Measurement, threshold: float) -> Verdict:
    """Returns the verdict on two measurements of a case.

    A change must exceed the threshold, and the measurements must be of different speed. If it only
    exceeds the threshold, the verdict is "inconclusive".
    """
    ratio = candidate.seconds / baseline.seconds
    if 1 / (1 + threshold) <= ratio <= 1 + threshold:
        return "unchanged"
    if not are_different(baseline, candidate):
        return "inconclusive"
    return "regressed" if ratio > 1 else "improved"
