from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.judge.statistics import hodges_lehmann, holm
from flopline.gate.record import Settings


def test_the_margin_is_a_third_of_detect() -> None:
    assert Settings(detect=0.03).margin == pytest.approx(math.log(1.01))


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


# Estimate


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_estimate_is_the_median_average_of_two_values(values: list[float]) -> None:
    pairs = itertools.combinations_with_replacement(values, 2)
    averages = [(first + second) / 2 for first, second in pairs]
    assert hodges_lehmann(values) == pytest.approx(statistics.median(averages), abs=1e-12)
    mirrored = hodges_lehmann([-value for value in values])
    assert mirrored == pytest.approx(-hodges_lehmann(values), abs=1e-12)


def test_without_values_there_is_no_estimate() -> None:
    assert math.isnan(hodges_lehmann([]))
