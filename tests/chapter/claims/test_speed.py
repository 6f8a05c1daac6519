"""C18 and C20 to C24 on made-up times of epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.chapter.claims.measurements.turns import EPOCH_STRATEGIES, epoch_case
from flopline.chapter.claims.register import CLAIMS

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements

LOOP = {1: 1500.0, 10: 150.0, 100: 15.0, 1500: 1.0}
"""Seconds of an epoch by its minibatch size, if every update costs the same."""

LOADER = {1: 1600.0, 10: 250.0, 100: 115.0, 1500: 120.0}
"""Seconds of an epoch by its minibatch size, if fetching the examples costs most."""


def put(measurements: Measurements, *ways: dict[int, float]) -> None:
    """Puts made-up times of epochs into measurements, one table for each way to run an epoch."""
    measurements.epochs = {}
    for strategy, seconds in zip(EPOCH_STRATEGIES, ways, strict=True):
        for size, value in seconds.items():
            measurements.epochs[epoch_case(strategy, size).name] = [value] * 15


@pytest.mark.parametrize("name", ["C18", "C22"])
def test_an_epoch_that_is_longer_in_every_way_confirms(
    measurements: Measurements, name: str
) -> None:
    put(measurements, LOADER, LOOP, LOOP)
    assert CLAIMS[name].assess(measurements).answer == "confirmed"


@pytest.mark.parametrize("name", ["C18", "C22"])
def test_ways_that_disagree_depend_on_the_machine(measurements: Measurements, name: str) -> None:
    reversed_loop = {1: 1.0, 10: 2.0, 100: 3.0, 1500: 4.0}
    put(measurements, LOADER, LOOP, reversed_loop)
    assert CLAIMS[name].assess(measurements).answer == "depends on the machine"


@pytest.mark.parametrize(
    ("ways", "answer"),
    [
        ((LOADER, LOADER, LOADER), "confirmed"),
        ((LOADER, LOOP, LOOP), "depends on the machine"),
        ((LOOP, LOOP, LOOP), "refuted"),
    ],
)
def test_an_epoch_of_hundreds_must_beat_both_of_the_others(
    measurements: Measurements, ways: tuple[dict[int, float], ...], answer: str
) -> None:
    put(measurements, *ways)
    assert CLAIMS["C21"].assess(measurements).answer == answer


def test_a_time_to_a_loss_is_epochs_times_seconds_per_epoch(measurements: Measurements) -> None:
    put(measurements, LOOP, LOOP, LOOP)
    finding = CLAIMS["C23"].assess(measurements)
    assert finding.answer == "confirmed"
    sizes = {quantity.what: quantity for quantity in finding.measured}
    quantity = sizes["time to L* + 5%, batch10 over sgd, manual"]
    # Both need about the same number of epochs, and an epoch of SGD takes 10 times as long.
    assert quantity.value == pytest.approx(0.1, rel=0.2)


def test_sgd_needs_fewer_epochs_but_more_time_than_gradient_descent(
    measurements: Measurements,
) -> None:
    put(measurements, LOOP, LOOP, LOOP)
    assert CLAIMS["C20"].assess(measurements).answer == "confirmed"
    same = dict.fromkeys(LOOP, 1.0)
    put(measurements, same, same, same)
    assert CLAIMS["C20"].assess(measurements).answer == "refuted"


def test_losses_that_gradient_descent_rarely_reaches_are_left_out(
    measurements: Measurements,
) -> None:
    put(measurements, LOOP, LOOP, LOOP)
    names = {quantity.what for quantity in CLAIMS["C24"].assess(measurements).measured}
    assert "time to L* + 5%, batch100 over gd, manual" in names
    for distance in ("1%", "2%"):
        assert f"time to L* + {distance}, batch100 over gd, manual" not in names
        for rate in ("0.9", "0.905"):
            assert f"time to L* + {distance}, batch100 over gd at lr {rate}, manual" in names
