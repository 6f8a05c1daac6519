from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.judge.betting import (
    best_rate,
    detectable,
    expected_blocks,
    fewest_to_reject,
    p_values,
    wealth,
)
from flopline.gate.judge.statistics import holm
from flopline.gate.judge.verdict import FOUND_IN_STAGE, MOST_BLOCKS
from flopline.gate.record import Settings
from tests.gate.support.noise import cauchy, coined, drift, error, gaussian, mixed, student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.gate.support.noise import Noise

RUNS = 20_000
ALPHA = 0.01
SETTINGS = Settings(detect=0.03, alpha=ALPHA)
MARGIN = SETTINGS.margin
SIGMA = 0.006
RATE = best_rate(SIGMA, SETTINGS)


def rejected(values: NDArray[np.float64], tests: int = 1, rate: float = RATE) -> float:
    """Returns the share of the rows that are rejected at some moment."""
    return float(np.mean(p_values(values, MARGIN, rate) <= ALPHA / tests))


# False alarms


@pytest.mark.parametrize("noise", [gaussian, student, cauchy, coined, mixed])
@pytest.mark.parametrize("misjudged", [0.3, 1.0, 3.0])
def test_looking_after_every_block_raises_no_more_false_alarms_than_alpha(
    noise: Noise, misjudged: float
) -> None:
    values = MARGIN + SIGMA * noise(np.random.default_rng(11), (RUNS, MOST_BLOCKS))
    rate = best_rate(misjudged * SIGMA, SETTINGS)
    assert rejected(values, rate=rate) <= ALPHA + error(ALPHA, RUNS)


def test_without_the_coin_drift_makes_false_alarms() -> None:
    values = MARGIN + SIGMA * drift(np.random.default_rng(12), (RUNS, MOST_BLOCKS))
    assert rejected(values) > 0.05


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=8), st.floats(0, 1e5))
def test_over_all_signs_of_any_distances_no_p_value_is_too_small(
    distances: list[float], rate: float
) -> None:
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(distances))))
    p = p_values(signs * np.array(distances), 0.0, rate)
    for limit in p:
        assert np.mean(p <= limit) <= limit * (1 + 1e-9)


@pytest.mark.parametrize("common", [0.0, 0.7])
def test_six_innocent_benchmarks_alarm_no_more_often_than_one(common: float) -> None:
    generator = np.random.default_rng(16)
    runs = RUNS // 4
    shared = generator.standard_normal((runs, 1, MOST_BLOCKS))
    own = generator.standard_normal((runs, 6, MOST_BLOCKS))
    values = MARGIN + SIGMA * (math.sqrt(common) * shared + math.sqrt(1 - common) * own)
    alarms = 0
    for run in p_values(values, MARGIN, RATE).tolist():
        decisions = holm(dict(zip("abcdef", run, strict=True)), ALPHA)
        alarms += any(decision.rejected for decision in decisions.values())
    assert alarms / runs <= ALPHA + error(ALPHA, runs)


@pytest.mark.parametrize("common", [0.0, 0.7])
def test_margins_of_their_own_leave_the_error_rate_of_all_as_it_is(common: float) -> None:
    asked = [replace(SETTINGS, detect=detect) for detect in (0.005, 0.01, 0.03, 0.03, 0.1, 0.5)]
    generator = np.random.default_rng(17)
    runs = RUNS // 4
    shared = generator.standard_normal((runs, MOST_BLOCKS))
    p_of_each = []
    for settings in asked:
        own = generator.standard_normal((runs, MOST_BLOCKS))
        noise = math.sqrt(common) * shared + math.sqrt(1 - common) * own
        rate = best_rate(SIGMA, settings)
        p_of_each.append(p_values(settings.margin + SIGMA * noise, settings.margin, rate))
    alarms = 0
    for run in np.transpose(p_of_each).tolist():
        decisions = holm(dict(zip("abcdef", run, strict=True)), ALPHA)
        alarms += any(decision.rejected for decision in decisions.values())
    assert alarms / runs <= ALPHA + error(ALPHA, runs)


# What is evidence


def test_one_block_wins_or_loses_less_than_everything() -> None:
    assert wealth([10.0], 0.0, RATE) == pytest.approx([1.9])
    assert wealth([-10.0], 0.0, RATE) == pytest.approx([0.1])


def test_equal_values_at_the_margin_are_no_evidence() -> None:
    assert p_values([MARGIN] * 12, MARGIN, RATE) == 1
    assert p_values([], MARGIN, RATE) == 1


@given(
    st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=12), st.floats(0, 0.1), st.integers(0, 11)
)
def test_a_slower_block_never_speaks_for_innocence(
    values: list[float], more: float, place: int
) -> None:
    raised = list(values)
    raised[place % len(values)] += more
    assert p_values(raised, MARGIN, RATE) <= p_values(values, MARGIN, RATE) * (1 + 1e-12)


@given(st.lists(st.floats(-0.1, 0.1), max_size=12), st.floats(-0.1, 0.1))
def test_a_further_block_never_takes_evidence_back(values: list[float], further: float) -> None:
    assert p_values([*values, further], MARGIN, RATE) <= p_values(values, MARGIN, RATE)


# How many blocks


@pytest.mark.parametrize(("tests", "fewest"), [(1, 8), (2, 9), (5, 10), (31, 13)])
def test_with_fewer_blocks_nothing_can_be_rejected(tests: int, fewest: int) -> None:
    assert fewest_to_reject(tests, SETTINGS) == fewest
    certain = np.full(fewest, 1.0)
    assert p_values(certain, MARGIN, RATE) <= ALPHA / tests
    assert p_values(certain[1:], MARGIN, RATE) > ALPHA / tests


def test_what_is_obvious_takes_the_fewest_blocks_however_noisy_others_are() -> None:
    for sigma in (0.002, 0.01, 0.02):
        values = np.random.default_rng(3).normal(math.log(1.5), sigma, (1000, 10))
        assert rejected(values, 5, best_rate(sigma, SETTINGS)) == 1


@pytest.mark.parametrize(("sigma", "tests"), [(0.006, 5), (0.012, 1), (0.012, 5), (0.02, 3)])
def test_a_rejection_takes_about_as_many_blocks_as_expected(sigma: float, tests: int) -> None:
    change = math.log(1.03)
    values = np.random.default_rng(15).normal(change, sigma, (RUNS, 200))
    reached = wealth(values, MARGIN, best_rate(sigma, SETTINGS)) >= tests / ALPHA
    taken = 1 + np.argmax(reached, axis=1)
    expected = expected_blocks(change, sigma, tests, SETTINGS)
    assert np.mean(taken) == pytest.approx(expected, rel=0.25)


def test_no_number_of_blocks_is_expected_to_reject_what_is_at_the_margin() -> None:
    assert expected_blocks(MARGIN, SIGMA, 1, SETTINGS) == math.inf
    assert expected_blocks(0.0, SIGMA, 1, SETTINGS) == math.inf


# What could have been detected


@pytest.mark.parametrize("sigma", [0.003, 0.006, 0.012, 0.02])
@pytest.mark.parametrize("tests", [1, 5, 20])
def test_what_is_called_detectable_is_rejected_as_often_as_that_says(
    sigma: float, tests: int
) -> None:
    slowdown = detectable(sigma, MOST_BLOCKS, tests, SETTINGS, quantile=FOUND_IN_STAGE)
    values = np.random.default_rng(20).normal(math.log1p(slowdown), sigma, (RUNS, MOST_BLOCKS))
    assert 0.94 <= rejected(values, tests, best_rate(sigma, SETTINGS)) <= 0.99


def test_nothing_is_detectable_where_nothing_can_be_rejected() -> None:
    assert detectable(0.001, 6, 1, SETTINGS, quantile=1.0) == math.inf
    assert math.isfinite(detectable(0.001, 10, 1, SETTINGS, quantile=1.0))
    assert detectable(2.0, 28, 1, SETTINGS, quantile=1.0) == math.inf
