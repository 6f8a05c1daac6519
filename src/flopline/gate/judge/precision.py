"""How steady the numbers of a benchmark would be in more blocks, or in longer ones.

The values of its blocks scatter for two reasons. The quads of a block do, which more quads average
out. And every pair of processes is a little different from the others, whatever happens in it,
which only more blocks average out. What was measured tells how much is due to each.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.judge import betting
from flopline.gate.judge.clock import log_seconds
from flopline.gate.judge.verdict import FOUND_IN_STAGE, MOST_BLOCKS, OF_MEDIAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Clock, Quad, Settings

MANY_QUADS = 4
"""So many quads of a block tell how far quads scatter."""
OF_DEVIATION = 1.4826
"""The standard deviation of Gaussian values over their median distance from their median."""


@dataclass(frozen=True)
class Noise:
    """Why the values of a benchmark's blocks scatter, in squared log-ratios.

    Attributes:
        between: Variance of what differs from one pair of processes to the next.
        within: Variance that comes from the few quads of a block.
    """

    between: float
    within: float

    def sigma(self, times: float) -> float:
        """Returns the standard deviation of values of blocks with so many times the quads."""
        return math.sqrt(self.between + self.within / times)


def noise_of(blocks: Sequence[Sequence[Quad]], clock: Clock, sigma: float) -> Noise:
    """Returns why the values of some blocks scatter.

    Args:
        blocks: The quads of each block.
        clock: The clock that decides about the benchmark.
        sigma: The standard deviation of the block values.
    """
    errors = [_error_of_median(quads, clock) for quads in blocks]
    known = [error for error in errors if math.isfinite(error)]
    within = statistics.median(known) if known else sigma**2
    return Noise(max(0.0, sigma**2 - within), within)


def _error_of_median(quads: Sequence[Quad], clock: Clock) -> float:
    """Returns the variance of a block's value that its quads explain; nan if there are none."""
    values = []
    few = []
    for quad in quads:
        baseline = log_seconds(quad.baseline, clock)
        candidate = log_seconds(quad.candidate, clock)
        if any(math.isnan(log) for log in (*baseline, *candidate)):
            continue
        values.append(statistics.fmean(candidate) - statistics.fmean(baseline))
        if len(baseline) > 1 and len(candidate) > 1:
            scatter = statistics.variance(baseline) + statistics.variance(candidate)
            few.append(scatter / 2)
    if len(values) >= MANY_QUADS:
        center = statistics.median(values)
        deviation = OF_DEVIATION * statistics.median(abs(value - center) for value in values)
        return (OF_MEDIAN * deviation) ** 2 / len(values)
    # The two batches of a side within a quad differ by as much as its quads do.
    return statistics.fmean(few) / len(values) if few else math.nan


def is_precise(sigma: float, blocks: int, settings: Settings, *, tests: int) -> bool:
    """Returns whether a benchmark with this noise would be called unchanged if it is.

    A slowdown of `detect` must be suspected, and be confirmed in `MOST_BLOCKS`, each with a
    probability of 95 %.

    Args:
        sigma: Standard deviation of the block values.
        blocks: How many blocks the screen has.
        settings: What is asked of the benchmark.
        tests: How many benchmarks are tested for "slower".
    """
    error = OF_MEDIAN * sigma / math.sqrt(blocks)
    if settings.suspicion + FOUND_IN_STAGE * error > math.log1p(settings.detect):
        return False
    smallest = betting.detectable(sigma, MOST_BLOCKS, tests, settings, quantile=FOUND_IN_STAGE)
    return smallest <= settings.detect
