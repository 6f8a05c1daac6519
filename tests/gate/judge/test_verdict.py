from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flopline.gate.judge.verdict import (
    LOOKS,
    Confirmed,
    Screened,
    UnattainableError,
    certain,
    compare,
    confirm,
    demand_attainable,
    detectable,
    hodges_lehmann,
    holm,
    margin,
    near,
    plan,
    screen,
    signed_rank,
    suspicious,
)
from tests.gate.support.samples import IDLE, blocks, quad, slower

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Noise = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

RUNS = 20_000
ALPHA = 0.01


def error(rate: float, runs: int) -> float:
    """Three binomial standard errors."""
    return 3 * math.sqrt(rate * (1 - rate) / runs)


# The screen


def test_the_screen_takes_the_median_of_all_quads_and_the_sd_of_the_blocks() -> None:
    found = screen("b", blocks([0.01, 0.02, 0.03, 0.06]), 0.03)
    assert found
    assert (found.id, found.clock, found.blocks, found.beyond) == ("b", "cpu", 4, 4)
    assert found.estimate == pytest.approx(0.025)
    assert found.sigma == pytest.approx(statistics.stdev([0.01, 0.02, 0.03, 0.06]))
    assert found.seconds == pytest.approx(4e-5)
    assert found.detectable == pytest.approx(
        math.exp(math.log(1.03) / 2 + 1.645 * 1.2533 * found.sigma / 2) - 1, rel=1e-4
    )


def test_the_screen_counts_blocks_beyond_the_margin_in_the_direction_of_its_estimate() -> None:
    found = screen("b", blocks([-0.02, -0.03, 0.02, -0.005]), 0.03)
    assert found
    assert found.beyond == 2


def test_a_batch_without_a_reading_does_not_hide_the_seconds_per_call() -> None:
    found = screen("b", [[quad(IDLE, IDLE), slower(0.0), slower(0.0), slower(0.0)]] * 2, 0.03)
    assert found
    assert found.seconds == pytest.approx(4e-5)


def test_a_screen_without_usable_blocks_gives_nothing() -> None:
    assert screen("b", [], 0.03) is None
    assert screen("b", [[quad(IDLE, IDLE)]], 0.03) is None


def test_the_screen_suspects_what_it_says_it_sees_and_its_interval_covers() -> None:
    generator, runs, sigma = np.random.default_rng(5), 1500, 0.006
    threshold = math.log1p(0.03) / 2
    true = threshold + 1.645 * 1.2533 * sigma / 2
    suspected = covered = 0
    for _ in range(runs):
        of_blocks = generator.normal(true, 0.8 * sigma, (4, 1))
        quads = of_blocks + generator.normal(0, 0.6 * sigma * math.sqrt(3 / (math.pi / 2)), (4, 3))
        found = screen("b", [[slower(ratio) for ratio in block] for block in quads.tolist()], 0.03)
        assert found
        suspected += suspicious(found, 0.03) == "slower"
        covered += found.low <= true <= found.high
    assert suspected / runs >= 0.95 - error(0.95, runs)
    assert 0.95 - error(0.95, runs) <= covered / runs <= 0.98


def test_slower_is_suspected_beyond_half_of_detect_and_faster_beyond_all_of_it() -> None:
    def verdict(estimate: float) -> str | None:
        found = screen("b", blocks([estimate, estimate, estimate + 1e-6]), 0.03)
        assert found
        return suspicious(found, 0.03)

    whole = math.log1p(0.03)
    assert [verdict(whole * factor) for factor in (0.51, 0.49, 0, -0.51, -0.99, -1.01)] == [
        "slower",
        None,
        None,
        None,
        None,
        "faster",
    ]


def test_one_block_alone_raises_no_suspicion() -> None:
    found = screen("b", blocks([0.5]), 0.03)
    assert found
    assert math.isnan(found.sigma)
    assert suspicious(found, 0.03) is None


# How many blocks


def test_the_margin_is_a_third_of_detect() -> None:
    assert margin(0.03) == pytest.approx(math.log(1.01))


@pytest.mark.parametrize(("tests", "floor"), [(1, 12), (3, 12), (10, 12), (20, 13), (60, 15)])
def test_quiet_benchmarks_take_the_floor(tests: int, floor: int) -> None:
    assert plan(0.004, tests, 0.03, ALPHA) == floor


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
    found = [plan(sigma, tests, detect, ALPHA) for tests in range(1, 6)]
    assert found == sorted(found)
    assert few <= found[0] <= found[-1] <= many


def test_what_is_surely_large_takes_no_more_blocks_than_it_needs() -> None:
    large = screen("b", blocks([0.36, 0.44, 0.40, 0.38]), 0.03)
    small = screen("b", blocks([-0.02, 0.06, 0.02, 0.04]), 0.03)
    faster = screen("b", blocks([-0.36, -0.44, -0.40, -0.38]), 0.03)
    assert large
    assert small
    assert faster
    assert certain(large) == pytest.approx(large.low)
    assert certain(faster) == pytest.approx(certain(large), abs=0.02)
    assert certain(small) == 0
    assert plan(0.034, 5, 0.03, ALPHA) == 28
    assert plan(0.034, 5, 0.03, ALPHA, least=certain(large)) == 12
    assert plan(0.034, 5, 0.03, ALPHA, least=0.001) == 28


def test_noise_asks_for_no_more_than_the_cap_and_no_sigma_asks_for_the_cap() -> None:
    assert (
        plan(0.5, 1, 0.03, ALPHA)
        == plan(math.nan, 2, 0.03, ALPHA)
        == plan(math.inf, 1, 0.03, ALPHA)
        == 28
    )
    assert plan(0.5, 1, 0.03, ALPHA, most=40) == 40


@given(st.floats(0, 0.1), st.integers(1, 300), st.floats(1e-9, 0.5), st.integers(0, 30))
def test_every_plan_can_reject(sigma: float, tests: int, alpha: float, most: int) -> None:
    assert 0.5 ** plan(sigma, tests, 0.03, alpha, most=most) <= alpha / tests


def test_a_stage_that_could_never_reject_is_refused() -> None:
    demand_attainable(7, 1, ALPHA)
    demand_attainable(9, 5, ALPHA)
    with pytest.raises(UnattainableError, match="6 blocks can never reject one of 1 benchmarks"):
        demand_attainable(6, 1, ALPHA)
    with pytest.raises(UnattainableError):
        demand_attainable(9, 6, ALPHA)


# The test


def gaussian(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_normal(shape)


def student(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_t(2, shape)


def cauchy(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return generator.standard_cauchy(shape)


def drift(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """AR(0.9) over the blocks, stationary: what the two slots differ by."""
    lags = np.abs(np.subtract.outer(np.arange(shape[1]), np.arange(shape[1])))
    return np.asarray(generator.standard_normal(shape) @ np.linalg.cholesky(0.9**lags).T)


def coined(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return drift(generator, shape) * np.sign(generator.random(shape) - 0.5)


def level(n: int) -> float:
    """The largest p-value not above ALPHA that a signed-rank test of n values has: its true level."""
    sums = np.ones(1)
    for rank in range(1, n + 1):
        sums = np.convolve(sums, [1, *[0] * (rank - 1), 1])
    tails = np.cumsum(sums[::-1]) / 2**n
    return float(tails[tails <= ALPHA].max())


@pytest.mark.parametrize("noise", [gaussian, student, cauchy, coined])
def test_the_level_is_exact_whatever_the_tails_and_the_drift(noise: Noise) -> None:
    values = margin(0.03) + 0.006 * noise(np.random.default_rng(11), (RUNS, 12))
    rate = float(np.mean(signed_rank(values, margin(0.03)) <= ALPHA))
    assert rate == pytest.approx(level(12), abs=error(level(12), RUNS))


def test_without_the_coin_drift_makes_false_alarms() -> None:
    values = drift(np.random.default_rng(12), (RUNS, 12))
    assert float(np.mean(signed_rank(values, 0.0) <= ALPHA)) > 0.2


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0, 2.0])
def test_ties_and_values_at_the_margin_make_the_test_conservative(step: float) -> None:
    coarse = np.round(np.random.default_rng(13).standard_normal((RUNS, 12)) / step) * step
    values = margin(0.03) + 0.006 * coarse
    rate = float(np.mean(signed_rank(values, margin(0.03)) <= ALPHA))
    assert rate <= level(12) + error(level(12), RUNS)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_over_all_signs_of_any_distances_no_p_value_is_too_small(distances: list[int]) -> None:
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(distances))))
    values = margin(0.03) + 0.001 * signs * np.array(distances)
    p = signed_rank(values, margin(0.03))
    assert all(np.mean(p <= limit) <= limit * (1 + 1e-12) for limit in p)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_the_statistic_is_the_number_of_walsh_averages_above_the_bound(values: list[int]) -> None:
    above = sum(a + b > 0 for a, b in itertools.combinations_with_replacement(values, 2))
    untied = -np.arange(
        1.0, len(values) + 1
    )  # other values with as many: any set of ranks of that sum
    for k in reversed(range(len(values))):
        if k < above:
            untied[k] = k + 1
            above -= k + 1
    assert signed_rank(values, 0.0) == signed_rank(untied, 0.0)


def test_without_ties_it_is_scipys_exact_test() -> None:
    values = np.random.default_rng(14).standard_normal((50, 15))
    expected = stats.wilcoxon(values - 0.1, axis=1, alternative="greater", method="exact").pvalue
    assert signed_rank(values, 0.1) == pytest.approx(expected)


@given(
    st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=12), st.floats(0, 0.1), st.integers(0, 11)
)
def test_a_slower_block_never_speaks_for_innocence(
    values: list[float], more: float, which: int
) -> None:
    raised = list(values)
    raised[which % len(values)] += more
    assert signed_rank(raised, margin(0.03)) <= signed_rank(values, margin(0.03))


def test_equal_values_at_the_margin_are_no_evidence() -> None:
    assert confirm({"b": [margin(0.03)] * 12}, 0.03, ALPHA)["b"].p == 1


def test_three_percent_are_found_in_twelve_blocks_of_usual_noise() -> None:
    values = np.random.default_rng(15).normal(math.log(1.03), 0.006, (RUNS, 12))
    assert float(np.mean(signed_rank(values, margin(0.03)) <= ALPHA)) >= 0.95
    assert float(np.mean(signed_rank(values, margin(0.03)) <= ALPHA / 6)) >= 0.95


@pytest.mark.parametrize("common", [0.0, 0.7])
def test_six_innocent_benchmarks_raise_no_more_false_alarms_than_one(common: float) -> None:
    generator = np.random.default_rng(16)
    shared = generator.standard_normal((RUNS, 1, 12))
    own = generator.standard_normal((RUNS, 6, 12))
    p = signed_rank(math.sqrt(common) * shared + math.sqrt(1 - common) * own, 0.0)
    alarms = [
        any(hit for hit, _ in holm(dict(zip("abcdef", run, strict=True)), ALPHA).values())
        for run in p.tolist()
    ]
    assert statistics.fmean(alarms) <= ALPHA + error(ALPHA, RUNS)


def two_looks(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows are rejected on their first 12 values, or, where these came near, on all; each at half of ALPHA."""
    first, second = signed_rank(values[:, :12], margin(0.03)), signed_rank(values, margin(0.03))
    return np.asarray((first <= ALPHA / LOOKS) | ((first <= 0.1) & (second <= ALPHA / LOOKS)))


@pytest.mark.parametrize("noise", [gaussian, student, cauchy, coined])
def test_two_looks_raise_no_more_false_alarms_than_alpha(noise: Noise) -> None:
    values = margin(0.03) + 0.006 * noise(np.random.default_rng(21), (RUNS, 28))
    assert np.mean(two_looks(values)) <= ALPHA + error(ALPHA, RUNS)


def test_a_second_look_finds_what_twelve_blocks_were_too_noisy_for() -> None:
    values = np.random.default_rng(22).normal(math.log(1.03), 0.02, (RUNS, 28))
    once = float(np.mean(signed_rank(values[:, :12], margin(0.03)) <= ALPHA))
    assert once < 0.85
    assert float(np.mean(two_looks(values))) > 0.95


def test_near_is_what_was_not_rejected_with_a_p_value_of_a_tenth_at_most() -> None:
    values = np.random.default_rng(23).normal(math.log(1.03), 0.02, (200, 12))
    looked = [confirm({"b": list(row)}, 0.03, ALPHA)["b"] for row in values]
    assert {(one.rejected, near(one)) for one in looked} == {
        (True, False),
        (False, True),
        (False, False),
    }
    assert [one.p for one in looked if near(one)] == [
        one.p for one in looked if ALPHA < one.p <= 0.1
    ]


# Holm


def test_holm_by_hand() -> None:
    held = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, 0.05)
    assert held == {
        "d": (True, 0.05 / 4),
        "a": (True, 0.05 / 3),
        "c": (False, 0.05 / 2),
        "b": (False, 0.05 / 2),
    }


def test_holm_rejects_all_where_each_meets_its_own_limit() -> None:
    assert [hit for hit, _ in holm({"a": 0.05, "b": 0.025, "c": 0.01}, 0.05).values()] == [True] * 3
    assert holm({}, 0.05) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 0.05), max_size=8))
def test_holm_rejects_exactly_what_is_within_its_limit_and_all_that_bonferroni_rejects(
    p: dict[str, float],
) -> None:
    held = holm(p, 0.05)
    assert set(held) == set(p)
    assert all(hit == (p[name] <= limit) for name, (hit, limit) in held.items())
    assert all(held[name][0] for name in p if p[name] <= 0.05 / len(p))


# Estimate and interval


def test_the_interval_of_twelve_values_ends_at_the_14th_and_65th_of_78_walsh_averages() -> None:
    values = np.random.default_rng(17).standard_normal(12).tolist()
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    assert len(walsh) == 78
    assert hodges_lehmann(values) == pytest.approx((statistics.median(walsh), walsh[13], walsh[64]))


def test_the_interval_covers_as_often_as_it_says() -> None:
    runs = 4000
    samples = np.random.default_rng(18).standard_t(3, (runs, 12)).tolist()
    covered = statistics.fmean(low <= 0 <= high for _, low, high in map(hodges_lehmann, samples))
    assert covered == pytest.approx(0.957, abs=error(0.957, runs))


def test_up_to_six_values_give_the_widest_interval_and_none_give_nothing() -> None:
    for n in range(1, 7):
        values = [0.3, -0.1, 0.2, 0.0, 0.5, 0.4][:n]
        assert hodges_lehmann(values)[1:] == (min(values), max(values))
    assert all(math.isnan(number) for number in hodges_lehmann([]))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_negated_values_mirror_estimate_and_interval(values: list[float]) -> None:
    estimate, low, high = hodges_lehmann(values)
    assert low <= estimate <= high
    assert hodges_lehmann([-value for value in values]) == pytest.approx(
        (-estimate, -high, -low), abs=1e-12
    )


# Confirming


def test_confirm_sums_up_and_decides() -> None:
    generator = np.random.default_rng(19)
    values = {
        "slow": generator.normal(0.03, 0.004, 12).tolist(),
        "same": generator.normal(0.0, 0.004, 12).tolist(),
        "lost": [0.03] * 7,
        "gone": [],
    }
    found = confirm(values, 0.03, ALPHA)
    assert list(found) == list(values)
    assert {name: c.rejected for name, c in found.items()} == {
        "slow": True,
        "same": False,
        "lost": False,
        "gone": False,
    }
    slow = found["slow"]
    assert (slow.p, slow.limit, slow.beyond, slow.blocks) == (0.5**12, ALPHA / 4, 12, 12)
    assert (slow.estimate, slow.low, slow.high) == hodges_lehmann(values["slow"])
    assert slow.sigma == pytest.approx(statistics.stdev(values["slow"]))
    assert slow.detectable == detectable(slow.sigma, 12, 0.03, ALPHA, 4)
    assert (found["lost"].p, found["lost"].detectable) == (0.5**7, math.inf)
    assert (found["gone"].p, found["gone"].blocks) == (1.0, 0)
    assert confirm({}, 0.03, ALPHA) == {}


# What could have been seen

TABLE = {  # gate.md 4.4, simulated: percent by (blocks, tests) and sigma in percent
    (12, 1): {0.2: 1.25, 0.4: 1.5, 0.6: 1.8, 0.8: 2.0, 1.2: 2.5},
    (12, 3): {0.2: 1.3, 0.4: 1.6, 0.6: 1.9, 0.8: 2.2, 1.2: 2.9},
    (20, 3): {0.2: 1.2, 0.4: 1.4, 0.6: 1.6, 0.8: 1.8, 1.2: 2.2},
    (28, 3): {0.2: 1.15, 0.4: 1.3, 0.6: 1.5, 0.8: 1.6, 1.2: 1.9},
}


@pytest.mark.parametrize(("n", "tests"), TABLE)
def test_the_detectable_effect_agrees_with_the_simulated_table(n: int, tests: int) -> None:
    for sigma, percent in TABLE[n, tests].items():
        assert 100 * detectable(sigma / 100, n, 0.03, ALPHA, tests) == pytest.approx(
            percent, abs=0.15
        )


@pytest.mark.parametrize(
    ("n", "tests"), [(12, 1), (12, 3), (12, 10), (13, 20), (16, 1), (16, 6), (20, 10), (28, 3)]
)
def test_what_it_says_it_sees_is_rejected_nine_times_in_ten(n: int, tests: int) -> None:
    shift = math.log1p(detectable(0.006, n, 0.03, ALPHA, tests))
    values = shift + np.random.default_rng(20).normal(0, 0.006, (RUNS, n))
    assert 0.88 <= float(np.mean(signed_rank(values, margin(0.03)) <= ALPHA / tests)) <= 0.93


def test_nothing_is_seen_where_nothing_can_be_rejected() -> None:
    assert detectable(0.001, 6, 0.03, ALPHA, 1) == math.inf
    assert math.isfinite(detectable(0.001, 7, 0.03, ALPHA, 1))


# The verdict


def screened(estimate: float, sigma: float = 0.004, count: int = 4) -> Screened:
    """A screen whose block values have exactly this median, and a standard deviation of about sigma."""
    found = screen(
        "b", blocks([estimate + sigma * z for z in np.linspace(-1.16, 1.16, count)]), 0.03
    )
    assert found
    return found


def confirmed(change: float, sigma: float = 0.004, n: int = 12, seed: int = 21) -> Confirmed:
    z = np.random.default_rng(seed).standard_normal(n)
    values = change + sigma * (z - z.mean()) / z.std(ddof=1)
    return confirm({"b": values.tolist()}, 0.03, ALPHA)["b"]


def test_a_rejected_slowdown_is_a_regression() -> None:
    test = confirmed(0.03)
    found = compare("b", screened(0.03), test, None, 0.03)
    assert (found.verdict, found.stage, found.blocks, found.beyond, found.p) == (
        "regressed",
        "confirm",
        12,
        12,
        0.5**12,
    )
    assert found.change == pytest.approx(0.03, abs=0.002)
    assert (found.low, found.high) == (math.expm1(test.low), math.expm1(test.high))
    assert (found.limit, found.detectable, found.sigma, found.clock) == (
        ALPHA,
        test.detectable,
        test.sigma,
        "cpu",
    )
    assert found.seconds == pytest.approx(4e-5)
    assert found.note == ""


def test_a_rejected_speed_up_is_an_improvement_and_its_numbers_are_negative() -> None:
    found = compare("b", screened(-0.03), None, confirmed(0.03), 0.03)
    assert (found.verdict, found.stage) == ("improved", "confirm")
    assert found.low is not None
    assert found.change is not None
    assert found.high is not None
    assert found.low < found.change < found.high < 0


def test_a_suspicion_that_is_not_confirmed_is_unchanged_where_detect_would_have_been_seen() -> None:
    found = compare("b", screened(0.02), confirmed(0.005), None, 0.03)
    assert (found.verdict, found.stage) == ("unchanged", "confirm")
    assert found.detectable is not None
    assert found.detectable <= 0.03


def test_noise_that_hides_detect_is_inconclusive() -> None:
    found = compare("b", screened(0.02), confirmed(0.015, sigma=0.03), None, 0.03)
    assert found.verdict == "inconclusive"
    assert found.detectable is not None
    assert found.detectable > 0.03


def test_an_estimate_beyond_detect_is_never_called_unchanged() -> None:
    missed = replace(confirmed(0.032), p=0.02, rejected=False)
    assert compare("b", screened(0.03), missed, None, 0.03).verdict == "inconclusive"


def test_the_screen_alone_says_unchanged_or_inconclusive() -> None:
    found = compare("b", screened(0.001), None, None, 0.03)
    assert (found.verdict, found.stage, found.blocks, found.p, found.note) == (
        "unchanged",
        "screen",
        4,
        None,
        "",
    )
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.001 < found.high
    assert compare("b", screened(0.001, sigma=0.02), None, None, 0.03).verdict == "inconclusive"


def test_of_two_tests_the_one_that_rejected_speaks() -> None:
    slow, none = confirmed(0.03), confirmed(-0.03)
    assert compare("b", screened(0.03), slow, none, 0.03).verdict == "regressed"
    assert compare("b", screened(-0.03), none, slow, 0.03).verdict == "improved"


@pytest.mark.parametrize(("estimate", "word"), [(0.02, "slower"), (-0.04, "faster")])
def test_a_suspicion_that_nobody_followed_is_inconclusive(estimate: float, word: str) -> None:
    found = compare("b", screened(estimate), None, None, 0.03)
    assert (found.verdict, found.note) == (
        "inconclusive",
        f"looked {word} in the screen and was not confirmed",
    )


def test_too_few_usable_numbers_are_inconclusive_and_say_so() -> None:
    nothing = compare("b", None, None, None, 0.03)
    assert (nothing.verdict, nothing.change) == ("inconclusive", None)
    assert "undisturbed" in nothing.note
    single = screen("b", blocks([0.0]), 0.03)
    one = compare("b", single, None, None, 0.03)
    assert (one.verdict, one.sigma, one.detectable, one.low) == ("inconclusive", None, None, None)
    assert "only one block" in one.note
    lost = compare("b", screened(0.03), confirmed(0.05, n=6), None, 0.03)
    assert (lost.verdict, lost.detectable) == ("inconclusive", None)
    assert lost.note == "6 usable blocks are too few to confirm anything"
    gone = confirm({"b": []}, 0.03, ALPHA)["b"]
    assert compare("b", screened(0.03), gone, None, 0.03).verdict == "inconclusive"


@given(
    st.lists(st.floats(-0.2, 0.2), max_size=5),
    st.none() | st.lists(st.floats(-0.2, 0.2), max_size=12),
)
def test_a_comparison_never_holds_what_json_has_no_word_for(
    seen: list[float], fresh: list[float] | None
) -> None:
    test = None if fresh is None else confirm({"b": fresh}, 0.03, ALPHA)["b"]
    json.dumps(
        asdict(compare("b", screen("b", blocks(seen), 0.03), test, None, 0.03)), allow_nan=False
    )
