"""Intervals cover what they should, and answers follow from intervals that separate."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from flopline.chapter.claims.evidence import (
    CONFIDENCE,
    Quantity,
    all_hold,
    difference,
    exact,
    holds_in_every_setting,
    mean,
    median,
    multiplied,
    ratio,
)

RUNS = 2000


def least_coverage(share: float) -> float:
    """Returns the nominal coverage less four standard errors of this simulation."""
    return share - 4 * math.sqrt(share * (1 - share) / RUNS)


@pytest.mark.parametrize("n", [8, 15, 40])
def test_the_interval_of_a_median_covers_it_for_skewed_samples(n: int) -> None:
    generator = np.random.default_rng(n)
    hits = 0
    for _ in range(RUNS):
        quantity = median("", generator.exponential(size=n).tolist())
        hits += quantity.low <= math.log(2) <= quantity.high
    assert hits / RUNS >= least_coverage(CONFIDENCE)


def test_the_median_of_fifteen_lies_between_the_third_and_the_thirteenth() -> None:
    quantity = median("", [float(x) for x in range(1, 16)])
    assert (quantity.low, quantity.value, quantity.high) == (3, 8, 13)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_few_samples_have_their_range_as_interval(n: int) -> None:
    quantity = median("", [float(x) for x in range(n, 0, -1)])
    assert (quantity.low, quantity.value, quantity.high) == (1, (n + 1) / 2, n)


def test_the_intervals_of_means_and_differences_cover_them() -> None:
    generator = np.random.default_rng(1)
    mean_hits = difference_hits = 0
    for _ in range(RUNS):
        first = generator.normal(5, 1, 12).tolist()
        second = generator.normal(3, 4, 12).tolist()
        average = mean("", first)
        gap = difference("", first, second)
        mean_hits += average.low <= 5 <= average.high
        difference_hits += gap.low <= 2 <= gap.high
        assert average.value == pytest.approx(statistics.fmean(first))
    assert mean_hits / RUNS >= least_coverage(CONFIDENCE)
    assert difference_hits / RUNS >= least_coverage(CONFIDENCE)


def test_a_ratio_pairs_the_rounds() -> None:
    drift = [1.0, 10.0, 100.0, 1000.0] * 4
    quantity = ratio("", [2 * value for value in drift], drift)
    assert (quantity.low, quantity.value, quantity.high) == (2, 2, 2)


def test_a_product_covers_both_intervals() -> None:
    quantity = multiplied("", Quantity("", 2, 1, 3), Quantity("", 5, 4, 6))
    assert (quantity.low, quantity.value, quantity.high) == (4, 10, 18)


def test_a_bound_is_decided_only_by_an_interval_beside_it() -> None:
    quantity = Quantity("", 2, 1, 3)
    assert [quantity.above(bound) for bound in (0.5, 2, 4)] == [True, None, False]
    assert [quantity.below(bound) for bound in (0.5, 2, 4)] == [False, None, True]
    assert exact("", 2).above(1) is True


@pytest.mark.parametrize(
    ("conditions", "of_all", "of_settings"),
    [
        ((True, True), "confirmed", "confirmed"),
        ((False, False), "refuted", "refuted"),
        ((True, False), "refuted", "depends on the machine"),
        ((True, None), "depends on the machine", "depends on the machine"),
        ((None, False), "refuted", "depends on the machine"),
        ((), "confirmed", "not testable here"),
    ],
)
def test_several_conditions_make_one_answer(
    conditions: tuple[bool | None, ...], of_all: str, of_settings: str
) -> None:
    assert all_hold(*conditions) == of_all
    assert holds_in_every_setting(*conditions) == of_settings
