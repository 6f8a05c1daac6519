"""How far block values scatter: robust against outliers, and steadied by the other benchmarks.

A few blocks say little about their own scatter, and single blocks of a shared machine lie ten times
further off than the rest. So a benchmark's variance is taken from the median distance between two
blocks, and is drawn towards the variance that is usual in its suite, the more alike the benchmarks
of the suite are: Smyth, Linear models and empirical Bayes methods, 2004.

These variances plan how much is measured and tell what could have been seen. No test rests on them.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import optimize, special, stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MEDIAN_DISTANCE = 0.9539
"""The median distance between two Gaussian values of standard deviation 1: sqrt(2) 0.6745."""
FEW_VALUES = 3
"""Of up to this many values no distance is an outlier."""
OVERESTIMATED = {4: 1.09, 5: 1.21, 6: 1.37, 7: 1.26, 8: 1.14}
"""The factor by which the squared median distance of so many values is too large, by simulation.

Of more values n it is about 1 + 1.3 / (n - 1).
"""
FEWEST_BENCHMARKS = 3
"""A suite of fewer benchmarks does not tell which variance is usual in it."""
TRIMMED = 0.1
"""The share of the benchmarks that is left out at both ends when the usual variance is sought."""
SMALLEST = 1e-12
"""Variances are not taken to be smaller: the values of equal readings have none."""


@dataclass(frozen=True)
class Variance:
    """An estimate of a variance.

    Attributes:
        variance: The estimate, in squared log-ratios.
        freedom: How many degrees of freedom it has; infinite if it is known.
    """

    variance: float
    freedom: float

    @property
    def sigma(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.variance)


UNKNOWN = Variance(math.nan, 0.0)


def robust_variance(values: Sequence[float]) -> Variance:
    """Returns the variance of values of which up to a quarter may be outliers.

    It is the squared median distance between two values, over that of Gaussian ones, without what
    small samples overestimate. It is known as from 0.85 (n - 1) - 0.5 degrees of freedom, by
    simulations for n from 4 to 28. Up to three values have the ordinary variance. One value, or
    none, has no variance.
    """
    count = len(values)
    if count < 2:  # noqa: PLR2004  # one value has no distance to another
        return UNKNOWN
    if count <= FEW_VALUES:
        return Variance(max(statistics.variance(values), SMALLEST), count - 1)
    distances = [abs(one - other) for one, other in itertools.combinations(values, 2)]
    sigma = statistics.median_low(distances) / MEDIAN_DISTANCE
    variance = sigma**2 / OVERESTIMATED.get(count, 1 + 1.3 / (count - 1))
    return Variance(max(variance, SMALLEST), 0.85 * (count - 1) - 0.5)


def usual_variance(variances: Iterable[Variance]) -> Variance:
    """Returns the variance that is usual in a suite, and how many degrees of freedom that is worth.

    The logarithms of the variances scatter as estimates do, and by more than that if the benchmarks
    differ. The less they differ, the more degrees of freedom the usual variance has. It has none in
    a suite of one or two benchmarks.
    """
    known = [each for each in variances if each.freedom > 0]
    if len(known) < FEWEST_BENCHMARKS:
        return UNKNOWN
    logarithms = []
    excess = []
    for each in known:
        half = each.freedom / 2
        logarithms.append(math.log(each.variance) - special.digamma(half) + math.log(half))
        excess.append(float(special.polygamma(1, half)))
    center = float(stats.trim_mean(logarithms, TRIMMED))
    # The median of the squares keeps a few unsteady benchmarks from making all of them unsteady.
    squares = [(logarithm - center) ** 2 for logarithm in logarithms]
    spread = statistics.median(squares) / MEDIAN_DISTANCE**2 * 2 - statistics.median(excess)
    if spread <= 0:
        return Variance(math.exp(center), math.inf)
    half = _inverse_trigamma(spread)
    logarithm = center + float(special.digamma(half)) - math.log(half)
    return Variance(math.exp(logarithm), 2 * half)


def shrunk(own: Variance, usual: Variance) -> Variance:
    """Returns a benchmark's variance, drawn towards the usual one by their degrees of freedom."""
    if own.freedom == 0:
        return own
    if usual.freedom == 0:
        return own
    if math.isinf(usual.freedom):
        return usual
    freedom = own.freedom + usual.freedom
    total = own.freedom * own.variance + usual.freedom * usual.variance
    return Variance(total / freedom, freedom)


def _inverse_trigamma(value: float) -> float:
    """Returns the argument at which the trigamma function has a positive value."""

    def distance(logarithm: float) -> float:
        return math.log(float(special.polygamma(1, math.exp(logarithm)))) - math.log(value)

    return math.exp(float(optimize.brentq(distance, -20.0, 20.0)))
