from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.judge import betting
from flopline.gate.judge.scale import robust_variance
from flopline.gate.judge.statistics import hodges_lehmann
from flopline.gate.judge.verdict import (
    FOUND,
    FOUND_IN_STAGE,
    MOST_BLOCKS,
    Confirmed,
    Sample,
    Screened,
    certain_change,
    compare,
    confirm_changes,
    detectable,
    is_futile,
    is_hopeless,
    is_unclear,
    summarise_screen,
    suspicious,
)
from flopline.gate.record import Quad, Settings
from tests.gate.support.noise import error
from tests.gate.support.samples import IDLE, blocks, quad, slower

ALPHA = 0.01
SETTINGS = Settings(detect=0.03, alpha=ALPHA)


def quads_of(ratios: list[float]) -> list[Quad]:
    return [slower(ratio) for ratio in ratios]


def screened_blocks(values: list[float]) -> Screened:
    """Returns the screen of a benchmark with these block values."""
    screened = summarise_screen({"b": blocks(values)}, SETTINGS)["b"]
    assert screened
    return screened


def look_at(values: list[float], sigma: float = 0.004) -> Confirmed:
    """Returns the test of one suspect on these block values."""
    return confirm_changes({"b": Sample(values, sigma, SETTINGS)}, SETTINGS)["b"]


# The screen


def test_the_screen_takes_the_median_of_all_quads_and_a_robust_scale() -> None:
    screened = screened_blocks([0.01, 0.02, 0.03, 0.06])
    assert (screened.id, screened.clock) == ("b", "cpu")
    assert (screened.blocks, screened.beyond) == (4, 4)
    assert screened.estimate == pytest.approx(0.025)
    assert screened.sigma == pytest.approx(robust_variance([0.01, 0.02, 0.03, 0.06]).sigma)
    assert screened.seconds == pytest.approx(4e-5)
    half = 1.645 * 1.2533 * screened.sigma / 2
    expected = math.exp(math.log(1.03) / 2 + half) - 1
    assert screened.suspected == pytest.approx(expected, rel=1e-4)


def test_a_suite_that_is_alike_steadies_the_scale_of_each_benchmark() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(0.0, 0.006, (31, 4)).tolist()
    measured = {str(number): blocks(row) for number, row in enumerate(values)}
    screened = summarise_screen(measured, SETTINGS)
    sigmas = [each.sigma for each in screened.values() if each]
    own = [robust_variance(row).sigma for row in values]
    assert np.std(np.log(sigmas)) < 0.5 * np.std(np.log(own))


def test_the_screen_counts_blocks_beyond_the_margin_in_its_own_direction() -> None:
    assert screened_blocks([-0.02, -0.03, 0.02, -0.005]).beyond == 2


def test_a_batch_without_a_reading_does_not_hide_the_seconds_per_call() -> None:
    quads = [quad(IDLE, IDLE), slower(0.0), slower(0.0), slower(0.0)]
    screened = summarise_screen({"b": [quads] * 2}, SETTINGS)["b"]
    assert screened
    assert screened.seconds == pytest.approx(4e-5)


def test_a_screen_without_usable_blocks_gives_nothing() -> None:
    nothing: list[list[list[Quad]]] = [[], [[quad(IDLE, IDLE)]]]
    for measured in nothing:
        assert summarise_screen({"b": measured}, SETTINGS) == {"b": None}


def test_the_screen_suspects_what_it_says_it_suspects_and_covers_it() -> None:
    generator, runs, count, sigma = np.random.default_rng(5), 40, 31, 0.006
    true = SETTINGS.suspicion + 1.645 * 1.2533 * sigma / 2
    within = 0.6 * sigma * math.sqrt(3 / (math.pi / 2))
    suspected = covered = 0
    for _ in range(runs):
        of_blocks = generator.normal(true, 0.8 * sigma, (count, 4, 1))
        ratios = of_blocks + generator.normal(0, within, (count, 4, 3))
        measured = {}
        for number, values in enumerate(ratios.tolist()):
            measured[str(number)] = [quads_of(block) for block in values]
        for screened in summarise_screen(measured, SETTINGS).values():
            assert screened
            suspected += suspicious(screened, SETTINGS) == "slower"
            covered += screened.low <= true <= screened.high
    tolerance = error(0.95, runs * count)
    assert suspected / (runs * count) >= 0.95 - tolerance
    assert 0.94 - tolerance <= covered / (runs * count) <= 0.985


@pytest.mark.parametrize(
    ("factor", "direction"),
    [(0.51, "slower"), (0.49, None), (0, None), (-0.51, None), (-0.99, None), (-1.01, "faster")],
)
def test_slower_is_suspected_from_half_of_detect_and_faster_from_all_of_it(
    factor: float, direction: str | None
) -> None:
    estimate = factor * math.log1p(0.03)
    screened = screened_blocks([estimate, estimate, estimate + 1e-6])
    assert suspicious(screened, SETTINGS) == direction


def test_one_block_alone_raises_no_suspicion() -> None:
    screened = screened_blocks([0.5])
    assert math.isnan(screened.sigma)
    assert suspicious(screened, SETTINGS) is None


@pytest.mark.parametrize(
    ("values", "unclear"),
    [
        ([0.0, 0.001, 0.0, 0.001], False),  # nothing is suspicious, and nothing could hide
        ([-0.03, 0.02, 0.03, -0.02], True),  # a slowdown could hide
        ([0.05, 0.051, 0.05, 0.051], False),  # it is slower
        ([0.0, 0.03, 0.02, 0.05], True),  # the suspicion may go away
        ([-0.05, -0.051, -0.05, -0.051], False),  # it is faster
        ([-0.01, -0.05, -0.04, -0.06], False),  # its test will tell
        ([0.0], True),  # nothing tells how far it may be off
    ],
)
def test_a_screen_is_unclear_while_more_blocks_may_change_it(
    values: list[float], unclear: bool
) -> None:
    assert is_unclear(screened_blocks(values), SETTINGS) == unclear


def test_a_change_is_certain_up_to_the_near_end_of_its_interval() -> None:
    large = screened_blocks([0.36, 0.44, 0.40, 0.38])
    small = screened_blocks([-0.02, 0.06, 0.02, 0.04])
    faster = screened_blocks([-0.36, -0.44, -0.40, -0.38])
    assert certain_change(large) == pytest.approx(large.low)
    assert certain_change(faster) == pytest.approx(certain_change(large), abs=0.02)
    assert certain_change(small) == 0


# Confirming


def test_confirm_summarises_and_decides() -> None:
    generator = np.random.default_rng(19)
    values = {
        "slow": generator.normal(0.03, 0.004, 12).tolist(),
        "same": generator.normal(0.0, 0.004, 12).tolist(),
        "lost": [0.03] * 7,
        "gone": [],
    }
    samples = {name: Sample(sample, 0.004, SETTINGS) for name, sample in values.items()}
    results = confirm_changes(samples, SETTINGS)
    assert list(results) == list(values)
    assert [name for name, result in results.items() if result.rejected] == ["slow"]
    slow = results["slow"]
    assert (slow.limit, slow.beyond, slow.blocks) == (ALPHA / 4, 12, 12)
    rate = betting.best_rate(0.004, SETTINGS)
    assert slow.p == betting.p_values(values["slow"], SETTINGS.margin, rate) < ALPHA / 4
    assert slow.estimate == hodges_lehmann(values["slow"])
    assert slow.low < slow.estimate < slow.high
    assert (results["gone"].p, results["gone"].blocks) == (1.0, 0)
    assert math.isnan(results["gone"].high)
    assert confirm_changes({}, SETTINGS) == {}


def test_equal_values_at_the_margin_are_not_rejected() -> None:
    assert look_at([SETTINGS.margin] * 12).p == 1


@pytest.mark.parametrize("count", [4, 8, 12, 28])
def test_the_interval_covers_as_often_as_it_says(count: int) -> None:
    runs = 2000
    covered = 0
    for values in np.random.default_rng(18).normal(0.0, 0.006, (runs, count)).tolist():
        result = look_at(values, 0.006)
        covered += result.low <= 0 <= result.high
    assert 0.94 - error(0.95, runs) <= covered / runs <= 0.98


def test_a_refuted_suspicion_is_given_up_early_and_a_real_one_hardly_ever() -> None:
    runs = 500
    given_up = {}
    for true in (0.0, math.log(1.03)):
        number = 0
        for values in np.random.default_rng(6).normal(true, 0.008, (runs, 12)).tolist():
            looks = [look_at(values[:count], 0.008) for count in range(1, 13)]
            number += any(is_futile(look, SETTINGS) for look in looks)
        given_up[true] = number / runs
    assert given_up[0.0] > 0.8
    assert given_up[math.log(1.03)] < 0.01


def test_a_suspicion_is_hopeless_only_where_blocks_would_hardly_ever_reject() -> None:
    runs = 150
    of = 28
    hopeless = {}
    rejected_later = 0
    for sigma in (0.01, 0.06):
        number = 0
        change = math.log(1.03)
        for values in np.random.default_rng(7).normal(change, sigma, (runs, of)).tolist():
            looks = [look_at(values[:count], sigma) for count in range(4, of + 1, 4)]
            given_up = [is_hopeless(look, of - look.blocks, SETTINGS) for look in looks]
            number += any(given_up)
            rejected_later += any(given_up) and looks[-1].rejected
        hopeless[sigma] = number / runs
    assert hopeless[0.01] < 0.02
    assert hopeless[0.06] > 0.8
    assert rejected_later / runs < 0.03


# The verdict


def screened(estimate: float, sigma: float = 0.004, count: int = 4) -> Screened:
    """Returns a screen with exactly this median, and a standard deviation of about sigma."""
    scores = np.linspace(-1.16, 1.16, count)
    return screened_blocks([estimate + sigma * score for score in scores])


def confirmed(change: float, sigma: float = 0.004, count: int = 12) -> Confirmed:
    """Returns a test of values with exactly this mean and standard deviation."""
    scores = np.random.default_rng(21).standard_normal(count)
    scores = (scores - scores.mean()) / scores.std(ddof=1)
    return look_at((change + sigma * scores).tolist(), sigma)


def test_a_rejected_slowdown_is_a_regression() -> None:
    test = confirmed(0.03)
    row = compare("b", screened(0.03), test, None, SETTINGS)
    assert (row.verdict, row.stage, row.note) == ("regressed", "confirm", "")
    assert (row.blocks, row.beyond, row.p) == (12, 12, test.p)
    assert row.change == pytest.approx(0.03, abs=0.002)
    assert (row.low, row.high) == (math.expm1(test.low), math.expm1(test.high))
    assert (row.limit, row.sigma) == (ALPHA, test.sigma)
    assert row.clock == "cpu"
    assert row.seconds == pytest.approx(4e-5)


def test_a_rejected_speed_up_is_an_improvement_with_negative_numbers() -> None:
    row = compare("b", screened(-0.03), None, confirmed(0.03), SETTINGS)
    assert (row.verdict, row.stage) == ("improved", "confirm")
    assert row.low is not None
    assert row.change is not None
    assert row.high is not None
    assert row.low < row.change < row.high < 0


def test_an_unconfirmed_suspicion_is_unchanged_if_detect_was_detectable() -> None:
    row = compare("b", screened(0.02), confirmed(0.005), None, SETTINGS)
    assert (row.verdict, row.stage) == ("unchanged", "confirm")
    assert row.detectable is not None
    assert row.detectable <= 0.03


def test_noise_that_hides_detect_is_inconclusive() -> None:
    noisy = screened(0.02, sigma=0.03)
    row = compare("b", noisy, confirmed(0.015, sigma=0.03), None, SETTINGS)
    assert row.verdict == "inconclusive"
    assert row.detectable is not None
    assert row.detectable > 0.03


def test_an_interval_that_reaches_detect_is_never_called_unchanged() -> None:
    missed = replace(confirmed(0.028, count=5), p=0.02, rejected=False)
    assert missed.high > math.log(1.03)
    assert compare("b", screened(0.03), missed, None, SETTINGS).verdict == "inconclusive"


def test_the_screen_alone_finds_unchanged_or_inconclusive() -> None:
    row = compare("b", screened(0.001), None, None, SETTINGS)
    assert (row.verdict, row.stage, row.blocks) == ("unchanged", "screen", 4)
    assert (row.p, row.note) == (None, "")
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0.001 < row.high
    noisy = compare("b", screened(0.001, sigma=0.02), None, None, SETTINGS)
    assert noisy.verdict == "inconclusive"


def test_of_two_tests_the_one_that_rejected_decides() -> None:
    slow, none = confirmed(0.03), confirmed(-0.03)
    assert compare("b", screened(0.03), slow, none, SETTINGS).verdict == "regressed"
    assert compare("b", screened(-0.03), none, slow, SETTINGS).verdict == "improved"


def test_detectable_is_what_screen_and_test_find_together_nine_times_in_ten() -> None:
    quiet = screened(0.001)
    row = compare("b", quiet, None, None, SETTINGS, tests=3)
    assert row.detectable_probability == FOUND == 0.9
    by_test = betting.detectable(quiet.sigma, MOST_BLOCKS, 3, SETTINGS, quantile=FOUND_IN_STAGE)
    assert row.detectable == detectable(quiet, SETTINGS, tests=3) == max(quiet.suspected, by_test)
    noisy = screened(0.001, sigma=0.03)
    assert detectable(noisy, SETTINGS, tests=3) > detectable(quiet, SETTINGS, tests=3)
    assert compare("b", None, None, None, SETTINGS).detectable_probability is None


@pytest.mark.parametrize(("estimate", "word"), [(0.02, "slower"), (-0.04, "faster")])
def test_a_suspicion_that_was_not_followed_is_inconclusive(estimate: float, word: str) -> None:
    row = compare("b", screened(estimate), None, None, SETTINGS)
    assert row.verdict == "inconclusive"
    assert row.note == f"looked {word} in the screen and was not confirmed"


def test_too_few_usable_numbers_are_inconclusive_and_the_note_explains_it() -> None:
    nothing = compare("b", None, None, None, SETTINGS)
    assert (nothing.verdict, nothing.change) == ("inconclusive", None)
    assert nothing.note == "no block of the screen has usable readings"
    assert compare("b", None, None, None, SETTINGS, note="too slow").note == "too slow"
    single = compare("b", screened_blocks([0.0]), None, None, SETTINGS)
    assert (single.verdict, single.sigma, single.detectable) == ("inconclusive", None, None)
    assert single.low is None
    assert "only one block" in single.note
    slow = compare("b", screened_blocks([0.0]), None, None, SETTINGS, note="too slow")
    assert slow.note == "too slow"
    gone = compare("b", screened(0.03), look_at([]), None, SETTINGS, planned=12)
    assert (gone.verdict, gone.stage) == ("inconclusive", "screen")


def test_a_row_explains_that_the_budget_ended_before_its_test() -> None:
    short = compare("b", screened(0.02), confirmed(0.015, count=5), None, SETTINGS, planned=20)
    assert (short.verdict, short.planned) == ("inconclusive", 20)
    assert short.note == "looked slower; the budget ended after 5 of about 20 blocks"
    decided = compare("b", screened(0.03), confirmed(0.03), None, SETTINGS, planned=20)
    assert (decided.verdict, decided.planned, decided.note) == ("regressed", 20, "")


def test_what_looked_faster_and_was_not_confirmed_says_so() -> None:
    row = compare("b", screened(-0.04), None, look_at([0.0] * 12), SETTINGS)
    assert (row.verdict, row.note) == ("inconclusive", "looked faster, which was not confirmed")


@given(
    st.lists(st.floats(-0.2, 0.2), max_size=5),
    st.none() | st.lists(st.floats(-0.2, 0.2), max_size=12),
)
def test_a_comparison_holds_only_numbers_that_json_has_words_for(
    seen: list[float], fresh: list[float] | None
) -> None:
    test = None if fresh is None else look_at(fresh)
    screened = summarise_screen({"b": blocks(seen)}, SETTINGS)["b"]
    row = compare("b", screened, test, None, SETTINGS)
    json.dumps(asdict(row), allow_nan=False)
