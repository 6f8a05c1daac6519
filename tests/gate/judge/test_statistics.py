from __future__ import annotations

import itertools
import math
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flopline.gate.judge.statistics import (
    LOOKS,
    alpha_per_look,
    blocks_needed,
    detectable,
    fewest_to_reject,
    hodges_lehmann,
    holm,
    signed_rank,
    smallest_p,
)
from flopline.gate.record import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Noise = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

RUNS = 20_000
ALPHA = 0.01
SETTINGS = Settings(detect=0.03, alpha=LOOKS * ALPHA)
"""Settings in which every look has an error rate of ALPHA."""
MARGIN = SETTINGS.margin


def error(rate: float, runs: int) -> float:
    """Returns three binomial standard errors."""
    variance = rate * (1 - rate)
    return 3 * math.sqrt(variance / runs)


# How many blocks


def test_the_margin_is_a_third_of_detect() -> None:
    assert pytest.approx(math.log(1.01)) == MARGIN


def test_all_looks_share_the_error_rate() -> None:
    assert LOOKS * alpha_per_look(Settings(alpha=0.05)) == 0.05


@pytest.mark.parametrize(("tests", "floor"), [(1, 12), (3, 12), (10, 12), (20, 13), (60, 15)])
def test_quiet_benchmarks_take_the_floor(tests: int, floor: int) -> None:
    assert blocks_needed(0.004, tests, SETTINGS) == floor


@pytest.mark.parametrize(
    ("detect", "sigma", "few", "many"),
    [
        (0.03, 0.02, 17, 23),
        (0.03, 0.024, 24, 28),
        (0.02, 0.012, 14, 18),
        (0.02, 0.016, 24, 28),
        (0.03, 0.015, 12, 13),
    ],
)
def test_noise_takes_more_blocks_up_to_the_cap(
    detect: float, sigma: float, few: int, many: int
) -> None:
    settings = Settings(detect=detect, alpha=SETTINGS.alpha)
    planned = [blocks_needed(sigma, tests, settings) for tests in range(1, 6)]
    assert planned == sorted(planned)
    assert few <= planned[0] <= planned[-1] <= many


def test_what_is_surely_large_takes_no_more_blocks_than_it_needs() -> None:
    assert blocks_needed(0.034, 5, SETTINGS) == 28
    assert blocks_needed(0.034, 5, SETTINGS, at_least=0.34) == 12
    assert blocks_needed(0.034, 5, SETTINGS, at_least=0.001) == 28


@pytest.mark.parametrize("sigma", [0.5, math.nan, math.inf])
def test_noise_asks_for_no_more_than_the_cap(sigma: float) -> None:
    assert blocks_needed(sigma, 1, SETTINGS) == 28
    assert blocks_needed(sigma, 2, SETTINGS) == 28


@given(st.floats(0, 0.1), st.integers(1, 300), st.floats(1e-9, 0.5))
def test_every_plan_can_reject(sigma: float, tests: int, alpha: float) -> None:
    settings = Settings(alpha=LOOKS * alpha)
    blocks = blocks_needed(sigma, tests, settings)
    assert smallest_p(blocks) <= alpha / tests


@pytest.mark.parametrize(("tests", "fewest"), [(1, 7), (5, 9), (6, 10)])
def test_with_fewer_blocks_nothing_can_be_rejected(tests: int, fewest: int) -> None:
    limit = ALPHA / tests
    assert fewest_to_reject(tests, SETTINGS) == fewest
    assert smallest_p(fewest) <= limit
    assert smallest_p(fewest - 1) > limit


# The test


def gaussian(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_normal(shape)


def student(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_t(2, shape)


def cauchy(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_cauchy(shape)


def drift(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns AR(0.9) over the blocks, stationary: what the two slots differ by."""
    blocks = np.arange(shape[1])
    lags = np.abs(np.subtract.outer(blocks, blocks))
    root = np.linalg.cholesky(0.9**lags)
    return np.asarray(generator.standard_normal(shape) @ root.T)


def coined(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Returns the same drift, where a coin per block chooses the slots."""
    values = drift(generator, shape)
    coins = generator.random(shape) - 0.5
    return values * np.sign(coins)


def true_level(count: int) -> float:
    """Returns the largest p-value up to ALPHA that a signed-rank test of so many values has."""
    sums = np.ones(1)
    for rank in range(1, count + 1):
        sums = np.convolve(sums, [1, *[0] * (rank - 1), 1])
    tails = np.cumsum(sums[::-1]) / 2**count
    return float(tails[tails <= ALPHA].max())


def rejected(values: NDArray[np.float64], limit: float = ALPHA) -> float:
    """Returns the share of the rows that are rejected."""
    return float(np.mean(signed_rank(values, MARGIN) <= limit))


@pytest.mark.parametrize("noise", [gaussian, student, cauchy, coined])
def test_the_level_is_exact_whatever_the_tails_and_the_drift(noise: Noise) -> None:
    generator = np.random.default_rng(11)
    values = MARGIN + 0.006 * noise(generator, (RUNS, 12))
    level = true_level(12)
    tolerance = error(level, RUNS)
    assert rejected(values) == pytest.approx(level, abs=tolerance)


def test_without_the_coin_drift_makes_false_alarms() -> None:
    values = drift(np.random.default_rng(12), (RUNS, 12))
    assert float(np.mean(signed_rank(values, 0.0) <= ALPHA)) > 0.2


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0, 2.0])
def test_ties_and_values_at_the_margin_make_the_test_conservative(step: float) -> None:
    noise = np.random.default_rng(13).standard_normal((RUNS, 12))
    coarse = np.round(noise / step) * step
    level = true_level(12)
    assert rejected(MARGIN + 0.006 * coarse) <= level + error(level, RUNS)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_over_all_signs_of_any_distances_no_p_value_is_too_small(distances: list[int]) -> None:
    signs = list(itertools.product((-1.0, 1.0), repeat=len(distances)))
    excess = 0.001 * np.array(signs) * np.array(distances)
    p_values = signed_rank(MARGIN + excess, MARGIN)
    for limit in p_values:
        share = np.mean(p_values <= limit)
        assert share <= limit * (1 + 1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_the_statistic_counts_walsh_averages_above_the_bound(values: list[int]) -> None:
    pairs = itertools.combinations_with_replacement(values, 2)
    above = sum(first + second > 0 for first, second in pairs)
    # Other values with as many: any set of ranks of that sum.
    untied = -np.arange(1.0, len(values) + 1)
    for place in reversed(range(len(values))):
        if place < above:
            untied[place] = place + 1
            above -= place + 1
    assert signed_rank(values, 0.0) == signed_rank(untied, 0.0)


def test_without_ties_it_is_scipys_exact_test() -> None:
    values = np.random.default_rng(14).standard_normal((50, 15))
    expected = stats.wilcoxon(values - 0.1, axis=1, alternative="greater", method="exact").pvalue
    assert signed_rank(values, 0.1) == pytest.approx(expected)


@given(
    st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=12), st.floats(0, 0.1), st.integers(0, 11)
)
def test_a_slower_block_never_speaks_for_innocence(
    values: list[float], more: float, place: int
) -> None:
    raised = list(values)
    raised[place % len(values)] += more
    before = signed_rank(values, MARGIN)
    after = signed_rank(raised, MARGIN)
    assert after <= before


def test_equal_values_at_the_margin_are_no_evidence() -> None:
    assert signed_rank([MARGIN] * 12, MARGIN) == 1


def test_three_percent_are_found_in_twelve_blocks_of_usual_noise() -> None:
    values = np.random.default_rng(15).normal(math.log(1.03), 0.006, (RUNS, 12))
    assert rejected(values) >= 0.95
    assert rejected(values, ALPHA / 6) >= 0.95


@pytest.mark.parametrize("common", [0.0, 0.7])
def test_six_innocent_benchmarks_alarm_no_more_often_than_one(common: float) -> None:
    generator = np.random.default_rng(16)
    shared = generator.standard_normal((RUNS, 1, 12))
    own = generator.standard_normal((RUNS, 6, 12))
    values = math.sqrt(common) * shared + math.sqrt(1 - common) * own
    p_values = signed_rank(values, 0.0)
    alarms = []
    for run in p_values.tolist():
        decisions = holm(dict(zip("abcdef", run, strict=True)), ALPHA)
        alarms.append(any(decision.rejected for decision in decisions.values()))
    assert statistics.fmean(alarms) <= ALPHA + error(ALPHA, RUNS)


def two_looks(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which rows are rejected at their first 12 values or, after a near miss, at all.

    Each look has half of ALPHA.
    """
    first = signed_rank(values[:, :12], MARGIN)
    second = signed_rank(values, MARGIN)
    limit = ALPHA / LOOKS
    looked_again = first <= 0.1
    at_second = looked_again & (second <= limit)
    return np.asarray((first <= limit) | at_second)


@pytest.mark.parametrize("noise", [gaussian, student, cauchy, coined])
def test_two_looks_raise_no_more_false_alarms_than_alpha(noise: Noise) -> None:
    generator = np.random.default_rng(21)
    values = MARGIN + 0.006 * noise(generator, (RUNS, 28))
    alarms = np.mean(two_looks(values))
    assert alarms <= ALPHA + error(ALPHA, RUNS)


def test_a_second_look_finds_what_twelve_blocks_were_too_noisy_for() -> None:
    values = np.random.default_rng(22).normal(math.log(1.03), 0.02, (RUNS, 28))
    assert rejected(values[:, :12]) < 0.85
    assert float(np.mean(two_looks(values))) > 0.95


# Holm


def test_holm_by_hand() -> None:
    decisions = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, 0.05)
    assert decisions == {
        "d": (True, 0.05 / 4),
        "a": (True, 0.05 / 3),
        "c": (False, 0.05 / 2),
        "b": (False, 0.05 / 2),
    }


def test_holm_rejects_all_where_each_meets_its_own_limit() -> None:
    decisions = holm({"a": 0.05, "b": 0.025, "c": 0.01}, 0.05)
    assert [decision.rejected for decision in decisions.values()] == [True] * 3
    assert holm({}, 0.05) == {}


@given(st.lists(st.floats(0, 0.05), max_size=8))
def test_holm_rejects_what_is_within_its_limit_and_all_of_bonferroni(values: list[float]) -> None:
    p_values = {str(number): value for number, value in enumerate(values)}
    decisions = holm(p_values, 0.05)
    assert set(decisions) == set(p_values)
    bonferroni = 0.05 / max(1, len(p_values))
    for name, p in p_values.items():
        decision = decisions[name]
        assert decision.rejected == (p <= decision.limit)
        assert decision.rejected or p > bonferroni


# Estimate and interval


def test_the_interval_of_12_values_ends_at_the_14th_and_65th_walsh_average() -> None:
    values = np.random.default_rng(17).standard_normal(12).tolist()
    pairs = itertools.combinations_with_replacement(values, 2)
    walsh = sorted((first + second) / 2 for first, second in pairs)
    assert len(walsh) == 78
    assert hodges_lehmann(values) == pytest.approx((statistics.median(walsh), walsh[13], walsh[64]))


def test_the_interval_covers_as_often_as_it_says() -> None:
    runs = 4000
    samples = np.random.default_rng(18).standard_t(3, (runs, 12)).tolist()
    intervals = [hodges_lehmann(sample) for sample in samples]
    covered = statistics.fmean(interval.low <= 0 <= interval.high for interval in intervals)
    assert covered == pytest.approx(0.957, abs=error(0.957, runs))


def test_up_to_six_values_give_the_widest_interval_and_none_give_nothing() -> None:
    for count in range(1, 7):
        values = [0.3, -0.1, 0.2, 0.0, 0.5, 0.4][:count]
        assert hodges_lehmann(values)[1:] == (min(values), max(values))
    assert all(math.isnan(number) for number in hodges_lehmann([]))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_negated_values_mirror_estimate_and_interval(values: list[float]) -> None:
    estimate, low, high = hodges_lehmann(values)
    assert low <= estimate <= high
    mirrored = hodges_lehmann([-value for value in values])
    assert mirrored == pytest.approx((-estimate, -high, -low), abs=1e-12)


# What could have been detected

TABLE = {  # simulated: percent by (blocks, tests) and sigma in percent
    (12, 1): {0.2: 1.25, 0.4: 1.5, 0.6: 1.8, 0.8: 2.0, 1.2: 2.5},
    (12, 3): {0.2: 1.3, 0.4: 1.6, 0.6: 1.9, 0.8: 2.2, 1.2: 2.9},
    (20, 3): {0.2: 1.2, 0.4: 1.4, 0.6: 1.6, 0.8: 1.8, 1.2: 2.2},
    (28, 3): {0.2: 1.15, 0.4: 1.3, 0.6: 1.5, 0.8: 1.6, 1.2: 1.9},
}


@pytest.mark.parametrize(("blocks", "tests"), TABLE)
def test_the_detectable_slowdown_agrees_with_the_simulated_table(blocks: int, tests: int) -> None:
    for sigma, percent in TABLE[blocks, tests].items():
        slowdown = detectable(sigma / 100, blocks, tests, SETTINGS)
        assert 100 * slowdown == pytest.approx(percent, abs=0.15)


@pytest.mark.parametrize(
    ("blocks", "tests"), [(12, 1), (12, 3), (12, 10), (13, 20), (16, 1), (16, 6), (20, 10), (28, 3)]
)
def test_what_is_called_detectable_is_rejected_nine_times_in_ten(blocks: int, tests: int) -> None:
    slowdown = detectable(0.006, blocks, tests, SETTINGS)
    noise = np.random.default_rng(20).normal(0, 0.006, (RUNS, blocks))
    values = math.log1p(slowdown) + noise
    assert 0.88 <= rejected(values, ALPHA / tests) <= 0.93


def test_nothing_is_detectable_where_nothing_can_be_rejected() -> None:
    assert detectable(0.001, 6, 1, SETTINGS) == math.inf
    assert math.isfinite(detectable(0.001, 7, 1, SETTINGS))
