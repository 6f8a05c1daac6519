"""The noise of minibatch gradients."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flopline import data, sgd
from flopline.chapter.training import Sampling  # noqa: TC001  # cattrs reads it

if TYPE_CHECKING:
    from flopline.data import Table

NOISE_SIZES = (1, 3, 10, 30, 100, 300, 1000, 1500)
"""Minibatch sizes at which the noise of the gradient is measured."""

NOISE_GROUPS = 10
"""Groups of draws; the spread between them gives the interval of a deviation."""

GROUP_DRAWS = 250
"""Minibatches that one group draws."""


@dataclass(frozen=True)
class GradientNoise:
    """The deviation of minibatch gradients of one size from the full gradient, at w = 0.

    Attributes:
        size: Examples in a minibatch.
        sampling: `shuffled` for draws without replacement, or `replacement`.
        measured: The root of the summed variances of the gradient's entries, over all draws.
        groups: The same for each group of draws.
        theory: The exact value, from `sgd.gradient_std`.
        bias: The largest distance of an entry's mean from the full gradient, in standard errors.
    """

    size: int
    sampling: Sampling
    measured: float
    groups: tuple[float, ...]
    theory: float
    bias: float


def measure_noise(table: Table) -> tuple[GradientNoise, ...]:
    """Measures the noise of minibatch gradients at w = 0, with and without replacement."""
    generator = torch.Generator().manual_seed(0)
    samplings: tuple[Sampling, ...] = ("replacement", "shuffled")
    pairs = itertools.product(samplings, NOISE_SIZES)
    return tuple(measure_noise_of(size, sampling, table, generator) for sampling, size in pairs)


def measure_noise_of(
    size: int, sampling: Sampling, table: Table, generator: torch.Generator
) -> GradientNoise:
    """Measures the noise of the gradients of minibatches of one size at w = 0."""
    X, y = table.X, table.y
    replacement = sampling == "replacement"
    # At w = 0 the residual of an example is -y, so its gradient is -y times its features and a 1.
    gradients = sgd.with_ones(X) * -y[:, None]
    groups = []
    for _ in range(NOISE_GROUPS):
        rows = data.many_draws(len(y), size, GROUP_DRAWS, generator, replacement=replacement)
        groups.append(gradients[rows].mean(1))
    minibatches = torch.stack(groups)  # (groups, draws, parameters)
    deviations = minibatches - gradients.mean(0)
    errors = minibatches.flatten(0, 1).std(0) / math.sqrt(NOISE_GROUPS * GROUP_DRAWS)
    bias = deviations.mean((0, 1)).abs() / errors.clamp_min(1e-12)
    zero = X.new_zeros(X.shape[1] + 1)
    return GradientNoise(
        size=size,
        sampling=sampling,
        measured=float(deviations.square().mean((0, 1)).sum().sqrt()),
        groups=tuple(deviations.square().mean(1).sum(1).sqrt().tolist()),
        theory=sgd.gradient_std(zero, X, y, size, replacement=replacement),
        bias=float(bias.max()),
    )
