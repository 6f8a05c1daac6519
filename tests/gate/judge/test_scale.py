from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from flopline.gate.judge.scale import (
    UNKNOWN,
    Variance,
    robust_variance,
    shrunk,
    usual_variance,
)

SIGMA = 0.006


def samples(count: int, blocks: int, *, spread: float = 0.0, outliers: float = 0.0) -> np.ndarray:
    """Returns block values of benchmarks whose sigma is log-normal around SIGMA."""
    generator = np.random.default_rng(count + blocks)
    sigmas = SIGMA * np.exp(spread * generator.standard_normal((count, 1)))
    values = sigmas * generator.standard_normal((count, blocks))
    far = generator.random(values.shape) < outliers
    return np.where(far, 20 * values, values)


@pytest.mark.parametrize("blocks", [4, 5, 6, 7, 8, 12, 20, 28])
def test_the_variance_of_gaussian_values_is_right_on_average(blocks: int) -> None:
    variances = [robust_variance(row).variance for row in samples(4000, blocks).tolist()]
    assert statistics.fmean(variances) == pytest.approx(SIGMA**2, rel=0.06)


@pytest.mark.parametrize("blocks", [4, 8, 12, 28])
def test_the_variance_scatters_as_its_degrees_of_freedom_say(blocks: int) -> None:
    estimates = [robust_variance(row) for row in samples(4000, blocks).tolist()]
    logarithms = [math.log(estimate.variance) for estimate in estimates]
    expected = float(polygamma(1, estimates[0].freedom / 2))
    assert statistics.variance(logarithms) == pytest.approx(expected, rel=0.3)


def test_one_outlier_in_four_blocks_changes_little() -> None:
    steady = robust_variance([0.0, 0.004, -0.004, 0.002]).sigma
    assert robust_variance([0.0, 0.004, -0.004, 0.5]).sigma < 2.5 * steady


def test_few_values_have_the_ordinary_variance_and_one_has_none() -> None:
    assert robust_variance([0.0, 0.02]).variance == pytest.approx(0.0002)
    assert robust_variance([0.1]) == robust_variance([]) == UNKNOWN


def test_benchmarks_that_are_alike_share_their_variance() -> None:
    own = [robust_variance(row) for row in samples(200, 4).tolist()]
    usual = usual_variance(own)
    assert usual.sigma == pytest.approx(SIGMA, rel=0.08)
    assert usual.freedom > 10
    errors = [abs(math.log(shrunk(each, usual).sigma / SIGMA)) for each in own]
    alone = [abs(math.log(each.sigma / SIGMA)) for each in own]
    assert statistics.median(errors) < 0.6 * statistics.median(alone)


def test_benchmarks_that_differ_keep_most_of_their_own_variance() -> None:
    usual = usual_variance(robust_variance(row) for row in samples(200, 8, spread=1.0).tolist())
    assert usual.freedom < 4


def test_outliers_of_some_benchmarks_do_not_make_all_unsteady() -> None:
    clean = usual_variance(robust_variance(row) for row in samples(100, 4).tolist())
    rows = samples(100, 4, outliers=0.05).tolist()
    disturbed = usual_variance(robust_variance(row) for row in rows)
    assert disturbed.sigma < 1.25 * clean.sigma


def test_a_suite_of_two_benchmarks_has_no_usual_variance() -> None:
    own = [robust_variance(row) for row in samples(2, 4).tolist()]
    assert usual_variance(own) == UNKNOWN
    assert shrunk(own[0], UNKNOWN) == own[0]
    assert shrunk(UNKNOWN, Variance(1e-4, 5.0)) == UNKNOWN


@given(st.lists(st.lists(st.floats(-1, 1), max_size=9), max_size=9))
def test_any_values_have_a_positive_variance_or_none(rows: list[list[float]]) -> None:
    own = [robust_variance(row) for row in rows]
    usual = usual_variance(own)
    for each in own:
        variance = shrunk(each, usual)
        assert variance.freedom == 0 or variance.variance > 0
