"""The time that a run may take, and what blocks cost."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from flopline.gate.record import MIN_QUADS, MIN_QUADS_SECONDS, Block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class Budget:
    """The time that a run may take; it begins when the budget is made."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Starts the budget.

        Args:
            seconds: How long the run may take.
            clock: Returns the time in seconds since some moment.
        """
        self.seconds = seconds
        self._clock = clock
        self._begin = clock()

    def spent(self) -> float:
        """Returns the seconds since the budget began."""
        return self._clock() - self._begin

    def remaining(self, share: float = 1.0) -> float:
        """Returns the seconds until a share of the budget is used; negative after that."""
        return share * self.seconds - self.spent()


@dataclass(frozen=True)
class Costs:
    """What blocks take, by those that were measured.

    Attributes:
        starts: Seconds of every block beside its benchmarks.
        benchmarks: For each benchmark, its untimed seconds in its last block and its seconds per
            quad there.
    """

    starts: tuple[float, ...] = ()
    benchmarks: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Seconds of a block beside its benchmarks; zero before the first one."""
        return statistics.median(self.starts) if self.starts else 0.0

    def after(self, block: Block) -> Costs:
        """Returns what is known after a further block."""
        starts = self.starts
        if block.stage != "check":
            starts += (max(0.0, block.seconds - sum(block.spent.values())),)
        benchmarks = dict(self.benchmarks)
        for name, spent in block.spent.items():
            timed = 0.0
            quads = block.quads.get(name, [])
            for quad in quads:
                timed += sum(batch.wall for batch in (*quad.baseline, *quad.candidate))
            benchmarks[name] = (max(0.0, spent - timed), timed / max(1, len(quads)))
        return Costs(starts, benchmarks)

    def of_benchmark(self, name: str, seconds: float, quads: int = 1) -> float:
        """Returns the seconds of a benchmark in a block; one that is new costs what it times.

        Args:
            name: The benchmark.
            seconds: Its timed seconds.
            quads: It gets so many quads at least.
        """
        fixed, quad_seconds = self.benchmarks.get(name, (0.0, 0.0))
        few = min(MIN_QUADS * quad_seconds, MIN_QUADS_SECONDS)
        return fixed + max(seconds, few, quads * quad_seconds)

    def of_block(
        self,
        names: Collection[str],
        seconds: float,
        quads: Mapping[str, int] = MappingProxyType({}),
    ) -> float:
        """Returns how long a block of some benchmarks takes, its start included.

        Args:
            names: The benchmarks.
            seconds: Timed seconds per benchmark.
            quads: The fewest quads of those benchmarks that get more than these seconds give.
        """
        costs = [self.of_benchmark(name, seconds, quads.get(name, 1)) for name in names]
        return self.start + sum(costs)
