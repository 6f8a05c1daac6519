"""Tests of the verdict on two stored measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from flopline.history import assessment
from flopline.history.record import AsvCase, Measurement

UNKNOWN = (-math.inf, math.inf)


def measurement(
    seconds: float, *, count: int = 8, spread: float = 0.01, seed: int = 0
) -> Measurement:
    generator = np.random.default_rng(seed)
    samples = (seconds * generator.lognormal(0, spread, count)).tolist()
    middle, half = sorted(samples)[count // 2], 3 * spread * seconds
    return Measurement(middle, (middle - half, middle + half), tuple(samples))


def test_ranks_of_eight_samples_per_side_show_a_difference() -> None:
    assert assessment.are_different(measurement(1.0), measurement(1.2, seed=1)) is True
    assert assessment.are_different(measurement(1.0), measurement(1.0, seed=1)) is False


@pytest.mark.parametrize(("m", "n"), [(6, 6), (5, 7), (4, 9), (3, 13)])
def test_intervals_decide_where_the_rank_test_cannot_pass(m: int, n: int) -> None:
    # asv 0.6.6 takes the rank test here and so misses a factor of ten.
    baseline = measurement(1.0, count=m)
    assert assessment.are_different(baseline, measurement(10.0, count=n, seed=1)) is True
    assert assessment.are_different(baseline, measurement(1.01, count=n, seed=1)) is False


def test_single_samples_decide_nothing() -> None:
    baseline = replace(measurement(1.0, count=1), interval=UNKNOWN)
    candidate = replace(measurement(10.0, count=1, seed=1), interval=UNKNOWN)
    assert assessment.are_different(baseline, candidate) is None
    assert assessment.assess(baseline, candidate, 0.05) == "inconclusive"


@pytest.mark.parametrize(
    ("ratio", "spread", "verdict"),
    [
        (1.2, 0.01, "regressed"),
        (0.8, 0.01, "improved"),
        (1.04, 0.001, "unchanged"),
        (0.96, 0.001, "unchanged"),
        (1.5, 2.0, "inconclusive"),
    ],
)
def test_a_change_exceeds_the_threshold_and_the_samples_differ(
    ratio: float, spread: float, verdict: str
) -> None:
    baseline = measurement(1.0, spread=spread)
    equal = measurement(1.0, spread=spread, seed=1)
    candidate = Measurement(
        baseline.seconds * ratio,
        (ratio * equal.interval[0], ratio * equal.interval[1]),
        tuple(ratio * sample for sample in equal.samples),
    )
    assert assessment.assess(baseline, candidate, 0.05) == verdict


def test_the_largest_threshold_that_matches_the_start_counts() -> None:
    case = AsvCase("bench_sgd.Sgd.sampled_epoch", ("'loader'", "10"))
    thresholds = {
        r"bench_sgd\.": 0.1,
        r"bench_sgd\.Sgd\.sampled_epoch\('loader'": 0.2,
        r"Sgd": 0.9,
        r"bench_matmul": 0.8,
    }
    assert assessment.threshold_of(case, thresholds) == 0.2
    assert assessment.threshold_of(replace(case, values=("'manual'", "10")), thresholds) == 0.1
    assert assessment.threshold_of(AsvCase("other", ()), thresholds) == assessment.DEFAULT_THRESHOLD
