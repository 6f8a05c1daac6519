"""From block values to verdicts: an estimate, an exact test, what could have been seen, what follows.

Pure functions. Log-ratios are natural logarithms of candidate over baseline seconds per call, positive where the
candidate is slower; `detect`, `alpha` and changes are fractions; one block gives one value. docs/gate.md has the why.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from flopline.gate.judge.clock import block_value, choose_clock, log_ratios, seconds_per_call
from flopline.gate.record import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from flopline.gate.record import Clock, Quad, Verdict

FLOOR = 12
"""Blocks of a confirm stage, at least."""

DECIMALS = 12
"""Of log-ratios that are compared with each other: far finer than any clock, coarser than rounding errors."""


def margin(detect: float) -> float:
    """The log-ratio that is tolerated, log1p(detect / 3): layout that belongs to a version and no coin removes."""
    return math.log1p(detect / 3)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one stage knows of a benchmark's log-ratio; nan where it has too few values.

    Attributes:
        estimate: The log-ratio.
        low: Lower end of its 95 % interval.
        high: Upper end.
        sigma: Standard deviation (ddof 1) of the block values; nan with one block.
        blocks: Blocks that gave a value.
        beyond: Of these, blocks beyond the margin in the direction in question.
        sees: The smallest change, a fraction, that the stage does not miss, at the probability that it documents.
    """

    estimate: float
    low: float
    high: float
    sigma: float
    blocks: int
    beyond: int
    detectable: float


@dataclass(frozen=True, kw_only=True)
class Screened(Estimate):
    """A screened benchmark: its pytest id, the clock that decides, the baseline's median seconds per call."""

    id: str
    clock: Clock
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Confirmed(Estimate):
    """A tested benchmark: its exact p-value, Holm's limit for it, and whether the change is confirmed."""

    p: float
    limit: float
    rejected: bool


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def _threshold(detect: float) -> float:
    """The log-ratio from which the screen is suspicious: half of what must be found."""
    return math.log1p(detect) / 2


def screen(benchmark: str, per_block: Sequence[Sequence[Quad]], detect: float) -> Screened | None:
    """Sums a benchmark's screen up; None where no block gave a value.

    The estimate is the median of all log-ratios; its interval is Student's, from the sd of the block values. It
    `sees` what is suspicious with 95 % probability: expm1(log1p(detect) / 2 + 1.645 * 1.2533 sigma / sqrt(blocks)),
    1.2533 = sqrt(pi / 2) being what the median of Gaussian values loses to their mean.
    """
    quads = [quad for block in per_block for quad in block]
    clock = choose_clock(quads, detect)
    values = [value for block in per_block if (value := block_value(block, clock)) is not None]
    if not values:
        return None
    estimate, sigma = statistics.median(log_ratios(quads, clock)), _sd(values)
    error = sigma / math.sqrt(len(values))
    half = float(stats.t.isf(0.025, len(values) - 1)) * error
    seconds = (seconds_per_call(batch, clock) for quad in quads for batch in quad.baseline)
    return Screened(
        id=benchmark,
        clock=clock,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        sigma=sigma,
        blocks=len(values),
        beyond=sum(math.copysign(1, estimate) * value > margin(detect) for value in values),
        detectable=math.expm1(_threshold(detect) + 1.645 * math.sqrt(math.pi / 2) * error),
        seconds=statistics.median(s for s in seconds if s > 0),
    )


def suspicious(screened: Screened, detect: float) -> Literal["slower", "faster"] | None:
    """In which direction fresh blocks must decide: slower from log1p(detect) / 2 on, faster from log1p(detect) on.

    An improvement never changes the run's answer, so only one of the size of `detect` is worth confirming. One block
    alone (sigma is nan) raises no suspicion: nothing says how far it may be off.
    """
    if math.isnan(screened.sigma):
        return None
    if screened.estimate > _threshold(detect):
        return "slower"
    return "faster" if screened.estimate < -math.log1p(detect) else None


class UnattainableError(ValueError):
    """A confirm stage has too few blocks to reject anything."""


def demand_attainable(blocks: int, tests: int, alpha: float) -> None:
    """Refuses a confirm stage whose smallest p-value, 2^-blocks, is above Holm's first limit, alpha / tests.

    Raises:
        UnattainableError: There are too few blocks.
    """
    if 0.5**blocks > alpha / tests:
        raise UnattainableError(
            f"{blocks} blocks can never reject one of {tests} benchmarks at an error rate of {alpha:g}: the smallest "
            f"p-value is {0.5**blocks:.2g}, the limit {alpha / tests:.2g}; take more blocks or a larger error rate"
        )


def certain(screened: Screened) -> float:
    """The log-ratio that a screened benchmark has at least, in its direction: the near end of its interval, or 0."""
    return max(0.0, screened.low, -screened.high)


def plan(
    sigma: float, tests: int, detect: float, alpha: float, *, least: float = 0.0, most: int = 28
) -> int:
    """How many fresh blocks confirm one of S = `tests` suspicious benchmarks.

    The largest of 12; ceil(log2(S / alpha)) + 2, where a small value may contradict; and, up to `most`, what finds the
    change with 95 % probability at this sigma, 1.05 ((z(alpha / S) + 1.64) sigma / (change - margin))^2 (the
    signed-rank test needs 5 % more than the z-test: its efficiency for Gaussian values is 3 / pi).

    Args:
        sigma: Standard deviation of its block values; one that is not finite asks for `most`.
        tests: How many benchmarks are confirmed in this direction.
        detect: The slowdown that must be found.
        alpha: Probability of any false alarm.
        least: The log-ratio that it surely has, as the screen knows; the larger one of it and `detect` is the change.
        most: Cap of what noise may ask for.

    Raises:
        UnattainableError: The plan could not reject anything.
    """
    z = float(stats.norm.isf(alpha / tests)) + 1.64
    change = max(math.log1p(detect), least) - margin(detect)
    noise = 1.05 * (z * (sigma if math.isfinite(sigma) else math.inf) / change) ** 2
    blocks = max(FLOOR, math.ceil(math.log2(tests / alpha)) + 2, math.ceil(min(noise, most)))
    demand_attainable(blocks, tests, alpha)
    return blocks


def signed_rank(values: ArrayLike, bound: float) -> NDArray[np.float64]:
    """Exact p-values of "above `bound`" along the last axis: Wilcoxon's one-sided signed-rank test.

    A value at the bound counts as below, and of values equally far from it those below get the higher ranks: the
    statistic is the number of Walsh averages above the bound. With any order fixed in advance it would be at least as
    large and have the exact distribution, so ties and zeros make the test conservative, never invalid.
    """
    excess = np.round(np.asarray(values, dtype=np.float64) - bound, DECIMALS)
    ranks = 1 + np.argsort(np.lexsort((excess <= 0, np.abs(excess))))
    found = stats.wilcoxon(
        np.where(excess > 0, ranks, -ranks), axis=-1, alternative="greater", method="exact"
    )
    return np.asarray(found.pvalue)


def hodges_lehmann(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Estimate, lower and upper end: the median Walsh average, and the signed-rank test inverted.

    The interval covers at least `level` for symmetric noise of any shape. Fewer than 6 values cannot reach 95 %: theirs
    is the widest there is, from the smallest value to the largest. Without a value all three are nan.
    """
    if not (n := len(values)):
        return math.nan, math.nan, math.nan
    i, j = np.triu_indices(n)
    walsh = np.sort((np.asarray(values)[i] + np.asarray(values)[j]) / 2)
    ways = np.zeros(len(walsh) + 1)  # how many of the 2^n sets of ranks have each sum
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    k = max(0, int(np.searchsorted(np.cumsum(ways) / 2**n, (1 - level) / 2, side="right")) - 1)
    return float(np.median(walsh)), float(walsh[k]), float(walsh[-k - 1])


def holm(p: Mapping[str, float], alpha: float) -> dict[str, tuple[bool, float]]:
    """Holm's step-down (1979): whether each p-value is rejected, and the limit it was held to.

    The smallest of S is held to alpha / S, the next to alpha / (S - 1) and so on; the first above its limit ends it,
    and all after it are held to that limit too. So a p-value is rejected exactly where it is not above its limit.
    """
    held: dict[str, tuple[bool, float]] = {}
    limit, going = alpha, True
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        limit = alpha / (len(p) - rank) if going else limit
        going = p[name] <= limit
        held[name] = (going, limit)
    return held


def detectable(sigma: float, blocks: int, detect: float, alpha: float, tests: int) -> float:
    """The smallest slowdown, a fraction, that a confirm stage of n blocks and S tests rejects with 90 % probability.

    expm1(margin + (z(alpha / S) + z(0.1)) sigma / sqrt(0.95 n) (1 + 0.65 r^2)), r = log2(S / alpha) / n: the share of
    the n signs that a rejection takes. The last factor is fitted to simulations; without it the formula forgets that
    few blocks must nearly all agree. For 12 to 32 blocks, S up to 20 and Gaussian noise it is right to 6 %; for t(4)
    noise to 15 %, erring upwards with many blocks. inf where nothing can be rejected.
    """
    if 0.5**blocks > alpha / tests:
        return math.inf
    z = float(stats.norm.isf(alpha / tests) + stats.norm.isf(0.1))
    few = 1 + 0.65 * (math.log2(tests / alpha) / blocks) ** 2
    return math.expm1(margin(detect) + z * sigma / math.sqrt(0.95 * blocks) * few)


def confirm(
    values: Mapping[str, Sequence[float]], detect: float, alpha: float
) -> dict[str, Confirmed]:
    """Tests which benchmarks are slower by more than the margin; P(any false alarm in this look) <= alpha.

    Args:
        values: Block values of all suspicious benchmarks, from fresh blocks only; to test for "faster", negated. Lost
            blocks may make some shorter, or empty: too short to reach its limit, a benchmark is never rejected.
        detect: The change that must be found.
        alpha: Family-wise error rate.
    """
    bound = margin(detect)
    p = {name: float(signed_rank(d, bound)) if len(d) else 1.0 for name, d in values.items()}
    held = holm(p, alpha)
    found = {}
    for name, d in values.items():
        estimate, low, high = hodges_lehmann(d)
        found[name] = Confirmed(
            estimate=estimate,
            low=low,
            high=high,
            sigma=_sd(d),
            blocks=len(d),
            beyond=sum(value > bound for value in d),
            detectable=detectable(_sd(d), len(d), detect, alpha, len(values)),
            p=p[name],
            limit=held[name][1],
            rejected=held[name][0],
        )
    return found


LOOKS = 2
"""At the confirming blocks: each at alpha / 2, so that the sum of both false-alarm probabilities is at most alpha."""


def near(confirmed: Confirmed) -> bool:
    """Whether a first look came so near to rejecting, p <= 0.1, that more blocks and a second are worth their time."""
    return not confirmed.rejected and confirmed.p <= 0.1  # noqa: PLR2004  # any number is valid, this one is cheap


def compare(
    benchmark: str,
    screened: Screened | None,
    slower: Confirmed | None,
    faster: Confirmed | None,
    detect: float,
) -> Comparison:
    """The verdict on a benchmark that was measured, with the numbers of its last stage.

    `regressed` and `improved`: rejected by `confirm`, on the values or on the negated values. `unchanged`: neither, the
    estimate is within `detect`, no suspicion went unconfirmed, and a slowdown of `detect` would have been seen (by the
    confirm blocks where these tested for one, else by the screen): "not slower by detect", not "identical". Else
    `inconclusive`, with a note where noise is not the reason. `screened` is None where there were no usable numbers.
    """
    if screened is None:
        return Comparison(
            benchmark, "inconclusive", note="no block of the screen has enough undisturbed batches"
        )
    tested = faster if faster and (faster.rejected or not slower) else slower
    last = tested or screened
    sign = -1 if faster and tested is faster else 1
    low, high = sorted((sign * last.low, sign * last.high))
    seen = (slower or screened).detectable
    note = ""
    if tested is None and screened.blocks == 1:
        note = "only one block of the screen has usable numbers"
    elif tested is None and (suspicion := suspicious(screened, detect)):
        note = f"looked {suspicion} in the screen and was not confirmed"
    elif tested and 0.5**tested.blocks > tested.limit:
        note = f"{tested.blocks} usable blocks are too few to confirm anything"
    verdict: Verdict = "inconclusive"
    if tested and tested.rejected:
        verdict = "improved" if tested is faster else "regressed"
    elif not note and seen <= detect and abs(last.estimate) <= math.log1p(detect):
        verdict = "unchanged"
    change, low_change, high_change = (
        _finite(math.expm1(end)) for end in (sign * last.estimate, low, high)
    )
    return Comparison(
        id=benchmark,
        verdict=verdict,
        change=change,
        low=low_change,
        high=high_change,
        detectable=_finite(seen),
        seconds=screened.seconds,
        sigma=_finite(last.sigma),
        clock=screened.clock,
        stage="confirm" if tested else "screen",
        blocks=last.blocks,
        beyond=last.beyond,
        p=tested.p if tested else None,
        limit=tested.limit if tested else None,
        note=note,
    )


def _finite(value: float) -> float | None:
    """The value, or None for what JSON has no word for."""
    return value if math.isfinite(value) else None
