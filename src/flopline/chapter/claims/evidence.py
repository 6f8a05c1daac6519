"""What is said of a claim, and how intervals decide: pure functions, nothing is measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

Verdict = Literal["confirmed", "refuted", "depends on the machine", "not testable here"]

CONFIDENCE = 0.99
"""Of every interval. A verdict that rests on one is wrong by chance in at most 1 % of runs, on either side 0.5 %."""


@dataclass(frozen=True)
class Quantity:
    """A number that was measured, or that follows exactly: then both ends of its interval are the number.

    Attributes:
        what: What it is.
        value: The number.
        low: Lower end of its 99 % interval.
        high: Upper end.
        unit: Its unit, empty for a ratio or a loss.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str = ""

    def above(self, bound: float) -> bool | None:
        """Whether it is above a bound; None if the interval does not separate the two."""
        return True if self.low > bound else False if self.high < bound else None

    def below(self, bound: float) -> bool | None:
        """Whether it is below a bound; None if the interval does not separate the two."""
        above = self.above(bound)
        return None if above is None else not above


@dataclass(frozen=True)
class Finding:
    """What was found about a claim.

    Attributes:
        verdict: See docs/chapter.md.
        measured: The numbers behind it.
        note: What a reader must know beside them.
    """

    verdict: Verdict
    measured: tuple[Quantity, ...]
    note: str = ""


def exact(what: str, value: float, unit: str = "") -> Quantity:
    """A number that follows without measuring."""
    return Quantity(what, value, value, value, unit)


def median(what: str, samples: Sequence[float], unit: str = "") -> Quantity:
    """A median with its distribution-free interval: order statistics, whose coverage is binomial.

    Conover, Practical Nonparametric Statistics, 3.2. Below 8 samples 99 % cannot be had; the interval is then
    the samples' range.
    """
    ordered, n = sorted(samples), len(samples)
    # The largest k with P(fewer than k + 1 samples below the median) <= 0.5 % on either side.
    k = max(
        (k for k in range(n // 2) if stats.binom.cdf(k, n, 0.5) <= (1 - CONFIDENCE) / 2), default=0
    )
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Quantity(what, middle, ordered[k], ordered[n - 1 - k], unit)


def mean(what: str, samples: Sequence[float], unit: str = "") -> Quantity:
    """A mean with its Student interval; the samples are those of independent seeds."""
    middle = math.fsum(samples) / len(samples)
    half = float(stats.sem(samples) * stats.t.ppf((1 + CONFIDENCE) / 2, len(samples) - 1))
    return Quantity(what, middle, middle - half, middle + half, unit)


def difference(what: str, one: Sequence[float], other: Sequence[float]) -> Quantity:
    """A difference of two means over independent samples, with Welch's interval."""
    found = stats.ttest_ind(one, other, equal_var=False)
    low, high = found.confidence_interval(CONFIDENCE)
    return Quantity(
        what, math.fsum(one) / len(one) - math.fsum(other) / len(other), float(low), float(high)
    )


def ratio(what: str, one: Sequence[float], other: Sequence[float]) -> Quantity:
    """The median ratio of times that were taken in turns, round by round."""
    return median(what, [a / b for a, b in zip(one, other, strict=True)])


def times(what: str, one: Quantity, other: Quantity) -> Quantity:
    """A product of two positive quantities; the interval covers both of theirs, so it is wider than it need be."""
    return Quantity(what, one.value * other.value, one.low * other.low, one.high * other.high)


def jointly(*answers: bool | None) -> Verdict:
    """The verdict on a claim that says several things at once: one that is false refutes it."""
    if all(answer is True for answer in answers):
        return "confirmed"
    return "refuted" if False in answers else "depends on the machine"


def everywhere(*answers: bool | None) -> Verdict:
    """The verdict on a claim that was tried in several ways: where they disagree, it depends."""
    if all(answer is True for answer in answers):
        return "confirmed"
    return "refuted" if all(answer is False for answer in answers) else "depends on the machine"
