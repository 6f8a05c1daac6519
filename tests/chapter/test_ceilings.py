from __future__ import annotations

import math

import pytest

from flopline import machine
from flopline.chapter import ceilings
from tests.support.chapter import CEILINGS


def test_a_level_is_probed_by_what_fits_in_it() -> None:
    sizes = {"L1": 32 << 10, "L2": 1 << 20, "L3": 128 << 20}
    buffers = ceilings.working_sets(sizes, 64 << 30)
    assert list(buffers) == ["L1", "L2", "L3", "memory"]
    assert all(buffers[level] < sizes[level] for level in sizes)


def test_a_shared_cache_is_probed_by_just_what_misses_the_private_one() -> None:
    sizes = {"L1": 32 << 10, "L2": 1 << 20, "L3": 128 << 20}
    buffers = ceilings.working_sets(sizes, 64 << 30)
    assert buffers["L2"] < buffers["L3"] == 3 << 20
    small = {"L2": 2 << 20, "L3": 6 << 20}
    assert ceilings.working_sets(small, 64 << 30)["L3"] == 3 << 20
    assert ceilings.working_sets({"L1": 32 << 10}, 64 << 30)["L1"] == 8 << 10


def test_memory_is_probed_by_what_fits_in_no_cache() -> None:
    sizes = {"L1": 32 << 10, "L2": 1 << 20, "L3": 128 << 20}
    assert ceilings.working_sets(sizes, 64 << 30)["memory"] >= 4 * sum(sizes.values())
    assert ceilings.working_sets(sizes, 1 << 30)["memory"] == 1 << 27
    assert ceilings.working_sets({}, 64 << 30) == {"memory": 1 << 28}


@pytest.mark.parametrize(
    ("working_set", "level"),
    [(1, "L1"), (32 << 10, "L1"), ((32 << 10) + 1, "L2"), (1 << 30, "memory"), (1e18, "memory")],
)
def test_a_working_set_is_read_from_the_smallest_level_that_holds_it(
    working_set: float, level: str
) -> None:
    assert CEILINGS.level(working_set).name == level


HALF_WAY = 33 / ((2 / 5e9 + 64 / 80e9) / 2)
"""The rate half way between two measured widths: half way between their times."""


@pytest.mark.parametrize(
    ("rows", "columns", "rate"),
    [
        (256, 256, 100e9),
        (256, 1, 10e9),
        (1, 256, 20e9),
        (1, 1, 10e9),
        (2, 64, 40e9),
        (65, 2, 5e9),
        (256, 33, HALF_WAY),
    ],
)
def test_a_product_is_as_fast_as_its_narrower_side_allows(
    rows: int, columns: int, rate: float
) -> None:
    assert CEILINGS.as_narrow(rows, columns) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("costs", "calls", "rate"),
    [
        # An untimed call, a first rate, and ten seconds in which nothing rises.
        ([1.0] * 50, 1 + 1 + 10, 1.0),
        # A rise, and ten seconds more.
        ([1.0] * 6 + [0.5] + [1.0] * 50, 1 + 6 + 10, 2.0),
        # Half a percent is not a rise.
        ([1.0] * 6 + [0.995] + [1.0] * 50, 1 + 1 + 11, 1 / 0.995),
        # Half a percent, again and again, is one.
        ([1.01 * 0.995**i for i in range(19)] + [0.92] * 50, 1 + 18 + 10, 1 / 0.92),
        # A rate that always rises: probing ends after fifty seconds.
        ([0.985**i for i in range(500)], 1 + 95, 1 / 0.985**95),
    ],
    ids=["constant", "one rise", "too small a rise", "small rises", "always rising"],
)
def test_probes_are_repeated_until_no_rate_has_risen_for_a_while(
    costs: list[float], calls: int, rate: float
) -> None:
    now, made = 0.0, 0

    def run() -> None:
        nonlocal now, made
        now += costs[made]
        made += 1

    probe = ceilings.Probe(1, run)
    rates = ceilings.best_rates([probe], 10.0, lambda: now)
    assert made == calls
    assert rates[probe] == pytest.approx(rate)


@pytest.fixture(scope="module")
def measured() -> ceilings.Ceilings:
    return ceilings.measure_ceilings(patience=0.1)


def test_ceilings_are_measured_for_every_level_and_width(measured: ceilings.Ceilings) -> None:
    caches = machine.cache_bytes(machine.caches())
    assert [level.name for level in measured.levels] == [*caches, "memory"]
    assert tuple(product.width for product in measured.rows) == ceilings.WIDTHS
    assert tuple(product.width for product in measured.columns) == ceilings.WIDTHS


def test_ceilings_are_finite_rates_and_the_peak_is_the_highest(
    measured: ceilings.Ceilings,
) -> None:
    narrow = [product.flops for product in measured.rows + measured.columns]
    reads = [level.read for level in measured.levels]
    assert measured.flops >= max(narrow)
    for rate in [*narrow, *reads, measured.flops, measured.copy, 1 / measured.dispatch]:
        assert math.isfinite(rate)
        assert rate > 0
