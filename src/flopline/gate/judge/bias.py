"""What an edit that changes no work does to a benchmark's time for good: its bias.

No repetition removes it, because it belongs to the version and not to a process. The margin is
there for it. docs/gate.md has the reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from flopline.gate.record import Comparison

COVERED = 2.5
"""The margin covers biases whose standard deviation is up to a part of it: the margin over this.

Then about one benchmark in 160 has a bias beyond the margin in the direction of a slowdown, and in
simulations of 31 benchmarks fewer than one run in a hundred raised an alarm.
"""
RESAMPLES = 2000
"""How often the benchmarks are drawn anew for the interval."""


@dataclass(frozen=True)
class Bias:
    """How far edits that change no work move benchmarks for good.

    Attributes:
        tau: The standard deviation of the biases, over benchmarks and edits, in log-ratios.
        low: The lower end of its 95 % interval.
        high: The upper end of that interval.
        comparisons: The number of estimates behind it.
        largest: The comparison whose interval is the furthest from zero. One with a confirmed
            change comes before those without, whose intervals rest on few blocks.
    """

    tau: float
    low: float
    high: float
    comparisons: int
    largest: Comparison

    @property
    def sure(self) -> float:
        """What the largest bias surely has, a log-ratio: zero if no change was confirmed."""
        return max(0.0, _near_end(self.largest)) if _is_confirmed(self.largest) else 0.0

    @property
    def needed(self) -> float:
        """The margin, a log-ratio, that covers biases like these."""
        return max(COVERED * self.tau, self.sure)

    def text(self, detect: float) -> str:
        """Returns what was measured, and what it means for the margin, in two sentences.

        Args:
            detect: The slowdown that the gate is asked to find, three times its margin.
        """
        row = self.largest
        change, low, high = row.change or 0.0, row.low or 0.0, row.high or 0.0
        measured = (
            f"Edits that change no work moved the time of a benchmark by {self.tau:.2%} "
            f"(standard deviation; 95 % interval {self.low:.2%} to {self.high:.2%}), and most of "
            f"all {row.id}, by {change:+.2%} ({low:+.2%} to {high:+.2%})."
        )
        margin = detect / 3
        tolerated = math.log1p(margin)
        if self.needed <= tolerated and COVERED * self.high <= tolerated:
            meaning = (
                f"The margin of {margin:.2%} covers this, so that such edits hardly ever raise a "
                "false alarm."
            )
        elif self.needed <= tolerated:
            meaning = (
                f"The margin of {margin:.2%} covers this, but not the upper end of the interval, "
                f"which must be at most {tolerated / COVERED:.2%}: more runs would tell."
            )
        else:
            # Rounded up to what the option takes with one decimal.
            wanted = math.ceil(3000 * math.expm1(self.needed) - 1e-9) / 1000
            meaning = (
                f"The margin of {margin:.2%} does not cover this, so that such edits raise false "
                f"alarms; the margin of --detect {100 * wanted:.1f}% does."
            )
        return f"{measured} {meaning}"


def measure_bias(runs: Iterable[Sequence[Comparison]], margin: float, seed: int = 1) -> Bias | None:
    """Measures the biases of edits that change no work, by the method of moments.

    The variance of the estimates around zero, which is the right answer, is that of the biases and
    of the noise: tau^2 = mean(estimate^2) - mean(standard error^2), or zero where that is negative.
    The error of an estimate is what its last stage says: sigma / sqrt(blocks). A benchmark counts
    with the weight 1 / (its mean squared error + margin^2)^2, because the variance of its squared
    estimates grows like the square of that: benchmarks with far more noise than the margin would
    drown all others. The interval is that of a bootstrap over benchmarks; its upper end is at least
    what noise alone could hide, 1.96 of its standard errors.

    Args:
        runs: What each run on such an edit found.
        margin: The log-ratio that is tolerated, above zero.
        seed: Of the draws for the interval.

    Returns:
        The biases; None if no run measured anything in two blocks.
    """
    rows: list[Comparison] = []
    for run in runs:
        rows.extend(row for row in run if _is_measured(row))
    if not rows:
        return None
    estimates: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for row in rows:
        estimates.setdefault(row.id, []).append(math.log1p(row.change or 0.0))
        errors.setdefault(row.id, []).append((row.sigma or 0.0) ** 2 / row.blocks)
    counts, noises, squares = _moments(estimates, errors)
    # Every estimate of a benchmark has the benchmark's weight.
    weights = counts / (noises + margin**2) ** 2
    excess = weights * (squares - noises)
    tau = _root(np.sum(excess) / np.sum(weights))
    drawn = np.random.default_rng(seed).integers(len(weights), size=(RESAMPLES, len(weights)))
    variances = np.sum(excess[drawn], axis=1) / np.sum(weights[drawn], axis=1)
    low, high = np.quantile(variances, [0.025, 0.975])
    # Of m estimates of variance v, the mean square has the variance 2 v^2 / m.
    by_noise = np.sqrt(np.sum(weights**2 * 2 * noises**2 / counts)) / np.sum(weights)
    return Bias(
        tau=tau,
        low=_root(low),
        high=_root(max(high, 1.96 * by_noise)),
        comparisons=len(rows),
        largest=max(rows, key=lambda row: (_is_confirmed(row), _near_end(row))),
    )


def _is_measured(row: Comparison) -> bool:
    has_numbers = row.change is not None and row.sigma is not None
    has_interval = row.low is not None and row.high is not None
    return has_numbers and has_interval and row.blocks > 1


def _is_confirmed(row: Comparison) -> bool:
    return row.verdict in ("regressed", "improved")


def _moments(
    estimates: Mapping[str, Sequence[float]], errors: Mapping[str, Sequence[float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns for each benchmark its number of estimates, mean squared error, and mean square."""
    counts = []
    noises = []
    squares = []
    for name, values in estimates.items():
        counts.append(float(len(values)))
        noises.append(float(np.mean(errors[name])))
        squares.append(float(np.mean(np.square(values))))
    return np.array(counts), np.array(noises), np.array(squares)


def _near_end(row: Comparison) -> float:
    """Returns the distance of a comparison's interval from zero; negative if it holds zero."""
    low, high = row.low, row.high
    if low is None or high is None or low <= -1:
        return -math.inf
    return max(math.log1p(low), -math.log1p(high))


def _root(variance: float) -> float:
    return math.sqrt(max(0.0, float(variance)))
