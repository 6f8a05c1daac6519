"""C11 to C13: the noise of minibatch gradients, what it costs to lower it, and whether the data are white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy import stats

from flopline import sgd
from flopline.chapter.claims.evidence import (
    Finding,
    Quantity,
    everywhere,
    exact,
    jointly,
    mean,
    ratio,
    times,
)
from flopline.chapter.claims.measurements import WAYS
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from torch import Tensor

    from flopline.chapter.claims.measurements import Lab


@claim(
    11,
    "The gradient of a minibatch is unbiased, and its deviation falls as the root of its size",
    "confirmed if, drawing with replacement, the slope of log deviation over log size is within -0.5 +- 0.02, measured "
    "over exact is within 3 % for every size, and no mean is 5 standard errors off",
)
def _noise(lab: Lab) -> Finding:
    drawn = [noise for noise in lab.noise if noise.sampling == "replacement"]
    slopes = [
        float(
            stats.linregress(
                [math.log(n.size) for n in drawn], [math.log(n.groups[i]) for n in drawn]
            ).slope
        )
        for i in range(len(drawn[0].groups))
    ]
    slope = mean("slope with replacement", slopes)
    fits = [
        mean(f"measured over exact, {n.size}", [group / n.theory for group in n.groups])
        for n in drawn
    ]
    bias = exact("largest bias, in standard errors", max(n.bias for n in drawn))
    factors = [
        exact(f"without replacement over with, {n.size}", n.measured / w.measured)
        for n, w in zip((n for n in lab.noise if n.sampling == "shuffled"), drawn, strict=True)
        if n.size in (100, 1000, 1500)
    ]
    answers = (
        slope.above(-0.52),
        slope.below(-0.48),
        bias.below(5),
        *(fit.value > 0.97 for fit in fits),
    )
    note = "Exact with replacement; without, sqrt((n - b)/(n - 1)) times that, which is 0 for the full batch."
    worst = max(fits, key=lambda fit: abs(fit.value - 1))
    return Finding(jointly(*answers, worst.value < 1.03), (slope, worst, bias, *factors), note)


@claim(
    12,
    "Larger minibatches gain less and less, while their cost grows linearly",
    "a minibatch of 100 has 10 times less noise than one example: confirmed if its update takes more than 10 times as "
    "long in every way to run an epoch, refuted if less in every way",
)
def _marginal(lab: Lab) -> Finding:
    hundredfold = exact("", 100.0)
    costs = []
    for way in WAYS:
        epochs = ratio("", lab.epoch_seconds(way, 100), lab.epoch_seconds(way, 1))
        cost = times(f"time of an update, 100 over 1, {way}", hundredfold, epochs)
        costs.append(cost)
    note = (
        "The operations grow linearly, the time does not: a small update costs what its calls cost."
    )
    return Finding(everywhere(*(cost.above(10) for cost in costs)), tuple(costs), note)


def whitened(X: Tensor) -> Tensor:
    """The same rows with mean 0 and covariance 1 (ZCA; Kessy, Lewin and Strimmer, Am. Stat. 72, 2018)."""
    centred = X - X.mean(0)
    values, vectors = torch.linalg.eigh(centred.t() @ centred / len(X))
    white: Tensor = centred @ vectors @ torch.diag(values.rsqrt()) @ vectors.t()
    return white


@claim(
    13,
    "The data are whitened",
    "refuted if two features correlate by more than 0.1",
)
def _white(lab: Lab) -> Finding:
    X, y = lab.table.X, lab.table.y
    largest = float((torch.corrcoef(X.t()) - torch.eye(X.shape[1])).abs().max())
    correlation = exact("largest correlation of two features", largest)
    values = torch.linalg.eigvalsh(torch.cov(X.t(), correction=0))
    steps: list[Quantity] = []
    for name, rows in (("as they are", X), ("whitened", whitened(X))):
        step = -sgd.gradient(rows.new_zeros(rows.shape[1] + 1), rows, y)
        steps.append(exact(f"loss after one step of lr 1, {name}", float(sgd.loss(step, rows, y))))
    spectrum = (
        exact("least eigenvalue", float(values[0])),
        exact("largest eigenvalue", float(values[-1])),
    )
    note = (
        f"Standardised only. Whitened, one step of rate 1 would reach L* = {lab.limits.least:.6f}."
    )
    return Finding(jointly(correlation.below(0.1)), (correlation, *spectrum, *steps), note)
