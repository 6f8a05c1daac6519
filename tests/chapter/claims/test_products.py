"""C7 to C10 on made-up times of products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.chapter.claims.measurements.turns import (
    BLOCK_WIDTHS,
    product_case,
    tiny_element_loop,
)
from flopline.chapter.claims.register import CLAIMS

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


def put(measurements: Measurements, element: float, column: float, block: float) -> None:
    """Puts made-up times of products into measurements; the whole product takes one second."""
    tiny = tiny_element_loop()
    seconds = {
        product_case("element_assign").name: element,
        product_case("column_assign").name: column,
        product_case("full").name: 1.0,
        product_case("column_block_assign", 64).name: block,
        tiny.case.name: tiny.calls * 1e-3,
    }
    for width in BLOCK_WIDTHS:
        seconds[product_case("column_block", width).name] = block
    measurements.products = {name: [value] * 15 for name, value in seconds.items()}


def test_the_traffic_halves_and_the_share_of_calls_is_shown(measurements: Measurements) -> None:
    put(measurements, element=100.0, column=4.0, block=1.0)
    finding = CLAIMS["C7"].assess(measurements)
    numbers = {quantity.what: quantity.value for quantity in finding.measured}
    assert finding.answer == "confirmed"
    assert numbers["bytes requested, element over column"] == pytest.approx(1.988, abs=0.001)
    assert numbers["time, element over column"] == 25
    share = numbers["share of the element loop's time that calls cost"]
    assert share == pytest.approx(256 * 256 * 1e-3 / 100)
    assert numbers["one call"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("element", "column", "answer"),
    [(100.0, 4.0, "confirmed"), (6.0, 4.0, "refuted"), (100.0, 1.5, "refuted")],
)
def test_both_steps_of_the_ladder_must_gain_a_factor_of_two(
    measurements: Measurements, element: float, column: float, answer: str
) -> None:
    put(measurements, element=element, column=column, block=1.0)
    assert CLAIMS["C8"].assess(measurements).answer == answer


@pytest.mark.parametrize(("block", "answer"), [(1.2, "confirmed"), (1.5, "refuted")])
def test_blocks_may_take_a_third_longer_than_the_whole(
    measurements: Measurements, block: float, answer: str
) -> None:
    put(measurements, element=100.0, column=4.0, block=block)
    assert CLAIMS["C9"].assess(measurements).answer == answer


def test_intervals_that_contain_the_bound_decide_nothing(measurements: Measurements) -> None:
    put(measurements, element=100.0, column=4.0, block=1.0)
    chapter = product_case("column_block_assign", 64).name
    measurements.products[chapter] = [1.0, 2.0, 1.3] * 5
    assert CLAIMS["C9"].assess(measurements).answer == "depends on the machine"


def test_neither_count_of_the_editions_is_near(measurements: Measurements) -> None:
    count, early, later = CLAIMS["C10"].assess(measurements).measured
    assert count.value == 33_554_432
    assert early.value == pytest.approx(59.6, abs=0.01)
    assert later.value == pytest.approx(0.894, abs=0.001)
