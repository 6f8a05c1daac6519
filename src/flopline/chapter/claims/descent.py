"""C14 to C17, C19 and C25 to C28: what training does, counted in updates and examples rather than in seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from flopline import data, sgd
from flopline.chapter import training
from flopline.chapter.claims.evidence import Finding, difference, exact, jointly, mean
from flopline.chapter.claims.measurements import SEEDS
from flopline.chapter.claims.register import claim
from flopline.data import Minibatches

if TYPE_CHECKING:
    from torch import Tensor

    from flopline.chapter.claims.measurements import Lab
    from flopline.data import Table


def _updates(size: int) -> int:
    return len(data.shuffled(data.EXAMPLES, size, torch.Generator().manual_seed(0)))


@claim(14, "Gradient descent makes one update per epoch", "the minibatches of an epoch are counted")
def _whole(lab: Lab) -> Finding:
    del lab
    return Finding(jointly(_updates(1500) == 1), (exact("updates", _updates(1500)),))


def descend(table: Table, lr: float, steps: int) -> Tensor:
    """The losses, (steps + 1,) float64, along full-batch gradient descent from zero."""
    w = table.X.new_zeros(table.X.shape[1] + 1)
    everything = Minibatches(torch.arange(len(table.y)), len(table.y))
    losses = [sgd.loss(w, table.X, table.y)]
    for _ in range(steps):
        sgd.manual(w, table.X, table.y, everything, lr)
        losses.append(sgd.loss(w, table.X, table.y))
    return torch.stack(losses)


@claim(
    15,
    "Gradient descent with learning rate 1 makes no progress after 6 steps",
    "confirmed if the loss of step 50 is within 1 % of that of step 6; refuted if it has gone on, up or down",
)
def _stall(lab: Lab) -> Finding:
    fast, slow = descend(lab.table, 1.0, 50), descend(lab.table, 0.9, 50)
    change = exact("loss of step 50 over step 6", float(fast[50] / fast[6]))
    measured = (
        change,
        exact("step of the lowest loss", int(fast.argmin())),
        exact("2 / lambda_max", lab.limits.limit),
        exact("lambda_max", lab.limits.curvature),
        *(exact(f"loss at step {step}, lr {lr}", float(losses[step]))
          for lr, losses in ((1, fast), (0.9, slow)) for step in (6, 10, 50)),
    )  # fmt: skip
    note = "The number is right, the explanation is not: the rate is above 2 / lambda_max, and the loss diverges."
    return Finding(jointly(abs(change.value - 1) < 0.01), measured, note)


@claim(16, "SGD makes 1500 updates per epoch", "the minibatches of an epoch are counted")
def _single(lab: Lab) -> Finding:
    del lab
    return Finding(jointly(_updates(1) == 1500), (exact("updates", _updates(1)),))


def _at(lab: Lab, name: str, examples: int, **changes: object) -> list[float]:
    """The losses of all runs after so many examples."""
    experiment = replace(training.EXPERIMENTS[name], **changes)  # type: ignore[arg-type]  # as Lab.runs
    n = data.EXAMPLES * experiment.copies
    where = [
        seen
        for seen, _ in training.points(n, experiment.batch, experiment.epochs, experiment.every)
    ]
    found: list[float] = lab.runs(name, SEEDS, **changes)[where.index(examples)].tolist()
    return found


@claim(
    17,
    "SGD's progress slows down after one epoch",
    "confirmed if the second epoch lowers the loss by less than a tenth of what the first one did",
)
def _slows(lab: Lab) -> Finding:
    first, second = _at(lab, "sgd", 1500), _at(lab, "sgd", 3000)
    share = [(one - two) / (lab.limits.start - one) for one, two in zip(first, second, strict=True)]
    drop = mean("drop of epoch 2 over drop of epoch 1", share)
    measured = drop, mean("loss after epoch 1", first), mean("loss after epoch 2", second)
    return Finding(jointly(drop.below(0.1)), measured)


@claim(
    19,
    "SGD converges faster than gradient descent per example seen",
    "confirmed if its mean loss is lower after 1500 and after 3000 examples",
)
def _per_example(lab: Lab) -> Finding:
    gaps = [
        difference(
            f"gd less sgd after {examples} examples",
            _at(lab, "gd", examples),
            _at(lab, "sgd", examples),
        )
        for examples in (1500, 3000)
    ]
    return Finding(jointly(*(gap.above(0) for gap in gaps)), tuple(gaps))


@claim(
    25,
    "The framework's own optimiser shows the same behaviour",
    "confirmed if, from the same seed, its trajectory in the book's settings is within 1e-6 of the one from scratch",
)
def _concise(lab: Lab) -> Finding:
    scratch = replace(training.EXPERIMENTS["batch10"], strategy="manual")
    matched = replace(scratch, strategy="module")
    book = replace(training.EXPERIMENTS["concise"], epochs=2)
    losses = [
        training.run(each, lab.table, 0, dtype=torch.float64).losses
        for each in (scratch, matched, book)
    ]
    gaps = [max(abs(a - b) for a, b in zip(losses[0], other, strict=True)) for other in losses[1:]]
    same, published = (
        exact("largest difference, settings matched", gaps[0]),
        exact("in the book's settings", gaps[1]),
    )
    note = (
        "The algorithm is the same; the book's PyTorch version drops the factor 1/2 of the loss, takes another rate "
        "and leaves the bias at the framework's start."
    )
    return Finding(jointly(published.below(1e-6)), (same, published), note)


THREE = ("sgd", "batch10", "batch100")


@claim(
    26,
    "Exercise: sampling with replacement has more variance and converges more slowly",
    "confirmed if the mean final loss is higher with replacement for minibatches of 1, 10 and 100",
)
def _replacement(lab: Lab) -> Finding:
    gaps = [
        difference(
            f"{name}, with less without",
            _at(lab, name, 3000, sampling="replacement"),
            _at(lab, name, 3000),
        )
        for name in THREE
    ]
    return Finding(jointly(*(gap.above(0) for gap in gaps)), tuple(gaps))


@claim(
    27,
    "Exercise: on duplicated data minibatches do worse per example, gradient descent does the same",
    "confirmed if one epoch on the table twice ends higher than two epochs on it, for minibatches of 1, 10 and 100, "
    "and the full batch's losses agree to 1e-12",
)
def _duplicated(lab: Lab) -> Finding:
    gaps = [
        difference(
            f"{name}, doubled less two epochs",
            _at(lab, name, 3000, epochs=1, copies=2),
            _at(lab, name, 3000),
        )
        for name in THREE
    ]
    whole = replace(training.EXPERIMENTS["gd"], strategy="manual")
    twice = replace(whole, copies=2, batch=2 * whole.batch)
    runs = [training.run(each, lab.table, 0, dtype=torch.float64).losses for each in (whole, twice)]
    same = exact("largest difference of gd", max(abs(a - b) for a, b in zip(*runs, strict=True)))
    answers = same.below(1e-12), *(gap.above(0) for gap in gaps)
    return Finding(
        jointly(*answers),
        (*gaps, same),
        "Small: a doubled epoch sees some examples twice before others.",
    )


@claim(
    28,
    "Without replacement, SGD converges to the optimum",
    "refuted if after 10 epochs at a constant rate the mean loss stays more than 0.1 % above L*",
)
def _plateau(lab: Lab) -> Finding:
    least = lab.limits.least
    plateaus = []
    for lr, decay in ((0.05, 1.0), (0.025, 1.0), (0.05, 0.1)):
        losses = lab.runs("batch10", 200, lr=lr, decay=decay, epochs=20, every=1500)[10:]
        above = (losses.mean(0) / least - 1).tolist()
        label = f"lr {lr}" + (", a tenth each epoch" if decay < 1 else "")
        plateaus.append(mean(f"mean loss of epochs 10 to 20 over L*, less 1, {label}", above))
    note = "The plateau is proportional to the rate; only a falling rate removes it."
    return Finding(jointly(plateaus[0].below(0.001)), tuple(plateaus), note)
