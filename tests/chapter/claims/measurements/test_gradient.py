"""The noise of minibatch gradients is that of the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from flopline import sgd
from flopline.chapter.claims.measurements.gradient import NOISE_SIZES

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements
    from flopline.data import Table


def test_the_noise_of_the_gradient_is_that_of_the_theory(over_seeds: Measurements) -> None:
    assert len(over_seeds.noise) == 2 * len(NOISE_SIZES)
    for noise in over_seeds.noise:
        assert noise.measured == pytest.approx(noise.theory, rel=0.06, abs=1e-12)


def test_the_full_batch_has_noise_only_with_replacement(over_seeds: Measurements) -> None:
    table = over_seeds.table
    variance = sgd.gradient_covariance(torch.zeros(6, dtype=torch.float64), table.X, table.y)
    full_batch = {noise.sampling: noise for noise in over_seeds.noise if noise.size == 1500}
    expected = float(variance.trace() / 1500) ** 0.5
    assert full_batch["replacement"].theory == pytest.approx(expected)
    assert full_batch["shuffled"].theory == 0


def test_the_noise_of_the_real_table_is_the_published_one(
    table: Table, over_seeds: Measurements
) -> None:
    assert over_seeds.table.source.name == table.source.name
    ends = [noise.theory for noise in over_seeds.noise if noise.size == 1500]
    assert ends == [pytest.approx((6.71585016 / 1500) ** 0.5, rel=1e-6), 0.0]
