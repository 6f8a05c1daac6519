"""What claims measure.

The modules of this package measure, by subject. `Measurements` calls each of them at most once and
keeps the result for all claims.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from flopline.chapter import training
from flopline.chapter.claims.measurements import gradient, memory, runs, turns
from flopline.chapter.claims.measurements.gradient import GradientNoise
from flopline.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from flopline.chapter.ceilings import Ceilings
    from flopline.chapter.claims.measurements.turns import Seconds
    from flopline.chapter.training import Experiment
    from flopline.data import Table
    from flopline.progress import Report


__all__ = ["GradientNoise", "Measurements"]


class Measurements:
    """Measures on demand what claims need, each thing once, and keeps the results.

    Args:
        table: The training set.
        report: Called with each thing that is about to be measured.
        rounds: How often everything that is timed has its turn.
        seeds: Independent runs behind a comparison of losses.

    Attributes:
        table: The training set.
        loss: The exact quantities of the loss on it.
    """

    def __init__(
        self,
        table: Table,
        *,
        report: Report = silent,
        rounds: int = turns.ROUNDS,
        seeds: int = runs.SEEDS,
    ) -> None:
        self.table = table
        self.loss = training.exact_loss(table)
        self._rounds = rounds
        self._seeds = seeds
        self._report = report
        self._progress = Progress("claims")
        self._losses: dict[tuple[Experiment, int], Tensor] = {}

    def begin(self, progress: Progress) -> None:
        """Reports how far the claims have come, and keeps it for what is measured from now on."""
        self._progress = progress
        self._report(progress)

    def announce(self, what: str) -> None:
        """Reports what is measured next, beside the claim that needs it."""
        detail = f"{self._progress.detail}: {what}"
        self._report(replace(self._progress, detail=detail))

    @cached_property
    def products(self) -> Seconds:
        """Seconds of `measure_products`."""
        return turns.measure_products(self._rounds, self.announce)

    def product_seconds(self, strategy: str, block: int | None = None) -> list[float]:
        """Returns the seconds of a product at the chapter's size, one entry per round."""
        return self.products[turns.product_case(strategy, block).name]

    def call_seconds(self) -> list[float]:
        """Returns the seconds of one call of the element loop, one entry per round."""
        tiny = turns.tiny_element_loop()
        return [seconds / tiny.calls for seconds in self.products[tiny.case.name]]

    @cached_property
    def epochs(self) -> Seconds:
        """Seconds of `measure_epochs`."""
        return turns.measure_epochs(self.table, self._rounds, self.announce)

    def epoch_seconds(self, strategy: str, minibatch: int) -> list[float]:
        """Returns the seconds of an epoch, one entry per round."""
        return self.epochs[turns.epoch_case(strategy, minibatch).name]

    @cached_property
    def ceilings(self) -> list[Ceilings]:
        """Results of `measure_ceilings`."""
        return memory.measure_ceilings(self.announce)

    @cached_property
    def strided_sums(self) -> dict[int, list[float]]:
        """Seconds of `measure_strided_sums`."""
        return memory.measure_strided_sums(self._rounds, self.announce)

    @cached_property
    def fetches(self) -> Seconds:
        """Seconds of `measure_fetches`."""
        return memory.measure_fetches(self._rounds, self.announce)

    @cached_property
    def noise(self) -> tuple[GradientNoise, ...]:
        """Results of `measure_noise`."""
        self.announce("noise of the gradient")
        return gradient.measure_noise(self.table)

    def losses(self, experiment: Experiment, seeds: int) -> Tensor:
        """Returns the losses (points, seeds) of many runs of an experiment."""
        key = (experiment, seeds)
        if key not in self._losses:
            self.announce(f"{seeds} runs of {experiment.name}")
            self._losses[key] = runs.measure_losses(experiment, seeds, self.table)
        return self._losses[key]

    def losses_after(self, experiment: Experiment, examples: int) -> list[float]:
        """Returns the loss of every run of an experiment after it has seen this many examples."""
        point = runs.examples_at_points(experiment, self.table).index(examples)
        losses: list[float] = self.losses(experiment, self._seeds)[point].tolist()
        return losses

    def epochs_to_loss(self, experiment: Experiment, distance: float) -> list[float]:
        """Returns for each seed the epochs until its loss is within a distance of the minimum.

        Args:
            experiment: What is run.
            distance: The distance above the minimum L*, as a share of L*.

        Returns:
            A number per seed, which is infinite where the run never comes so near.
        """
        finely = replace(experiment, every=max(runs.FINEST_STEP, experiment.minibatch))
        n = len(self.table.y)
        epochs = [examples / n for examples in runs.examples_at_points(finely, self.table)]
        threshold = self.loss.minimum * (1 + distance)
        return runs.first_reached(self.losses(finely, runs.PASSES_SEEDS), threshold, epochs)
