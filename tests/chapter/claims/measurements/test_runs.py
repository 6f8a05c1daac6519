"""Losses of many runs, and the epochs until a loss is reached."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from flopline.chapter.claims.measurements import Measurements
from flopline.chapter.claims.measurements.runs import (
    BATCH100,
    GD,
    examples_at_points,
    first_reached,
)
from flopline.data import surrogate

if TYPE_CHECKING:
    from flopline.progress import Progress


def test_a_loss_is_reached_at_the_first_point_or_never() -> None:
    losses = torch.tensor([[9.0, 9.0, 1.0], [2.0, 8.0, 9.0], [1.0, 3.0, 9.0]])
    assert first_reached(losses, 2.0, [0.0, 0.5, 1.0]) == [0.5, math.inf, 0.0]


def test_points_of_a_doubled_table_count_its_examples() -> None:
    doubled = replace(BATCH100, copies=2, epochs=1, every=1500)
    assert examples_at_points(doubled, surrogate("a test")) == [0, 1500, 3000]


def test_losses_are_those_after_so_many_examples() -> None:
    measurements = Measurements(surrogate("a test"), seeds=5)
    start = measurements.losses_after(BATCH100, 0)
    end = measurements.losses_after(BATCH100, 3000)
    assert start == pytest.approx([measurements.loss.at_zero] * 5, rel=0.05)
    assert end == pytest.approx([measurements.loss.minimum] * 5, rel=0.05)


def test_runs_are_made_once() -> None:
    reported: list[Progress] = []
    measurements = Measurements(surrogate("a test"), report=reported.append, seeds=5)
    measurements.losses_after(BATCH100, 1500)
    measurements.losses_after(BATCH100, 3000)
    assert [progress.detail for progress in reported] == [": 5 runs of batch100"]


@pytest.mark.parametrize(("distance", "share"), [(0.01, 0.28), (0.02, 0.78), (0.05, 1.0)])
def test_gradient_descent_at_rate_one_comes_near_in_few_seeds(
    distance: float, share: float
) -> None:
    epochs = Measurements(surrogate("a test")).epochs_to_loss(GD, distance)
    reached = sum(math.isfinite(number) for number in epochs)
    assert reached / len(epochs) == pytest.approx(share, abs=0.01)
