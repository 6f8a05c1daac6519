"""C14 to C17, C19 and C25 to C28: the progress of training, by updates and examples, not by time.

The claims about speed in seconds are in `speed`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from flopline import data, sgd
from flopline.chapter import training
from flopline.chapter.claims.evidence import Finding, all_hold, difference, exact, mean
from flopline.chapter.claims.measurements.runs import BATCH10, BATCH100, GD, SGD
from flopline.chapter.claims.register import claim
from flopline.data import Minibatches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from flopline.chapter.claims.evidence import Quantity
    from flopline.chapter.claims.measurements import Measurements
    from flopline.chapter.training import Experiment
    from flopline.data import Table


def _updates_per_epoch(minibatch: int) -> Quantity:
    """Counts the minibatches of an epoch."""
    minibatches = data.shuffled(data.EXAMPLES, minibatch, torch.Generator().manual_seed(0))
    return exact("updates", len(minibatches))


@claim(
    14,
    "Gradient descent makes one update per epoch",
    "The claim is confirmed if an epoch of minibatches of all 1500 examples has one minibatch.",
)
def _full_batch_updates(_measurements: Measurements) -> Finding:
    updates = _updates_per_epoch(1500)
    return Finding(all_hold(updates.value == 1), (updates,))


@claim(
    15,
    "Gradient descent with learning rate 1 makes no progress after 6 steps",
    "The claim is confirmed if the loss at step 50 is within 1 % of the loss at step 6, and "
    "refuted if the loss has fallen or risen further.",
)
def _stall(measurements: Measurements) -> Finding:
    losses = descend(measurements.table, lr=1.0, steps=50)
    stable_losses = descend(measurements.table, lr=0.9, steps=50)
    change = exact("loss of step 50 over step 6", float(losses[50] / losses[6]))
    measured = [
        change,
        exact("step of the lowest loss", int(losses.argmin())),
        exact("2 / lambda_max", measurements.loss.stability_limit),
        exact("lambda_max", measurements.loss.curvature),
    ]
    for rate, curve in (("1", losses), ("0.9", stable_losses)):
        measured += [
            exact(f"loss at step {step}, lr {rate}", float(curve[step])) for step in (6, 10, 50)
        ]
    note = (
        "The number is right, but the explanation is not: the rate is above 2 / lambda_max, so the "
        "loss diverges."
    )
    return Finding(all_hold(abs(change.value - 1) < 0.01), tuple(measured), note)


def descend(table: Table, *, lr: float, steps: int) -> Tensor:
    """Returns the losses (steps + 1,) float64 along full-batch gradient descent from zero."""
    w = table.X.new_zeros(table.X.shape[1] + 1)
    full_batch = Minibatches(torch.arange(len(table.y)), len(table.y))
    losses = [sgd.loss(w, table.X, table.y)]
    for _ in range(steps):
        sgd.manual(w, table.X, table.y, full_batch, lr)
        losses.append(sgd.loss(w, table.X, table.y))
    return torch.stack(losses)


@claim(
    16,
    "SGD makes 1500 updates per epoch",
    "The claim is confirmed if an epoch of minibatches of one example has 1500 minibatches.",
)
def _sgd_updates(_measurements: Measurements) -> Finding:
    updates = _updates_per_epoch(1)
    return Finding(all_hold(updates.value == 1500), (updates,))


@claim(
    17,
    "SGD's progress slows down after one epoch",
    "The claim is confirmed if the second epoch lowers the loss by less than a tenth of what the "
    "first epoch does.",
)
def _slows_down(measurements: Measurements) -> Finding:
    start = measurements.loss.at_zero
    after_first = measurements.losses_after(SGD, 1500)
    after_second = measurements.losses_after(SGD, 3000)
    shares = [
        (first - second) / (start - first)
        for first, second in zip(after_first, after_second, strict=True)
    ]
    drop = mean("drop of epoch 2 over drop of epoch 1", shares)
    measured = (
        drop,
        mean("loss after epoch 1", after_first),
        mean("loss after epoch 2", after_second),
    )
    return Finding(all_hold(drop.below(0.1)), measured)


@claim(
    19,
    "SGD converges faster than gradient descent per example seen",
    "The claim is confirmed if its mean loss is lower after 1500 and after 3000 examples.",
)
def _per_example(measurements: Measurements) -> Finding:
    gaps = []
    for examples in (1500, 3000):
        full_batch = measurements.losses_after(GD, examples)
        single = measurements.losses_after(SGD, examples)
        gaps.append(difference(f"gd minus sgd after {examples} examples", full_batch, single))
    return Finding(all_hold(*(gap.above(0) for gap in gaps)), tuple(gaps))


@claim(
    25,
    "The framework's own optimiser shows the same behaviour",
    "The claim is confirmed if, from the same seed, the losses of the book's version with the "
    "framework's optimiser are within 1e-6 of those of the version from scratch.",
)
def _framework(measurements: Measurements) -> Finding:
    scratch = replace(BATCH10, strategy="manual")
    matched = replace(scratch, strategy="module")
    book = replace(training.EXPERIMENTS["concise"], epochs=2)
    scratch_losses = _losses_of_seed_0(scratch, measurements.table)
    matched_gap = _largest_gap(scratch_losses, _losses_of_seed_0(matched, measurements.table))
    book_gap = _largest_gap(scratch_losses, _losses_of_seed_0(book, measurements.table))
    measured = (
        exact("largest difference, settings matched", matched_gap),
        exact("largest difference, settings of the book", book_gap),
    )
    note = (
        "The algorithm is the same. The book's PyTorch version drops the factor 1/2 of the loss, "
        "uses a different rate and leaves the bias at the framework's start."
    )
    return Finding(all_hold(book_gap < 1e-6), measured, note)


def _losses_of_seed_0(experiment: Experiment, table: Table) -> Sequence[float]:
    """Returns the losses at the points of one run in float64."""
    return training.run_experiment(experiment, table, 0, dtype=torch.float64).losses


def _largest_gap(losses: Sequence[float], others: Sequence[float]) -> float:
    """Returns the largest absolute difference between the losses of two runs."""
    return max(abs(a - b) for a, b in zip(losses, others, strict=True))


@claim(
    26,
    "Exercise: sampling with replacement has more variance and converges more slowly",
    "The claim is confirmed if the mean final loss is higher with replacement for minibatches of "
    "1, 10 and 100.",
)
def _replacement(measurements: Measurements) -> Finding:
    gaps = []
    for experiment in (SGD, BATCH10, BATCH100):
        replacing = replace(experiment, sampling="replacement")
        with_replacement = measurements.losses_after(replacing, 3000)
        without = measurements.losses_after(experiment, 3000)
        what = f"{experiment.name}, with replacement minus without"
        gaps.append(difference(what, with_replacement, without))
    return Finding(all_hold(*(gap.above(0) for gap in gaps)), tuple(gaps))


@claim(
    27,
    "Exercise: on duplicated data minibatches do worse per example, gradient descent does the same",
    "The claim is confirmed if one epoch on the doubled table ends with a higher loss than two "
    "epochs on the table, for minibatches of 1, 10 and 100, and if the losses of the full batch "
    "agree to 1e-12.",
)
def _duplicated(measurements: Measurements) -> Finding:
    gaps = []
    for experiment in (SGD, BATCH10, BATCH100):
        doubled = replace(experiment, epochs=1, copies=2)
        once_on_doubled = measurements.losses_after(doubled, 3000)
        twice_on_table = measurements.losses_after(experiment, 3000)
        what = f"{experiment.name}, doubled table minus two epochs"
        gaps.append(difference(what, once_on_doubled, twice_on_table))

    full_batch = replace(GD, strategy="manual")
    doubled_batch = replace(full_batch, copies=2, minibatch=2 * full_batch.minibatch)
    losses = _losses_of_seed_0(full_batch, measurements.table)
    doubled_losses = _losses_of_seed_0(doubled_batch, measurements.table)
    same = exact("largest difference of gd", _largest_gap(losses, doubled_losses))
    answer = all_hold(same.below(1e-12), *(gap.above(0) for gap in gaps))
    note = (
        "The effect is small. It arises because an epoch on the doubled table shows some examples "
        "twice before it shows others once."
    )
    return Finding(answer, (*gaps, same), note)


@claim(
    28,
    "Without replacement, SGD converges to the optimum",
    "The claim is refuted if after 10 epochs at a constant rate the mean loss stays more than "
    "0.1 % above L*.",
)
def _plateau(measurements: Measurements) -> Finding:
    long = replace(BATCH10, epochs=20, every=1500)
    constant = _plateau_of(replace(long, lr=0.05), "lr 0.05", measurements)
    half = _plateau_of(replace(long, lr=0.025), "lr 0.025", measurements)
    falling = replace(long, lr=0.05, decay=0.1)
    decayed = _plateau_of(falling, "lr 0.05, a tenth each epoch", measurements)
    note = (
        "The plateau falls with the rate: half the rate leaves about a third of it. If the rate "
        "falls to a tenth after each epoch, the loss stops above L* because the steps become too "
        "small to reach it."
    )
    return Finding(all_hold(constant.below(0.001)), (constant, half, decayed), note)


def _plateau_of(experiment: Experiment, label: str, measurements: Measurements) -> Quantity:
    """Returns how far the mean loss of epochs 10 to 20 stays above L*, as a share of L*."""
    losses = measurements.losses(experiment, 200)[10:]
    above = (losses.mean(0) / measurements.loss.minimum - 1).tolist()
    return mean(f"mean loss of epochs 10 to 20 above L*, as a share of L*, {label}", above)
