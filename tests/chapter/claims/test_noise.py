"""C11 to C13 on made-up times, on the table and on its surrogate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from flopline.chapter.claims.measurements.turns import EPOCH_STRATEGIES, epoch_case
from flopline.chapter.claims.noise import whitened
from flopline.chapter.claims.register import CLAIMS
from flopline.data import surrogate

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


@pytest.mark.parametrize(
    ("speedups", "answer"),
    [
        # An epoch with minibatches of 100 has a hundredth of the updates, so an update that takes
        # more than 10 times as long is an epoch that is less than 10 times as fast.
        ((5.0, 5.0, 5.0), "confirmed"),
        ((50.0, 50.0, 50.0), "refuted"),
        ((5.0, 50.0, 50.0), "depends on the machine"),
    ],
)
def test_the_cost_of_an_update_is_compared_in_every_way_to_run_it(
    measurements: Measurements, speedups: tuple[float, ...], answer: str
) -> None:
    measurements.epochs = {}
    for strategy, speedup in zip(EPOCH_STRATEGIES, speedups, strict=True):
        measurements.epochs[epoch_case(strategy, 1).name] = [speedup] * 15
        measurements.epochs[epoch_case(strategy, 100).name] = [1.0] * 15
    assert CLAIMS["C12"].assess(measurements).answer == answer


def test_whitened_rows_have_mean_zero_and_covariance_one() -> None:
    white = whitened(surrogate("a test").X)
    assert white.mean(0).abs().max() < 1e-12
    covariance = torch.cov(white.t(), correction=0)
    assert torch.allclose(covariance, torch.eye(5, dtype=torch.float64), atol=1e-12)


def test_whitening_would_have_helped(measurements: Measurements) -> None:
    measured = CLAIMS["C13"].assess(measurements).measured
    numbers = {quantity.what: quantity.value for quantity in measured}
    correlation = numbers["largest correlation of two features"]
    assert correlation == pytest.approx(0.753215013537717, abs=1e-9)
    loss = numbers["loss after one step of lr 1, whitened"]
    assert loss == pytest.approx(0.24168795509193775, abs=1e-12)


def test_the_noise_falls_as_the_root_of_the_size(over_seeds: Measurements) -> None:
    measured = CLAIMS["C11"].assess(over_seeds).measured
    slope = measured[0]
    assert slope.what == "slope with replacement"
    assert slope.low < -0.5 < slope.high
    without_noise = measured[-1]
    assert without_noise.what == "without replacement over with, 1500"
    assert without_noise.value == pytest.approx(0, abs=1e-12)
