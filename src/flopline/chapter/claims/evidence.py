"""Intervals of measured quantities, and the answers about a claim that follow from them.

The functions here are pure: they measure nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

Answer = Literal["confirmed", "refuted", "depends on the machine", "not testable here"]

ANSWERS: tuple[Answer, ...] = get_args(Answer)
"""All answers, in the order in which summaries count them."""

CONFIDENCE = 0.99
"""The confidence of every interval.

An answer that rests on one interval is therefore wrong by chance in at most 1 % of runs, 0.5 % on
either side.
"""


@dataclass(frozen=True)
class Quantity:
    """A number with its interval.

    A number that follows exactly, without a measurement, is both ends of its interval.

    Attributes:
        what: The name under which reports show the number.
        value: The number.
        low: The lower end of its 99 % interval.
        high: The upper end of that interval.
        unit: `s`, `B/s` or `flop/s`. It is empty for a ratio, a count or a loss.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str = ""

    def above(self, bound: float) -> bool | None:
        """Returns whether the number is above a bound, or None if the interval contains it."""
        if self.low > bound:
            return True
        if self.high < bound:
            return False
        return None

    def below(self, bound: float) -> bool | None:
        """Returns whether the number is below a bound, or None if the interval contains it."""
        if self.high < bound:
            return True
        if self.low > bound:
            return False
        return None


@dataclass(frozen=True)
class Finding:
    """The answer to a claim, with the numbers from which it follows.

    Attributes:
        answer: The answer. docs/chapter.md says what each one means.
        measured: The numbers, the most important one first.
        note: What a reader must know in order to understand the numbers. It may be empty.
    """

    answer: Answer
    measured: tuple[Quantity, ...]
    note: str = ""


def exact(what: str, value: float) -> Quantity:
    """Returns a number that follows without measuring."""
    return Quantity(what, value, value, value)


def median(what: str, samples: Sequence[float], unit: str = "") -> Quantity:
    """Returns the median of samples with its distribution-free interval.

    The ends of the interval are order statistics, and its coverage is binomial (Conover, Practical
    Nonparametric Statistics, 3.2). With fewer than 8 samples a confidence of 99 % is impossible,
    and the interval is the range of the samples.
    """
    ordered = sorted(samples)
    n = len(ordered)
    # The interval starts at sample k + 1, counted from 1, where k is the largest number for which
    # at most k samples lie below the true median in no more than 0.5 % of cases.
    k = max(0, int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5)) - 1)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Quantity(what, middle, ordered[k], ordered[n - 1 - k], unit)


def mean(what: str, samples: Sequence[float]) -> Quantity:
    """Returns the mean of independent samples, such as those of seeds, with Student's interval."""
    middle = math.fsum(samples) / len(samples)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(samples) - 1)
    half = float(stats.sem(samples) * quantile)
    return Quantity(what, middle, middle - half, middle + half)


def difference(what: str, minuend: Sequence[float], subtrahend: Sequence[float]) -> Quantity:
    """Returns the difference of the means of two independent samples, with Welch's interval."""
    test = stats.ttest_ind(minuend, subtrahend, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    gap = math.fsum(minuend) / len(minuend) - math.fsum(subtrahend) / len(subtrahend)
    return Quantity(what, gap, float(low), float(high))


def ratio(what: str, numerators: Sequence[float], denominators: Sequence[float]) -> Quantity:
    """Returns the median ratio of times that were taken in turns, paired round by round."""
    pairs = zip(numerators, denominators, strict=True)
    return median(what, [numerator / denominator for numerator, denominator in pairs])


def multiplied(what: str, first: Quantity, second: Quantity) -> Quantity:
    """Returns the product of two positive quantities.

    The interval covers the intervals of both, so it is wider than it need be.
    """
    return Quantity(
        what,
        first.value * second.value,
        first.low * second.low,
        first.high * second.high,
    )


def all_hold(*conditions: bool | None) -> Answer:
    """Returns the answer to a claim that says several things at once.

    One condition that is false refutes such a claim.

    Args:
        conditions: Whether each of them holds; None where an interval does not decide it.
    """
    if False in conditions:
        return "refuted"
    if None in conditions:
        return "depends on the machine"
    return "confirmed"


def holds_in_every_setting(*conditions: bool | None) -> Answer:
    """Returns the answer to a claim that was tried in several settings.

    Settings that disagree neither confirm nor refute such a claim.

    Args:
        conditions: Whether the claim holds in each setting; None where an interval does not decide.
            Without any setting the claim is not testable.
    """
    if not conditions:
        return "not testable here"
    if all(condition is True for condition in conditions):
        return "confirmed"
    if all(condition is False for condition in conditions):
        return "refuted"
    return "depends on the machine"
