"""C11 to C13: the noise of minibatch gradients, the price of less noise, and whitened data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy import stats

from flopline import sgd
from flopline.chapter.claims.evidence import (
    Finding,
    Quantity,
    all_hold,
    exact,
    holds_in_every_setting,
    mean,
    multiplied,
    ratio,
)
from flopline.chapter.claims.measurements.turns import EPOCH_STRATEGIES
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from torch import Tensor

    from flopline.chapter.claims.measurements import Measurements
    from flopline.chapter.claims.measurements.gradient import GradientNoise

SHOWN_WITHOUT_REPLACEMENT = (100, 1000, 1500)
"""Minibatch sizes for which the effect of drawing without replacement is shown."""


@claim(
    11,
    "The gradient of a minibatch is unbiased, and its deviation falls as the root of its size",
    "The claim is confirmed if, for draws with replacement, the slope of the logarithm of the "
    "deviation over the logarithm of the size is within -0.5 +- 0.02, the measured deviation is "
    "within 3 % of the exact one for every size, and no mean is 5 standard errors off.",
)
def _noise(measurements: Measurements) -> Finding:
    drawn = [noise for noise in measurements.noise if noise.sampling == "replacement"]
    shuffled = [noise for noise in measurements.noise if noise.sampling == "shuffled"]

    slope = mean("slope with replacement", _slopes(drawn))
    fits = []
    for noise in drawn:
        shares = [deviation / noise.theory for deviation in noise.groups]
        fits.append(mean(f"measured over exact, {noise.size}", shares))
    worst = max(fits, key=lambda fit: abs(fit.value - 1))
    bias = exact("largest bias, in standard errors", max(noise.bias for noise in drawn))
    measured = [slope, worst, bias]
    for without, with_replacement in zip(shuffled, drawn, strict=True):
        if without.size in SHOWN_WITHOUT_REPLACEMENT:
            factor = without.measured / with_replacement.measured
            measured.append(exact(f"without replacement over with, {without.size}", factor))

    answer = all_hold(
        slope.above(-0.52),
        slope.below(-0.48),
        0.97 < worst.value < 1.03,
        bias.below(5),
    )
    note = (
        "The law is exact for draws with replacement. Without replacement the deviation is "
        "sqrt((n - b)/(n - 1)) times that, which is 0 for the full batch."
    )
    return Finding(answer, tuple(measured), note)


def _slopes(noises: list[GradientNoise]) -> list[float]:
    """Returns the slope of log deviation over log size for each group of draws."""
    sizes = [math.log(noise.size) for noise in noises]
    slopes = []
    for group in range(len(noises[0].groups)):
        deviations = [math.log(noise.groups[group]) for noise in noises]
        slopes.append(float(stats.linregress(sizes, deviations).slope))
    return slopes


@claim(
    12,
    "Larger minibatches gain less and less, while their cost grows linearly",
    "A minibatch of 100 has 10 times less noise than one example. The claim is confirmed if its "
    "update takes more than 10 times as long in every way to run an epoch, and refuted if it takes "
    "less in every way.",
)
def _marginal_gain(measurements: Measurements) -> Finding:
    # An epoch with minibatches of 100 has a hundredth of the updates.
    updates = exact("updates of an epoch, 1 over 100", 100.0)
    costs = []
    for strategy in EPOCH_STRATEGIES:
        hundred = measurements.epoch_seconds(strategy, 100)
        single = measurements.epoch_seconds(strategy, 1)
        epochs = ratio("time of an epoch, 100 over 1", hundred, single)
        costs.append(multiplied(f"time of an update, 100 over 1, {strategy}", updates, epochs))
    answer = holds_in_every_setting(*(cost.above(10) for cost in costs))
    note = (
        "The operations grow linearly, but the time does not, because a small update costs what "
        "its calls cost."
    )
    return Finding(answer, tuple(costs), note)


@claim(
    13,
    "The data are whitened",
    "The claim is refuted if two features correlate by more than 0.1.",
)
def _white(measurements: Measurements) -> Finding:
    X, y = measurements.table.X, measurements.table.y
    correlations = torch.corrcoef(X.t()) - torch.eye(X.shape[1])
    largest = exact("largest correlation of two features", float(correlations.abs().max()))
    eigenvalues = torch.linalg.eigvalsh(torch.cov(X.t(), correction=0))
    measured = (
        largest,
        exact("least eigenvalue", float(eigenvalues[0])),
        exact("largest eigenvalue", float(eigenvalues[-1])),
        _loss_after_one_step("as they are", X, y),
        _loss_after_one_step("whitened", whitened(X), y),
    )
    least = measurements.loss.minimum
    note = (
        "The data are only standardised. With whitened data, one step of rate 1 would reach "
        f"L* = {least:.6f}."
    )
    return Finding(all_hold(largest.below(0.1)), measured, note)


def whitened(X: Tensor) -> Tensor:
    """Returns the rows (n, d), transformed to mean 0 and covariance 1 by the ZCA method.

    Kessy, Lewin and Strimmer, Optimal whitening and decorrelation, Am. Stat. 72, 2018.
    """
    centred = X - X.mean(0)
    covariance = centred.t() @ centred / len(X)
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    white: Tensor = centred @ vectors @ torch.diag(eigenvalues.rsqrt()) @ vectors.t()
    return white


def _loss_after_one_step(name: str, X: Tensor, y: Tensor) -> Quantity:
    """Returns the loss after one full-batch step of learning rate 1 from zero."""
    zero = X.new_zeros(X.shape[1] + 1)
    w = -sgd.gradient(zero, X, y)
    return exact(f"loss after one step of lr 1, {name}", float(sgd.loss(w, X, y)))
