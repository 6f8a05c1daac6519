"""From block values to the verdict on one benchmark: an estimate, a test, and what follows.

Log-ratios are natural logarithms of the candidate's over the baseline's seconds per call; they are
positive where the candidate is slower. Changes are fractions. docs/gate.md has the reasons.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from scipy import stats

from flopline.gate.judge.clock import block_value, choose_clock, log_ratios, seconds_per_call
from flopline.gate.judge.statistics import (
    alpha_per_look,
    detectable,
    hodges_lehmann,
    holm,
    signed_rank,
    smallest_p,
)
from flopline.gate.record import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.record import Clock, Quad, Settings, Verdict

Direction = Literal["slower", "faster"]

SUSPECTED = 0.95
"""The probability with which the screen suspects a slowdown that it calls detectable."""
REJECTED = 0.9
"""The probability with which the confirming blocks reject a slowdown that they call detectable."""
NEAR_MISS = 0.1
"""A p-value up to this is worth more blocks and a second look.

Any number is valid, because both looks share the error rate; this one is cheap.
"""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one stage knows about a benchmark's log-ratio; nan where it has too few values.

    Attributes:
        estimate: The log-ratio.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        sigma: Standard deviation (ddof 1) of the block values; nan with one block.
        blocks: Blocks that have a value.
        beyond: How many of these are beyond the margin in the direction of the change.
        detectable: The smallest slowdown, a fraction, that the stage does not miss. The screen
            suspects it with a probability of 95 %, the confirming blocks reject it with 90 %.
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
    """A screened benchmark.

    Attributes:
        id: pytest's node id.
        clock: The clock that decides about it.
        seconds: The baseline's median seconds per call on that clock.
    """

    id: str
    clock: Clock
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Confirmed(Estimate):
    """A benchmark that was tested on fresh blocks.

    Attributes:
        p: Exact p-value.
        limit: Holm's limit for it.
        rejected: Whether the change is confirmed.
    """

    p: float
    limit: float
    rejected: bool


def summarise_screen(
    benchmark: str, blocks: Sequence[Sequence[Quad]], settings: Settings
) -> Screened | None:
    """Summarises the screen of one benchmark; returns None if no block has a value.

    The estimate is the median of all log-ratios. Its interval is Student's, from the standard
    deviation of the block values. `detectable` is the slowdown that the screen suspects 95 times in
    100: the threshold plus 1.645 standard errors of a median,
    expm1(log1p(detect) / 2 + 1.645 * 1.2533 sigma / sqrt(n)) for n blocks. The factor 1.2533 =
    sqrt(pi / 2) is what the median of Gaussian values loses to their mean.

    Args:
        benchmark: pytest's node id.
        blocks: The benchmark's quads, per block of the screen.
        settings: What was asked of the run.
    """
    quads = list(itertools.chain.from_iterable(blocks))
    clock = choose_clock(quads, settings)
    values = block_values(blocks, clock)
    if not values:
        return None
    estimate = statistics.median(log_ratios(quads, clock))
    sigma = _standard_deviation(values)
    error = sigma / math.sqrt(len(values))
    half = float(stats.t.isf(0.025, len(values) - 1)) * error
    direction = math.copysign(1, estimate)
    return Screened(
        id=benchmark,
        clock=clock,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        sigma=sigma,
        blocks=len(values),
        beyond=sum(direction * value > settings.margin for value in values),
        detectable=math.expm1(settings.suspicion + 1.645 * math.sqrt(math.pi / 2) * error),
        seconds=_baseline_seconds(quads, clock),
    )


def block_values(blocks: Sequence[Sequence[Quad]], clock: Clock) -> list[float]:
    """Returns the values of the blocks that have one."""
    values = [block_value(quads, clock) for quads in blocks]
    return [value for value in values if value is not None]


def _baseline_seconds(quads: Sequence[Quad], clock: Clock) -> float:
    """Returns the baseline's median seconds per call over all batches that have a reading."""
    readings: list[float] = []
    for quad in quads:
        readings.extend(seconds_per_call(batch, clock) for batch in quad.baseline)
    return statistics.median(reading for reading in readings if reading > 0)


def _standard_deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def suspicious(screened: Screened, settings: Settings) -> Direction | None:
    """Returns the direction in which fresh blocks must decide, or None.

    That is slower from log1p(detect) / 2 on, and faster from log1p(detect) on: an improvement
    never changes the run's answer, so that only one of the size of `detect` is worth confirming.
    One block alone (its sigma is nan) raises no suspicion, because nothing tells how far it may be
    off.
    """
    if math.isnan(screened.sigma):
        return None
    if screened.estimate > settings.suspicion:
        return "slower"
    if screened.estimate < -math.log1p(settings.detect):
        return "faster"
    return None


def is_unclear(screened: Screened, settings: Settings) -> bool:
    """Returns whether more blocks of the screen could help.

    They could drop a suspicion whose interval reaches back to what is not suspicious, or reduce a
    noise that would hide a slowdown of `detect`.
    """
    direction = suspicious(screened, settings)
    if direction == "slower":
        return screened.low <= settings.suspicion
    if direction == "faster":
        return screened.high >= -math.log1p(settings.detect)
    # A detectable slowdown that is nan is unclear too.
    return not screened.detectable <= settings.detect


def certain_change(screened: Screened) -> float:
    """Returns the size that a screened change surely has: the near end of its interval, or zero."""
    return max(0.0, screened.low, -screened.high)


def confirm_changes(
    values: Mapping[str, Sequence[float]], settings: Settings
) -> dict[str, Confirmed]:
    """Tests which benchmarks are slower by more than the margin; this is one look.

    The probability of any false alarm in it is at most an equal part of the run's error rate.

    Args:
        values: Block values of all suspicious benchmarks, from fresh blocks only. They are negated
            in order to test for "faster". Lost blocks may make some lists shorter, or empty; a
            benchmark with too few values to reach its limit is never rejected.
        settings: What was asked of the run.
    """
    margin = settings.margin
    p_values = {name: _p_value(sample, margin) for name, sample in values.items()}
    decisions = holm(p_values, alpha_per_look(settings))
    results = {}
    for name, sample in values.items():
        interval = hodges_lehmann(sample)
        sigma = _standard_deviation(sample)
        results[name] = Confirmed(
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            sigma=sigma,
            blocks=len(sample),
            beyond=sum(value > margin for value in sample),
            detectable=detectable(sigma, len(sample), len(values), settings),
            p=p_values[name],
            limit=decisions[name].limit,
            rejected=decisions[name].rejected,
        )
    return results


def _p_value(sample: Sequence[float], bound: float) -> float:
    return float(signed_rank(sample, bound)) if sample else 1.0


def is_near_miss(confirmed: Confirmed) -> bool:
    """Returns whether a first look came so near to rejecting that a second is worth its time."""
    return not confirmed.rejected and confirmed.p <= NEAR_MISS


def compare(
    benchmark: str,
    screened: Screened | None,
    slower: Confirmed | None,
    faster: Confirmed | None,
    settings: Settings,
    *,
    planned: int = 0,
) -> Comparison:
    """Returns the verdict on a benchmark that was measured, with the numbers of its last stage.

    - `regressed` and `improved`: `confirm` rejected the values, or the negated values.
    - `unchanged`: Neither is the case, the estimate is within `detect`, no suspicion remained
      unconfirmed, and a slowdown of `detect` would have been detected: by the confirming blocks if
      these tested for one, otherwise by the screen. It means "not slower by `detect`", and not
      "identical".
    - `inconclusive`: All other cases. A note says why, unless noise is the reason.

    Args:
        benchmark: pytest's node id.
        screened: Its screen; None if no block of it has usable numbers.
        slower: Its test for "slower"; None if there was none.
        faster: Its test for "faster", on negated values; None if there was none.
        settings: What was asked of the run.
        planned: Confirming blocks that a suspicion of slowness asked for.
    """
    if screened is None:
        note = "no block of the screen has enough undisturbed batches"
        return Comparison(benchmark, "inconclusive", note=note, planned=planned)

    row = _measured(screened, slower, faster)
    tested = _deciding(slower, faster)
    note = _why_undecided(screened, tested, settings)
    verdict: Verdict = "inconclusive"
    if tested is not None and tested.rejected:
        verdict = "improved" if tested is faster else "regressed"
    elif not note and _rules_out(screened, slower, tested, settings):
        verdict = "unchanged"
    elif not note and tested is not None and tested.blocks < planned:
        note = f"{tested.blocks} usable blocks of {planned} planned"
    return replace(row, verdict=verdict, note=note, planned=planned)


def _deciding(slower: Confirmed | None, faster: Confirmed | None) -> Confirmed | None:
    """Returns the test that decides: the one that rejected, and otherwise the one for "slower"."""
    if faster is not None and (faster.rejected or slower is None):
        return faster
    return slower


def _measured(screened: Screened, slower: Confirmed | None, faster: Confirmed | None) -> Comparison:
    """Returns the numbers of a benchmark's last stage, without a verdict."""
    tested = _deciding(slower, faster)
    last: Estimate = tested or screened
    estimate, low, high = last.estimate, last.low, last.high
    if tested is not None and tested is faster:
        # "Faster" is tested on negated values; here they get their sign back.
        estimate, low, high = -last.estimate, -last.high, -last.low

    # Only a test for "slower" knows which slowdown it would have detected.
    if slower is None:
        smallest, probability = _finite(screened.detectable), SUSPECTED
    else:
        smallest, probability = _finite(slower.detectable), REJECTED

    row = Comparison(
        id=screened.id,
        verdict="inconclusive",
        change=_finite(math.expm1(estimate)),
        low=_finite(math.expm1(low)),
        high=_finite(math.expm1(high)),
        detectable=smallest,
        detectable_probability=None if smallest is None else probability,
        seconds=screened.seconds,
        sigma=_finite(last.sigma),
        clock=screened.clock,
        stage="screen",
        blocks=last.blocks,
        beyond=last.beyond,
    )
    if tested is None:
        return row
    return replace(row, stage="confirm", p=tested.p, limit=tested.limit)


def _rules_out(
    screened: Screened,
    slower: Confirmed | None,
    tested: Confirmed | None,
    settings: Settings,
) -> bool:
    """Returns whether a slowdown of `detect` would have been detected and none was measured."""
    detector: Estimate = slower or screened
    last: Estimate = tested or screened
    within = abs(last.estimate) <= math.log1p(settings.detect)
    return within and detector.detectable <= settings.detect


def _why_undecided(screened: Screened, tested: Confirmed | None, settings: Settings) -> str:
    """Returns why a benchmark cannot be called unchanged, where noise is not the reason."""
    if tested is not None:
        if smallest_p(tested.blocks) > tested.limit:
            return f"{tested.blocks} usable blocks are too few to confirm anything"
        return ""
    if screened.blocks == 1:
        return "only one block of the screen has usable numbers"
    direction = suspicious(screened, settings)
    if direction is not None:
        return f"looked {direction} in the screen and was not confirmed"
    return ""


def _finite(number: float) -> float | None:
    """Returns the number, or None if JSON has no word for it."""
    return number if math.isfinite(number) else None
