"""From block values to the verdict on one benchmark: an estimate, a test, and what follows.

Log-ratios are natural logarithms of the candidate's over the baseline's seconds per call; they are
positive where the candidate is slower. Changes are fractions. docs/gate.md has the reasons.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from scipy import stats

from flopline.gate.judge import betting
from flopline.gate.judge.clock import (
    block_value,
    choose_clock,
    coarse,
    log_ratios,
    second_clock,
    seconds_per_call,
)
from flopline.gate.judge.scale import Variance, robust_variance, shrunk, usual_variance
from flopline.gate.judge.statistics import hodges_lehmann, holm
from flopline.gate.record import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.record import Clock, Quad, Settings

Direction = Literal["slower", "faster"]

MOST_BLOCKS = 28
"""However noisy a suspect is, it gets no more confirming blocks than this."""
FOUND = 0.9
"""The probability with which a slowdown that is called detectable is called regressed."""
FOUND_IN_STAGE = 1.645
"""The Gaussian quantile of 95 %: screen and confirming blocks together find 90 %."""
OF_MEDIAN = math.sqrt(math.pi / 2)
"""The standard error of a median of Gaussian values over that of their mean."""
OF_WALSH_MEDIAN = math.sqrt(math.pi / 3)
"""The same of the median of pairwise averages, which is the estimate from confirming blocks."""
FUTILE = 2.576
"""The Gaussian quantile of the interval beyond which a suspicion is given up: 99.5 % one-sided."""
FEW_TO_GIVE_UP = 4
"""A suspicion is not given up after fewer confirming blocks than this."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one stage knows about a benchmark's log-ratio; nan where it has too few values.

    Attributes:
        estimate: The log-ratio.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        sigma: Standard deviation of the block values, as `judge.scale` estimates it.
        blocks: Blocks that have a value.
        beyond: How many of these are beyond the margin in the direction of the change.
    """

    estimate: float
    low: float
    high: float
    sigma: float
    blocks: int
    beyond: int


@dataclass(frozen=True, kw_only=True)
class Screened(Estimate):
    """A screened benchmark.

    Attributes:
        id: pytest's node id.
        clock: The clock that decides about it.
        seconds: The baseline's median seconds per call on that clock.
        suspected: The smallest slowdown, a fraction, that the screen suspects with a probability of
            95 %.
    """

    id: str
    clock: Clock
    seconds: float
    suspected: float


@dataclass(frozen=True, kw_only=True)
class Confirmed(Estimate):
    """A suspect that was tested on fresh blocks.

    Attributes:
        p: p-value that holds whenever the test stops.
        limit: Holm's limit for it.
        rejected: Whether the change is confirmed.
    """

    p: float
    limit: float
    rejected: bool


class Sample(NamedTuple):
    """What a suspect's test rests on.

    Attributes:
        values: Its block values, from fresh blocks only.
        sigma: Their standard deviation as the screen has estimated it.
        settings: What is asked of it.
    """

    values: Sequence[float]
    sigma: float
    settings: Settings


def summarise_screen(
    blocks: Mapping[str, Sequence[Sequence[Quad]]], settings: Settings
) -> dict[str, Screened | None]:
    """Summarises the screen of a suite; a benchmark of which no block has a value has None.

    The estimate is the median of all log-ratios. Its interval is Student's, from the standard
    deviation of the block values and its degrees of freedom (`judge.scale`).

    `suspected` is the slowdown that the screen suspects 95 times in 100: the threshold plus 1.645
    standard errors of a median, expm1(log1p(detect) / 2 + 1.645 * 1.2533 sigma / sqrt(n)) for n
    blocks. The factor 1.2533 = sqrt(pi / 2) is what the median of Gaussian values loses to their
    mean.

    Args:
        blocks: The quads of each benchmark, per block of the screen.
        settings: What was asked of the run.
    """
    clocks = {}
    for name, measured in blocks.items():
        clocks[name] = choose_clock(list(itertools.chain.from_iterable(measured)), settings)
    return _summarise_by(clocks, blocks, settings)


def second_opinions(
    blocks: Mapping[str, Sequence[Sequence[Quad]]],
    parallel: Mapping[str, Sequence[Sequence[Quad]]],
    settings: Settings,
) -> dict[str, Screened | None]:
    """Summarises the screen of those benchmarks that have a second clock, by that clock.

    Args:
        blocks: The quads of each benchmark, per block of the screen. They tell the clock.
        parallel: The quads of some benchmarks on all CPUs, per block of the screen.
        settings: What was asked of the run; less is asked of a second clock (`clock.coarse`).
    """
    clocks = {}
    for name in parallel:
        clock = second_clock(list(itertools.chain.from_iterable(blocks.get(name, []))), settings)
        if clock is not None:
            clocks[name] = clock
    return _summarise_by(clocks, parallel, coarse(settings))


def _summarise_by(
    clocks: Mapping[str, Clock],
    blocks: Mapping[str, Sequence[Sequence[Quad]]],
    settings: Settings,
) -> dict[str, Screened | None]:
    values = {name: block_values(blocks[name], clock) for name, clock in clocks.items()}
    variances = {name: robust_variance(sample) for name, sample in values.items()}
    usual = usual_variance(variances.values())
    summaries: dict[str, Screened | None] = {}
    for name, clock in clocks.items():
        summaries[name] = None
        if values[name]:
            variance = shrunk(variances[name], usual)
            quads = list(itertools.chain.from_iterable(blocks[name]))
            summaries[name] = _summarise(name, quads, clock, values[name], variance, settings)
    return summaries


def _summarise(  # all that is known about one benchmark
    benchmark: str,
    quads: Sequence[Quad],
    clock: Clock,
    values: Sequence[float],
    variance: Variance,
    settings: Settings,
) -> Screened:
    estimate = statistics.median(log_ratios(quads, clock))
    error = variance.sigma / math.sqrt(len(values))
    half = math.nan
    if variance.freedom > 0:
        half = _student(variance.freedom) * error
    direction = math.copysign(1, estimate)
    return Screened(
        id=benchmark,
        clock=clock,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        sigma=variance.sigma,
        blocks=len(values),
        beyond=sum(direction * value > settings.margin for value in values),
        suspected=math.expm1(settings.suspicion + FOUND_IN_STAGE * OF_MEDIAN * error),
        seconds=_baseline_seconds(quads, clock),
    )


def _student(freedom: float) -> float:
    """Returns the quantile of a two-sided 95 % interval."""
    if math.isinf(freedom):
        return float(stats.norm.isf(0.025))
    return float(stats.t.isf(0.025, freedom))


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
    noise that would hide a slowdown of `detect`. What looks faster is left to its test.
    """
    direction = suspicious(screened, settings)
    if direction == "slower":
        return screened.low <= settings.suspicion
    if direction == "faster":
        return False
    is_seen = screened.suspected <= settings.detect and screened.high < math.log1p(settings.detect)
    # Numbers that are nan are unclear too.
    return not is_seen


def certain_change(screened: Screened) -> float:
    """Returns the size that a screened change surely has: the near end of its interval, or zero."""
    return max(0.0, screened.low, -screened.high)


def confirm_changes(samples: Mapping[str, Sample], settings: Settings) -> dict[str, Confirmed]:
    """Tests which benchmarks are slower by more than the margin, on what was measured so far.

    The p-values hold whenever one looks at them (`judge.betting`), so this may be done after every
    block. The probability of any false alarm, over all looks, is at most the run's error rate.

    Args:
        samples: What is known about all suspicious benchmarks of a direction. Values are negated
            in order to test for "faster". Lost blocks may make some lists shorter, or empty.
        settings: What was asked of the run.
    """
    p_values = {}
    for name, sample in samples.items():
        rate = betting.best_rate(sample.sigma, sample.settings)
        p_values[name] = float(betting.p_values(sample.values, sample.settings.margin, rate))
    decisions = holm(p_values, settings.alpha)
    results = {}
    for name, sample in samples.items():
        estimate = hodges_lehmann(sample.values)
        # What the screen knows of the noise counts as much as so many further blocks.
        expected = Variance(sample.sigma**2, FEW_TO_GIVE_UP)
        variance = shrunk(robust_variance(sample.values), expected)
        sigma = sample.sigma if variance.freedom == 0 else variance.sigma
        half = math.nan
        if sample.values:
            error = OF_WALSH_MEDIAN * sigma / math.sqrt(len(sample.values))
            half = _student(variance.freedom + FEW_TO_GIVE_UP * (variance.freedom == 0)) * error
        results[name] = Confirmed(
            estimate=estimate,
            low=estimate - half,
            high=estimate + half,
            sigma=sigma,
            blocks=len(sample.values),
            beyond=sum(value > sample.settings.margin for value in sample.values),
            p=p_values[name],
            limit=decisions[name].limit,
            rejected=decisions[name].rejected,
        )
    return results


def is_futile(confirmed: Confirmed, settings: Settings) -> bool:
    """Returns whether a suspicion is refuted: the change is surely below half of `detect`.

    Giving up costs no false alarms, so this may be asked after every block.
    """
    if confirmed.blocks < FEW_TO_GIVE_UP:
        return False
    error = OF_WALSH_MEDIAN * confirmed.sigma / math.sqrt(confirmed.blocks)
    return confirmed.estimate + FUTILE * error < settings.suspicion


def is_hopeless(confirmed: Confirmed, left: int, settings: Settings) -> bool:
    """Returns whether the blocks that are left will not reject a benchmark, slower or not.

    They would not even if it were slower by 1.645 standard errors more than it looks. Stopping then
    costs no false alarms, and hardly any power. What is given up is unchanged only if its interval
    lies below `detect`, and inconclusive otherwise.

    Args:
        confirmed: What its blocks have shown so far.
        left: How many more it may get.
        settings: What is asked of it.
    """
    if confirmed.blocks < FEW_TO_GIVE_UP:
        return False
    error = OF_WALSH_MEDIAN * confirmed.sigma / math.sqrt(confirmed.blocks)
    likely = confirmed.estimate + FOUND_IN_STAGE * error
    missing = math.log(confirmed.p / confirmed.limit)
    return left * betting.growth(likely, confirmed.sigma, settings) < missing


def compare(  # all that is known about one benchmark
    benchmark: str,
    screened: Screened | None,
    slower: Confirmed | None,
    faster: Confirmed | None,
    settings: Settings,
    *,
    tests: int = 1,
    planned: int = 0,
    note: str = "",
) -> Comparison:
    """Returns the verdict on a benchmark that was measured, with the numbers of its last stage.

    - `regressed` and `improved`: `confirm` rejected the values, or the negated values.
    - `unchanged`: Neither is the case, a slowdown of `detect` would have been called regressed with
      a probability of 90 %, the 95 % interval lies below `detect`, and no suspicion remained
      untested. It means "not slower by `detect`", and not "identical".
    - `inconclusive`: All other cases. A note says why, unless noise is the reason.

    Args:
        benchmark: pytest's node id.
        screened: Its screen; None if no block of it has usable numbers.
        slower: Its test for "slower"; None if there was none.
        faster: Its test for "faster", on negated values; None if there was none.
        settings: What was asked of the run, and of this benchmark.
        tests: How many benchmarks are tested for "slower".
        planned: Confirming blocks that a suspicion of slowness asks for in all.
        note: Why it could not be measured as planned; empty if it was.
    """
    if screened is None:
        why = note or "no block of the screen has usable readings"
        return Comparison(benchmark, "inconclusive", note=why, planned=planned)

    row = replace(_measured(screened, slower, faster, settings, tests), planned=planned)
    tested = _deciding(slower, faster)
    if tested is not None and tested.rejected:
        return replace(row, verdict="improved" if tested is faster else "regressed")
    undecided = note or _why_undecided(screened, slower, faster, settings, planned)
    if undecided:
        return replace(row, note=undecided)
    if _rules_out(row, settings):
        return replace(row, verdict="unchanged")
    return row


def _deciding(slower: Confirmed | None, faster: Confirmed | None) -> Confirmed | None:
    """Returns the test that decides: the one that rejected, and otherwise the one for "slower"."""
    if faster is not None and (faster.rejected or slower is None):
        return faster
    return slower


def _measured(
    screened: Screened,
    slower: Confirmed | None,
    faster: Confirmed | None,
    settings: Settings,
    tests: int,
) -> Comparison:
    """Returns the numbers of a benchmark's last stage, without a verdict."""
    tested = _deciding(slower, faster)
    if tested is not None and tested.blocks == 0:
        tested = None
    last: Estimate = tested or screened
    estimate, low, high = last.estimate, last.low, last.high
    if tested is not None and tested is faster:
        # "Faster" is tested on negated values; here they get their sign back.
        estimate, low, high = -last.estimate, -last.high, -last.low
    smallest = detectable(screened, settings, tests=tests)
    row = Comparison(
        id=screened.id,
        verdict="inconclusive",
        change=_finite(math.expm1(estimate)),
        low=_finite(math.expm1(low)),
        high=_finite(math.expm1(high)),
        detectable=_finite(smallest),
        detectable_probability=FOUND if math.isfinite(smallest) else None,
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


def detectable(screened: Screened, settings: Settings, *, tests: int) -> float:
    """Returns the smallest slowdown, a fraction, that a run calls regressed in 9 of 10 cases.

    The screen must suspect it, and up to `MOST_BLOCKS` confirming blocks must reject it, each with
    a probability of 95 %. It is nan or inf if nothing can be said.
    """
    if math.isnan(screened.sigma):
        return math.nan
    confirmed = betting.detectable(
        screened.sigma, MOST_BLOCKS, tests, settings, quantile=FOUND_IN_STAGE
    )
    return max(screened.suspected, confirmed)


def _rules_out(row: Comparison, settings: Settings) -> bool:
    """Returns whether a slowdown of `detect` would have been found, and cannot be there."""
    if row.detectable is None or row.high is None:
        return False
    return row.detectable <= settings.detect and row.high < settings.detect


def _why_undecided(
    screened: Screened,
    slower: Confirmed | None,
    faster: Confirmed | None,
    settings: Settings,
    planned: int,
) -> str:
    """Returns why a benchmark cannot be called unchanged, where noise is not the reason."""
    if screened.blocks == 1:
        return "only one block of the screen has usable numbers"
    if slower is not None:
        if slower.blocks < planned:
            return (
                f"looked slower; the budget ended after {slower.blocks} of about {planned} blocks"
            )
        return ""
    if faster is not None:
        return "looked faster, which was not confirmed"
    direction = suspicious(screened, settings)
    if direction is not None:
        return f"looked {direction} in the screen and was not confirmed"
    return ""


def _finite(number: float) -> float | None:
    """Returns the number, or None if JSON has no word for it."""
    return number if math.isfinite(number) else None
