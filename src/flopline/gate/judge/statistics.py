"""The statistics of the gate: an exact test, an estimate with its interval, and numbers of blocks.

Values are log-ratios, one per block: natural logarithms of the candidate's over the baseline's
seconds per call, positive where the candidate is slower. docs/gate.md has the reasons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from flopline.gate.record import Settings

FEWEST_BLOCKS = 12
"""A suspicion is confirmed on at least this number of blocks."""
MOST_BLOCKS = 28
"""However noisy a benchmark is, no more blocks than this are planned for it."""
LOOKS = 2
"""The confirming blocks are tested up to this number of times.

Every look has an equal part of the error rate, so that the probability of a false alarm in any of
them is at most the whole.
"""
DECIMALS = 12
"""Log-ratios are rounded to this precision before they are compared with each other.

It is far finer than any clock and coarser than rounding errors.
"""


def alpha_per_look(settings: Settings) -> float:
    """Returns the probability of any false alarm that one look at the blocks may have."""
    return settings.alpha / LOOKS


def smallest_p(blocks: int) -> float:
    """Returns the smallest p-value that a signed-rank test of n blocks has: 2^-n."""
    return float(0.5**blocks)


def fewest_to_reject(tests: int, settings: Settings) -> int:
    """Returns the number of blocks with which one of several benchmarks can be rejected at all.

    The smallest p-value of a test must not be above Holm's first limit, the error rate of a look
    over the number of tests.
    """
    alpha = alpha_per_look(settings)
    return math.ceil(math.log2(tests / alpha))


def blocks_needed(sigma: float, tests: int, settings: Settings, *, at_least: float = 0.0) -> int:
    """Returns how many fresh blocks confirm one of S = `tests` suspicious benchmarks.

    It is the largest of three numbers: 12; two more than the fewest that can reject, so that a
    small value may contradict; and, up to 28, the number that finds the change with a probability
    of 95 % at this sigma: 1.05 ((z(alpha / S) + 1.64) sigma / (change - margin))^2. The
    signed-rank test needs 5 % more blocks than the z-test, because its efficiency for Gaussian
    values is 3 / pi.

    Args:
        sigma: Standard deviation of the benchmark's block values in the screen. One that is not
            finite asks for 28 blocks.
        tests: How many benchmarks are confirmed in this direction.
        settings: What was asked of the run.
        at_least: The log-ratio that the benchmark surely has, according to its screen. The larger
            of this and the slowdown that must be found is the change.
    """
    alpha = alpha_per_look(settings)
    z = float(stats.norm.isf(alpha / tests)) + 1.64
    wanted = math.log1p(settings.detect)
    change = max(wanted, at_least) - settings.margin
    if not math.isfinite(sigma):
        sigma = math.inf
    noise = z * sigma / change
    for_noise = 1.05 * noise**2
    return max(
        FEWEST_BLOCKS,
        fewest_to_reject(tests, settings) + 2,
        math.ceil(min(for_noise, MOST_BLOCKS)),
    )


def signed_rank(values: ArrayLike, bound: float) -> NDArray[np.float64]:
    """Returns exact p-values of "above `bound`": Wilcoxon's one-sided signed-rank test.

    Ties are broken against rejection: a value equal to the bound counts as below it, and among
    equal distances the values below get the larger ranks. The p-value can therefore only be too
    large, so ties keep the test valid. The statistic is the number of Walsh averages (averages of
    two values, or of a value with itself) above the bound.

    Args:
        values: Block values; the test runs along the last axis.
        bound: The log-ratio that is tolerated.
    """
    sample = np.asarray(values, dtype=np.float64)
    excess = np.round(sample - bound, DECIMALS)
    below = excess <= 0
    distance = np.abs(excess)
    order = np.lexsort((below, distance))
    ranks = 1 + np.argsort(order)
    signed_ranks = np.where(below, -ranks, ranks)
    test = stats.wilcoxon(signed_ranks, axis=-1, alternative="greater", method="exact")
    return np.asarray(test.pvalue)


class Interval(NamedTuple):
    """An estimate of a log-ratio and its 95 % interval."""

    estimate: float
    low: float
    high: float


def hodges_lehmann(values: Sequence[float]) -> Interval:
    """Returns the median Walsh average, and the signed-rank test inverted as its interval.

    The interval covers at least 95 % for symmetric noise of any shape. Fewer than 6 values cannot
    reach 95 %: they get the widest interval there is, from the smallest value to the largest.
    Without a value all three numbers are nan.
    """
    count = len(values)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    sample = np.asarray(values)
    rows, columns = np.triu_indices(count)
    averages = (sample[rows] + sample[columns]) / 2
    walsh = np.sort(averages)

    # How many of the 2^n sets of ranks have each sum: the distribution of the statistic.
    sets = np.zeros(len(walsh) + 1)
    sets[0] = 1
    for rank in range(1, count + 1):
        with_rank = sets[:-rank]
        sets[rank:] = sets[rank:] + with_rank
    cumulative = np.cumsum(sets) / 2**count

    # As many averages are cut off at both ends as leave at least 95 % between them.
    tail = (1 - 0.95) / 2
    within = int(np.searchsorted(cumulative, tail, side="right"))
    cut = max(0, within - 1)
    return Interval(
        estimate=float(np.median(walsh)),
        low=float(walsh[cut]),
        high=float(walsh[-cut - 1]),
    )


class Decision(NamedTuple):
    """Whether a multiple test rejects one p-value, and the limit that it was compared with."""

    rejected: bool
    limit: float


def holm(p_values: Mapping[str, float], alpha: float) -> dict[str, Decision]:
    """Decides about several p-values with Holm's step-down procedure (1979).

    The smallest of S p-values is compared with alpha / S, the next with alpha / (S - 1) and so on.
    The first one above its limit ends this, and all larger ones are compared with that limit too. A
    p-value is therefore rejected exactly where it is not above its limit.
    """
    decisions: dict[str, Decision] = {}
    limit = alpha
    rejecting = True
    remaining = len(p_values)
    for name in sorted(p_values, key=p_values.__getitem__):
        if rejecting:
            limit = alpha / remaining
        rejecting = p_values[name] <= limit
        decisions[name] = Decision(rejecting, limit)
        remaining -= 1
    return decisions


def detectable(sigma: float, blocks: int, tests: int, settings: Settings) -> float:
    """Returns the smallest slowdown, a fraction, that a look rejects with 90 % probability.

    For n blocks and S tests it is expm1(margin + (z(alpha / S) + z(0.1)) sigma / sqrt(0.95 n)
    (1 + 0.65 r^2)), where r = log2(S / alpha) / n is the share of the n signs that a rejection
    takes. The last factor is fitted to simulations: without it the formula ignores that few blocks
    must nearly all agree. For 12 to 32 blocks, S up to 20 and Gaussian noise it is right to 6 %.
    For t(4) noise it is right to 15 %, and too large with many blocks. It is inf if nothing can be
    rejected.

    Args:
        sigma: Standard deviation of the block values.
        blocks: How many there are.
        tests: How many benchmarks are tested in this direction.
        settings: What was asked of the run.
    """
    alpha = alpha_per_look(settings)
    first_limit = alpha / tests
    if smallest_p(blocks) > first_limit:
        return math.inf
    z = float(stats.norm.isf(first_limit) + stats.norm.isf(0.1))
    signs = math.log2(tests / alpha) / blocks
    few_blocks = 1 + 0.65 * signs**2
    noise = z * sigma / math.sqrt(0.95 * blocks)
    return math.expm1(settings.margin + noise * few_blocks)
