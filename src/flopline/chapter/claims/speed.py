"""C18 and C20 to C24: which way of training is faster, per epoch and to a given loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from flopline.chapter import training
from flopline.chapter.claims.evidence import (
    Finding,
    Quantity,
    holds_in_every_setting,
    median,
    multiplied,
    ratio,
)
from flopline.chapter.claims.measurements.runs import BATCH10, BATCH100, GD, SGD
from flopline.chapter.claims.measurements.turns import EPOCH_STRATEGIES
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements
    from flopline.chapter.training import Experiment

REACHED = 0.95
"""The share of seeds that must reach a loss before times to this loss are compared."""

LEFT_OUT = (
    "Losses that fewer than 95 % of the seeds reach are left out. At rate 1, gradient descent "
    "comes within 2 % of the minimum in about 78 % of the seeds, and within 1 % in about 28 %."
)


def _compare_epochs(first: int, second: int, measurements: Measurements) -> list[Quantity]:
    """Returns how many times longer an epoch takes with minibatches of one size than of another.

    There is one number for each way to run an epoch.
    """
    quantities = []
    for strategy in EPOCH_STRATEGIES:
        what = f"epoch of {first} over {second}, {strategy}"
        first_seconds = measurements.epoch_seconds(strategy, first)
        second_seconds = measurements.epoch_seconds(strategy, second)
        quantities.append(ratio(what, first_seconds, second_seconds))
    return quantities


def _compare_times_to_loss(
    first: Experiment, second: Experiment, measurements: Measurements
) -> list[Quantity]:
    """Returns how many times longer one experiment takes to reach a loss than another.

    A time to a loss is the number of epochs to it times the seconds per epoch. There is one number
    for each loss and each way to run an epoch. Losses that too few seeds reach are left out.
    """
    quantities = []
    for distance in training.LOSS_DISTANCES:
        first_epochs = measurements.epochs_to_loss(first, distance)
        second_epochs = measurements.epochs_to_loss(second, distance)
        if _is_rarely_reached(first_epochs) or _is_rarely_reached(second_epochs):
            continue
        shares = [a / b for a, b in zip(first_epochs, second_epochs, strict=True)]
        epochs = median("epochs", [share for share in shares if math.isfinite(share)])
        seconds_per_epoch = _compare_epochs(first.minibatch, second.minibatch, measurements)
        for strategy, seconds in zip(EPOCH_STRATEGIES, seconds_per_epoch, strict=True):
            what = f"time to L* + {distance:.0%}, {first.name} over {second.name}, {strategy}"
            quantities.append(multiplied(what, epochs, seconds))
    return quantities


def _is_rarely_reached(epochs: list[float]) -> bool:
    """Returns whether too few seeds reach a loss at all."""
    reached = [number for number in epochs if math.isfinite(number)]
    return len(reached) < REACHED * len(epochs)


def _all_above_one(quantities: list[Quantity], note: str = "") -> Finding:
    """Returns the finding on a claim that something takes longer in every setting."""
    answer = holds_in_every_setting(*(quantity.above(1) for quantity in quantities))
    return Finding(answer, tuple(quantities), note)


def _all_below_one(quantities: list[Quantity], note: str = "") -> Finding:
    """Returns the finding on a claim that something takes less time in every setting."""
    answer = holds_in_every_setting(*(quantity.below(1) for quantity in quantities))
    return Finding(answer, tuple(quantities), note)


@claim(
    18,
    "An epoch of SGD takes longer than an epoch of gradient descent",
    "The claim is confirmed if the epoch takes longer in every way to run it.",
)
def _sgd_epoch(measurements: Measurements) -> Finding:
    return _all_above_one(_compare_epochs(1, 1500, measurements))


@claim(
    20,
    "SGD takes more time than gradient descent to the same loss",
    "The claim is confirmed if SGD takes longer to every loss that both reach, in every way to run "
    "an epoch.",
)
def _sgd_time(measurements: Measurements) -> Finding:
    return _all_above_one(_compare_times_to_loss(SGD, GD, measurements), LEFT_OUT)


@claim(
    21,
    "An epoch with minibatches of 100 is shorter than one of SGD, and even than one of gradient "
    "descent",
    "The claim is confirmed if the epoch is shorter than both in every way to run it, and refuted "
    "if it is longer than one of them in every way.",
)
def _hundred_epoch(measurements: Measurements) -> Finding:
    over_sgd = _all_below_one(_compare_epochs(100, 1, measurements))
    over_gd = _all_below_one(_compare_epochs(100, 1500, measurements))
    both = _all_below_one([*over_sgd.measured, *over_gd.measured])
    is_refuted = "refuted" in (over_sgd.answer, over_gd.answer)
    note = (
        "The comparison with gradient descent depends on the loader: if it fetches row by row, "
        "every epoch costs the same work."
    )
    return Finding("refuted" if is_refuted else both.answer, both.measured, note)


@claim(
    22,
    "An epoch with minibatches of 10 is longer than one with minibatches of 100",
    "The claim is confirmed if the epoch is longer in every way to run it.",
)
def _ten_epoch(measurements: Measurements) -> Finding:
    return _all_above_one(_compare_epochs(10, 100, measurements))


@claim(
    23,
    "Minibatches of 10 take less time than SGD to the same loss",
    "The claim is confirmed if they take less time to every loss that both reach, in every way to "
    "run an epoch.",
)
def _ten_time(measurements: Measurements) -> Finding:
    return _all_below_one(_compare_times_to_loss(BATCH10, SGD, measurements))


@claim(
    24,
    "Minibatches of 100 take even less time than gradient descent to the same loss",
    "The claim is confirmed if they take less time to every loss that both reach, in every way to "
    "run an epoch, than gradient descent at the rates 1, 0.9 and 0.95 x 2 / lambda_max.",
)
def _hundred_time(measurements: Measurements) -> Finding:
    quantities = _compare_times_to_loss(BATCH100, GD, measurements)
    for rate in (0.9, 0.95 * measurements.loss.stability_limit):
        stable = replace(GD, name=f"gd at lr {rate:.3g}", lr=rate)
        quantities += _compare_times_to_loss(BATCH100, stable, measurements)
    return _all_below_one(quantities, LEFT_OUT)
