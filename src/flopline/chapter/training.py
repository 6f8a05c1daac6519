"""Loss against examples, updates and seconds: the chapter's experiments, repeated over seeds.

A run passes twice over the same minibatches. The first pass is timed epoch by epoch, without a
stop. The second pass stops for the loss on the whole training set. So no evaluation is part of a
time, and a point within an epoch gets the seconds that its share of the epoch's updates took.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from flopline import FloplineError, data, machine, sgd, timing
from flopline.data import Minibatches
from flopline.progress import Progress, silent
from flopline.records import Beginning, SavedRecord
from flopline.workload import Case, Operands, contained, verify, verify_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flopline.data import Table
    from flopline.progress import Report
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
        name: What the experiment is called.
        strategy: The epoch strategy that makes the updates.
        minibatch: Examples in a minibatch.
        lr: Learning rate of the first epoch.
        epochs: Passes over the data.
        sampling: `shuffled`, every example once per epoch, or `replacement`, independent draws.
        copies: How often the table is repeated; 2 is the chapter's "evil genie".
        decay: Factor of the learning rate after every epoch.
        framework_defaults: Whether loss and start are those of the framework. The loss then lacks
            its factor 1/2, so that the learning rate counts twice, and the bias starts uniformly
            within 1/sqrt(features) of 0.
        every: Examples between two points at which the loss is taken.
    """

    name: str
    strategy: str
    minibatch: int
    lr: float
    epochs: int
    sampling: Sampling = "shuffled"
    copies: int = 1
    decay: float = 1.0
    framework_defaults: bool = False
    every: int = 200

    @property
    def effective_lr(self) -> float:
        """The learning rate of the first epoch for a loss that has its factor 1/2."""
        return 2 * self.lr if self.framework_defaults else self.lr

    def rates(self) -> list[float]:
        """Returns `effective_lr` for every epoch, decayed."""
        return [self.effective_lr * self.decay**epoch for epoch in range(self.epochs)]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("gd", "loader", 1500, 1.0, 10),
        Experiment("sgd", "loader", 1, 0.005, 2),
        Experiment("batch100", "loader", 100, 0.4, 2),
        Experiment("batch10", "loader", 10, 0.05, 2),
        Experiment("concise", "module", 10, 0.01, 4, framework_defaults=True),
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


MOST_EPOCHS = 10_000
"""Passes over the data that an experiment may make; the chapter makes 10 at most."""

MOST_SEEDS = 1_000_000
"""Runs of an experiment."""

MOST_LOSSES = 10_000_000
"""Losses that all runs of an experiment may take together; they are kept in memory."""


class ExperimentError(FloplineError, ValueError):
    """An experiment cannot be run as requested."""


def check(experiment: Experiment, examples: int) -> None:
    """Refuses an experiment that cannot be run on a table.

    Args:
        experiment: What is to be run.
        examples: Rows of the table.

    Raises:
        ExperimentError: The minibatch size, the learning rate, the number of epochs or the
            distance between points is out of range.
        UnknownStrategyError: There is no such strategy.
    """
    sgd.epochs[experiment.strategy]
    name = experiment.name
    total = examples * experiment.copies
    if not 1 <= experiment.minibatch <= total:
        raise ExperimentError(
            f"{name}: the minibatch size is {experiment.minibatch}; "
            f"allowed are 1 to {total}, the number of examples"
        )
    if not 0 < experiment.lr < math.inf:
        raise ExperimentError(
            f"{name}: the learning rate is {experiment.lr}; allowed is a number above 0"
        )
    if not 1 <= experiment.epochs <= MOST_EPOCHS:
        raise ExperimentError(
            f"{name}: the number of epochs is {experiment.epochs}; allowed is 1 or more, and at "
            f"most {MOST_EPOCHS}"
        )
    if experiment.every < 1:
        raise ExperimentError(
            f"{name}: the distance between points is {experiment.every}; allowed is 1 or more"
        )


def check_seeds(experiments: Sequence[Experiment], examples: int, seeds: int) -> None:
    """Refuses more runs than can be kept; the experiments have been checked.

    Args:
        experiments: What is to be run.
        examples: Rows of the table.
        seeds: How often each is to be run.

    Raises:
        ExperimentError: There are too many seeds, or too many losses to take.
    """
    if seeds > MOST_SEEDS:
        raise ExperimentError(
            f"the number of seeds is above {MOST_SEEDS}, the most that are allowed"
        )
    for experiment in experiments:
        apart = max(experiment.every, experiment.minibatch)
        losses = seeds * experiment.epochs * (examples * experiment.copies // apart + 1)
        if losses > MOST_LOSSES:
            raise ExperimentError(
                f"{experiment.name}: {seeds} seeds take about {losses} losses, and allowed are "
                f"{MOST_LOSSES}; ask for fewer seeds or epochs, or for points that are further "
                "apart"
            )


class Point(NamedTuple):
    """A place in a run at which the loss is taken.

    Attributes:
        examples: Examples seen so far.
        updates: Updates made so far.
    """

    examples: int
    updates: int


def points(n: int, minibatch: int, epochs: int, every: int) -> list[Point]:
    """Returns where the loss is taken, the start and the end of every epoch included.

    Within an epoch, a point is the first end of a minibatch at or after each multiple of `every`
    examples.

    Args:
        n: Examples of an epoch.
        minibatch: Examples in a minibatch; the last one of an epoch may be shorter.
        epochs: Passes over the data.
        every: Examples between points, at least 1.
    """
    places = [Point(0, 0)]
    seen = updates = 0
    for epoch in range(1, epochs + 1):
        while seen < epoch * n:
            before = seen
            seen = min(seen + minibatch, epoch * n)
            updates += 1
            passes_a_multiple = seen // every > before // every
            if passes_a_multiple or seen == epoch * n:
                places.append(Point(seen, updates))
    return places


def points_of(experiment: Experiment, examples: int) -> list[Point]:
    """Returns the points of an experiment on a table with so many examples."""
    return points(
        examples * experiment.copies,
        experiment.minibatch,
        experiment.epochs,
        experiment.every,
    )


@dataclass(frozen=True)
class TrainingRun:
    """The results of an experiment with one seed.

    Attributes:
        seed: The seed of the generator of start and minibatches.
        epoch_seconds: Seconds of each uninterrupted epoch. Drawing the minibatches is included,
            evaluation is not.
        seconds: Seconds of training at each point.
        losses: Loss on the whole training set at each point. It ends early where the next loss was
            not a finite number.
    """

    seed: int
    epoch_seconds: tuple[float, ...]
    seconds: tuple[float, ...]
    losses: tuple[float, ...]

    def reaches(self, loss: float) -> float | None:
        """Returns the seconds of training at the first point with at most this loss, if any."""
        for seconds, reached in zip(self.seconds, self.losses, strict=False):
            if reached <= loss:
                return seconds
        return None


@dataclass(frozen=True)
class ExperimentResult:
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
    runs: tuple[TrainingRun, ...]
    diverged: str

    def final_losses(self) -> list[float]:
        """Returns the last loss of each seed whose losses stayed finite to the end."""
        return [run.losses[-1] for run in self.runs if len(run.losses) == len(self.examples)]

    def epoch_seconds(self) -> list[float]:
        """Returns the seconds of every epoch of every seed."""
        seconds: list[float] = []
        for run in self.runs:
            seconds += run.epoch_seconds
        return seconds


@dataclass(frozen=True)
class ExactLoss:
    """The loss that is minimised, by its exact quantities.

    Attributes:
        source: Name of the data: `airfoil`, `airfoil (LF)` or `surrogate`.
        detail: Where the data came from.
        examples: The number of examples.
        at_zero: L(0), the loss of parameters that are all 0.
        minimum: L*, the smallest loss that any parameters have.
        curvature: lambda_max, the largest eigenvalue of the Hessian.
        stability_limit: 2 / lambda_max, the learning rate from which full-batch gradient descent
            diverges.
    """

    source: str
    detail: str
    examples: int
    at_zero: float
    minimum: float
    curvature: float
    stability_limit: float


def exact_loss(table: Table) -> ExactLoss:
    """Returns the exact quantities of the loss on a table."""
    X, y = table.X, table.y
    stability_limit = sgd.stability_limit(X)
    zero = X.new_zeros(X.shape[1] + 1)
    return ExactLoss(
        source=table.source.name,
        detail=table.source.detail,
        examples=len(y),
        at_zero=float(sgd.loss(zero, X, y)),
        minimum=float(sgd.loss(sgd.minimum(X, y), X, y)),
        curvature=2 / stability_limit,
        stability_limit=stability_limit,
    )


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(SavedRecord):
    """The record of `flopline train`.

    Attributes:
        loss: The loss that all experiments minimise.
        experiments: Their results.
    """

    kind: ClassVar[str] = "train"
    schema_version: ClassVar[int] = 2
    loss: ExactLoss
    experiments: tuple[ExperimentResult, ...]


def initial_parameters(experiment: Experiment, features: int, generator: torch.Generator) -> Tensor:
    """Draws the parameters from which a run starts.

    Returns:
        (features + 1,) float64. Weights are N(0, 0.01^2). The bias, which is last, is 0 unless the
        experiment starts as the library does.
    """
    w = torch.zeros(features + 1, dtype=torch.float64)
    w[:-1] = 0.01 * torch.randn(features, generator=generator, dtype=torch.float64)
    if experiment.framework_defaults:
        uniform = torch.rand((), generator=generator, dtype=torch.float64)
        w[-1] = (2 * uniform - 1) / math.sqrt(features)
    return w


def run_experiment(
    experiment: Experiment,
    table: Table,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    clock: Clock | None = None,
) -> TrainingRun:
    """Runs an experiment with one seed.

    Args:
        experiment: What to run; `check` has accepted it.
        table: The training set.
        seed: The seed of the generator of start and minibatches.
        dtype: The dtype of the training; the loss is always taken in float64.
        clock: Gives seconds; by default the host's clock.

    Raises:
        ExperimentError: The strategy does not make the same updates when it is stopped on the way.
        ChangedOperandError: The strategy changes the data.
        FailedRunError: The strategy raises an exception.
    """
    clock = clock or timing.host_clock()
    strategy = sgd.epochs[experiment.strategy]
    case = Case("sgd", experiment.strategy, {"batch": experiment.minibatch})
    foreign = f"{experiment.name}: the strategy {experiment.strategy!r}"
    draw = SAMPLERS[experiment.sampling]
    generator = torch.Generator().manual_seed(seed)
    start = initial_parameters(experiment, table.X.shape[1], generator).to(dtype)
    X = table.X.to(dtype).repeat(experiment.copies, 1)
    y = table.y.to(dtype).repeat(experiment.copies)

    # The first pass is timed.
    w = start.clone()
    operands = Operands(case, {"X": X, "y": y}, w)
    epochs: list[Minibatches] = []
    epoch_seconds: list[float] = []
    with contained(foreign):
        for lr in experiment.rates():
            before = clock()
            minibatches = draw(len(y), experiment.minibatch, generator)
            strategy(w, X, y, minibatches, lr)
            epoch_seconds.append(clock() - before)
            epochs.append(minibatches)
    operands.refuse_changes()

    # The second pass stops for the loss.
    places = points_of(experiment, len(table.y))
    stopped = start.clone()
    losses = [float(sgd.loss(stopped.double(), table.X, table.y))]
    for lr, part in _parts(places, epochs, experiment.rates()):
        with contained(foreign):
            strategy(stopped, X, y, part, lr)
        loss = float(sgd.loss(stopped.double(), table.X, table.y))
        if not math.isfinite(loss):
            break
        losses.append(loss)
    operands.refuse_changes()
    finite = len(losses) == len(places)
    if finite and not torch.allclose(w, stopped, rtol=1e-3, atol=1e-4):
        raise ExperimentError(
            f"{experiment.name}: {experiment.strategy} ends elsewhere when it is stopped for the "
            "loss; an epoch strategy must keep nothing but the parameters"
        )
    seconds = _seconds_at(places, epoch_seconds, updates_per_epoch=len(epochs[0]))
    return TrainingRun(seed, tuple(epoch_seconds), tuple(seconds), tuple(losses))


def _parts(
    places: Sequence[Point], epochs: Sequence[Minibatches], rates: Sequence[float]
) -> Iterator[tuple[float, Minibatches]]:
    """Yields the learning rate and the minibatches between one point and the next."""
    n = len(epochs[0].rows)
    for begin, end in itertools.pairwise(places):
        epoch = begin.examples // n
        start = epoch * n
        rows = epochs[epoch].rows[begin.examples - start : end.examples - start]
        yield rates[epoch], Minibatches(rows, epochs[epoch].size)


def _seconds_at(
    places: Sequence[Point], epoch_seconds: Sequence[float], *, updates_per_epoch: int
) -> list[float]:
    """Returns the seconds of training at each point; within an epoch all updates take as long."""
    seconds = []
    for place in places:
        epoch, updates = divmod(place.updates, updates_per_epoch)
        elapsed = math.fsum(epoch_seconds[:epoch])
        if updates:
            elapsed += updates / updates_per_epoch * epoch_seconds[epoch]
        seconds.append(elapsed)
    return seconds


def train(
    experiments: Sequence[Experiment],
    table: Table,
    seeds: Sequence[int],
    *,
    report: Report = silent,
) -> tuple[ExperimentResult, ...]:
    """Runs experiments with every seed.

    Seeds take turns, so that what has finished covers all experiments alike. On KeyboardInterrupt
    the seeds that all experiments have finished are kept, if there are any.

    Args:
        experiments: What to run.
        table: The training set.
        seeds: The seeds of the generators.
        report: Shows progress.

    Raises:
        ExperimentError: An experiment cannot be run on this table.
        UnknownStrategyError: There is no such strategy.
        RefusedError: A strategy does not do what an epoch of SGD does, before or after it trained,
            changes its data, or raises an exception.
        LoadError: A strategy of another distribution cannot be loaded.
        KeyboardInterrupt: The user interrupted before the first seed was finished.
    """
    n = len(table.y)
    for experiment in experiments:
        check(experiment, n)
    check_seeds(experiments, n, _count(seeds))
    for number, experiment in enumerate(experiments):
        detail = f"{experiment.name}: {experiment.strategy}"
        report(Progress("verifying", number, len(experiments), detail=detail))
        _verify(experiment, table)

    finished: list[list[TrainingRun]] = []
    try:
        for seed in seeds:
            runs = []
            for experiment in experiments:
                detail = f"{experiment.name}, seed {seed}"
                report(Progress("training", len(finished), len(seeds), detail=detail))
                runs.append(run_experiment(experiment, table, seed))
            finished.append(runs)
    except KeyboardInterrupt:
        if not finished:
            raise
    for experiment in experiments:
        _verify(experiment, table)
    loss = exact_loss(table)
    results = []
    for number, experiment in enumerate(experiments):
        own_runs = tuple(runs[number] for runs in finished)
        results.append(_result(experiment, own_runs, loss))
    return tuple(results)


def _count(seeds: Sequence[int]) -> int:
    """Returns how many seeds there are; of too long a range, Python cannot tell."""
    try:
        return len(seeds)
    except OverflowError:
        return sys.maxsize


def _verify(experiment: Experiment, table: Table) -> None:
    """Verifies the strategy of an experiment, on data that change as well."""
    minibatch = min(experiment.minibatch, len(table.y))
    case = Case("sgd", experiment.strategy, {"batch": minibatch})
    workload = sgd.prepare(case, table)
    with contained(f"{experiment.name}: the strategy {experiment.strategy!r}"):
        verify(workload)
        verify_again(workload)


def _result(
    experiment: Experiment, runs: tuple[TrainingRun, ...], loss: ExactLoss
) -> ExperimentResult:
    places = points_of(experiment, loss.examples)
    result = ExperimentResult(
        experiment=experiment,
        examples=tuple(place.examples for place in places),
        updates=tuple(place.updates for place in places),
        runs=runs,
        diverged="",
    )
    return replace(result, diverged=divergence(result, loss))


def divergence(result: ExperimentResult, loss: ExactLoss) -> str:
    """Returns why the runs of an experiment do not converge; empty if they do.

    Full-batch gradient descent diverges exactly from 2 / lambda_max on. A run with minibatches is
    called divergent if its loss ends above its start or stops being a number.
    """
    experiment, runs = result.experiment, result.runs
    limit = loss.stability_limit
    facts = f"2/lambda_max = {limit:.4f} (lambda_max = {loss.curvature:.4f})"
    full_batch = experiment.minibatch == loss.examples * experiment.copies
    if full_batch and experiment.sampling == "shuffled" and experiment.rates()[-1] >= limit:
        lowest = statistics.median(run.losses.index(min(run.losses)) for run in runs)
        return (
            f"diverges: the learning rate {experiment.effective_lr:g} is above the stability limit "
            f"{facts}; the loss is lowest after {result.updates[round(lowest)]} updates (median) "
            "and rises from there"
        )
    diverged = [run for run in runs if _diverges(run, len(result.examples))]
    if diverged:
        side = "above" if experiment.effective_lr >= limit else "below"
        return (
            f"diverges in {len(diverged)} of {len(runs)} seeds: the learning rate "
            f"{experiment.effective_lr:g} is {side} the full batch's stability limit {facts}; "
            "minibatches have a lower one"
        )
    return ""


def _diverges(run: TrainingRun, places: int) -> bool:
    return len(run.losses) < places or run.losses[-1] > run.losses[0]


def record_training(
    experiments: Sequence[Experiment],
    table: Table,
    seeds: Sequence[int],
    *,
    report: Report = silent,
) -> TrainingRecord:
    """Runs experiments on one thread, and keeps what `train` returns in a record.

    Args:
        experiments: What to run.
        table: The training set.
        seeds: The seeds of the generators.
        report: Shows progress.

    Raises:
        ExperimentError: As for `train`.
        UnknownStrategyError: As for `train`.
        WrongAnswerError: As for `train`.
        KeyboardInterrupt: As for `train`.
    """
    beginning = Beginning()
    with machine.pinned(1):
        results = train(experiments, table, seeds, report=report)
    return TrainingRecord(
        **beginning.head(machine=machine.describe(), threads=1),
        loss=exact_loss(table),
        experiments=results,
    )


def ensemble(
    experiment: Experiment, table: Table, seeds: int, generator: torch.Generator
) -> Tensor:
    """Returns the losses of many independent runs, which make their updates together in float64.

    Nothing is timed.

    Args:
        experiment: What to run; its strategy does not matter.
        table: The training set.
        seeds: The number of runs.
        generator: The source of all starts and minibatches.

    Returns:
        (points, seeds) float64; the points are those of `points_of`.
    """
    n, features = table.X.shape
    places = points_of(experiment, n)
    recorded = {place.updates for place in places}
    rows = sgd.with_ones(table.X).repeat(experiment.copies, 1)
    y = table.y.repeat(experiment.copies)
    minimum = sgd.minimum(table.X, table.y)
    hessian = sgd.hessian(table.X)
    smallest_loss = exact_loss(table).minimum
    whole = experiment.minibatch == len(y) and experiment.sampling == "shuffled"

    def losses(w: Tensor) -> Tensor:
        """Returns the loss of each run, which is quadratic around the minimum."""
        distance = w - minimum
        return smallest_loss + torch.einsum("si,ij,sj->s", distance, hessian, distance) / 2

    starts = [initial_parameters(experiment, features, generator) for _ in range(seeds)]
    w = torch.stack(starts)
    taken = [losses(w)]
    updates = 0
    for lr in experiment.rates():
        if whole:  # the order within a minibatch does not matter
            drawn = torch.arange(len(y)).expand(seeds, -1)
        else:
            drawn = data.many_draws(
                len(y), len(y), seeds, generator, replacement=experiment.sampling == "replacement"
            )
        for minibatch in drawn.split(experiment.minibatch, dim=1):
            if whole:
                gradient = (w - minimum) @ hessian
            else:
                X = rows[minibatch]
                residual = torch.einsum("sbi,si->sb", X, w) - y[minibatch]
                gradient = torch.einsum("sbi,sb->si", X, residual) / minibatch.shape[1]
            w = w - lr * gradient
            updates += 1
            if updates in recorded:
                taken.append(losses(w))
    return torch.stack(taken)
