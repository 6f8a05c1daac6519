"""A test that may be looked at after every block, without a price: bets against "not slower".

Values are log-ratios, one per block, positive where the candidate is slower. Somebody who doubts
that a benchmark is at most `bound` slower starts with a wealth of 1, and before every block bets a
part of it that the block's value lies above the bound. If the doubt is wrong, the side on which a
value lies is at best a fair coin, so the wealth cannot be expected to grow, and the probability
that it ever reaches 1 / p is at most p (Ville's inequality). The largest wealth so far therefore
gives a p-value that holds whenever one stops, and for whatever reason.

A bet wins or loses `MOST_STAKED` tanh(rate x) of the wealth, where x is the value less the bound:
an odd function, so that a fair coin between x and -x is a fair bet, and a bounded one, so that a
single value of any size can neither ruin nor prove anything. Grünwald, de Heide and Koolen, Safe
testing, 2024, and Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting,
2024, have the theory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flopline.gate.record import Settings

MOST_STAKED = 0.9
"""The largest part of the wealth that a bet can win or lose.

A single block of a shared machine may lie far off. With 0.98 it would cost the gains of six blocks,
and with 0.9 those of four, at the price of one block where a benchmark is alone and undisturbed.
"""
BOLDNESS = (0.5, 1.0, 2.0)
"""Factors on the rate of the bets that are made side by side, with a third of the wealth each.

The best rate is the effect over the variance. The variance is known only roughly, so bets at half
and at twice the rate are made, too. That costs at most log(3) / log(1.9) = 1.7 blocks.
"""
STEADY = 1e-4
"""Block values are never taken to be steadier than this standard deviation."""
NODES = 32
"""Nodes of the Gauss-Hermite quadrature over the noise of a block."""


def best_rate(sigma: float, settings: Settings) -> float:
    """Returns the rate at which the wealth grows fastest if the slowdown is that to be found.

    It is (log1p(detect) - margin) / sigma^2, the rate of the likelihood ratio for Gaussian values.

    Args:
        sigma: Standard deviation of the block values, known before the first of them.
        settings: What was asked of the run.
    """
    effect = math.log1p(settings.detect) - settings.margin
    return effect / max(sigma, STEADY) ** 2


def wealth(values: ArrayLike, bound: float, rate: float) -> NDArray[np.float64]:
    """Returns the wealth after each block.

    Args:
        values: Block values in the order in which they were measured, along the last axis.
        bound: The log-ratio that is tolerated.
        rate: The rate of the bets, fixed before the first value was measured.
    """
    excess = np.asarray(values, dtype=np.float64) - bound
    total = np.zeros_like(excess)
    for boldness in BOLDNESS:
        factors = 1 + MOST_STAKED * np.tanh(boldness * rate * excess)
        total += np.cumprod(factors, axis=-1)
    return np.asarray(total / len(BOLDNESS))


def p_values(values: ArrayLike, bound: float, rate: float) -> NDArray[np.float64]:
    """Returns the p-value of "above the bound": 1 over the largest wealth so far, at most 1.

    Args:
        values: Block values along the last axis; without any, the p-value is 1.
        bound: The log-ratio that is tolerated.
        rate: The rate of the bets, fixed before the first value was measured.
    """
    largest = np.max(wealth(values, bound, rate), axis=-1, initial=1.0)
    return np.asarray(1 / largest)


def fewest_to_reject(tests: int, settings: Settings) -> int:
    """Returns the number of blocks with which one of several benchmarks can be rejected at all.

    Every bet must be won, and 1.9^n must reach the number of tests over the error rate.
    """
    needed = math.log(tests / settings.alpha)
    return math.ceil(needed / math.log(1 + MOST_STAKED))


def expected_blocks(change: float, sigma: float, tests: int, settings: Settings) -> float:
    """Returns how many blocks a rejection takes on average; infinite if it cannot be expected.

    Args:
        change: The log-ratio that the benchmark has.
        sigma: Standard deviation of the block values.
        tests: How many benchmarks are tested in this direction.
        settings: What was asked of the run.
    """
    per_block = growth(change, sigma, settings)
    if not per_block > 0:
        return math.inf
    needed = math.log(len(BOLDNESS) * tests / settings.alpha)
    return max(needed / per_block, fewest_to_reject(tests, settings))


def growth(change: float, sigma: float, settings: Settings) -> float:
    """Returns by how much a block is expected to increase the logarithm of the best bet's wealth.

    Args:
        change: The log-ratio that the benchmark has.
        sigma: Standard deviation of the block values.
        settings: What was asked of the run.
    """
    return max(_growth(change, sigma, boldness, settings)[0] for boldness in BOLDNESS)


def detectable(
    sigma: float, blocks: int, tests: int, settings: Settings, *, quantile: float
) -> float:
    """Returns the smallest slowdown, a fraction, that this number of blocks rejects.

    The logarithm of the wealth is a sum over blocks, and is taken to be Gaussian. The result is inf
    if nothing can be rejected, or if no slowdown below a doubling would be.

    Args:
        sigma: Standard deviation of the block values.
        blocks: How many there are.
        tests: How many benchmarks are tested in this direction.
        settings: What was asked of the run.
        quantile: The Gaussian quantile of the probability with which it is rejected.
    """
    needed = math.log(len(BOLDNESS) * tests / settings.alpha)

    def suffices(change: float) -> bool:
        for boldness in BOLDNESS:
            mean, variance = _growth(change, sigma, boldness, settings)
            if blocks * mean - quantile * math.sqrt(blocks * variance) >= needed:
                return True
        return False

    low, high = settings.margin, math.log(2)
    if blocks < fewest_to_reject(tests, settings) or not suffices(high):
        return math.inf
    while high - low > 1e-5:  # noqa: PLR2004  # a thousandth of a percent
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return math.expm1(high)


def _growth(
    change: float, sigma: float, boldness: float, settings: Settings
) -> tuple[float, float]:
    """Returns mean and variance of what a block adds to the logarithm of one bet's wealth."""
    rate = boldness * best_rate(sigma, settings)
    values = change - settings.margin + max(sigma, STEADY) * _NOISE
    gains = np.log1p(MOST_STAKED * np.tanh(rate * values))
    mean = float(_WEIGHTS @ gains)
    return mean, float(_WEIGHTS @ (gains - mean) ** 2)


_NOISE, _WEIGHTS = np.polynomial.hermite_e.hermegauss(NODES)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
