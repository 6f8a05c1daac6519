"""Intervals cover what they should, and verdicts follow from intervals that separate."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from flopline.chapter.claims.evidence import (
    CONFIDENCE,
    Quantity,
    difference,
    everywhere,
    exact,
    jointly,
    mean,
    median,
    ratio,
    times,
)

RUNS = 2000


def covered(share: float) -> float:
    """The least share of intervals that must cover: the nominal one less four standard errors of this simulation."""
    return share - 4 * math.sqrt(share * (1 - share) / RUNS)


@pytest.mark.parametrize("n", [8, 15, 40])
def test_the_interval_of_a_median_covers_it_as_often_as_stated_for_skewed_samples(n: int) -> None:
    draw = np.random.default_rng(n)
    hits = 0
    for _ in range(RUNS):
        found = median("", draw.exponential(size=n).tolist())
        hits += found.low <= math.log(2) <= found.high
    assert hits / RUNS >= covered(CONFIDENCE)


def test_the_interval_of_the_median_of_fifteen_runs_from_the_third_to_the_thirteenth() -> None:
    found = median("", [float(x) for x in range(1, 16)])
    assert (found.low, found.value, found.high) == (3, 8, 13)


def test_few_samples_have_their_range_as_interval() -> None:
    found = median("", [3.0, 1.0, 2.0])
    assert (found.low, found.value, found.high) == (1, 2, 3)


def test_the_intervals_of_means_and_differences_cover_as_often_as_stated() -> None:
    draw = np.random.default_rng(1)
    hits = [0, 0]
    for _ in range(RUNS):
        one, other = (
            draw.normal(centre, deviation, 12).tolist() for centre, deviation in ((5, 1), (3, 4))
        )
        found = mean("", one), difference("", one, other)
        for i, centre in enumerate((5, 2)):
            hits[i] += found[i].low <= centre <= found[i].high
        assert found[0].value == pytest.approx(statistics.fmean(one))
    assert min(hits) / RUNS >= covered(CONFIDENCE)


def test_a_ratio_pairs_the_rounds() -> None:
    drift = [1.0, 10.0, 100.0, 1000.0] * 4
    found = ratio("", [2 * value for value in drift], drift)
    assert (found.low, found.value, found.high) == (2, 2, 2)


def test_a_product_covers_both_intervals() -> None:
    found = times("", Quantity("", 2, 1, 3), Quantity("", 5, 4, 6))
    assert (found.low, found.value, found.high) == (4, 10, 18)


def test_a_bound_is_decided_only_by_an_interval_beside_it() -> None:
    found = Quantity("", 2, 1, 3)
    assert [found.above(bound) for bound in (0.5, 2, 4)] == [True, None, False]
    assert [found.below(bound) for bound in (0.5, 2, 4)] == [False, None, True]
    assert exact("", 2).above(1) is True


@pytest.mark.parametrize(
    ("answers", "joint", "each"),
    [
        ((True, True), "confirmed", "confirmed"),
        ((False, False), "refuted", "refuted"),
        ((True, False), "refuted", "depends on the machine"),
        ((True, None), "depends on the machine", "depends on the machine"),
        ((None, False), "refuted", "depends on the machine"),
    ],
)
def test_several_answers_make_one_verdict(
    answers: tuple[bool | None, ...], joint: str, each: str
) -> None:
    assert jointly(*answers) == joint
    assert everywhere(*answers) == each
