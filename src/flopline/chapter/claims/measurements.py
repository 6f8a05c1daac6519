"""What claims rest on, each measured once: products and epochs in turns, ceilings, memory, noise, runs over seeds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from flopline import machine, matmul, sgd, timing
from flopline import workload as strategies
from flopline.chapter import ceilings, training
from flopline.chapter.training import EXPERIMENTS, Experiment
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from flopline.chapter.ceilings import Ceilings
    from flopline.data import Table
    from flopline.workload import Workload

N = 256
"""The chapter's matrices."""
ROUNDS = 15
"""Of everything that is timed: the median's 99 % interval is then the third to the thirteenth."""
WIDTHS = (1, 4, 16, 64, 128, 256)
SIZES = (1, 10, 100, 1500)
WAYS = ("loader", "autograd", "manual")
"""Ways to run an epoch: row by row as the chapter's loader does, by indexing, and without autograd."""
SEEDS = 4000
"""Independent runs behind a comparison of final losses: they tell differences of 0.0003 apart."""
DISTANCES = (0.01, 0.02, 0.05)
"""Thresholds of a time to loss, as shares of L* above it."""


@dataclass(frozen=True)
class Noise:
    """The deviation of minibatch gradients of one size, at w = 0.

    Attributes:
        size: Examples in a minibatch.
        sampling: `shuffled`, without replacement, or `replacement`.
        measured: Root of the summed variances of the gradient's entries, over all draws.
        groups: The same in groups of draws.
        theory: `sgd.gradient_std`.
        bias: Largest distance of a mean entry from the full gradient's, in standard errors.
    """

    size: int
    sampling: training.Sampling
    measured: float
    groups: tuple[float, ...]
    theory: float
    bias: float


NOISE_SIZES = (1, 3, 10, 30, 100, 300, 1000, 1500)
GROUPS, DRAWS = 10, 250


class Lab:
    """Measures on demand what claims ask for, and keeps it.

    Args:
        table: The training set.
        report: Told what is being measured.
    """

    def __init__(self, table: Table, report: Callable[[str], None] = lambda _: None) -> None:
        self.table = table
        self.limits = training.problem(table)
        self._report = report
        self._runs: dict[tuple[Experiment, int], Tensor] = {}

    def turns(self, runs: Mapping[str, Callable[[], object]], what: str) -> dict[str, list[float]]:
        """Seconds per call of each, in batches that take turns; one list entry per round."""
        self._report(what)
        with machine.pinned(1):
            return timing.turns(
                runs,
                timing.host_clock(),
                rounds=ROUNDS,
                report=lambda turn: self._report(f"{what}, round {turn + 1} of {ROUNDS}"),
            )

    def _workloads(self, workloads: Sequence[Workload], what: str) -> dict[str, list[float]]:
        with machine.pinned(1):
            for workload in workloads:
                self._report(f"{what}: verifying {workload.case.strategy}")
                strategies.verify(workload)
        return self.turns({workload.case.name: workload.run for workload in workloads}, what)

    @cached_property
    def _products(self) -> dict[str, list[float]]:
        cases = [self.product(name) for name in ("element_assign", "column_assign", "full")]
        cases.append(self.product("column_block_assign", 64))
        cases += [self.product("column_block", width) for width in WIDTHS]
        least = cases[0].tiny
        assert least is not None  # noqa: S101  # every product larger than the least one has it
        found = self._workloads([*cases, least], "products")
        found["dispatch"] = [seconds / least.calls for seconds in found.pop(least.case.name)]
        return found

    @staticmethod
    def product(strategy: str, block: int | None = None) -> Workload:
        """A product at the chapter's size."""
        return matmul.prepare(
            Case("matmul", strategy, {"n": N} | ({"block": block} if block else {}))
        )

    def product_seconds(self, strategy: str, block: int | None = None) -> list[float]:
        """Seconds of a product, per round; `dispatch` gives those of one call of the element loop on the least data."""
        return self._products[
            "dispatch" if strategy == "dispatch" else self.product(strategy, block).case.name
        ]

    @cached_property
    def _epochs(self) -> dict[str, list[float]]:
        cases = [Case("sgd", way, {"batch": size}) for way in WAYS for size in SIZES]
        return self._workloads([sgd.prepare(case, self.table) for case in cases], "epochs")

    def epoch_seconds(self, way: str, size: int) -> list[float]:
        """Seconds of an epoch, per round; drawing the minibatches is not included."""
        return self._epochs[Case("sgd", way, {"batch": size}).name]

    @cached_property
    def ceilings(self) -> list[Ceilings]:
        """The ceilings with all usable cores, eight times."""
        found = []
        for i in range(8):
            self._report(f"ceilings, {i + 1} of 8")
            found.append(ceilings.ceilings(threads=len(os.sched_getaffinity(0)), patience=0.3))
        return found

    @cached_property
    def strides(self) -> dict[int, list[float]]:
        """Seconds per number of a sum over main memory, by the stride in numbers; in rounds."""
        x = torch.ones(
            ceilings.working_sets(machine.cache_bytes(machine.caches()), machine.memory_bytes())[
                "memory"
            ]
            // 4
        )
        views = {stride: x[::stride] for stride in (1, 2, 4, 8, 16, 32)}
        found = self.turns(
            {str(stride): view.sum for stride, view in views.items()}, "strided reads"
        )
        return {
            stride: [seconds / len(view) for seconds in found[str(stride)]]
            for stride, view in views.items()
        }

    @cached_property
    def gathers(self) -> dict[str, list[float]]:
        """Seconds per number fetched from main memory, `sequential` and `random`; and `random` from each cache."""
        generator, count = torch.Generator().manual_seed(0), 1 << 21
        sizes = machine.cache_bytes(machine.caches())
        sets = ceilings.working_sets(sizes, machine.memory_bytes())
        # Of a table little larger than the cache before the last, a third would come from there.
        sets |= {level: sizes[level] // 4 for level in list(sizes)[-1:]}
        tables = {level: torch.ones(size // 4) for level, size in sets.items()}
        rows = {
            level: torch.randint(len(table), (count,), generator=generator)
            for level, table in tables.items()
        }
        out, order = torch.empty(count), torch.arange(count)
        # What is fetched in order must not be in a cache: every round begins elsewhere.
        begins = iter(range(1 << 30))

        def sequential() -> Tensor:
            begin = next(begins) * count % (len(tables["memory"]) - count)
            return torch.index_select(tables["memory"][begin : begin + count], 0, order, out=out)

        runs: dict[str, Callable[[], object]] = {"sequential": sequential}
        for level, table in tables.items():
            runs[level] = lambda table=table, level=level: torch.index_select(
                table, 0, rows[level], out=out
            )  # type: ignore[misc]
        found = self.turns(runs, "random reads")
        return {name: [seconds / count for seconds in samples] for name, samples in found.items()}

    @cached_property
    def noise(self) -> tuple[Noise, ...]:
        """The deviation of minibatch gradients at w = 0, with and without replacement."""
        self._report("noise of the gradient")
        generator = torch.Generator().manual_seed(0)
        X, y = self.table.X, self.table.y
        zero = X.new_zeros(X.shape[1] + 1)
        each = (
            torch.cat([X, X.new_ones(len(y), 1)], 1) * -y[:, None]
        )  # one example's gradient at zero, a row each
        full = each.mean(0)
        found = []
        ways: tuple[training.Sampling, ...] = ("replacement", "shuffled")
        for sampling in ways:
            for size in NOISE_SIZES:
                drawn = torch.stack(
                    [self._gradients(each, size, sampling, generator) for _ in range(GROUPS)]
                )
                off = drawn - full
                groups = off.square().mean(1).sum(1).sqrt()
                errors = drawn.flatten(0, 1).std(0) / math.sqrt(GROUPS * DRAWS)
                found.append(
                    Noise(
                        size=size,
                        sampling=sampling,
                        measured=float(off.square().mean((0, 1)).sum().sqrt()),
                        groups=tuple(groups.tolist()),
                        theory=sgd.gradient_std(
                            zero, X, y, size, replacement=sampling == "replacement"
                        ),
                        bias=float((off.mean((0, 1)).abs() / errors.clamp_min(1e-12)).max()),
                    )
                )
        return tuple(found)

    @staticmethod
    def _gradients(
        each: Tensor, size: int, sampling: training.Sampling, generator: torch.Generator
    ) -> Tensor:
        n = len(each)
        if sampling == "replacement":
            rows = torch.randint(n, (DRAWS, size), generator=generator)
        else:
            rows = torch.rand(DRAWS, n, generator=generator).argsort(1)[:, :size]
        return each[rows].mean(1)

    def runs(self, name: str, seeds: int = SEEDS, **changes: object) -> Tensor:
        """Losses (points, seeds) of many runs of an experiment, with changes; see `training.ensemble`."""
        experiment = replace(EXPERIMENTS[name], **changes)  # type: ignore[arg-type]  # the caller knows the fields
        if (experiment, seeds) not in self._runs:
            self._report(
                f"{seeds} runs of {name}"
                + "".join(f", {key} {value}" for key, value in changes.items())
            )
            generator = torch.Generator().manual_seed(0)
            self._runs[experiment, seeds] = training.ensemble(
                experiment, self.table, seeds, generator
            )
        return self._runs[experiment, seeds]

    def passes(self, name: str, distance: float, **changes: object) -> list[float]:
        """Epochs until the loss is first within a distance of L*, per seed of 200; infinite where it never is."""
        every = max(20, EXPERIMENTS[name].batch)
        losses = self.runs(name, 200, every=every, **changes)
        experiment = replace(EXPERIMENTS[name], every=every, **changes)  # type: ignore[arg-type]  # as in runs
        n = len(self.table.y)
        examples = [
            seen for seen, _ in training.points(n, experiment.batch, experiment.epochs, every)
        ]
        there = losses <= self.limits.least * (1 + distance)
        return [
            examples[int(column.int().argmax())] / n if bool(column.any()) else math.inf
            for column in there.unbind(1)
        ]
