from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.judge.statistics import LOOKS, blocks_needed, detectable, hodges_lehmann
from flopline.gate.judge.verdict import (
    REJECTED,
    SUSPECTED,
    Confirmed,
    Screened,
    certain_change,
    compare,
    confirm_changes,
    is_near_miss,
    is_unclear,
    summarise_screen,
    suspicious,
)
from flopline.gate.record import Quad, Settings
from tests.gate.support.samples import IDLE, blocks, quad, slower

ALPHA = 0.01
SETTINGS = Settings(detect=0.03, alpha=LOOKS * ALPHA)
"""Settings in which every look has an error rate of ALPHA."""


def quads_of(ratios: list[float]) -> list[Quad]:
    return [slower(ratio) for ratio in ratios]


def screened_blocks(values: list[float]) -> Screened:
    """Returns the screen of a benchmark with these block values."""
    screened = summarise_screen("b", blocks(values), SETTINGS)
    assert screened
    return screened


# The screen


def test_the_screen_takes_the_median_of_all_quads_and_the_sd_of_the_blocks() -> None:
    screened = screened_blocks([0.01, 0.02, 0.03, 0.06])
    assert (screened.id, screened.clock) == ("b", "cpu")
    assert (screened.blocks, screened.beyond) == (4, 4)
    assert screened.estimate == pytest.approx(0.025)
    assert screened.sigma == pytest.approx(statistics.stdev([0.01, 0.02, 0.03, 0.06]))
    assert screened.seconds == pytest.approx(4e-5)
    error = 1.645 * 1.2533 * screened.sigma / 2
    expected = math.exp(math.log(1.03) / 2 + error) - 1
    assert screened.detectable == pytest.approx(expected, rel=1e-4)


def test_the_screen_counts_blocks_beyond_the_margin_in_its_own_direction() -> None:
    assert screened_blocks([-0.02, -0.03, 0.02, -0.005]).beyond == 2


def test_a_batch_without_a_reading_does_not_hide_the_seconds_per_call() -> None:
    quads = [quad(IDLE, IDLE), slower(0.0), slower(0.0), slower(0.0)]
    screened = summarise_screen("b", [quads] * 2, SETTINGS)
    assert screened
    assert screened.seconds == pytest.approx(4e-5)


def test_a_screen_without_usable_blocks_gives_nothing() -> None:
    assert summarise_screen("b", [], SETTINGS) is None
    assert summarise_screen("b", [[quad(IDLE, IDLE)]], SETTINGS) is None


def test_the_screen_suspects_what_it_calls_detectable_and_covers_it() -> None:
    generator, runs, sigma = np.random.default_rng(5), 1500, 0.006
    true = SETTINGS.suspicion + 1.645 * 1.2533 * sigma / 2
    within = 0.6 * sigma * math.sqrt(3 / (math.pi / 2))
    suspected = covered = 0
    for _ in range(runs):
        of_blocks = generator.normal(true, 0.8 * sigma, (4, 1))
        ratios = of_blocks + generator.normal(0, within, (4, 3))
        quads = [quads_of(block) for block in ratios.tolist()]
        screened = summarise_screen("b", quads, SETTINGS)
        assert screened
        suspected += suspicious(screened, SETTINGS) == "slower"
        covered += screened.low <= true <= screened.high
    error = 3 * math.sqrt(0.95 * 0.05 / runs)
    assert suspected / runs >= SUSPECTED - error
    assert 0.95 - error <= covered / runs <= 0.98


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
        ([-0.01, -0.05, -0.04, -0.06], True),
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
    assert blocks_needed(0.034, 5, SETTINGS, at_least=certain_change(large)) == 12


# Confirming


def test_confirm_summarises_and_decides() -> None:
    generator = np.random.default_rng(19)
    values = {
        "slow": generator.normal(0.03, 0.004, 12).tolist(),
        "same": generator.normal(0.0, 0.004, 12).tolist(),
        "lost": [0.03] * 7,
        "gone": [],
    }
    results = confirm_changes(values, SETTINGS)
    assert list(results) == list(values)
    assert [name for name, result in results.items() if result.rejected] == ["slow"]
    slow = results["slow"]
    assert (slow.p, slow.limit, slow.beyond, slow.blocks) == (0.5**12, ALPHA / 4, 12, 12)
    assert (slow.estimate, slow.low, slow.high) == hodges_lehmann(values["slow"])
    assert slow.sigma == pytest.approx(statistics.stdev(values["slow"]))
    assert slow.detectable == detectable(slow.sigma, 12, 4, SETTINGS)
    assert (results["lost"].p, results["lost"].detectable) == (0.5**7, math.inf)
    assert (results["gone"].p, results["gone"].blocks) == (1.0, 0)
    assert confirm_changes({}, SETTINGS) == {}


def test_equal_values_at_the_margin_are_not_rejected() -> None:
    assert confirm_changes({"b": [SETTINGS.margin] * 12}, SETTINGS)["b"].p == 1


def test_a_near_miss_was_not_rejected_and_has_a_p_value_of_at_most_a_tenth() -> None:
    samples = np.random.default_rng(23).normal(math.log(1.03), 0.02, (200, 12)).tolist()
    results = [confirm_changes({"b": sample}, SETTINGS)["b"] for sample in samples]
    kinds = {(result.rejected, is_near_miss(result)) for result in results}
    assert kinds == {(True, False), (False, True), (False, False)}
    for result in results:
        assert is_near_miss(result) == (ALPHA < result.p <= 0.1)


# The verdict


def screened(estimate: float, sigma: float = 0.004, count: int = 4) -> Screened:
    """Returns a screen with exactly this median, and a standard deviation of about sigma."""
    scores = np.linspace(-1.16, 1.16, count)
    return screened_blocks([estimate + sigma * score for score in scores])


def confirmed(change: float, sigma: float = 0.004, count: int = 12) -> Confirmed:
    """Returns a test of values with exactly this mean and standard deviation."""
    scores = np.random.default_rng(21).standard_normal(count)
    scores = (scores - scores.mean()) / scores.std(ddof=1)
    return confirm_changes({"b": (change + sigma * scores).tolist()}, SETTINGS)["b"]


def test_a_rejected_slowdown_is_a_regression() -> None:
    test = confirmed(0.03)
    row = compare("b", screened(0.03), test, None, SETTINGS)
    assert (row.verdict, row.stage, row.note) == ("regressed", "confirm", "")
    assert (row.blocks, row.beyond, row.p) == (12, 12, 0.5**12)
    assert row.change == pytest.approx(0.03, abs=0.002)
    assert (row.low, row.high) == (math.expm1(test.low), math.expm1(test.high))
    assert (row.limit, row.detectable, row.sigma) == (ALPHA, test.detectable, test.sigma)
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
    row = compare("b", screened(0.02), confirmed(0.015, sigma=0.03), None, SETTINGS)
    assert row.verdict == "inconclusive"
    assert row.detectable is not None
    assert row.detectable > 0.03


def test_an_estimate_beyond_detect_is_never_called_unchanged() -> None:
    missed = replace(confirmed(0.032), p=0.02, rejected=False)
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


def test_a_detectable_slowdown_has_the_probability_of_its_stage() -> None:
    by_screen = compare("b", screened(0.001), None, None, SETTINGS)
    assert by_screen.detectable_probability == SUSPECTED == 0.95
    by_test = compare("b", screened(0.03), confirmed(0.03), None, SETTINGS)
    assert by_test.detectable_probability == REJECTED == 0.9
    # A test for "faster" does not know which slowdown it would have detected, but the screen does.
    faster = screened(-0.03)
    improved = compare("b", faster, None, confirmed(0.03), SETTINGS)
    assert (improved.detectable, improved.detectable_probability) == (faster.detectable, SUSPECTED)
    assert compare("b", None, None, None, SETTINGS).detectable_probability is None


@pytest.mark.parametrize(("estimate", "word"), [(0.02, "slower"), (-0.04, "faster")])
def test_a_suspicion_that_was_not_followed_is_inconclusive(estimate: float, word: str) -> None:
    row = compare("b", screened(estimate), None, None, SETTINGS)
    assert row.verdict == "inconclusive"
    assert row.note == f"looked {word} in the screen and was not confirmed"


def test_too_few_usable_numbers_are_inconclusive_and_the_note_explains_it() -> None:
    nothing = compare("b", None, None, None, SETTINGS)
    assert (nothing.verdict, nothing.change) == ("inconclusive", None)
    assert "undisturbed" in nothing.note
    single = compare("b", screened_blocks([0.0]), None, None, SETTINGS)
    assert (single.verdict, single.sigma, single.detectable) == ("inconclusive", None, None)
    assert single.low is None
    assert "only one block" in single.note
    lost = compare("b", screened(0.03), confirmed(0.05, count=6), None, SETTINGS)
    assert (lost.verdict, lost.detectable) == ("inconclusive", None)
    assert lost.note == "6 usable blocks are too few to confirm anything"
    gone = confirm_changes({"b": []}, SETTINGS)["b"]
    assert compare("b", screened(0.03), gone, None, SETTINGS).verdict == "inconclusive"


def test_a_row_holds_its_planned_blocks_and_explains_if_there_were_fewer() -> None:
    noisy = confirmed(0.015, sigma=0.03)
    whole = compare("b", screened(0.02), noisy, None, SETTINGS, planned=12)
    assert (whole.verdict, whole.planned, whole.note) == ("inconclusive", 12, "")
    short = compare("b", screened(0.02), noisy, None, SETTINGS, planned=20)
    assert (short.planned, short.note) == (20, "12 usable blocks of 20 planned")
    decided = compare("b", screened(0.03), confirmed(0.03), None, SETTINGS, planned=20)
    assert (decided.verdict, decided.planned, decided.note) == ("regressed", 20, "")


@given(
    st.lists(st.floats(-0.2, 0.2), max_size=5),
    st.none() | st.lists(st.floats(-0.2, 0.2), max_size=12),
)
def test_a_comparison_holds_only_numbers_that_json_has_words_for(
    seen: list[float], fresh: list[float] | None
) -> None:
    test = None if fresh is None else confirm_changes({"b": fresh}, SETTINGS)["b"]
    row = compare("b", summarise_screen("b", blocks(seen), SETTINGS), test, None, SETTINGS)
    json.dumps(asdict(row), allow_nan=False)
