"""Loss against examples, updates and seconds: the chapter's experiments, over seeds.

A run passes twice over the same minibatches. The first pass is timed, epoch by epoch and without a stop; the second one
stops for the loss on the whole training set. So no evaluation is inside a time, and a point within an epoch has the
seconds that its share of the epoch's updates took.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from flopline import data, records, sgd, timing
from flopline import workload as strategies
from flopline.chapter.prediction import silent
from flopline.data import Minibatches
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flopline.chapter.prediction import Report
    from flopline.data import Table
    from flopline.timing import Clock

Sampling = Literal["shuffled", "replacement"]

SAMPLERS: dict[Sampling, Callable[[int, int, torch.Generator], Minibatches]] = {
    "shuffled": data.shuffled,
    "replacement": data.with_replacement,
}


@dataclass(frozen=True)
class Experiment:
    """A training run to repeat.

    Attributes:
        name: What it is called.
        strategy: The epoch strategy that does the updates.
        batch: Examples in a minibatch.
        lr: Learning rate of the first epoch.
        epochs: Passes over the data.
        sampling: `shuffled`, every example once per epoch, or `replacement`, independent draws.
        copies: How often the table is repeated; 2 is the chapter's "evil genie".
        decay: Factor of the learning rate after every epoch.
        library: As the framework has it by default: the loss lacks its factor 1/2, so that the learning rate counts
            twice, and the bias starts uniformly within 1/sqrt(features) of 0.
        every: Examples between two points at which the loss is taken.
    """

    name: str
    strategy: str
    batch: int
    lr: float
    epochs: int
    sampling: Sampling = "shuffled"
    copies: int = 1
    decay: float = 1.0
    library: bool = False
    every: int = 200

    @property
    def step(self) -> float:
        """The learning rate of the first epoch as the loss with its factor 1/2 sees it."""
        return 2 * self.lr if self.library else self.lr

    def rates(self) -> list[float]:
        """That learning rate, for every epoch."""
        return [self.step * self.decay**epoch for epoch in range(self.epochs)]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("gd", "loader", 1500, 1.0, 10),
        Experiment("sgd", "loader", 1, 0.005, 2),
        Experiment("batch100", "loader", 100, 0.4, 2),
        Experiment("batch10", "loader", 10, 0.05, 2),
        Experiment("concise", "module", 10, 0.01, 4, library=True),
        Experiment("replacement", "loader", 10, 0.05, 2, sampling="replacement"),
        Experiment("doubled", "loader", 10, 0.05, 1, copies=2),
        Experiment("decayed", "loader", 10, 0.05, 2, decay=0.1),
    )
}
"""The chapter's four experiments, its concise version, and its exercises on minibatches of 10."""

MINIBATCH_SIZES = (1, 10, 100, 1500)
"""The minibatch sizes of the chapter's four experiments."""

LOSS_DISTANCES = (0.01, 0.02, 0.05)
"""How far above the minimum L* the losses lie to which times are taken, as shares of L*."""


class ExperimentError(ValueError):
    """An experiment cannot be run as asked."""


def check(experiment: Experiment, n: int) -> None:
    """Refuses an experiment that cannot be run on n examples.

    Raises:
        ExperimentError: The batch size, the learning rate or the number of epochs is out of range.
        UnknownStrategyError: No such strategy.
    """
    sgd.epochs[experiment.strategy]
    total = n * experiment.copies
    if not 1 <= experiment.batch <= total:
        raise ExperimentError(
            f"{experiment.name}: the batch size is {experiment.batch}; allowed are 1 to {total}, the number of examples"
        )
    if not 0 < experiment.lr < math.inf:
        raise ExperimentError(
            f"{experiment.name}: the learning rate is {experiment.lr}; allowed is a number above 0"
        )
    for what, number in (
        ("number of epochs", experiment.epochs),
        ("distance between points", experiment.every),
    ):
        if number < 1:
            raise ExperimentError(
                f"{experiment.name}: the {what} is {number}; allowed is 1 or more"
            )


def points(n: int, batch: int, epochs: int, every: int) -> list[tuple[int, int]]:
    """Where the loss is taken: (examples seen, updates made), the start and every epoch's end included.

    Within an epoch, a point is the first end of a minibatch at or after each multiple of `every` examples.

    Args:
        n: Examples of an epoch.
        batch: Examples in a minibatch; the last one of an epoch may be shorter.
        epochs: Passes over the data.
        every: Examples between points, at least 1.
    """
    updates = math.ceil(n / batch)
    found = [(0, 0)]
    for epoch in range(epochs):
        ends = [epoch * n + min(n, (k + 1) * batch) for k in range(updates)]
        for k, end in enumerate(ends):
            begin = found[-1][0] if k == 0 else ends[k - 1]
            if end // every > begin // every or k == updates - 1:
                found.append((end, epoch * updates + k + 1))
    return found


@dataclass(frozen=True)
class Run:
    """What one seed gave.

    Attributes:
        seed: Of the generator of start and minibatches.
        epochs: Seconds of each epoch, uninterrupted; drawing the minibatches included, evaluation not.
        seconds: Seconds of training at each point.
        losses: Loss on the whole training set at each point; it ends early where the next one was no finite number.
    """

    seed: int
    epochs: tuple[float, ...]
    seconds: tuple[float, ...]
    losses: tuple[float, ...]

    def reaches(self, loss: float) -> float | None:
        """Seconds of training at the first point with at most this loss; None if there is none."""
        return next(
            (time for time, found in zip(self.seconds, self.losses, strict=False) if found <= loss),
            None,
        )


@dataclass(frozen=True)
class Trained:
    """An experiment and its runs.

    Attributes:
        experiment: What was run.
        examples: Examples seen at each point.
        updates: Updates made at each point.
        runs: One per seed.
        diverged: Why the runs do not converge, in words; empty if they do.
    """

    experiment: Experiment
    examples: tuple[int, ...]
    updates: tuple[int, ...]
    runs: tuple[Run, ...]
    diverged: str

    def finals(self) -> list[float]:
        """The last loss of each seed whose losses stayed finite to the end."""
        return [run.losses[-1] for run in self.runs if len(run.losses) == len(self.examples)]

    def epoch_seconds(self) -> list[float]:
        """The seconds of every epoch of every seed."""
        return [seconds for run in self.runs for seconds in run.epochs]


@dataclass(frozen=True)
class Problem:
    """The loss that is minimised, exactly.

    Attributes:
        source: Name of the data: `airfoil`, `airfoil (LF)` or `surrogate`.
        detail: Where they came from.
        examples: Number of examples.
        start: Loss at zero.
        least: L*, the least loss.
        curvature: lambda_max, the largest eigenvalue of the Hessian.
        limit: 2 / lambda_max, the learning rate from which full-batch descent diverges.
    """

    source: str
    detail: str
    examples: int
    start: float
    least: float
    curvature: float
    limit: float


def problem(table: Table) -> Problem:
    """The exact quantities of a table's loss."""
    X, y = table.X, table.y
    limit = sgd.stability_limit(X)
    least = float(sgd.loss(sgd.minimum(X, y), X, y))
    start = float(sgd.loss(X.new_zeros(X.shape[1] + 1), X, y))
    return Problem(table.source.name, table.source.detail, len(y), start, least, 2 / limit, limit)


@dataclass(frozen=True, kw_only=True)
class Training(records.SavedRecord):
    """What `flopline train` found."""

    kind: ClassVar[str] = "train"
    schema_version: ClassVar[int] = 1
    problem: Problem
    experiments: tuple[Trained, ...]


def start(experiment: Experiment, d: int, generator: torch.Generator) -> Tensor:
    """The parameters, (d + 1,) float64, from which a run starts: weights N(0, 0.01^2), bias 0 unless `library`."""
    w = torch.cat(
        [
            0.01 * torch.randn(d, generator=generator, dtype=torch.float64),
            torch.zeros(1, dtype=torch.float64),
        ]
    )
    if experiment.library:
        w[-1] = (2 * torch.rand((), generator=generator, dtype=torch.float64) - 1) / math.sqrt(d)
    return w


def run(
    experiment: Experiment,
    table: Table,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    clock: Clock | None = None,
) -> Run:
    """Runs an experiment with one seed.

    Args:
        experiment: What to run; checked already.
        table: The training set.
        seed: Of the generator of start and minibatches.
        dtype: Of the training; the loss is always taken in float64.
        clock: Gives seconds; by default the host's.

    Raises:
        ExperimentError: The strategy does not make the same updates when it is stopped on the way.
    """
    clock = clock or timing.host_clock()
    strategy, draw = sgd.epochs[experiment.strategy], SAMPLERS[experiment.sampling]
    generator = torch.Generator().manual_seed(seed)
    origin = start(experiment, table.X.shape[1], generator).to(dtype)
    X = table.X.to(dtype).repeat(experiment.copies, 1)
    y = table.y.to(dtype).repeat(experiment.copies)
    w, drawn, epochs = origin.clone(), [], []
    for lr in experiment.rates():
        before = clock()
        batches = draw(len(y), experiment.batch, generator)
        strategy(w, X, y, batches, lr)
        epochs.append(clock() - before)
        drawn.append(batches)
    stopped, where = (
        origin.clone(),
        points(len(y), experiment.batch, experiment.epochs, experiment.every),
    )
    losses = [float(sgd.loss(stopped.double(), table.X, table.y))]
    for lr, part in _parts(where, drawn, experiment.rates()):
        strategy(stopped, X, y, part, lr)
        loss = float(sgd.loss(stopped.double(), table.X, table.y))
        if not math.isfinite(loss):
            break
        losses.append(loss)
    else:
        if not torch.allclose(w, stopped, rtol=1e-3, atol=1e-4):
            raise ExperimentError(
                f"{experiment.name}: {experiment.strategy} ends elsewhere when it is stopped for the loss; an epoch "
                "strategy must keep nothing but the parameters"
            )
    each, updates = len(drawn[0]), [updates for _, updates in where]
    ends = [0.0, *itertools.accumulate(epochs)]
    seconds = [
        ends[k // each] + (k % each) / each * epochs[min(k // each, len(epochs) - 1)]
        for k in updates
    ]
    return Run(seed, tuple(epochs), tuple(seconds), tuple(losses))


def _parts(
    where: Sequence[tuple[int, int]], drawn: Sequence[Minibatches], rates: Sequence[float]
) -> Iterator[tuple[float, Minibatches]]:
    """The minibatches between one point and the next, with their learning rate."""
    n = len(drawn[0].rows)
    for (begin, _), (end, _) in itertools.pairwise(where):
        epoch = begin // n
        yield (
            rates[epoch],
            Minibatches(drawn[epoch].rows[begin - epoch * n : end - epoch * n], drawn[epoch].size),
        )


def train(
    experiments: Sequence[Experiment],
    table: Table,
    seeds: Sequence[int],
    *,
    report: Report = silent,
) -> tuple[Trained, ...]:
    """Runs experiments with every seed; seeds take turns, so that what has finished covers all experiments alike.

    On KeyboardInterrupt the seeds that all experiments have finished are kept, if there are any.

    Args:
        experiments: What to run.
        table: The training set.
        seeds: Of the generators.
        report: Told the experiment at work and the share of all runs that is done.

    Raises:
        ExperimentError: An experiment cannot be run on this table.
        WrongAnswerError: A strategy does not do what an epoch of SGD does.
        KeyboardInterrupt: Before the first seed was finished.
    """
    for experiment in experiments:
        check(experiment, len(table.y))
    for experiment in experiments:
        case = Case("sgd", experiment.strategy, {"batch": min(experiment.batch, len(table.y))})
        report(f"{experiment.name}: verifying {experiment.strategy}", 0.0)
        strategies.verify(sgd.prepare(case, table))
    finished: list[list[Run]] = []
    try:
        for i, seed in enumerate(seeds):
            turn = []
            for j, experiment in enumerate(experiments):
                report(f"{experiment.name}, seed {seed}", (i + j / len(experiments)) / len(seeds))
                turn.append(run(experiment, table, seed))
            finished.append(turn)
    except KeyboardInterrupt:
        if not finished:
            raise
    limits = problem(table)
    return tuple(
        _trained(experiment, tuple(turn[j] for turn in finished), limits)
        for j, experiment in enumerate(experiments)
    )


def _trained(experiment: Experiment, runs: tuple[Run, ...], limits: Problem) -> Trained:
    where = points(
        limits.examples * experiment.copies, experiment.batch, experiment.epochs, experiment.every
    )
    examples, updates = zip(*where, strict=True)
    trained = Trained(experiment, examples, updates, runs, "")
    return replace(trained, diverged=divergence(trained, limits))


def divergence(trained: Trained, limits: Problem) -> str:
    """Why an experiment's runs do not converge, with lambda_max and the stability limit; empty if they do.

    Full-batch descent diverges exactly from 2 / lambda_max on; a run with minibatches is called divergent if its loss
    ends above its start or is no number any more.
    """
    experiment = trained.experiment
    facts = f"2/lambda_max = {limits.limit:.4f} (lambda_max = {limits.curvature:.4f})"
    whole = (
        experiment.batch == limits.examples * experiment.copies
        and experiment.sampling == "shuffled"
    )
    if whole and experiment.rates()[-1] >= limits.limit:
        least = statistics.median(run.losses.index(min(run.losses)) for run in trained.runs)
        return (
            f"diverges: the learning rate {experiment.step:g} is above the stability limit {facts}; "
            f"the loss is lowest after {trained.updates[round(least)]} updates (median) and rises from there"
        )
    lost = sum(
        len(run.losses) < len(trained.examples) or run.losses[-1] > run.losses[0]
        for run in trained.runs
    )
    if lost:
        side = "above" if experiment.step >= limits.limit else "below"
        return (
            f"diverges in {lost} of {len(trained.runs)} seeds: the learning rate {experiment.step:g} is {side} the "
            f"full batch's stability limit {facts}; minibatches have a lower one"
        )
    return ""


def ensemble(
    experiment: Experiment, table: Table, seeds: int, generator: torch.Generator
) -> Tensor:
    """Losses of many independent runs at once, by the float64 loop on all of them together; nothing is timed.

    Args:
        experiment: What to run; its strategy does not matter.
        table: The training set.
        seeds: How many runs.
        generator: Source of starts and minibatches; one generator for all runs.

    Returns:
        (points, seeds) float64; the points are those of `points`.
    """
    rows = torch.cat([table.X, table.X.new_ones(len(table.X), 1)], 1).repeat(experiment.copies, 1)
    y = table.y.repeat(experiment.copies)
    n, size = len(y), experiment.batch
    w = torch.stack([start(experiment, table.X.shape[1], generator) for _ in range(seeds)])
    limits, best, curved = problem(table), sgd.minimum(table.X, table.y), sgd.hessian(table.X)
    wanted = {updates for _, updates in points(n, size, experiment.epochs, experiment.every)}

    def losses() -> Tensor:
        return limits.least + torch.einsum("si,ij,sj->s", w - best, curved, w - best) / 2

    found, updates = [losses()], 0
    for lr in experiment.rates():
        if experiment.sampling == "replacement":
            drawn = torch.randint(n, (seeds, n), generator=generator)
        elif size == n:
            drawn = torch.arange(n).expand(seeds, n)  # the order within a minibatch does not matter
        else:
            drawn = torch.rand(seeds, n, generator=generator).argsort(1)
        for part in drawn.split(size, dim=1):
            if size == n and experiment.sampling == "shuffled":
                gradient = (w - best) @ curved
            else:
                X = rows[part]
                residual = torch.einsum("sbi,si->sb", X, w) - y[part]
                gradient = torch.einsum("sbi,sb->si", X, residual) / part.shape[1]
            w = w - lr * gradient
            updates += 1
            if updates in wanted:
                found.append(losses())
    return torch.stack(found)
