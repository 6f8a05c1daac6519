"""Losses of many runs of the chapter's experiments with different seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from flopline.chapter import training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from flopline.chapter.training import Experiment
    from flopline.data import Table

GD = training.EXPERIMENTS["gd"]
SGD = training.EXPERIMENTS["sgd"]
BATCH10 = training.EXPERIMENTS["batch10"]
BATCH100 = training.EXPERIMENTS["batch100"]

SEEDS = 4000
"""Independent runs behind a comparison of losses; they tell differences of 0.0003 apart."""

PASSES_SEEDS = 200
"""Independent runs behind a number of epochs to a loss."""

FINEST_STEP = 20
"""Examples between the points at which a run is checked for having reached a loss."""


def measure_losses(experiment: Experiment, seeds: int, table: Table) -> Tensor:
    """Returns the losses (points, seeds) float64 of many runs; see `training.ensemble`."""
    return training.ensemble(experiment, table, seeds, torch.Generator().manual_seed(0))


def examples_at_points(experiment: Experiment, table: Table) -> list[int]:
    """Returns the examples seen at each point at which the loss of a run is taken."""
    n = len(table.y) * experiment.copies
    points = training.points(n, experiment.minibatch, experiment.epochs, experiment.every)
    return [examples for examples, _ in points]


def first_reached(losses: Tensor, threshold: float, epochs: Sequence[float]) -> list[float]:
    """Returns for each seed the epochs until its loss is first at most a threshold.

    Args:
        losses: (points, seeds), the losses of many runs.
        threshold: The loss to reach.
        epochs: The epochs that a run has behind it at each point.

    Returns:
        A number per seed, which is infinite where the run never reaches the threshold.
    """
    results = []
    for reached in (losses <= threshold).unbind(1):
        if bool(reached.any()):
            results.append(epochs[int(reached.int().argmax())])
        else:
            results.append(math.inf)
    return results
